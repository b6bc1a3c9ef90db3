package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Reasons of refusals of remote write beside those of reports.
const (
	reasonRequestBytes  = "request_bytes"
	reasonRequestSeries = "request_series"
	reasonSamples       = "samples_quota"
	reasonSenderSeries  = "sender_series_quota"
	reasonNewSeries     = "new_series_quota"
	reasonAssets        = "assets_quota"
	reasonAssetSeries   = "asset_series"
	reasonLabels        = "labels"
	reasonSeries        = "series_invalid"
	reasonConflict      = "duplicate_sample"
	reasonTooOld        = "too_old"
	reasonOwnAgent      = "asset_has_own_agent"
	reasonHistograms    = "native_histogram"
	reasonAlerts        = "alerts_of_sender" // left out without a word
)

// remoteResults are what samples are counted by.
var remoteResults = [...]string{isTaken: "taken", isEarly: "history_only_first", isPast: "history_only_old", isDuplicate: "duplicate",
	isAnother: "other_writer"}

type remoteMetrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	samples  *prometheus.CounterVec
	exempl   prometheus.Counter
	rows     prometheus.Counter
	duration prometheus.Histogram
}

func newRemoteMetrics(reg prometheus.Registerer, r *Remote) *remoteMetrics {
	const prefix = "watchbill_remote_write_in_"
	m := &remoteMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "requests_total",
			Help: "Requests of remote-write senders, by status of the answer."}, []string{"code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "refused_total",
			Help: "Requests, and in requests that were taken samples and histograms, that were not taken, by reason."}, []string{"reason"}),
		samples: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + "samples_total",
			Help: "Samples of remote-write senders, by what became of them."}, []string{"sender", "result"}),
		exempl: prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "exemplars_total", Help: "Exemplars, which are not kept."}),
		rows:   prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + "rows_total", Help: "Rows of series that came together, written into the window."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "duration_seconds",
			Help:    "Time from the arrival of a remote-write request until what it brought was judged and kept; of accepted ones.",
			Buckets: prometheus.ExponentialBucketsRange(leastDuration, mostDuration, durations)}),
	}
	for _, reason := range []string{reasonRequestBytes, reasonRequestSeries, reasonSamples, reasonSenderSeries, reasonNewSeries, reasonAssets,
		reasonAssetSeries, reasonLabels, reasonSeries, reasonConflict, reasonOwnAgent, reasonHistograms, reasonAlerts, reasonToken, reasonMedia,
		reasonBusy, reasonBody, reasonSink, reasonAhead, reasonTooOld} {
		m.refused.WithLabelValues(reason)
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.requests, m.refused, m.samples, m.exempl, m.rows, m.duration, remoteGauges{r})
	return m
}

// count counts the samples of a request.
func (m *remoteMetrics) count(j *remoteJob) {
	for i, n := range j.counts {
		if n > 0 {
			m.samples.WithLabelValues(j.sender.name, remoteResults[i]).Add(float64(n))
		}
	}
	m.exempl.Add(float64(j.exempl))
}

// remoteGauges are read when they are asked for.
type remoteGauges struct{ r *Remote }

// What is written, and by whom.
var (
	remoteSeriesDesc = prometheus.NewDesc("watchbill_remote_write_in_series", "Series that are written from outside.", nil, nil)
	remoteAssetsDesc = prometheus.NewDesc("watchbill_remote_write_in_assets", "Assets that are written from outside, by whether the fleet declares them.",
		[]string{"declared"}, nil)
	remoteHeardDesc = prometheus.NewDesc("watchbill_remote_write_in_last_request_timestamp_seconds",
		"When a sender's last request was taken.", []string{"sender"}, nil)
)

// Describe implements prometheus.Collector.
func (g remoteGauges) Describe(to chan<- *prometheus.Desc) {
	to <- remoteSeriesDesc
	to <- remoteAssetsDesc
	to <- remoteHeardDesc
}

// Collect implements prometheus.Collector.
func (g remoteGauges) Collect(to chan<- prometheus.Metric) {
	senders, assets := g.r.all()
	series, declared := 0, 0
	for _, a := range assets {
		a.mu.Lock()
		series += len(a.series)
		if a.declared {
			declared++
		}
		a.mu.Unlock()
	}
	gauge := func(d *prometheus.Desc, v float64, lvs ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, lvs...)
	}
	gauge(remoteSeriesDesc, float64(series))
	gauge(remoteAssetsDesc, float64(declared), "true")
	gauge(remoteAssetsDesc, float64(len(assets)-declared), "false")
	for _, s := range senders {
		s.mu.RLock()
		if !s.heard.IsZero() {
			gauge(remoteHeardDesc, float64(s.heard.UnixMilli())/1000, s.name)
		}
		s.mu.RUnlock()
	}
}
