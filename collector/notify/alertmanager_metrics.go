package notify

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AlertMetrics count alerts on their way to Alertmanagers, transitions and resends alike. They outlive a reload.
type AlertMetrics struct {
	alerts  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewAlertMetrics registers them.
func NewAlertMetrics(reg prometheus.Registerer) (*AlertMetrics, error) {
	m := &AlertMetrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_alertmanager_alerts_total",
			Help: "Alerts handed to an Alertmanager, repeats among them, by receiver, Alertmanager and outcome: taken, failed.",
		}, []string{"receiver", "alertmanager", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "watchbill_alertmanager_call_seconds",
			Help:    "Duration of calls to an Alertmanager.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"receiver", "alertmanager"}),
	}
	if err := errors.Join(reg.Register(m.alerts), reg.Register(m.seconds)); err != nil {
		return nil, fmt.Errorf("alertmanager: register metrics: %w", err)
	}
	return m, nil
}

func (m *AlertMetrics) count(receiver, alertmanager string, alerts int, took time.Duration, err error) {
	if m == nil {
		return
	}
	outcome := "taken"
	if err != nil {
		outcome = "failed"
	}
	m.alerts.WithLabelValues(receiver, alertmanager, outcome).Add(float64(alerts))
	m.seconds.WithLabelValues(receiver, alertmanager).Observe(took.Seconds())
}
