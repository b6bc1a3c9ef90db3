package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

// errorBytes bounds what is kept of a receiver's answer.
const errorBytes = 1024

// Queue is the store as the outbox sees it. Done, Retry and Bury of a message that is gone, or is no longer queued, do
// nothing: someone else has dealt with it.
func Queue(s Store) outbox.Queue { return queue{s} }

type queue struct{ s Store }

func (q queue) Due(ctx context.Context, now time.Time, limit int) (due []outbox.Message, next time.Time, err error) {
	err = q.s.View(ctx, func(tx Tx) error {
		due, next, err = tx.DueMessages(now, limit)
		return err
	})
	return due, next, err
}

func (q queue) Done(ctx context.Context, id string) error {
	return q.s.Update(ctx, "", func(tx Tx) error { return tx.DeleteMessage(id) })
}

func (q queue) Retry(ctx context.Context, id string, now, next time.Time, cause error) error {
	return q.tried(ctx, id, now, cause, func(m *outbox.Message) { m.NextAt = next })
}

func (q queue) Bury(ctx context.Context, id string, now time.Time, cause error) error {
	return q.tried(ctx, id, now, cause, func(m *outbox.Message) { m.State = outbox.Buried })
}

// tried records an attempt that failed at now and what follows from it.
func (q queue) tried(ctx context.Context, id string, now time.Time, cause error, then func(*outbox.Message)) error {
	return q.s.Update(ctx, "", func(tx Tx) error {
		m, err := tx.Message(id)
		if errors.Is(err, ErrNotFound) || err == nil && m.State != outbox.Queued {
			return nil
		}
		if err != nil {
			return err
		}
		m.Attempts++
		m.TriedAt = now
		if cause != nil {
			m.LastError = cause.Error()[:min(len(cause.Error()), errorBytes)]
			m.LastError = strings.ToValidUTF8(m.LastError, "")
		}
		then(&m)
		return tx.PutMessage(m)
	})
}
