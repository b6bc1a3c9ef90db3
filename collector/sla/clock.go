package sla

import (
	"errors"
	"fmt"
	"time"
)

// What callers of a clock tell apart.
var (
	ErrEnded     = errors.New("the clock has ended: reopen it first")
	ErrPaused    = errors.New("the clock is paused already: resume it first")
	ErrNotPaused = errors.New("the clock is not paused")
	ErrBreached  = errors.New("the target is breached already: consent comes before the breach, later it is retrospective and changes nothing")
)

// maxAge bounds how far a clock's start may lie from now.
const maxAge = 50 * 366 * 24 * time.Hour

// Pause is a stretch in which a clock stands still.
type Pause struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to,omitzero"` // zero: still
	Reason string    `json:"reason"`
}

// End is how a clock ended.
type End string

// The ways a clock ends.
const (
	Met       End = "met"
	NotNeeded End = "not needed" // what it waited for became pointless, an alert's end before the response
	Cancelled End = "cancelled"  // the ticket was opened by mistake, or merged
)

// Clock is one target running on one ticket. It is plain data that a ticket's timeline stores: its methods
// return a changed copy and share nothing with the original. All instants are UTC.
type Clock struct {
	Name   string    `json:"name"`
	Target Target    `json:"target"`
	Start  time.Time `json:"start"`
	Pauses []Pause   `json:"pauses,omitempty"` // in order, apart from each other
	Risk   float64   `json:"risk,omitempty"`   // the share of the target at which the clock is at risk; 0: never

	// RiskAt and Due are absolute. While the clock is paused those that the pause came before are zero.
	RiskAt time.Time `json:"risk_at,omitzero"`
	Due    time.Time `json:"due,omitzero"`

	// What a Tick found. Neither is ever taken back.
	AtRisk     bool      `json:"at_risk,omitempty"`    // reset only by a new target whose threshold lies ahead
	BreachedAt time.Time `json:"breached_at,omitzero"` // the instant it was breached at, not the one it was seen at

	EndedAt   time.Time `json:"ended_at,omitzero"`
	End       End       `json:"end,omitempty"`
	EndReason string    `json:"end_reason,omitempty"`
	// ReopenedAt is the last reopening: nothing that fell due while the clock was ended is dated before it.
	ReopenedAt time.Time `json:"reopened_at,omitzero"`

	Waived      bool      `json:"waived,omitempty"`
	WaivedUntil time.Time `json:"waived_until,omitzero"` // zero on a waived clock: for ever
}

