package outbox

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The outcomes of an attempt.
const (
	delivered = "delivered"
	retried   = "retried"
	buried    = "buried"
)

type metrics struct {
	deliveries  *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	attempts    *prometheus.HistogramVec
	waiting     *prometheus.GaugeVec
	queueErrors *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_outbox_deliveries_total",
			Help: "Attempts to deliver a message, by receiver and outcome: delivered, retried, buried.",
		}, []string{"receiver", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "watchbill_outbox_delivery_seconds",
			Help:    "Time from the commit of a message to its delivery.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400},
		}, []string{"receiver"}),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "watchbill_outbox_attempts",
			Help:    "Attempts a message took until it was delivered or buried.",
			Buckets: []float64{1, 2, 3, 5, 10, 20, 50, 100, 300},
		}, []string{"receiver"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "watchbill_outbox_waiting",
			Help: "Messages that wait for a receiver or are under way to it.",
		}, []string{"receiver"}),
		queueErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_outbox_queue_errors_total",
			Help: "Operations on the outbox's queue that failed, by operation: due, done, retry, bury.",
		}, []string{"operation"}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.deliveries, m.seconds, m.attempts, m.waiting, m.queueErrors} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("outbox: register metrics: %w", err)
	}
	return m, nil
}

// end counts the last attempt at m.
func (m *metrics) end(msg Message, outcome string) {
	m.deliveries.WithLabelValues(msg.Receiver, outcome).Inc()
	m.attempts.WithLabelValues(msg.Receiver).Observe(float64(msg.Attempts + 1))
}
