package ticket

import (
	"errors"
	"fmt"
	"time"
)

// Refile completes a change of t that files it under another system (Change.Refiled) by what follows for its owner. over is
// the handoff to the party that owns it by the ownership map now: To, Relation where both are one, BreakGlass. Where that is
// another than the owner, the ticket is offered to it as by HandOver, and an offer that stands to a third is withdrawn. Until
// it is accepted the owner stays and answers for every clock. The gates of a handoff hold: what they refuse files nothing,
// and is kept as an attempt of t, with *GateError.
func (t Ticket) Refile(set Change, over Action, by By, terms Terms, now time.Time) (Change, error) {
	after := set.Ticket
	offer := after.Handoff
	if over.To == "" || over.To == after.Owner || offer != nil && offer.To == over.To || !after.State.Open() {
		return set, nil
	}
	filed := "filed under " + after.System
	d := begin(after, now)
	d.by, d.terms = by.whole(), terms
	if offer != nil {
		text := fmt.Sprintf("the offer to %s is withdrawn: %s", offer.To, filed)
		d.add(Event{Kind: HandoffWithdrawn, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: offer}})
		d.tell(HandoffWithdrawn, text)
	}
	withdrawn, err := d.change()
	if err != nil {
		return Change{}, err
	}
	if !withdrawn.Empty() {
		after = withdrawn.Ticket
	}
	over.Verb, over.Text = HandOver, filed+", which is "+over.To+"'s"
	offered, err := after.Act(over, by, terms, now)
	var gate *GateError
	if errors.As(err, &gate) {
		return t.refused(Set, gate, by, terms, now)
	}
	return set.Then(withdrawn).Then(offered), err
}

// refused keeps an attempt that a gate refused, and nothing else.
func (t Ticket) refused(v Verb, gate *GateError, by By, terms Terms, now time.Time) (Change, error) {
	d := begin(t, now)
	d.by, d.terms = by.whole(), terms
	d.add(Event{Kind: Refused, Actor: d.by.Actor, Text: gate.Error(), Detail: &Detail{What: string(v), Refusal: gate}})
	c, err := d.change()
	return c, errors.Join(gate, err)
}
