package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

func asset(tx store.Tx, name string) bool {
	_, ok, err := tx.Asset(name)
	return ok && err == nil
}

func testUpdate(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		if err := tx.PutAsset(fleet.Asset{Name: "web1"}); err != nil {
			return err
		}
		if !asset(tx, "web1") {
			t.Error("a transaction does not see its own write")
		}
		return nil
	})
	view(t, s, func(tx store.Tx) error {
		if !asset(tx, "web1") {
			t.Error("a committed write is not seen")
		}
		return nil
	})
}

// wrecked changes a bit of everything, to be undone.
func wrecked(tx store.Tx) error {
	_, err := tx.NextNumber()
	return errors.Join(err, tx.PutAsset(fleet.Asset{Name: "web1", Role: "changed"}), tx.DeleteAsset("web2"),
		tx.PutAsset(fleet.Asset{Name: "web3"}), tx.PutAsset(fleet.Asset{Name: "web3", Role: "twice"}))
}

func prepare(t *testing.T, s store.Store) {
	t.Helper()
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.PutAsset(fleet.Asset{Name: "web1"}), tx.PutAsset(fleet.Asset{Name: "web2"}))
	})
}

// unwrecked checks that nothing of wrecked is left.
func unwrecked(t *testing.T, s store.Store) {
	t.Helper()
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Assets()
		same(t, "assets", got, []fleet.Asset{{Name: "web1"}, {Name: "web2"}})
		return err
	})
	update(t, s, func(tx store.Tx) error {
		n, err := tx.NextNumber()
		if n != 1001 {
			t.Errorf("NextNumber: got %d, want 1001: a number was used up by a change that failed", n)
		}
		return err
	})
}

func testUpdateError(t *testing.T, s store.Store) {
	prepare(t, s)
	err := s.Update(context.Background(), "d", func(tx store.Tx) error {
		if err := wrecked(tx); err != nil {
			return err
		}
		return errTest
	})
	if err != errTest { //nolint:errorlint // the contract is the error itself
		t.Errorf("Update: got %v, want the closure's error as it is", err)
	}
	unwrecked(t, s)
	ran := false
	if err := s.Update(context.Background(), "d", func(store.Tx) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("a decision whose change failed is not free again: err %v, ran %v", err, ran)
	}
}

func testUpdatePanic(t *testing.T, s store.Store) {
	prepare(t, s)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the closure's panic was swallowed")
			}
		}()
		_ = s.Update(context.Background(), "", func(tx store.Tx) error {
			if err := wrecked(tx); err != nil {
				t.Error(err)
			}
			panic("a closure's own")
		})
	}()
	unwrecked(t, s)
}

func testDecisions(t *testing.T, s store.Store) {
	runs := 0
	for range 3 {
		err := s.Update(context.Background(), "report 7", func(tx store.Tx) error {
			_, err := tx.NextNumber()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	update(t, s, func(tx store.Tx) error {
		n, err := tx.NextNumber()
		if n != 1002 {
			t.Errorf("after one decision asked for three times: got number %d, want 1002", n)
		}
		return err
	})
	for range 2 {
		err := s.Update(context.Background(), "report 8", func(store.Tx) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(context.Background(), "report 8", func(store.Tx) error { runs++; return errTest })
	if err != nil || runs > 0 {
		t.Errorf("a decision without a change is not remembered: err %v, %d runs", err, runs)
	}
}

func testContext(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	run := func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "web1"}) }
	if err := s.Update(ctx, "d", run); !errors.Is(err, context.Canceled) {
		t.Errorf("Update on an ended context: %v", err)
	}
	if err := s.View(ctx, run); !errors.Is(err, context.Canceled) {
		t.Errorf("View on an ended context: %v", err)
	}
	view(t, s, func(tx store.Tx) error {
		if asset(tx, "web1") {
			t.Error("an update whose context had ended took effect")
		}
		return nil
	})
}

func testView(t *testing.T, s store.Store) {
	err := s.View(context.Background(), func(store.Tx) error { return errTest })
	if !errors.Is(err, errTest) {
		t.Errorf("View: got %v, want the closure's error", err)
	}
	err = s.View(context.Background(), func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "web1"}) })
	if err == nil {
		t.Error("a view could write")
	}
	view(t, s, func(tx store.Tx) error {
		if asset(tx, "web1") {
			t.Error("what a view wrote is there")
		}
		// One consistent state: an update between two reads is not seen.
		update(t, s, func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "web2"}) })
		return nil
	})
	seen := true
	view(t, s, func(tx store.Tx) error {
		before := asset(tx, "web3")
		update(t, s, func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "web3"}) })
		seen = asset(tx, "web3") != before
		return nil
	})
	if seen {
		t.Error("a view saw a change that was committed after it began")
	}
}

