package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of a report, as counted.
const (
	resultAccepted   = "accepted"
	resultDuplicate  = "duplicate"
	resultNeedShapes = "need_shapes"
	resultRefused    = "refused"
	resultLater      = "later"
)

// Reasons of refusals beside those of package wire, and the quotas' "series_quota" and "sources_quota" (see room).
const (
	reasonDevice     = "device_not_assigned"
	reasonAhead      = "clock_ahead"
	reasonOld        = "too_old"
	reasonShapeID    = "wrong_shape_id"
	reasonShapeFit   = "values_do_not_fit_shape"
	reasonShapeQuota = "shapes_quota"
	reasonEvents     = "events_quota"
	reasonReports    = "reports_quota"
	reasonBytes      = "bytes_quota"
	reasonRenewals   = "renewals_quota"
	reasonEnrols     = "enrolments_quota"

	reasonConnections         = "connections_quota" // the oldest was closed
	reasonCustomerConnections = "customer_connections_quota"
	reasonCustomerReports     = "customer_reports_quota"
	reasonCustomerBytes       = "customer_bytes_quota"
	reasonEnded               = "connection_ended" // its certificate is not good any more
	reasonAsked               = "shape_asked_of_another"

	reasonBusy        = "busy"
	reasonCredit      = "no_credit"
	reasonBacklog     = "backlog_busy"
	reasonSink        = "not_kept"
	reasonMethod      = "method"
	reasonMedia       = "media_type"
	reasonUnknown     = "no_certificate"
	reasonCertificate = "certificate"
	reasonRevoked     = "revoked"
	reasonExpired     = "expired"
	reasonToken       = "token"
	reasonBody        = "body_not_read"
	reasonFailed      = "failed"
)

// Buckets of the time a live report takes: fine enough (a factor of 1.49) that a quantile read between them means
// something.
const (
	leastDuration = 0.0001 // seconds
	mostDuration  = 10
	durations     = 30
)

type metrics struct {
	reports, refusals *prometheus.CounterVec
	samples, bytes    prometheus.Counter
	turned            *prometheus.CounterVec
	duration          prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, shapes func() float64) *metrics {
	m := &metrics{
		reports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_ingest_reports_total", Help: "Reports of agents by what became of them.",
		}, []string{"result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "watchbill_ingest_refusals_total", Help: "Requests, reports, blocks and events that were not taken, by reason.",
		}, []string{"reason"}),
		samples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_ingest_samples_total", Help: "Samples in accepted blocks.",
		}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "watchbill_ingest_bytes_total", Help: "Bytes of bodies as they came over the line.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "watchbill_ingest_duration_seconds", Help: "Time from the arrival of a live report's request until the report was " +
				"applied; of accepted ones alone.",
			Buckets: prometheus.ExponentialBucketsRange(leastDuration, mostDuration, durations),
		}),
	}
	m.turned = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "watchbill_ingest_turned_away_total",
		Help: "Connections closed before their handshake, by what there was too much of: see agents.door.",
	}, []string{"reason"})
	for _, r := range []string{turnedConnections, turnedHandshakes, turnedPace, turnedAddress, turnedAddresses, turnedFlood} {
		m.turned.WithLabelValues(r)
	}
	for _, r := range []string{resultAccepted, resultDuplicate, resultNeedShapes, resultRefused, resultLater} {
		m.reports.WithLabelValues(r)
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.reports, m.refusals, m.samples, m.bytes, m.duration, m.turned, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "watchbill_ingest_shapes", Help: "Different shapes of blocks that are known.",
	}, shapes))
	return m
}

func (m *metrics) turnedAway(reason string) { m.turned.WithLabelValues(reason).Inc() }

func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

func (m *metrics) took(since time.Time) { m.duration.Observe(time.Since(since).Seconds()) }
