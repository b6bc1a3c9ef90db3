package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

// Message is a notice that is not delivered yet.
type Message struct {
	ID        string              `json:"id"`
	Receiver  string              `json:"receiver"`
	TicketID  string              `json:"ticket"`
	Number    string              `json:"number"`
	What      string              `json:"what"`
	State     outbox.MessageState `json:"state"`
	CreatedAt time.Time           `json:"created_at"`
	// NextAt is when delivery is tried next, null for a message that is buried or parked.
	NextAt    *time.Time      `json:"next_at"`
	Attempts  int             `json:"attempts"`
	LastError string          `json:"last_error"`
	TriedAt   *time.Time      `json:"tried_at"`
	Body      json.RawMessage `json:"body"`
}

// MessageList is the outbox, oldest first.
type MessageList struct {
	Messages  []Message `json:"messages"`
	Truncated bool      `json:"truncated"`
}

const (
	defaultMessages = 100
	maxMessages     = 1000
)

func messageRow(m outbox.Message) Message {
	row := Message{ID: m.ID, Receiver: m.Receiver, TicketID: m.Ticket, Number: m.Number, What: m.What, State: m.State,
		CreatedAt: m.CreatedAt, Attempts: m.Attempts, LastError: m.LastError, TriedAt: orNull(m.TriedAt), Body: m.Body}
	if m.State == outbox.Queued {
		row.NextAt = orNull(m.NextAt)
	}
	return row
}

func (a *API) listMessages(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "state", "limit")
	if err != nil {
		return nil, err
	}
	state := outbox.MessageState(q.Get("state"))
	if state != "" && state != outbox.Queued && state != outbox.Buried && state != outbox.Parked {
		return nil, badRequest("states are: queued, buried, parked; a delivered message is gone", "state: no message is %q", state)
	}
	limit, err := limitOf(q.Get("limit"), defaultMessages, maxMessages)
	if err != nil {
		return nil, err
	}
	s := a.sight(who)
	var list MessageList
	err = a.o.Store.View(r.Context(), func(tx store.Tx) error {
		list = MessageList{Messages: []Message{}}
		found, err := s.messages(tx, state, limit+1)
		for i, m := range found {
			if i == limit {
				list.Truncated = true
				break
			}
			list.Messages = append(list.Messages, messageRow(m))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return list, nil
}

// messages are those about tickets that exist for the operator: what is internal only to who sees that.
func (s sight) messages(tx store.Tx, state outbox.MessageState, limit int) ([]outbox.Message, error) {
	if s.all() && s.inside() {
		return tx.Messages(state, limit)
	}
	if !s.inside() {
		return nil, nil // what waits here is told inside; what goes to the client stands on the ticket
	}
	all, err := tx.Messages(state, countLimit)
	if err != nil {
		return nil, err
	}
	out := []outbox.Message{}
	for _, m := range all {
		if len(out) == limit {
			break
		}
		ok := false
		if m.Ticket != "" {
			if ok, err = s.seesTicket(tx, m.Ticket); err != nil {
				return nil, err
			}
		}
		if ok {
			out = append(out, m)
		}
	}
	return out, nil
}

// minPrefix is how much of a message's ID must be given at least.
const minPrefix = 6

// findMessage finds by ID, or by how exactly one ID begins.
func findMessage(tx store.Tx, ref string) (outbox.Message, error) {
	m, err := tx.Message(ref)
	if !errors.Is(err, store.ErrNotFound) {
		return m, err
	}
	unknown := refusal(http.StatusNotFound, "not_found", "`watchbill outbox list` lists them; a delivered message is gone",
		"there is no message %q", ref)
	if len(ref) < minPrefix {
		if ref != "" {
			unknown.Hint = fmt.Sprintf("give the ID, or at least its first %d letters: `watchbill outbox list`", minPrefix)
		}
		return m, unknown
	}
	all, err := tx.Messages("", countLimit)
	if err != nil {
		return m, err
	}
	all = slices.DeleteFunc(all, func(m outbox.Message) bool { return !strings.HasPrefix(m.ID, ref) })
	switch len(all) {
	case 0:
		return m, unknown
	case 1:
		return all[0], nil
	}
	return m, refusal(http.StatusConflict, "ambiguous", "give more of the ID of the one that is meant",
		"the IDs of %d messages begin with %q", len(all), ref)
}

// ResendRequest says another way for a message; without one it goes the way that it was written for.
type ResendRequest struct {
	// Receiver takes the message in place of its own, which may be gone from the configuration.
	Receiver string `json:"receiver,omitempty"`
}

// rightWay refuses to give a message to a receiver that is not there, or that takes what it does not carry: notices of tickets
// or, for an Alertmanager, alerts.
func (a *API) rightWay(m outbox.Message, receiver string) error {
	notices, there := a.o.Receivers()[receiver]
	switch {
	case !there:
		return badRequest("`watchbill outbox list` shows the receivers of messages, the configuration has those to send to",
			"receiver: none is named %q", receiver)
	case notices == (m.Line != ""):
		return badRequest("alerts go to an Alertmanager only, and what is told of tickets to any other receiver",
			"receiver: %q does not take what message %s carries", receiver, m.ID)
	}
	return nil
}

// resendMessage queues a message for delivery at once, whatever its state: buried and parked ones live again, queued
// ones need not wait. The receiver tells a repeat by its ID, which stays. It may be another one than the message's own.
func (a *API) resendMessage(r *http.Request, who fleet.Operator) (any, error) {
	var want ResendRequest
	if err := decode(r, &want); err != nil {
		return nil, err
	}
	id, now := r.PathValue("id"), a.o.Now()
	var m outbox.Message
	err := a.o.Store.Update(r.Context(), "", func(tx store.Tx) error {
		var err error
		if m, err = findMessage(tx, id); err != nil {
			return err
		}
		if want.Receiver != "" {
			if err := a.rightWay(m, want.Receiver); err != nil {
				return err
			}
			m.Receiver = want.Receiver
		}
		m.State, m.NextAt, m.Attempts = outbox.Queued, now, 0
		return tx.PutMessage(m)
	})
	if err != nil {
		return nil, fmt.Errorf("resend message %s: %w", id, err)
	}
	a.o.Logger.Info("message queued again", "message", m.ID, "receiver", m.Receiver, "ticket", m.Number, "by", who.Name)
	a.o.Resent()
	return messageRow(m), nil
}

// dropMessage forgets a message that nobody shall hear any more: a buried one that is out of date, a parked one that was
// delivered before the backup was put back. A queued one is on its way and is not touched.
func (a *API) dropMessage(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	var m outbox.Message
	err := a.o.Store.Update(r.Context(), "", func(tx store.Tx) error {
		var err error
		if m, err = findMessage(tx, id); err != nil {
			return err
		}
		if m.State == outbox.Queued {
			return refusal(http.StatusConflict, "refused", "wait until it is delivered or buried",
				"message %s is on its way", id)
		}
		return tx.DeleteMessage(m.ID)
	})
	if err != nil {
		return nil, fmt.Errorf("drop message %s: %w", id, err)
	}
	a.o.Logger.Info("message dropped", "message", id, "receiver", m.Receiver, "ticket", m.Number, "what", m.What,
		"state", m.State, "by", who.Name)
	return Removed{Removed: m.ID}, nil
}
