package ticket

import (
	"errors"
	"fmt"

	"github.com/watchbill/watchbill/collector/incident"
)

// ErrTimeline marks a timeline that cannot be folded: it does not begin with Opened, or an event lacks what its kind
// needs.
var ErrTimeline = errors.New("timeline makes no ticket")

// Fold is the ticket that a timeline tells of. It trusts the chain; see VerifyChain.
func Fold(timeline []Event) (Ticket, error) {
	var t Ticket
	for _, e := range timeline {
		if err := t.apply(e); err != nil {
			return Ticket{}, err
		}
	}
	if t.Seq == 0 {
		return Ticket{}, fmt.Errorf("%w: it is empty", ErrTimeline)
	}
	return t, nil
}

// apply folds one event into t.
func (t *Ticket) apply(e Event) error {
	if (e.Kind == Opened) != (t.Seq == 0) {
		return fmt.Errorf("%w: event %d is %q", ErrTimeline, e.Seq, e.Kind)
	}
	switch e.Kind {
	case Opened:
		if e.Opening == nil {
			return fmt.Errorf("%w: event %d opens nothing", ErrTimeline, e.Seq)
		}
		t.Opening, t.State, t.OpenedAt = *e.Opening, New, e.At
		t.Severity, t.Priority = e.Severity, e.Priority
		t.see(e.Alert)
	case AlertAttached, AlertEnded, AlertRefired, StormOver:
		if e.Alert == nil {
			return fmt.Errorf("%w: event %d (%s) names no alert", ErrTimeline, e.Seq, e.Kind)
		}
		t.flipped(e)
		t.see(e.Alert)
	case FlappingBegan, Flipped, Settled:
		if err := t.flapping(e); err != nil {
			return err
		}
	case PriorityChanged:
		t.Severity, t.Priority = e.Severity, e.Priority
	case TitleChanged:
		t.Title = e.Text
	case Acknowledged:
		t.State = Acked
		t.acknowledge(e)
	case Started:
		t.State = InProgress
		t.acknowledge(e)
	case Resolved:
		t.State, t.ResolvedAt, t.ResolvedBy, t.Resolution = Done, e.At, e.Actor, e.Text
		if t.Flap = (Flap{}); e.Actor.Kind == Person { // who resolved it knows that it flaps, and wants to hear of it anew
			t.Flips = nil
		}
	case Closed:
		t.State, t.ClosedAt = Shut, e.At
	case Reopened:
		t.State = Again
		t.Reopened++
		t.ResolvedAt, t.ResolvedBy, t.Resolution = Ticket{}.ResolvedAt, Actor{}, ""
		t.ClosedAt = Ticket{}.ClosedAt
	case Linked:
		if e.Link == nil {
			return fmt.Errorf("%w: event %d links to nothing", ErrTimeline, e.Seq)
		}
		t.Links = append(t.Links, *e.Link)
	case StormJoined:
		if e.Link == nil {
			return fmt.Errorf("%w: event %d joins nothing", ErrTimeline, e.Seq)
		}
		t.Storm = *e.Link
	case StormLeft:
		t.Storm = Link{}
	}
	t.Seq, t.Head, t.UpdatedAt = e.Seq, e.Hash, e.At
	return nil
}

// acknowledge keeps the first acknowledgement: that is the one the first response is measured by.
func (t *Ticket) acknowledge(e Event) {
	if t.AcknowledgedAt.IsZero() {
		t.AcknowledgedAt, t.AcknowledgedBy = e.At, e.Actor.Name
	}
}

// see keeps an alert as last seen, in the order of first sight.
func (t *Ticket) see(a *incident.Alert) {
	if a == nil {
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

// alert is the attached alert with this ID.
func (t Ticket) alert(id string) (incident.Alert, bool) {
	for _, a := range t.Alerts {
		if a.ID == id {
			return a, true
		}
	}
	return incident.Alert{}, false
}
