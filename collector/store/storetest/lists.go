package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// numbers are the tickets' numbers, in order.
func numbers(ts []ticket.Ticket) (out []string) {
	for _, t := range ts {
		out = append(out, t.Number)
	}
	return out
}

func wantList(t *testing.T, s store.Store, what string, f store.TicketFilter, want ...string) {
	t.Helper()
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Tickets(f)
		same(t, what, numbers(got), want)
		return err
	})
}

// testQueueOrder: a place is kept through every append, and left when the ticket is not open any more.
func testQueueOrder(t *testing.T, s store.Store) {
	queue := store.TicketFilter{Order: store.InQueue}
	for i, place := range []string{"c", "a", "b\x00", "b"} {
		made := create(t, s, 1001+i, fmt.Sprint("key ", i), day.Add(time.Duration(i)*time.Minute))
		update(t, s, func(tx store.Tx) error { return tx.PutPlace(made.ID, []byte(place)) })
	}
	wantList(t, s, "the queue", queue, "WB-1002", "WB-1004", "WB-1003", "WB-1001")
	ticketOf := func(n int) (got ticket.Ticket) {
		view(t, s, func(tx store.Tx) (err error) {
			got, err = tx.TicketByNumber(fmt.Sprint("WB-", n))
			return err
		})
		return got
	}
	advance(t, s, ticketOf(1002), ticket.Acked)
	wantList(t, s, "after one is acknowledged", queue, "WB-1002", "WB-1004", "WB-1003", "WB-1001")
	update(t, s, func(tx store.Tx) error { return tx.PutPlace(ticketOf(1001).ID, []byte("b")) })
	wantList(t, s, "of one place, by age", queue, "WB-1002", "WB-1001", "WB-1004", "WB-1003")
	done := advance(t, s, ticketOf(1002), ticket.Done)
	update(t, s, func(tx store.Tx) error { return tx.PutPlace(done.ID, []byte("a")) })
	wantList(t, s, "after one is resolved and given a place", queue, "WB-1001", "WB-1004", "WB-1003")
	advance(t, s, done, ticket.Again)
	wantList(t, s, "reopened, it has no place yet", queue, "WB-1001", "WB-1004", "WB-1003", "WB-1002")
	update(t, s, func(tx store.Tx) error { return tx.PutPlace(done.ID, nil) })
	wantList(t, s, "the empty place is the first", queue, "WB-1002", "WB-1001", "WB-1004", "WB-1003")
	wantList(t, s, "two of them", store.TicketFilter{Order: store.InQueue, Limit: 2}, "WB-1002", "WB-1001")
	err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutPlace("nobody", []byte("a")) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a place for no ticket: %v", err)
	}
}

// testUnplaced: tickets without a place stand last, by severity and age, and can be asked for.
func testUnplaced(t *testing.T, s store.Store) {
	for i, severity := range []incident.Severity{incident.Info, incident.Critical, incident.Warning, incident.Critical} {
		o, _ := Birth(1001+i, fmt.Sprint("key ", i), day)
		made, line := born(o.Opening, day.Add(time.Duration(i)*time.Minute))
		made.Severity = severity
		update(t, s, func(tx store.Tx) error { return tx.CreateTicket(made, line) })
	}
	queue := store.TicketFilter{Order: store.InQueue}
	wantList(t, s, "nobody has a place", queue, "WB-1002", "WB-1004", "WB-1003", "WB-1001")
	var third ticket.Ticket
	view(t, s, func(tx store.Tx) (err error) {
		third, err = tx.TicketByNumber("WB-1003")
		return err
	})
	next, line := Next(third, ticket.Acked, day)
	next.Severity = incident.Critical // it became worse
	update(t, s, func(tx store.Tx) error { return tx.AppendTicket(third.Seq, next, line) })
	wantList(t, s, "one became worse", queue, "WB-1002", "WB-1003", "WB-1004", "WB-1001")
	update(t, s, func(tx store.Tx) error { return tx.PutPlace(next.ID, []byte("z")) })
	wantList(t, s, "one has a place", queue, "WB-1003", "WB-1002", "WB-1004", "WB-1001")
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Unplaced(0)
		same(t, "unplaced", numbers(all), []string{"WB-1002", "WB-1004", "WB-1001"})
		two, err2 := tx.Unplaced(2)
		same(t, "two of them", numbers(two), []string{"WB-1002", "WB-1004"})
		return errors.Join(err, err2)
	})
}

