package ticket

import (
	"fmt"
	"slices"
)

// The verbs about whose ticket it is.
const (
	// Assign gives the ticket to a person: To, or who acts when that is empty or "me".
	Assign Verb = "assign"
	// HandOver offers the ticket to another party: To which, Text why. Until it is accepted the owner stays, and answers for
	// every clock. Relation Internal says that both parties are one by the operating model.
	HandOver Verb = "handoff"
	// Accept takes an offered ticket over, by somebody who stands for the party that it was offered to: that owns it, and the
	// person To, or who acts, is assigned.
	Accept Verb = "accept"
	// Return gives an offered ticket back, by somebody who stands for the party that it was offered to, which is counted; who
	// offered it takes the offer back by it, which is not. Text says why.
	Return Verb = "return"
)

// Internal is Action.Relation of a handoff between two parties that are one.
const Internal = "internal"

var partyVerbs = map[Verb]doing{
	Assign: {allows: func(d *draft, a Action) error {
		switch {
		case !d.t.State.Open():
			return d.t.refuse("is %s; reopen it first", d.t.State)
		case d.whom(a) == d.t.Assignee:
			return d.t.refuse("is assigned to %s already", d.t.Assignee)
		}
		return nil
	}, do: func(d *draft, a Action) {
		to := d.whom(a)
		text := "assigned to " + to
		if a.Text != "" {
			text += ": " + a.Text
		}
		d.add(Event{Kind: Assigned, Actor: d.by.Actor, Text: text, Detail: &Detail{Assignee: to}})
		d.tell(Assigned, text)
	}},

	HandOver: {wants: "why it is handed over", allows: func(d *draft, a Action) error {
		switch t := d.t; {
		case !t.State.Open():
			return t.refuse("is %s; reopen it first", t.State)
		case a.To == "":
			return t.refuse("is handed over to a party; say which")
		case a.To == t.Owner:
			return t.refuse("is owned by %s already", t.Owner)
		case t.Handoff != nil:
			return t.refuse("is offered to %s already; accept that or return it first", t.Handoff.To)
		}
		return nil
	}, do: func(d *draft, a Action) {
		offer := Handoff{From: d.t.Owner, To: a.To, Reason: a.Text, By: d.by.Name, Person: d.by.Person, At: d.at(), Internal: a.Relation == Internal}
		text := fmt.Sprintf("offered to %s: %s", a.To, a.Text)
		d.add(Event{Kind: HandedOff, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: &offer}})
		d.tell(HandedOff, text)
	}},

	Accept: {allows: func(d *draft, _ Action) error {
		if err := d.offer("accept"); err != nil {
			return err
		}
		return d.forParty("accepted")
	}, do: func(d *draft, a Action) {
		offer := *d.t.Handoff
		who := d.whom(a)
		text := fmt.Sprintf("%s accepted it from %s and %s works on it", offer.To, offer.From, who)
		if a.Text != "" {
			text += ": " + a.Text
		}
		d.add(Event{Kind: HandoffTaken, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: &offer, Assignee: who}})
		d.tell(HandoffTaken, text)
	}},

	Return: {wants: "why it is returned", allows: func(d *draft, _ Action) error {
		if err := d.offer("return"); err != nil || d.offerer() {
			return err
		}
		return d.forParty("returned")
	}, do: func(d *draft, a Action) {
		offer := *d.t.Handoff
		if d.offerer() {
			text := fmt.Sprintf("the offer to %s is withdrawn: %s", offer.To, a.Text)
			d.add(Event{Kind: HandoffWithdrawn, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: &offer}})
			d.tell(HandoffWithdrawn, text)
			return
		}
		text := fmt.Sprintf("returned by %s to %s: %s", offer.To, offer.From, a.Text)
		d.add(Event{Kind: HandoffBack, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: &offer}})
		d.tell(HandoffBack, text)
	}},
}

// whom is the person that an action assigns: To, or who acts when that is empty or "me".
func (d *draft) whom(a Action) string {
	if a.To == "" || a.To == "me" {
		return d.by.ID()
	}
	return a.To
}

// offerer tells whether who acts made the offer that stands.
func (d *draft) offerer() bool {
	h := d.t.Handoff
	return h != nil && d.by.Kind == Person && d.by.Same(Actor{Name: h.By, Person: h.Person})
}

// supervisors may accept and return for every party.
var supervisors = []string{"admin", "team-leader", "technical-operation-manager"}

// forParty refuses a person who does not stand for the party that the ticket is offered to.
func (d *draft) forParty(done string) error {
	to, parties := d.t.Handoff.To, d.by.Parties
	if len(parties) == 0 {
		parties = d.by.Roles
	}
	if d.by.Kind != Person || slices.Contains(parties, to) || holdsOne(d.by.Roles, supervisors) != "" {
		return nil
	}
	return d.t.refuse("is offered to %s: it is %s by somebody who stands for %s, or by %s; %s", to, done, to, anyRole(supervisors), areRoles(d.by))
}

// offer refuses where nothing is offered.
func (d *draft) offer(to string) error {
	switch {
	case !d.t.State.Open():
		return d.t.refuse("is %s; reopen it first", d.t.State)
	case d.t.Handoff == nil:
		return d.t.refuse("is offered to nobody: there is nothing to %s; %s owns it", to, or(d.t.Owner, "nobody"))
	}
	return nil
}

// owned folds what says whose ticket it is.
func (t *Ticket) owned(e Event) error {
	d := e.Detail
	if d == nil || e.Kind != Assigned && d.Handoff == nil {
		return fmt.Errorf("%w: event %d (%s) names nobody", ErrTimeline, e.Seq, e.Kind)
	}
	switch e.Kind {
	case Assigned:
		t.Assignee = d.Assignee
	case HandedOff:
		offer := *d.Handoff
		t.Handoff = &offer
	case HandoffTaken:
		t.Owner, t.Assignee, t.Handoff = d.Handoff.To, d.Assignee, nil
	case HandoffWithdrawn:
		t.Handoff = nil
	case HandoffBack:
		t.Handoff = nil
		t.Returned++
	}
	return nil
}
