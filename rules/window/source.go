package window

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// source is one block kind of one asset over time.
type source struct {
	name, kind string
	asset      *asset
	// log is the ok blocks that are in the window, by time.
	log []entry
	gen uint64 // of the newest change
	// shapes are the layouts in use, resolved to series; cur is that of the newest block.
	shapes map[[32]byte]*shape
	cur    *shape
	// status is the newest live word, at that block's time.
	status   Status
	statusAt int64
	reason   string
	interval time.Duration
	// held are late blocks newer than everything live: they wait, so that they are never the newest word.
	held []Block
	// late are blocks that belong between those of log, by time; they are put there when somebody wants to read.
	late []lateBlock
	// left are series that are not in cur, until their last sample is too old.
	left []*series
}

// shape is a layout with this asset's series, one per slot; a slot is nil where the series was refused.
type shape struct {
	layout *Layout
	slots  []*series
	columns
}

// entry is one applied block.
type entry struct {
	t   int64
	gen uint64
	sh  *shape
}

// newest is the time of the newest ok block, or the smallest time.
func (s *source) newest() int64 {
	if n := len(s.log); n > 0 {
		return s.log[n-1].t
	}
	return math.MinInt64
}

// at is the index of the first log entry at or after t, and whether it is at t.
func (s *source) at(t int64) (int, bool) {
	i := sort.Search(len(s.log), func(i int) bool { return s.log[i].t >= t })
	return i, i < len(s.log) && s.log[i].t == t
}

// apply takes one block. It reports whether the block is the newest live word about its source.
func (s *source) apply(w *Window, b *Block, done *Applied) bool {
	t, newest := b.At.UnixMilli(), s.newest()
	if b.Status == Failed {
		return s.fail(b, b.Reason, done)
	}
	_, have := s.at(t)
	switch {
	case have, s.hasLate(t):
		done.Duplicate++
		return false
	case newest != math.MinInt64 && t < newest-w.keep:
		done.Old++
		return false
	case b.Late && t > newest:
		s.hold(w, b, done)
		return false
	case t < newest && b.Late:
		done.New++
		s.putLate(w, b)
		return false
	}
	sh, values, why := s.read(w, b)
	if why != "" {
		return s.fail(b, why, done)
	}
	done.New++
	if t < newest {
		s.fillIn(w, t, w.gen, sh, values)
		return false
	}
	s.release(w, t)
	s.write(w, t, sh, values)
	if t < s.statusAt { // a failure was reported since
		return false
	}
	s.status, s.statusAt, s.reason = OK, t, ""
	s.setInterval(b)
	return true
}

func (s *source) setInterval(b *Block) {
	if b.Interval > 0 {
		s.interval = b.Interval
	}
}

// fail notes that the source cannot be known from this block on.
func (s *source) fail(b *Block, reason string, done *Applied) bool {
	t := b.At.UnixMilli()
	if b.Late || (s.status != 0 && t <= s.statusAt) {
		done.Duplicate++
		return false
	}
	done.Failed++
	s.status, s.statusAt, s.reason = Failed, t, reason
	s.setInterval(b)
	return true
}

// read is what a block says: its series and their values, or why it says nothing.
func (s *source) read(w *Window, b *Block) (*shape, []float64, string) {
	t := b.At.UnixMilli()
	switch b.Status {
	case OK:
		if b.Layout == nil || len(b.Layout.Series) != len(b.Values) {
			return nil, nil, fmt.Sprintf("block not understood: %d values do not fit its shape", len(b.Values))
		}
		return s.shapeOf(w, b.Layout), b.Values, ""
	case Unchanged:
		i, _ := s.at(t)
		if i == 0 {
			return nil, nil, "said to be unchanged, and what it was before is not known here"
		}
		if s.status == Failed && t > s.statusAt {
			return nil, nil, s.reason
		}
		prev := s.log[i-1]
		values := make([]float64, len(prev.sh.slots))
		for j, x := range prev.sh.slots {
			if x != nil {
				values[j], _ = x.exactly(prev.t)
			}
		}
		return prev.sh, values, ""
	}
	return nil, nil, fmt.Sprintf("block not understood: status %d", b.Status)
}

// write appends a block that is newer than all before it.
func (s *source) write(w *Window, t int64, sh *shape, values []float64) {
	if s.cur != nil && s.cur != sh {
		stay := sh.set()
		for _, x := range s.cur.slots {
			if x != nil && !stay[x] {
				w.samples += x.put(t, staleMarker())
				s.left = append(s.left, x)
			}
		}
	}
	if sh.full(t) {
		s.prune(w)
		w.samples += sh.renew(sh.slots, t, values)
	} else {
		w.samples += sh.write(sh.slots, t, values)
	}
	if s.cur != sh {
		s.asset.parts = nil
	}
	s.cur, s.gen = sh, w.gen
	s.log = append(s.log, entry{t, w.gen, sh})
}

// fillIn puts a block between those that are there. A series that is in it but not in the next one ended there; one
// that was in the one before but is not in it was away.
func (s *source) fillIn(w *Window, t int64, gen uint64, sh *shape, values []float64) {
	i, _ := s.at(t)
	if i > 0 {
		w.markMissing(s.log[i-1].sh, sh, t)
	}
	for j, x := range sh.slots {
		if x != nil {
			w.samples += x.put(t, values[j])
		}
	}
	if next := s.log[i]; next.sh != sh {
		w.markMissing(sh, next.sh, next.t)
		current := s.cur.set()
		for _, x := range sh.slots {
			if x != nil && !current[x] {
				s.left = append(s.left, x)
			}
		}
		s.asset.parts = nil
	}
	s.gen = max(s.gen, gen)
	// Queries may run over the log's memory no longer than the lock is held: insert in place.
	s.log = slices.Insert(s.log, i, entry{t, gen, sh})
}

