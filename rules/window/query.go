package window

import (
	"context"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

var _ storage.Queryable = (*Window)(nil)

// Querier reads [mint, maxt] (ms, both included) as of now: reports that come in while it is open are not seen, so all
// selectors of one query agree. Only Forget shows at once.
func (w *Window) Querier(mint, maxt int64) (storage.Querier, error) {
	w.catchUp()
	defer w.mu.RUnlock()
	return &querier{w: w, mint: mint, maxt: maxt, gen: w.gen}, nil
}

type querier struct {
	w          *Window
	mint, maxt int64
	gen        uint64
}

// Select is storage.Querier's.
func (q *querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{at: -1}
	limit := 0
	if hints != nil {
		limit = hints.Limit
	}
	q.w.mu.RLock()
	q.w.index.each(ms, func(s *series) bool {
		if t, v := s.between(q.mint, q.maxt, s.hidden(q.gen)); len(t) > 0 {
			set.found = append(set.found, view{s.lbls, t, v})
		}
		return limit <= 0 || len(set.found) < limit
	})
	q.w.mu.RUnlock()
	if sorted {
		slices.SortFunc(set.found, func(a, b view) int { return labels.Compare(a.lbls, b.lbls) })
	}
	return set
}

// hidden tells which sample times came in after gen; nil when none did.
func (s *series) hidden(gen uint64) func(int64) bool {
	if s.src == nil || s.src.gen <= gen {
		return nil
	}
	src := s.src
	return func(t int64) bool {
		i, ok := src.at(t)
		return ok && src.log[i].gen > gen
	}
}

// LabelValues is storage.LabelQuerier's.
func (q *querier) LabelValues(_ context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	q.w.mu.RLock()
	defer q.w.mu.RUnlock()
	q.w.index.each(ms, func(s *series) bool {
		if v := s.lbls.Get(name); v != "" {
			seen[v] = true
		}
		return true
	})
	return sortedKeys(seen, hints), nil, nil
}

// LabelNames is storage.LabelQuerier's.
func (q *querier) LabelNames(_ context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	q.w.mu.RLock()
	defer q.w.mu.RUnlock()
	q.w.index.each(ms, func(s *series) bool {
		s.lbls.Range(func(l labels.Label) { seen[l.Name] = true })
		return true
	})
	return sortedKeys(seen, hints), nil, nil
}

func sortedKeys(m map[string]bool, hints *storage.LabelHints) []string {
	keys := slices.Sorted(maps.Keys(m))
	if hints != nil && hints.Limit > 0 && len(keys) > hints.Limit {
		keys = keys[:hints.Limit]
	}
	return keys
}

// Close is storage.LabelQuerier's.
func (q *querier) Close() error { return nil }

// view is a series as it stood when it was selected.
type view struct {
	lbls labels.Labels
	t    []int64
	v    []float64
}

func (v view) Labels() labels.Labels { return v.lbls }

func (v view) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if old, ok := it.(*iterator); ok {
		*old = iterator{view: v, at: -1}
		return old
	}
	return &iterator{view: v, at: -1}
}

type seriesSet struct {
	found []view
	at    int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.found) }
func (s *seriesSet) At() storage.Series                { return s.found[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// millis is a time stamp as the engine has it: milliseconds since the epoch.
type millis = int64

// iterator walks a view; the window holds floats only.
type iterator struct {
	view
	at int
}

func (i *iterator) Next() chunkenc.ValueType {
	i.at++
	return i.kind()
}

func (i *iterator) kind() chunkenc.ValueType {
	if i.at < len(i.t) {
		return chunkenc.ValFloat
	}
	return chunkenc.ValNone
}

// Seek goes to the first sample at or after t, never back.
func (i *iterator) Seek(t millis) chunkenc.ValueType {
	i.at = max(i.at, 0)
	if i.at < len(i.t) && i.t[i.at] < t {
		n, _ := slices.BinarySearch(i.t[i.at:], t)
		i.at += n
	}
	return i.kind()
}

func (i *iterator) At() (int64, float64) { return i.t[i.at], i.v[i.at] }
func (i *iterator) AtT() int64           { return i.t[i.at] }
func (i *iterator) AtST() int64          { return 0 }
func (i *iterator) Err() error           { return nil }

func (i *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return i.t[i.at], nil
}

func (i *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return i.t[i.at], nil
}
