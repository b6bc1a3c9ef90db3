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
	"github.com/watchbill/watchbill/collector/fleet"
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
		metrics: reg, alerts: func() []evaluate.Standing { return append(alerts, alerts...) }, assets: func() []window.AssetStatus { return nil }, instance: func() string { return "here:9720" },
		keep: func(s []history.Sample) { kept = s }, log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.Unix(2000, 0) },
	}
	o.write(t.Context())
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
	o.write(t.Context())
	check("when it fires and a metric is gone", fmt.Sprintf(state, "firing", "1")+fmt.Sprintf(state, "pending", "stale")+
		forState+"1000\n"+gauge+"stale\n"+same)
	alerts = nil
	o.write(t.Context())
	check("when it ended", fmt.Sprintf(state, "firing", "stale")+forState+"stale\n"+same)
	o.write(t.Context())
	check("after that", same)
}

// TestUpOfAssetsIsKept: up of what agents report is no sample of theirs; without it a fleet's dashboard has no assets.
func TestUpOfAssetsIsKept(t *testing.T) {
	web := window.Asset{Name: "web1", Customer: "acme", Site: "berlin"}
	all := []window.AssetStatus{
		{Asset: web, Received: time.Unix(1990, 0), Blocks: []window.BlockStatus{{Kind: "node"}, {Kind: "node"}, {Kind: "self"}, {Kind: ""}}},
		{Asset: window.Asset{Name: "db1", Customer: "acme"}, Down: true},
		{Asset: window.Asset{Name: "new"}, Blocks: []window.BlockStatus{{Kind: "node"}}},
	}
	var kept []history.Sample
	o := &ownSeries{
		metrics: prometheus.NewRegistry(), alerts: func() []evaluate.Standing { return nil }, assets: func() []window.AssetStatus { return all },
		instance: func() string { return "here:9720" }, keep: func(s []history.Sample) { kept = s }, known: func(string) bool { return true }, now: func() time.Time { return time.Unix(2000, 0) },
	}
	const own, gone = `{__name__="up", instance="here:9720", job="watchbill"} 1`, `{__name__="up", customer="acme", instance="db1", job="node"} `
	const node, self = `{__name__="up", customer="acme", instance="web1", job="node", site="berlin"} `, `{__name__="up", customer="acme", instance="web1", job="self", site="berlin"} `
	o.write(t.Context())
	if got, want := lines(kept), gone+"0\n"+node+"1\n"+self+"1\n"+own; got != want {
		t.Errorf("kept\n%s\nwant\n%s", got, want)
	}
	all[0].Down, all = true, all[:1]
	o.write(t.Context())
	if got, want := lines(kept), gone+"stale\n"+node+"0\n"+self+"0\n"+own; got != want {
		t.Errorf("when one is silent and one is gone: kept\n%s\nwant\n%s", got, want)
	}
}

// A whole collector keeps its own series, and the alerts of rules, in its history.
func TestOwnSeriesAreInTheHistory(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.History.Instance = "watchbill.example"
	s := newStage(t, cfg)
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 2)
	s.report("web1", 10*time.Minute, 2)
	s.Collector.newOwnSeries().write(t.Context())
	flush(t, s.Collector)
	for _, sel := range []string{`up{job="watchbill"}`, `up{instance="web1",customer="acme",job="node"}`, "ALERTS", "watchbill_history_up", "go_goroutines"} {
		if sel == "ALERTS" && len(s.Collector.standing()) == 0 {
			t.Fatal("nothing fires: this test shows nothing")
		}
		if !has(t, s.Collector, sel) {
			t.Errorf("no %s in the history", sel)
		}
	}
}

