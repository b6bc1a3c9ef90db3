package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

func testTerms(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutTerms("d1", []byte(`{"policy":"a"}`)), tx.PutTerms("d2", []byte("other")),
			tx.PutTerms("d1", []byte("never written")))
	})
	view(t, s, func(tx store.Tx) error {
		one, ok, err := tx.Terms("d1")
		if string(one) != `{"policy":"a"}` || !ok {
			t.Errorf("terms d1: %q, %v; want the first that was kept", one, ok)
		}
		_, ok, err2 := tx.Terms("d")
		if ok {
			t.Error("terms that were never kept")
		}
		return errors.Join(err, err2)
	})
	for _, c := range []struct{ digest, body string }{{"", "body"}, {"d3", ""}} {
		err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutTerms(c.digest, []byte(c.body)) })
		if err == nil {
			t.Errorf("terms %q with %q were kept", c.digest, c.body)
		}
	}
}

func testOverrides(t *testing.T, s store.Store) {
	a := store.Override{ID: "a", Rota: "nights", Person: "ada", From: day, Until: day.Add(time.Hour), By: "bob", At: day, Reason: "ill"}
	b := store.Override{ID: "b", Rota: "days", Person: "cyd", From: day, Until: day.Add(2 * time.Hour), By: "bob", At: day}
	later := a
	later.Until = day.Add(3 * time.Hour)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutOverride(b), tx.PutOverride(a), tx.PutOverride(later), tx.DeleteOverride("none"))
	})
	if err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutOverride(store.Override{}) }); err == nil {
		t.Error("an override without an ID is kept")
	}
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Overrides()
		same(t, "overrides", all, []store.Override{later, b})
		return err
	})
	update(t, s, func(tx store.Tx) error { return tx.DeleteOverride("a") })
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Overrides()
		same(t, "overrides that are left", all, []store.Override{b})
		return err
	})
}

func testRecurrences(t *testing.T, s store.Store) {
	at := func(id string, minutes int) store.Recurrence {
		return store.Recurrence{ID: id, Customer: "acme", Type: "review", Asset: "web1", At: day.Add(time.Duration(minutes) * time.Minute)}
	}
	a, b, c := at("a", 3), at("b", 1), at("c", 2)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutRecurrence(at("a", 9)), tx.PutRecurrence(b), tx.PutRecurrence(c), tx.PutRecurrence(a),
			tx.DeleteRecurrence("none"))
	})
	for _, r := range []store.Recurrence{{ID: "x"}, {At: day}} {
		if err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutRecurrence(r) }); err == nil {
			t.Errorf("recurrence %+v is kept", r)
		}
	}
	wantDue := func(minutes, limit int, want []store.Recurrence, wantNext time.Time) {
		t.Helper()
		view(t, s, func(tx store.Tx) error {
			due, next, err := tx.DueRecurrences(day.Add(time.Duration(minutes)*time.Minute), limit)
			same(t, "due", due, want)
			same(t, "next", next, wantNext)
			return err
		})
	}
	wantDue(0, 0, nil, b.At)
	wantDue(2, 0, []store.Recurrence{b, c}, a.At)
	wantDue(2, 1, []store.Recurrence{b}, c.At)
	wantDue(9, 0, []store.Recurrence{b, c, a}, time.Time{})
	b.At, b.Last, b.About, b.Since, b.By = day.Add(time.Hour), "t1", "intake/helpdesk", day, "eve"
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutRecurrence(b), tx.DeleteRecurrence("c")) })
	wantDue(5, 0, []store.Recurrence{a}, b.At)
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Recurrences()
		same(t, "recurrences", all, []store.Recurrence{a, b})
		return err
	})
}

func testHeld(t *testing.T, s store.Store) {
	at := func(id string, minutes int) store.Held {
		return store.Held{ID: id, At: day.Add(time.Duration(minutes) * time.Minute), Body: []byte(`{"to":"ada"}`)}
	}
	a, b := at("a", 2), at("b", 1)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutHeld(at("a", 9)), tx.PutHeld(b), tx.PutHeld(a), tx.PutHeld(at("c", 1)), tx.DeleteHeld("c"), tx.DeleteHeld("none"))
	})
	for _, h := range []store.Held{{ID: "x"}, {At: day}} {
		if err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.PutHeld(h) }); err == nil {
			t.Errorf("held %+v is kept", h)
		}
	}
	for _, c := range []struct {
		minutes, limit int
		want           []store.Held
		next           time.Time
	}{{0, 0, nil, b.At}, {1, 0, []store.Held{b}, a.At}, {2, 1, []store.Held{b}, a.At}, {9, 0, []store.Held{b, a}, time.Time{}}} {
		view(t, s, func(tx store.Tx) error {
			due, next, err := tx.DueHeld(day.Add(time.Duration(c.minutes)*time.Minute), c.limit)
			same(t, "due", due, c.want)
			same(t, "next", next, c.next)
			return err
		})
	}
}
