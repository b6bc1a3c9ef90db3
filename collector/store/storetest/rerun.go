package storetest

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/watchbill/watchbill/collector/store"
)

// Rerun wraps a store so that it does what the contract allows and callers forget: closures run up to three times, the
// first ones on states that are thrown away; and a change that has a decision's name is asked for again after it was
// committed, as by a caller who could not tell.
func Rerun(s store.Store) store.Store { return rerun{s} }

type rerun struct{ store.Store }

var errThrownAway = errors.New("this run of the closure is thrown away")

func (r rerun) Update(ctx context.Context, decision string, fn func(store.Tx) error) error {
	for range rand.IntN(3) {
		ran := false
		err := r.Store.Update(ctx, decision, func(tx store.Tx) error {
			ran = true
			_ = fn(tx) // what it says counts when it runs for good
			return errThrownAway
		})
		if !ran || !errors.Is(err, errThrownAway) {
			return err
		}
	}
	err := r.Store.Update(ctx, decision, fn)
	if err == nil && decision != "" {
		err = r.Store.Update(ctx, decision, func(store.Tx) error {
			return errors.New("the closure of a decision that is committed was run again")
		})
	}
	return err
}

func (r rerun) View(ctx context.Context, fn func(store.Tx) error) error {
	if rand.IntN(2) == 0 {
		if err := r.Store.View(ctx, func(tx store.Tx) error { _ = fn(tx); return nil }); err != nil {
			return err
		}
	}
	return r.Store.View(ctx, fn)
}
