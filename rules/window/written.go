package window

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

const instanceLabel = "instance"

// heard notes a live report whose newest block is of time t; own says that the asset's agent made it.
func (a *asset) heard(w *Window, t int64, received time.Time, own bool) {
	w.begin(received)
	if a.first.IsZero() {
		a.first = received
	}
	if a.resumed {
		a.again = t
	}
	if !a.known || a.resumed {
		a.complete, a.known, a.resumed = t, true, false
	}
	if !own && !a.agentless() { // others see it; that says nothing about its agent
		return
	}
	a.down = false
	for _, src := range a.sources {
		if src.part.kind != "" {
			a.writeUp(w, src.part.kind, t, 1)
		}
	}
	for _, s := range a.ups { // what SetDown guessed before the asset said what it is
		if last, v, ok := s.lastOf(0); ok && !a.has(s.part.kind) && !value.IsStaleNaN(v) {
			s.put(w, max(t, last+1), staleMarker())
		}
	}
}

// begin notes when the first report came in.
func (w *Window) begin(received time.Time) {
	at := received.UnixMilli()
	for {
		was := w.started.Load()
		if was <= at || w.started.CompareAndSwap(was, at) {
			return
		}
	}
}

// since is when the first report was received; zero before.
func (w *Window) since() time.Time {
	if at := w.started.Load(); at != forever {
		return time.UnixMilli(at)
	}
	return time.Time{}
}

func (a *asset) has(kind string) bool {
	return slices.ContainsFunc(a.sources, func(s *source) bool { return s.part.kind == kind })
}

// writeUp writes up for one job; behind a sample that is there already it goes one millisecond after it, since what is
// learned later about an asset's life is the newer word, whatever the clocks say.
func (a *asset) writeUp(w *Window, job string, t int64, v float64) {
	i := slices.IndexFunc(a.ups, func(s *source) bool { return s.part.kind == job })
	if i < 0 {
		switch {
		case w.series.Load() >= int64(w.opts.MaxSeries):
			w.refuse("MaxSeries")
			return
		case a.series >= w.opts.MaxAssetSeries:
			w.refuse("MaxAssetSeries")
			return
		}
		i = len(a.ups)
		a.ups = append(a.ups, w.newSource(a, w.parts.up(job)))
		a.parts, a.order = nil, nil
	}
	s := a.ups[i]
	if last, was, ok := s.lastOf(0); ok && t <= last {
		if was == v {
			return
		}
		t = last + 1
	}
	s.put(w, t, v)
	a.mark(w, s, t, a.gen)
}

// SetDown says that the asset is not heard of: `up` is 0 at that time, its alerts freeze. Say it again at least every
// StaleAfter while it lasts; the next live report ends it. An asset that was never heard of gets `up` under
// Options.DefaultJob.
func (w *Window) SetDown(a Asset, at time.Time) {
	as, t := w.change(a), at.UnixMilli()
	defer as.changed()
	as.down = true
	if len(as.sources) == 0 {
		as.writeUp(w, w.opts.DefaultJob, t, 0)
	}
	for _, src := range as.sources {
		if src.part.kind != "" {
			as.writeUp(w, src.part.kind, t, 0)
		}
	}
}

// Record takes what a recording rule made of the asset's samples at t: one value per series, stale markers for those
// that it did not make; the labels as Part.Series has them. doubted says that it was made of what is not known. What is
// not newer than the last of the same rule is ignored, and so is an unknown asset.
func (w *Window) Record(asset, rule string, l *Layout, t time.Time, values []float64, doubted bool) {
	as := w.find(asset)
	if as == nil {
		return
	}
	as.mu.Lock()
	defer as.changed()
	if as.gone || len(values) != len(l.Series) {
		return
	}
	as.begin(w)
	src := as.source(w, RecordedPart+rule, "")
	ms := t.UnixMilli()
	if newest := src.newest(); newest != never && ms <= newest {
		return
	}
	src.write(w, &Block{At: t, Status: OK, Layout: l, Values: values})
	if doubted {
		src.rarely().doubted = ms
	}
}

// Unrecord ends what a recording rule wrote: it is loaded no more.
func (w *Window) Unrecord(asset, rule string, t time.Time) {
	w.Record(asset, rule, &Layout{}, t, nil, false)
}

