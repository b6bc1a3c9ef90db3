package collector

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/store"
)

// putOff is how long what could not be done of what is due waits until it is tried again.
const putOff = 10 * time.Minute

// batch is what is done with things that are due.
type batch[T any] struct {
	// do does one; it may run more than once, and is pure but for the transaction.
	do func(store.Tx, T, *outcome) error
	// later moves one that could not be done on; failed says so to people, once, when that is committed.
	later  func(store.Tx, T) error
	failed func(T, error)
	// looking: it is the look at deadlines; see outcome.
	looking bool
}

// oneByOne does all that is due in one transaction. Where that fails each has a transaction of its own, so that one that
// cannot be done keeps no other waiting: it is moved on. The error is of the store, when nothing can be written.
func oneByOne[T any](ctx context.Context, p *pipeline, due []T, b batch[T]) error {
	if allAtOnce(ctx, p, due, b) == nil {
		return nil
	}
	for i := range due {
		err := allAtOnce(ctx, p, due[i:i+1], b)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrFull) {
			return err
		}
		if moved := p.store.Update(ctx, "", func(tx store.Tx) error { return b.later(tx, due[i]) }); moved != nil {
			return errors.Join(err, moved)
		}
		b.failed(due[i], err)
	}
	return nil
}

// allAtOnce does things in one transaction.
func allAtOnce[T any](ctx context.Context, p *pipeline, due []T, b batch[T]) error {
	var did outcome
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{looking: b.looking}
		for _, one := range due {
			if err := b.do(tx, one, &did); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		p.done(did)
	}
	return err
}

// newPutOff counts what was put off, by what it is, each from the start.
func newPutOff(reg prometheus.Registerer) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_due_put_off_total",
		Help: "Deadlines, recurrences and held notices that could not be carried out when they were due and were put off, so that the others went on. " +
			"The log says why."}, []string{"what"})
	for _, what := range []string{putOffDeadline, putOffRecurrence, putOffNotice} {
		v.WithLabelValues(what)
	}
	reg.MustRegister(v)
	return v
}

// What is put off.
const (
	putOffDeadline   = "deadline"
	putOffRecurrence = "recurrence"
	putOffNotice     = "notice"
)
