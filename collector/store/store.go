// Package store keeps what must survive: tickets, alert states, agents' events, the outbox, the fleet and its shapes.
// Every record carries a checksum; the whole has a format version. Store is the one interface of this house that is
// not its user's: two implementations and one suite (storetest) earn it.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
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

// TicketFilter selects tickets; zero fields select all.
type TicketFilter struct {
	// OpenOnly leaves out resolved and closed tickets; it reads the open tickets' index alone.
	OpenOnly bool
	State    ticket.State
	Customer string
	Asset    string
	Priority string
	// Storm selects the tickets that are bound to the storm with this ID; Folded leaves out all that are bound to one.
	Storm  string
	Folded bool
	// Limit bounds the answer, newest first; 0 means DefaultLimit.
	Limit int
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
	// Tickets lists, newest first.
	Tickets(f TicketFilter) ([]ticket.Ticket, error)
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

	// Incarnation counts the collector's starts; NextIncarnation adds one and returns it.
	NextIncarnation() (uint64, error)

	// Reincarnate makes a store that was restored from a backup safe to work with beside what the world saw since: ticket
	// numbers and incarnations continue where none can have been issued before, queued messages are parked, unused
	// enrolment tokens are void. It answers what it did, which LastRestore tells from then on.
	Reincarnate(Reincarnation) (Restore, error)
	// LastRestore is the newest restore of this store, false when there was none.
	LastRestore() (Restore, bool, error)
}
