// Package store keeps what must survive: tickets, alert states, agents' events, the outbox, the fleet and its shapes.
// Every record carries a checksum; the whole has a format version. Store is the one interface of this house that is
// not its user's: two implementations and one suite (storetest) earn it.
package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// Errors a caller can act on; test with errors.Is.
var (
	// ErrConflict: a ticket's version is not the one the append expected. Decide again from what is there now.
	ErrConflict = errors.New("changed meanwhile")
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("not found")
	// ErrOpenTwice: another ticket is already open under this incident key.
	ErrOpenTwice = errors.New("a ticket is already open for this incident")
	// ErrDamaged: a record does not match its checksum. Nothing of it was served.
	ErrDamaged = errors.New("store is damaged")
	// ErrFull: the disk has no room for what is asked; nothing was changed, reading goes on.
	ErrFull = errors.New("disk is full")
	// ErrLocked: another process has the store.
	ErrLocked = errors.New("store is in use by another process")
	// ErrNewer: the store was written by a newer release.
	ErrNewer = errors.New("store was written by a newer release")
	// ErrDisk: the disk failed to write or to sync. Whether the last change is durable cannot be known; nothing more is
	// written until the store is opened again, reading goes on.
	ErrDisk = errors.New("disk does not keep what is written")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)

// DefaultLimit is what a limit of 0 means.
const DefaultLimit = 1000

// Store is the transactional home of hard state.
type Store interface {
	// Update runs fn in one transaction and returns when it is durable. fn must be pure: it may run more than once, on
	// different states. decision names the change for good: when it was already committed, fn is not run and nil is
	// returned, so that a caller who could not tell whether its commit went through asks again with the same name. An
	// empty decision is for changes that may safely happen twice. An error from fn leaves no trace and is returned as
	// it is.
	Update(ctx context.Context, decision string, fn func(Tx) error) error
	// View runs fn on one consistent state, without changing it. Views are short.
	View(ctx context.Context, fn func(Tx) error) error
	Close() error
}

// AlertState is one alert of one rule as it must survive a restart.
type AlertState struct {
	Origin rules.Origin `json:"origin"`
	Alert  rules.Alert  `json:"alert"`

	// id and encoded are the alert's identity and record, when Prepared has made them.
	id      string
	encoded []byte
}

// ID is the alert's identity.
func (s AlertState) ID() string {
	if s.id != "" {
		return s.id
	}
	return rules.AlertID(s.Origin.ID, s.Alert.Labels)
}

// Prepared is s with its record made beforehand: outside of the transaction that keeps it, where others wait. It must not
// be changed afterwards.
func (s AlertState) Prepared() (AlertState, error) {
	var b bytes.Buffer
	if err := encodeJSON(&b, s); err != nil {
		return s, fmt.Errorf("encode alert %s: %w", s.ID(), err)
	}
	s.id, s.encoded = s.ID(), bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return s, nil
}

// HostEvent is an event an agent reported, with the asset it happened on.
type HostEvent struct {
	Asset  string            `json:"asset"`
	Epoch  uint64            `json:"epoch"`
	ID     uint64            `json:"id"`
	Kind   string            `json:"kind"`
	At     time.Time         `json:"at"`
	Text   string            `json:"text"`
	Fields map[string]string `json:"fields,omitempty"`
}

// KeepEvents is how long an agent's events are kept: tickets have taken in by then what they need of them. How many come
// in that time is bounded at the way in.
const KeepEvents = 30 * 24 * time.Hour

// Deadline is the next time a ticket wants looking at although nobody touches it.
type Deadline struct {
	At     time.Time `json:"at"`
	Ticket string    `json:"ticket"`
}

// Order is the order of a list of tickets.
type Order string

// The orders. An empty one is Newest.
const (
	// Newest is by OpenedAt, the newest first.
	Newest Order = "newest"
	// InQueue is by the places that PutPlace gave, the first of the queue first. It lists open tickets alone.
	InQueue Order = "queue"
)

// Scope is the part of the tickets that somebody may see: those of these customers. One without customers holds none.
type Scope struct {
	Customers []string
	// Department leaves out of them what another department owned as it was opened; empty leaves out nothing. The customer
	// of this ID is the department itself, all of whose tickets are in it. A ticket that no department owned is its customer's.
	Department string
	// Former are further customers, of whom only those tickets are in it that Department owned as they were opened.
	Former []string
}

