package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// TestPrometheusScrapesUs: an unmodified Prometheus, with a scraper's token, has the collector's own series from /metrics and its
// agents' from /federate.
func TestPrometheusScrapesUs(t *testing.T) {
	peerProgram(t, "prometheus")
	c, err := New(t.Context(), testConfig(t, diskRules), Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.fleet.AddOperator(t.Context(), "scraper", fleet.Scrape, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		c.Close()
	}()
	c.window.Apply(window.Asset{Name: "web1", Customer: "acme", Site: "london"}, time.Now(), []window.Block{
		{Source: "filesystem", Kind: "node", At: time.Now(), Interval: time.Minute, Status: window.OK, Layout: disk, Values: []float64{42, 100}},
	})
	dir := t.TempDir()
	conf := fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
- {job_name: watchbill, authorization: &token {credentials: %s}, static_configs: &here [{targets: [%q]}]}
- {job_name: watchbill-fleet, authorization: *token, metrics_path: /federate, honor_labels: true, params: {"match[]": ['{job="node"}']}, static_configs: *here}
`, token, c.WebAddress())
	address := freeAddress(t)
	startPeer(t, "prometheus", "--config.file="+write(t, filepath.Join(dir, "prometheus.yml"), conf), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=warn")
	for _, want := range []string{
		`up{job="watchbill"} == 1`, `up{job="watchbill-fleet"} == 1`, `watchbill_build_info{job="watchbill"}`, `prometheus_tsdb_head_series{job="watchbill"}`,
		`node_filesystem_avail_bytes{job="node",instance="web1",customer="acme",site="london"} == 42`, `up{job="node",instance="web1"} == 1`,
	} {
		until(t, "that Prometheus has "+want, func() bool { return hasSample(address, want) })
	}
}

// hasSample asks a Prometheus whether an expression has a value.
func hasSample(address, expr string) bool {
	resp, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return false // it is not up yet
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct{ Data struct{ Result []any } }
	return json.NewDecoder(resp.Body).Decode(&v) == nil && len(v.Data.Result) > 0
}

// TestPromtoolChecksMetrics: Prometheus' own check of names, help and types finds nothing in the collector's metrics,
// those of the TSDB among them.
func TestPromtoolChecksMetrics(t *testing.T) {
	promtool := peerProgram(t, "promtool")
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 0)
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	ours := 0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "watchbill_") {
			ours++
		}
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	if ours < 60 || !bytes.Contains(text.Bytes(), []byte("prometheus_tsdb_head_series ")) || !bytes.Contains(text.Bytes(), []byte("watchbill_ticket_opened_timestamp_seconds{")) ||
		!bytes.Contains(text.Bytes(), []byte(`watchbill_web_info{url="http://127.0.0.1:`)) {
		t.Errorf("%d metrics of ours: this test does not see them", ours)
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &text
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