// testScopes: every word of a filter, alone and in both orders.
func testScopes(t *testing.T, s store.Store) {
	parent := create(t, s, 1000, "the parent", day.Add(-time.Hour))
	var all []ticket.Ticket
	for i := range 24 {
		o, _ := Birth(1001+i, fmt.Sprint("key ", i), day)
		o.Customer = []string{"acme", "zeta", "beta"}[i%3]
		o.Owner, o.Kind, o.Type = []string{"first level", "developer"}[i%2], []string{"incident", "request"}[i/2%2], []string{"", "amendment"}[i/3%2]
		made, line := born(o.Opening, day.Add(time.Duration(i)*time.Second))
		made.Facts = ticket.Facts{"department": []string{"sas", ""}[i%2], "contract": []string{"c1", "c2"}[i/4%2]}
		made.Assignee = []string{"", "ada"}[i/5%2]
		if i%6 == 1 {
			made.Parent = &ticket.Link{Relation: "child of", Ticket: parent.ID, Number: parent.Number}
		}
		made.Clocks = clocks(i)
		update(t, s, func(tx store.Tx) error {
			return errors.Join(tx.CreateTicket(made, line), tx.PutPlace(made.ID, []byte{byte(i * 7 % 5)}))
		})
		if i%4 == 3 {
			made = advance(t, s, made, ticket.Done)
		}
		all = append(all, made)
	}
	update(t, s, func(tx store.Tx) error { return tx.PutPlace(parent.ID, []byte{9}) })
	all = append(all, parent)
	for name, f := range map[string]store.TicketFilter{
		"scope of two":            {Scope: &store.Scope{Customers: []string{"zeta", "acme", "zeta"}}},
		"scope of nobody":         {Scope: &store.Scope{}},
		"one out of scope":        {Scope: &store.Scope{Customers: []string{"zeta"}}, Customer: "acme"},
		"one within scope":        {Scope: &store.Scope{Customers: []string{"zeta", "acme"}}, Customer: "acme"},
		"two of a scope":          {Scope: &store.Scope{Customers: []string{"zeta", "acme"}}, Limit: 2},
		"open of a scope":         {Scope: &store.Scope{Customers: []string{"zeta", "acme"}}, OpenOnly: true},
		"a department's":          {Scope: &store.Scope{Customers: []string{"acme"}, Department: "sas"}},
		"another department's":    {Scope: &store.Scope{Customers: []string{"acme"}, Department: "two"}},
		"a department by itself":  {Scope: &store.Scope{Customers: []string{"acme"}, Department: "acme"}},
		"a former customer's":     {Scope: &store.Scope{Department: "sas", Former: []string{"zeta", "beta", "nobody"}}},
		"one former customer's":   {Scope: &store.Scope{Department: "sas", Former: []string{"zeta", "beta"}}, Customer: "beta"},
		"nobody's former one":     {Scope: &store.Scope{Department: "two", Former: []string{"zeta"}}},
		"some open of a customer": {Customer: "acme", OpenOnly: true, Limit: 3},
		"resolved of a customer":  {Customer: "acme", State: ticket.Done},
		"department":              {Department: "sas"},
		"contract":                {Contract: "c2"},
		"owner":                   {Owner: "developer"},
		"assignee":                {Assignee: "ada"},
		"kind":                    {Kind: "request"},
		"type":                    {Type: "amendment"},
		"parent":                  {Parent: parent.ID},
		"parent and customer":     {Parent: parent.ID, Customer: "zeta", OpenOnly: true},
		"no such parent":          {Parent: "nobody"},
		"at risk":                 {AtRisk: true},
		"breached":                {Breached: true},
	} {
		wantSelected(t, s, name, f, all)
		wantEach(t, s, name, f, all)
		f.Order = store.InQueue
		wantSelected(t, s, name+", in the queue", f, all)
	}
}

