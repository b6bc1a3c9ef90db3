package dashboards

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/agent"
	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
)

// customers is a fleet under contracts with clocks and a rota.
const customers = `people:
  - {id: eve, name: Eve Hart, email: eve@example.net, receivers: [desk]}
  - {id: max, name: Max Lund, email: max@example.net, receivers: [desk]}
contacts:
  - {role: engineer, person: eve}
  - {role: technical-operation, person: max}
  - {role: team-leader, person: eve}
  - {role: account-manager, person: eve}
  - {role: project-manager, person: eve}
  - {role: support-manager, person: max}
customers:
  - id: acme
    name: Acme
    contracts: [{id: acme-1, sets: [web-host], ordered: 2026-01-05, paid: 2026-01-12, phase: live}]
    sites: [{id: london, assets: [{name: shop1}, {name: shop2}]}]
  - id: zenith
    name: Zenith
    contracts:
      - id: zenith-1
        sets: [erp-partner]
        ordered: 2026-01-05
        paid: 2026-01-12
        phase: live
        targets: [{priority: system-down, clock: response, within: "10h,elapsed"}]
    sites: [{id: leeds, assets: [{name: erp1}]}]
`

// scraped are the metrics of a collector that works in this test: nobody wrote their names down here. What counts goes
// from the first scrape, before anything happened, to the last one; what does not is as it was last.
func scraped(t testing.TB) []series {
	t.Helper()
	c := startCollector(t)
	first := c.scrape()
	c.work()
	last := c.scrape()
	now := time.Now()
	shift := float64(end.UnixMilli()-now.UnixMilli()) / 1e3
	minutes := float64(long / stride)
	var out []series
	for key, s := range last {
		name := s.labels.Get(model.MetricNameLabel)
		s.labels = atNight(s.labels, now)
		switch {
		case !s.counts && strings.HasSuffix(name, "_timestamp_seconds"):
			s.value += shift
		case s.counts:
			out = append(out, series{s.labels, first[key].value, (s.value - first[key].value) / minutes})
			continue
		}
		out = append(out, series{s.labels, s.value, 0})
	}
	return out
}

// atNight makes the present hour of the day, in a label, 02: some panels ask what happens at night, and tests run by day.
func atNight(of labels.Labels, now time.Time) labels.Labels {
	hour, err := strconv.Atoi(of.Get("hour"))
	if err != nil {
		return of
	}
	b := labels.NewBuilder(of)
	b.Set("hour", fmt.Sprintf("%02d", (hour-now.UTC().Hour()+26)%24))
	return b.Labels()
}

// house is a collector, an agent of a host whose disk is full, and somebody who works.
type house struct {
	t     testing.TB
	c     *collector.Collector
	token string
	dir   string
}

func startCollector(t testing.TB) *house {
	t.Helper()
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })) //nolint:errcheck // a test's
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fleet.yml"), []byte(customers), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := collector.DefaultConfig()
	cfg.Storage.Path = filepath.Join(dir, "data")
	cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Fleet.Directory = dir
	cfg.Silence.Ping.Count = 0
	cfg.Evaluation.Interval = policy.Duration(time.Second)
	cfg.Receivers = []notify.Receiver{{Name: "desk", Webhook: &notify.WebhookConfig{URL: desk.URL}}}
	c, err := collector.New(context.Background(), cfg, collector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		runs.Wait()
		c.Close()
		desk.Close()
	})
	if err := c.EnsureOperator(ctx, "eve"); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(cfg.Storage.Path, collector.TokenName))
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, c: c, token: string(bytes.TrimSpace(token)), dir: dir}
}

// do asks the collector's API.
func (h *house) do(method, path string, body, into any) {
	h.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://"+h.c.WebAddress()+path, bytes.NewReader(raw))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		h.t.Fatalf("%s %s: %s %s %v", method, path, res.Status, answer, err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			h.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

const root = "/api/watchbill/v1"

// work lets time have gone by and people act: tickets are opened, one long ago, acknowledged and resolved.
func (h *house) work() {
	h.t.Helper()
	var full disk
	h.report("shop1", &full)
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	h.do("POST", root+"/oncall/overrides", map[string]any{"rota": "web-host-on-call", "person": "eve", "until": time.Now().Add(time.Hour)}, nil)
	open := func(customer, asset, title, channel string, received time.Time) string {
		var out struct{ Number string }
		h.do("POST", root+"/tickets", map[string]any{"title": title, "customer": customer, "asset": asset, "service": title, "channel": channel,
			"reporter": "Pat", "impact": "business", "urgency": "time-critical", "received_at": received, "system": "application"}, &out)
		return out.Number
	}
	act := func(number, verb string) {
		h.do("POST", root+"/tickets/"+number+"/"+verb, map[string]any{"text": "done"}, nil)
	}
	open("zenith", "erp1", "nobody can log in", "telephone", ago(11*time.Hour))   // breached
	open("zenith", "erp1", "printing is slow", "telephone", ago(595*time.Minute)) // at risk
	open("acme", "shop2", "the shop is slow", "on-call", ago(time.Minute))
	for i, d := range []time.Duration{2 * time.Minute, 20 * time.Minute} {
		n := open("acme", "shop2", fmt.Sprint("no orders ", i), "telephone", ago(d))
		act(n, "ack")
		act(n, "resolve")
	}
	h.until("an alert's ticket", func(all map[string]scrape) bool {
		return total(all, "watchbill_alert_sample_to_commit_seconds_count") > 0
	})
	h.fed("shop1", time.Now().Add(time.Hour))
	h.fed("shop1", time.Now())
	full.mended.Store(true)
	h.until("a breach, a risk, a delivery, and a ticket that a rule resolved", func(all map[string]scrape) bool {
		return having(all, "watchbill_customer_clocks", "at_risk") && having(all, "watchbill_customer_clocks", "breached") &&
			having(all, "watchbill_tickets_resolved_total", "rule") && total(all, "watchbill_tickets") >= 3 && total(all, "watchbill_customer_breaches_total") > 0 && total(all, "watchbill_outbox_delivery_seconds_count") > 0 &&
			total(all, "watchbill_pages_total") > 0
	})
}

// fed has another program say that an alert about an asset's disk fires until end.
func (h *house) fed(asset string, end time.Time) {
	h.t.Helper()
	h.do("POST", "/api/v2/alerts", []map[string]any{{"endsAt": end, "labels": map[string]string{
		"alertname": "SlowDisk", "instance": asset, "service": "filesystem", "severity": "warning",
	}}}, nil)
}

// report has an agent report a host whose disk is full, until the collector has judged it.
func (h *house) report(asset string, d *disk) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := agent.DefaultConfig()
	cfg.DataDir, cfg.Interval = filepath.Join(h.dir, "agent"), time.Second
	text, err := h.c.TokenForSelf(ctx, asset)
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := enroll.ParseToken(text)
	if err != nil {
		h.t.Fatal(err)
	}
	inventory := &wire.Inventory{Hostname: asset}
	if _, err := enroll.Enroll(ctx, enroll.Options{Token: token, Dir: cfg.IdentityDir(), Inventory: inventory}); err != nil {
		h.t.Fatal(err)
	}
	a, err := agent.New(cfg, agent.Options{Version: "1.2.3",
		Inventory: func(context.Context) (*wire.Inventory, error) { return inventory, nil },
		Sources:   []sample.Source{{Name: "filesystem", Kind: "node", Sampler: d}}})
	if err != nil {
		h.t.Fatal(err)
	}
	var runs sync.WaitGroup
	runs.Go(func() {
		if err := a.Run(ctx); err != nil {
			h.t.Errorf("agent: %v", err)
		}
	})
	h.t.Cleanup(func() {
		cancel()
		runs.Wait()
	})
}

