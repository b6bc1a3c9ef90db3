package sla

import (
	"strings"
	"time"
)

// Interval is a stretch of a clock's run: the time from From up to To, whether it counted, and why.
type Interval struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Counted bool      `json:"counted"`
	Reason  string    `json:"reason"`
}

// Reasons that stand in the code more than once.
const (
	reasonElapsed = "every hour counts (elapsed)"
	reasonAfter   = "closed: after hours"
	reasonBefore  = "closed: before hours"
)

// maxExplained bounds an explanation: the longest target with every pause a ticket can have.
const maxExplained = 20 * 366 * 24 * time.Hour

// explanation collects intervals one after the other.
type explanation struct {
	from, to time.Time // what to explain
	list     []Interval
}

// add appends what lies ahead up to an instant, joined to the last interval where both are of one kind. A
// night is one interval: the morning before the opening goes with the evening after the close.
func (e *explanation) add(to time.Time, counted bool, reason string) {
	if to.After(e.to) {
		to = e.to
	}
	if !e.from.Before(to) {
		return
	}
	from := e.from
	e.from = to
	if n := len(e.list); n > 0 {
		last := &e.list[n-1]
		night := last.Reason == reasonAfter && reason == reasonBefore
		if last.Counted == counted && (last.Reason == reason || night) {
			last.To = to
			return
		}
	}
	e.list = append(e.list, Interval{from, to, counted, reason})
}

// Explain tells interval by interval why the clock is due when it is: from its start up to until, or to
// the due instant where until is zero (a paused clock without one: to the beginning of the pause). The
// intervals touch each other without gaps, and those that counted add up to the target. Instants are in
// the calendar's zone. At most twenty years are explained; a mode that needs a calendar gives nothing
// without one.
func (c Clock) Explain(cal *Calendar, until time.Time) []Interval {
	if c.Target.NeedsCalendar() && cal == nil {
		return nil
	}
	if until.IsZero() {
		until = c.Due
		if until.IsZero() {
			until = c.last()
		}
	}
	loc := time.UTC
	if cal != nil {
		loc = cal.zone
	}
	end := until
	if limit := c.Start.Add(maxExplained); end.After(limit) {
		end = limit
	}
	e := explanation{from: c.Start.In(loc), to: end.In(loc)}
	for _, p := range c.Pauses {
		c.running(cal, &e, p.From.In(loc))
		to := p.To
		if to.IsZero() {
			to = e.to
		}
		e.add(to.In(loc), false, "waiting: "+p.Reason)
	}
	c.running(cal, &e, e.to)
	return e.list
}

// running explains the time up to an instant in which no pause stood.
func (c Clock) running(cal *Calendar, e *explanation, to time.Time) {
	if to.After(e.to) {
		to = e.to
	}
	if !c.Target.NeedsCalendar() {
		e.add(to, true, reasonElapsed)
		return
	}
	for d := DateOf(e.from, cal.zone).AddDays(-1); e.from.Before(to); d = d.AddDays(1) {
		cal.explainDay(d, e, to)
	}
}

// explainDay explains what of local day d lies ahead of e and before to.
func (c *Calendar) explainDay(d Date, e *explanation, to time.Time) {
	open := c.day(d, nil)
	upTo := func(t time.Time, counted bool, reason string) {
		if t.After(to) {
			t = to
		}
		e.add(t, counted, reason)
	}
	for i, s := range open {
		reason := "closed: between hours"
		if i == 0 {
			reason = reasonBefore
		}
		upTo(s.from, false, c.closedReason(d, reason))
		upTo(s.to, true, s.reason)
	}
	reason := reasonAfter
	if len(open) == 0 {
		reason = "closed: no hours on " + d.Weekday().String()
		if weekend(d.Weekday()) {
			reason = "weekend"
		}
	}
	upTo(wallTime(d.AddDays(1), 0, c.zone), false, c.closedReason(d, reason))
}

// closedReason is why time of day d does not count: the holiday it is, or else reason.
func (c *Calendar) closedReason(d Date, reason string) string {
	if name, ok := c.Holiday(d); ok {
		return "holiday: " + name
	}
	return reason
}

// openHours gives each span of a week the reason that explanations give for it: the span, and the days
// that have it.
func openHours(w Week) [7][]hours {
	var out [7][]hours
	for d, spans := range w.clone() {
		sortSpans(spans)
		for _, s := range spans {
			out[d] = append(out[d], hours{s, "open " + s.String() + " " + daysWith(w, s)})
		}
	}
	return out
}

// daysWith names the days that have the span s, runs of them as Mon–Fri.
func daysWith(w Week, s Span) string {
	var parts []string
	first, length := 0, 0
	flush := func(end int) {
		name := func(i int) string { return mondayFirst[i].String()[:3] }
		switch {
		case length == 1:
			parts = append(parts, name(first))
		case length > 1:
			parts = append(parts, name(first)+"–"+name(end))
		}
		length = 0
	}
	for i, d := range mondayFirst {
		has := false
		for _, other := range w[d] {
			has = has || other == s
		}
		switch {
		case has && length == 0:
			first, length = i, 1
		case has:
			length++
		default:
			flush(i - 1)
		}
	}
	flush(6)
	return strings.Join(parts, ", ")
}