// Holds tells whether a ticket of a customer is in it; department is the one that owned the customer as it was opened.
func (s *Scope) Holds(customer, department string) bool {
	switch {
	case s == nil:
		return true
	case slices.Contains(s.Customers, customer):
		return s.Department == "" || department == "" || department == s.Department || customer == s.Department
	}
	return department != "" && department == s.Department && slices.Contains(s.Former, customer)
}

// TicketFilter selects tickets; zero fields select all.
type TicketFilter struct {
	// OpenOnly leaves out resolved and closed tickets; it reads the open tickets' index alone.
	OpenOnly bool
	State    ticket.State
	Customer string
	// Scope leaves out the tickets of every customer that it does not hold; nil leaves out none.
	Scope    *Scope
	Asset    string
	Priority string
	// Department and Contract are the customer's as the ticket was opened: its facts of these names.
	Department string
	Contract   string
	// Owner is a party, Assignee a person.
	Owner    string
	Assignee string
	Kind     string
	Type     string
	// Parent is the ID of the ticket that they were opened because of.
	Parent string
	// AtRisk selects tickets with a clock that runs and is at risk, Breached those with a clock that was breached.
	AtRisk   bool
	Breached bool
	// Storm selects the tickets that are bound to the storm with this ID; Folded leaves out all that are bound to one.
	Storm  string
	Folded bool
	Order  Order
	// OpenedFrom leaves out what was opened before it; the zero time leaves out none. During selects tickets that something
	// happened to within it, or may have: some that nothing did are selected, too, none that something did is left out. Only
	// EachTicket looks at the two.
	OpenedFrom time.Time
	During     ticket.Span
	// After is the ID of a ticket after which, in the list's order, the answer begins: the last one of the page before.
	// ErrNotFound when there is no such ticket, or when it is not in the list any more (resolved, in a list of open ones).
	After string
	// Limit bounds the answer; 0 means DefaultLimit.
	Limit int
}

// ClockCount names clocks that are counted together: those of one name, state and policy.
type ClockCount struct {
	Policy, Clock string
	State         sla.State
}

