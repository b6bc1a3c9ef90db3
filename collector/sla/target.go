package sla

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode is how the time of a target passes.
type Mode string

// The four modes.
const (
	Business        Mode = "business"          // only the calendar's hours count
	Elapsed         Mode = "elapsed"           // every second counts
	BusinessDays    Mode = "business-days"     // the same wall time N working days later
	NextBusinessDay Mode = "next-business-day" // the close of the first working day after the start's date
)

// Bounds of a target: far more than any agreement asks for, and small enough that no sum overflows.
const (
	maxWithin = 10 * 366 * 24 * time.Hour
	maxDays   = 2600
)

// Target is what was agreed for one clock. Its text form, without the clock's name, is "15m,business",
// "24h,elapsed", "2,business-days" (or "2d,business-days") or "next-business-day", each with ",inform"
// where it only informs.
type Target struct {
	Clock  string        // response, resolution, access, …
	Mode   Mode          //
	Within time.Duration // Business and Elapsed: whole seconds, at most ten years
	Days   int           // BusinessDays: 1 to 2600
	Inform bool          // the clock shows a due time and is never at risk nor breached
}

// NeedsCalendar says that the time of t passes in a calendar's hours.
func (t Target) NeedsCalendar() bool { return t.Mode != Elapsed }

// Validate says what is wrong with t and what is expected.
func (t Target) Validate() error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("target %q: %w", t.Clock, fmt.Errorf(format, args...))
	}
	switch {
	case t.Clock == "":
		return fault("must name its clock, like response")
	case t.Mode == Business || t.Mode == Elapsed:
		if t.Within < time.Second || t.Within > maxWithin || t.Within%time.Second != 0 {
			return fault("within %v: expected whole seconds, from 1s to ten years", t.Within)
		}
		if t.Days != 0 {
			return fault("%d days in %s mode: days belong to business-days, give a duration", t.Days, t.Mode)
		}
	case t.Mode == BusinessDays:
		if t.Days < 1 || t.Days > maxDays {
			return fault("%d days: expected 1 to %d working days", t.Days, maxDays)
		}
		if t.Within != 0 {
			return fault("within %v in business-days mode: expected a number of days alone", t.Within)
		}
	case t.Mode == NextBusinessDay:
		if t.Within != 0 || t.Days != 0 {
			return fault("a duration in next-business-day mode: it has none, it ends when that day closes")
		}
	default:
		return fault("mode %q: expected business, elapsed, business-days or next-business-day", t.Mode)
	}
	return nil
}

// ParseTarget reads the text form of the target of the named clock. The error names the clock and the
// text and says what is expected.
func ParseTarget(clock, text string) (Target, error) {
	t := Target{Clock: clock}
	fault := func(why string) (Target, error) {
		return Target{}, fmt.Errorf("target %q: %q: %s: expected DURATION,MODE like 15m,business or 24h,elapsed or 2,business-days, or next-business-day, with ,inform where it only informs", clock, text, why)
	}
	parts := strings.Split(text, ",")
	if n := len(parts) - 1; n > 0 && parts[n] == "inform" {
		t.Inform, parts = true, parts[:n]
	}
	switch len(parts) {
	case 1:
		t.Mode = Mode(parts[0])
		if t.Mode != NextBusinessDay {
			return fault("no mode")
		}
	case 2:
		t.Mode = Mode(parts[1])
		if err := t.readAmount(parts[0]); err != nil {
			return fault(err.Error())
		}
	default:
		return fault("too many parts")
	}
	return t, t.Validate()
}

// readAmount reads the part before the mode.
func (t *Target) readAmount(text string) (err error) {
	switch t.Mode {
	case BusinessDays:
		t.Days, err = strconv.Atoi(strings.TrimSuffix(text, "d"))
		if err != nil {
			return fmt.Errorf("%q is no number of days", text)
		}
	case Business, Elapsed:
		t.Within, err = time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is no duration", text)
		}
	default:
		return fmt.Errorf("%q takes no %q, or is no mode", t.Mode, text)
	}
	return nil
}

// Text is the text form of t; ParseTarget gives t back from it and the clock's name.
func (t Target) Text() string {
	text := string(t.Mode)
	switch t.Mode {
	case Business, Elapsed:
		text = durationText(t.Within) + "," + text
	case BusinessDays:
		text = strconv.Itoa(t.Days) + "," + text
	}
	if t.Inform {
		text += ",inform"
	}
	return text
}

// durationText writes d without the zero parts that Duration.String keeps: 8h, 1h30m, 90s as 1m30s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// targetJSON is a Target as it is stored: the duration as people write it.
type targetJSON struct {
	Clock  string `json:"clock"`
	Mode   Mode   `json:"mode"`
	Within string `json:"within,omitempty"`
	Days   int    `json:"days,omitempty"`
	Inform bool   `json:"inform,omitempty"`
}

// MarshalJSON writes {"clock": "response", "mode": "business", "within": "8h"}.
func (t Target) MarshalJSON() ([]byte, error) {
	out := targetJSON{Clock: t.Clock, Mode: t.Mode, Days: t.Days, Inform: t.Inform}
	if t.Within != 0 {
		out.Within = durationText(t.Within)
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes; it does not validate.
func (t *Target) UnmarshalJSON(data []byte) error {
	var in targetJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	out := Target{Clock: in.Clock, Mode: in.Mode, Days: in.Days, Inform: in.Inform}
	if in.Within != "" {
		within, err := time.ParseDuration(in.Within)
		if err != nil {
			return fmt.Errorf("target %q: within %q: expected a duration like 8h or 15m", in.Clock, in.Within)
		}
		out.Within = within
	}
	*t = out
	return nil
}
