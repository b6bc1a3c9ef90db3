package ticket

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// Birth is what a ticket is opened with: a detected incident by its first alert, others by a person's Report, or by the
// house because of another ticket.
type Birth struct {
	ID, Number string
	Title      string
	// Text is what people are told, Title when empty.
	Text  string
	Alert incident.Alert
	// Terms are the customer's, Ready.
	Terms Terms
	// Owner is the party that owns it.
	Owner    string
	Evidence []Evidence
	// Kind is what the ticket is: its type's when empty, or KindIncident; Type one of its terms' types, or empty.
	Kind, Type string
	// Report is what a person's report says; nil for what was detected, and for what the house opens.
	Report *Report
	// Facts are further facts to begin with: the asset's criticality, role and environment, what the type asks for, the
	// impact that was reported. They override the contract's, and are overridden by what the ticket itself knows.
	Facts Facts
	// By is who opens what a person reports, nil where the house does; Said are the names of those of Facts that they said.
	// Others the house gives: a person says none of what contract, fleet or policy give.
	By   *By
	Said []string
	// Parent is the ticket that it is opened because of, Relation how it stands to it ("follow-up of", "child of" when
	// empty). What the birth does not say of customer, site, asset, service and system is the parent's.
	Parent *Ticket
	// Relation is as Link's.
	Relation string
	// Same is an open ticket of the same incident that has a key of its own: a person reported it before monitoring found
	// it, or the other way round. The two are linked, never merged by the house, and each knows who was first.
	Same *Ticket
	// Note is why the house opens it, in the words of who wants it: its first note, which stays inside. Empty for none.
	Note string
	// Storm is the storm that it is part of from the beginning; zero when of none.
	Storm Link
	// Recurs is the last ticket of the same incident, when there was one and it is beyond reopening.
	Recurs *Ticket
	// Quiet tickets are told to nobody.
	Quiet bool
	// Held tells that its alert fired before and was kept from a ticket by a silence or maintenance: its clocks start now.
	Held bool
}

// Report is how a person's report came.
type Report struct {
	// By is who reported it, Channel how: telephone, email, on-call, page.
	By      string
	Channel string
	// ReceivedAt is when it was received, for the channel on-call the receipt of the message: the clocks of reported tickets
	// start then. Zero: now.
	ReceivedAt time.Time
	// Said is what the reporter said beyond the title, Users who is affected, as they said; empty where they did not.
	Said, Users string
	// Key makes the ticket the only open one of that name at the customer: a recurring review, an intake that nobody reads.
	// Empty: any number may be open. It is never the key of an incident that is detected.
	Key                                    string
	Customer, Site, Asset, Service, System string
}

// IncidentKey is the key that the incident would have if monitoring had found it, to look for its ticket: see Birth.Same.
func (r Report) IncidentKey() string {
	return incident.KeyOf(incident.Alert{Customer: r.Customer, Site: r.Site, Asset: r.Asset, Service: r.Service}).String()
}

// TicketKey is the key that the ticket of a report with a Key has.
func (r Report) TicketKey() string { return fmt.Sprintf("report/%s/%s", r.Customer, r.Key) }

// clockSkew is how far the clock of who received a report may be ahead.
const clockSkew = time.Minute

// detected tells whether an alert opens it.
func (b Birth) detected() bool { return b.Report == nil && (b.Alert.ID != "" || b.Alert.Name != "") }

// Open is a new ticket: an incident or storm by its first alert, or what a person reports, or what the house opens because
// of another one. Its key is the incident's for what was detected, and its own otherwise: at most one ticket is open per
// incident key, so that what people report never stands in the way of what is detected.
//
// Its clocks start at Opening.ReceivedAt: the receipt of a report; of a detected fault the instant at which its alert fired
// (Alert.FiredAt: the bad sample and the rule's `for` lie before it and stand in the record), but not after now; and now for
// what was held back by a silence or maintenance, for what was over before anybody knew, for quiet tickets, and for what the house opens. The error of a report that cannot be
// opened wraps ErrRefused.
func Open(b Birth, now time.Time) (Change, error) {
	d := begin(Ticket{}, now)
	d.terms = b.Terms
	d.events = make([]Event, 0, 3+len(b.Evidence)) // opened, part of a storm, recurrence
	if err := b.refusal(d.now); err != nil {
		return Change{}, err
	}
	p := d.opened(b)
	d.troubles(p)
	if d.t.Facts[FactEntitled] == no {
		d.add(Event{Kind: Noted, Actor: house, Text: fmt.Sprintf("recorded without targets: the customer's entitlement starts at %s, and this was received at %s",
			d.when(b.Terms.EntitledFrom), d.when(d.t.ReceivedAt))})
	}
	if b.Storm.Ticket != "" {
		d.join(b.Storm)
	}
	if b.Recurs != nil {
		d.add(Event{Kind: Linked, Actor: house, Text: fmt.Sprintf("the same incident as %s, which was resolved %s",
			b.Recurs.Number, b.Recurs.ResolvedAt.UTC().Format(time.RFC3339)),
			Link: &Link{Relation: RecurrenceOf, Ticket: b.Recurs.ID, Number: b.Recurs.Number}})
	}
	others := d.bound(b)
	d.brought(b)
	if b.Note != "" {
		d.add(Event{Kind: Noted, Actor: house, Text: b.Note})
	}
	d.evidence(b.Evidence)
	d.tell(Opened, or(b.Text, b.Title))
	d.tick()
	return d.changeWith(others)
}

