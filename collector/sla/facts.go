package sla

import "time"

// FactKind is what became true of a clock.
type FactKind string

// The facts that a Tick finds.
const (
	FactAtRisk   FactKind = "at risk"
	FactBreached FactKind = "breached"
)

// Fact is something that became true of a clock at an instant, however much later it was looked at.
type Fact struct {
	Clock string    `json:"clock"`
	Kind  FactKind  `json:"kind"`
	At    time.Time `json:"at"`
}

// breach is the instant from which the target counts as breached if it is still unmet then: the due
// instant, the expiry of a waiver that covers it, or the reopening of a clock whose due instant passed
// while it was ended. It is false where there is none: paused before it, waived for ever, only informing.
func (c Clock) breach() (time.Time, bool) {
	if c.Due.IsZero() || c.Target.Inform || (c.Waived && c.WaivedUntil.IsZero()) {
		return time.Time{}, false
	}
	return later(later(c.Due, c.WaivedUntil), c.ReopenedAt), true
}

// pending lists the facts that no Tick found yet, in order, whether their instant has come or not.
func (c Clock) pending() (facts [2]Fact, n int) {
	add := func(kind FactKind, at time.Time) {
		if !c.Ended() || at.Before(c.EndedAt) {
			facts[n] = Fact{c.Name, kind, at}
			n++
		}
	}
	if !c.AtRisk && !c.RiskAt.IsZero() && c.BreachedAt.IsZero() {
		add(FactAtRisk, later(c.RiskAt, c.ReopenedAt))
	}
	if at, ok := c.breach(); ok && c.BreachedAt.IsZero() {
		add(FactBreached, at)
	}
	return facts, n
}

// Tick finds what became true of the clock by now and was not found before, in order, and gives the clock
// that has it recorded. Each fact is found once, with the instant it was due, however often and in
// whatever steps Tick is called; a clock that has ended still gives what was true before its end. The
// clock is unchanged when nothing was found.
func (c Clock) Tick(now time.Time) (Clock, []Fact) {
	var found []Fact
	all, n := c.pending()
	for _, f := range all[:n] {
		if f.At.After(now) {
			continue
		}
		found = append(found, f)
		if f.Kind == FactAtRisk {
			c.AtRisk = true
		} else {
			c.BreachedAt = f.At
		}
	}
	return c, found
}

// Next is the next instant at which a Tick would find something, which may have passed; zero: never, as
// things stand.
func (c Clock) Next() time.Time {
	all, n := c.pending()
	if n == 0 {
		return time.Time{}
	}
	if n == 2 && all[1].At.Before(all[0].At) {
		return all[1].At
	}
	return all[0].At
}

// State is how a clock stands.
type State string

// The states of a clock.
const (
	StateRunning   State = "running"
	StatePaused    State = "paused"
	StateAtRisk    State = "at risk"
	StateBreached  State = "breached" // and still unmet
	StateWaived    State = "waived"   // past due, and a waiver stands
	StateInforming State = "informing"
	StateMet       State = "met"
	StateMetLate   State = "met late"
	StateNotNeeded State = "not needed"
	StateCancelled State = "cancelled"
)

// State is how the clock stands at now. Of what is true at once it tells the worst: a breached clock that
// is paused is breached, a paused one that is at risk is paused.
func (c Clock) State(now time.Time) State {
	breach, may := c.breach()
	if c.Ended() {
		late := !c.BreachedAt.IsZero() || (may && breach.Before(c.EndedAt))
		switch {
		case c.End == NotNeeded:
			return StateNotNeeded
		case c.End == Cancelled && late: // what was missed stays missed
			return StateBreached
		case c.End == Cancelled:
			return StateCancelled
		case late:
			return StateMetLate
		}
		return StateMet
	}
	switch {
	case !c.BreachedAt.IsZero() || (may && !breach.After(now)):
		return StateBreached
	case c.Paused():
		return StatePaused
	case c.Target.Inform:
		return StateInforming
	case c.Waived && !c.Due.IsZero() && !c.Due.After(now):
		return StateWaived
	case c.AtRisk || (!c.RiskAt.IsZero() && !c.RiskAt.After(now)):
		return StateAtRisk
	}
	return StateRunning
}

// Breached says that the target was or is missed at now, whether it was met later or not.
func (c Clock) Breached(now time.Time) bool {
	s := c.State(now)
	return s == StateBreached || s == StateMetLate || !c.BreachedAt.IsZero()
}
