package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func create(t *testing.T, s store.Store, n int, key string, at time.Time) ticket.Ticket {
	t.Helper()
	made, line := Birth(n, key, at)
	update(t, s, func(tx store.Tx) error { return tx.CreateTicket(made, line) })
	return made
}

func advance(t *testing.T, s store.Store, old ticket.Ticket, to ticket.State, notes ...string) ticket.Ticket {
	t.Helper()
	next, line := Next(old, to, old.UpdatedAt.Add(time.Minute), notes...)
	update(t, s, func(tx store.Tx) error { return tx.AppendTicket(old.Seq, next, line) })
	return next
}

func testTickets(t *testing.T, s store.Store) {
	made := create(t, s, 1001, "acme asset/web1 filesystem", day)
	acked := advance(t, s, made, ticket.Acked, "looking", "at it")
	view(t, s, func(tx store.Tx) error {
		byID, err := tx.Ticket(made.ID)
		byNumber, err2 := tx.TicketByNumber("WB-1001")
		open, ok, err3 := tx.OpenTicket(made.Key)
		last, ok2, err4 := tx.LastTicket(made.Key)
		line, err5 := tx.Timeline(made.ID)
		if err := errors.Join(err, err2, err3, err4, err5); err != nil || !ok || !ok2 {
			return fmt.Errorf("open %v, last %v: %w", ok, ok2, err)
		}
		for what, got := range map[string]ticket.Ticket{"ID": byID, "number": byNumber, "open key": open, "last": last} {
			same(t, "ticket by "+what, got, acked)
		}
		if err := ticket.VerifyChain(line, acked.Seq, acked.Head); err != nil {
			t.Errorf("the timeline as stored: %v", err)
		}
		return nil
	})
	done := advance(t, s, acked, ticket.Done)
	view(t, s, func(tx store.Tx) error {
		_, open, err := tx.OpenTicket(made.Key)
		_, last, err2 := tx.LastTicket(made.Key)
		if open || !last {
			t.Errorf("after it is resolved: open %v, last %v", open, last)
		}
		return errors.Join(err, err2)
	})
	again := advance(t, s, done, ticket.Again)
	view(t, s, func(tx store.Tx) error {
		open, _, err := tx.OpenTicket(made.Key)
		same(t, "reopened ticket", open, again)
		return err
	})
}

// testTicketTitle: a title changes by the event that says so, and by no other.
func testTicketTitle(t *testing.T, s store.Store) {
	made := create(t, s, 1001, "acme asset/web1 availability", day)
	line := []ticket.Event{{At: day, Kind: ticket.TitleChanged, Actor: ticket.Actor{Kind: ticket.House, Name: "watchbill"}, Text: "web1 cannot be reached"}}
	seal(made.Seq, made.Head, line)
	named := made
	named.Title, named.Seq, named.Head = line[0].Text, made.Seq+1, line[0].Hash
	other := named
	other.Title = "something else"
	for _, wrong := range []ticket.Ticket{other, {Opening: made.Opening, State: made.State, OpenedAt: made.OpenedAt, Seq: named.Seq, Head: named.Head}} {
		if err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.AppendTicket(made.Seq, wrong, line) }); err == nil {
			t.Errorf("titled %q by an event that says %q", wrong.Title, line[0].Text)
		}
	}
	update(t, s, func(tx store.Tx) error { return tx.AppendTicket(made.Seq, named, line) })
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Ticket(made.ID)
		same(t, "renamed ticket", named, got)
		return err
	})
	if acked := advance(t, s, named, ticket.Acked); acked.Title != line[0].Text {
		t.Errorf("title %q after another change", acked.Title)
	}
}

func testTicketRefusals(t *testing.T, s store.Store) {
	const incident = "acme asset/web1 filesystem"
	made := create(t, s, 1001, incident, day)
	closed := advance(t, s, create(t, s, 1002, "another", day), ticket.Done)
	rival, rivalLine := Birth(1003, "another", day)
	update(t, s, func(tx store.Tx) error { return tx.CreateTicket(rival, rivalLine) })

	second, secondLine := Birth(1004, incident, day)
	sameID, sameIDLine := Birth(1001, "a third", day)
	acked, ackedLine := Next(made, ticket.Acked, day, "note")
	again, againLine := Next(closed, ticket.Again, day)
	ahead := acked
	ahead.Seq++
	renamed := acked
	renamed.Title = "something else"
	for name, c := range map[string]struct {
		want error
		do   func(store.Tx) error
	}{
		"a second open one":       {store.ErrOpenTwice, func(tx store.Tx) error { return tx.CreateTicket(second, secondLine) }},
		"reopened beside another": {store.ErrOpenTwice, func(tx store.Tx) error { return tx.AppendTicket(closed.Seq, again, againLine) }},
		"an ID twice":             {store.ErrConflict, func(tx store.Tx) error { return tx.CreateTicket(sameID, sameIDLine) }},
		"a version behind":        {store.ErrConflict, func(tx store.Tx) error { return tx.AppendTicket(0, acked, ackedLine) }},
		"a version ahead":         {store.ErrConflict, func(tx store.Tx) error { return tx.AppendTicket(2, acked, ackedLine) }},
		"a missing ticket":        {store.ErrNotFound, func(tx store.Tx) error { return tx.AppendTicket(1, second, nil) }},
		"an event left out":       {ticket.ErrChain, func(tx store.Tx) error { return tx.AppendTicket(1, acked, ackedLine[1:]) }},
		"an event twice":          {ticket.ErrChain, func(tx store.Tx) error { return tx.AppendTicket(1, acked, append(ackedLine[:1:1], ackedLine...)) }},
		"a projection ahead":      {ticket.ErrChain, func(tx store.Tx) error { return tx.AppendTicket(1, ahead, ackedLine) }},
		"a projection without":    {ticket.ErrChain, func(tx store.Tx) error { return tx.AppendTicket(1, acked, nil) }},
		"a creation cut short":    {ticket.ErrChain, func(tx store.Tx) error { return tx.CreateTicket(second, nil) }},
		"an opening that changes": {nil, func(tx store.Tx) error { return tx.AppendTicket(1, renamed, ackedLine) }},
		"not even a name":         {nil, func(tx store.Tx) error { return tx.CreateTicket(ticket.Ticket{}, nil) }},
	} {
		err := s.Update(context.Background(), "", c.do)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want an error (%v)", name, err, c.want)
		}
		// A refusal that the closure overlooks must not leave half of itself.
		err = s.Update(context.Background(), "", func(tx store.Tx) error { _ = c.do(tx); return nil })
		if err != nil {
			t.Errorf("%s, overlooked: %v", name, err)
		}
	}
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{})
		same(t, "tickets after refusals", all, []ticket.Ticket{rival, closed, made})
		line, err2 := tx.Timeline(made.ID)
		if len(line) != 1 {
			t.Errorf("timeline after refusals has %d events, want 1", len(line))
		}
		return errors.Join(err, err2)
	})
}

