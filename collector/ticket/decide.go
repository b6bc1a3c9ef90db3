package ticket

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// Change is one decision about a ticket: what to append, and whom it concerns.
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
}

// Empty tells that nothing is to be written.
func (c Change) Empty() bool { return len(c.Events) == 0 && !c.Counted }

// Notice is something worth telling about a ticket.
type Notice struct {
	// What is the kind of event it tells of.
	What Kind
	Text string
}

// Terms is what the policy in force says about a ticket being opened.
type Terms struct {
	Policy, Version string
	Owner           string
	// Priority of a severity.
	Priority func(incident.Severity) string
	// ReopenFor is how long after its resolution a returning alert reopens a ticket.
	ReopenFor time.Duration
	// CloseAfter is how long after its resolution a ticket closes by itself.
	CloseAfter time.Duration
	// Flapping is when alerts that come and go are told as one state.
	Flapping incident.Flapping
}

// Birth is what an incident's first alert opens a ticket with.
type Birth struct {
	ID, Number string
	Title      string
	// Text is what people are told, Title when empty.
	Text     string
	Alert    incident.Alert
	Terms    Terms
	Evidence []Evidence
	// Kind is what the ticket is: KindIncident when empty.
	Kind string
	// Storm is the storm that it is part of from the beginning; zero when of none.
	Storm Link
	// Recurs is the last ticket of the same incident, when there was one and it is beyond reopening.
	Recurs *Ticket
	// Quiet tickets are told to nobody.
	Quiet bool
}

// Open is a new ticket for a firing alert.
func Open(b Birth, now time.Time) (Change, error) {
	a := b.Alert
	d := begin(Ticket{}, now)
	d.events = make([]Event, 0, 3+len(b.Evidence)) // opened, part of a storm, recurrence
	d.add(Event{
		Kind: Opened, Actor: actorOf(a), Text: b.Title, Alert: &a,
		Severity: a.Severity, Priority: b.Terms.Priority(a.Severity),
		Opening: &Opening{
			ID: b.ID, Number: b.Number, Kind: or(b.Kind, KindIncident), Key: incident.KeyOf(a).String(),
			Customer: a.Customer, Site: a.Site, Asset: a.Asset, Service: a.Service, System: a.System,
			Title: b.Title, Owner: b.Terms.Owner,
			Policy: b.Terms.Policy, PolicyVersion: b.Terms.Version,
			ReopenFor: b.Terms.ReopenFor, CloseAfter: b.Terms.CloseAfter, Flapping: b.Terms.Flapping,
			Quiet: b.Quiet,
		},
	})
	if b.Storm.Ticket != "" {
		d.join(b.Storm)
	}
	if b.Recurs != nil {
		d.add(Event{Kind: Linked, Actor: house, Text: fmt.Sprintf("the same incident as %s, which was resolved %s",
			b.Recurs.Number, b.Recurs.ResolvedAt.UTC().Format(time.RFC3339)),
			Link: &Link{Relation: "recurrence of", Ticket: b.Recurs.ID, Number: b.Recurs.Number}})
	}
	d.evidence(b.Evidence)
	d.tell(Opened, or(b.Text, b.Title))
	return d.change()
}

// Recurred links an old ticket to the one that opened for the same incident after it.
func (t Ticket) Recurred(as Ticket, now time.Time) (Change, error) {
	d := begin(t, now)
	d.add(Event{Kind: Linked, Actor: house, Text: "the same incident came back as " + as.Number,
		Link: &Link{Relation: "recurred as", Ticket: as.ID, Number: as.Number}})
	return d.change()
}

