package ingest

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/rules/window"
)

// verdict is what became of a sample.
type verdict int

// The verdicts.
const (
	isTaken     verdict = iota // it stands in a row, or waits for one
	isEarly                    // its series came while its row was written already: for the history alone
	isPast                     // older than what its group wrote: for the history alone
	isDuplicate                // it is here
	isAnother                  // somebody else writes this series
	isConflict                 // another value of its time is here
)

// put takes one sample of a series. The caller holds the asset.
func (a *remoteAsset) put(s *remoteSeries, by *writer, p point, now time.Time) verdict {
	if s.by != by {
		if s.by != nil && now.Sub(time.Unix(0, s.heard)) <= max(3*s.pace(), time.Minute) {
			return isAnother
		}
		s.by = by
	}
	first := s.heard == 0
	s.heard = now.UnixNano()
	s.target.heard = s.heard
	switch {
	case p.t == s.newest && !first && math.Float64bits(p.v) != math.Float64bits(s.last):
		return isConflict
	case p.t == s.newest:
		return isDuplicate
	case p.t < s.newest:
		return isPast
	}
	s.newest, s.last = p.t, p.v
	g := s.group
	if g != nil && p.t <= g.newest {
		return isPast
	}
	if g != nil && s.missed >= away {
		if _, open := g.find(p.t); !open { // it comes at times of its own
			g.drop(func(x *remoteSeries) bool { return x == s })
			g = nil
		}
	}
	if g == nil {
		if value.IsStaleNaN(p.v) {
			return isEarly // it ended before it began here
		}
		if !a.join(s, p.t) {
			return isEarly
		}
		g = s.group
	}
	if g.scrape && s.labels.Get("__name__") == "up" {
		s.target.up = p
	}
	g.row(p.t, now).set(s.slot, p.v)
	return isTaken
}

func (s *remoteSeries) pace() time.Duration {
	if s.group == nil {
		return 0
	}
	return s.group.pace()
}

// due takes the rows off a group that can be written now: those that are whole with those before them, those that waited
// long enough, and the oldest of too many. They are written one after the other with write.
func (g *remoteGroup) due(now time.Time, write func(*remoteRow)) {
	for len(g.rows) > 0 {
		ready := len(g.rows) > maxRows || now.Sub(g.rows[0].began) >= quiet
		for _, r := range g.rows {
			ready = ready || g.whole(r)
		}
		if !ready {
			return
		}
		r := g.rows[0]
		g.rows = slices.Delete(g.rows, 0, 1)
		if r.count > 0 {
			write(r)
		}
	}
}

// block makes a row a block of the window. Series that are not in it have their last value, for as long as that stands in
// Prometheus, too; those that ended, or are missing for longer, leave. When all ended because the scrape failed, nobody
// knows what they are, and the block says so.
func (g *remoteGroup) block(r *remoteRow, now time.Time, layouts *remoteLayouts) window.Block {
	ended := 0
	for i, s := range g.series {
		in := i < len(r.have) && r.have[i]
		if in && value.IsStaleNaN(r.values[i]) {
			ended++
		}
		if in {
			s.missed = 0
		} else if s.rowAt != never {
			s.missed++
		}
	}
	pace := g.pace()
	b := window.Block{
		Source: g.source, At: time.UnixMilli(r.t).UTC(), Interval: pace, Status: window.OK,
		Late: now.Sub(time.UnixMilli(r.t)) > LateAfter(pace),
	}
	if up := g.target.up; ended > 0 && ended == len(g.series) && !g.scrape && up.t == r.t && up.v == 0 {
		g.passed(r.t)
		b.Status, b.Reason = window.Failed, "its sender could not scrape it: up is 0"
		return b
	}
	if ended > 0 || g.outdated(r) {
		g.leave(r)
	}
	g.passed(r.t)
	b.Interval = g.pace()
	if g.changed {
		g.layout, g.changed = layouts.of(g.series), false
	}
	b.Layout, b.Values = g.layout, g.fill(r)
	if b.Late {
		b.Values = slices.Clone(b.Values) // the window keeps those
	}
	return b
}

// stands tells whether the last value of a series that is not in a row at t still stands for it.
func (s *remoteSeries) stands(t int64) bool {
	return s.rowAt == never || t-s.rowAt < window.StaleAfter.Milliseconds()
}

// outdated tells whether a series of the group has been missing for too long.
func (g *remoteGroup) outdated(r *remoteRow) bool {
	return slices.ContainsFunc(g.series, func(s *remoteSeries) bool { return !r.has(s.slot) && !s.stands(r.t) })
}

func (r *remoteRow) has(slot int) bool { return slot < len(r.have) && r.have[slot] }

// leave takes those out of the group, and of the row, that ended or have been missing for too long.
func (g *remoteGroup) leave(r *remoteRow) {
	g.rows = slices.Insert(g.rows, 0, r) // for it to be made anew with the others
	ends := make([]bool, len(g.series))
	for i, s := range g.series {
		if r.has(i) {
			ends[i] = value.IsStaleNaN(r.values[i])
		} else {
			ends[i] = !s.stands(r.t)
		}
	}
	g.drop(func(s *remoteSeries) bool { return ends[s.slot] })
	g.rows = slices.Delete(g.rows, 0, 1)
}

// fill are the values of a row, one for each series.
func (g *remoteGroup) fill(r *remoteRow) []float64 {
	g.values = slices.Grow(g.values[:0], len(g.series))[:len(g.series)]
	for i, s := range g.series {
		switch {
		case r.has(i):
			s.value, s.rowAt = r.values[i], r.t
			g.values[i] = s.value
		case s.rowAt != never:
			g.values[i] = s.value
		default: // it is to come
			g.values[i] = math.Float64frombits(value.StaleNaN)
		}
	}
	return g.values
}

// remoteLayouts makes equal layouts one, so that a thousand hosts with the same series have them once.
type remoteLayouts struct {
	seed  maphash.Seed
	mu    sync.Mutex
	known map[uint64]weak.Pointer[window.Layout]
	sweep int
}

// of is the layout of series in their order. They share its labels from then on.
func (x *remoteLayouts) of(series []*remoteSeries) *window.Layout {
	var h maphash.Hash
	h.SetSeed(x.seed)
	for _, s := range series {
		maphash.WriteComparable(&h, s.hash)
	}
	key := h.Sum64()
	x.mu.Lock()
	defer x.mu.Unlock()
	if l := x.known[key].Value(); l != nil && slices.EqualFunc(l.Series, series, func(a labels.Labels, b *remoteSeries) bool {
		return labels.Equal(a, b.labels)
	}) {
		for i, s := range series {
			s.labels = l.Series[i]
		}
		return l
	}
	l := &window.Layout{Series: make([]labels.Labels, len(series))}
	for i, s := range series {
		l.Series[i] = s.labels
	}
	x.known[key] = weak.Make(l)
	if len(x.known) > x.sweep {
		for k, w := range x.known {
			if w.Value() == nil {
				delete(x.known, k)
			}
		}
		x.sweep = max(64, 2*len(x.known))
	}
	return l
}
