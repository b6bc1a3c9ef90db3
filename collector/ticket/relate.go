package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// How people link tickets.
const (
	ParentOf     = "parent of"
	ChildOf      = "child of"
	RelatedTo    = "related to"
	RecurrenceOf = "recurrence of"
	DuplicateOf  = "duplicate of"
)

// inverse is how the other ticket stands to one that is linked so.
var inverse = map[string]string{
	ParentOf: ChildOf, ChildOf: ParentOf, RelatedTo: RelatedTo, RecurrenceOf: "recurred as", DuplicateOf: "has duplicate",
}

// Relations are the words by which people link tickets, sorted.
var Relations = slices.Sorted(maps.Keys(inverse))

// Bounds of what hangs on one ticket.
const (
	// MaxLinks bounds how many links people give a ticket.
	MaxLinks = 100
	// MaxChildren bounds how many children a ticket keeps the state of.
	MaxChildren = 200
)

// parent is Detail.What of a Linked by which the other ticket becomes the parent.
const parent = "parent"

// The verbs that relate a ticket to another one, Other, which changes with it: see Change.Other.
const (
	// LinkTo links the ticket to Other: Relation is one of Relations, Text why. Both know of it; "child of" and "parent of"
	// also make the parent hear of the child's states.
	LinkTo Verb = "link"
	// Merge makes the ticket part of Other, which is open, of the same customer, kind and type, and owes by its own gates what
	// this one owes: this one closes as merged, with its
	// timeline and notes where they are. What of its alerts still stands is attached to Other, a handoff that nobody has
	// accepted is offered there, and Other's priority is raised to this one's. Text says why.
	Merge Verb = "merge"
	// MarkMajor marks a major incident: Text why. With Other, that ticket becomes its child; further ones join by link.
	MarkMajor Verb = "major"
)

var relationVerbs = map[Verb]doing{
	LinkTo: {allows: func(d *draft, a Action) error { return d.linkable(a) }, do: func(d *draft, a Action) {
		d.both(a.Relation, a.Other, a.Text)
	}},
	Merge: {wants: "why the two are one", allows: func(d *draft, a Action) error { return d.mergeable(a) }, do: func(d *draft, a Action) {
		d.mergeInto(*a.Other, a.Text)
	}},
	MarkMajor: {wants: "why it is a major incident", allows: func(d *draft, a Action) error {
		switch {
		case !d.t.State.Open():
			return d.t.refuse("is %s; reopen it first", d.t.State)
		case d.t.Kind != KindIncident && d.t.Kind != KindStorm:
			return d.t.refuse("is a %s; only an incident can be a major one", d.t.Kind)
		case d.t.Major && a.Other == nil:
			return d.t.refuse("is a major incident already; tickets join it with link, as %q", ChildOf)
		case a.Other != nil:
			a.Relation = ParentOf
			return d.linkable(a)
		}
		return nil
	}, do: func(d *draft, a Action) {
		if !d.t.Major {
			d.add(Event{Kind: MajorMarked, Actor: d.by.Actor, Text: a.Text})
			d.tell(MajorMarked, "major incident: "+a.Text)
		}
		if a.Other != nil {
			d.both(ParentOf, a.Other, a.Text)
		}
	}},
}

