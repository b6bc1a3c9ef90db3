package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// testModel runs random transactions on a store and on the model and wants the same answers.
func testModel(t *testing.T, open func(t testing.TB) store.Store) {
	s := open(t)
	defer s.Close()
	rounds := 0
	rapid.Check(t, func(r *rapid.T) {
		rounds++
		// One store serves all rounds: names carry the round, so rounds do not see each other.
		w := &world{T: r, prefix: fmt.Sprintf("%05d-", rounds), model: newModel()}
		w.clear(s)
		for range rapid.IntRange(1, 6).Draw(r, "transactions") {
			w.transaction(s)
			if err := s.View(context.Background(), w.compare); err != nil {
				r.Fatal(err)
			}
		}
	})
}

// world is one round: the model, and what is drawn.
type world struct {
	*rapid.T
	prefix string
	model  model
}

// op does one thing to the model now and returns how the store is to do it, with the error to expect.
type op struct {
	name string
	want error
	do   func(store.Tx) error
}

func (w *world) transaction(s store.Store) {
	before := w.model.clone()
	var ops []op
	for range rapid.IntRange(1, 8).Draw(w.T, "operations") {
		ops = append(ops, w.op())
	}
	fails := rapid.IntRange(0, 4).Draw(w.T, "fails") == 0
	err := Rerun(s).Update(context.Background(), "", func(tx store.Tx) error {
		for _, o := range ops {
			if err := o.do(tx); !errors.Is(err, o.want) || o.want == nil && err != nil {
				return fmt.Errorf("%s: got %v, want %v", o.name, err, o.want)
			}
		}
		if fails {
			return errTest
		}
		return nil
	})
	if fails {
		w.model = before
	}
	if fails != errors.Is(err, errTest) || !fails && err != nil {
		w.Fatalf("transaction: %v", err)
	}
}

func (w *world) name(what string, n int) string {
	return w.prefix + what + fmt.Sprint(rapid.IntRange(1, n).Draw(w.T, what))
}

func (w *world) time(what string) time.Time {
	return day.Add(time.Duration(rapid.IntRange(-3, 3).Draw(w.T, what)) * time.Minute)
}

func (w *world) op() op {
	kinds := map[string]func() op{"put alert": w.putAlert, "delete alert": w.deleteAlert, "create": w.create, "append": w.append,
		"deadline": w.deadline, "place": w.place, "event": w.event, "put message": w.putMessage, "delete message": w.deleteMessage}
	kind := rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(w.T, "operation")
	o := kinds[kind]()
	o.name = kind
	return o
}

func (w *world) putAlert() op {
	a := alert(w.name("rule", 2), w.name("asset", 2), float64(rapid.IntRange(0, 9).Draw(w.T, "value")))
	w.model.alerts[a.ID()] = a
	return op{do: func(tx store.Tx) error { return tx.PutAlert(a) }}
}

func (w *world) deleteAlert() op {
	a := alert(w.name("rule", 2), w.name("asset", 2), 0)
	delete(w.model.alerts, a.ID())
	return op{do: func(tx store.Tx) error { return tx.DeleteAlert(a.ID()) }}
}

func (w *world) create() op {
	o, _ := Birth(1, w.name("key", 3), day)
	o.ID, o.Number = w.name("ticket", 6), w.name("number", 6)
	o.Customer, o.Asset = w.name("customer", 2), w.name("asset", 2)
	t, line := born(o.Opening, w.time("opened"))
	return op{want: w.model.create(t, line), do: func(tx store.Tx) error { return tx.CreateTicket(t, line) }}
}

