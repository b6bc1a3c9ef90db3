// Package route says who owns a ticket, who is told of what becomes of it, and when somebody else has to be. It is pure:
// it reads no clock and does no I/O.
package route

import (
	"time"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Terms is the routing part of a resolved policy: plain data, kept with ticket.Terms under one digest. Rotas are not in
// it: who is on call is asked of those in force now.
type Terms struct {
	// Owners is the ownership map: the first that holds gives the owner. Default is the owner where none does.
	Owners  []OwnerRule `json:"owners,omitempty"`
	Default string      `json:"default"`
	// Reports is the party that user reports go to first; empty: as for detected faults.
	Reports string `json:"reports,omitempty"`
	// Parties are all parties that a ticket may be handed to, with what they are.
	Parties []Party `json:"parties"`
	// Escalations say where a party hands on to, by reason: infrastructure → hosting provider.
	Escalations []Escalation `json:"escalations,omitempty"`
	Notices     []NoticeRule `json:"notices,omitempty"`
	// Templates are external messages by name, with {{placeholders}} of a closed list.
	Templates map[string]string `json:"templates,omitempty"`
	Ladder    []Rung            `json:"ladder,omitempty"`
	// Quiet are the hours in which notices of some priorities wait for the morning.
	Quiet *QuietHours `json:"quiet,omitempty"`
	// Urgent are the priorities whose notices wait for nothing: no quiet hours, no digest before the first page. Empty: the
	// worst priority of the ticket's policy alone.
	Urgent []string `json:"urgent,omitempty"`
	// Fallback overrides, role by role, who is told instead where nobody has a role; see Fallbacks.
	Fallback map[string]string `json:"fallback,omitempty"`
	// External parties' messages are drafts for the department that owns the customer. Terms are one customer's: where no
	// department owns it, whoever resolves them leaves it false, and the messages go out directly.
	Drafts bool `json:"drafts,omitempty"`
}

// Party is who can own a ticket.
type Party struct {
	Name string `json:"name"` // first-level, second-level, it-provider, hosting-provider, developer, client-owner …
	// Role is the contacts' role that stands for it, Rota the on-call rota of it.
	Role string `json:"role,omitempty"`
	Rota string `json:"rota,omitempty"`
	// Same is another party that this one is one with, when When holds: handoffs between them are internal.
	Same string      `json:"same,omitempty"`
	When ticket.When `json:"when,omitempty"`
}

// OwnerRule is one row of the ownership map: systems (words of the map; empty: any) under a condition on facts (model,
// phase, kind, type, detected, reported …).
type OwnerRule struct {
	Systems []string    `json:"systems,omitempty"`
	When    ticket.When `json:"when,omitempty"`
	Owner   string      `json:"owner"`
	// Source is the set or the contract's exception that says so.
	Source string `json:"source"`
}

// Escalation says to whom a ticket is handed on for a reason.
type Escalation struct {
	Reason string      `json:"reason"`
	When   ticket.When `json:"when,omitempty"`
	To     string      `json:"to"`
}

// Target is somebody to tell: exactly one field is set.
type Target struct {
	Role  string `json:"role,omitempty"`  // contacts of the customer, its department, the operator: the nearest who has it
	Party string `json:"party,omitempty"` // "owner" for the ticket's, "offered" and "offering" for those of a handoff
	Rota  string `json:"rota,omitempty"`
	// Person by ID; "assignee" for the ticket's, "reporter" for who reported it.
	Person string `json:"person,omitempty"`
	// Receivers: "all" for every receiver of the configuration, or one's name.
	Receiver string `json:"receiver,omitempty"`
}

// NoticeRule says who is told when something happens to a ticket.
type NoticeRule struct {
	Name string `json:"name"`
	// On are kinds of events; "*" for all that are told.
	On   []string    `json:"on"`
	When ticket.When `json:"when,omitempty"`
	To   []Target    `json:"to"`
	// Template makes it an external message by that template: a draft where Terms.Drafts says so.
	Template string `json:"template,omitempty"`
	// Letter is the template of what those addressees of an internal rule are sent who are not of the house; without one they
	// are sent what somebody writes.
	Letter string `json:"letter,omitempty"`
}

// Rung is a step of a ladder: at a share of a clock somebody further up is told.
type Rung struct {
	Name  string      `json:"name"`
	Clock string      `json:"clock"`
	Share float64     `json:"share"` // of the clock's own time; 1 is the due instant, more comes after it
	When  ticket.When `json:"when,omitempty"`
	To    []Target    `json:"to"`
	// AckFor is how long an acknowledgement keeps the next telling of this rung away, in the time of its clock; 0: it is told
	// once. See Due.
	AckFor time.Duration `json:"ack_for,omitempty"`
	// Letter is as in NoticeRule.
	Letter string `json:"letter,omitempty"`
}

// QuietHours are local hours in which notices of these priorities wait.
type QuietHours struct {
	Zone       string   `json:"zone"`
	From       string   `json:"from"` // 22:00
	To         string   `json:"to"`   // 07:00
	Priorities []string `json:"priorities"`
}

// Person is somebody who can be told.
type Person struct {
	ID, Name, Email, Phone string
	Receivers              []string
}

// People knows who has which role; its user's adapter over the fleet.
type People interface {
	// Contacts are who has a role for a customer: its own, else its department's, else the operator's. For the customer ""
	// they are the operator's.
	Contacts(customer, role string) []Person
	Person(id string) (Person, bool)
}

// Directory knows besides who is of the house.
type Directory interface {
	People
	// Side is where somebody stands: internal notices are for nobody of a client.
	Side(p Person) Side
}

// Side is where somebody stands.
type Side int

// The sides: nobody knows, of the house (the operator, departments, parties), of a client.
const (
	Unplaced Side = iota
	House
	Client
)

// Rota is who is on call, in turns.
type Rota struct {
	Name string
	Zone string
	// People are IDs; or Role, whose contacts at the operator take turns in their order.
	People []string
	Role   string
	// Start is the first handover, Every the length of a turn: handovers keep their wall time across DST.
	Start time.Time
	Every time.Duration
	// Hours bounds the rota to a calendar's hours ("inside" or "outside" of it); empty: always.
	Hours string
	// Calendar is the one whose hours Hours means; holidays are what it says.
	Calendar  sla.Spec
	Overrides []Override

	// roster is what Ready made.
	roster *roster
}

// Override puts somebody else on call for a while: within the rota's hours and outside of them, for somebody was named for
// just that time. Where two overlap the newest wins: the later At, among equals the later in the list.
type Override struct {
	ID     string    `json:"id"`
	Rota   string    `json:"rota"`
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	// At is when it was made.
	At     time.Time `json:"at,omitzero"`
	Reason string    `json:"reason,omitempty"`
}
