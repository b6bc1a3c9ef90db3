package collector

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

// metrics counts what the pipeline did. How many there are of anything is read from the store when scraped (api).
type metrics struct {
	opened, resolved *prometheus.CounterVec
	acknowledge      prometheus.Histogram
	resolve          prometheus.Histogram
	sampleToCommit   prometheus.Histogram
	commit           prometheus.Histogram
	together         prometheus.Histogram
	apart            prometheus.Counter
	storms           prometheus.Counter
	reloadGood       prometheus.Gauge
	reloadGoodAt     prometheus.Gauge
	pings            *prometheus.CounterVec
	desk             *deskMetrics
	customers        *customerMetrics
	pages            *pageMetrics

	// putOff is what was due and could not be done.
	putOff *prometheus.CounterVec
}

// What a ping came to. One that was left out had no time left, for so many were asked.
const (
	pingAnswered   = "answered"
	pingUnanswered = "unanswered"
	pingFailed     = "failed"
	pingLeftOut    = "left_out"
)

// newPings counts pings by result, every result from the start.
func newPings() *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_pings_total",
		Help: "Addresses of silent hosts that were to be pinged, by result: answered, unanswered, failed (could not be sent), left_out (no time left)."},
		[]string{"result"})
	for _, result := range []string{pingAnswered, pingUnanswered, pingFailed, pingLeftOut} {
		v.WithLabelValues(result)
	}
	return v
}

// quick are the bounds for what is done while somebody waits: 5 ms … 41 s.
func quick() []float64 { return prometheus.ExponentialBuckets(0.005, 2, 14) }

func newMetrics(reg prometheus.Registerer) *metrics {
	patient := prometheus.ExponentialBuckets(15, 2.5, 12) // 15 s … 4 days
	m := &metrics{
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_tickets_opened_total",
			Help: "Tickets opened."}, []string{"priority", "customer"}),
		resolved: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_tickets_resolved_total",
			Help: "Tickets resolved, by who resolved them: a person or a rule."}, []string{"priority", "customer", "by"}),
		acknowledge: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_ticket_acknowledge_seconds",
			Help: "From a ticket's opening to its first acknowledgement by a person.", Buckets: patient}),
		resolve: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_ticket_resolve_seconds",
			Help: "From a ticket's opening to its resolution.", Buckets: patient}),
		sampleToCommit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_alert_sample_to_commit_seconds",
			Help: "From the first bad sample to the durable ticket, for alerts of rules without for.", Buckets: quick()}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_commit_duration_seconds",
			Help: "From a commit of alert transitions to its durability, with tickets and messages, evidence not counted.", Buckets: quick()}),
		together: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_commit_callers",
			Help: "How many commits shared one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		apart: prometheus.NewCounter(prometheus.CounterOpts{Name: "watchbill_commits_failed_apart_total",
			Help: "Commits that failed and were taken out of the transaction they shared, so that the others went on."}),
		storms: prometheus.NewCounter(prometheus.CounterOpts{Name: "watchbill_storms_total",
			Help: "Storms that began: many incidents at the same time, told as one."}),
		reloadGood: prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_config_last_reload_successful",
			Help: "Whether the last attempt to load configuration, rules and fleet succeeded: 1 or 0."}),
		reloadGoodAt: prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_config_last_reload_success_timestamp_seconds",
			Help: "When configuration, rules and fleet were last loaded with success."}),
		pings: newPings(),
		desk:  newDeskMetrics(reg), customers: newCustomerMetrics(reg), pages: newPageMetrics(reg),
	}
	reg.MustRegister(m.opened, m.resolved, m.acknowledge, m.resolve, m.sampleToCommit, m.commit, m.together, m.apart, m.storms,
		m.reloadGood, m.reloadGoodAt, m.pings)
	m.putOff = newPutOff(reg)
	return m
}

// reloaded notes what an attempt to load what the collector runs with came to. The names are as Prometheus has its own.
func (m *metrics) reloaded(err error, now time.Time) {
	if err != nil {
		m.reloadGood.Set(0)
		return
	}
	m.reloadGood.Set(1)
	m.reloadGoodAt.Set(float64(now.UnixMilli()) / 1e3)
}

// reloads is what reloaded noted last: whether the last attempt was good, and when the last good one was.
func (m *metrics) reloads() (good bool, at time.Time) {
	read := func(g prometheus.Gauge) float64 {
		var out dto.Metric
		if err := g.Write(&out); err != nil { // a gauge is always written
			return 0
		}
		return out.GetGauge().GetValue()
	}
	return read(m.reloadGood) == 1, time.UnixMilli(int64(math.Round(read(m.reloadGoodAt) * 1e3))).UTC()
}

// ticket counts one committed change.
func (m *metrics) ticket(c ticket.Change) {
	m.desk.count(c)
	m.customers.count(c)
	t := c.Ticket
	for _, e := range c.Events {
		switch e.Kind {
		case ticket.Opened:
			m.opened.WithLabelValues(t.Priority, t.Customer).Inc()
		case ticket.Acknowledged, ticket.Started:
			if e.At.Equal(t.AcknowledgedAt) {
				m.acknowledge.Observe(e.At.Sub(t.OpenedAt).Seconds())
			}
		case ticket.Resolved:
			m.resolved.WithLabelValues(t.Priority, t.Customer, string(e.Actor.Kind)).Inc()
			m.resolve.Observe(e.At.Sub(t.OpenedAt).Seconds())
		}
	}
}

// committed measures one alert of a rule that began to fire and is now durable. When those of other programs began is their
// word, and what the house says of silence it says after a while.
func (m *metrics) committed(a incident.Alert, now time.Time) {
	if a.FiredAt.Equal(a.ActiveAt) && !a.Fed() && !a.Ours() {
		m.sampleToCommit.Observe(now.Sub(a.FirstBadAt).Seconds())
	}
}
