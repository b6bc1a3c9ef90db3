package window

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

const instanceLabel = "instance"

// heard notes a live report whose newest block is of time t.
func (a *asset) heard(w *Window, t int64, received time.Time) {
	if w.started.IsZero() || received.Before(w.started) {
		w.started = received
	}
	if a.first.IsZero() {
		a.first = received
	}
	if !a.known {
		a.complete, a.known = t, true
	}
	a.down = false
	for _, src := range a.sources {
		if src.kind != "" {
			a.writeUp(w, src.kind, t, 1)
		}
	}
	for job, s := range a.up { // what SetDown guessed before the asset said what it is
		if last, _, ok := s.last(); ok && !a.has(job) && !s.ended() {
			w.samples += s.put(max(t, last+1), staleMarker())
		}
	}
}

func (a *asset) has(kind string) bool {
	for _, src := range a.sources {
		if src.kind == kind {
			return true
		}
	}
	return false
}

// writeUp writes up for one job; behind a sample that is there already it goes one millisecond after it, since what is
// learned later about an asset's life is the newer word, whatever the clocks say.
func (a *asset) writeUp(w *Window, job string, t int64, v float64) {
	s := a.up[job]
	if s == nil {
		lbls := labels.FromStrings(model.MetricNameLabel, "up", "job", job, instanceLabel, a.Name)
		lb := labels.NewBuilder(lbls)
		lb.Set("customer", a.Customer).Set("site", a.Site)
		lbls = lb.Labels()
		if s = w.add(a, nil, lbls, string(lbls.Bytes(nil))); s == nil {
			return
		}
		a.up[job] = s
		a.parts = nil
	}
	if last, was, ok := s.last(); ok && t <= last {
		if was == v {
			return
		}
		t = last + 1
	}
	w.samples += s.put(t, v)
	n, _ := s.prune(t-w.keep, w.opts.MaxSamples)
	w.samples -= n
}

// SetDown says that the asset is not heard of: `up` is 0 at that time, its alerts freeze. Say it again at least every
// StaleAfter while it lasts; the next live report ends it. An asset that was never heard of gets `up` under
// Options.DefaultJob.
func (w *Window) SetDown(a Asset, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gen++
	as, t := w.assetOf(a), at.UnixMilli()
	as.down = true
	if len(as.sources) == 0 {
		as.writeUp(w, w.opts.DefaultJob, t, 0)
	}
	for _, src := range as.sources {
		if src.kind != "" {
			as.writeUp(w, src.kind, t, 0)
		}
	}
}

// AppendRecorded adds a sample of a recording rule (a stale marker where its series vanished). It reports false for a
// sample that is not newer than the last of its series, for a stale marker of a series that is not there, and where
// Options.MaxSeries is reached.
func (w *Window) AppendRecorded(lbls labels.Labels, t time.Time, v float64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key, ms := string(lbls.Bytes(nil)), t.UnixMilli()
	s := w.recorded[key]
	if s == nil {
		if value.IsStaleNaN(v) {
			return false
		}
		if s = w.add(nil, nil, lbls, key); s == nil {
			return false
		}
		w.recorded[key] = s
	}
	if last, _, ok := s.last(); ok && ms <= last {
		return false
	}
	w.samples += s.put(ms, v)
	n, _ := s.prune(ms-w.keep, w.opts.MaxSamples)
	w.samples -= n
	w.sweepRecorded(ms)
	return true
}

// DoubtRecorded says that the sample of a recorded series at t, and those before it, were made of what is not known:
// after a start the past that its rule looks back on is still to come. What reads them is unknown, too.
func (w *Window) DoubtRecorded(lbls labels.Labels, t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.recorded[string(lbls.Bytes(nil))]; s != nil {
		s.doubted = max(s.doubted, t.UnixMilli())
	}
}

// sweepRecorded removes, once a minute of samples, recorded series that nothing writes any more.
func (w *Window) sweepRecorded(now int64) {
	if now-w.swept < time.Minute.Milliseconds() {
		return
	}
	w.swept = now
	for _, s := range w.recorded {
		if t, _, ok := s.last(); ok && t < now-w.keep {
			w.drop(s)
		}
	}
}
