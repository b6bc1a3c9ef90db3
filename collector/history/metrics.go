package history

import (
	"errors"
	"fmt"
	"slices"
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
			Help: "1 while the history is open.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.samples, m.lookedUp, m.dropped, m.writeFailures, m.damaged, m.up} {
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
		_ = m.registerer.Register(own)
	}
}

func (m *metrics) closed(own *prometheus.Registry) {
	m.up.Set(0)
	if m.registerer != nil {
		m.registerer.Unregister(own)
	}
}

// tidy registers all but the TSDB's figures of native histograms: none are kept here, so they are always 0, and
// `promtool check metrics`, Prometheus' own, finds fault with their names.
type tidy struct{ prometheus.Registerer }

// Register implements prometheus.Registerer.
func (t tidy) Register(c prometheus.Collector) error {
	if aboutNativeHistograms(c) {
		return nil
	}
	return t.Registerer.Register(c)
}

// MustRegister implements prometheus.Registerer.
func (t tidy) MustRegister(cs ...prometheus.Collector) {
	t.Registerer.MustRegister(slices.DeleteFunc(slices.Clone(cs), aboutNativeHistograms)...)
}

// aboutNativeHistograms knows a metric by its description's text, the only place where it shows its name.
func aboutNativeHistograms(c prometheus.Collector) bool {
	m, ok := c.(prometheus.Metric) // a gauge alone; vectors are of other things
	return ok && strings.Contains(m.Desc().String(), `"prometheus_tsdb_head_native_histogram_`)
}