// wantSelected compares a list with what a search through all gives; places are as testScopes gives them.
func wantSelected(t *testing.T, s store.Store, name string, f store.TicketFilter, all []ticket.Ticket) {
	t.Helper()
	m := newModel()
	for i, made := range all {
		m.tickets[made.ID], m.places[made.ID] = made, string([]byte{byte(i * 7 % 5)})
		if i == len(all)-1 {
			m.places[made.ID] = "\x09"
		}
	}
	want := m.list(func(t ticket.Ticket) bool { return selected(f, t) })
	if f.Order == store.InQueue {
		m.inQueue(want)
	}
	if f.Limit > 0 {
		want = want[:min(f.Limit, len(want))]
	}
	wantList(t, s, name, f, numbers(want)...)
}

// wantEach compares what is handed out one at a time with what a search through all gives.
func wantEach(t *testing.T, s store.Store, name string, f store.TicketFilter, all []ticket.Ticket) {
	t.Helper()
	var got, want []string
	for _, one := range all {
		if selected(f, one) && (f.Order != store.InQueue || one.State.Open()) {
			want = append(want, one.Number)
		}
	}
	view(t, s, func(tx store.Tx) error {
		got = nil
		return tx.EachTicket(f, func(one ticket.Ticket) error {
			got = append(got, one.Number)
			return nil
		})
	})
	slices.Sort(got)
	slices.Sort(want)
	same(t, name+", each", got, want)
}

// testEach: what a time selects, over more tickets than are read at once; a fault ends it.
func testEach(t *testing.T, s store.Store) {
	hour := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }
	made := openHourly(t, s, hour)
	for name, tt := range map[string]struct {
		f      store.TicketFilter
		closed int
		open   int
		early  bool
	}{
		"everything":              {store.TicketFilter{}, 201, 400, true},
		"opened from":             {store.TicketFilter{OpenedFrom: hour(300)}, 100, 200, true},
		"of a day and since open": {store.TicketFilter{During: ticket.Span{From: hour(30), Until: hour(60)}}, 11, 40, true},
		"received in a day":       {store.TicketFilter{OpenedFrom: hour(30), During: ticket.Span{From: hour(30), Until: hour(60)}}, 10, 20, true},
		"before what came early":  {store.TicketFilter{During: ticket.Span{Until: hour(20)}}, 8, 13, false},
		"after what lasted ended": {store.TicketFilter{During: ticket.Span{From: hour(300), Until: hour(330)}}, 10, 220, true},
		"of a customer":           {store.TicketFilter{Customer: "nobody"}, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			closed, open, has := 0, 0, false
			view(t, s, func(tx store.Tx) error {
				closed, open, has = 0, 0, false
				return tx.EachTicket(tt.f, func(one ticket.Ticket) error {
					switch _, err := tx.Timeline(one.ID); {
					case err != nil:
						return err
					case one.ID == made.ID:
						has = true
					case one.State.Open():
						open++
					default:
						closed++
					}
					return nil
				})
			})
			// Hours are rounded up, so that a neighbour may be in it, never left out.
			if closed < tt.closed || closed > tt.closed+1 || open < tt.open || open > tt.open+1 || has != tt.early {
				t.Errorf("%d closed, %d open, the early one %v; want %d, %d, %v", closed, open, has, tt.closed, tt.open, tt.early)
			}
		})
	}
	testEachEnds(t, s)
}

