package collector

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules/window"
)

// ownSeries writes into the curves, every quarter of a minute, what a Prometheus that scrapes this collector would keep: the
// series of /metrics under job and instance, up, of the collector and of what agents report, which is no sample of theirs,
// and ALERTS of all alerts. So dashboards about the fleet and about Watchbill, and annotations by alert, work with Watchbill
// itself as the data source. What ends gets a stale marker; so does all of an asset that there is no more.
type ownSeries struct {
	metrics  prometheus.Gatherer
	alerts   func() []evaluate.Standing
	assets   func() []window.AssetStatus
	keep     func([]history.Sample)
	instance func() string
	// known tells whether there is an asset of a name, and forget lets go of what the window has of one.
	known  func(asset string) bool
	forget func(asset string) []labels.Labels
	log    *slog.Logger
	now    func() time.Time

	// last are the series that were written last, by their labels.
	last map[string]labels.Labels
	said bool
}

const (
	ownEvery = 15 * time.Second
	ownJob   = "watchbill"
)

// Run writes until ctx ends.
func (o *ownSeries) Run(ctx context.Context) error {
	return every(ctx, ownEvery, o.write)
}

// write writes what there is now.
func (o *ownSeries) write() {
	n := noted{at: o.now().UnixMilli(), series: make(map[string]labels.Labels, len(o.last)), builder: labels.NewBuilder(labels.EmptyLabels())}
	families, err := o.metrics.Gather()
	if err != nil && !o.said { // what could be gathered is written all the same
		o.log.Warn("not all of the collector's own metrics can be read for its curves", "err", err)
	}
	o.said = err != nil
	own := n.of(ownJob, o.instance())
	for _, f := range families {
		own.family(f)
	}
	own.add("up", nil, 1)
	for _, a := range o.alerts() {
		n.alert(a)
	}
	stale := math.Float64frombits(value.StaleNaN)
	for _, a := range o.assets() {
		if o.known(a.Name) {
			n.up(a)
			continue
		}
		for _, l := range o.forget(a.Name) {
			n.samples = append(n.samples, history.Sample{Labels: l, T: n.at, V: stale})
		}
	}
	for key, lbls := range o.last {
		if _, ok := n.series[key]; !ok {
			n.samples = append(n.samples, history.Sample{Labels: lbls, T: n.at, V: stale})
		}
	}
	o.last = n.series
	o.keep(n.samples)
}

// noted are the samples of one moment.
type noted struct {
	at      int64
	samples []history.Sample
	series  map[string]labels.Labels
	builder *labels.Builder
}

// put adds a sample, unless its series has one: two rules of one name may make the same alert.
func (n *noted) put(l labels.Labels, v float64) {
	key := string(l.Bytes(nil))
	if _, twice := n.series[key]; twice {
		return
	}
	n.series[key] = l
	n.samples = append(n.samples, history.Sample{Labels: l, T: n.at, V: v})
}

// alert adds the series that Prometheus keeps of a pending and firing alert.
func (n *noted) alert(a evaluate.Standing) {
	n.builder.Reset(a.Alert.Labels)
	n.builder.Set(labels.AlertName, a.Origin.Name).Set(model.MetricNameLabel, "ALERTS_FOR_STATE")
	n.put(n.builder.Labels(), float64(a.Alert.ActiveAt.Unix()))
	n.builder.Set(model.MetricNameLabel, "ALERTS").Set("alertstate", string(a.Alert.State))
	n.put(n.builder.Labels(), 1)
}

// up adds whether an asset is heard of, for each job that it reports for, as the window has it. Programs that send samples
// send an up of their own.
func (n *noted) up(a window.AssetStatus) {
	if a.Received.IsZero() && !a.Down { // nobody knows yet
		return
	}
	put := func(job string) {
		n.builder.Reset(labels.FromStrings(model.MetricNameLabel, "up", model.JobLabel, job, model.InstanceLabel, a.Name))
		n.put(n.builder.Set("customer", a.Customer).Set("site", a.Site).Labels(), heardOf[!a.Down])
	}
	if len(a.Blocks) == 0 && a.Down {
		put(window.DefaultJob)
	}
	for _, b := range a.Blocks {
		if b.Kind != "" {
			put(b.Kind)
		}
	}
}

