package collector

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// An unmodified Prometheus scrapes a target and remote-writes to a whole collector: what goes wrong at the target is a
// ticket, and ends.
func TestPrometheusWritesToUs(t *testing.T) {
	peerProgram(t, "prometheus")
	var free atomic.Int64
	free.Store(50)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE disk_free_ratio gauge\ndisk_free_ratio{mountpoint=\"/srv\"} %g\n", float64(free.Load())/100)
	}))
	defer target.Close()
	cfg := testConfig(t, remoteRules)
	cfg.Evaluation.Interval = policy.Duration(time.Hour) // AllFilling, on its timer, is none of this test's alerts
	c, err := New(t.Context(), cfg, Options{Directory: testFleet})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.fleet.AddOperator(t.Context(), "prom", fleet.Sender, "test")
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
	dir := t.TempDir()
	conf := fmt.Sprintf(`global: {scrape_interval: 1s, external_labels: {customer: somebody-else}}
scrape_configs:
- job_name: node
  static_configs: [{targets: [%q], labels: {instance: "web1:9100"}}]
remote_write:
- url: http://%s/api/v1/write
  authorization: {credentials: %s}
  queue_config: {batch_send_deadline: 100ms, max_backoff: 200ms}
`, strings.TrimPrefix(target.URL, "http://"), c.WebAddress(), token)
	startPeer(t, "prometheus", "--config.file="+write(t, filepath.Join(dir, "prometheus.yml"), conf), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--log.level=warn")
	s := &stage{Collector: c, t: t}
	until(t, "it is heard", func() bool { return s.live("disk_free_ratio") == 1 })
	free.Store(5)
	until(t, "the alert", func() bool { return slices.Equal(s.fires(), []string{"DiskFull web1"}) })
	if tk := s.only(); tk.Customer != "acme" || tk.Asset != "web1" {
		t.Errorf("ticket %+v", tk)
	}
	free.Store(50)
	until(t, "its end", func() bool { return len(s.fires()) == 0 })
	target.Close()
	until(t, "the target is down", func() bool { return slices.Equal(s.fires(), []string{"TargetDown web1"}) })
	if n := s.live("up"); n != 1 {
		t.Errorf("%d series up, want the one that Prometheus writes", n)
	}
}