func testEscape(t *testing.T, s store.Store) {
	var escaped store.Tx
	update(t, s, func(tx store.Tx) error { escaped = tx; return nil })
	if err := escaped.PutAsset(fleet.Asset{Name: "web1"}); err == nil {
		t.Error("a transaction that is over takes writes")
	}
	view(t, s, func(tx store.Tx) error { escaped = tx; return nil })
	if _, err := escaped.Assets(); err == nil {
		t.Error("a view that is over answers")
	}
}

func testCounters(t *testing.T, s store.Store) {
	for i := range 3 {
		update(t, s, func(tx store.Tx) error {
			number, err := tx.NextNumber()
			start, err2 := tx.NextIncarnation()
			if number != 1001+i || start != uint64(1+i) {
				t.Errorf("got number %d and incarnation %d, want %d and %d", number, start, 1001+i, 1+i)
			}
			return errors.Join(err, err2)
		})
	}
}

func testInstallation(t *testing.T, s store.Store) {
	for _, fresh := range []string{"first", "second"} {
		update(t, s, func(tx store.Tx) error {
			name, err := tx.Installation(fresh)
			if name != "first" {
				t.Errorf("given %q it is %q, want the first", fresh, name)
			}
			return err
		})
	}
}

func testTallies(t *testing.T, s store.Store) {
	for _, step := range []struct {
		name      string
		add, want int
	}{{"a", 2, 2}, {"b", 1, 1}, {"a", -1, 1}, {"a", 0, 1}, {"a", -5, 0}, {"a", 3, 3}} {
		update(t, s, func(tx store.Tx) error { return tx.AddTally(step.name, step.add) })
		view(t, s, func(tx store.Tx) error {
			n, err := tx.Tally(step.name)
			if n != step.want {
				t.Errorf("after %+d %s stands at %d, want %d", step.add, step.name, n, step.want)
			}
			return err
		})
	}
}

func testClosed(t *testing.T, s store.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothing := func(store.Tx) error { return nil }
	for what, err := range map[string]error{
		"Update": s.Update(context.Background(), "", nothing),
		"View":   s.View(context.Background(), nothing),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: got %v, want store.ErrClosed", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

// testNames keeps things apart whose names would run together if keys were built carelessly.
func testNames(t *testing.T, s store.Store) {
	names := []string{"a", "a\x00", "a\x00b", "a\x00\xff", "a\x00\x01", "\x00", "\xff", "\xff\xff", "a b", "ä", "a/b", "a%20b"}
	update(t, s, func(tx store.Tx) error {
		var errs []error
		for i, n := range names {
			_, err := tx.PutEvent(store.HostEvent{Asset: n, ID: 1, At: day, Text: fmt.Sprint(i)})
			errs = append(errs, err, tx.PutMessage(outbox.Message{ID: n, State: outbox.Queued, NextAt: day, Attempts: i}),
				tx.PutShape(n, [32]byte{0, 0xff, byte(i)}, []byte{byte(i)}), tx.PutDeadline(n, day))
		}
		return errors.Join(errs...)
	})
	view(t, s, func(tx store.Tx) error {
		for i, n := range names {
			events, err := tx.Events(n, day, 10)
			if err != nil || len(events) != 1 || events[0].Text != fmt.Sprint(i) {
				t.Errorf("asset %q: %d events, error %v, want its own one", n, len(events), err)
			}
			if m, err := tx.Message(n); err != nil || m.Attempts != i {
				t.Errorf("message %q: got the one with %d attempts, error %v", n, m.Attempts, err)
			}
		}
		shapes := 0
		err := tx.Shapes(func(customer string, id [32]byte, encoded []byte) error {
			shapes++
			if i := int(id[2]); id[1] != 0xff || customer != names[i] || encoded[0] != byte(i) {
				t.Errorf("shape %x of customer %q holds %x", id[:3], customer, encoded)
			}
			return nil
		})
		due, _, err2 := tx.DueDeadlines(day, 0)
		if shapes != len(names) || len(due) != len(names) {
			t.Errorf("%d shapes and %d deadlines, want %d of each", shapes, len(due), len(names))
		}
		return errors.Join(err, err2)
	})
	update(t, s, func(tx store.Tx) error {
		id := [32]byte{0, 0xff, 1}
		return errors.Join(tx.DeleteShape(names[1], id), tx.DeleteShape(names[0], id)) // the second was never there
	})
	view(t, s, func(tx store.Tx) error {
		left := 0
		err := tx.Shapes(func(customer string, _ [32]byte, _ []byte) error {
			left++
			if customer == names[1] {
				t.Error("a deleted shape is still there")
			}
			return nil
		})
		if left != len(names)-1 {
			t.Errorf("%d shapes left, want %d", left, len(names)-1)
		}
		return err
	})
}