// linkable refuses links that are none, are there already, or would make a ticket the parent of itself or of its own parent.
func (d *draft) linkable(a Action) error {
	t, o := d.t, a.Other
	switch {
	case inverse[a.Relation] == "":
		return t.refuse("cannot be linked as %q; links are: %s", a.Relation, strings.Join(Relations, ", "))
	case o == nil:
		return t.refuse("is linked to another ticket; say which")
	case o.ID == t.ID:
		return t.refuse("cannot be linked to itself")
	case slices.ContainsFunc(t.Links, func(l Link) bool { return l.Ticket == o.ID && l.Relation == a.Relation }):
		return t.refuse("is %s %s already", a.Relation, o.Number)
	case len(t.Links) >= MaxLinks || len(o.Links) >= MaxLinks:
		return t.refuse("or %s has %d links, the most a ticket has: link the others to one that stands for them", o.Number, MaxLinks)
	}
	child, of := t, *o
	switch a.Relation {
	case ParentOf:
		child, of = *o, t
	case ChildOf:
	default:
		return nil
	}
	switch {
	case child.Parent != nil:
		return t.refuse("cannot be %s %s: %s is a child of %s already, and a ticket has one parent", a.Relation, o.Number, child.Number, child.Parent.Number)
	case of.Parent != nil && of.Parent.Ticket == child.ID:
		return t.refuse("cannot be %s %s: that one is its child", a.Relation, o.Number)
	case child.Customer != of.Customer && !of.Major:
		return t.refuse("cannot be %s %s: they are of different customers; only a major incident has children of others", a.Relation, o.Number)
	case len(of.Children) >= MaxChildren:
		return t.refuse("cannot be %s %s: %s has %d children, the most a ticket has", a.Relation, o.Number, of.Number, MaxChildren)
	}
	return nil
}

// link adds the one side of a link.
func (d *draft) link(relation string, to Ticket, why string) {
	text := relation + " " + to.Number
	if why != "" {
		text += ": " + why
	}
	e := Event{Kind: Linked, Actor: d.by.Actor, Text: text, Link: &Link{Relation: relation, Ticket: to.ID, Number: to.Number}}
	if relation == ChildOf {
		e.Detail = &Detail{What: parent}
	}
	d.add(e)
	if relation == ParentOf {
		d.child(to, ChildOf)
	}
}

// both links two tickets with each other; the other's change goes with this one.
func (d *draft) both(relation string, other *Ticket, why string) {
	o := begin(*other, d.now)
	o.by = d.by
	d.link(relation, o.t, why)
	o.link(inverse[relation], d.t, why)
	if relation == DuplicateOf {
		first(d, o)
	}
	d.with(o)
}

// with makes the change of another ticket part of this one's.
func (d *draft) with(o *draft) {
	c, err := o.change()
	d.others = append(d.others, d.noting(c, err))
}

// mergeable refuses what cannot be merged.
func (d *draft) mergeable(a Action) error {
	t, o := d.t, a.Other
	switch {
	case o == nil:
		return t.refuse("is merged into another ticket; say which")
	case o.ID == t.ID:
		return t.refuse("cannot be merged into itself")
	case t.State == Shut:
		return t.refuse("is closed already")
	case !o.State.Open():
		return t.refuse("cannot be merged into %s, which is %s; reopen that one first", o.Number, o.State)
	case o.Customer != t.Customer:
		return t.refuse("cannot be merged into %s: they are of different customers; link them instead", o.Number)
	case t.Kind == KindStorm || o.Kind == KindStorm:
		return t.refuse("cannot be merged into %s: a storm stands for tickets of its own; link them instead", o.Number)
	case o.Parent != nil && o.Parent.Ticket == t.ID:
		return t.refuse("cannot be merged into %s, which is its child", o.Number)
	case t.Flaps():
		return t.refuse("is flapping: merge it when it has settled, or resolve it")
	}
	return d.oneOfAKind(*o)
}

// mergeInto closes the ticket as part of another, and gives that what has to go on.
func (d *draft) mergeInto(other Ticket, why string) {
	o := begin(other, d.now)
	o.by, o.terms = d.by, d.terms
	t := d.t
	text := fmt.Sprintf("merged into %s: %s", other.Number, why)
	d.add(Event{Kind: Merged, Actor: d.by.Actor, Text: text, Clocks: d.cancelled(text),
		Link: &Link{Relation: "merged into", Ticket: other.ID, Number: other.Number}})
	d.tell(Merged, text)
	o.tick()
	o.add(Event{Kind: Linked, Actor: d.by.Actor, Text: fmt.Sprintf("merged with %s: %s", t.Number, t.Title),
		Link: &Link{Relation: "merged with", Ticket: t.ID, Number: t.Number}})
	for _, a := range t.Alerts {
		if known, seen := o.t.alert(a.ID); a.Firing() && !(seen && known.Firing()) {
			o.add(Event{Kind: AlertAttached, Actor: d.by.Actor, Alert: &a, Text: a.Name + " comes with " + t.Number})
		}
	}
	if t.Crowd.Came > 0 {
		o.crowd(o.t.Crowd.and(t.Crowd), false)
	}
	o.raised(t)
	o.heir(t)
	o.offered(t)
	first(d, o)
	o.monitors(t)
	d.with(o)
}

