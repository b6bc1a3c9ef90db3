package collector

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// An unmodified Prometheus scrapes a target and remote-writes to a whole collector: what goes wrong at the target is a
// ticket, and ends.
func TestPrometheusWritesToUs(t *testing.T) {
	bin := peerProgram(t, "prometheus")
	var free atomic.Int64
	free.Store(50)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE disk_free_ratio gauge\ndisk_free_ratio{mountpoint=\"/srv\"} %g\n", float64(free.Load())/100)
	}))
	defer target.Close()
	c, err := New(t.Context(), testConfig(t, remoteRules), Options{Directory: testFleet})
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
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	prom := exec.CommandContext(ctx, bin, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--log.level=warn")
	var log strings.Builder
	prom.Stderr = &log
	if err := prom.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = prom.Process.Kill()
		_ = prom.Wait() // it was killed
	}()
	s := &stage{Collector: c, t: t}
	until := func(what string, so func() bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(30 * time.Second); !so(); <-tick.C {
			if time.Now().After(end) {
				t.Fatalf("%s: not within 30 s; firing %v, Prometheus says %s", what, s.fires(), log.String())
			}
		}
	}
	until("it is heard", func() bool { return s.live("disk_free_ratio") == 1 })
	free.Store(5)
	until("the alert", func() bool { return slices.Equal(s.fires(), []string{"DiskFull web1"}) })
	if tk := s.only(); tk.Customer != "acme" || tk.Asset != "web1" {
		t.Errorf("ticket %+v", tk)
	}
	free.Store(50)
	until("its end", func() bool { return len(s.fires()) == 0 })
	target.Close()
	until("the target is down", func() bool { return slices.Equal(s.fires(), []string{"TargetDown web1"}) })
	if n := s.live("up"); n != 1 {
		t.Errorf("%d series up, want the one that Prometheus writes", n)
	}
}
