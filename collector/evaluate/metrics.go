package evaluate

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/rules"
)

type metrics struct {
	evaluations, failures, missed *prometheus.CounterVec
	duration, arrival             prometheus.Histogram
	dropped                       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, count func() (pending, firing, unknown float64), programs func() (int, int64)) metrics {
	byGroup := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"group"})
	}
	m := metrics{
		evaluations: byGroup("watchbill_rule_evaluations_total", "Evaluations of rules."),
		failures:    byGroup("watchbill_rule_evaluation_failures_total", "Evaluations of rules that failed."),
		missed:      byGroup("watchbill_rule_group_missed_total", "Evaluations of groups left out because one before took too long."),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "watchbill_rule_evaluation_duration_seconds", Help: "How long the evaluation of a rule took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		arrival: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "watchbill_arrival_evaluation_duration_seconds",
			Help:    "How long the evaluation of all rules about one asset took when its report arrived, with the commit of what changed.",
			Buckets: prometheus.ExponentialBuckets(0.00001, 4, 10),
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "watchbill_resolved_alerts_dropped_total",
		Help: "Alerts that ended within the last 15 minutes and are shown no more, because too many did.",
	})
	reg.MustRegister(m.evaluations, m.failures, m.missed, m.duration, m.arrival, m.dropped, alertCollector{
		alerts: prometheus.NewDesc("watchbill_alerts", "Alerts by state.", []string{"state"}, nil),
		frozen: prometheus.NewDesc("watchbill_alerts_unknown", "Alerts that are frozen because nothing is known of their series.", nil, nil),
		count:  count,
	},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchbill_rule_programs", Help: "Programs of rules about one asset, each shared by all assets of one shape.",
		}, func() float64 { n, _ := programs(); return float64(n) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchbill_rule_programs_bytes", Help: "Memory that those programs take, about.",
		}, func() float64 { _, n := programs(); return float64(n) }))
	return m
}

func (m metrics) evaluated(group string, took time.Duration, err error) {
	m.evaluations.WithLabelValues(group).Inc()
	m.duration.Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(group).Inc()
	}
}

// took is how long one arrival took.
func (m metrics) took(d time.Duration) { m.arrival.Observe(d.Seconds()) }

// forget drops the series of groups that are not loaded any more, and shows those of new ones from the start.
func (m metrics) forget(old, now []rules.Group) {
	stay := map[string]bool{}
	for _, g := range now {
		stay[g.Name] = true
		for _, v := range []*prometheus.CounterVec{m.evaluations, m.failures, m.missed} {
			v.WithLabelValues(g.Name)
		}
	}
	for _, g := range old {
		if !stay[g.Name] {
			for _, v := range []*prometheus.CounterVec{m.evaluations, m.failures, m.missed} {
				v.DeleteLabelValues(g.Name)
			}
		}
	}
}

// arrived counts evaluations at arrival by group. Its groups are those of the book, in its order; assets have them from
// there with the book, to look nothing up. Evaluator.mu guards them.
type arrived struct {
	mu     sync.Mutex
	groups []*arrivedGroup
	byName map[string]*arrivedGroup
}

type arrivedGroup struct {
	// last is when some asset was evaluated, in milliseconds.
	last                  atomic.Int64
	evaluations, failures prometheus.Counter
}

func (x *arrived) load(b *book, m metrics) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.byName
	x.groups, x.byName = nil, map[string]*arrivedGroup{}
	for _, g := range b.groups {
		made := &arrivedGroup{evaluations: m.evaluations.WithLabelValues(g.Name), failures: m.failures.WithLabelValues(g.Name)}
		if was := old[g.Name]; was != nil {
			made.last.Store(was.last.Load())
		}
		x.groups, x.byName[g.Name] = append(x.groups, made), made
	}
}

func (g *arrivedGroup) evaluated(n int, t int64) {
	g.evaluations.Add(float64(n))
	for {
		last := g.last.Load()
		if t <= last || g.last.CompareAndSwap(last, t) {
			return
		}
	}
}

// lastOf is when some asset was evaluated last by a group; zero for never.
func (x *arrived) lastOf(group string) time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if g := x.byName[group]; g != nil && g.last.Load() != 0 {
		return time.UnixMilli(g.last.Load()).UTC()
	}
	return time.Time{}
}

// alertCollector counts alerts when it is asked.
type alertCollector struct {
	alerts, frozen *prometheus.Desc
	count          func() (pending, firing, unknown float64)
}

func (c alertCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.alerts; ch <- c.frozen }

func (c alertCollector) Collect(ch chan<- prometheus.Metric) {
	pending, firing, unknown := c.count()
	ch <- prometheus.MustNewConstMetric(c.alerts, prometheus.GaugeValue, pending, "pending")
	ch <- prometheus.MustNewConstMetric(c.alerts, prometheus.GaugeValue, firing, "firing")
	ch <- prometheus.MustNewConstMetric(c.frozen, prometheus.GaugeValue, unknown)
}

type reviewMetrics struct{ reports, reviews, found, bare prometheus.Counter }

func newReviewMetrics(reg prometheus.Registerer, count func() (open int, bytes int64)) reviewMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := reviewMetrics{
		reports: counter("watchbill_review_reports_total", "Late reports judged apart from the live alerts."),
		reviews: counter("watchbill_reviews_total", "Reviews of what happened while an asset could not be seen that came to their end."),
		found:   counter("watchbill_review_alerts_total", "Alerts that began and ended while their asset could not be seen."),
		bare: counter("watchbill_reviews_without_context_total",
			"Reviews that began without what was known before, because reviews had all the memory they may have."),
	}
	reg.MustRegister(m.reports, m.reviews, m.found, m.bare,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchbill_reviews_open", Help: "Assets whose late reports are being judged.",
		}, func() float64 { open, _ := count(); return float64(open) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "watchbill_reviews_bytes", Help: "Memory that reviews take, about.",
		}, func() float64 { _, bytes := count(); return float64(bytes) }))
	return m
}