// raised gives the ticket the priority of one that was merged into it, if that is worse. The clocks of a ticket that was
// opened under other terms are not touched by these: then a person is told.
func (d *draft) raised(merged Ticket) {
	severity := d.t.Severity
	if merged.Severity.Rank() < severity.Rank() {
		severity = merged.Severity
	}
	switch {
	case d.terms.Rank(merged.Priority) >= d.terms.Rank(d.t.Priority):
	case d.t.Terms != d.terms.Digest:
		d.add(Event{Kind: Noted, Actor: house, Text: fmt.Sprintf("%s was %s under other terms (%s %s): see whether this one is as well",
			merged.Number, merged.Priority, merged.Policy, merged.PolicyVersion)})
	default:
		d.prioritise(judgement{by: d.by.Actor, severity: severity, priority: merged.Priority, because: merged.Number + " is: " + merged.Because,
			cause: "merged with " + merged.Number, pinned: merged.Pinned})
	}
}

// offered goes on with a handoff that the merged ticket offered and nobody accepted.
func (d *draft) offered(merged Ticket) {
	h := merged.Handoff
	switch {
	case h == nil || h.To == d.t.Owner:
		return
	case d.t.Handoff != nil:
		if d.t.Handoff.To != h.To {
			d.add(Event{Kind: Noted, Actor: house, Text: fmt.Sprintf("%s was offered to %s when it was merged: %s. This one is offered to %s already",
				merged.Number, h.To, h.Reason, d.t.Handoff.To)})
		}
		return
	}
	offer := *h
	offer.From = d.t.Owner
	text := fmt.Sprintf("offered to %s, as %s was: %s", h.To, merged.Number, h.Reason)
	d.add(Event{Kind: HandedOff, Actor: d.by.Actor, Text: text, Detail: &Detail{Handoff: &offer}})
	d.tell(HandedOff, text)
}

// ChildChanged lets a parent hear what became of a child: nothing changes when it knows the state already.
func (t Ticket) ChildChanged(c Ticket, now time.Time) (Change, error) {
	d := begin(t, now)
	relation := ChildOf
	for _, l := range c.Links {
		if l.Ticket == t.ID {
			relation = l.Relation
			break
		}
	}
	d.by = By{Actor: house}
	d.child(c, relation)
	return d.change()
}

// child records the state of a child where it is new. Children beyond the bound are links alone.
func (d *draft) child(c Ticket, relation string) {
	i := slices.IndexFunc(d.t.Children, func(k Child) bool { return k.ID == c.ID })
	switch {
	case i >= 0 && d.t.Children[i].State == c.State:
		return
	case i < 0 && len(d.t.Children) >= MaxChildren:
		return
	}
	what := c.Kind
	if c.Type != "" {
		what += " " + c.Type
	}
	d.add(Event{Kind: ChildChanged, Actor: d.by.Actor, Text: fmt.Sprintf("%s (%s: %s) is %s", c.Number, what, c.Title, c.State),
		Detail: &Detail{Child: &Child{ID: c.ID, Number: c.Number, Kind: c.Kind, Type: c.Type, State: c.State, Relation: relation}}})
}

// heard folds what became of a child.
func (t *Ticket) heard(c Child) {
	t.Children = slices.Clone(t.Children)
	if i := slices.IndexFunc(t.Children, func(k Child) bool { return k.ID == c.ID }); i >= 0 {
		t.Children[i] = c
		return
	}
	t.Children = append(t.Children, c)
}
