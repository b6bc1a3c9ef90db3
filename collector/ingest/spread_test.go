package ingest

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestReturnSpread: the first who comes after a restart is told what the whole fleet needs, not what those need that have
// come; and that grows with the fleet.
func TestReturnSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var agents atomic.Int64
		agents.Store(10_000)
		w := newWorld(t, func(o *Options) { o.Agents = func() int { return int(agents.Load()) } })
		c := w.enrol("acme", "leeds", "web1")
		if ack := c.deliver(c.report()); ack.ReturnSpreadMs != 20_000 {
			t.Errorf("the first of ten thousand is told to spread over %d ms", ack.ReturnSpreadMs)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.ingest.Run(ctx) }()
		for _, tt := range []struct {
			agents int64
			want   time.Duration
		}{
			{10_000, 20 * time.Second}, {20_000, 40 * time.Second}, {1e6, maxSpread}, {0, 2 * time.Second},
		} {
			agents.Store(tt.agents)
			time.Sleep(sweepEvery)
			synctest.Wait()
			if ack := c.deliver(c.report()); ack.ReturnSpreadMs != uint32(tt.want.Milliseconds()) {
				t.Errorf("%d agents are told to spread over %d ms, want %v", tt.agents, ack.ReturnSpreadMs, tt.want)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
