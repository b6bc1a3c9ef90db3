package ticket

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// The kinds of ticket: KindStorm is the head of a storm, which stands for many incidents.
const (
	KindIncident = "incident"
	KindStorm    = "storm"
)

// PartOf is the link by which a ticket is bound to the head of a storm.
func PartOf(id, number string) Link { return Link{Relation: "part of", Ticket: id, Number: number} }

func (d *draft) join(storm Link) {
	d.add(Event{Kind: StormJoined, Actor: house, Link: &storm, Text: "one of many at the same time: part of the storm " + storm.Number})
}

// Join binds the ticket to a storm, leaving the one it was bound to. Nothing changes when it is bound to it already.
func (t Ticket) Join(storm Link, now time.Time) (Change, error) {
	d := begin(t, now)
	if t.Storm != storm {
		d.join(storm)
	}
	return d.change()
}

// Leave lets a ticket of a storm go on by itself. An open one is told as a new one is, for nobody was told of it alone.
func (t Ticket) Leave(why string, now time.Time) (Change, error) {
	d := begin(t, now)
	if t.Storm.Ticket == "" {
		return d.change()
	}
	storm := t.Storm
	d.add(Event{Kind: StormLeft, Actor: house, Link: &storm, Text: why})
	if t.State.Open() {
		d.tell(Opened, t.Title+" ("+why+")")
	}
	return d.change()
}

// Spread tells what became of a storm since it was last told; t is its head. A worse severity raises the priority.
func (t Ticket) Spread(text string, s incident.Severity, terms Terms, evidence []Evidence, now time.Time) (Change, error) {
	d := begin(t, now)
	d.terms = terms
	d.tick()
	if s.Rank() < t.Severity.Rank() {
		d.worsens(house, s, fmt.Sprintf("the worst of the storm's alerts is %s", s))
	}
	d.add(Event{Kind: StormSpread, Actor: house, Text: text})
	d.evidence(evidence)
	d.tell(StormSpread, text)
	return d.change()
}

// Calm ends the storm that t is the head of: a is its alert, ended; text says how. A head that a person resolved before
// stays as it is.
func (t Ticket) Calm(a incident.Alert, text string, now time.Time) (Change, error) {
	d := begin(t, now)
	d.tick()
	d.add(Event{Kind: StormOver, Actor: house, Alert: &a, Text: text})
	if t.State.Open() {
		d.resolve(house, text)
	}
	return d.change()
}

// Then is c followed by next, which was decided on c's ticket, as one change.
func (c Change) Then(next Change) Change {
	switch {
	case c.Empty():
		return next
	case next.Empty():
		return c
	}
	bodies := maps.Clone(c.Bodies)
	if bodies == nil {
		bodies = map[int][]byte{}
	}
	maps.Copy(bodies, next.Bodies)
	return Change{
		Before: c.Before, Was: c.Was, WasIn: c.WasIn, Ticket: next.Ticket, Bodies: bodies,
		Events: slices.Concat(c.Events, next.Events), Notices: slices.Concat(c.Notices, next.Notices),
		Counted: c.Counted || next.Counted, Births: slices.Concat(c.Births, next.Births), Other: c.Other.and(next.Other),
	}
}

// and is c followed by another ticket's change.
func (c *Change) and(next *Change) *Change {
	if c == nil {
		return next
	}
	both := *c
	both.Other = c.Other.and(next)
	return &both
}

// ByPerson tells whether a person made the change.
func (c Change) ByPerson() bool {
	return slices.ContainsFunc(c.Events, func(e Event) bool { return e.Actor.Kind == Person })
}
