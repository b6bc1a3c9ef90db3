package storetest

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// model is the Tx that one would write without indexes: maps, searched through.
type model struct {
	alerts    map[string]store.AlertState
	tickets   map[string]ticket.Ticket
	lines     map[string][]ticket.Event
	deadlines map[string]time.Time
	events    map[eventID]store.HostEvent
	messages  map[string]outbox.Message
	number    int
}

type eventID struct {
	asset     string
	epoch, id uint64
}

func newModel() model {
	return model{alerts: map[string]store.AlertState{}, tickets: map[string]ticket.Ticket{}, lines: map[string][]ticket.Event{},
		deadlines: map[string]time.Time{}, events: map[eventID]store.HostEvent{}, messages: map[string]outbox.Message{}, number: 1000}
}

func (m model) clone() model {
	return model{alerts: maps.Clone(m.alerts), tickets: maps.Clone(m.tickets), lines: maps.Clone(m.lines),
		deadlines: maps.Clone(m.deadlines), events: maps.Clone(m.events), messages: maps.Clone(m.messages), number: m.number}
}

// create and extend return the sentinel that the store must answer with.
func (m model) create(t ticket.Ticket, line []ticket.Event) error {
	for _, other := range m.tickets {
		if other.ID == t.ID || other.Number == t.Number {
			return store.ErrConflict
		}
	}
	if holder, ok := m.open(t.Key); ok && holder.ID != t.ID {
		return store.ErrOpenTwice
	}
	m.tickets[t.ID], m.lines[t.ID] = t, line
	return nil
}

func (m model) extend(expect int, t ticket.Ticket, line []ticket.Event) error {
	old, ok := m.tickets[t.ID]
	holder, held := m.open(t.Key)
	switch {
	case !ok:
		return store.ErrNotFound
	case old.Seq != expect:
		return store.ErrConflict
	case t.State.Open() && held && holder.ID != t.ID:
		return store.ErrOpenTwice
	}
	m.tickets[t.ID], m.lines[t.ID] = t, append(slices.Clone(m.lines[t.ID]), line...)
	return nil
}

func (m model) open(key string) (ticket.Ticket, bool) {
	for _, t := range m.tickets {
		if t.Key == key && t.State.Open() {
			return t, true
		}
	}
	return ticket.Ticket{}, false
}

func newestFirst(ts []ticket.Ticket) {
	slices.SortFunc(ts, func(a, b ticket.Ticket) int {
		return cmp.Or(b.OpenedAt.Compare(a.OpenedAt), cmp.Compare(b.ID, a.ID))
	})
}

func selected(f store.TicketFilter, t ticket.Ticket) bool {
	return (!f.OpenOnly || t.State.Open()) && (f.State == "" || t.State == f.State) && (f.Customer == "" || t.Customer == f.Customer) &&
		(f.Asset == "" || t.Asset == f.Asset) && (f.Priority == "" || t.Priority == f.Priority)
}

func (m model) list(keep func(ticket.Ticket) bool) []ticket.Ticket {
	var out []ticket.Ticket
	for _, t := range m.tickets {
		if keep(t) {
			out = append(out, t)
		}
	}
	newestFirst(out)
	return out
}

func (m model) due(now time.Time, limit int) (out []store.Deadline, next time.Time) {
	for id, at := range m.deadlines {
		out = append(out, store.Deadline{At: at, Ticket: id})
	}
	slices.SortFunc(out, func(a, b store.Deadline) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Ticket, b.Ticket)) })
	n := 0
	for n < len(out) && n < limit && !out[n].At.After(now) {
		n++
	}
	if n < len(out) {
		next = out[n].At
	}
	return out[:n], next
}

func (m model) dueMessages(now time.Time, limit int) (out []outbox.Message, next time.Time) {
	for _, msg := range m.messages {
		if msg.State == outbox.Queued {
			out = append(out, msg)
		}
	}
	slices.SortFunc(out, func(a, b outbox.Message) int { return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.ID, b.ID)) })
	n := 0
	for n < len(out) && n < limit && !out[n].NextAt.After(now) {
		n++
	}
	if n < len(out) {
		next = out[n].NextAt
	}
	return out[:n], next
}

func (m model) messagesIn(state outbox.MessageState) []outbox.Message {
	var out []outbox.Message
	for _, msg := range m.messages {
		if state == "" || msg.State == state {
			out = append(out, msg)
		}
	}
	slices.SortFunc(out, func(a, b outbox.Message) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (m model) eventsOf(asset string, since time.Time) []store.HostEvent {
	var out []store.HostEvent
	for _, e := range m.events {
		if e.Asset == asset && !e.At.Before(since) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b store.HostEvent) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Epoch, a.Epoch), cmp.Compare(b.ID, a.ID))
	})
	return out
}
