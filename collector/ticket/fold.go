package ticket

import (
	"errors"
	"fmt"
	"slices"

	"github.com/watchbill/watchbill/collector/incident"
)

// ErrTimeline marks a timeline that cannot be folded: it does not begin with Opened, or an event lacks what its kind
// needs.
var ErrTimeline = errors.New("timeline makes no ticket")

// Fold is the ticket that a timeline tells of. It trusts the chain; see VerifyChain.
func Fold(timeline []Event) (Ticket, error) {
	var t Ticket
	own := owned{} // nobody else holds what is folded here, so nothing is copied to be changed
	for _, e := range timeline {
		if err := t.apply(e, own); err != nil {
			return Ticket{}, err
		}
	}
	if t.Seq == 0 {
		return Ticket{}, fmt.Errorf("%w: it is empty", ErrTimeline)
	}
	return t, nil
}

// owned is where the alerts of a ticket stand that nobody but its fold holds, by ID; nil where others may hold it.
type owned map[string]int

// apply folds one event into t.
func (t *Ticket) apply(e Event, own owned) error {
	if (e.Kind == Opened) != (t.Seq == 0) {
		return fmt.Errorf("%w: event %d is %q", ErrTimeline, e.Seq, e.Kind)
	}
	if err := e.whole(); err != nil {
		return err
	}
	if err := t.foldAlerts(e, own); err != nil {
		return err
	}
	if e.Crowd != nil {
		t.Crowd = *e.Crowd
	}
	t.foldLife(e)
	t.foldKin(e)
	switch e.Kind {
	case WaitBegan, WaitOver, Promised:
		if err := t.waited(e); err != nil {
			return err
		}
	case Assigned, HandedOff, HandoffTaken, HandoffBack, HandoffWithdrawn:
		if err := t.owned(e); err != nil {
			return err
		}
	}
	t.regrounded(e)
	t.held(e)
	if err := t.foldDesk(e); err != nil {
		return err
	}
	t.Seq, t.Head, t.UpdatedAt = e.Seq, e.Hash, e.At
	return nil
}

// whole refuses an event that lacks what its kind needs, as far as no other fold looks for it.
func (e Event) whole() error {
	lacks := ""
	switch e.Kind {
	case Opened:
		if e.Opening == nil {
			return fmt.Errorf("%w: event %d opens nothing", ErrTimeline, e.Seq)
		}
	case AlertAttached, AlertEnded, AlertRefired, StormOver:
		if e.Alert == nil {
			return fmt.Errorf("%w: event %d (%s) names no alert", ErrTimeline, e.Seq, e.Kind)
		}
	case ChildChanged:
		if e.Detail == nil || e.Detail.Child == nil {
			return fmt.Errorf("%w: event %d names no child", ErrTimeline, e.Seq)
		}
	case Linked:
		lacks = "links to"
	case Merged:
		lacks = "merges into"
	case StormJoined:
		lacks = "joins"
	}
	if lacks != "" && e.Link == nil {
		return fmt.Errorf("%w: event %d %s nothing", ErrTimeline, e.Seq, lacks)
	}
	return nil
}

// foldAlerts folds what was detected: the opening, alerts that came and went, and flapping.
func (t *Ticket) foldAlerts(e Event, own owned) error {
	switch e.Kind {
	case Opened:
		t.Opening, t.State, t.OpenedAt = *e.Opening, New, e.At
		t.Severity, t.Priority, t.Because = e.Severity, e.Priority, e.Because
		t.begin(e)
		t.see(e.Alert, own)
	case AlertAttached, AlertEnded, AlertRefired, StormOver:
		t.flipped(e, own)
		t.see(e.Alert, own)
	case FlappingBegan, Flipped, Settled:
		return t.flapping(e, own)
	case Counting:
		if e.Detail != nil && e.Detail.What == turned {
			t.flips(crowdID, e.At)
		}
	}
	return nil
}

// foldLife folds the states that people and the house bring a ticket into, and what it is called and how much it matters.
func (t *Ticket) foldLife(e Event) {
	switch e.Kind {
	case PriorityChanged, FactsChanged, Rebased:
		t.weigh(e)
	case TitleChanged:
		t.Title = e.Text
	case Acknowledged:
		t.State = Acked
		t.acknowledge(e)
	case Started:
		t.State = InProgress
		t.acknowledge(e)
		t.started(e)
	case Resolved:
		t.State, t.ResolvedAt, t.ResolvedBy, t.Resolution = Done, e.At, e.Actor, e.Text
		t.Wait, t.Handoff = nil, nil
		if t.Flap = (Flap{}); e.Actor.Kind == Person { // who resolved it knows that it flaps, and wants to hear of it anew
			t.Flips = nil
		}
	case Closed:
		t.State, t.ClosedAt = Shut, e.At
		t.Crowd.Unclear = 0 // of which alerts they were is not kept any longer
	case Reopened:
		t.State = Again
		t.Reopened++
		t.ResolvedAt, t.ResolvedBy, t.Resolution = Ticket{}.ResolvedAt, Actor{}, ""
		t.ClosedAt = Ticket{}.ClosedAt
	case MajorMarked:
		t.Major = true
	}
}