// markMissing puts stale markers at t on the series of one shape that are not in the other.
func (w *Window) markMissing(from, to *shape, t int64) {
	if from == to {
		return
	}
	stay := to.set()
	for _, x := range from.slots {
		if x != nil && !stay[x] {
			w.samples += x.put(t, staleMarker())
		}
	}
}

func (sh *shape) set() map[*series]bool {
	m := make(map[*series]bool, len(sh.slots))
	for _, x := range sh.slots {
		m[x] = true
	}
	return m
}

// hold keeps a late block until a newer live one comes.
func (s *source) hold(w *Window, b *Block, done *Applied) {
	i, have := slices.BinarySearchFunc(s.held, b.At, func(h Block, t time.Time) int { return h.At.Compare(t) })
	if have {
		done.Duplicate++
		return
	}
	if len(s.held) >= w.opts.MaxHeld {
		w.refused["MaxHeld"]++
		if i == 0 {
			return
		}
		s.held = s.held[1:]
		i--
	}
	done.Held++
	s.held = slices.Insert(s.held, i, *b)
}

// release puts the held blocks that are older than the live block at t into their places.
func (s *source) release(w *Window, t int64) {
	n := 0
	for ; n < len(s.held) && s.held[n].At.UnixMilli() < t; n++ {
		b := &s.held[n]
		at := b.At.UnixMilli()
		if at < t-w.keep {
			continue
		}
		if sh, values, why := s.read(w, b); why == "" {
			s.write(w, at, sh, values)
		}
	}
	if n > 0 {
		s.held = slices.Clone(s.held[n:])
	}
}

// shapeOf resolves a layout to this asset's series.
func (s *source) shapeOf(w *Window, l *Layout) *shape {
	if s.cur != nil && s.cur.layout == l {
		return s.cur
	}
	named := l.ID != [32]byte{}
	if sh := s.shapes[l.ID]; named && sh != nil {
		return sh
	}
	sh := &shape{layout: l, slots: make([]*series, len(l.Series))}
	seen := make(map[*series]bool, len(l.Series))
	lb := labels.NewBuilder(labels.EmptyLabels())
	var buf []byte
	for i, lbls := range l.Series {
		a := s.asset
		full := lbls
		if s.house() {
			full = a.Asset.Labels(lbls)
		} else {
			lb.Reset(lbls)
			lb.Set("job", s.kind).Set("instance", a.Name).Set("customer", a.Customer).Set("site", a.Site)
			full = lb.Labels()
		}
		buf = full.Bytes(buf)
		x := a.series[string(buf)]
		switch {
		case x == nil:
			x = w.add(a, s, full, string(buf))
		case x.src != s && x.src != nil && x.ended(): // it moved from one sampler to another
			x.src = s
		}
		if x == nil || x.src != s || seen[x] {
			if x != nil {
				w.refused["series of two blocks"]++
			}
			continue
		}
		seen[x] = true
		sh.slots[i] = x
	}
	if named {
		s.shapes[l.ID] = sh
	}
	return sh
}

// tidy prunes when it is worth it: what is older than the look-back goes when there is an eighth more of it.
func (s *source) tidy(w *Window) {
	n := len(s.log)
	if n > 0 && (s.log[0].t < s.log[n-1].t-w.keep-w.keep/8 || n > w.opts.MaxSamples) {
		s.prune(w)
	}
}

// prune forgets what no rule looks back to.
func (s *source) prune(w *Window) {
	newest := s.newest()
	if newest == math.MinInt64 {
		return
	}
	cut := newest - w.keep
	for _, x := range s.cur.slots {
		if x == nil || len(x.t) == 0 || (x.t[0] >= cut && len(x.t) <= w.opts.MaxSamples) {
			continue
		}
		n, full := x.prune(cut, w.opts.MaxSamples)
		w.samples -= n
		if full {
			w.refused["MaxSamples"]++
			s.asset.raise(x.t[0])
		}
	}
	n := 0
	for n < len(s.log)-1 && s.log[n].t < cut {
		n++
	}
	s.log = s.log[n:]
	if n > 0 {
		s.pruneLeft(w, cut)
	}
}

// pruneLeft removes series that left and whose last sample is older than cut, and the shapes that knew them.
func (s *source) pruneLeft(w *Window, cut int64) {
	used := map[*shape]bool{s.cur: true}
	for _, e := range s.log {
		used[e.sh] = true
	}
	for id, sh := range s.shapes {
		if !used[sh] {
			delete(s.shapes, id)
		}
	}
	if len(s.left) > 0 {
		s.asset.parts = nil
	}
	s.left = slices.DeleteFunc(s.left, func(x *series) bool {
		t, v, ok := x.last()
		if x.src != s || (ok && !value.IsStaleNaN(v)) {
			return true // it came back, here or elsewhere
		}
		if ok && t >= cut {
			return false
		}
		if s.asset.series[x.key] == x && !s.asset.handOver(x) {
			w.drop(x)
		}
		return true
	})
}

// handOver gives a series that left its source to another one that still reports it, if there is one. Where another
// source's earlier shapes know it they are forgotten, to be resolved anew: a series that is dropped must not be written.
func (a *asset) handOver(x *series) bool {
	for _, src := range a.sources {
		if src == x.src {
			continue
		}
		if src.cur != nil && slices.Contains(src.cur.slots, x) {
			x.src = src
			return true
		}
		maps.DeleteFunc(src.shapes, func(_ [32]byte, sh *shape) bool { return slices.Contains(sh.slots, x) })
	}
	return false
}
