package collector

import (
	"context"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// BenchmarkRestart is a collector's start on the store of one that had a ticket open for each of 10,000 assets, of 100,000 with
// -long: from nothing until it could be reached, and its first look at the deadlines.
func BenchmarkRestart(b *testing.B) {
	n := 10_000
	if *long {
		n = 100_000
	}
	c := countyCollector(b, n)
	cfg, now := c.cfg, time.Now()
	for from := 0; from < n; from += 1000 {
		var batch []*commit
		for i := from; i < from+1000; i++ {
			one, err := c.pipeline.prepare(context.Background(), now, flips(i, "DiskFull", now), now)
			if err != nil {
				b.Fatal(err)
			}
			batch = append(batch, one)
		}
		c.pipeline.writeAll(batch)
	}
	open := 0
	if err := c.store.View(context.Background(), func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Limit: 2 * n})
		open = len(all)
		return err
	}); err != nil || open < n {
		b.Fatalf("%d tickets are open, want %d at least: %v", open, n, err)
	}
	c.Close()
	var cpu time.Duration
	for b.Loop() {
		before := cpuTime(b)
		again, err := New(context.Background(), cfg, Options{Directory: county(n)})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := again.pipeline.elapse(context.Background()); err != nil {
			b.Fatal(err)
		}
		cpu += cpuTime(b) - before
		b.StopTimer()
		again.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(open), "tickets")
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
}