func (w *world) append() op {
	t, known := w.model.tickets[w.name("ticket", 6)]
	if !known {
		t, _ = Birth(1, "nothing", day)
		t.ID = w.prefix + "unknown"
	}
	state := rapid.SampledFrom([]ticket.State{ticket.Acked, ticket.Done, ticket.Shut, ticket.Again}).Draw(w.T, "state")
	next, line := Next(t, state, w.time("changed"), []string{"a", "b"}[:rapid.IntRange(0, 2).Draw(w.T, "notes")]...)
	next.Priority = rapid.SampledFrom([]string{"P1", "P2"}).Draw(w.T, "priority")
	next.Severity = rapid.SampledFrom([]incident.Severity{incident.Critical, incident.Info}).Draw(w.T, "severity")
	next.Assignee = rapid.SampledFrom([]string{"", "ada"}).Draw(w.T, "assignee")
	expect := t.Seq - rapid.IntRange(0, 5).Draw(w.T, "behind")/5
	return op{want: w.model.extend(expect, next, line), do: func(tx store.Tx) error { return tx.AppendTicket(expect, next, line) }}
}

func (w *world) place() op {
	id, place := w.name("ticket", 6), rapid.SampledFrom([]string{"", "a", "a\x00", "a\x00\xff", "b", "\xff"}).Draw(w.T, "place")
	t, known := w.model.tickets[id]
	if !known {
		return op{want: store.ErrNotFound, do: func(tx store.Tx) error { return tx.PutPlace(id, []byte(place)) }}
	}
	if t.State.Open() {
		w.model.places[id] = place
	}
	return op{do: func(tx store.Tx) error { return tx.PutPlace(id, []byte(place)) }}
}

func (w *world) deadline() op {
	id, at := w.name("ticket", 6), w.time("deadline")
	if rapid.IntRange(0, 3).Draw(w.T, "cleared") == 0 {
		delete(w.model.deadlines, id)
		return op{do: func(tx store.Tx) error { return tx.PutDeadline(id, time.Time{}) }}
	}
	w.model.deadlines[id] = at
	return op{do: func(tx store.Tx) error { return tx.PutDeadline(id, at) }}
}

func (w *world) event() op {
	e := store.HostEvent{Asset: w.name("asset", 2), Epoch: uint64(rapid.IntRange(1, 2).Draw(w.T, "epoch")),
		ID: uint64(rapid.IntRange(1, 3).Draw(w.T, "id")), Kind: "reboot", At: w.time("at")}
	k := eventID{e.Asset, e.Epoch, e.ID}
	_, known := w.model.events[k]
	if !known {
		w.model.events[k] = e
	}
	return op{do: func(tx store.Tx) error {
		fresh, err := tx.PutEvent(e)
		if err == nil && fresh == known {
			err = fmt.Errorf("event %v: new %v, known before %v", k, fresh, known)
		}
		return err
	}}
}

func (w *world) putMessage() op {
	m := message(w.name("message", 4), 0, 0)
	m.CreatedAt, m.NextAt = w.time("created"), w.time("next")
	m.State = rapid.SampledFrom([]outbox.MessageState{outbox.Queued, outbox.Queued, outbox.Buried}).Draw(w.T, "message state")
	w.model.messages[m.ID] = m
	return op{do: func(tx store.Tx) error { return tx.PutMessage(m) }}
}

func (w *world) deleteMessage() op {
	id := w.name("message", 4)
	delete(w.model.messages, id)
	return op{do: func(tx store.Tx) error { return tx.DeleteMessage(id) }}
}