// refusal says what a person's report lacks.
func (b Birth) refusal(now time.Time) error {
	if b.Report == nil {
		return nil
	}
	ty, ok := b.Terms.Type(b.Type)
	switch {
	case b.Type != "" && !ok:
		return fmt.Errorf("%w: the policy %s has no type %q; it has %s", ErrRefused, b.Terms.Policy, b.Type, typeNames(b.Terms))
	case b.Kind != "" && ok && ty.Kind != b.Kind:
		return fmt.Errorf("%w: %q is a type of %s, not of %s: leave the kind out", ErrRefused, b.Type, ty.Kind, b.Kind)
	case strings.TrimSpace(b.Title) == "":
		return fmt.Errorf("%w: say in a title what it is about", ErrRefused)
	case len(b.Title) > MaxTitle:
		return fmt.Errorf("%w: the title has %d bytes, at most %d are kept: write the rest into a note", ErrRefused, len(b.Title), MaxTitle)
	case b.Report.Customer == "" && b.Parent == nil && b.Report.Key == "": // what the house itself asks for may be the operator's own
		return fmt.Errorf("%w: say which customer it is of", ErrRefused)
	case b.Report.ReceivedAt.After(now.Add(clockSkew)):
		return fmt.Errorf("%w: it cannot have been received at %s, which is to come: give the time of receipt", ErrRefused,
			b.Report.ReceivedAt.Format(time.RFC3339))
	case len(b.Facts)+len(b.Terms.Facts)+len(givenFacts) > MaxFacts:
		return fmt.Errorf("%w: it comes with %d facts, and %d are the most a ticket has: leave some out", ErrRefused,
			len(b.Facts)+len(b.Terms.Facts)+len(givenFacts), MaxFacts)
	}
	for n, word := range b.Facts {
		if tooLong(word) || len(n) > MaxFact {
			return fmt.Errorf("%w: the word of %.40q has %d bytes: at most %d in one line; write the rest into a note", ErrRefused, n, len(word), MaxFact)
		}
	}
	return b.CheckBirth()
}

