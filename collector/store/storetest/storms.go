package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func stormOf(id string) incident.Storm {
	return incident.Storm{ID: id, Number: "WB-7", Reach: incident.Reach{Customer: "acme", Site: "hq"}, Service: "filesystem",
		Severity: incident.Critical, First: day, Last: day.Add(time.Minute), Assets: 40, Of: 100, Tickets: 40, Standing: 39,
		Rules: map[string]int{"DiskFull": 40}, Sites: map[string]int{"acme/hq": 40}, Sample: []string{"web1"},
		Untold: map[string]int{"opened": 3}, ToldAt: day, Notices: 2}
}

func testStorms(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutOwed("b"), tx.PutOwed("a"), tx.PutOwed("a"), tx.PutOwed("c"), tx.DropOwed("c"), tx.DropOwed("none"))
	})
	view(t, s, func(tx store.Tx) error {
		owed, err := tx.Owed(9)
		same(t, "alerts of which evidence is owed", owed, []string{"a", "b"})
		return err
	})
	a, b := stormOf("a"), stormOf("b")
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutStorm(b), tx.PutStorm(a)) })
	over := a
	over.OverAt = day.Add(time.Hour)
	view(t, s, func(tx store.Tx) error {
		going, err := tx.Storms()
		same(t, "storms", going, []incident.Storm{a, b})
		if _, none := tx.Storm("c"); !errors.Is(none, store.ErrNotFound) {
			t.Errorf("a storm that is not there: %v", none)
		}
		return err
	})
	update(t, s, func(tx store.Tx) error {
		if err := tx.PutStorm(incident.Storm{}); err == nil {
			t.Error("a storm without a ticket is kept")
		}
		return tx.PutStorm(over)
	})
	view(t, s, func(tx store.Tx) error {
		going, err := tx.Storms()
		same(t, "storms that go on", going, []incident.Storm{b})
		got, err2 := tx.Storm("a")
		same(t, "the storm that is over", got, over)
		return errors.Join(err, err2)
	})
	update(t, s, func(tx store.Tx) error { return tx.PutStorm(a) }) // it goes on again
	view(t, s, func(tx store.Tx) error {
		going, err := tx.Storms()
		same(t, "storms", going, []incident.Storm{a, b})
		return err
	})
}

func testStormMembers(t *testing.T, s store.Store) {
	members := func(want ...string) {
		t.Helper()
		view(t, s, func(tx store.Tx) error {
			got, err := tx.StormMembers("a", 0)
			same(t, "members", got, want)
			first, err2 := tx.StormMembers("a", 1)
			same(t, "the first member", first, want[:min(1, len(want))])
			return errors.Join(err, err2)
		})
	}
	members()
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutStormMember("a", "t1", true), tx.PutStormMember("a", "t2", false), tx.PutStormMember("a", "t3", true),
			tx.PutStormMember("aa", "t9", true))
	})
	members("t1", "t3", "t2")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutStormMember("a", "t1", false), tx.PutStormMember("a", "t2", true), tx.PutStormMember("a", "t2", true))
	})
	members("t2", "t3", "t1")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.DropStormMember("a", "t1"), tx.DropStormMember("a", "t3"), tx.DropStormMember("a", "t4"))
	})
	members("t2")
}

// testStormTickets: the lists tell tickets of a storm from others.
func testStormTickets(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		for n := range 4 {
			made, line := Birth(n+1, fmt.Sprint("acme asset/web", n, " filesystem"), day.Add(time.Duration(n)*time.Second))
			if err := tx.CreateTicket(made, line); err != nil {
				return err
			}
			if n >= 2 {
				continue
			}
			joined, err := made.Join(ticket.PartOf("head", "WB-7"), day.Add(time.Minute))
			if err != nil {
				return err
			}
			if err := tx.AppendTicket(joined.Before, joined.Ticket, joined.Events); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tc := range []struct {
		f    store.TicketFilter
		want string
	}{
		{store.TicketFilter{}, "t000004 t000003 t000002 t000001 "},
		{store.TicketFilter{Folded: true}, "t000004 t000003 "},
		{store.TicketFilter{Storm: "head"}, "t000002 t000001 "},
		{store.TicketFilter{Storm: "head", OpenOnly: true, Limit: 1}, "t000002 "},
		{store.TicketFilter{Storm: "other"}, ""},
	} {
		view(t, s, func(tx store.Tx) error {
			found, err := tx.Tickets(tc.f)
			got := ""
			for _, tk := range found {
				got += tk.ID + " "
			}
			same(t, fmt.Sprintf("tickets %+v", tc.f), got, tc.want)
			return err
		})
	}
}

// testDecisionsTogether: one transaction holds the decisions of several callers, all or none of them.
func testDecisionsTogether(t *testing.T, s store.Store) {
	ctx := context.Background()
	decide := func(tx store.Tx, names ...string) (err error) {
		for _, name := range names {
			err = errors.Join(err, tx.Decide(name))
		}
		return err
	}
	known := func(want ...bool) {
		t.Helper()
		view(t, s, func(tx store.Tx) (err error) {
			var got []bool
			for _, name := range []string{"one", "two", "three"} {
				done, err := tx.Decided(name)
				if err != nil {
					return err
				}
				got = append(got, done)
			}
			same(t, "decisions one, two, three", got, want)
			return nil
		})
	}
	if err := s.Update(ctx, "", func(tx store.Tx) error { return errors.Join(decide(tx, "one", "two"), errTest) }); !errors.Is(err, errTest) {
		t.Fatal(err)
	}
	known(false, false, false)
	update(t, s, func(tx store.Tx) error {
		err := decide(tx, "one", "two")
		done, err2 := tx.Decided("two")
		if !done {
			t.Error("a transaction does not see its own decision")
		}
		return errors.Join(err, err2)
	})
	known(true, true, false)
	err := s.Update(ctx, "two", func(store.Tx) error {
		t.Error("a decision that was made beside another is made again")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
