package collector

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// county is a fleet of customers with five sites each, a hundred assets to a site.
func county(assets int) fleet.Directory {
	var d fleet.Directory
	for n := 0; n < assets; n += 500 {
		c := fleet.Customer{ID: fmt.Sprintf("customer%02d", n/500)}
		for s := range 5 {
			site := fleet.Site{ID: fmt.Sprintf("site%d", s)}
			for i := range 100 {
				if at := n + s*100 + i; at < assets {
					site.Assets = append(site.Assets, fleet.Asset{Name: fmt.Sprintf("host%05d", at)})
				}
			}
			c.Sites = append(c.Sites, site)
		}
		d.Customers = append(d.Customers, c)
	}
	return d
}

// flips is what the nth asset of a county wants committed when its alert begins to fire.
func flips(n int, name string, now time.Time) []rules.Transition {
	return []rules.Transition{{
		Origin: rules.Origin{ID: name, Group: "g", Name: name, Expr: "node_filesystem_avail_bytes == 0"},
		From:   rules.Inactive,
		Alert: rules.Alert{
			Labels: labels.FromStrings("alertname", name, "instance", fmt.Sprintf("host%05d", n), "mountpoint", "/srv",
				"severity", "critical", "service", "filesystem", "system", "server"),
			Annotations: labels.FromStrings("summary", fmt.Sprintf("/srv is full on host%05d", n),
				"description", "less than one percent is free", "first_checks", "df -h"),
			State: rules.Firing, FirstBadAt: now, ActiveAt: now, FiredAt: now,
		},
	}}
}

// countyCollector is a collector of a county, with one receiver, that runs nothing by itself.
func countyCollector(tb testing.TB, assets int) *Collector {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "rules.yml")
	if err := os.WriteFile(file, []byte(diskRules), 0o600); err != nil {
		tb.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Storage.Path = filepath.Join(dir, "data")
	cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rules.Packs, cfg.Rules.Files = false, []string{file}
	cfg.Receivers = []notify.Receiver{{Name: "desk", Webhook: &notify.WebhookConfig{URL: "http://127.0.0.1:1/"}}}
	c, err := New(context.Background(), cfg, Options{Directory: county(assets)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// BenchmarkStorm is 10,000 assets that flip at once, each in a goroutine of its own as their reports would bring them; and
// beside it what the same takes one after the other, far enough apart that each is calm.
func BenchmarkStorm(b *testing.B) {
	b.Run("storm", func(b *testing.B) {
		const n = 10_000
		for b.Loop() {
			b.StopTimer()
			c := countyCollector(b, n)
			took := make([]time.Duration, n)
			cpu := cpuTime(b)
			b.StartTimer()
			began := time.Now()
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					now := time.Now()
					if err := c.pipeline.Commit(context.Background(), now, flips(i, "DiskFull", now)); err != nil {
						b.Error(err)
					}
					took[i] = time.Since(began)
				})
			}
			all.Wait()
			b.StopTimer()
			report(b, c, took, time.Since(began), cpuTime(b)-cpu)
			b.StartTimer()
		}
	})
	b.Run("unbatched", func(b *testing.B) {
		const n = 1000
		for b.Loop() {
			b.StopTimer()
			c := countyCollector(b, 10_000)
			at := time.Now()
			c.pipeline.now = func() time.Time { return at }
			took := make([]time.Duration, n)
			cpu := cpuTime(b)
			b.StartTimer()
			began := time.Now()
			for i := range n {
				at = at.Add(10 * time.Second)
				one := time.Now()
				if err := c.pipeline.Commit(context.Background(), at, flips(i*10, "DiskFull", at)); err != nil {
					b.Fatal(err)
				}
				took[i] = time.Since(one)
			}
			b.StopTimer()
			report(b, c, took, time.Since(began), cpuTime(b)-cpu)
			b.StartTimer()
		}
	})
}

// report says what n commits took, and checks that nothing is missing.
func report(b *testing.B, c *Collector, took []time.Duration, all, cpu time.Duration) {
	b.Helper()
	slices.Sort(took)
	n := len(took)
	var heads, members, messages int
	err := c.store.View(context.Background(), func(tx store.Tx) error {
		ts, err := tx.Tickets(store.TicketFilter{Limit: 2 * n})
		for _, t := range ts {
			if t.Kind == "storm" {
				heads++
			} else {
				members++
			}
		}
		if err != nil {
			return err
		}
		ms, err := tx.Messages(outbox.Queued, 2*n)
		messages = len(ms)
		return err
	})
	if err != nil || members != n {
		b.Fatalf("%d tickets of %d, %v", members, n, err)
	}
	var m dto.Metric
	if err := c.pipeline.metrics.together.Write(&m); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/all.Seconds(), "tickets/s")
	b.ReportMetric(all.Seconds(), "s-to-all-durable")
	b.ReportMetric(float64(took[n/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[n*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(m.GetHistogram().GetSampleCount()), "transactions")
	b.ReportMetric(float64(heads), "storms")
	b.ReportMetric(float64(messages), "messages")
}