func testTicketLists(t *testing.T, s store.Store) {
	var want []ticket.Ticket // newest first
	update(t, s, func(tx store.Tx) error {
		want = nil
		for i := range 40 {
			o, _ := Birth(1001+i, fmt.Sprint("key ", i), day)
			o.Customer, o.Asset = []string{"acme", "zeta"}[i%2], []string{"web1", "db1", "mail"}[i%3]
			made, line := born(o.Opening, day.Add(time.Duration(i%20)*time.Second))
			if err := tx.CreateTicket(made, line); err != nil {
				return err
			}
			if i%4 > 0 {
				next, line := Next(made, []ticket.State{"", ticket.Acked, ticket.Done, ticket.Shut}[i%4], day)
				if i%8 == 5 {
					next.Priority = "P2"
				}
				if err := tx.AppendTicket(1, next, line); err != nil {
					return err
				}
				made = next
			}
			want = append(want, made)
		}
		return nil
	})
	newestFirst(want)
	for name, f := range map[string]store.TicketFilter{
		"all":              {},
		"open":             {OpenOnly: true},
		"five":             {Limit: 5},
		"three open":       {OpenOnly: true, Limit: 3},
		"acknowledged":     {State: ticket.Acked},
		"closed":           {State: ticket.Shut},
		"open and closed":  {State: ticket.Shut, OpenOnly: true},
		"of a customer":    {Customer: "zeta"},
		"of an asset":      {Asset: "db1"},
		"of a priority":    {Priority: "P2"},
		"of all at once":   {Customer: "zeta", Asset: "web1", Priority: "P1", State: ticket.Acked, OpenOnly: true},
		"of nobody at all": {Customer: "nobody"},
	} {
		var expect []ticket.Ticket
		for _, w := range want {
			if selected(f, w) && (f.Limit == 0 || len(expect) < f.Limit) {
				expect = append(expect, w)
			}
		}
		view(t, s, func(tx store.Tx) error {
			got, err := tx.Tickets(f)
			same(t, name, got, expect)
			return err
		})
	}
}

func testTicketsByKey(t *testing.T, s store.Store) {
	var want []ticket.Ticket
	for i := range 5 {
		made := create(t, s, 1001+i, "acme asset/web1 filesystem", day.Add(time.Duration(i)*time.Hour))
		create(t, s, 2001+i, fmt.Sprint("acme asset/web1 filesystem", i), day)
		if i < 4 {
			made = advance(t, s, made, ticket.Done)
		}
		want = append([]ticket.Ticket{made}, want...)
	}
	view(t, s, func(tx store.Tx) error {
		all, err := tx.TicketsByKey("acme asset/web1 filesystem", 0)
		same(t, "all", all, want)
		two, err2 := tx.TicketsByKey("acme asset/web1 filesystem", 2)
		same(t, "two", two, want[:2])
		last, _, err3 := tx.LastTicket("acme asset/web1 filesystem")
		same(t, "last", last, want[0])
		_, none, err4 := tx.LastTicket("acme asset/web1")
		if none {
			t.Error("a ticket under a key that is the beginning of another")
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func testEvidence(t *testing.T, s store.Store) {
	body := []byte(`{"part":"time", "salt":"x"}`)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutEvidence("t1", 2, body), tx.PutEvidence("t1", 3, []byte("other")))
	})
	read := func(seq int) (got []byte, ok bool) {
		view(t, s, func(tx store.Tx) (err error) {
			got, ok, err = tx.Evidence("t1", seq)
			return err
		})
		return got, ok
	}
	if got, ok := read(2); !ok || string(got) != string(body) {
		t.Errorf("evidence: got %q, %v; want the very bytes", got, ok)
	}
	update(t, s, func(tx store.Tx) error { return tx.PutEvidence("t1", 2, nil) })
	if _, ok := read(2); ok {
		t.Error("redacted evidence is still there")
	}
	if _, ok := read(3); !ok {
		t.Error("redaction took the neighbour too")
	}
	if _, ok := read(4); ok {
		t.Error("evidence that never was")
	}
}
