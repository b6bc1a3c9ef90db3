package window

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

var _ storage.Queryable = (*Window)(nil)

// readers are the queries that are open.
type readers struct {
	mu   sync.Mutex
	open map[uint64]int
	// oldest is the generation of the one that was opened first, nobody when none is open.
	oldest atomic.Uint64
}

// nobody is later than every generation.
const nobody = math.MaxUint64

func (r *readers) enter(w *Window) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[uint64]int{}
	}
	gen := w.gen.Load()
	r.open[gen]++
	r.oldest.Store(min(r.oldest.Load(), gen))
	return gen
}

func (r *readers) leave(gen uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[gen]--; r.open[gen] > 0 {
		return
	}
	delete(r.open, gen)
	oldest := uint64(nobody)
	for g := range r.open {
		oldest = min(oldest, g)
	}
	r.oldest.Store(oldest)
}

// rowMark is a row that came in while an older query was open.
type rowMark struct {
	s   *source
	t   int64
	gen uint64
}

// maxMarks bounds what an asset remembers for queries that nobody closes: they see more than they should then.
const maxMarks = 1 << 16

// mark notes a row that queries which are open may not see. The report that it is of holds the asset's lock since before
// it had its generation: a query of that generation or a later one finds all of it, one of an earlier one nothing.
func (a *asset) mark(w *Window, s *source, t int64, gen uint64) {
	if gen <= w.readers.oldest.Load() {
		return
	}
	if len(a.marks) >= maxMarks {
		a.marks = slices.Delete(a.marks, 0, maxMarks/2)
	}
	a.marks = append(a.marks, rowMark{s, t, gen})
}

// hidden tells whether a row came in after a generation.
func (a *asset) hidden(s *source, t int64, gen uint64) bool {
	return slices.ContainsFunc(a.marks, func(m rowMark) bool { return m.s == s && m.t == t && m.gen > gen })
}

// hides tells which sample times of a source came in after gen; nil when none did.
func (a *asset) hides(s *source, gen uint64) func(int64) bool {
	var times map[int64]bool
	for _, m := range a.marks {
		if m.s == s && m.gen > gen {
			if times == nil {
				times = map[int64]bool{}
			}
			times[m.t] = true
		}
	}
	if times == nil {
		return nil
	}
	return func(t int64) bool { return times[t] }
}

// Querier reads [mint, maxt] (ms, both included) as of now: reports that come in while it is open are not seen, so all
// selectors of one query agree. Only Forget shows at once. Close it: until then what it may not see is remembered.
func (w *Window) Querier(mint, maxt int64) (storage.Querier, error) {
	w.catchUp()
	return &querier{w: w, mint: max(mint, never+1), maxt: min(maxt, forever), gen: w.readers.enter(w)}, nil
}

type querier struct {
	w          *Window
	mint, maxt int64
	gen        uint64
	closed     atomic.Bool
}

// Close is storage.LabelQuerier's.
func (q *querier) Close() error {
	if !q.closed.Swap(true) {
		q.w.readers.leave(q.gen)
	}
	return nil
}

// Select is storage.Querier's.
func (q *querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	sel := &selection{q: q, find: newFinder(ms), mint: q.mint, maxt: q.maxt, limit: math.MaxInt}
	if hints != nil {
		if hints.Limit > 0 {
			sel.limit = hints.Limit
		}
		if hints.Start != 0 || hints.End != 0 {
			sel.mint, sel.maxt = max(sel.mint, hints.Start), min(sel.maxt, hints.End)
		}
	}
	for _, as := range q.w.assetsOf(ms) {
		if !sel.asset(as) {
			break
		}
	}
	sel.recorded()
	if sorted {
		slices.SortFunc(sel.all, func(a, b *view) int { return labels.Compare(a.Labels(), b.Labels()) })
	}
	return &seriesSet{found: sel.all, at: -1}
}

// assetsOf are the assets that have series that the matchers may match.
func (w *Window) assetsOf(ms []*labels.Matcher) (list []*asset) {
	for _, m := range ms {
		if m.Name != instanceLabel {
			continue
		}
		var names []string
		switch {
		case m.Type == labels.MatchEqual && m.Value != "":
			names = []string{m.Value}
		case m.Type == labels.MatchRegexp && len(m.SetMatches()) > 0:
			names = slices.Compact(slices.Sorted(slices.Values(m.SetMatches())))
		default:
			continue
		}
		for _, name := range names {
			if as := w.find(name); as != nil {
				list = append(list, as)
			}
		}
		return list
	}
	return w.index.assets(ms)
}

// selection is a Select under way.
type selection struct {
	q          *querier
	find       *finder
	mint, maxt int64
	limit      int
	all        []*view
	// views, t and v are memory that many series share.
	views []view
	t     []int64
	v     []float64
	buf   Buffer
	// builder makes labels when they are asked for.
	builder labels.ScratchBuilder
}