// Begin starts a clock on target at start, which may lie before now (receipt, detection). risk is the
// share of the target at which it is at risk, from 0 (never) to below 1. cal may be nil for an elapsed
// target. It fails for a bad target or risk, a start over 50 years from now, and a calendar that does not
// open often enough.
func Begin(target Target, cal *Calendar, start time.Time, risk float64, now time.Time) (Clock, error) {
	if !(risk >= 0 && risk < 1) { // NaN too
		return Clock{}, fmt.Errorf("clock %q: at risk from a share of %v: expected 0 (never) or more, and less than 1", target.Clock, risk)
	}
	if start.Sub(now).Abs() > maxAge {
		return Clock{}, fmt.Errorf("clock %q: starts at %s, which is over 50 years from now, %s: check the time of receipt", target.Clock, start.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	c := Clock{Name: target.Clock, Target: target, Start: utc(start), Risk: risk}
	return c.scheduled(cal)
}

// utc is t as clocks keep it: without monotonic reading and location.
func utc(t time.Time) time.Time { return t.Round(0).UTC() }

// Ended says that the clock ran to some end and was not reopened.
func (c Clock) Ended() bool { return !c.EndedAt.IsZero() }

// Paused says that a pause is open.
func (c Clock) Paused() bool {
	n := len(c.Pauses)
	return n > 0 && c.Pauses[n-1].To.IsZero()
}

// scheduled works out RiskAt and Due from the start, the target and the pauses.
func (c Clock) scheduled(cal *Calendar) (Clock, error) {
	plain, err := c.Target.due(cal, c.Start)
	if err != nil {
		return Clock{}, err
	}
	due, err := c.shifted(cal, plain)
	if err != nil {
		return Clock{}, fmt.Errorf("clock %q: %w", c.Name, err)
	}
	c.Due, c.RiskAt = due, time.Time{}
	if c.Risk > 0 && !c.Target.Inform {
		if c.RiskAt, err = c.AtShare(cal, c.Risk); err != nil {
			return Clock{}, err
		}
	}
	return c, nil
}

// due is when t is due that starts at start and never pauses.
func (t Target) due(cal *Calendar, start time.Time) (time.Time, error) {
	if err := t.Validate(); err != nil {
		return time.Time{}, err
	}
	if t.NeedsCalendar() && cal == nil {
		return time.Time{}, fmt.Errorf("target %q: %s without a calendar: name one, or use the mode elapsed", t.Clock, t.Text())
	}
	var at time.Time
	var err error
	switch t.Mode {
	case Business:
		at, err = cal.Add(start, t.Within)
	case BusinessDays:
		at, err = cal.AddDays(start, t.Days)
	case NextBusinessDay:
		at, err = cal.NextBusinessDay(start)
	default:
		at = start.Add(t.Within)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("target %q: %s: %w", t.Clock, t.Text(), err)
	}
	return utc(at), nil
}

// AtShare is the instant at which share of the target, to the nearest second of the clock's own time, is
// used up, the due instant at most; zero while a pause stands before it. Steps of a ladder are placed with
// it. It fails for a share outside 0 to 1, and as Begin does.
func (c Clock) AtShare(cal *Calendar, share float64) (time.Time, error) {
	plain, err := c.Target.due(cal, c.Start)
	if err != nil {
		return time.Time{}, err
	}
	if !(share >= 0 && share <= 1) {
		return time.Time{}, fmt.Errorf("clock %q: a share of %v of its target: expected 0 to 1", c.Name, share)
	}
	at := plain
	if share < 1 {
		used := time.Duration(float64(c.own(cal, c.Start, plain))*share + 0.5).Round(time.Second)
		if at, err = c.advanced(cal, c.Start, used); err != nil {
			return time.Time{}, fmt.Errorf("clock %q: %w", c.Name, err)
		}
	}
	if at.After(plain) {
		at = plain
	}
	if at, err = c.shifted(cal, at); err != nil {
		return time.Time{}, fmt.Errorf("clock %q: %w", c.Name, err)
	}
	return at, nil
}

// own is the time between two instants as the clock's mode counts it: business time for the three modes
// that have a calendar, none without it.
func (c Clock) own(cal *Calendar, from, to time.Time) time.Duration {
	switch {
	case !c.Target.NeedsCalendar():
		return max(to.Sub(from), 0)
	case cal == nil:
		return 0
	}
	return cal.Count(from, to)
}

// advanced is the instant at which d of the clock's own time has passed since from.
func (c Clock) advanced(cal *Calendar, from time.Time, d time.Duration) (time.Time, error) {
	if !c.Target.NeedsCalendar() {
		return from.Add(d), nil
	}
	at, err := cal.Add(from, d)
	return utc(at), err
}

// shifted moves an instant of the clock by the pauses that came before it: what was left when a pause
// began is left when it ends. It is zero where a pause before it still stands.
func (c Clock) shifted(cal *Calendar, at time.Time) (time.Time, error) {
	for _, p := range c.Pauses {
		if !p.From.Before(at) {
			break
		}
		if p.To.IsZero() {
			return time.Time{}, nil
		}
		opening := c.Target.NeedsCalendar() && cal.opensAt(at)
		moved, err := c.advanced(cal, p.To, c.own(cal, p.From, at))
		if err != nil {
			return time.Time{}, err
		}
		if opening { // working days can be due at an opening; the close before it is not the same
			next, ok := cal.NextOpening(moved)
			if !ok {
				return time.Time{}, cal.ended(moved)
			}
			moved = utc(next)
		}
		at = moved
	}
	return at, nil
}

// opensAt says that t counts and the time just before it does not.
func (c *Calendar) opensAt(t time.Time) bool {
	return c.Open(t) && !c.Open(t.Add(-1))
}