// clear empties what lists would show of the rounds before this one.
func (w *world) clear(s store.Store) {
	err := s.Update(context.Background(), "", func(tx store.Tx) error {
		alerts, err := tx.Alerts()
		messages, err2 := tx.Messages("", 0)
		deadlines, _, err3 := tx.DueDeadlines(day.AddDate(1, 0, 0), 0)
		errs := []error{err, err2, err3}
		for _, a := range alerts {
			errs = append(errs, tx.DeleteAlert(a.ID()))
		}
		for _, m := range messages {
			errs = append(errs, tx.DeleteMessage(m.ID))
		}
		for _, d := range deadlines {
			errs = append(errs, tx.PutDeadline(d.Ticket, time.Time{}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) want(what string, got, want any, err error) {
	if err != nil {
		w.Fatalf("%s: %v", what, err)
	}
	if d := gocmp.Diff(want, got, equal); d != "" {
		w.Fatalf("%s: wanted -, got +\n%s", what, d)
	}
}

// compare asks the store everything that the model knows.
func (w *world) compare(tx store.Tx) error {
	m := w.model
	alerts, err := tx.Alerts()
	slices.SortFunc(alerts, func(a, b store.AlertState) int { return strings.Compare(a.ID(), b.ID()) })
	var want []store.AlertState
	for _, id := range slices.Sorted(maps.Keys(m.alerts)) {
		want = append(want, m.alerts[id])
	}
	w.want("alerts", alerts, want, err)
	w.compareTickets(tx)
	for _, now := range []time.Time{day.Add(-4 * time.Minute), day, day.Add(4 * time.Minute)} {
		for _, limit := range []int{2, 1000} {
			due, next, err := tx.DueDeadlines(now, limit)
			wantDue, wantNext := m.due(now, limit)
			w.want("deadlines", due, wantDue, err)
			w.want("next deadline", next, wantNext, nil)
			messages, next, err := tx.DueMessages(now, limit)
			wantMessages, wantNext := m.dueMessages(now, limit)
			w.want("due messages", messages, wantMessages, err)
			w.want("next message", next, wantNext, nil)
		}
	}
	for _, state := range []outbox.MessageState{"", outbox.Queued, outbox.Buried} {
		got, err := tx.Messages(state, 0)
		w.want("messages", got, m.messagesIn(state), err)
	}
	for _, asset := range []string{"asset1", "asset2"} {
		got, err := tx.Events(w.prefix+asset, day, 0)
		w.want("events", got, m.eventsOf(w.prefix+asset, day), err)
	}
	return nil
}

func (w *world) compareTickets(tx store.Tx) {
	m := w.model
	for id, t := range m.tickets {
		got, err := tx.Ticket(id)
		w.want("ticket", got, t, err)
		got, err = tx.TicketByNumber(t.Number)
		w.want("ticket by number", got, t, err)
		line, err := tx.Timeline(id)
		w.want("timeline", line, m.lines[id], err)
	}
	for i := range 3 {
		key := fmt.Sprint(w.prefix, "key", i+1)
		open, ok, err := tx.OpenTicket(key)
		wantOpen, wantOK := m.open(key)
		w.want("open ticket", open, wantOpen, err)
		w.want("whether one is open", ok, wantOK, nil)
		byKey, err := tx.TicketsByKey(key, 0)
		w.want("tickets by key", byKey, m.list(func(t ticket.Ticket) bool { return t.Key == key }), err)
	}
	both := &store.Scope{Customers: []string{w.prefix + "customer2", w.prefix + "customer1", w.prefix + "customer1"}}
	for _, f := range []store.TicketFilter{{Customer: w.prefix + "customer1"}, {Asset: w.prefix + "asset2", OpenOnly: true},
		{Customer: w.prefix + "customer2", State: ticket.Acked}, {Customer: w.prefix + "customer1", State: ticket.Done, Priority: "P2"},
		{Scope: both, OpenOnly: true}, {Scope: both, Order: store.InQueue}, {Scope: both, Order: store.InQueue, Assignee: "ada"},
		{Customer: w.prefix + "customer1", Order: store.InQueue}, {Asset: w.prefix + "asset1", Order: store.InQueue}} {
		want := m.list(func(t ticket.Ticket) bool { return selected(f, t) })
		if f.Order == store.InQueue {
			m.inQueue(want)
		}
		got, err := tx.Tickets(f)
		w.want(fmt.Sprintf("tickets %+v", f), got, want, err)
		w.comparePages(tx, f, want)
	}
}

// comparePages asks for a list two at a time.
func (w *world) comparePages(tx store.Tx, f store.TicketFilter, want []ticket.Ticket) {
	f.Limit = 2
	for at := 0; at < len(want); at += 2 {
		got, err := tx.Tickets(f)
		w.want(fmt.Sprintf("page %+v", f), got, want[at:min(at+2, len(want))], err)
		f.After = want[min(at+1, len(want)-1)].ID
	}
}
