package history

import (
	"errors"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registerer    prometheus.Registerer
	samples       prometheus.Counter
	lookedUp      prometheus.Counter
	dropped       *prometheus.CounterVec
	writeFailures prometheus.Counter
	damaged       prometheus.Counter
	up            prometheus.Gauge
	bytes, bound  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		registerer: reg,
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_history_samples_total",
			Help: "Samples written to the history.",
		}),
		lookedUp: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_history_series_looked_up_total",
			Help: "Series found or made by their labels: new ones, and those that left memory since. In steady state it stands still.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_history_dropped_samples_total",
			Help: "Samples that the history did not take, by reason: queue_full, write_failed, too_old, duplicate, invalid.",
		}, []string{"reason"}),
		writeFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_history_write_failures_total",
			Help: "Commits and rounds of upkeep that failed; a commit is tried again.",
		}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_history_damaged_total",
			Help: "Times a damaged history was moved aside.",
		}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "watchbill_history_up",
			Help: "1 while the history is open and the last samples could be written.",
		}),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "watchbill_history_bytes",
			Help: "What the history has on disk, log, newest samples and what was moved aside included, as of the last minute.",
		}),
		bound: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "watchbill_history_size_limit_bytes",
			Help: "What it may have on disk (history.size); 0 for no bound.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.samples, m.lookedUp, m.dropped, m.writeFailures, m.damaged, m.up, m.bytes, m.bound} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("history: register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) drop(reason string, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(reason).Add(float64(n))
	}
}

// opened shows the TSDB's own metrics (prometheus_tsdb_…), which come and go with it.
func (m *metrics) opened(own *prometheus.Registry) {
	m.up.Set(1)
	if m.registerer != nil {
		// Two histories in one process would clash here, in their details only; the figures above are told anyway.
		_ = m.registerer.Register(shown{own})
	}
}

func (m *metrics) closed(own *prometheus.Registry) {
	m.up.Set(0)
	if m.registerer != nil {
		m.registerer.Unregister(shown{own})
	}
}

// shown are the TSDB's own metrics but those that count native histograms: none come in here, and `promtool check metrics`
// finds fault with their names.
type shown struct{ *prometheus.Registry }

// Collect implements prometheus.Collector.
func (s shown) Collect(ch chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric)
	go func() {
		s.Registry.Collect(all)
		close(all)
	}()
	for m := range all {
		if !strings.Contains(m.Desc().String(), `"prometheus_tsdb_head_native_histogram_`) {
			ch <- m
		}
	}
}
