package collector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// BenchmarkAlertToDurableTicket commits alerts that begin to fire: evidence read, ticket opened, message queued, all of
// it fsynced by bbolt. One at a time is what a lone fault costs; batches are what a storm costs.
func BenchmarkAlertToDurableTicket(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			dir := b.TempDir()
			file := filepath.Join(dir, "rules.yml")
			if err := os.WriteFile(file, []byte(diskRules), 0o644); err != nil {
				b.Fatal(err)
			}
			cfg := DefaultConfig()
			cfg.Storage.Path = filepath.Join(dir, "data")
			cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
			cfg.Rules.Packs, cfg.Rules.Files = false, []string{file}
			c, err := New(context.Background(), cfg, Options{Directory: testFleet})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			n := 0
			for b.Loop() {
				now := time.Now()
				ts := make([]rules.Transition, batch)
				for i := range ts {
					n++
					ts[i] = rules.Transition{
						Origin: rules.Origin{ID: "bench", Group: "g", Name: "A", Expr: "node_filesystem_avail_bytes == 0"},
						From:   rules.Inactive,
						Alert: rules.Alert{
							Labels: labels.FromStrings("alertname", "A", "instance", fmt.Sprint("host", n), "customer", "acme",
								"severity", "critical", "service", "filesystem"),
							State: rules.Firing, FirstBadAt: now, ActiveAt: now, FiredAt: now,
						},
					}
				}
				if err := c.pipeline.Commit(context.Background(), now, ts); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tickets/s")
		})
	}
}
