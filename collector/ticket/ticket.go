// Package ticket is the work item that carries the incident record. A ticket is a fold over its timeline; this package
// decides what is appended to it. It is pure: it reads no clock and does no I/O.
package ticket

import (
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// State is where a ticket stands in its life.
type State string

// The states of a ticket.
const (
	New        State = "new"
	Acked      State = "acknowledged"
	InProgress State = "in progress"
	Waiting    State = "waiting"
	Done       State = "resolved"
	Shut       State = "closed"
	Again      State = "reopened"
)

// Open tells whether the ticket still wants work: neither resolved nor closed.
func (s State) Open() bool { return s != Done && s != Shut }

// Ticket is the fold of a timeline: what a queue row, a notice and the next decision need.
type Ticket struct {
	Opening
	State    State             `json:"state"`
	Severity incident.Severity `json:"severity"`
	Priority string            `json:"priority"`

	OpenedAt       time.Time `json:"opened_at"`
	AcknowledgedAt time.Time `json:"acknowledged_at,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitempty"`
	ResolvedAt     time.Time `json:"resolved_at,omitzero"`
	ResolvedBy     Actor     `json:"resolved_by,omitzero"`
	Resolution     string    `json:"resolution,omitempty"`
	ClosedAt       time.Time `json:"closed_at,omitzero"`
	Reopened       int       `json:"reopened,omitempty"`
	UpdatedAt      time.Time `json:"updated_at"`

	// Alerts are those that were ever attached, oldest first, as last seen: the first MaxAlerts, and the house's own. Crowd
	// counts the others.
	Alerts []incident.Alert `json:"alerts"`
	Crowd  Crowd            `json:"crowd,omitzero"`
	Links  []Link           `json:"links,omitempty"`
	// Flap is set while the ticket flaps; Flips are the newest changes of its alerts while it does not.
	Flap  Flap   `json:"flap,omitzero"`
	Flips []Flip `json:"flips,omitempty"`
	// Storm is the head of the storm that the ticket is bound to; zero when it is to none.
	Storm Link `json:"storm,omitzero"`

	// Clocks are its SLA clocks as the last event that changed them left them; Grounds are where they come from, by name.
	Clocks  []sla.Clock       `json:"clocks,omitempty"`
	Grounds map[string]Ground `json:"grounds,omitempty"`
	Work
	// ContractFacts names those of Facts that the contract gives, sorted: newer terms replace them and no others.
	ContractFacts []string `json:"contract_facts,omitempty"`
	// Pinned: a person set the priority outright, and no fact has changed since.
	Pinned bool `json:"pinned,omitempty"`
	// AutoAcked: the first acknowledgement was not a person's, so a person can still acknowledge.
	AutoAcked bool `json:"auto_acknowledged,omitempty"`
	// Held: it would have closed by itself, but a gate stood in the way; what a person does next lets it try again.
	Held bool `json:"held,omitempty"`

	// Seq and Head are the last event's number and hash: the version that the next append expects.
	Seq  int    `json:"seq"`
	Head string `json:"head"`
}

// Firing is the number of attached alerts that still stand, those that are counted and not listed among them.
func (t Ticket) Firing() int {
	n := t.Crowd.Firing
	for _, a := range t.Alerts {
		if a.Firing() {
			n++
		}
	}
	return n
}

// Received is when the ticket's clocks start; see Open. Tickets that were opened before there were clocks say when they
// were opened.
func (t Ticket) Received() time.Time {
	if t.ReceivedAt.IsZero() {
		return t.OpenedAt
	}
	return t.ReceivedAt
}

// After is what a ticket was opened with as the events that follow leave it: its title, its owner, its system and its
// policy change, nothing else ever does.
func (o Opening) After(events []Event) Opening {
	for _, e := range events {
		switch {
		case e.Kind == FactsChanged:
			o.System = refiled(e, o.System)
		case e.Kind == TitleChanged:
			o.Title = e.Text
		case e.Kind == HandoffTaken && e.Detail != nil && e.Detail.Handoff != nil:
			o.Owner = e.Detail.Handoff.To
		case e.Kind == Rebased && e.Detail != nil:
			o.Policy, o.PolicyVersion = e.Detail.Policy, e.Detail.Version
		}
	}
	return o
}
