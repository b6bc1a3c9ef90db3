package history

import (
	"context"
	"errors"
	"time"

	"github.com/shirou/gopsutil/v3/disk"
)

// How Run works.
const (
	// upkeepEvery is how often chunks are mapped to disk, blocks cut and old ones dropped, as the TSDB itself would.
	upkeepEvery = time.Minute
	// commitSamples is where gathering batches for one commit ends.
	commitSamples = 5000
	// writeAttempts is how often a commit is tried, over about three minutes, before its samples are dropped.
	writeAttempts = 10
)

// Run writes what was appended until ctx ends, and then what is still queued; it returns nil. What cannot be written is
// counted and tried again.
func (h *History) Run(ctx context.Context) error {
	if h.o.OpenAfter > 0 && !h.openLater(ctx) {
		h.dropQueued()
		return nil
	}
	upkeep := time.NewTicker(upkeepEvery)
	defer upkeep.Stop()
	rounds := newUpkeeping()
	defer rounds.end(h)
	for {
		select {
		case <-ctx.Done():
			h.drain()
			return nil
		case b := <-h.queue:
			h.keep(ctx, h.gather(b))
		case <-upkeep.C:
			h.known.forget()
			rounds.begin(func() { h.maintain(ctx) })
		}
	}
}

// openLater opens when its time has come; false when ctx ends before, and nothing is opened then.
func (h *History) openLater(ctx context.Context) bool {
	t := time.NewTimer(h.o.OpenAfter)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	}
	began := time.Now()
	if err := h.begin(); err != nil {
		h.cannotOpen(err)
	} else {
		h.o.Logger.Info("history is open", "took", time.Since(began).Round(time.Millisecond))
	}
	return true
}

// dropQueued lets go of what waits: an orderly stop does not wait for all to be read back first.
func (h *History) dropQueued() {
	for {
		select {
		case b := <-h.queue:
			batches := h.gather(b)
			h.dropAll(batches)
			h.releaseAll(batches)
		default:
			return
		}
	}
}

// gather adds to b what else waits, up to one commit's worth.
func (h *History) gather(b *batch) []*batch {
	batches, n := append(h.known.gathered[:0], b), b.size()
	for n < commitSamples {
		select {
		case b := <-h.queue:
			batches, n = append(batches, b), n+b.size()
			continue
		default:
		}
		break
	}
	h.known.gathered = batches
	h.waiting.Add(-int64(n))
	return batches
}

// keep writes batches, waiting for better times when it cannot.
func (h *History) keep(ctx context.Context, batches []*batch) {
	defer h.releaseAll(batches)
	for n := 1; ; n++ {
		err := h.write(batches)
		h.wrote(err)
		if err == nil {
			return
		}
		if n == 1 {
			h.o.Logger.Warn("history cannot be written; it is tried again, charts may lack a while", "err", err)
		}
		if n == writeAttempts {
			h.dropAll(batches)
			return
		}
		t := time.NewTimer(min(time.Second<<(n-1), 30*time.Second))
		select {
		case <-ctx.Done():
			t.Stop()
			h.dropAll(batches)
			return
		case <-t.C:
		}
	}
}

// wrote notes how an attempt to write went. While the last one failed the history counts as down.
func (h *History) wrote(err error) {
	was := h.failing.Load()
	switch {
	case err != nil:
		h.metrics.writeFailures.Inc()
		h.metrics.up.Set(0)
		if was == nil {
			was = &failure{since: time.Now()}
		}
		h.failing.Store(&failure{was.since, err})
	case was != nil:
		h.failing.Store(nil)
		h.metrics.up.Set(1)
	}
}

// drain makes one attempt at what is queued.
func (h *History) drain() {
	for {
		select {
		case b := <-h.queue:
			batches := h.gather(b)
			if err := h.write(batches); err != nil {
				h.metrics.writeFailures.Inc()
				h.dropAll(batches)
			}
			h.releaseAll(batches)
		default:
			return
		}
	}
}

func (h *History) dropAll(batches []*batch) {
	for _, b := range batches {
		h.lose("write_failed", b)
	}
}

// write commits batches as one, or nothing of them. Samples that no history takes are left out and counted.
func (h *History) write(batches []*batch) error {
	s, err := h.ready()
	if err != nil {
		return err
	}
	if err := h.room(1); err != nil {
		return err
	}
	var t tally
	err = guarded(func() error { return h.known.appendAll(s, batches, &t) })
	if errors.Is(err, errPanicked) {
		h.abandon(s, err)
	}
	if err != nil {
		return err
	}
	h.metrics.samples.Add(float64(t.written))
	h.metrics.lookedUp.Add(float64(t.lookedUp))
	h.metrics.drop("too_old", t.tooOld)
	h.metrics.drop("duplicate", t.duplicate)
	h.metrics.drop("invalid", t.invalid)
	return nil
}

// upkeep is a round of it, by whoever writes.
func (h *History) upkeep(ctx context.Context) {
	h.known.forget()
	h.maintain(ctx)
}

// maintain does what the TSDB's own loop would do: that one panics on a full disk where nobody can catch it. When there
// is no room it does nothing. It may be called beside writing.
func (h *History) maintain(ctx context.Context) {
	s, err := h.ready()
	if err == nil {
		err = h.room(1)
	}
	if err == nil {
		err = guarded(func() error {
			s.db.ForceHeadMMap()
			return errors.Join(s.db.Compact(ctx), h.fit(ctx, s))
		})
	}
	if errors.Is(err, errPanicked) {
		h.abandon(s, err)
	}
	if err != nil && ctx.Err() == nil {
		h.metrics.writeFailures.Inc()
		h.o.Logger.Warn("history's upkeep failed; it is tried again in a minute", "err", err)
	}
}

func freeSpace(path string) (free, total uint64, err error) {
	u, err := disk.Usage(path)
	if err != nil {
		return 0, 0, err
	}
	return u.Free, u.Total, nil
}
