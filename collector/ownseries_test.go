package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// lines are samples as text, sorted, without their time.
func lines(samples []history.Sample) string {
	var out []string
	for _, s := range samples {
		v := fmt.Sprint(s.V)
		if value.IsStaleNaN(s.V) {
			v = "stale"
		}
		out = append(out, s.Labels.String()+" "+v)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestOwnSeriesAreWhatAScrapeWouldKeep(t *testing.T) {
	reg := prometheus.NewRegistry()
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "open", Help: "h"}, []string{"instance", "customer"})
	hist := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took_seconds", Help: "h", Buckets: []float64{0.5, 1}})
	sum := prometheus.NewSummary(prometheus.SummaryOpts{Name: "size_bytes", Help: "h", Objectives: map[float64]float64{0.5: 0}})
	reg.MustRegister(vec, hist, sum)
	vec.WithLabelValues("web1", "acme").Set(3)
	hist.Observe(0.7)
	sum.Observe(8)
	active := time.Unix(1000, 0)
	alerts := []evaluate.Standing{{
		Origin: rules.Origin{Name: "DiskFull"},
		Alert:  rules.Alert{Labels: labels.FromStrings("instance", "web1", "severity", "critical"), State: rules.Pending, ActiveAt: active},
	}}
	var kept []history.Sample
	o := &ownSeries{
		metrics: reg, alerts: func() []evaluate.Standing { return append(alerts, alerts...) }, ups: window.New(window.Options{}).Ups, instance: func() string { return "here:9720" },
		keep: func(s []history.Sample) { kept = s }, log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.Unix(2000, 0) },
	}
	o.write()
	const same = `{__name__="size_bytes", instance="here:9720", job="watchbill", quantile="0.5"} 8
{__name__="size_bytes_count", instance="here:9720", job="watchbill"} 1
{__name__="size_bytes_sum", instance="here:9720", job="watchbill"} 8
{__name__="took_seconds_bucket", instance="here:9720", job="watchbill", le="+Inf"} 1
{__name__="took_seconds_bucket", instance="here:9720", job="watchbill", le="0.5"} 0
{__name__="took_seconds_bucket", instance="here:9720", job="watchbill", le="1.0"} 1
{__name__="took_seconds_count", instance="here:9720", job="watchbill"} 1
{__name__="took_seconds_sum", instance="here:9720", job="watchbill"} 0.7
{__name__="up", instance="here:9720", job="watchbill"} 1`
	const forState = `{__name__="ALERTS_FOR_STATE", alertname="DiskFull", instance="web1", severity="critical"} `
	const state = `{__name__="ALERTS", alertname="DiskFull", alertstate="%s", instance="web1", severity="critical"} %s
`
	const gauge = `{__name__="open", customer="acme", exported_instance="web1", instance="here:9720", job="watchbill"} `
	check := func(what, want string) {
		t.Helper()
		if got := lines(kept); got != want {
			t.Errorf("%s: kept\n%s\nwant\n%s", what, got, want)
		}
	}
	check("at first", fmt.Sprintf(state, "pending", "1")+forState+"1000\n"+gauge+"3\n"+same)
	alerts[0].Alert.State = rules.Firing
	vec.Reset()
	o.write()
	check("when it fires and a metric is gone", fmt.Sprintf(state, "firing", "1")+fmt.Sprintf(state, "pending", "stale")+
		forState+"1000\n"+gauge+"stale\n"+same)
	alerts = nil
	o.write()
	check("when it ended", fmt.Sprintf(state, "firing", "stale")+forState+"stale\n"+same)
	o.write()
	check("after that", same)
}

// A whole collector keeps its own series, and the alerts of rules, in its history.
func TestOwnSeriesAreInTheHistory(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.History.Instance = "watchbill.example"
	s := newStage(t, cfg)
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 2)
	s.report("web1", 10*time.Minute, 2)
	s.Collector.newOwnSeries().write()
	flush(t, s.Collector)
	for _, sel := range []string{"up", "ALERTS", "watchbill_history_up", "go_goroutines"} {
		if sel == "ALERTS" && len(s.Collector.standing()) == 0 {
			t.Fatal("nothing fires: this test shows nothing")
		}
		if !has(t, s.Collector, sel) {
			t.Errorf("no %s in the history", sel)
		}
	}
}

// No agent says `up` of itself: what the house makes of its reports, and of their absence, is in the history too.
func TestUpOfAssetsIsInTheHistory(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	var kept []history.Sample
	own := s.Collector.newOwnSeries()
	own.keep = func(samples []history.Sample) { kept = samples }
	up := func() (found []string) {
		own.write()
		for _, x := range kept {
			if x.Labels.Get("__name__") == "up" && x.Labels.Get("instance") == "web1" {
				found = append(found, lines([]history.Sample{x}))
			}
		}
		return found
	}
	s.report("web1", 0, 50)
	const want = `{__name__="up", customer="acme", instance="web1", job="node", site="london"} `
	if got := up(); len(got) != 1 || got[0] != want+"1" {
		t.Errorf("while it reports: %q", got)
	}
	s.Collector.setDown(window.Asset{Name: "web1", Customer: "acme", Site: "london"}, s.Collector.now())
	if got := up(); len(got) != 1 || got[0] != want+"0" {
		t.Errorf("while it is silent: %q", got)
	}
	s.window.Forget("web1")
	if got := up(); len(got) != 1 || got[0] != want+"stale" {
		t.Errorf("when it is no asset any more: %q", got)
	}
}

// flush writes what waits for the history.
func flush(t *testing.T, c *Collector) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.history.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// has tells whether the history has samples of a metric.
func has(t *testing.T, c *Collector, metric string) bool {
	t.Helper()
	q, err := c.history.Queryable().Querier(0, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
	return set.Next()
}

const recordingRules = `
groups:
- name: disk
  rules:
  - record: instance:disk_free:ratio
    expr: node_filesystem_avail_bytes / node_filesystem_size_bytes
  - record: fleet:disk_free:min
    expr: min(instance:disk_free:ratio)
`

// What recording rules make is in the history, of rules about one asset and of those on a timer.
func TestRecordingsAreInTheHistory(t *testing.T) {
	s := newStage(t, testConfig(t, recordingRules))
	s.report("web1", 0, 50)
	s.report("web1", 15*time.Second, 50)
	flush(t, s.Collector)
	for _, metric := range []string{"instance:disk_free:ratio", "fleet:disk_free:min"} {
		if !has(t, s.Collector, metric) {
			t.Errorf("no %s in the history", metric)
		}
	}
}

func TestARecordingEndsOnce(t *testing.T) {
	var kept []history.Sample
	r := newRecordings(func(s []history.Sample) { kept = append(kept, s...) })
	stale := math.Float64frombits(value.StaleNaN)
	for i, v := range []float64{stale, 1, 2, stale, stale} {
		r.write([]promql.Sample{
			{Metric: labels.FromStrings("__name__", "a:b:c"), T: int64(i), F: v},
			{Metric: labels.FromStrings("__name__", "ALERTS"), T: int64(i), F: 1},
		})
	}
	if got, want := lines(kept), `{__name__="a:b:c"} 1
{__name__="a:b:c"} 2
{__name__="a:b:c"} stale`; got != want {
		t.Errorf("kept\n%s\nwant\n%s", got, want)
	}
	r.write([]promql.Sample{{Metric: labels.FromStrings("__name__", "d:e:f"), T: 2 * forgetRecording, F: 1}})
	if n := len(r.live); n != 1 {
		t.Errorf("%d series are remembered, want the one that goes on", n)
	}
}
