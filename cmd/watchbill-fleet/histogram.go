package main

import (
	"math"
	"sync/atomic"
	"time"
)

// Buckets of a histogram: each is a sixteenth of an octave wide (4.4 %), from a microsecond to half a day.
const (
	perOctave = 16
	buckets   = 36 * perOctave
)

// histogram counts durations. Safe for concurrent use.
type histogram struct {
	counts [buckets]atomic.Uint64
	most   atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	us := max(float64(d)/float64(time.Microsecond), 1)
	h.counts[min(int(math.Log2(us)*perOctave), buckets-1)].Add(1)
	for {
		old := h.most.Load()
		if int64(d) <= old || h.most.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// tally is what a histogram held at one time.
type tally struct {
	counts [buckets]uint64
	total  uint64
	most   time.Duration
}

// take reads the counts; what is observed meanwhile may be in or not.
func (h *histogram) take() tally {
	var t tally
	for i := range h.counts {
		t.counts[i] = h.counts[i].Load()
		t.total += t.counts[i]
	}
	t.most = time.Duration(h.most.Load())
	return t
}

// since is what came after an earlier tally. Its most is no more than an upper bound: the greatest that came.
func (t tally) since(old tally) tally {
	d := tally{total: t.total - old.total}
	top := -1
	for i := range t.counts {
		if d.counts[i] = t.counts[i] - old.counts[i]; d.counts[i] > 0 {
			top = i
		}
	}
	if top >= 0 {
		d.most = min(bound(top), t.most)
	}
	return d
}

// quantile is the value that a share q of all are at most, no more than 4.4 % too high; 0 when there is none.
func (t tally) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(t.total)))
	var seen uint64
	for i, n := range t.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(bound(i), t.most)
		}
	}
	return 0
}

// bound is the upper end of a bucket.
func bound(i int) time.Duration {
	return time.Duration(math.Exp2(float64(i+1)/perOctave) * float64(time.Microsecond))
}
