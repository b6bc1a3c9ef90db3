package ticket

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// maxTaken bounds the links of a ticket to those that became part of it; the others lead to it all the same.
const maxTaken = 20

// GiveWay draws a ticket into another that turned out to have its cause: the silence a ends as superseded, and with it what
// else in the ticket says no more than that the asset is not up. When nothing else fires the ticket is resolved, which
// needs no person: the other one is open.
func (t Ticket) GiveWay(a incident.Alert, cause Ticket, now time.Time) (Change, error) {
	d := begin(t, now)
	if known, seen := t.alert(a.ID); !seen || !known.Firing() {
		return d.change()
	}
	d.tick()
	for _, other := range t.Alerts {
		switch {
		case other.ID == a.ID:
			other = a
		case !other.Firing() || !other.AboutLife():
			continue
		}
		other.EndedAt, other.End = a.EndedAt, incident.Superseded
		d.add(Event{Kind: AlertEnded, Actor: actorOf(other), Alert: &other,
			Text: fmt.Sprintf("%s is explained by %s now", other.Name, cause.Number)})
	}
	text := fmt.Sprintf("taken over by %s: %s", cause.Number, cause.Title)
	d.add(Event{Kind: Linked, Actor: house, Text: text, Link: &Link{Relation: "taken over by", Ticket: cause.ID, Number: cause.Number}})
	if d.t.State.Open() && d.t.Firing() == 0 {
		d.recovered(house, text)
	}
	return d.change()
}

// TakeOver links a ticket to one that became part of it, for the first few.
func (t Ticket) TakeOver(part Ticket, now time.Time) (Change, error) {
	d := begin(t, now)
	taken := 0
	for _, l := range t.Links {
		if l.Relation == relationTakes {
			taken++
		}
	}
	known := slices.ContainsFunc(t.Links, func(l Link) bool { return l.Relation == relationTakes && l.Ticket == part.ID })
	if taken < maxTaken && !known {
		d.add(Event{Kind: Linked, Actor: house, Text: fmt.Sprintf("took over %s: %s", part.Number, part.Title),
			Link: &Link{Relation: relationTakes, Ticket: part.ID, Number: part.Number}})
	}
	return d.change()
}

const relationTakes = "took over"