// Fire folds a firing alert into the ticket of its incident: attached when new, refired when it had ended, nothing
// when it is known to fire. A resolved ticket is reopened, a worse severity raises the priority.
func (t Ticket) Fire(a incident.Alert, terms Terms, evidence []Evidence, now time.Time) (Change, error) {
	d := begin(t, now)
	known, seen := t.alert(a.ID)
	switch {
	case !seen && !a.Firing(): // over before anybody could know of it
		d.add(Event{Kind: AlertAttached, Actor: actorOf(a), Alert: &a, Text: or(a.Annotations["description"], a.Name+" came and went")})
	case !seen:
		d.add(Event{Kind: AlertAttached, Actor: actorOf(a), Alert: &a, Text: a.Name + attached(t)})
	case !known.Firing() && a.Firing() && t.Flaps():
		d.flip(a)
		return d.change()
	case !known.Firing() && a.Firing():
		d.add(Event{Kind: AlertRefired, Actor: actorOf(a), Alert: &a, Text: a.Name + " fires again"})
	default:
		return d.change()
	}
	d.entitle(a)
	if !t.State.Open() {
		text := fmt.Sprintf("%s %s after the ticket was resolved", d.events[0].Text, gap(t.ResolvedAt, now))
		if !a.Firing() {
			text = fmt.Sprintf("more became known %s after the ticket was resolved", gap(t.ResolvedAt, now))
		}
		d.add(Event{Kind: Reopened, Actor: actorOf(a), Text: text})
		if !d.begins(a) {
			d.tell(Reopened, text)
		}
	} else {
		d.begins(a)
	}
	if a.Severity.Rank() < t.Severity.Rank() {
		p := terms.Priority(a.Severity)
		text := fmt.Sprintf("%s is %s: priority %s instead of %s", a.Name, a.Severity, p, t.Priority)
		d.add(Event{Kind: PriorityChanged, Actor: actorOf(a), Severity: a.Severity, Priority: p, Text: text})
		d.tell(PriorityChanged, text)
	}
	d.evidence(evidence)
	return d.change()
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
	if !seen || !known.Firing() {
		return d.change()
	}
	if t.Flaps() {
		d.flip(a)
		return d.change()
	}
	text := a.Name + " recovered"
	if a.End != incident.Recovered {
		text = fmt.Sprintf("%s ended: %s. That does not show that the fault is mended", a.Name, endWords(a.End))
	}
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
		if a.End != incident.Recovered && a.End != incident.Superseded {
			d.add(Event{Kind: Noted, Actor: house, Text: "no alert fires any more, but " + a.Name + " ended: " +
				endWords(a.End) + ". Look at it and resolve the ticket by hand"})
			return false
		}
	}
	d.add(Event{Kind: Resolved, Actor: by, Text: text})
	d.tell(Resolved, text)
	return true
}

// endWords says to a person how an alert ended without a recovery.
func endWords(e incident.End) string {
	switch e {
	case incident.SeriesGone:
		return "what it watched is no longer reported (unmounted, renamed or removed)"
	case incident.RuleGone:
		return "its rule was removed or changed"
	}
	return string(e)
}

// Learn adds evidence that came after the ticket was opened.
func (t Ticket) Learn(evidence []Evidence, now time.Time) (Change, error) {
	d := begin(t, now)
	d.evidence(evidence)
	return d.change()
}

// StillFiring is how long after a person resolved a ticket its alerts may go on firing before it is reopened.
const StillFiring = 15 * time.Minute

// Deadline is when the ticket next wants looking at although nobody touches it; zero for never.
func (t Ticket) Deadline() time.Time {
	switch {
	case t.Flaps():
		at, _ := t.Flapping.Over(t.Flap.Last, t.Flap.Last)
		return at
	case t.State != Done:
		return time.Time{}
	case t.Firing() > 0:
		return t.ResolvedAt.Add(StillFiring)
	}
	return t.ResolvedAt.Add(t.CloseAfter)
}

// Elapse does what the passing of time alone does: closes what stayed resolved, reopens what was resolved and fires on,
// ends the flapping of what is stable.
func (t Ticket) Elapse(now time.Time) (Change, error) {
	d := begin(t, now)
	if at := t.Deadline(); at.IsZero() || now.Before(at) {
		return d.change()
	}
	if t.Flaps() {
		d.settle()
		return d.change()
	}
	if n := t.Firing(); n > 0 {
		text := fmt.Sprintf("%s resolved it %s ago, but %s", t.ResolvedBy.Name, gap(t.ResolvedAt, now), stillFires(t))
		d.add(Event{Kind: Reopened, Actor: house, Text: text})
		d.tell(Reopened, text)
		return d.change()
	}
	text := fmt.Sprintf("stayed resolved for %s", gap(t.ResolvedAt, now))
	d.add(Event{Kind: Closed, Actor: house, Text: text})
	d.tell(Closed, text)
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
