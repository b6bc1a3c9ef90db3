package collector

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules/window"
)

// ownSeries writes into the curves, every quarter of a minute, what a Prometheus that scrapes this collector would keep: the
// series of /metrics under job and instance, up, of the collector and of what agents report, which is no sample of theirs,
// and ALERTS of all alerts. So dashboards about the fleet and about Watchbill, and annotations by alert, work with Watchbill
// itself as the data source. What ends gets a stale marker, and so does what ended while nobody ran, and all of an asset that
// there is no more.
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

	// before finds what the run before this one left; nil when that was done, or there is no history.
	before func(ctx context.Context, now time.Time) ([]labels.Labels, error)

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
	return every(ctx, ownEvery, func() { o.write(ctx) })
}

// write writes what there is now.
func (o *ownSeries) write(ctx context.Context) {
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
	for _, a := range o.assets() {
		if o.known(a.Name) {
			n.up(a)
			continue
		}
		for _, l := range o.forget(a.Name) {
			n.end(string(l.Bytes(nil)), l)
		}
	}
	for key, lbls := range o.last {
		n.end(key, lbls)
	}
	o.settle(ctx, &n)
	o.last = n.series
	o.keep(n.samples)
}

// settle ends what the run before this one wrote last and this one does not, as soon as the history can be read: no query
// looks further back than that long, so that after it nothing is left to end.
func (o *ownSeries) settle(ctx context.Context, n *noted) {
	if o.before == nil {
		return
	}
	left, err := o.before(ctx, time.UnixMilli(n.at))
	switch {
	case errors.Is(err, history.ErrUnavailable) && ctx.Err() == nil: // it is opened later
		return
	case err != nil && ctx.Err() == nil:
		o.log.Warn("what ended while the collector was away is shown for five minutes more", "err", err)
	}
	o.before = nil
	for _, lbls := range left {
		n.end(string(lbls.Bytes(nil)), lbls)
	}
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

// end ends a series, unless it goes on.
func (n *noted) end(key string, l labels.Labels) {
	if _, on := n.series[key]; !on {
		n.samples = append(n.samples, history.Sample{Labels: l, T: n.at, V: math.Float64frombits(value.StaleNaN)})
	}
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

// ownBefore are the series of the collector's own that a query at now still shows by what an earlier run wrote.
func (c *Collector) ownBefore(ctx context.Context, now time.Time) (left []labels.Labels, err error) {
	q, err := c.history.Queryable().Querier(now.Add(-window.StaleAfter).UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	for _, of := range []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, model.JobLabel, ownJob),
		labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, "ALERTS|ALERTS_FOR_STATE|up"),
	} {
		set := q.Select(ctx, false, nil, of)
		var it chunkenc.Iterator
		for set.Next() {
			s := set.At()
			if it = s.Iterator(it); c.wroteOwn(s.Labels()) && !ended(it) {
				left = append(left, s.Labels().Copy())
			}
		}
		if err := set.Err(); err != nil {
			return left, fmt.Errorf("read what an earlier run wrote: %w", err)
		}
	}
	return left, nil
}

// wroteOwn tells whether a series is written here and not by an agent or a sender, by labels that ownBefore selects. up of an
// asset that is where it was goes on: after a crash nothing is known of it until its agent reports.
func (c *Collector) wroteOwn(l labels.Labels) bool {
	instance := l.Get(model.InstanceLabel)
	switch {
	case isAlerts(l.Get(model.MetricNameLabel)):
		return true
	case l.Get(model.JobLabel) == ownJob && instance == c.ownInstance():
		return true
	}
	a, known := c.assetOf(instance)
	return !known || a.Customer != l.Get("customer") || a.Site != l.Get("site")
}

// ended tells whether the last sample of a series is a stale marker.
func ended(it chunkenc.Iterator) bool {
	stale := true
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if typ == chunkenc.ValFloat {
			_, v := it.At()
			stale = value.IsStaleNaN(v)
		}
	}
	return stale
}

func (c *Collector) newOwnSeries() *ownSeries {
	o := &ownSeries{
		metrics: c.reg, alerts: c.evaluator.Alerts, assets: c.window.Assets, instance: c.ownInstance,
		known: func(asset string) bool { _, ok := c.assetOf(asset); return ok }, forget: c.window.Forget, log: c.log, now: func() time.Time { return c.now() },
		keep: func(s []history.Sample) { c.curves().AppendSamples(s) },
	}
	if c.history != nil {
		o.before = c.ownBefore
	}
	return o
}
