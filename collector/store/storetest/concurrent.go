package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
)

// together runs fn n times at once and returns the errors.
func together(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

// testRace: whoever comes at once with the same incident, one gets the ticket and all others ErrOpenTwice.
func testRace(t *testing.T, s store.Store) {
	for round := range 5 {
		key := fmt.Sprint("key ", round)
		errs := together(20, func(i int) error {
			made, line := Birth(1000*(round+1)+i, key, day.Add(time.Duration(i)))
			return s.Update(context.Background(), fmt.Sprint(round, "/", i), func(tx store.Tx) error { return tx.CreateTicket(made, line) })
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, store.ErrOpenTwice) {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if won != 1 {
			t.Errorf("round %d: %d tickets are open under one key", round, won)
		}
	}
}

// testConcurrent: updates at once are as one after the other; views meanwhile see whole transactions.
func testConcurrent(t *testing.T, s store.Store) {
	const writers, each = 16, 20
	errs := together(writers+1, func(w int) error {
		for i := range each {
			var err error
			if w == writers {
				err = s.View(context.Background(), whole)
			} else {
				err = s.Update(context.Background(), fmt.Sprint(w, "/", i), func(tx store.Tx) error {
					n, err := tx.NextNumber()
					return errors.Join(err, tx.PutAsset(fleet.Asset{Name: fmt.Sprint("a", n)}), tx.PutOperator(fleet.Operator{Name: fmt.Sprint("a", n)}))
				})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	view(t, s, func(tx store.Tx) error {
		assets, err := tx.Assets()
		if len(assets) != writers*each {
			t.Errorf("%d updates left %d assets: numbers were given twice", writers*each, len(assets))
		}
		return errors.Join(err, whole(tx))
	})
}

// whole tells whether every transaction of testConcurrent is there with both its halves.
func whole(tx store.Tx) error {
	assets, err := tx.Assets()
	operators, err2 := tx.Operators()
	if len(assets) != len(operators) {
		return fmt.Errorf("half a transaction is seen: %d assets, %d operators", len(assets), len(operators))
	}
	return errors.Join(err, err2)
}

// testMixed: updates that fail, panic or are given up do no harm to those that share their commit.
func testMixed(t *testing.T, s store.Store) {
	var applied, refused atomic.Int64
	errs := together(100, func(i int) error {
		name := fmt.Sprint("a", i)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if i%5 == 3 {
			cancel()
		}
		var caught any
		err := func() error {
			defer func() { caught = recover() }()
			return s.Update(ctx, name, func(tx store.Tx) error {
				_, err := tx.NextNumber()
				if err := errors.Join(err, tx.PutAsset(fleet.Asset{Name: name})); err != nil {
					return err
				}
				switch i % 5 {
				case 1:
					return errTest
				case 2:
					panic(name)
				}
				return nil
			})
		}()
		switch want := i % 5; {
		case want == 1 && !errors.Is(err, errTest), want == 2 && caught == nil, want == 3 && !errors.Is(err, context.Canceled),
			(want == 0 || want == 4) && err != nil:
			return fmt.Errorf("update %d: %v, panic %v", i, err, caught)
		case want == 0 || want == 4:
			applied.Add(1)
		default:
			refused.Add(1)
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx store.Tx) error {
		assets, err := tx.Assets()
		n, err2 := tx.NextNumber()
		if len(assets) != int(applied.Load()) || n != 1001+len(assets) {
			t.Errorf("%d updates were applied and %d refused: %d assets, next number %d", applied.Load(), refused.Load(), len(assets), n)
		}
		return errors.Join(err, err2)
	})
}
