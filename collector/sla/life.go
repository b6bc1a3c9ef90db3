package sla

import (
	"fmt"
	"slices"
	"time"
)

// last is the earliest instant at which something may still happen to c. The clock of the machine may be
// put back between two events; what comes with an earlier time counts from here on.
func (c Clock) last() time.Time {
	at := c.Start
	if n := len(c.Pauses); n > 0 {
		at = c.Pauses[n-1].From
		if !c.Pauses[n-1].To.IsZero() {
			at = c.Pauses[n-1].To
		}
	}
	return later(at, c.ReopenedAt)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Pause stops the clock at an instant: what is left then, in its own time, is left when it is resumed. A
// pause that begins at the due instant or after it moves nothing. It fails with ErrEnded and ErrPaused.
func (c Clock) Pause(cal *Calendar, at time.Time, reason string) (Clock, error) {
	if c.Ended() {
		return Clock{}, fmt.Errorf("pause clock %q: %w", c.Name, ErrEnded)
	}
	if c.Paused() {
		return Clock{}, fmt.Errorf("pause clock %q: %w", c.Name, ErrPaused)
	}
	c.Pauses = append(slices.Clone(c.Pauses), Pause{From: later(utc(at), c.last()), Reason: reason})
	return c.scheduled(cal)
}

// Resume ends the open pause at an instant. It fails with ErrEnded and ErrNotPaused, and where the
// calendar no longer opens often enough.
func (c Clock) Resume(cal *Calendar, at time.Time) (Clock, error) {
	if c.Ended() {
		return Clock{}, fmt.Errorf("resume clock %q: %w", c.Name, ErrEnded)
	}
	if !c.Paused() {
		return Clock{}, fmt.Errorf("resume clock %q: %w", c.Name, ErrNotPaused)
	}
	return c.closed(at).scheduled(cal)
}

// closed ends the open pause, if there is one.
func (c Clock) closed(at time.Time) Clock {
	if c.Paused() {
		c.Pauses = slices.Clone(c.Pauses)
		c.Pauses[len(c.Pauses)-1].To = later(utc(at), c.last())
	}
	return c
}

// Meet ends the clock because what was promised happened at an instant: in time up to the due instant
// itself, late after it. A clock that has ended stays as it is.
func (c Clock) Meet(at time.Time) Clock { return c.end(at, Met, "") }

// Drop ends the clock because what was promised is no longer needed, with the reason. A clock that was
// breached before stays as it is, and so does one that has ended.
func (c Clock) Drop(at time.Time, reason string) Clock {
	breach, ok := c.breach()
	if !c.BreachedAt.IsZero() || (ok && breach.Before(at)) {
		return c
	}
	return c.end(at, NotNeeded, reason)
}

// Cancel ends the clock whatever its state, with the reason: its ticket was merged, or a mistake. A clock
// that has ended stays as it is.
func (c Clock) Cancel(at time.Time, reason string) Clock { return c.end(at, Cancelled, reason) }

func (c Clock) end(at time.Time, how End, reason string) Clock {
	if c.Ended() {
		return c
	}
	at = later(utc(at), c.last())
	c = c.closed(at)
	c.EndedAt, c.End, c.EndReason = at, how, reason
	return c
}

// Reopen lets an ended clock run on against its original due instant, as if it had not ended. Where that
// instant passed meanwhile, the target is breached from the reopening on. The facts are those of before
// the end that no Tick found yet. A clock that has not ended stays as it is.
func (c Clock) Reopen(cal *Calendar, at time.Time) (Clock, []Fact, error) {
	if !c.Ended() {
		return c, nil, nil
	}
	c, facts := c.Tick(c.EndedAt)
	c.ReopenedAt = later(utc(at), c.EndedAt)
	c.EndedAt, c.End, c.EndReason = time.Time{}, "", ""
	c, err := c.scheduled(cal) // a pause that was open at the end has one now
	return c, facts, err
}

// Rebase puts the clock on another target, another calendar, or both, from its start on: the start and
// every pause are kept and count in the new target's own time. A breach that happened stays; one that the
// new target had before now is found by the next Tick, at its due instant. The facts are those of the old
// target that no Tick found yet by now. It fails with ErrEnded: what ended was judged by the target it
// ended under.
func (c Clock) Rebase(target Target, cal *Calendar, now time.Time) (Clock, []Fact, error) {
	if c.Ended() {
		return Clock{}, nil, fmt.Errorf("re-base clock %q: %w", c.Name, ErrEnded)
	}
	if target.Clock != c.Name {
		return Clock{}, nil, fmt.Errorf("re-base clock %q: the target is for clock %q: end this clock and begin that one", c.Name, target.Clock)
	}
	c, facts := c.Tick(now)
	c.Target = target
	c, err := c.scheduled(cal)
	if err != nil {
		return Clock{}, nil, fmt.Errorf("re-base: %w", err)
	}
	if c.RiskAt.IsZero() || c.RiskAt.After(now) {
		c.AtRisk = false
	}
	return c, facts, nil
}

// Waive records consent, given at an instant, to miss the target until another one, or for ever where
// until is zero. While it stands the target is not breached; where it expires after the due instant, an
// unmet target is breached from the expiry on. A later waiver replaces an earlier one. It fails with
// ErrBreached where the breach came first, with ErrEnded, and for an expiry that is not after at.
func (c Clock) Waive(at, until time.Time) (Clock, error) {
	fail := func(err error) (Clock, error) { return Clock{}, fmt.Errorf("waive clock %q: %w", c.Name, err) }
	if c.Ended() {
		return fail(ErrEnded)
	}
	breach, ok := c.breach()
	if !c.BreachedAt.IsZero() || (ok && !at.Before(breach)) {
		return fail(ErrBreached)
	}
	if !until.IsZero() && !until.After(at) {
		return fail(fmt.Errorf("the consent of %s expires at %s: expected a later instant, or none", at.Format(time.RFC3339), until.Format(time.RFC3339)))
	}
	c.Waived, c.WaivedUntil = true, time.Time{}
	if !until.IsZero() {
		c.WaivedUntil = utc(until)
	}
	return c, nil
}
