package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
}

func newMetrics(reg prometheus.Registerer) *metrics {
	quick := prometheus.ExponentialBuckets(0.005, 2, 14)  // 5 ms … 41 s
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
			Help: "From the first bad sample to the durable ticket, for alerts without for.", Buckets: quick}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_commit_duration_seconds",
			Help: "From a commit of alert transitions to its durability, with tickets and messages, evidence not counted.", Buckets: quick}),
		together: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "watchbill_commit_callers",
			Help: "How many commits shared one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 11)}),
		apart: prometheus.NewCounter(prometheus.CounterOpts{Name: "watchbill_commits_failed_apart_total",
			Help: "Commits that failed and were taken out of the transaction they shared, so that the others went on."}),
		storms: prometheus.NewCounter(prometheus.CounterOpts{Name: "watchbill_storms_total",
			Help: "Storms that began: many incidents at the same time, told as one."}),
	}
	reg.MustRegister(m.opened, m.resolved, m.acknowledge, m.resolve, m.sampleToCommit, m.commit, m.together, m.apart, m.storms)
	return m
}

// ticket counts one committed change.
func (m *metrics) ticket(c ticket.Change) {
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

// committed measures one alert that began to fire and is now durable.
func (m *metrics) committed(a incident.Alert, now time.Time) {
	if a.FiredAt.Equal(a.ActiveAt) {
		m.sampleToCommit.Observe(now.Sub(a.FirstBadAt).Seconds())
	}
}
