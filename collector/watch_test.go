package collector

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// TestALookEnds: a tick ends although there is always more due, so that whatever else it does has its turn.
func TestALookEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(deskAt))
		d := newDesk(t)
		looks := 0
		d.pipeline.now = func() time.Time { // each look finds one that came due meanwhile
			looks++
			d.at = d.at.Add(time.Millisecond)
			return d.at
		}
		d.pipeline.store = alwaysDue{d.pipeline.store}
		c := &Collector{pipeline: d.pipeline, log: slog.New(slog.DiscardHandler), now: func() time.Time { return d.at }}
		c.elapse(context.Background())
		if looks < maxLooks {
			t.Errorf("it looked %d times", looks)
		}
	})
}

// alwaysDue is a store of which a deadline is always due.
type alwaysDue struct{ store.Store }

func (s alwaysDue) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.Store.View(ctx, func(tx store.Tx) error { return fn(alwaysDueTx{tx}) })
}

type alwaysDueTx struct{ store.Tx }

func (alwaysDueTx) DueDeadlines(now time.Time, _ int) ([]store.Deadline, time.Time, error) {
	return nil, now, nil
}
