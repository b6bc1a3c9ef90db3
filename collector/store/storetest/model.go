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
	places    map[string]string
	events    map[eventID]store.HostEvent
	messages  map[string]outbox.Message
	number    int
}

type eventID struct {
	asset     string
	epoch, id uint64
}

func newModel() model {
	return model{alerts: map[string]store.AlertState{}, tickets: map[string]ticket.Ticket{}, lines: map[string][]ticket.Event{}, places: map[string]string{},
		deadlines: map[string]time.Time{}, events: map[eventID]store.HostEvent{}, messages: map[string]outbox.Message{}, number: 1000}
}

func (m model) clone() model {
	return model{alerts: maps.Clone(m.alerts), tickets: maps.Clone(m.tickets), lines: maps.Clone(m.lines), places: maps.Clone(m.places),
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
	if !t.State.Open() {
		delete(m.places, t.ID)
	}
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
	parent := ""
	if t.Parent != nil {
		parent = t.Parent.Ticket
	}
	atRisk, breached := false, false
	for _, c := range t.Clocks {
		atRisk = atRisk || c.AtRisk && c.EndedAt.IsZero() && !c.Paused()
		breached = breached || !c.BreachedAt.IsZero()
	}
	for _, words := range [][2]string{{string(f.State), string(t.State)}, {f.Customer, t.Customer}, {f.Asset, t.Asset},
		{f.Priority, t.Priority}, {f.Department, t.Facts["department"]}, {f.Contract, t.Facts["contract"]}, {f.Owner, t.Owner},
		{f.Assignee, t.Assignee}, {f.Kind, t.Kind}, {f.Type, t.Type}, {f.Parent, parent}} {
		if words[0] != "" && words[0] != words[1] {
			return false
		}
	}
	return (!f.OpenOnly && f.Order != store.InQueue || t.State.Open()) && (!f.AtRisk || atRisk) && (!f.Breached || breached) &&
		(f.Scope == nil || inScope(*f.Scope, t))
}

// inScope is the contract of a scope said anew.
func inScope(s store.Scope, t ticket.Ticket) bool {
	department := t.Facts["department"]
	if department != "" && department == s.Department && slices.Contains(s.Former, t.Customer) {
		return true
	}
	others := s.Department != "" && department != "" && department != s.Department && t.Customer != s.Department
	return slices.Contains(s.Customers, t.Customer) && !others
}

// inQueue sorts open tickets as the queue has them: those with a place first.
func (m model) inQueue(ts []ticket.Ticket) {
	slices.SortFunc(ts, func(a, b ticket.Ticket) int {
		placeA, okA := m.places[a.ID]
		placeB, okB := m.places[b.ID]
		age := cmp.Or(a.OpenedAt.Compare(b.OpenedAt), cmp.Compare(a.ID, b.ID))
		switch {
		case okA && okB:
			return cmp.Or(cmp.Compare(placeA, placeB), age)
		case okA:
			return -1
		case okB:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), age)
	})
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
