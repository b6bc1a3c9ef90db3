package sla

import (
	"fmt"
	"time"
)

// AddDays is the same wall time n working days after from: a working day is one on which the calendar
// opens. From outside the hours it starts at the next opening, with the wall time of that opening. Where
// the wall time lies outside the hours of the day it arrives on, it is the nearest instant inside, the
// closing instant included, the earlier of two equally near. With n = 0 it is where it starts. It fails
// for n < 0 or over 2600 (ErrRange), and where the calendar does not open that often (ErrNeverOpens,
// ErrRange).
func (c *Calendar) AddDays(from time.Time, n int) (time.Time, error) {
	fail := func(err error) (time.Time, error) {
		return time.Time{}, fmt.Errorf("add %d working days to %s in calendar %q: %w", n, from.Format(time.RFC3339), c.spec.Name, err)
	}
	if n < 0 || n > maxDays {
		return fail(ErrRange)
	}
	start, ok := c.NextOpening(from)
	if !ok {
		return fail(c.ended(from))
	}
	if n == 0 {
		return start, nil
	}
	d, ok := c.workingDay(DateOf(start, c.zone), n)
	if !ok {
		return fail(c.ended(start))
	}
	h, m, s := start.In(c.zone).Clock()
	tod := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(start.Nanosecond())
	return nearest(c.day(d, nil), wallTime(d, tod, c.zone)), nil
}

// NextBusinessDay is the close of the first working day after the local date of from, its last one where
// the day closes more than once. It fails where the calendar does not open (ErrNeverOpens, ErrRange).
func (c *Calendar) NextBusinessDay(from time.Time) (time.Time, error) {
	d, ok := c.workingDay(DateOf(from, c.zone), 1)
	if !ok {
		return time.Time{}, fmt.Errorf("next business day after %s in calendar %q: %w", from.Format(time.RFC3339), c.spec.Name, c.ended(from))
	}
	open := c.day(d, nil)
	return open[len(open)-1].to, nil
}

// workingDay is the n-th day after d on which the calendar opens.
func (c *Calendar) workingDay(d Date, n int) (Date, bool) {
	var buf [8]segment
	for idle := 0; idle <= maxClosedDays && d.Year <= lastYear && d.Year >= firstYear; idle++ {
		d = d.AddDays(1)
		if len(c.day(d, buf[:0])) == 0 {
			continue
		}
		idle = 0
		if n--; n == 0 {
			return d, true
		}
	}
	return Date{}, false
}

// nearest is t where it lies in one of the stretches, its end included, or else the nearest edge of one.
func nearest(open []segment, t time.Time) time.Time {
	best := open[0].from
	for _, s := range open {
		if !t.Before(s.from) && !t.After(s.to) {
			return t
		}
		for _, edge := range [...]time.Time{s.from, s.to} {
			if edge.Sub(t).Abs() < best.Sub(t).Abs() {
				best = edge
			}
		}
	}
	return best
}
