package sla

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Date is a day of the civil calendar, apart from any zone. Its zero value is no day at all; an overlay
// uses it for "no limit on this side". Its text form is 2026-06-15, the zero date's is empty.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day that a clock on the wall of loc shows at t.
func DateOf(t time.Time, loc *time.Location) Date {
	y, m, d := t.In(loc).Date()
	return Date{y, m, d}
}

// ParseDate reads a date in its text form. The error names the text and says what is expected.
func ParseDate(text string) (Date, error) {
	if len(text) != len("2006-01-02") {
		return Date{}, dateError(text)
	}
	t, err := time.Parse("2006-01-02", text)
	if err != nil || t.Year() == 0 {
		return Date{}, dateError(text)
	}
	return DateOf(t, time.UTC), nil
}

func dateError(text string) error {
	return fmt.Errorf("date %q: expected an existing day written year-month-day, like 2026-06-15", text)
}

// IsZero says that d is no day.
func (d Date) IsZero() bool { return d == Date{} }

// String is the text form of d.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day)
}

// MarshalText writes d in its text form; it fails for what is no day of the calendar, 31 June for one.
func (d Date) MarshalText() ([]byte, error) {
	if !d.IsZero() && !d.exists() {
		return nil, dateError(d.String())
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what MarshalText writes; empty text is the zero date.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Before says that d is an earlier day than other.
func (d Date) Before(other Date) bool {
	if d.Year != other.Year {
		return d.Year < other.Year
	}
	if d.Month != other.Month {
		return d.Month < other.Month
	}
	return d.Day < other.Day
}

// Weekday is the day of the week of d.
func (d Date) Weekday() time.Weekday {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC).Weekday()
}

// AddDays is the day n days after d, before it for a negative n.
func (d Date) AddDays(n int) Date {
	y, m, day := time.Date(d.Year, d.Month, d.Day+n, 0, 0, 0, 0, time.UTC).Date()
	return Date{y, m, day}
}

func (d Date) exists() bool {
	return d.Year >= 1 && d.Year <= 9999 && d.AddDays(0) == d
}

// Span is a part of a day by the clock on the wall: from From up to, not including, To, both counted from
// local midnight as the clock reads them. To may be 24:00, the end of the day. The text form is
// 08:00-18:00, in whole minutes.
type Span struct{ From, To time.Duration }

// fullDay is 24:00, where a span can end at the latest.
const fullDay = 24 * time.Hour

// ParseSpan reads a span in its text form. The error names the text and says what is expected.
func ParseSpan(text string) (Span, error) {
	from, to, found := strings.Cut(text, "-")
	a, okFrom := parseWall(from)
	b, okTo := parseWall(to)
	s := Span{a, b}
	if !found || !okFrom || !okTo || s.check() != nil {
		return Span{}, fmt.Errorf("hours %q: expected FROM-TO within one day, like 08:00-18:00 or 22:00-24:00 (hours past midnight belong to the next day)", text)
	}
	return s, nil
}

// parseWall reads HH:MM up to 24:00.
func parseWall(text string) (time.Duration, bool) {
	if len(text) != 5 || text[2] != ':' {
		return 0, false
	}
	for _, i := range [...]int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	h, _ := strconv.Atoi(text[:2]) // two digits: cannot fail
	m, _ := strconv.Atoi(text[3:])
	if m > 59 {
		return 0, false
	}
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	return d, d <= fullDay
}

// check says what is wrong with s, if anything.
func (s Span) check() error {
	switch {
	case s.From < 0 || s.To > fullDay || s.From >= s.To:
		return fmt.Errorf("span from %v to %v after midnight: expected 0 <= from < to <= 24h", s.From, s.To)
	case s.From%time.Minute != 0 || s.To%time.Minute != 0:
		return fmt.Errorf("span from %v to %v after midnight: expected whole minutes", s.From, s.To)
	}
	return nil
}

// String is the text form of s.
func (s Span) String() string { return wallText(s.From) + "-" + wallText(s.To) }

func wallText(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d/time.Hour), int(d%time.Hour/time.Minute))
}

// MarshalText writes s in its text form; it fails for what is no span.
func (s Span) MarshalText() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Span) UnmarshalText(text []byte) error {
	parsed, err := ParseSpan(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
