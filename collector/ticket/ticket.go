// Package ticket is the work item that carries the incident record. A ticket is a fold over its timeline; this package
// decides what is appended to it. It is pure: it reads no clock and does no I/O.
package ticket

import (
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// State is where a ticket stands in its life.
type State string

// The states of a ticket. Waiting waits for what the lifecycle will give it.
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

	// Alerts are those that were ever attached, oldest first, as last seen.
	Alerts []incident.Alert `json:"alerts"`
	Links  []Link           `json:"links,omitempty"`
	// Flap is set while the ticket flaps; Flips are the newest changes of its alerts while it does not.
	Flap  Flap   `json:"flap,omitzero"`
	Flips []Flip `json:"flips,omitempty"`
	// Storm is the head of the storm that the ticket is bound to; zero when it is to none.
	Storm Link `json:"storm,omitzero"`

	// Seq and Head are the last event's number and hash: the version that the next append expects.
	Seq  int    `json:"seq"`
	Head string `json:"head"`
}

// Firing is the number of attached alerts that still stand.
func (t Ticket) Firing() int {
	n := 0
	for _, a := range t.Alerts {
		if a.Firing() {
			n++
		}
	}
	return n
}