// heardOf are the values of up.
var heardOf = map[bool]float64{false: 0, true: 1}

// target is what metrics are read from.
type target struct {
	*noted
	job, instance string
}

func (n *noted) of(job, instance string) target { return target{n, job, instance} }

// add adds one sample under the labels of its target. A label of the metric that has the name of one of those is renamed, as
// a scrape does it.
func (t target) add(name string, pairs []*dto.LabelPair, v float64, more ...string) {
	t.builder.Reset(labels.EmptyLabels())
	t.builder.Set(model.MetricNameLabel, name)
	for _, p := range pairs {
		l := p.GetName()
		if l == model.JobLabel || l == model.InstanceLabel {
			l = model.ExportedLabelPrefix + l
		}
		t.builder.Set(l, p.GetValue())
	}
	for i := 0; i+1 < len(more); i += 2 {
		t.builder.Set(more[i], more[i+1])
	}
	t.put(t.builder.Set(model.JobLabel, t.job).Set(model.InstanceLabel, t.instance).Labels(), v)
}

// family adds the series of a metric, those of a summary or histogram by the names and bounds that a scrape by Prometheus 3
// gives them: le="1.0".
func (t target) family(f *dto.MetricFamily) {
	name := f.GetName()
	for _, m := range f.GetMetric() {
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			t.add(name, m.Label, m.GetCounter().GetValue())
		case dto.MetricType_GAUGE:
			t.add(name, m.Label, m.GetGauge().GetValue())
		case dto.MetricType_UNTYPED:
			t.add(name, m.Label, m.GetUntyped().GetValue())
		case dto.MetricType_SUMMARY:
			s := m.GetSummary()
			for _, q := range s.GetQuantile() {
				t.add(name, m.Label, q.GetValue(), model.QuantileLabel, labels.FormatOpenMetricsFloat(q.GetQuantile()))
			}
			t.add(name+"_sum", m.Label, s.GetSampleSum())
			t.add(name+"_count", m.Label, float64(s.GetSampleCount()))
		case dto.MetricType_HISTOGRAM:
			h := m.GetHistogram()
			for _, b := range h.GetBucket() {
				if !math.IsInf(b.GetUpperBound(), 1) {
					t.add(name+"_bucket", m.Label, float64(b.GetCumulativeCount()), model.BucketLabel, labels.FormatOpenMetricsFloat(b.GetUpperBound()))
				}
			}
			t.add(name+"_bucket", m.Label, float64(h.GetSampleCount()), model.BucketLabel, "+Inf")
			t.add(name+"_sum", m.Label, h.GetSampleSum())
			t.add(name+"_count", m.Label, float64(h.GetSampleCount()))
		}
	}
}

// ownInstance is the instance of the collector's own series: what is configured, else where people reach the operators'
// listener, else what it listens on, by the host's name where that is every address.
func (c *Collector) ownInstance() string {
	if c.cfg.History.Instance != "" {
		return c.cfg.History.Instance
	}
	if u, err := url.Parse(c.cfg.Web.ExternalURL); err == nil && u.Host != "" {
		return u.Host
	}
	host, port, err := net.SplitHostPort(c.WebAddress())
	if ip := net.ParseIP(host); err == nil && (ip == nil || ip.IsUnspecified()) {
		if name, err := os.Hostname(); err == nil {
			return net.JoinHostPort(name, port)
		}
	}
	return c.WebAddress()
}

func (c *Collector) newOwnSeries() *ownSeries {
	return &ownSeries{
		metrics: c.reg, alerts: c.evaluator.Alerts, assets: c.window.Assets, instance: c.ownInstance,
		known: func(asset string) bool { _, ok := c.assetOf(asset); return ok }, forget: c.window.Forget, log: c.log, now: func() time.Time { return c.now() },
		keep: func(s []history.Sample) { c.curves().AppendSamples(s) },
	}
}
