package sla

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"
)

// What callers tell apart.
var (
	// ErrNeverOpens: the calendar has no hours within five years of where they were looked for.
	ErrNeverOpens = errors.New("the calendar does not open within five years: check its hours, holidays and the dates of its overlays")
	// ErrRange: an instant or a sum lies outside what calendars cover.
	ErrRange = errors.New("outside the years 1900 to 2199 that calendars cover")
)

// maxClosedDays is how long a calendar may stay closed before it counts as never opening.
const maxClosedDays = 5*365 + 2

// hours is a span of a day with the reason that an explanation gives for it.
type hours struct {
	Span
	reason string
}

// segment is a stretch of open time.
type segment struct {
	from, to time.Time
	reason   string
}

// Calendar knows which instants count. It never changes and is safe for concurrent use; the holidays of a
// year are worked out when that year is first asked for.
type Calendar struct {
	spec     Spec
	zone     *time.Location
	base     [7][]hours
	overlays []overlayHours
	years    [lastYear - firstYear + 1]atomic.Pointer[map[Date]string]
}

type overlayHours struct {
	Overlay
	reason string
}

// NewCalendar makes the calendar that s describes. It fails with every fault of s at once.
func NewCalendar(s Spec) (*Calendar, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("calendar %q: %w", s.Name, err)
	}
	loc, err := zone(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("calendar %q: zone: %w", s.Name, err)
	}
	c := &Calendar{spec: s.clone(), zone: loc, base: openHours(s.Hours)}
	if s.Always {
		for d := range c.base {
			c.base[d] = []hours{{Span{0, fullDay}, "always open (24x7)"}}
		}
	}
	for _, o := range c.spec.Overlays {
		c.overlays = append(c.overlays, overlayHours{o, "overlay: " + o.Name})
	}
	return c, nil
}

// clone copies s so that nobody who holds the original can change the copy.
func (s Spec) clone() Spec {
	s.Hours = s.Hours.clone()
	s.Add, s.Remove = slices.Clone(s.Add), slices.Clone(s.Remove)
	s.Overlays = slices.Clone(s.Overlays)
	for i := range s.Overlays {
		s.Overlays[i].Hours = s.Overlays[i].Hours.clone()
	}
	return s
}

func (w Week) clone() Week {
	for d := range w {
		w[d] = slices.Clone(w[d])
	}
	return w
}

// Spec gives back what the calendar was made from; changing it changes no calendar.
func (c *Calendar) Spec() Spec { return c.spec.clone() }

// Zone is the location whose wall clock the hours are read from.
func (c *Calendar) Zone() *time.Location { return c.zone }

// Holiday gives the name of the holiday that d is, and whether it is one, also where the calendar is open
// on holidays.
func (c *Calendar) Holiday(d Date) (string, bool) {
	if d.Year < firstYear || d.Year > lastYear {
		return "", false
	}
	at := &c.years[d.Year-firstYear]
	days := at.Load()
	if days == nil {
		made := c.holidaysOf(d.Year)
		days = &made
		at.Store(days) // whoever stores last stores the same
	}
	name, is := (*days)[d]
	return name, is
}

func (c *Calendar) holidaysOf(year int) map[Date]string {
	days := map[Date]string{}
	for _, d := range table(c.spec.Region, year) {
		days[d.Date] = d.Name
	}
	for _, d := range c.spec.Add {
		if d.Date.Year == year {
			days[d.Date] = d.Name
		}
	}
	for _, d := range c.spec.Remove {
		delete(days, d.Date)
	}
	return days
}

// Open says that t counts. The instant of an opening does, the instant of a close does not.
func (c *Calendar) Open(t time.Time) bool {
	for s := range c.from(t, 1) {
		return !s.from.After(t)
	}
	return false
}

// NextOpening is the first instant not before t that counts: t itself while open. It is false where the
// calendar does not open within five years.
func (c *Calendar) NextOpening(t time.Time) (time.Time, bool) {
	for s := range c.from(t, maxClosedDays) {
		return s.from, true
	}
	return time.Time{}, false
}

// Add is the instant at which d of business time has passed since from: with d > 0 it may equal a close
// and never equals an opening; with d = 0 it is from. It fails for a negative d or one over ten years
// (ErrRange), where the hours do not suffice within the years covered (ErrRange), and where the calendar
// stops opening (ErrNeverOpens).
func (c *Calendar) Add(from time.Time, d time.Duration) (time.Time, error) {
	if d < 0 || d > maxWithin {
		return time.Time{}, fmt.Errorf("add %v of business time in calendar %q: expected 0 to ten years: %w", d, c.spec.Name, ErrRange)
	}
	if d == 0 {
		return from, nil
	}
	left := d
	for s := range c.from(from, maxClosedDays) {
		open := s.to.Sub(s.from)
		if open >= left {
			return s.from.Add(left), nil
		}
		left -= open
	}
	return time.Time{}, fmt.Errorf("add %v of business time to %s in calendar %q: %w", d, from.Format(time.RFC3339), c.spec.Name, c.ended(from))
}