// recorded are the series that timers record, by their labels, by metric and by instance.
type recorded struct {
	mu             sync.RWMutex
	all            map[string]*source
	name, instance map[string][]*source
	swept          int64
}

func newRecorded() recorded {
	return recorded{all: map[string]*source{}, name: map[string][]*source{}, instance: map[string][]*source{}}
}

// AppendRecorded adds a sample of a recording rule (a stale marker where its series vanished). It reports false for a
// sample that is not newer than the last of its series, for a stale marker of a series that is not there, and where
// Options.MaxSeries is reached.
func (w *Window) AppendRecorded(lbls labels.Labels, t time.Time, v float64) bool {
	x := &w.recorded
	x.mu.Lock()
	defer x.mu.Unlock()
	var mem [512]byte
	key, ms := lbls.Bytes(mem[:0]), t.UnixMilli()
	s := x.all[string(key)]
	if s == nil {
		if value.IsStaleNaN(v) {
			return false
		}
		if w.series.Load() >= int64(w.opts.MaxSeries) {
			w.refuse("MaxSeries")
			return false
		}
		s = x.add(w, lbls, string(key))
	}
	if last, _, ok := s.lastOf(0); ok && ms <= last {
		return false
	}
	s.put(w, ms, v)
	x.sweep(w, ms)
	return true
}

// add makes a series; the caller holds mu.
func (x *recorded) add(w *Window, lbls labels.Labels, key string) *source {
	p := &Part{Series: []labels.Labels{lbls}, Live: 1, ids: []uint64{0}}
	p.complete()
	s := &source{part: p, plan: p.plan(w.demand.Load()), lost: never, floor: never}
	s.bands = make([]band, len(s.plan.lanes))
	for i, l := range s.plan.lanes {
		s.bands[i].lane = l
	}
	x.place(lbls, key, s)
	w.count(nil, 1)
	return s
}

func (x *recorded) place(lbls labels.Labels, key string, s *source) {
	x.all[key] = s
	n, i := lbls.Get(model.MetricNameLabel), lbls.Get(instanceLabel)
	x.name[n], x.instance[i] = append(x.name[n], s), append(x.instance[i], s)
}

// list are those among which all are that the matchers match; the caller holds mu.
func (x *recorded) list(ms []*labels.Matcher) []*source {
	for _, m := range ms {
		if m.Type == labels.MatchEqual && m.Name == instanceLabel {
			return x.instance[m.Value]
		}
	}
	for _, m := range ms {
		if m.Type == labels.MatchEqual && m.Name == model.MetricNameLabel {
			return x.name[m.Value]
		}
	}
	all := make([]*source, 0, len(x.all))
	for _, s := range x.all {
		all = append(all, s)
	}
	return all
}

// DoubtRecorded says that the sample of a recorded series at t, and those before it, were made of what is not known:
// after a start the past that its rule looks back on is still to come. What reads them is unknown, too.
func (w *Window) DoubtRecorded(lbls labels.Labels, t time.Time) {
	w.recorded.mu.Lock()
	defer w.recorded.mu.Unlock()
	if s := w.recorded.all[string(lbls.Bytes(nil))]; s != nil {
		m := s.rarely()
		m.doubted = max(m.doubted, t.UnixMilli())
	}
}

// sweep removes, once a minute of samples, series that nothing writes any more; the caller holds mu.
func (x *recorded) sweep(w *Window, now int64) {
	if now-x.swept < time.Minute.Milliseconds() {
		return
	}
	x.swept = now
	old := map[*source]bool{}
	for key, s := range x.all {
		if s.newest() < now-s.holds(0) {
			old[s] = true
			delete(x.all, key)
		}
	}
	if len(old) == 0 {
		return
	}
	for _, m := range []map[string][]*source{x.name, x.instance} {
		for key, list := range m {
			if m[key] = slices.DeleteFunc(list, func(s *source) bool { return old[s] }); len(m[key]) == 0 {
				delete(m, key)
			}
		}
	}
	w.count(nil, -len(old))
}

// replan keeps of them what the window's demand asks for.
func (x *recorded) replan(w *Window) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.all {
		s.replan(w)
	}
}
