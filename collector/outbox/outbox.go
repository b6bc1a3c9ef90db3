// Package outbox delivers what was committed: every message at least once, whatever crashes.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrRefused marks a refusal that no retry can mend: the message is buried and shown.
var ErrRefused = errors.New("refused by the receiver")

// MessageState is where a message stands.
type MessageState string

// The states of a message. A delivered one is deleted.
const (
	Queued MessageState = "queued"
	Buried MessageState = "buried"
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

// Queue is where messages wait. Every method is durable when it returns.
type Queue interface {
	// Due returns up to limit queued messages whose NextAt is not after now, earliest first, and when the next one
	// falls due (zero when none waits).
	Due(ctx context.Context, now time.Time, limit int) ([]Message, time.Time, error)
	// Done forgets a delivered message.
	Done(ctx context.Context, id string) error
	// Retry records a failed attempt at now and waits until next.
	Retry(ctx context.Context, id string, now, next time.Time, cause error) error
	// Bury records a message that no retry can mend.
	Bury(ctx context.Context, id string, now time.Time, cause error) error
}

// Sender delivers one message. It returns an error wrapping ErrRefused when no retry can mend it.
type Sender interface {
	Send(ctx context.Context, m Message) error
}
