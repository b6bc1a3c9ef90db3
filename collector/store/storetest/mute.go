package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func testSilences(t *testing.T, s store.Store) {
	a, b := store.Silence{ID: "a", Body: []byte(`{"comment":"a \u003c b"}`)}, store.Silence{ID: "b", Body: []byte(`{}`)}
	later := a
	later.Body = []byte(`{"comment":"longer"}`)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutSilence(b), tx.PutSilence(a), tx.PutSilence(later), tx.DeleteSilence("none"))
	})
	refused(t, s, "a silence", func(tx store.Tx, id string, body json.RawMessage) error {
		return tx.PutSilence(store.Silence{ID: id, Body: body})
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Silences()
		same(t, "silences", all, []store.Silence{later, b})
		return err
	})
	update(t, s, func(tx store.Tx) error { return tx.DeleteSilence("a") })
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Silences()
		same(t, "silences that are left", all, []store.Silence{b})
		return err
	})
}

func testMuted(t *testing.T, s store.Store) {
	a, b := store.Muted{ID: "r1/a", Body: []byte(`{"by":["s1"]}`)}, store.Muted{ID: "r1/b", Body: []byte(`{}`)}
	later := a
	later.Body = []byte(`{"by":["s1","s2"]}`)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutMuted(b), tx.PutMuted(a), tx.PutMuted(later), tx.Unmute("none"))
	})
	refused(t, s, "a muted alert", func(tx store.Tx, id string, body json.RawMessage) error {
		return tx.PutMuted(store.Muted{ID: id, Body: body})
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.AllMuted()
		same(t, "muted alerts", all, []store.Muted{later, b})
		one, ok, err2 := tx.Muted("r1/a")
		same(t, "a muted alert", one, later)
		_, none, err3 := tx.Muted("r1")
		if !ok || none {
			t.Errorf("muted: %v, want true; one that never was: %v, want false", ok, none)
		}
		return errors.Join(err, err2, err3)
	})
	update(t, s, func(tx store.Tx) error { return tx.Unmute("r1/a") })
	view(t, s, func(tx store.Tx) error {
		all, err := tx.AllMuted()
		same(t, "muted alerts that are left", all, []store.Muted{b})
		return err
	})
}

func testFed(t *testing.T, s store.Store) {
	a, b := store.Fed{ID: "a", Body: []byte(`{"endsAt":"2026-03-29T00:30:00Z"}`)}, store.Fed{ID: "b", Body: []byte(`[]`)}
	later := a
	later.Body = []byte(`{"endsAt":"2026-03-29T00:31:00Z"}`)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutFed(b), tx.PutFed(a), tx.PutFed(later), tx.DeleteFed("none"))
	})
	refused(t, s, "a fed alert", func(tx store.Tx, id string, body json.RawMessage) error {
		return tx.PutFed(store.Fed{ID: id, Body: body})
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Fed()
		same(t, "fed alerts", all, []store.Fed{later, b})
		return err
	})
	update(t, s, func(tx store.Tx) error { return tx.DeleteFed("a") })
	view(t, s, func(tx store.Tx) error {
		all, err := tx.Fed()
		same(t, "fed alerts that are left", all, []store.Fed{b})
		return err
	})
}

func testCounted(t *testing.T, s store.Store) {
	a := ticket.Counted{Alert: "feed/1/a", Ticket: "t1"}
	later, other := a, a
	later.End, later.EndedAt = incident.Lapsed, time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	other.Ticket = "t10"
	b := ticket.Counted{Alert: "b", Ticket: "t1"}
	update(t, s, func(tx store.Tx) error {
		for _, lacks := range []ticket.Counted{{Alert: "x"}, {Ticket: "t1"}} {
			if err := tx.PutCounted(lacks); err == nil {
				t.Errorf("%+v was kept", lacks)
			}
		}
		return errors.Join(tx.PutCounted(a), tx.PutCounted(later), tx.PutCounted(other), tx.PutCounted(b), tx.DropCounted("t1", "none"))
	})
	view(t, s, func(tx store.Tx) error {
		one, ok, err := tx.Counted("t1", a.Alert)
		same(t, "a counted alert", one, later)
		_, none, err2 := tx.Counted("t10", "b")
		if !ok || none {
			t.Errorf("counted: %v, want true; one that this ticket does not count: %v, want false", ok, none)
		}
		all, err3 := tx.CountedOf("t1")
		same(t, "what a ticket counts", all, []ticket.Counted{b, later})
		return errors.Join(err, err2, err3)
	})
	update(t, s, func(tx store.Tx) error { return tx.DropCounted("t1", "b") })
	view(t, s, func(tx store.Tx) error {
		left, err := tx.CountedOf("t1")
		others, err2 := tx.CountedOf("t10")
		same(t, "counted alerts that are left", append(left, others...), []ticket.Counted{later, other})
		return errors.Join(err, err2)
	})
}

// refused: what has no ID or says nothing is not kept.
func refused(t *testing.T, s store.Store, what string, put func(tx store.Tx, id string, body json.RawMessage) error) {
	t.Helper()
	for _, c := range []struct{ id, body string }{{"", "{}"}, {"x", ""}} {
		err := s.Update(context.Background(), "", func(tx store.Tx) error { return put(tx, c.id, json.RawMessage(c.body)) })
		if err == nil {
			t.Errorf("%s with ID %q that says %q is kept", what, c.id, c.body)
		}
	}
}
