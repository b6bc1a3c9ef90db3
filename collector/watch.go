package collector

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// watchEvery is how often silence and deadlines are looked at. It bounds how late either is noticed.
const watchEvery = time.Second

// watch drives what no report will: silence and deadlines, and keeps how agents were seen. Silence has a loop of its
// own, for it asks hosts whether they are there and deadlines do not wait for that. A failure is logged and tried again at
// the next tick.
func (c *Collector) watch(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return every(ctx, watchEvery, func() {
			if err := c.silence.look(ctx); err != nil && ctx.Err() == nil {
				c.log.Error("silence could not be recorded; trying again", "err", err)
			}
		})
	})
	kept := c.now()
	g.Go(func() error {
		return every(ctx, watchEvery, func() {
			if now := c.now(); now.Sub(kept).Abs() >= seenEvery {
				kept = now
				if err := c.remember.all(ctx, false); err != nil && ctx.Err() == nil {
					c.log.Error("how agents were seen could not be kept; trying again", "err", err)
				}
			}
			c.elapse(ctx)
		})
	})
	g.Go(func() error { return c.feed.run(ctx) })
	return g.Wait()
}

// every calls do at every tick until ctx ends.
func every(ctx context.Context, d time.Duration, do func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			do()
		}
	}
}

// maxLooks bounds how often one tick looks at what is due, some of it at a time: a quarter of a million deadlines. What is
// left is looked at with the next tick, and whatever else a tick does has its turn.
const maxLooks = 1024

// elapse keeps the deadlines that are due. What fails is tried again at the next tick and keeps nothing else from being
// done: whatever else is due goes on now, and what failed is said once.
func (c *Collector) elapse(ctx context.Context) {
	said := ""
	for range maxLooks {
		next, err := c.pipeline.elapse(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			c.log.Error("not all that is due could be done; trying again", "err", err)
		}
		if ctx.Err() != nil || next.IsZero() || next.After(c.now()) {
			return
		}
	}
	c.log.Warn("more is due than one look takes; it goes on with the next", "looks", maxLooks)
}