// openHourly opens 600 tickets, one an hour, of which every third is closed a minute later, one that was received long before
// it was opened, which it gives, and one that lasted from the first hour to the two hundredth.
func openHourly(t *testing.T, s store.Store, hour func(int) time.Time) ticket.Ticket {
	t.Helper()
	const tickets = 600
	for i := range tickets {
		made := create(t, s, 1001+i, fmt.Sprint("key ", i), hour(i))
		if i%3 == 0 {
			advance(t, s, made, ticket.Shut) // a minute later
		}
	}
	early, _ := Birth(5000, "key of one received early", hour(500))
	early.ReceivedAt = hour(20)
	made, line := born(early.Opening, hour(500))
	update(t, s, func(tx store.Tx) error { return tx.CreateTicket(made, line) })
	advance(t, s, made, ticket.Shut)
	long := create(t, s, 5001, "key of one that lasted", hour(0))
	next, more := Next(long, ticket.Shut, hour(200), "mended at last")
	update(t, s, func(tx store.Tx) error { return tx.AppendTicket(long.Seq, next, more) })
	return made
}

// testEachEnds: what the function says ends the reading, and is what the reader gives.
func testEachEnds(t *testing.T, s store.Store) {
	t.Helper()
	n, enough := 0, errors.New("enough")
	err := s.View(context.Background(), func(tx store.Tx) error {
		n = 0
		return tx.EachTicket(store.TicketFilter{}, func(ticket.Ticket) error {
			if n++; n == 300 {
				return enough
			}
			return nil
		})
	})
	if n != 300 || !errors.Is(err, enough) {
		t.Errorf("ended after %d with %v", n, err)
	}
}

// clocks gives every fourth ticket one of another fate.
func clocks(i int) []sla.Clock {
	c := sla.Clock{Name: "response", Start: day}
	switch i % 8 {
	case 0:
		c.AtRisk = true
	case 2:
		c.AtRisk, c.Pauses = true, []sla.Pause{{From: day, Reason: "for the client"}}
	case 4:
		c.AtRisk, c.EndedAt, c.End = true, day, sla.Met
	case 6:
		c.BreachedAt = day
	default:
		return nil
	}
	return []sla.Clock{c}
}

// pagesOf is how many tickets testPages leafs through.
const pagesOf = 2500

