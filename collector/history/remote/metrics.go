package remote

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const prefix = "watchbill_remote_write_"

// metrics are what is counted of all targets together, and of each.
type metrics struct {
	in, spooled, failures prometheus.Counter
	dropped               *prometheus.CounterVec

	sent, failed, retried, bytes *prometheus.CounterVec
	given                        *prometheus.CounterVec
	batch                        *prometheus.HistogramVec
}

// targetMetrics are those of one target.
type targetMetrics struct {
	sent, failed, retried, bytes prometheus.Counter
	batch                        prometheus.Observer
	given                        *prometheus.CounterVec
	target                       string
}

func newMetrics(reg prometheus.Registerer, r *Remote) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	of := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, append([]string{"target"}, more...))
	}
	m := &metrics{
		in:       counter("samples_in_total", "Samples that came in to be written to remote-write targets."),
		spooled:  counter("spooled_samples_total", "Samples written to the spool."),
		failures: counter("spool_failures_total", "Times the spool could not be opened, written, synced or its cursors kept."),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "unspooled_samples_total",
			Help: "Samples dropped before the spool, for all targets, by reason: queue_full, disk_full, write_failed, not_open."}, []string{"reason"}),
		sent:    of("samples_total", "Samples that a target took."),
		failed:  of("samples_failed_total", "Samples that a target refused for good."),
		retried: of("samples_retried_total", "Samples that were not taken and are sent again."),
		bytes:   of("bytes_total", "Bytes of samples sent to a target, compressed, with those that were sent again."),
		given: of("samples_dropped_total",
			"Samples not sent to a target, by reason: filtered, too_old, spool_full, damaged.", "reason"),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "sent_batch_duration_seconds",
			Help: "How long requests to a target took.", Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"target"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.in, m.spooled, m.failures, m.dropped, m.sent, m.failed, m.retried, m.bytes, m.given, m.batch, &gauges{r}} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("remote write: register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) unspooled(reason string, n int) {
	if n > 0 {
		m.dropped.WithLabelValues(reason).Add(float64(n))
	}
}

// of are a target's own, at zero when it is new.
func (m *metrics) of(target string) *targetMetrics {
	return &targetMetrics{
		sent: m.sent.WithLabelValues(target), failed: m.failed.WithLabelValues(target), retried: m.retried.WithLabelValues(target),
		bytes: m.bytes.WithLabelValues(target), batch: m.batch.WithLabelValues(target), given: m.given, target: target,
	}
}

// forget removes the metrics of a target that is gone.
func (m *metrics) forget(target string) {
	is := prometheus.Labels{"target": target}
	for _, v := range []*prometheus.CounterVec{m.sent, m.failed, m.retried, m.bytes, m.given} {
		v.DeletePartialMatch(is)
	}
	m.batch.DeletePartialMatch(is)
}

func (m *targetMetrics) drop(reason string, n int) {
	if n > 0 {
		m.given.WithLabelValues(m.target, reason).Add(float64(n))
	}
}

// Status is how one target does.
type Status struct {
	Name string `json:"name"`
	// URL without what may be secret in it.
	URL    string `json:"url"`
	Shards int    `json:"shards"`
	// PendingSamples are in the spool and not yet settled.
	PendingSamples uint64 `json:"pending_samples"`
	// LagSeconds is how long the oldest sample under way has waited; 0 when none is.
	LagSeconds float64 `json:"lag_seconds"`
	// SentAt is when the target took samples last, ErrorAt when it did not; zero when never since the start.
	SentAt    time.Time `json:"sent_at,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	ErrorAt   time.Time `json:"error_at,omitzero"`

	highestSent float64 // seconds since 1970
}

// Status tells of every target, in the order of the configuration.
func (r *Remote) Status() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Status
	for _, c := range r.plan.config.Targets {
		t := r.targets[c.ID()]
		if t == nil {
			all = append(all, Status{Name: c.ID(), URL: c.shownURL()})
			continue
		}
		all = append(all, t.status(r.spool.written(), time.Now()))
	}
	return all
}

func (t *target) status(written uint64, now time.Time) Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Status{
		Name: t.id, URL: t.c.shownURL(), Shards: t.state.shards, PendingSamples: written - min(t.seq, written),
		SentAt: t.state.sent, LastError: t.state.err, ErrorAt: t.state.errAt, highestSent: float64(t.state.highestSent) / 1000,
	}
	if !t.state.oldest.IsZero() {
		s.LagSeconds = max(now.Sub(t.state.oldest), 0).Seconds()
	}
	return s
}

// gauges read what stands now.
type gauges struct{ r *Remote }

var (
	spoolBytes  = prometheus.NewDesc(prefix+"spool_bytes", "Size of the spool.", nil, nil)
	pendingDesc = prometheus.NewDesc(prefix+"samples_pending", "Samples in the spool that a target has not settled.", []string{"target"}, nil)
	lagDesc     = prometheus.NewDesc(prefix+"lag_seconds", "How long the oldest sample under way to a target has waited; 0 when none is.", []string{"target"}, nil)
	shardsDesc  = prometheus.NewDesc(prefix+"shards", "Requests that are sent to a target at once.", []string{"target"}, nil)
	highestDesc = prometheus.NewDesc(prefix+"highest_sent_timestamp_seconds", "Time of the newest sample that a target took; 0 when none since the start.", []string{"target"}, nil)
)

func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{spoolBytes, pendingDesc, lagDesc, shardsDesc, highestDesc} {
		ch <- d
	}
}

func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(spoolBytes, float64(g.r.spool.size()))
	for _, s := range g.r.Status() {
		gauge(pendingDesc, float64(s.PendingSamples), s.Name)
		gauge(lagDesc, s.LagSeconds, s.Name)
		gauge(shardsDesc, float64(s.Shards), s.Name)
		gauge(highestDesc, s.highestSent, s.Name)
	}
}
