package ticket

import (
	"fmt"
	"time"
)

// StillFiring is how long after a person resolved a ticket its alerts may go on firing before it is reopened.
const StillFiring = 15 * time.Minute

// Deadline is when the ticket next wants looking at although nobody touches it, the next fact of its clocks included; zero
// for never. It may have passed.
func (t Ticket) Deadline() time.Time {
	at := t.rest()
	if next, _ := t.nextClock(); !next.IsZero() && (at.IsZero() || next.Before(at)) {
		return next
	}
	return at
}

// rest is the deadline of everything but clocks.
func (t Ticket) rest() time.Time {
	switch {
	case t.Flaps():
		at, _ := t.Flapping.Over(t.Flap.Last, t.Flap.Last)
		return at
	case t.State != Done || t.Held:
		return time.Time{}
	case t.Firing() > 0:
		return t.ResolvedAt.Add(StillFiring)
	}
	return t.ResolvedAt.Add(t.CloseAfter)
}

// Elapse does what the passing of time alone does, under the ticket's own terms, which are Ready: records clocks at risk
// and breached, closes what stayed resolved, reopens what was resolved and fires on, ends the flapping of what is stable.
// Where a gate stands before closing, the ticket is held open to people: the refusal is recorded once, and what a person
// does next lets it try again.
func (t Ticket) Elapse(terms Terms, now time.Time) (Change, error) {
	d := begin(t, now)
	d.terms = terms
	if at := t.Deadline(); at.IsZero() || now.Before(at) {
		return d.change()
	}
	d.tick()
	if at := d.t.rest(); at.IsZero() || now.Before(at) {
		return d.change()
	}
	if t.Flaps() {
		d.settle()
		return d.change()
	}
	if n := t.Firing(); n > 0 {
		text := fmt.Sprintf("%s resolved it %s ago, but %s", t.ResolvedBy.Name, gap(t.ResolvedAt, now), stillFires(t))
		d.reopen(house, text)
		d.tell(Reopened, text)
		return d.change()
	}
	d.stayed()
	return d.change()
}

// stayed closes what stayed resolved, if no gate stands before that.
func (d *draft) stayed() {
	d.by = By{Actor: house}
	var refusal *GateError
	if refusal = d.gates(Action{Verb: Close}); refusal != nil {
		d.add(Event{Kind: Refused, Actor: house, Text: "it does not close by itself: " + refusal.Error(),
			Detail: &Detail{What: string(Close), Refusal: refusal}})
		return
	}
	text := fmt.Sprintf("stayed resolved for %s", gap(d.t.ResolvedAt, d.now))
	d.close(house, text, text)
}

// held keeps whether a gate stood before closing by itself; whatever a person does may have changed what it asks for.
func (t *Ticket) held(e Event) {
	switch {
	case e.Kind == Refused:
		t.Held = t.Held || e.Actor.Kind == House && e.Detail != nil && e.Detail.What == string(Close)
	case e.Actor.Kind == Person, e.Kind == Resolved, e.Kind == Reopened, e.Kind == Closed, e.Kind == ChildChanged:
		t.Held = false
	}
}
