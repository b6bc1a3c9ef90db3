package collector

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// fedLive is a collector that runs, with tokens for a program that sends and one that reads.
func fedLive(t *testing.T) (c *Collector, sender, reader string) {
	t.Helper()
	c, err := New(context.Background(), testConfig(t, diskRules), Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
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
	f := &feeding{stage: &stage{Collector: c, t: t}}
	return c, f.token("edge", fleet.Scope{}, fleet.Sender), f.token("reader", fleet.Scope{}, fleet.Viewer)
}

// TestPrometheusSendsAlerts: Debian's Prometheus, unchanged: its rule fires, a ticket opens; the rule recovers, the ticket is
// resolved. amtool lists the alert, with a reader's token.
func TestPrometheusSendsAlerts(t *testing.T) {
	peerProgram(t, "prometheus")
	amtool := peerProgram(t, "amtool")
	c, sender, reader := fedLive(t)
	s := &stage{Collector: c, t: t}
	dir := t.TempDir()
	value := make(chan string, 1)
	value <- "1"
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := <-value
		value <- v
		fmt.Fprintf(w, "shop_broken %s\n", v)
	}))
	defer target.Close()
	write(t, filepath.Join(dir, "token"), sender)
	write(t, filepath.Join(dir, "rules.yml"), `groups:
- name: shop
  rules:
  - alert: ShopBroken
    expr: shop_broken > 0
    labels: {severity: page, service: shop}
    annotations: {summary: "the shop on {{ $labels.instance }} is broken"}
`)
	config := write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s, external_labels: {prometheus_replica: a}}
rule_files: [rules.yml]
alerting:
  alertmanagers:
  - authorization: {credentials_file: token}
    static_configs: [{targets: [%q]}]
scrape_configs:
- job_name: shop
  static_configs: [{targets: [%q], labels: {instance: "web1:8080"}}]
`, c.WebAddress(), strings.TrimPrefix(target.URL, "http://")))
	startPeer(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=2s")
	until(t, "a ticket", func() bool { return len(s.tickets()) == 1 })
	tk := s.only()
	if tk.Asset != "web1" || tk.Customer != "acme" || tk.Title != "the shop on web1:8080 is broken" || tk.Alerts[0].Source != "prometheus via edge" {
		t.Errorf("the ticket is %q of %s about %s, by %s", tk.Title, tk.Customer, tk.Asset, tk.Alerts[0].Source)
	}
	httpConfig := write(t, filepath.Join(dir, "http.yml"), fmt.Sprintf("basic_auth: {username: reader, password: %q}\n", reader))
	out, err := exec.Command(amtool, "--alertmanager.url=http://"+c.WebAddress(), "--http.config.file="+httpConfig,
		"alert", "query", "alertname=ShopBroken", "-o", "extended").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the shop on web1:8080 is broken") {
		t.Errorf("amtool: %v\n%s", err, out)
	}
	out, err = exec.Command(amtool, "--alertmanager.url=http://"+c.WebAddress(), "--http.config.file="+httpConfig, "config", "routes").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "watchbill") {
		t.Errorf("amtool config routes: %v\n%s", err, out)
	}
	<-value
	value <- "0"
	until(t, "that the ticket is resolved", func() bool { return !s.only().State.Open() })
	if end := s.only().Alerts[0].End; end != "recovered" {
		t.Errorf("the alert ended as %q", end)
	}
}

// TestAlertmanagerSendsItsWebhook: Debian's Alertmanager, unchanged, with Watchbill as a receiver.
func TestAlertmanagerSendsItsWebhook(t *testing.T) {
	peerProgram(t, "prometheus-alertmanager")
	amtool := peerProgram(t, "amtool")
	c, sender, _ := fedLive(t)
	s := &stage{Collector: c, t: t}
	dir := t.TempDir()
	config := write(t, filepath.Join(dir, "alertmanager.yml"), fmt.Sprintf(`route: {receiver: watchbill, group_wait: 0s, group_interval: 1s}
receivers:
- name: watchbill
  webhook_configs:
  - url: http://%s/api/v2/webhook
    http_config: {authorization: {credentials: %q}}
`, c.WebAddress(), sender))
	at := freeAddress(t)
	startPeer(t, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+at, "--cluster.listen-address=")
	add := func(args ...string) func() bool {
		return func() bool { // amtool writes whole seconds
			return exec.Command(amtool, append([]string{"--alertmanager.url=http://" + at, "alert", "add", "alertname=BackupFailed",
				"instance=web2", "job=backup", "--annotation=summary=no backup of web2"}, args...)...).Run() == nil
		}
	}
	until(t, "that Alertmanager takes an alert", add())
	until(t, "a ticket", func() bool { return len(s.tickets()) == 1 })
	if tk := s.only(); tk.Asset != "web2" || tk.Service != "backup" || tk.Alerts[0].Source != "alertmanager via edge" {
		t.Errorf("the ticket is about %s, %s, by %s", tk.Asset, tk.Service, tk.Alerts[0].Source)
	}
	until(t, "that Alertmanager takes its end", add("--end="+time.Now().Format(time.RFC3339)))
	until(t, "that the ticket is resolved", func() bool { return !s.only().State.Open() })
}
