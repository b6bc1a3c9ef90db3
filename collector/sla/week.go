package sla

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Week is the hours of each day of the week, indexed by time.Weekday; a day without spans is closed. In
// JSON it is an object of lists by day, {"mon": ["08:00-18:00"], …}; reading also takes what ParseDays
// takes as a key ({"mon-fri": […]}), writing names each day.
type Week [7][]Span

// mondayFirst is the order in which people read a week.
var mondayFirst = [7]time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

// dayWords are the words for days, by time.Weekday.
var dayWords = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseDays reads days of the week: words (mon tue wed thu fri sat sun), ranges (mon-fri, sat-mon goes
// round the end of the week) and lists of both with commas. The error names what is not understood or
// named twice. The days come in the order they were named.
func ParseDays(text string) ([]time.Weekday, error) {
	var days []time.Weekday
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		from, to := slices.Index(dayWords[:], first), slices.Index(dayWords[:], last)
		if !ranged {
			to = from
		}
		if from < 0 || to < 0 {
			return nil, fmt.Errorf("days %q: %q is not a day: expected mon, tue, wed, thu, fri, sat, sun, a range like mon-fri or a list like mon-wed,fri", text, part)
		}
		for d := from; ; d = (d + 1) % 7 {
			if slices.Contains(days, time.Weekday(d)) {
				return nil, fmt.Errorf("days %q: %s is named twice: name each day once", text, dayWords[d])
			}
			days = append(days, time.Weekday(d))
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// ParseWeek reads weekly hours from lists of spans by days, {"mon-fri": {"08:00-18:00"}}. Every fault is
// named at once: unknown days, days named twice, bad or overlapping spans.
func ParseWeek(hours map[string][]string) (Week, error) {
	var w Week
	var errs []error
	var named [7]string
	for _, key := range sortedKeys(hours) {
		days, err := ParseDays(key)
		errs = append(errs, err)
		var spans []Span
		for _, text := range hours[key] {
			s, err := ParseSpan(text)
			errs = append(errs, err)
			if err == nil {
				spans = append(spans, s)
			}
		}
		for _, d := range days {
			if named[d] != "" {
				errs = append(errs, fmt.Errorf("hours: %s is named by %q and by %q: name each day once", dayWords[d], named[d], key))
			}
			named[d] = key
			w[d] = slices.Clone(spans)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Week{}, err
	}
	return w, w.Validate()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Validate names every span of w that is none or overlaps another of its day.
func (w Week) Validate() error {
	var errs []error
	for _, d := range mondayFirst {
		sorted := slices.Clone(w[d])
		sortSpans(sorted)
		for i, s := range sorted {
			if err := s.check(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", dayWords[d], err))
			} else if i > 0 && s.From < sorted[i-1].To {
				errs = append(errs, fmt.Errorf("%s: %v overlaps %v: join them into one", dayWords[d], s, sorted[i-1]))
			}
		}
	}
	return errors.Join(errs...)
}

func sortSpans(spans []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return int((a.From - b.From) / time.Minute) })
}

// empty says that w has no hours on any day.
func (w Week) empty() bool {
	for _, spans := range w {
		if len(spans) > 0 {
			return false
		}
	}
	return true
}

// MarshalJSON writes w as an object by day, Monday first, without closed days.
func (w Week) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for _, d := range mondayFirst {
		if len(w[d]) == 0 {
			continue
		}
		spans, err := json.Marshal(w[d])
		if err != nil {
			return nil, fmt.Errorf("hours of %s: %w", dayWords[d], err)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, dayWords[d]...)
		out = append(out, '"', ':')
		out = append(out, spans...)
	}
	return append(out, '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes, and ranges of days as keys.
func (w *Week) UnmarshalJSON(data []byte) error {
	var hours map[string][]string
	if err := json.Unmarshal(data, &hours); err != nil {
		return fmt.Errorf(`hours: expected an object like {"mon": ["08:00-18:00"]}: %w`, err)
	}
	parsed, err := ParseWeek(hours)
	if err != nil {
		return err
	}
	*w = parsed
	return nil
}