// foldKin folds how a ticket stands to others.
func (t *Ticket) foldKin(e Event) {
	switch e.Kind {
	case Linked:
		t.related(e)
	case ChildChanged:
		t.heard(*e.Detail.Child)
	case Merged:
		t.merged(e)
	case StormJoined:
		t.Storm = *e.Link
	case StormLeft:
		t.Storm = Link{}
	}
}

// begin folds what a ticket is born with beyond its opening.
func (t *Ticket) begin(e Event) {
	if e.Detail == nil {
		return
	}
	t.say(e.Detail.Facts)
	t.ContractFacts, t.Terms = e.Contract, e.Detail.Terms
}

// weigh folds what says how much the ticket matters, and by whose terms.
func (t *Ticket) weigh(e Event) {
	if e.Detail != nil {
		t.say(e.Detail.Facts)
	}
	switch e.Kind {
	case FactsChanged:
		t.System = refiled(e, t.System)
		// what the house adds to the story says nothing of what it matters, nor do facts that verbs set
		t.Pinned = t.Pinned && (e.Actor.Kind == House || e.Detail != nil && e.Detail.What == pinned)
		return
	case Rebased:
		t.ContractFacts = e.Contract
		if d := e.Detail; d != nil {
			t.Terms, t.Policy, t.PolicyVersion = d.Terms, d.Policy, d.Version
		}
		t.Pinned = t.Pinned && t.Priority == e.Priority
	default:
		t.Pinned = e.Detail != nil && e.Detail.What == pinned
	}
	t.Severity, t.Priority, t.Because = e.Severity, e.Priority, e.Because
	t.judged()
}

// refiled is the system that a ticket is filed under after an event.
func refiled(e Event, was string) string {
	if e.Kind == FactsChanged && e.Detail != nil && e.Detail.Facts[FactSystem] != "" {
		return e.Detail.Facts[FactSystem]
	}
	return was
}

// acknowledge keeps the first acknowledgement, the first by a person where a machine's came before it: that is the one the
// first response is measured by.
func (t *Ticket) acknowledge(e Event) {
	person := e.Actor.Kind == Person
	if t.AcknowledgedAt.IsZero() || t.AutoAcked && person {
		t.AcknowledgedAt, t.AcknowledgedBy, t.AutoAcked = e.At, e.Actor.Name, !person
	}
}

// started keeps when work began first.
func (t *Ticket) started(e Event) {
	t.Wait = nil
	if t.StartedAt.IsZero() {
		t.StartedAt = e.At
	}
}

// waited folds the beginning and the end of a wait, and dates that the client was promised.
func (t *Ticket) waited(e Event) error {
	d := e.Detail
	switch {
	case d == nil, e.Kind == WaitBegan && d.Wait == nil, e.Kind == Promised && d.Promise == nil:
		return fmt.Errorf("%w: event %d (%s) says nothing of it", ErrTimeline, e.Seq, e.Kind)
	case e.Kind == WaitBegan:
		w := *d.Wait
		t.State, t.Wait = Waiting, &w
	case e.Kind == Promised:
		t.Promises = append(slices.Clip(t.Promises), *d.Promise)
	default:
		t.Wait, t.State = nil, State(d.What)
		if t.State == InProgress && t.StartedAt.IsZero() {
			t.StartedAt = e.At
		}
	}
	return nil
}

// related folds a link. A Ticket is a value: its copies keep theirs.
func (t *Ticket) related(e Event) {
	t.Links = append(slices.Clip(t.Links), *e.Link)
	if e.Detail != nil && e.Detail.What == parent {
		link := *e.Link
		t.Parent = &link
	}
}

// merged folds the end of a ticket that became part of another.
func (t *Ticket) merged(e Event) {
	link := *e.Link
	t.State, t.ClosedAt, t.Merged = Shut, e.At, &link
	t.Wait, t.Handoff = nil, nil
	if t.ResolvedAt.IsZero() {
		t.ResolvedAt, t.ResolvedBy, t.Resolution = e.At, e.Actor, e.Text
	}
}

// see keeps an alert as last seen, in the order of first sight.
func (t *Ticket) see(a *incident.Alert, own owned) {
	if a == nil {
		return
	}
	if own != nil {
		own.see(t, a)
		return
	}
	for i := range t.Alerts {
		if t.Alerts[i].ID == a.ID {
			t.Alerts = append([]incident.Alert(nil), t.Alerts...) // a Ticket is a value: its copies keep theirs
			t.Alerts[i] = *a
			return
		}
	}
	t.Alerts = append(t.Alerts[:len(t.Alerts):len(t.Alerts)], *a)
}

// see keeps an alert of t in place.
func (own owned) see(t *Ticket, a *incident.Alert) {
	if i, seen := own[a.ID]; seen {
		t.Alerts[i] = *a
		return
	}
	own[a.ID] = len(t.Alerts)
	t.Alerts = append(t.Alerts, *a)
}

// asSeen is the attached alert with this ID, or none.
func (t *Ticket) asSeen(id string, own owned) incident.Alert {
	if i, seen := own[id]; seen {
		return t.Alerts[i]
	}
	if own != nil {
		return incident.Alert{}
	}
	a, _ := t.alert(id)
	return a
}

// alert is the attached alert with this ID.
func (t Ticket) alert(id string) (incident.Alert, bool) {
	for _, a := range t.Alerts {
		if a.ID == id {
			return a, true
		}
	}
	return incident.Alert{}, false
}
