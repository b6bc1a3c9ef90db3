package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

// testReincarnate: what a restored store must not do again.
func testReincarnate(t *testing.T, s store.Store) {
	buried := message("m3", 1, 0)
	buried.State = outbox.Buried
	update(t, s, func(tx store.Tx) error {
		_, was, err := tx.LastRestore()
		if was {
			t.Error("a new store was restored already")
		}
		_, err1 := tx.NextNumber()
		_, err2 := tx.NextIncarnation()
		return errors.Join(err, err1, err2, tx.PutMessage(message("m1", 1, 0)), tx.PutMessage(message("m2", 2, 90)), tx.PutMessage(buried),
			tx.PutToken(fleet.Token{ID: "open"}), tx.PutToken(fleet.Token{ID: "used", UsedAt: day}))
	})
	reincarnate := func(r store.Reincarnation) (did store.Restore) {
		update(t, s, func(tx store.Tx) (err error) {
			did, err = tx.Reincarnate(r)
			return err
		})
		return did
	}
	first := reincarnate(store.Reincarnation{Backup: "b1", TakenAt: day, At: day.Add(time.Hour)})
	same(t, "first restore", first, store.Restore{Backup: "b1", TakenAt: day, At: day.Add(time.Hour),
		LastTicketNumber: 1001, TicketNumber: 3000, LastIncarnation: 1, Incarnation: 2000, Parked: 2, Tokens: 1})
	view(t, s, func(tx store.Tx) error {
		due, _, err := tx.DueMessages(day.Add(time.Hour), 0)
		parked, err1 := tx.Messages(outbox.Parked, 0)
		others, err2 := tx.Messages(outbox.Buried, 0)
		if len(due) != 0 || ids(parked) != "m1 m2" || ids(others) != "m3" {
			t.Errorf("due %q, parked %q, buried %q; want none, m1 m2, m3", ids(due), ids(parked), ids(others))
		}
		tokens, err3 := tx.Tokens()
		if len(tokens) != 1 || tokens[0].ID != "used" {
			t.Errorf("tokens: %+v, want the used one alone", tokens)
		}
		last, ok, err4 := tx.LastRestore()
		same(t, "last restore", []any{last, ok}, []any{first, true})
		return errors.Join(err, err1, err2, err3, err4)
	})
	update(t, s, func(tx store.Tx) error {
		n, err := tx.NextNumber()
		i, err1 := tx.NextIncarnation()
		if n != 3001 || i != 2001 {
			t.Errorf("the next number is %d, the next incarnation %d; want 3001 and 2001", n, i)
		}
		return errors.Join(err, err1)
	})
	// What is known from elsewhere and a long time since push further; a clock that went back pulls nothing back.
	for _, c := range []struct {
		r            store.Reincarnation
		number, inca uint64
	}{
		{store.Reincarnation{TakenAt: day, At: day.Add(49 * time.Hour), TicketNumber: 9000, Incarnation: 7}, 12_000, 6000},
		{store.Reincarnation{TakenAt: day, At: day.Add(-time.Hour), TicketNumber: -5}, 13_000, 7000},
	} {
		did := reincarnate(c.r)
		if uint64(did.TicketNumber) != c.number || did.Incarnation != c.inca || did.Parked != 0 {
			t.Errorf("%+v: got %+v, want numbers after %d, incarnations after %d", c.r, did, c.number, c.inca)
		}
	}
}
