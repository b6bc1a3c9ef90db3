package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/ingest"
)

// feedMetrics show what other programs send. A sender is a known program and the operator whose token it has, so that
// nobody can make up any number of them.
type feedMetrics struct {
	alerts, left, lapsed *prometheus.CounterVec
	last                 *prometheus.GaugeVec
	request              *prometheus.HistogramVec
}

func newFeedMetrics(reg prometheus.Registerer) *feedMetrics {
	m := &feedMetrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_feed_alerts_total",
			Help: "Alerts received from other programs, by sender and outcome: opened, refreshed, resolved, resolved_unknown, stale, own, invalid, over_limit.",
		}, []string{"sender", "outcome"}),
		left: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_feed_truncated_alerts_total",
			Help: "Alerts that senders of webhooks left out of them, by sender.",
		}, []string{"sender"}),
		lapsed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_feed_lapsed_total",
			Help: "Alerts of other programs that were neither sent again nor said to be over, by who sent them last.",
		}, []string{"sender"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "watchbill_feed_last_received_timestamp_seconds",
			Help: "When a sender was last heard of.",
		}, []string{"sender"}),
		request: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "watchbill_feed_request_duration_seconds",
			Help: "From a request with alerts of other programs to their durability, with tickets and messages, by request (alerts, " +
				"webhook) and result: changed (an alert began or ended), unchanged (what stood already was said again).",
			Buckets: quick(),
		}, []string{"request", "result"}),
	}
	reg.MustRegister(m.alerts, m.left, m.lapsed, m.last, m.request)
	return m
}

// standing registers how many alerts stand.
func (m *feedMetrics) standing(reg prometheus.Registerer, f *feed) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "watchbill_feed_alerts_firing",
		Help: "Alerts of other programs that fire.",
	}, func() float64 { return float64(len(f.standing())) }))
}

func (m *feedMetrics) count(sender, outcome string, n int) {
	if n > 0 {
		m.alerts.WithLabelValues(sender, outcome).Add(float64(n))
	}
}

func (m *feedMetrics) truncated(sender string, n int) {
	if n > 0 {
		m.left.WithLabelValues(sender).Add(float64(n))
	}
}

// took measures a request whose alerts are durable at now.
func (m *feedMetrics) took(b ingest.Batch, changed bool, now time.Time) {
	result := "unchanged"
	if changed {
		result = "changed"
	}
	m.request.WithLabelValues(b.Request, result).Observe(now.Sub(b.ReceivedAt).Seconds())
}

func (m *feedMetrics) lapse(sender string) { m.lapsed.WithLabelValues(sender).Inc() }

func (m *feedMetrics) heard(sender string, now time.Time) {
	m.last.WithLabelValues(sender).Set(float64(now.UnixMilli()) / 1000)
}