// disk is full until it is mended.
type disk struct{ mended atomic.Bool }

// Read implements sample.Sampler.
func (d *disk) Read(context.Context, time.Time) (sample.Reading, error) {
	srv := []wire.Label{{Name: "device", Value: "/dev/sdb"}, {Name: "fstype", Value: "ext4"}, {Name: "mountpoint", Value: "/srv"}}
	avail := 1e6
	if d.mended.Load() {
		avail = 9e10
	}
	return sample.Reading{Samples: []wire.Sample{
		{Name: "node_filesystem_avail_bytes", Labels: srv, Value: avail}, {Name: "node_filesystem_readonly", Labels: srv, Value: 0},
		{Name: "node_filesystem_size_bytes", Labels: srv, Value: 1e11},
	}}, nil
}

// scrape is one series of /metrics as a Prometheus has it; counts: it only goes up.
type scrape struct {
	labels labels.Labels
	value  float64
	counts bool
}

func (h *house) scrape() map[string]scrape {
	h.t.Helper()
	res, err := http.Get("http://" + h.c.WebAddress() + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]scrape{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			for _, s := range flatten(name, f.GetType(), m) {
				out[s.labels.String()] = s
			}
		}
	}
	return out
}

// flatten are the series of one metric, with the labels that a scrape of the collector gives them.
func flatten(name string, kind dto.MetricType, m *dto.Metric) []scrape {
	one := func(name string, v float64, counts bool, more ...string) scrape {
		b := labels.NewScratchBuilder(8)
		for _, l := range m.GetLabel() {
			b.Add(l.GetName(), l.GetValue())
		}
		for i := 0; i < len(more); i += 2 {
			b.Add(more[i], more[i+1])
		}
		b.Add(model.MetricNameLabel, name)
		b.Add("job", "watchbill")
		b.Add("instance", "collector1")
		b.Sort()
		return scrape{b.Labels(), v, counts}
	}
	switch kind {
	case dto.MetricType_COUNTER:
		return []scrape{one(name, m.GetCounter().GetValue(), true)}
	case dto.MetricType_GAUGE:
		return []scrape{one(name, m.GetGauge().GetValue(), false)}
	case dto.MetricType_HISTOGRAM:
		h := m.GetHistogram()
		out := []scrape{one(name+"_sum", h.GetSampleSum(), true), one(name+"_count", float64(h.GetSampleCount()), true)}
		for _, b := range h.GetBucket() {
			le := fmt.Sprint(b.GetUpperBound())
			if math.IsInf(b.GetUpperBound(), 1) {
				le = "+Inf"
			}
			out = append(out, one(name+"_bucket", float64(b.GetCumulativeCount()), true, "le", le))
		}
		return out
	}
	return []scrape{one(name, m.GetUntyped().GetValue(), false)}
}

// until waits for something that the collector does by itself.
func (h *house) until(what string, true func(map[string]scrape) bool) {
	h.t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !true(h.scrape()) {
		select {
		case <-deadline:
			h.t.Fatalf("no sign of %s within a minute", what)
		case <-tick.C:
		}
	}
}

func total(all map[string]scrape, name string) (sum float64) {
	for _, s := range all {
		if s.labels.Get(model.MetricNameLabel) == name {
			sum += s.value
		}
	}
	return sum
}

// having tells whether a metric has a series with a label of some value.
func having(all map[string]scrape, name, value string) (yes bool) {
	for _, s := range all {
		if s.labels.Get(model.MetricNameLabel) == name && s.value > 0 {
			s.labels.Range(func(l labels.Label) { yes = yes || l.Value == value })
		}
	}
	return yes
}