// Override puts somebody else on call for a while.
type Override struct {
	ID string `json:"id"`
	// Rota is the rota's name, Person the ID of who is on call in it from From until Until.
	Rota   string    `json:"rota"`
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	// By made it at At.
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// Held is something to be told that waits to be told together with more of its kind, or for the morning.
type Held struct {
	ID string `json:"id"`
	// At is when it is to be looked at.
	At time.Time `json:"at"`
	// Body is its caller's.
	Body json.RawMessage `json:"body"`
}

// Silence is what somebody said is not to open tickets for a while.
type Silence struct {
	ID string `json:"id"`
	// Body is its caller's.
	Body json.RawMessage `json:"body"`
}

// Muted is an alert that fires and was kept from opening a ticket. Its AlertState is kept beside it.
type Muted struct {
	// ID is the alert's.
	ID string `json:"id"`
	// Body is its caller's.
	Body json.RawMessage `json:"body"`
}

// Fed is an alert that another program sent.
type Fed struct {
	ID string `json:"id"`
	// Body is its caller's.
	Body json.RawMessage `json:"body"`
}

// Recurrence is a task that comes again and again: when the next ticket of it opens.
type Recurrence struct {
	// ID names it for good: the same customer, type and asset have the same one.
	ID       string `json:"id"`
	Customer string `json:"customer"`
	// Type is one of the types of the customer's terms.
	Type  string `json:"type"`
	Site  string `json:"site,omitempty"`
	Asset string `json:"asset,omitempty"`
	// At is when the next one opens. It is always set.
	At time.Time `json:"at"`
	// Last is the ID of the ticket that opened last; empty before the first.
	Last string `json:"last,omitempty"`
	// Every is the period by which At was found; zero where an older release kept none.
	Every time.Duration `json:"every,omitempty"`
	// About is what a single ticket is about that does not come by the type's own period: support/asset/web1/2026-10-31,
	// intake/helpdesk. Since is what its time counts from, By who brought that about; zero and empty where nobody did.
	About string    `json:"about,omitempty"`
	Since time.Time `json:"since,omitzero"`
	By    string    `json:"by,omitempty"`
}

// Tx is one transaction, and ends with its closure. A limit of 0 means DefaultLimit. Newest and oldest are by OpenedAt,
// CreatedAt or At, and by ID among equals.
type Tx interface {
	fleet.Records

	// PutAlert keeps an active alert, DeleteAlert forgets it.
	PutAlert(AlertState) error
	DeleteAlert(id string) error
	Alerts() ([]AlertState, error)

	// CreateTicket stores a new ticket and its timeline (already sealed, Seq 1…t.Seq) and, when it is open, takes its key
	// in the open-key index. ErrOpenTwice when the key is taken, ErrConflict when the ID or the number is,
	// ticket.ErrChain when the timeline does not end where t says.
	CreateTicket(t ticket.Ticket, timeline []ticket.Event) error
	// AppendTicket appends sealed events to a ticket whose Seq is still expect, replaces its projection by t, and keeps
	// the indexes true: open key (released when t.State is not open, taken again when it is), state, deadline.
	// ErrConflict when the version differs, ErrOpenTwice when the key was taken by another ticket meanwhile,
	// ticket.ErrChain when the events do not follow the stored ones or do not end where t says.
	AppendTicket(expect int, t ticket.Ticket, events []ticket.Event) error
	// Ticket finds by ID; TicketByNumber by what people say (WB-1042). ErrNotFound.
	Ticket(id string) (ticket.Ticket, error)
	TicketByNumber(number string) (ticket.Ticket, error)
	// OpenTicket is the open ticket under an incident key; LastTicket the newest one ever, open or not.
	OpenTicket(key string) (ticket.Ticket, bool, error)
	LastTicket(key string) (ticket.Ticket, bool, error)
	// TicketsByKey is every ticket ever opened under a key, newest first, at most limit.
	TicketsByKey(key string, limit int) ([]ticket.Ticket, error)
	Timeline(id string) ([]ticket.Event, error)
	// Tickets lists, in the filter's order. A list in the queue's order, and one of some customers, reads its index from
	// its beginning on until it has found as many as are asked for.
	Tickets(f TicketFilter) ([]ticket.Ticket, error)
	// EachTicket hands every ticket that f selects to do, one at a time and in no particular order, and keeps none of them:
	// what it needs does not grow with the tickets. It looks at no Order, After and Limit. do may read, and the first error of
	// it ends the reading and is returned.
	EachTicket(f TicketFilter, do func(ticket.Ticket) error) error
	// CountClocks counts the clocks of open tickets, as the last change of each left them. It reads the open tickets' index.
	CountClocks() (map[ClockCount]int, error)
	// ReportedTicket is the newest (reopened ones as of then) open ticket of a fault that a person reported, by the key that the incident would have had
	// if monitoring had found it; false when there is none.
	ReportedTicket(incident string) (ticket.Ticket, bool, error)
	// PutPlace gives an open ticket its place in the queue: places are compared as bytes, the smallest is first, equal ones
	// stand by age. It stays until another is given or the ticket is not open any more; giving one to a ticket that is
	// not open does nothing. An open ticket without a place stands behind all that have one, the severest first.
	// ErrNotFound when there is no such ticket.
	PutPlace(ticketID string, place []byte) error
	// Unplaced are the open tickets without a place, at most limit.
	Unplaced(limit int) ([]ticket.Ticket, error)
	// NextNumber takes the next ticket number; the first is 1001.
	NextNumber() (int, error)

	// PutEvidence stores the body named by event seq of a ticket, or removes it (redaction, expiry) when body is empty;
	// Evidence reads it, false when it is not there. Bodies are bytes: their digest is in the event.
	PutEvidence(ticketID string, seq int, body []byte) error
	Evidence(ticketID string, seq int) ([]byte, bool, error)

	// PutDeadline sets the ticket's only deadline; the zero time clears it.
	PutDeadline(ticketID string, at time.Time) error
	// DueDeadlines are those not after now, earliest first, at most limit; next is the earliest one after them, zero
	// when there is none. It reads the index, it does not scan tickets.
	DueDeadlines(now time.Time, limit int) (due []Deadline, next time.Time, err error)

	// PutTerms keeps a document of terms under its digest for good; one that is there already stays as it is. Terms reads
	// it, false when it is not there.
	PutTerms(digest string, document []byte) error
	Terms(digest string) ([]byte, bool, error)

	// PutOverride keeps an override of an on-call rota, in place of one of that ID; DeleteOverride forgets it. Overrides
	// are all of them, by ID.
	PutOverride(Override) error
	DeleteOverride(id string) error
	Overrides() ([]Override, error)

	// PutRecurrence keeps a recurrence, in place of one of that ID; DeleteRecurrence forgets it; Recurrence reads it, false
	// when it is not there. Recurrences are all of them, by ID.
	PutRecurrence(Recurrence) error
	Recurrence(id string) (Recurrence, bool, error)
	DeleteRecurrence(id string) error
	Recurrences() ([]Recurrence, error)
	// DueRecurrences are those whose time is not after now, earliest first, at most limit, and when the next one is due;
	// zero when there is none.
	DueRecurrences(now time.Time, limit int) ([]Recurrence, time.Time, error)

	// PutHeld keeps what is held, in place of one of that ID; DeleteHeld forgets it. DueHeld are those whose time is not
	// after now, earliest first, at most limit, and when the next one is due; zero when there is none.
	PutHeld(Held) error
	DeleteHeld(id string) error
	DueHeld(now time.Time, limit int) ([]Held, time.Time, error)

	// PutSilence keeps a silence, in place of one of that ID; DeleteSilence forgets it. Silences are all of them, by ID.
	PutSilence(Silence) error
	DeleteSilence(id string) error
	Silences() ([]Silence, error)
	// PutMuted notes that an alert was kept from opening a ticket, in place of what was noted of it; Unmute forgets it.
	// Muted reads it, false when the alert is not among them. AllMuted are all of them, by ID.
	PutMuted(Muted) error
	Unmute(alertID string) error
	Muted(alertID string) (Muted, bool, error)
	AllMuted() ([]Muted, error)

	// PutFed keeps an alert that another program sent, in place of one of that ID; DeleteFed forgets it. Fed are all of
	// them, by ID.
	PutFed(Fed) error
	DeleteFed(id string) error
	Fed() ([]Fed, error)

	// PutCounted notes an alert that a ticket counts and does not list, in place of what that ticket noted of it; DropCounted
	// forgets it. Counted reads it, false when nothing is noted. CountedOf are all of a ticket, by alert.
	PutCounted(ticket.Counted) error
	DropCounted(ticketID, alertID string) error
	Counted(ticketID, alertID string) (ticket.Counted, bool, error)
	CountedOf(ticketID string) ([]ticket.Counted, error)

	// PutEvent keeps an agent's event under (asset, epoch, id); false when it was already there. Events of the asset that
	// are older than this one by more than KeepEvents are forgotten by and by.
	PutEvent(HostEvent) (bool, error)
	// Events are the newest events of an asset since a time, newest first, at most limit.
	Events(asset string, since time.Time, limit int) ([]HostEvent, error)

	PutMessage(outbox.Message) error
	Message(id string) (outbox.Message, error)
	DeleteMessage(id string) error
	// DueMessages are queued messages whose NextAt is not after now, earliest first, and when the next falls due.
	DueMessages(now time.Time, limit int) ([]outbox.Message, time.Time, error)
	// Messages lists messages in a state, or all when it is empty, oldest first, at most limit.
	Messages(state outbox.MessageState, limit int) ([]outbox.Message, error)

	// PutStorm keeps what is known of a storm, under the ID of its head's ticket; Storm reads it, ErrNotFound. Storms are
	// those that are not over yet, by ID.
	PutStorm(incident.Storm) error
	Storm(id string) (incident.Storm, error)
	Storms() ([]incident.Storm, error)
	// PutStormMember says that a ticket is bound to a storm, and whether it stands (is open); DropStormMember that it is
	// bound no more. StormMembers are the IDs of a storm's tickets, at most limit: those that stand before the others.
	PutStormMember(storm, ticketID string, stands bool) error
	DropStormMember(storm, ticketID string) error
	StormMembers(storm string, limit int) (ids []string, err error)
	// PutOwed says that the ticket of an alert wants evidence that was left out when it opened; DropOwed that it wants it
	// no more. Owed are such alerts, by ID, at most limit.
	PutOwed(alertID string) error
	DropOwed(alertID string) error
	Owed(limit int) (alertIDs []string, err error)

	// Decided tells whether a decision of this name was committed, also within Update's own; Decide makes this transaction
	// that decision too. So one transaction can hold the decisions of several callers, each of whom asks by its own name.
	Decided(decision string) (bool, error)
	Decide(decision string) error

	// Tally is what was counted under a name, 0 when nothing was; AddTally adds to it, or takes off it down to 0.
	Tally(name string) (int, error)
	AddTally(name string, by int) error

	// Incarnation counts the collector's starts; NextIncarnation adds one and returns it.
	NextIncarnation() (uint64, error)
	// Installation names this house for good, whatever it is called: by the first fresh one that it was ever given. A backup
	// that is put back is the same house.
	Installation(fresh string) (string, error)

	// Reincarnate makes a store that was restored from a backup safe to work with beside what the world saw since: ticket
	// numbers and incarnations continue where none can have been issued before, queued messages are parked, unused
	// enrolment tokens are void. It answers what it did, which LastRestore tells from then on.
	Reincarnate(Reincarnation) (Restore, error)
	// LastRestore is the newest restore of this store, false when there was none.
	LastRestore() (Restore, bool, error)
}