func typeNames(t Terms) string {
	if len(t.Types) == 0 {
		return "none"
	}
	names := make([]string, len(t.Types))
	for i, ty := range t.Types {
		names[i] = ty.Name
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// opened adds the first event, with the facts, the priority and the clocks.
func (d *draft) opened(b Birth) *plan {
	o := b.opening(d.now)
	facts, contract := born(b, o)
	if from := b.Terms.EntitledFrom; !from.IsZero() && o.ReceivedAt.Before(from) {
		facts[FactEntitled] = no
	}
	priority, because := b.Terms.judge(facts)
	if priority != "" {
		facts[FactPriority] = priority
	}
	e := Event{
		Kind: Opened, Actor: b.actor(), Text: b.Title, Severity: incident.Severity(facts[FactSeverity]), Priority: priority,
		Because: because, Opening: &o, Contract: contract,
		Detail: &Detail{Facts: facts, Terms: b.Terms.Digest},
	}
	if o.Detected {
		a := b.Alert
		e.Alert = &a
	}
	t := Ticket{Opening: o, State: New, OpenedAt: d.now, Severity: e.Severity, Priority: priority, Work: Work{Facts: facts}}
	p := d.plan(t, false)
	if p != nil {
		e.Clocks, e.Grounds = p.clocks, p.grounds
	}
	d.add(e)
	return p
}

// actor is who opens it.
func (b Birth) actor() Actor {
	switch {
	case b.detected():
		return actorOf(b.Alert)
	case b.Report != nil && b.Report.By != "":
		return Actor{Kind: Person, Name: b.Report.By}
	}
	return house
}

// opening is what the ticket is born with.
func (b Birth) opening(now time.Time) Opening {
	ty, _ := b.Terms.Type(b.Type)
	o := Opening{
		ID: b.ID, Number: b.Number, Kind: or(or(b.Kind, ty.Kind), KindIncident), Type: b.Type, Key: "ticket/" + b.ID,
		Title: b.Title, Owner: or(b.Owner, ty.Owner), Detected: b.detected(), ReceivedAt: now,
		Policy: b.Terms.Policy, PolicyVersion: b.Terms.Version,
		ReopenFor: b.Terms.ReopenFor, CloseAfter: b.Terms.CloseAfter, Flapping: b.Terms.Flapping,
		Quiet: b.Quiet,
	}
	switch a := b.Alert; {
	case b.detected():
		o.Key = incident.KeyOf(a).String()
		o.Customer, o.Site, o.Asset, o.Service, o.System = a.Customer, a.Site, a.Asset, a.Service, a.System
		if at := a.FiredAt; a.Firing() && !b.Quiet && !at.IsZero() && at.Before(now) && !b.Held {
			o.ReceivedAt = at.Round(0).UTC()
		}
	case b.Report != nil:
		o.reported(*b.Report)
	}
	if b.Parent != nil && !b.detected() {
		o.inherits(*b.Parent)
	}
	return o
}

// reported takes over what a person's report says.
func (o *Opening) reported(r Report) {
	o.Customer, o.Site, o.Asset, o.Service, o.System = r.Customer, r.Site, r.Asset, r.Service, r.System
	o.Reporter, o.Channel = r.By, r.Channel
	if at := r.ReceivedAt; !at.IsZero() && at.Before(o.ReceivedAt) {
		o.ReceivedAt = at.Round(0).UTC()
	}
	if r.Key != "" {
		o.Key = r.TicketKey()
	}
}

// inherits fills in from the parent what was left out, all of it or nothing where another asset was named.
func (o *Opening) inherits(p Ticket) {
	o.Customer = or(o.Customer, p.Customer)
	o.System = or(o.System, p.System)
	o.Service = or(o.Service, p.Service)
	if o.Asset == "" && o.Site == "" {
		o.Site, o.Asset = p.Site, p.Asset
	}
}

// bound ties a new ticket to its parent and to the other ticket of the same incident: the events of both, and the changes
// of the others.
func (d *draft) bound(b Birth) []Change {
	var others []Change
	if b.Parent != nil {
		relation := or(b.Relation, ChildOf)
		d.add(Event{Kind: Linked, Actor: house, Text: relation + " " + b.Parent.Number,
			Link: &Link{Relation: relation, Ticket: b.Parent.ID, Number: b.Parent.Number}, Detail: &Detail{What: parent}})
		other, err := b.Parent.ChildChanged(d.t, d.now)
		others = append(others, d.noting(other, err))
	}
	if b.Same != nil {
		o := begin(*b.Same, d.now)
		o.by = By{Actor: house}
		d.by = o.by
		d.link(RelatedTo, o.t, "the same fault")
		o.link(RelatedTo, d.t, "the same fault")
		first(d, o)
		other, err := o.change()
		others = append(others, d.noting(other, err))
	}
	return others
}

// noting keeps the error of another ticket's change.
func (d *draft) noting(c Change, err error) Change {
	if d.err == nil {
		d.err = err
	}
	return c
}

// first tells two tickets of one fault who knew of it first, when one of them was reported and the other detected.
func first(a, b *draft) {
	if a.t.Detected == b.t.Detected || a.t.Kind != KindIncident || b.t.Kind != KindIncident {
		return
	}
	detected, reported := a, b
	if b.t.Detected {
		detected, reported = b, a
	}
	word, text := FirstMonitoring, "monitoring found it before a person reported it"
	if reported.t.Received().Before(detected.t.Received()) || detected.t.Facts[FactFirst] == FirstPerson { // another person before
		word, text = FirstPerson, "a person reported it before monitoring found it"
	}
	for _, d := range []*draft{a, b} {
		if d.t.Facts != nil && d.t.Facts[FactFirst] != word {
			other := a
			if d == a {
				other = b
			}
			d.add(Event{Kind: FactsChanged, Actor: house, Text: fmt.Sprintf("%s: %s (%s)", FactFirst, text, other.t.Number),
				Detail: &Detail{Facts: Facts{FactFirst: word}}})
		}
	}
}
