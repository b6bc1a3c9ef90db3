package collector

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/policy"
)

// circle is a collector that runs, with a real Alertmanager whose webhook comes to it.
type circle struct {
	*feeding
	// alertmanager is its URL.
	alertmanager string
}

// newCircle starts both. With out the collector's own alerts go to that Alertmanager, too.
func newCircle(t *testing.T, out bool) *circle {
	t.Helper()
	peerProgram(t, "prometheus-alertmanager")
	at := freeAddress(t)
	cfg := testConfig(t, diskRules)
	cfg.Evaluation.Interval = policy.Duration(100 * time.Millisecond)
	if out {
		cfg.Receivers = append(cfg.Receivers, notify.Receiver{Name: "am", Alertmanager: &notify.AlertmanagerConfig{
			URLs: []string{"http://" + at}, ResendDelay: model.Duration(250 * time.Millisecond),
		}})
	}
	c, err := New(context.Background(), cfg, Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
	f := &feeding{stage: &stage{Collector: c, t: t, sink: c.newSink()}}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.Close()
	})
	f.sender = f.token("edge", fleet.Scope{}, fleet.Sender)
	dir := t.TempDir()
	config := write(t, filepath.Join(dir, "alertmanager.yml"), fmt.Sprintf(`global: {resolve_timeout: 1m}
route: {receiver: watchbill, group_by: [...], group_wait: 0s, group_interval: 1s, repeat_interval: 1s}
receivers:
- name: watchbill
  webhook_configs:
  - url: http://%s/api/v2/webhook
    http_config: {authorization: {credentials: %q}}
`, c.WebAddress(), f.sender))
	startPeer(t, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+at, "--cluster.listen-address=")
	return &circle{f, "http://" + at}
}

// outcome is how many alerts of the Alertmanager's webhook came to this.
func (c *circle) outcome(what string) float64 {
	return testutil.ToFloat64(c.feed.metrics.alerts.WithLabelValues("alertmanager via edge", what))
}

// TestAlertsDoNotGoInCircles: what this collector sends to an Alertmanager whose webhook comes back to it opens no second
// ticket, however often. What another Watchbill says by that Alertmanager does.
func TestAlertsDoNotGoInCircles(t *testing.T) {
	c := newCircle(t, true)
	c.at = time.Now()
	c.report("web1", 0, 5)
	until(t, "that its own alert comes back a few times", func() bool { return c.outcome(fedOwn) >= 3 })
	if tk := c.only(); tk.Asset != "web1" || len(tk.Alerts) != 1 {
		t.Errorf("the ticket is about %s, with %d alerts", tk.Asset, len(tk.Alerts))
	}
	const branch = `[{"labels": {"alertname": "DiskFull", "instance": "web2", "watchbill_source": "https://branch.example"}}]`
	resp, err := http.Post(c.alertmanager+"/api/v2/alerts", "application/json", bytes.NewBufferString(branch))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the Alertmanager takes no alert: %v %v", resp, err)
	}
	resp.Body.Close()
	until(t, "a ticket of another Watchbill's alert", func() bool { return len(c.tickets()) == 2 })
	c.at = time.Now()
	c.report("web1", 0, 50)
	until(t, "that the own ticket is resolved", func() bool {
		for _, tk := range c.tickets() {
			if tk.Asset == "web1" {
				return !tk.State.Open()
			}
		}
		return false
	})
}

// TestPrometheusAndItsAlertmanager: a real Prometheus sends to Watchbill and to an Alertmanager that hands on to Watchbill: one
// alert, one ticket; its end by either way is its end.
func TestPrometheusAndItsAlertmanager(t *testing.T) {
	peerProgram(t, "prometheus")
	c := newCircle(t, false)
	value := make(chan string, 1)
	value <- "1"
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := <-value
		value <- v
		fmt.Fprintf(w, "shop_broken %s\n", v)
	}))
	defer target.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), "groups: [{name: shop, rules: [{alert: ShopBroken, expr: shop_broken > 0}]}]\n")
	config := write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 500ms, external_labels: {prometheus_replica: a}}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - authorization: {credentials: %q}
    static_configs: [{targets: [%q, %q]}]
scrape_configs:
- job_name: shop
  static_configs: [{targets: [%q], labels: {instance: "web1:8080"}}]
`, c.sender, c.WebAddress(), strings.TrimPrefix(c.alertmanager, "http://"), strings.TrimPrefix(target.URL, "http://")))
	startPeer(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=1s")
	until(t, "that both ways were heard", func() bool {
		return c.outcome(fedOpened)+c.outcome(fedRefreshed) >= 3 && len(c.tickets()) > 0 &&
			testutil.ToFloat64(c.feed.metrics.alerts.WithLabelValues("prometheus via edge", fedRefreshed)) >= 2
	})
	if tk := c.only(); len(tk.Alerts) != 1 || len(c.feed.standing()) != 1 {
		t.Errorf("%d alerts of the ticket, %d stand: want one", len(tk.Alerts), len(c.feed.standing()))
	}
	<-value
	value <- "0"
	until(t, "that the ticket is resolved", func() bool { return !c.only().State.Open() })
	until(t, "that both ways said so", func() bool {
		return c.outcome(fedResolved)+c.outcome(fedNotKnown)+c.outcome(fedStale) >= 1
	})
	if tk := c.only(); tk.State.Open() || len(c.feed.standing()) != 0 {
		t.Errorf("the ticket is %s and %d alerts stand, after both ends", tk.State, len(c.feed.standing()))
	}
}