// testPages: a page begins after the last ticket of the one before, whatever happened to that one meanwhile.
func testPages(t *testing.T, s store.Store) {
	var made []ticket.Ticket
	update(t, s, func(tx store.Tx) error {
		made = nil
		for i := range pagesOf { // more than a list reads at a time, and more than the queue looks at one by one
			o, _ := Birth(1001+i, fmt.Sprint("key ", i), day)
			o.Customer = []string{"acme", "zeta"}[i%2]
			m, line := born(o.Opening, day.Add(time.Duration(i/3)*time.Second))
			if i%211 == 0 {
				m.Assignee = "ada"
			}
			if err := errors.Join(tx.CreateTicket(m, line), tx.PutPlace(m.ID, []byte{byte(i * 7919 % 251)})); err != nil {
				return err
			}
			made = append(made, m)
		}
		return nil
	})
	for name, f := range map[string]store.TicketFilter{
		"newest": {}, "open": {OpenOnly: true}, "queue": {Order: store.InQueue},
		"of a customer": {Customer: "zeta"}, "queue of a customer": {Customer: "zeta", Order: store.InQueue},
		"open of a customer": {Customer: "zeta", OpenOnly: true},
		"of two":             {Scope: &store.Scope{Customers: []string{"acme", "zeta"}}, Order: store.InQueue},
		"hard to find":       {Customer: "acme", Owner: "nobody"},
		"few of the queue":   {Order: store.InQueue, Assignee: "ada"},
	} {
		leafThrough(t, s, name, f)
	}
	first := made[len(made)-1]
	advance(t, s, first, ticket.Done)
	view(t, s, func(tx store.Tx) error {
		if _, err := tx.Tickets(store.TicketFilter{Order: store.InQueue, After: first.ID}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after a ticket that left the queue: %v", err)
		}
		if _, err := tx.Tickets(store.TicketFilter{After: "nobody"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("after no ticket: %v", err)
		}
		rest, err := tx.Tickets(store.TicketFilter{OpenOnly: true, After: first.ID, Limit: pagesOf})
		if len(rest) != len(made)-1 || slices.Contains(numbers(rest), first.Number) {
			t.Errorf("%d open tickets after the newest, which is resolved; want %d", len(rest), len(made)-1)
		}
		return err
	})
}

// leafThrough reads a list in pages and in whole: it is the same, and so is its beginning alone.
func leafThrough(t *testing.T, s store.Store, name string, f store.TicketFilter) {
	t.Helper()
	f.Limit = pagesOf
	view(t, s, func(tx store.Tx) error {
		whole, err := tx.Tickets(f)
		if err != nil {
			return err
		}
		var paged []ticket.Ticket
		page := f
		for page.Limit = 337; ; page.After = paged[len(paged)-1].ID {
			more, err := tx.Tickets(page)
			if err != nil {
				return err
			}
			if paged = append(paged, more...); len(more) < page.Limit {
				break
			}
		}
		first := f
		first.Limit = 3 // what is few and asked for in few is the same
		few, err := tx.Tickets(first)
		same(t, name+", the first", numbers(few), numbers(whole[:min(3, len(whole))]))
		same(t, name, numbers(paged), numbers(whole))
		if len(whole) == 0 && name != "hard to find" {
			t.Errorf("%s: nothing to leaf through", name)
		}
		return err
	})
}

// testReported: the newest open ticket of a fault that a person reported is found by its incident; those of other faults,
// of other kinds and resolved ones are not.
func testReported(t *testing.T, s store.Store) {
	const incident = "acme asset/web1 filesystem"
	report := func(n int, change func(*ticket.Opening)) ticket.Ticket {
		o, _ := Birth(n, fmt.Sprint("ticket/", n), day)
		o.Reporter = "Cleo"
		if change != nil {
			change(&o.Opening)
		}
		made, line := born(o.Opening, day.Add(time.Duration(n)*time.Second))
		update(t, s, func(tx store.Tx) error { return tx.CreateTicket(made, line) })
		return made
	}
	wants := func(what, number string) {
		t.Helper()
		view(t, s, func(tx store.Tx) error {
			got, ok, err := tx.ReportedTicket(incident)
			if got.Number != number || ok != (number != "") {
				t.Errorf("%s: %s, %v; want %q", what, got.Number, ok, number)
			}
			return err
		})
	}
	wants("nobody reported it", "")
	report(1001, func(o *ticket.Opening) { o.Reporter = "" })
	report(1002, func(o *ticket.Opening) { o.Kind = ticket.KindRequest })
	report(1003, func(o *ticket.Opening) { o.Asset = "web2" })
	report(1004, func(o *ticket.Opening) { o.Service = "" })
	wants("what is no report of it", "")
	first := report(1005, nil)
	second := report(1006, nil)
	wants("two reports", "WB-1006")
	second = advance(t, s, second, ticket.Acked)
	wants("the newest is acknowledged", "WB-1006")
	second = advance(t, s, second, ticket.Done)
	wants("the newest is resolved", "WB-1005")
	first = advance(t, s, first, ticket.Done)
	wants("both are", "")
	advance(t, s, second, ticket.Again)
	wants("one is reopened", "WB-1006")
	advance(t, s, first, ticket.Again)
	wants("the other too", "WB-1005")
	for n := range 40 { // only so many are known
		report(1100+n, nil)
	}
	wants("many", "WB-1139")
}

func testCountClocks(t *testing.T, s store.Store) {
	for i := range 16 {
		o, _ := Birth(1001+i, fmt.Sprint("key ", i), day)
		o.Policy = []string{"a", "b"}[i%2]
		made, line := born(o.Opening, day)
		made.Clocks = clocks(i)
		update(t, s, func(tx store.Tx) error { return tx.CreateTicket(made, line) })
		if i >= 12 {
			advance(t, s, made, ticket.Done)
		}
	}
	view(t, s, func(tx store.Tx) error {
		got, err := tx.CountClocks()
		same(t, "clocks", got, map[store.ClockCount]int{
			{Policy: "a", Clock: "response", State: sla.StateAtRisk}: 2, {Policy: "a", Clock: "response", State: sla.StatePaused}: 2,
			{Policy: "a", Clock: "response", State: sla.StateMet}: 1, {Policy: "a", Clock: "response", State: sla.StateBreached}: 1,
		})
		return err
	})
}
