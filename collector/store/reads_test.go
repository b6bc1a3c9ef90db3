package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
)

// counting is an engine that counts the keys that views look at.
type counting struct {
	store.Engine
	looked int
}

func (c *counting) View(ctx context.Context, fn func(store.KV) error) error {
	return c.Engine.View(ctx, func(kv store.KV) error { return fn(countingKV{kv, c}) })
}

type countingKV struct {
	store.KV
	c *counting
}

func (k countingKV) Get(key []byte) ([]byte, error) {
	k.c.looked++
	return k.KV.Get(key)
}

func (k countingKV) Scan(from, to []byte, reverse bool, fn func(k, v []byte) (bool, error)) error {
	return k.KV.Scan(from, to, reverse, func(key, value []byte) (bool, error) {
		k.c.looked++
		return fn(key, value)
	})
}

// crowded is a store of n open tickets of twenty customers, each with a place in the queue and a deadline.
func crowded(t *testing.T, n int) (store.Store, *counting) {
	t.Helper()
	c := &counting{Engine: storetest.NewMemory()}
	s, err := store.New(c, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), "", func(tx store.Tx) error {
		for i := range n {
			made, line := storetest.Birth(i+1, fmt.Sprintf("customer%02d asset/a%d filesystem", i%20, i), crowdedAt.Add(time.Duration(i)*time.Second))
			made.Customer = fmt.Sprintf("customer%02d", i%20)
			*line[0].Opening = made.Opening
			made, line = storetest.Sealed(made, line)
			err := errors.Join(tx.CreateTicket(made, line), tx.PutPlace(made.ID, []byte(fmt.Sprintf("%06d", i*7919%n))),
				tx.PutDeadline(made.ID, made.OpenedAt.Add(time.Hour)))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

var crowdedAt = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// TestReadsDoNotGrow: what is asked all the time looks at as many keys among ten times as many tickets: the next deadline and
// those that are due, and the first page of each list that is read from an index in its order.
func TestReadsDoNotGrow(t *testing.T) {
	few, onFew := crowded(t, 400)
	many, onMany := crowded(t, 4000)
	list := func(f store.TicketFilter) func(store.Tx) (int, error) {
		f.Limit = 10
		return func(tx store.Tx) (int, error) {
			found, err := tx.Tickets(f)
			return len(found), err
		}
	}
	for name, c := range map[string]struct {
		ask  func(store.Tx) (int, error)
		want int
		most int
	}{
		"the next deadline, none due": {ask: func(tx store.Tx) (int, error) {
			due, next, err := tx.DueDeadlines(crowdedAt, 100)
			if !next.Equal(crowdedAt.Add(time.Hour)) {
				err = errors.Join(err, fmt.Errorf("the next is at %v", next))
			}
			return len(due), err
		}, most: 1},
		"a hundred that are due": {ask: func(tx store.Tx) (int, error) {
			due, _, err := tx.DueDeadlines(crowdedAt.Add(9*time.Hour), 100)
			return len(due), err
		}, want: 100, most: 101},
		"the queue":               {ask: list(store.TicketFilter{Order: store.InQueue}), want: 10, most: 300},
		"the queue of a customer": {ask: list(store.TicketFilter{Order: store.InQueue, Customer: "customer07"}), want: 10, most: 300},
		"the newest open ones":    {ask: list(store.TicketFilter{OpenOnly: true}), want: 10, most: 300},
		"the newest":              {ask: list(store.TicketFilter{}), want: 10, most: 300},
		"a number":                {ask: func(tx store.Tx) (int, error) { _, err := tx.TicketByNumber("WB-399"); return 1, err }, want: 1, most: 2},
	} {
		t.Run(name, func(t *testing.T) {
			looked := func(s store.Store, on *counting) int {
				t.Helper()
				on.looked = 0
				if err := s.View(context.Background(), func(tx store.Tx) error {
					if n, err := c.ask(tx); err != nil || n != c.want {
						return fmt.Errorf("%d found, want %d: %w", n, c.want, err)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				return on.looked
			}
			small, large := looked(few, onFew), looked(many, onMany)
			if small > c.most || large > c.most {
				t.Errorf("%d keys looked at among 400 tickets, %d among 4,000; at most %d are needed", small, large, c.most)
			}
		})
	}
}
