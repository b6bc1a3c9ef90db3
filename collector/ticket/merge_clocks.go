package ticket

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// heir gives the ticket the clocks of one that was merged into it, as they stood before, wherever that holds it to more:
// what was running late there does not begin anew here. Where both are under the same terms the target is this ticket's and
// the start, the pauses and a breach are the other's; under different terms the clock that is due earlier is kept whole.
// A clock that only one of them has, or that this one ended already, stays as it is.
func (d *draft) heir(merged Ticket) {
	clocks, grounds := slices.Clone(d.t.Clocks), maps.Clone(d.t.Grounds)
	p, says := &plan{}, []string(nil)
	for i, own := range clocks {
		old, had := merged.Clock(own.Name)
		if !had || own.Ended() || old.Ended() {
			continue
		}
		taken, err := d.inherited(own, old, merged)
		switch {
		case err != nil:
			p.fault(own.Name, err)
		case d.stricter(taken, own):
			clocks[i] = taken
			if g, ok := merged.Grounds[own.Name]; ok && merged.Terms != d.t.Terms {
				grounds[own.Name] = g
			}
			says = append(says, own.Name+" goes on from "+merged.Number+": started "+d.when(taken.Start)+", due "+d.when(taken.Due))
			if !taken.BreachedAt.IsZero() {
				says[len(says)-1] += ", breached " + d.when(taken.BreachedAt)
			}
		}
	}
	if len(says) > 0 {
		d.add(Event{Kind: Noted, Actor: house, Text: strings.Join(says, "; "), Clocks: clocks, Grounds: grounds})
	}
	d.troubles(p)
	d.tick()
}

// inherited is the clock of a merged ticket as it would go on in this one: on this one's target where both are under the
// same terms, and standing still where this one does.
func (d *draft) inherited(own, old sla.Clock, merged Ticket) (sla.Clock, error) {
	var err error
	if merged.Terms == d.t.Terms && old.Target != own.Target {
		if old, _, err = old.Rebase(own.Target, d.terms.calendar, d.at()); err != nil {
			return old, err
		}
	}
	switch {
	case own.Paused() && !old.Paused():
		old, err = old.Pause(d.terms.calendar, d.at(), own.Pauses[len(own.Pauses)-1].Reason)
	case !own.Paused() && old.Paused():
		old, err = old.Resume(d.terms.calendar, d.at())
	}
	return old, err
}

// stricter tells whether a clock holds the ticket to more than its own: it was breached and that was not, or it is due
// earlier. One that only informs never is.
func (d *draft) stricter(old, own sla.Clock) bool {
	switch {
	case old.Target.Inform && !own.Target.Inform:
		return false
	case own.Target.Inform && !old.Target.Inform:
		return true
	case old.BreachedAt.IsZero() != own.BreachedAt.IsZero():
		return own.BreachedAt.IsZero()
	}
	return d.dueBy(old).Before(d.dueBy(own))
}

// dueBy is when a clock is due, and of one that stands still when it would be if it went on now.
func (d *draft) dueBy(c sla.Clock) time.Time {
	if !c.Due.IsZero() {
		return c.Due
	}
	at, err := c.Forecast(d.terms.calendar, d.at())
	if err != nil { // the start is what is left to compare by
		return c.Start
	}
	return at
}

// counted tells whether a breach of a merged ticket's clock stands on a ticket of the report that took it over; otherwise
// nobody would count it.
func counted(t Ticket, c sla.Clock, find func(id string) (Ticket, bool), span Span) bool {
	for range MaxEvents {
		if t.Merged == nil {
			return false
		}
		next, ok := find(t.Merged.Ticket)
		if !ok {
			return false
		}
		if own, has := next.Clock(c.Name); has && next.Merged == nil && span.Holds(next.Received()) && own.BreachedAt.Equal(c.BreachedAt) {
			return true
		}
		t = next
	}
	return false
}
