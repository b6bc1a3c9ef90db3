// Package outbox delivers what was committed: every message at least once, whatever crashes.
//
// A message is queued in the transaction that decided it, and forgotten only after its receiver took it. What happens
// between the two may happen twice: the message keeps its ID, by which a receiver can tell a repeat.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrRefused marks a refusal that no retry can mend: the message is buried and shown.
var ErrRefused = errors.New("refused by the receiver")

// RetryAfter is a failure that names the earliest time at which another attempt makes sense, as a receiver does with
// HTTP's Retry-After. The loop waits at least that long, but never longer than LookAhead.
type RetryAfter struct {
	Wait time.Duration
	Err  error
}

// Error is that of the failure itself.
func (e *RetryAfter) Error() string { return e.Err.Error() }

// Unwrap gives the failure.
func (e *RetryAfter) Unwrap() error { return e.Err }

// MessageState is where a message stands.
type MessageState string

// The states of a message. A delivered one is deleted.
const (
	Queued MessageState = "queued"
	Buried MessageState = "buried"
	// Parked: it was queued in a backup that was restored. It may have been delivered since the backup was written, so
	// only a person has it sent.
	Parked MessageState = "parked"
)

// Message is a notice on one channel.
type Message struct {
	// ID is the receiver's key for telling a repeat from a new message; it never changes.
	ID string `json:"id"`
	// Receiver is a name from the configuration.
	Receiver string `json:"receiver"`
	// Ticket is the ID of the ticket it is about; Number is what people call it.
	Ticket string `json:"ticket,omitempty"`
	Number string `json:"number,omitempty"`
	// Line keeps messages to one receiver in order that are about no ticket: those of one line arrive as they were created.
	Line string `json:"line,omitempty"`
	// What happened: opened, updated, resolved …
	What string `json:"what"`
	// Body is what the sender needs to render it, fixed when it was committed.
	Body      json.RawMessage `json:"body"`
	CreatedAt time.Time       `json:"created_at"`
	State     MessageState    `json:"state"`
	// NextAt is when delivery is tried next, while queued.
	NextAt    time.Time `json:"next_at"`
	Attempts  int       `json:"attempts"`
	LastError string    `json:"last_error,omitempty"`
	TriedAt   time.Time `json:"tried_at,omitzero"`
}

// Queue is where messages wait. Every method is durable when it returns. Done, Retry and Bury of a message that is
// gone do nothing and return nil: they are repeated when their answer was lost.
type Queue interface {
	// Due returns up to limit queued messages whose NextAt is not after now, earliest first, and when the next one
	// falls due (zero when none waits). The loop asks for up to LookAhead from now, to see what is to come first.
	Due(ctx context.Context, now time.Time, limit int) ([]Message, time.Time, error)
	// Done forgets a delivered message.
	Done(ctx context.Context, id string) error
	// Retry records a failed attempt at now (Attempts grows by one) and waits until next.
	Retry(ctx context.Context, id string, now, next time.Time, cause error) error
	// Bury records a message that no retry can mend.
	Bury(ctx context.Context, id string, now time.Time, cause error) error
}

// Sender delivers one message. It returns an error wrapping ErrRefused when no retry can mend it, and a *RetryAfter
// when the receiver said how long to wait. It returns soon after ctx ends. It is called from several goroutines at a
// time, for different tickets.
type Sender interface {
	Send(ctx context.Context, m Message) error
}
