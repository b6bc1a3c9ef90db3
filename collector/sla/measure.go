package sla

import "time"

// until is the instant up to which the clock has run at now.
func (c Clock) until(now time.Time) time.Time {
	if c.Ended() && c.EndedAt.Before(now) {
		return c.EndedAt
	}
	return now
}

// Elapsed is the clock's own time (business time where its mode has a calendar) that has passed at now,
// without pauses; it stands still while the clock is paused and after its end. It needs the calendar that
// the clock began with and is zero without one.
func (c Clock) Elapsed(cal *Calendar, now time.Time) time.Duration {
	end := c.until(now)
	sum := c.own(cal, c.Start, end)
	for _, p := range c.Pauses {
		to := p.To
		if to.IsZero() || to.After(end) {
			to = end
		}
		sum -= c.own(cal, p.From, to)
	}
	return sum
}

// Total is the whole of the target in the clock's own time: what was agreed, or for the two modes of
// working days the business time from the start to the due instant without pauses. It is zero where the
// calendar cannot tell.
func (c Clock) Total(cal *Calendar) time.Duration {
	if c.Target.Mode == Business || c.Target.Mode == Elapsed {
		return c.Target.Within
	}
	plain, err := c.Target.due(cal, c.Start)
	if err != nil {
		return 0
	}
	return c.own(cal, c.Start, plain)
}

// Remaining is what is left of the target at now in the clock's own time; it is negative by as much as
// the target is overdue.
func (c Clock) Remaining(cal *Calendar, now time.Time) time.Duration {
	return c.Total(cal) - c.Elapsed(cal, now)
}

// Forecast is when the clock would be due if nothing happened but, where it is paused, a resumption at
// now. It fails where the calendar does not open often enough.
func (c Clock) Forecast(cal *Calendar, now time.Time) (time.Time, error) {
	if !c.Due.IsZero() {
		return c.Due, nil
	}
	c, err := c.closed(c.until(now)).scheduled(cal)
	return c.Due, err
}
