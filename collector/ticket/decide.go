package ticket

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// Change is one decision about a ticket: what to append, and whom it concerns. Who carries it out owes it, in one
// transaction:
//
//   - Events appended to the ticket at version Before, Bodies kept, Notices told, Ticket.Deadline() noted; Elapse when it
//     comes.
//   - Other, carried out in the same way, and its Other, and so on: the target of a merge, the other end of a link, the
//     parent of a ticket that opened.
//   - Births opened, with Ticket as their Parent.
//   - Where Was is not the state now and the ticket has a Parent: the parent's ChildChanged. A parent that was merged is
//     the ticket that it was merged into.
//   - An alert whose incident's last ticket was Merged goes to the ticket that took it over, and so on from there, as long
//     as that is open; otherwise a new ticket opens under the incident's key. So at most one is open per key.
type Change struct {
	// Before is the version the events expect; 0 for a new ticket.
	Before int
	// Was is the state before, empty for a new ticket, and WasIn the storm that it was bound to then.
	Was   State
	WasIn Link
	// Ticket is the fold with Events in it.
	Ticket Ticket
	// Events are sealed and in order.
	Events []Event
	// Bodies are evidence bodies by the Seq of the event that names them.
	Bodies map[int][]byte
	// Notices are what people and peers should hear of it.
	Notices []Notice
	// Counted: the ticket has to be kept although there may be no event; see Flap.
	Counted bool
	// Births are tickets that have to be opened with it, each bound to this one as its Relation says.
	Births []Birth
	// Other is the change of another ticket that belongs to it; it may have one itself.
	Other *Change
}

// Refiled tells whether the change files the ticket under another system, and which it was before. Who carries it out asks
// the ownership map anew with Ticket.System, and completes the change by Ticket.Refile: where another party owns that, the
// ticket is offered to it by a handoff in the same transaction.
func (c Change) Refiled() (before string, refiled bool) {
	for _, e := range c.Events {
		if e.Kind == FactsChanged && e.Detail != nil && e.Detail.Facts[FactSystem] != "" && e.Detail.Before != nil {
			return e.Detail.Before[FactSystem], true
		}
	}
	return "", false
}

// Empty tells that nothing is to be written.
func (c Change) Empty() bool { return len(c.Events) == 0 && !c.Counted }

// Notice is something worth telling about a ticket.
type Notice struct {
	// What is the kind of event it tells of.
	What Kind
	Text string
	// Link is for the addressee outside alone, as the one that is good for an answer: it stands in no log and no other text.
	Link string
}

// Recurred links an old ticket to the one that opened for the same incident after it.
func (t Ticket) Recurred(as Ticket, now time.Time) (Change, error) {
	d := begin(t, now)
	d.add(Event{Kind: Linked, Actor: house, Text: "the same incident came back as " + as.Number,
		Link: &Link{Relation: "recurred as", Ticket: as.ID, Number: as.Number}})
	return d.change()
}

// Fire folds a firing alert into the ticket of its incident: attached when new, refired when it had ended, nothing
// when it is known to fire. A resolved ticket is reopened, a worse severity raises the priority and never lowers it; one
// that waits waits no more, for who put it aside did not know. terms are the ticket's own, Ready.
func (t Ticket) Fire(a incident.Alert, terms Terms, evidence []Evidence, now time.Time) (Change, error) {
	d := begin(t, now)
	d.terms = terms
	known, seen := t.alert(a.ID)
	what := a.Name + " fires again"
	switch {
	case !seen && !a.Firing(): // over before anybody could know of it
		what = or(a.Annotations["description"], a.Name+" came and went")
		d.tick()
		d.add(Event{Kind: AlertAttached, Actor: actorOf(a), Alert: &a, Text: what})
	case !seen:
		what = a.Name + attached(t)
		d.tick()
		d.add(Event{Kind: AlertAttached, Actor: actorOf(a), Alert: &a, Text: what})
	case !known.Firing() && a.Firing() && t.Flaps():
		d.flip(a)
		return d.change()
	case !known.Firing() && a.Firing():
		d.tick()
		d.add(Event{Kind: AlertRefired, Actor: actorOf(a), Alert: &a, Text: what})
	default:
		return d.change()
	}
	d.entitle(a)
	d.came(a, what)
	d.evidence(evidence)
	return d.change()
}