// ended says why there was no hour left to count after from.
func (c *Calendar) ended(from time.Time) error {
	y := DateOf(from, c.zone).Year
	if y < firstYear || y > lastYear {
		return ErrRange
	}
	if last, ok := c.lastOpening(from); ok && last.Year > lastYear-5 {
		return ErrRange
	}
	return ErrNeverOpens
}

// lastOpening is the last day that opens after from, before five closed years or the end of all years.
func (c *Calendar) lastOpening(from time.Time) (Date, bool) {
	var last time.Time
	for s := range c.from(from, maxClosedDays) {
		last = s.from
	}
	return DateOf(last, c.zone), !last.IsZero()
}

// Count is the business time between from and to; it is zero where to is not after from. Hours outside the
// years 1900 to 2199 do not count, nor do any that follow on five closed years.
func (c *Calendar) Count(from, to time.Time) time.Duration {
	var sum time.Duration
	if !to.After(from) {
		return 0
	}
	for s := range c.from(from, maxClosedDays) {
		if !s.from.Before(to) {
			break
		}
		if s.to.After(to) {
			s.to = to
		}
		sum += s.to.Sub(s.from)
	}
	return sum
}

// from yields the open stretches from t on, in order and apart from each other, the first one cut at t. It
// ends when no day opened for more than closed days, or with the years covered.
func (c *Calendar) from(t time.Time, closed int) iter.Seq[segment] {
	return func(yield func(segment) bool) {
		var buf [8]segment
		cursor := t
		d := DateOf(t, c.zone)
		if d.Year < firstYear {
			d = Date{firstYear, time.January, 1}
		}
		d = d.AddDays(-1) // its last hours can reach past midnight, where midnight does not exist
		for idle := 0; d.Year <= lastYear && idle <= closed+1; idle++ {
			for _, s := range c.day(d, buf[:0]) {
				if s.from.Before(cursor) {
					s.from = cursor
				}
				if !s.from.Before(s.to) {
					continue
				}
				cursor, idle = s.to, 0
				if !yield(s) {
					return
				}
			}
			d = d.AddDays(1)
		}
	}
}

// day appends the open stretches of one local day to out, in order and apart from each other.
func (c *Calendar) day(d Date, out []segment) []segment {
	if d.Year < firstYear || d.Year > lastYear {
		return out
	}
	var buf [8]hours
	for _, h := range c.wallHours(d, buf[:0]) {
		s := segment{wallTime(d, h.From, c.zone), wallTime(d, h.To, c.zone), h.reason}
		if s.from.Before(s.to) { // it can be none where the clocks are put forward over it
			out = append(out, s)
		}
	}
	// A stretch whose wall time was moved forward can come after the next one, or into it.
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j].from.Before(out[j-1].from); j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return apart(out)
}

// apart cuts sorted stretches so that none overlaps the one before it.
func apart(sorted []segment) []segment {
	kept := sorted[:0]
	for _, s := range sorted {
		if n := len(kept); n > 0 && s.from.Before(kept[n-1].to) {
			s.from = kept[n-1].to
		}
		if s.from.Before(s.to) {
			kept = append(kept, s)
		}
	}
	return kept
}

// wallHours appends the hours of day d, by the wall clock, sorted: the weekly ones unless d is a holiday,
// and what the overlays that hold on d add to them.
func (c *Calendar) wallHours(d Date, out []hours) []hours {
	weekday := d.Weekday()
	if c.spec.Always {
		return append(out, c.base[weekday]...)
	}
	_, holiday := c.Holiday(d)
	if !holiday {
		out = append(out, c.base[weekday]...)
	}
	for i := range c.overlays {
		o := &c.overlays[i]
		if (holiday && !o.Holidays) || !o.stands(d) {
			continue
		}
		for _, s := range o.Hours[weekday] {
			out = addSpan(out, hours{s, o.reason})
		}
	}
	return out
}

// addSpan adds the parts of h that sorted does not have yet, and keeps it sorted.
func addSpan(sorted []hours, h hours) []hours {
	for i := 0; i < len(sorted) && h.From < h.To; i++ {
		have := sorted[i]
		if h.From >= have.To {
			continue
		}
		if h.From < have.From {
			part := h
			part.To = min(h.To, have.From)
			sorted = slices.Insert(sorted, i, part)
			i++
		}
		h.From = max(h.From, have.To)
	}
	if h.From < h.To {
		sorted = append(sorted, h)
	}
	return sorted
}
