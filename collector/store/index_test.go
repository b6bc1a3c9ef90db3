package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
)

// asFormat1 makes a store of format 1 of one of format 2: without the indexes that format 1 did not have, and with rows
// that say as much as they did then.
func asFormat1(kv store.KV) error {
	var gone, rows []string
	err := kv.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
		switch k[0] {
		case 'c', 'J', 'i', 'b', 'K', 'P', 'V', 'r', 'R', 'f', 'F', 'M', 'L', 'I':
			gone = append(gone, string(k))
		case 'l', 'p':
			rows = append(rows, string(k))
		}
		return true, nil
	})
	for _, k := range gone {
		if err == nil {
			err = kv.Delete([]byte(k))
		}
	}
	for _, k := range rows {
		v, getErr := kv.Get([]byte(k))
		var row map[string]any
		if getErr != nil || json.Unmarshal(v[6:], &row) != nil {
			return fmt.Errorf("row %x: %w", k, getErr)
		}
		for word := range row {
			if !strings.Contains("scapw", word) {
				delete(row, word)
			}
		}
		payload, jsonErr := json.Marshal(row)
		if err = kv.Put([]byte(k), record(k, string(payload))); err != nil || jsonErr != nil {
			return fmt.Errorf("%w, %w", err, jsonErr)
		}
	}
	const format = "mformat\x00\x01"
	if err == nil {
		err = kv.Put([]byte(format), record(format, "1"))
	}
	return err
}

// TestIndexTickets: the lists of a store that format 1 left are those it has as format 2, but for places in the queue.
func TestIndexTickets(t *testing.T) {
	ctx := context.Background()
	e := storetest.NewMemory()
	s, err := store.New(e, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(ctx, "", func(tx store.Tx) error {
		for i := range 600 { // more than are read at a time
			made, line := storetest.Birth(1001+i, fmt.Sprint("key ", i), time.Date(2026, 3, 1, 0, i, 0, 0, time.UTC))
			if i%7 == 3 {
				made.Parent = &ticket.Link{Ticket: "t001001", Number: "WB-1001"}
			}
			made.Assignee = []string{"", "ada"}[i%2]
			if err := tx.CreateTicket(made, line); err != nil {
				return err
			}
			if i%3 == 0 {
				next, line := storetest.Next(made, ticket.Done, made.OpenedAt)
				if err := tx.AppendTicket(1, next, line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	filters := []store.TicketFilter{{}, {OpenOnly: true}, {Order: store.InQueue}, {Customer: "acme"}, {Assignee: "ada"},
		{Customer: "acme", Order: store.InQueue}, {Parent: "t001001"}, {Scope: &store.Scope{Customers: []string{"acme"}}, State: ticket.Done}}
	before := lists(t, s, filters)
	if slices.ContainsFunc(before, func(l []string) bool { return len(l) == 0 }) {
		t.Fatalf("a list is empty: %v", before)
	}
	if err := e.Update(ctx, asFormat1); err != nil {
		t.Fatal(err)
	}
	starts, told := 0, ""
	for s = nil; s == nil; starts++ { // every start but the last is killed after its first portion
		s, err = store.New(&dying{Engine: e, lives: 1}, store.Options{BeforeMigration: func(from, to int) error {
			told += fmt.Sprint(from, "→", to)
			return nil
		}})
		if err != nil && (!errors.Is(err, errKilled) || starts > 10) {
			t.Fatalf("opened: %v", err)
		}
	}
	// Three portions bring it to format 2, which is whole and backed up before the fourth.
	if starts != 4 || told != fmt.Sprint("1→", store.Format, "2→", store.Format) {
		t.Fatalf("600 tickets took %d starts, want 4; backed up %q", starts, told)
	}
	if s, err = store.New(e, store.Options{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, lists(t, s, filters)); d != "" {
		t.Errorf("before the migration -, after it +\n%s", d)
	}
	if all := unplaced(t, s); all != 400 {
		t.Errorf("%d open tickets want a place, want 400", all)
	}
}

// dying is an engine whose process is killed when it has lived for some updates.
type dying struct {
	store.Engine
	lives int
}

var errKilled = errors.New("killed")

func (d *dying) Update(ctx context.Context, fn func(store.KV) error) error {
	if d.lives--; d.lives < 0 {
		return errKilled
	}
	return d.Engine.Update(ctx, fn)
}

func lists(t *testing.T, s store.Store, filters []store.TicketFilter) (out [][]string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		for _, f := range filters {
			all, err := tx.Tickets(f)
			if err != nil {
				return err
			}
			var ids []string
			for _, one := range all {
				ids = append(ids, one.ID)
			}
			out = append(out, ids)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unplaced(t *testing.T, s store.Store) (n int) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		all, err := tx.Unplaced(0)
		n = len(all)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