// came is what follows for the ticket of an alert that came, as what says: it waits no more, is open, and matters as much as
// the alert does.
func (d *draft) came(a incident.Alert, what string) {
	was := d.t
	if a.Firing() {
		d.awaited(actorOf(a), what)
	}
	if !was.State.Open() {
		since := gap(was.ResolvedAt, d.now)
		text := fmt.Sprintf("%s %s after the ticket was resolved", what, since)
		if !a.Firing() {
			text = fmt.Sprintf("more became known %s after the ticket was resolved", since)
		}
		d.reopen(actorOf(a), text)
		if !d.begins(a) {
			d.tell(Reopened, text)
		}
	} else {
		d.begins(a)
	}
	if a.Severity.Rank() < was.Severity.Rank() {
		d.worsen(actorOf(a), a.Severity, fmt.Sprintf("%s is %s", a.Name, a.Severity))
	}
}

// entitle gives the ticket the title of an alert of silence that fires: whether the host was found to be up is another
// answer each time. The title of an alert of a rule stays while that fires.
func (d *draft) entitle(a incident.Alert) {
	title := a.Title()
	if !a.Firing() || !a.Silence() || title == d.t.Title {
		return
	}
	for _, other := range d.t.Alerts {
		if other.Firing() && !other.Silence() && other.Title() == d.t.Title {
			return
		}
	}
	d.add(Event{Kind: TitleChanged, Actor: house, Text: title})
}

// attached says how a new alert joins the ticket.
func attached(t Ticket) string {
	if t.Firing() > 0 {
		return " fires as well"
	}
	return " fires"
}

// End folds the end of an alert into its ticket. When it was the last that fired and all ended on good data the ticket
// is resolved by the rule; an alert whose series or rule went away proves nothing, so then a person decides.
func (t Ticket) End(a incident.Alert, now time.Time) (Change, error) {
	d := begin(t, now)
	known, seen := t.alert(a.ID)
	// That a sender says at last how it ended of which nothing had been heard settles what was left open.
	late := seen && !known.Firing() && known.End == incident.Lapsed && a.End == incident.Recovered
	if !seen || !known.Firing() && !late {
		return d.change()
	}
	if t.Flaps() && !late {
		d.flip(a)
		return d.change()
	}
	text := a.Name + " recovered"
	if a.End != incident.Recovered {
		text = fmt.Sprintf("%s ended: %s. That does not show that the fault is mended", a.Name, endWords(a.End))
	}
	d.tick()
	d.add(Event{Kind: AlertEnded, Actor: actorOf(a), Alert: &a, Text: text})
	if !d.t.State.Open() || d.begins(a) || d.t.Firing() > 0 {
		return d.change()
	}
	d.recovered(actorOf(a), "every alert recovered")
	return d.change()
}

// recovered resolves a ticket of which nothing fires, when every alert ended on good data, or is another ticket's now. If
// not, it leaves that to a person and says so.
func (d *draft) recovered(by Actor, text string) bool {
	for _, a := range d.t.Alerts {
		if unclear(a.End) {
			d.add(Event{Kind: Noted, Actor: house, Text: "no alert fires any more, but " + a.Name + " ended: " +
				endWords(a.End) + ". Look at it and resolve the ticket by hand"})
			return false
		}
	}
	if n := d.t.Crowd.Unclear; n > 0 {
		d.add(Event{Kind: Noted, Actor: house, Text: fmt.Sprintf("no alert fires any more, but %d of those that are counted and not listed "+
			"ended in a way that does not show that the fault is mended. Look at it and resolve the ticket by hand", n)})
		return false
	}
	d.resolve(by, text)
	return true
}

// endWords says to a person how an alert ended without a recovery.
func endWords(e incident.End) string {
	switch e {
	case incident.SeriesGone:
		return "what it watched is no longer reported (unmounted, renamed or removed)"
	case incident.RuleGone:
		return "its rule was removed or changed"
	case incident.Lapsed:
		return "who sent it is not heard of any more"
	}
	return string(e)
}

// Learn adds evidence that came after the ticket was opened.
func (t Ticket) Learn(evidence []Evidence, now time.Time) (Change, error) {
	d := begin(t, now)
	d.evidence(evidence)
	return d.change()
}

func stillFires(t Ticket) string {
	for _, a := range t.Alerts {
		if a.Firing() {
			if n := t.Firing(); n > 1 {
				return fmt.Sprintf("%s and %d more still fire", a.Name, n-1)
			}
			return a.Name + " still fires"
		}
	}
	if n := t.Crowd.Firing; n > 0 {
		return fmt.Sprintf("%d alerts that are counted and not listed still fire", n)
	}
	return "nothing fires"
}

// gap is the time between two instants as people say it: whole seconds.
func gap(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Second) }

var house = Actor{Kind: House, Name: "watchbill"}

func actorOf(a incident.Alert) Actor {
	if a.Source == house.Name {
		return house
	}
	return Actor{Kind: Rule, Name: a.Source}
}
