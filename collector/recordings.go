package collector

import (
	"sync"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/collector/history"
)

// recordings hands what recording rules make to the curves. A rule about one asset marks a series it does not make stale
// at every evaluation, for the window; curves get the marker once.
type recordings struct {
	keep func([]history.Sample)

	mu sync.Mutex
	// live are the series that go on, by the hash of their labels, with the time of their last sample.
	live  map[uint64]int64
	swept int64
}

// forgetRecording is when a series that is not made any more, without a word of it, is forgotten.
const forgetRecording = 60 * 60 * 1000 // ms

func newRecordings(keep func([]history.Sample)) *recordings {
	return &recordings{keep: keep, live: map[uint64]int64{}}
}

// write hands on what is a recording. ALERTS, of which rules write only those that rules read, come with all others from
// ownSeries.
func (r *recordings) write(made []promql.Sample) {
	var out []history.Sample
	r.mu.Lock()
	for _, s := range made {
		if s.H != nil || isAlerts(s.Metric.Get(model.MetricNameLabel)) {
			continue
		}
		key := s.Metric.Hash()
		if value.IsStaleNaN(s.F) {
			if _, ok := r.live[key]; !ok {
				continue
			}
			delete(r.live, key)
		} else {
			r.live[key] = s.T
		}
		out = append(out, history.Sample{Labels: s.Metric, T: s.T, V: s.F})
		r.sweep(s.T)
	}
	r.mu.Unlock()
	if len(out) > 0 {
		r.keep(out)
	}
}

func isAlerts(name string) bool { return name == "ALERTS" || name == "ALERTS_FOR_STATE" }

// sweep forgets, once in a while, what nothing writes any more. The caller holds mu.
func (r *recordings) sweep(now int64) {
	if now-r.swept < forgetRecording {
		return
	}
	r.swept = now
	for key, last := range r.live {
		if now-last > forgetRecording {
			delete(r.live, key)
		}
	}
}