// asset takes in the series of an asset; false when there are enough.
func (x *selection) asset(as *asset) bool {
	as.read(x.q.w)
	defer as.mu.RUnlock()
	if as.gone {
		return true
	}
	for _, s := range as.order {
		if !x.source(&as.Asset, s, as.hides(s, x.q.gen)) {
			return false
		}
	}
	return true
}

func (x *selection) source(a *Asset, s *source, hide func(int64) bool) bool {
	return x.find.each(a, s.part, func(slot int32) bool {
		x.slot(a, s, slot, hide)
		return len(x.all) < x.limit
	})
}

// recorded takes in what timers recorded.
func (x *selection) recorded() {
	r := &x.q.w.recorded
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.list(x.find.ms) {
		if len(x.all) >= x.limit {
			return
		}
		if lbls := s.part.Series[0]; matches(lbls, x.find.ms) {
			x.slot(&Asset{}, s, 0, nil)
		}
	}
}

// slot takes in one series as it stands: what lies raw is copied, slabs are never changed.
func (x *selection) slot(a *Asset, s *source, slot int32, hide func(int64) bool) {
	var slabs []slab
	var id uint64
	var from int
	at := s.plan.at[slot]
	switch {
	case at.lane >= 0 && hide == nil && len(s.seldom().moved) == 0:
		b := &s.bands[at.lane]
		id = b.lane.ids[at.pos]
		for i := range b.slabs {
			if o := b.slabs[i]; o.last >= x.mint && o.first <= x.maxt {
				slabs = append(slabs, o)
			}
		}
		i, j := b.between(x.mint, x.maxt)
		x.grow(j - i)
		from = len(x.t)
		x.t, x.v = append(x.t, b.t[i:j]...), append(x.v, b.column(at.pos)[i:j]...)
		if len(slabs) == 0 {
			x.t, x.v = tidySamples(x.t, x.v, from, nil)
		}
	default:
		t, v := s.collect(slot, x.mint, x.maxt, hide, &x.buf)
		x.grow(len(t))
		from = len(x.t)
		x.t, x.v = append(x.t, t...), append(x.v, v...)
	}
	if len(x.t) == from && len(slabs) == 0 {
		return
	}
	if len(x.views) == cap(x.views) {
		x.views = make([]view, 0, min(max(16, 2*cap(x.views)), 1024))
	}
	x.views = append(x.views, view{
		asset: a, with: &x.builder, of: s.part.Series[slot], id: id, slabs: slabs, mint: x.mint, maxt: x.maxt,
		t: x.t[from:len(x.t):len(x.t)], v: x.v[from:len(x.v):len(x.v)],
	})
	x.all = append(x.all, &x.views[len(x.views)-1])
}

// grow makes room for n samples; what was given out stays where it is.
func (x *selection) grow(n int) {
	if cap(x.t)-len(x.t) < n {
		size := max(n, min(2*cap(x.t), 1<<14), 64)
		x.t, x.v = make([]int64, 0, size), make([]float64, 0, size)
	}
}

// LabelValues is storage.LabelQuerier's.
func (q *querier) LabelValues(_ context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	q.w.eachSeries(ms, func(a *Asset, lbls labels.Labels) {
		if v := a.own(lbls.Get(name)); v != "" {
			seen[v] = true
		}
	})
	return sortedKeys(seen, hints), nil, nil
}

// LabelNames is storage.LabelQuerier's.
func (q *querier) LabelNames(_ context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	q.w.eachSeries(ms, func(a *Asset, lbls labels.Labels) {
		lbls.Range(func(l labels.Label) {
			if a.own(l.Value) != "" {
				seen[l.Name] = true
			}
		})
	})
	return sortedKeys(seen, hints), nil, nil
}

// eachSeries calls fn with the labels of every series that the matchers match.
func (w *Window) eachSeries(ms []*labels.Matcher, fn func(*Asset, labels.Labels)) {
	find := newFinder(ms)
	for _, as := range w.assetsOf(ms) {
		as.read(w)
		for _, s := range as.order {
			find.each(&as.Asset, s.part, func(slot int32) bool {
				fn(&as.Asset, s.part.Series[slot])
				return true
			})
		}
		as.mu.RUnlock()
	}
	w.recorded.mu.RLock()
	defer w.recorded.mu.RUnlock()
	for _, s := range w.recorded.list(ms) {
		if matches(s.part.Series[0], ms) {
			fn(&Asset{}, s.part.Series[0])
		}
	}
}

func sortedKeys(m map[string]bool, hints *storage.LabelHints) []string {
	keys := slices.Sorted(maps.Keys(m))
	if hints != nil && hints.Limit > 0 && len(keys) > hints.Limit {
		keys = keys[:hints.Limit]
	}
	return keys
}