// TestUpOfAnAssetThatIsTakenOutEnds: the window has it until the next start; who looks at the fleet does not want it.
func TestUpOfAnAssetThatIsTakenOutEnds(t *testing.T) {
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 50)
	s.report("web2", 0, 50)
	own := s.newOwnSeries()
	own.write(t.Context())
	next := testFleet
	next.Customers = slices.Clone(next.Customers)
	next.Customers[0].Sites = []fleet.Site{{ID: "london", Assets: testFleet.Customers[0].Sites[0].Assets[:1]}}
	s.o.Directory = next
	s.o.Reread = func() (Config, error) { return s.cfg, nil }
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.at = s.at.Add(ownEvery)
	own.write(t.Context())
	flush(t, s.Collector)
	if got := live(t, s.Collector, `up{job="node"}`, s.at); !strings.Contains(got, "web1") || strings.Contains(got, "web2") {
		t.Errorf("shown are %s", got)
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
func has(t *testing.T, c *Collector, selector string) bool {
	t.Helper()
	matchers, err := rules.NewParser().ParseMetricSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.history.Queryable().Querier(0, 1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, nil, matchers...)
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

// live are the series that a query at a time would show, by a selector.
func live(t *testing.T, c *Collector, selector string, at time.Time) string {
	t.Helper()
	matchers, err := rules.NewParser().ParseMetricSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.history.Queryable().Querier(at.Add(-window.StaleAfter).UnixMilli(), at.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var out []string
	for set := q.Select(t.Context(), true, nil, matchers...); set.Next(); {
		if !ended(set.At().Iterator(nil)) {
			out = append(out, set.At().Labels().String())
		}
	}
	return strings.Join(out, "\n")
}

// TestWhatEndedWhileNobodyRanIsNotShown: after a restart a ticket is shown in the state that it has, and no alert that is over.
func TestWhatEndedWhileNobodyRanIsNotShown(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.Web.ExternalURL = "https://before.example"
	s := newStage(t, cfg)
	s.report("web1", 0, 2)
	own := s.newOwnSeries()
	own.write(t.Context())
	s.report("web1", 10*time.Second, 50) // over, and its ticket resolved, before the next round
	flush(t, s.Collector)
	const alerts, tickets = `{__name__=~"ALERTS|ALERTS_FOR_STATE"}`, `watchbill_ticket_opened_timestamp_seconds`
	if got := live(t, s.Collector, alerts, s.at); strings.Count(got, "DiskFull") != 2 {
		t.Fatalf("nothing fired: %s", got)
	}
	if got := live(t, s.Collector, tickets, s.at); !strings.Contains(got, `instance="before.example"`) {
		t.Fatalf("no ticket was shown: %s", got)
	}
	s.Close()

	cfg.Web.ExternalURL = "https://after.example"
	next := newStage(t, cfg)
	next.at = s.at.Add(time.Minute)
	next.newOwnSeries().write(t.Context())
	flush(t, next.Collector)
	if got := live(t, next.Collector, alerts, next.at); got != "" {
		t.Errorf("alerts that ended are shown: %s", got)
	}
	if got := live(t, next.Collector, `{job="watchbill"}`, next.at); strings.Contains(got, "before.example") ||
		strings.Contains(got, "watchbill_ticket_opened") || !strings.Contains(got, `up", instance="after.example"`) {
		t.Errorf("shown are\n%s", got)
	}
	if got := live(t, next.Collector, `up{instance="web1"}`, next.at); got == "" {
		t.Error("the host is not shown any more")
	}
}

// TestOnlyOwnSeriesAreEnded: what agents and senders write is theirs to end, and of a host that has not reported yet nothing is
// known.
func TestOnlyOwnSeriesAreEnded(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.History.Instance = "here:9720"
	s := newStage(t, cfg)
	for text, want := range map[string]bool{
		`ALERTS{alertname="A",instance="web1"}`:                                      true,
		`watchbill_x{job="watchbill",instance="here:9720"}`:                          true,
		`watchbill_x{job="watchbill",instance="there:9720"}`:                         true,  // of before it was called here:9720
		`watchbill_x{job="watchbill",instance="web1",customer="acme",site="london"}`: false, // by a sender
		`up{job="node",instance="web1",customer="acme",site="london"}`:               false,
		`up{job="node",instance="web1",customer="acme",site="paris"}`:                true, // it moved
		`up{job="node",instance="gone",customer="acme",site="london"}`:               true,
	} {
		matchers, err := rules.NewParser().ParseMetricSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		b := labels.NewBuilder(labels.EmptyLabels())
		for _, m := range matchers {
			b.Set(m.Name, m.Value)
		}
		if got := s.wroteOwn(b.Labels()); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestTheRunBeforeIsEndedOnceItCanBeRead: while the history is read back rounds go on, and what it shows then is ended once.
func TestTheRunBeforeIsEndedOnceItCanBeRead(t *testing.T) {
	gone := labels.FromStrings("__name__", "gone", "job", "watchbill")
	asked, opened := 0, false
	var kept []history.Sample
	o := &ownSeries{
		metrics: prometheus.NewRegistry(), alerts: func() []evaluate.Standing { return nil }, assets: func() []window.AssetStatus { return nil },
		instance: func() string { return "here:9720" }, keep: func(s []history.Sample) { kept = s }, now: func() time.Time { return time.Unix(2000, 0) },
		before: func(context.Context, time.Time) ([]labels.Labels, error) {
			if asked++; !opened {
				return nil, fmt.Errorf("not open: %w", history.ErrUnavailable)
			}
			return []labels.Labels{gone, labels.FromStrings("__name__", "up", "job", "watchbill", "instance", "here:9720")}, nil
		},
	}
	const up = `{__name__="up", instance="here:9720", job="watchbill"} 1`
	for i, want := range []string{up, `{__name__="gone", job="watchbill"} stale` + "\n" + up, up} {
		opened = i > 0
		o.write(t.Context())
		if got := lines(kept); got != want {
			t.Errorf("round %d kept\n%s\nwant\n%s", i, got, want)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}
