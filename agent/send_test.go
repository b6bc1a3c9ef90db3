package agent

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

func TestFullDiskReportsFromMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.run(nil, func() {
			time.Sleep(15 * time.Second)
			h.set(func() { h.full = true })
			time.Sleep(20 * time.Second)
			if n := len(h.sent()); n != 4 {
				t.Errorf("%d reports arrived while the disk is full, want 4", n)
			}
			h.set(func() { h.full = false })
			time.Sleep(20 * time.Second)
		})
		all := h.sent()
		for i, r := range all {
			if r.Sequence != uint64(i+1) {
				t.Fatalf("reports %v: sequence %d is missing or twice", len(all), i+1)
			}
		}
		if e := events(all, "spool_refused"); len(e) != 1 || !strings.Contains(e[0].Text, "disk is full") {
			t.Errorf("events %v", e)
		}
		if !strings.Contains(h.log.String(), "the spool takes reports again") {
			t.Errorf("log:\n%s", h.log)
		}
		sp := h.openSpool()
		defer sp.Close()
		if v, _ := h.metric(sp, block(all[len(all)-2], "agent"), "watchbill_agent_unspooled_reports_total"); v != 2 {
			t.Errorf("unspooled reports %v, want 2", v)
		}
	})
}

func TestOutageIsDeliveredAfterwardsAndCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.run(nil, func() {
			time.Sleep(5 * time.Second)
			h.set(func() { h.cut = true })
			time.Sleep(5 * time.Minute)
			h.set(func() { h.cut = false })
			time.Sleep(2 * time.Minute)
		})
		all := h.sent()
		for i, r := range all {
			if r.Sequence != uint64(i+1) {
				t.Fatalf("report %d has sequence %d", i, r.Sequence)
			}
		}
		sp := h.openSpool()
		defer sp.Close()
		own := block(all[len(all)-2], "agent")
		for name, least := range map[string]float64{
			"watchbill_agent_push_failures_total": 5, "watchbill_agent_reports_total": 40, "watchbill_agent_spool_bytes": 1000,
		} {
			if v, ok := h.metric(sp, own, name); !ok || v < least {
				t.Errorf("%s is %v, want at least %v", name, v, least)
			}
		}
		if _, ok := h.metric(sp, own, "watchbill_agent_collection_duration_seconds", "source", "load"); !ok {
			t.Error("no duration of source load")
		}
		if v, ok := h.metric(sp, own, "watchbill_agent_spool_dropped_reports_total"); !ok || v != 0 {
			t.Errorf("dropped %v", v)
		}
	})
}

func TestDroppedReportsAreToldWithoutAStorm(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.spool = 1 << 20
		h.cut = true
		h.sources = append(h.sources, big(func() bool { return false }))
		h.run(nil, func() {
			time.Sleep(40 * time.Minute)
			h.set(func() { h.cut = false })
			time.Sleep(3 * time.Minute)
		})
		all := h.sent()
		told := events(all, "spool_dropped")
		if len(told) == 0 || len(told) > 4 || !strings.Contains(told[0].Text, "raise spool.max_bytes") {
			t.Errorf("%d events: %v", len(told), told)
		}
		if all[len(all)-1].HeldSinceMs == 0 {
			t.Error("the collector is not told that something is missing")
		}
	})
}

// big is a source whose every reading takes some 13 kB in the spool, so that one of a MiB is full within a quarter of an
// hour; but when idle says so.
func big(idle func() bool) sample.Source {
	return sample.Source{Name: "big", Sampler: sampler(func(_ context.Context, now time.Time) (sample.Reading, error) {
		table := &wire.Table{Kind: "big", SampledAtMs: now.UnixMilli(), Columns: []string{"x"}}
		if idle() {
			return sample.Reading{}, nil
		}
		for i := range 25 { // differs from row to row, so that it does not pack away
			table.Rows = append(table.Rows, &wire.Row{Cells: []string{fmt.Sprintf("%x", noise(now, i, 512))}})
		}
		return sample.Reading{Tables: []*wire.Table{table}}, nil
	})}
}

// noise is n bytes that a compressor cannot shorten.
func noise(seed time.Time, i, n int) []byte {
	x := uint64(seed.UnixNano()) + uint64(i)*0x9E3779B97F4A7C15
	out := make([]byte, n)
	for j := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[j] = byte(x)
	}
	return out
}

func TestManyEventsAreSpreadOverReports(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		first := true
		h.sources = append(h.sources, sample.Source{Name: "units", Sampler: sampler(func(_ context.Context, now time.Time) (sample.Reading, error) {
			var r sample.Reading
			for range 450 {
				if first {
					r.Events = append(r.Events, &wire.Event{Kind: "unit_failed", AtMs: now.UnixMilli(), Text: "x"})
				}
			}
			first = false
			return r, nil
		})})
		h.run(nil, func() { time.Sleep(25 * time.Second) })
		all := h.sent()
		if n := len(events(all, "unit_failed")); n != 450 {
			t.Errorf("%d events arrived, want 450", n)
		}
		ids := map[uint64]bool{}
		for i, r := range all {
			if len(r.Events) > maxEvents {
				t.Errorf("report %d has %d events", i, len(r.Events))
			}
			for _, e := range r.Events {
				if ids[e.Id] {
					t.Errorf("event id %d is there twice", e.Id)
				}
				ids[e.Id] = true
			}
		}
	})
}

// What the collector would refuse a whole report for costs its own part only.
func TestReportsAreMended(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		long := strings.Repeat("x", wire.DefaultLimits().TextBytes+1)
		twin := sample.Source{Name: "twin", Kind: "node", Sampler: samples(wire.Sample{Name: "twin"})}
		h.set(func() { h.inventory = &wire.Inventory{Hostname: long} })
		h.sources = append(h.sources, twin, twin,
			sample.Source{Name: "bad\nname", Kind: "node", Sampler: samples()},
			sample.Source{Name: "parts", Sampler: sampler(func(_ context.Context, now time.Time) (sample.Reading, error) {
				at := now.UnixMilli()
				return sample.Reading{
					Tables: []*wire.Table{{Kind: "good", SampledAtMs: at}, {Kind: "bad", SampledAtMs: at, NoneBecause: long}},
					Events: []*wire.Event{{Kind: "good", AtMs: at}, {Kind: "bad", AtMs: at, Text: long}},
				}, nil
			})})
		h.run(nil, func() {})
		r := h.sent()[0]
		if len(events(h.sent()[:1], "good")) != 1 || len(events(h.sent()[:1], "bad")) != 0 || len(r.Tables) != 1 || r.Inventory != nil {
			t.Errorf("events %v, tables %v, inventory %v", r.Events, r.Tables, r.Inventory)
		}
		if block(r, "load").GetStatus() != wire.Block_STATUS_OK || block(r, "twin").GetStatus() != wire.Block_STATUS_OK {
			t.Errorf("blocks %v", r.Blocks)
		}
	})
}
