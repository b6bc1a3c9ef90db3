package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

func TestFirstReportAtOnceThenInRhythm(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		start := time.Now()
		h.run(nil, func() {
			if n := len(h.sent()); n != 1 || !time.Now().Equal(start) {
				t.Errorf("%d reports after %v, want the first at once", n, time.Since(start))
			}
			time.Sleep(30 * time.Second)
		})
		all := h.sent()
		if len(all) != 5 || h.signs != 4 {
			t.Fatalf("%d reports, %d signs of life, want 4 and a goodbye", len(all), h.signs)
		}
		checkStamps(t, all, start)
		for i, r := range all {
			if r.Sequence != uint64(i+1) || (r.Inventory != nil) != (i == 0) || r.HeldSinceMs != 0 {
				t.Errorf("report %d: sequence %d, inventory %v, held since %d", i, r.Sequence, r.Inventory, r.HeldSinceMs)
			}
		}
		if b := block(all[0], "load"); b.Kind != "node" || b.IntervalMs != 10_000 || b.Status != wire.Block_STATUS_OK || b.Values[0] != 1 {
			t.Errorf("block %v", b)
		}
		if e := events(all, "agent_started"); len(e) != 1 || e[0].Id != 1 || !strings.Contains(e[0].Text, "1.2.3") {
			t.Errorf("events %v", e)
		}
	})
}

func TestGoodbyeSaysWhy(t *testing.T) {
	for name, tt := range map[string]struct {
		cause error
		want  string
	}{
		"told":     {errors.New("terminated signal received"), "the agent was stopped: terminated signal received"},
		"not told": {nil, "the agent was stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *host) {
				h.run(tt.cause, func() {})
				all := h.sent()
				if last := all[len(all)-1]; last.Goodbye.GetReason() != tt.want || len(events(all, "agent_stopping")) != 1 {
					t.Errorf("last report %v, want a goodbye because %q", last, tt.want)
				}
			})
		})
	}
}

func TestGoodbyeWithoutALineWaitsInTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.cut = true
		h.run(nil, func() {})
		sp := h.openSpool()
		defer sp.Close()
		it, ok, err := sp.Newest()
		if err != nil || !ok || it.Report.Goodbye == nil {
			t.Errorf("newest %v, %v, %v, want the goodbye", it.Report, ok, err)
		}
	})
}

func TestABadSamplerHurtsNobodyElse(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		release := make(chan struct{})
		hangs := 0
		good := h.sources[0]
		h.sources = []sample.Source{
			{Name: "panics", Kind: "node", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) { panic("index out of range") })},
			{Name: "fails", Kind: "node", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) {
				return sample.Reading{}, errors.New("permission denied")
			})},
			{Name: "lies", Kind: "node", Sampler: samples(wire.Sample{Name: "not a name"})},
			{Name: "slow", Kind: "node", Sampler: sampler(func(ctx context.Context, _ time.Time) (sample.Reading, error) {
				<-ctx.Done()
				return sample.Reading{}, fmt.Errorf("read: %w", ctx.Err())
			})},
			{Name: "hangs", Kind: "node", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) {
				if hangs++; hangs == 1 {
					<-release
				}
				return sample.Reading{Samples: []wire.Sample{{Name: "x", Value: 7}}}, nil
			})},
			good,
		}
		h.run(nil, func() {
			time.Sleep(25 * time.Second)
			close(release)
			time.Sleep(20 * time.Second)
		})
		all := h.sent()
		for source, says := range map[string]string{
			"panics": "panicked: index out of range", "fails": "permission denied", "lies": "not a name",
			"slow": "deadline exceeded", "hangs": "hangs",
		} {
			b := block(all[0], source)
			if b == nil || b.Status != wire.Block_STATUS_FAILED || !strings.Contains(b.Reason, says) {
				t.Errorf("%s: %v, want failed because %q", source, b, says)
			}
		}
		for i, r := range all[:len(all)-1] {
			if b := block(r, "load"); b.GetStatus() != wire.Block_STATUS_OK {
				t.Errorf("report %d: the good source has %v", i, b)
			}
		}
		if b := block(all[1], "hangs"); !strings.Contains(b.GetReason(), "hangs since") {
			t.Errorf("second time: %v", b)
		}
		if b := block(all[len(all)-2], "hangs"); b.GetStatus() != wire.Block_STATUS_OK || b.Values[0] != 7 || hangs < 2 {
			t.Errorf("after it came back: %v", b)
		}
		if n := strings.Count(h.log.String(), "permission denied"); n != 1 {
			t.Errorf("a failing sampler was logged %d times", n)
		}
	})
}

func TestSlowSourcesAreReadWhenDueAndRepeatedAsUnchanged(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.sources = append(h.sources,
			sample.Source{Name: "half", Kind: "node", Every: 30 * time.Second, Sampler: samples(wire.Sample{Name: "half"})},
			sample.Source{Name: "daily", Kind: "node", Every: 10 * time.Minute, Sampler: samples(wire.Sample{Name: "daily"})})
		h.run(nil, func() { time.Sleep(10*time.Minute + time.Second) })
		seen := map[string][]string{}
		for i, r := range h.sent() {
			for _, s := range []string{"half", "daily"} {
				if b := block(r, s); b != nil {
					seen[s] = append(seen[s], fmt.Sprintf("%d:%s", i, strings.TrimPrefix(b.Status.String(), "STATUS_")))
				}
			}
		}
		if got := strings.Join(seen["half"][:4], " "); got != "0:OK 3:OK 6:OK 9:OK" {
			t.Errorf("every 30s: %s", got)
		}
		if got := strings.Join(seen["daily"], " "); got != "0:OK 11:UNCHANGED 22:UNCHANGED 33:UNCHANGED 44:UNCHANGED 55:UNCHANGED 60:OK" {
			t.Errorf("every 10m: %s", got)
		}
	})
}

func TestTableSources(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		var broken atomic.Bool
		h.sources = append(h.sources, sample.Source{Name: "processes", Sampler: sampler(func(_ context.Context, now time.Time) (sample.Reading, error) {
			if broken.Load() {
				return sample.Reading{}, errors.New("proc is not mounted")
			}
			return sample.Reading{Tables: []*wire.Table{{Kind: "processes", SampledAtMs: now.UnixMilli(), Columns: []string{"pid"}, Rows: []*wire.Row{{Cells: []string{"1"}}}}}}, nil
		})})
		h.run(nil, func() {
			time.Sleep(5 * time.Second)
			broken.Store(true)
			time.Sleep(10 * time.Second)
			broken.Store(false)
			time.Sleep(20 * time.Second)
		})
		var got []string
		for _, r := range h.sent()[:4] {
			b := block(r, "processes")
			got = append(got, fmt.Sprintf("%d tables, %v %s", len(r.Tables), b.GetStatus(), b.GetReason()))
		}
		want := []string{
			"1 tables, STATUS_UNSPECIFIED ", "0 tables, STATUS_FAILED proc is not mounted",
			"1 tables, STATUS_OK ", "1 tables, STATUS_UNSPECIFIED ",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	})
}

func TestInventoryIsToldWhenItChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.set(func() { h.inventory = nil })
		h.run(nil, func() {
			time.Sleep(15 * time.Second)
			h.set(func() { h.inventory = &wire.Inventory{Hostname: "web1"} })
			time.Sleep(20 * time.Minute)
			h.set(func() { h.inventory = &wire.Inventory{Hostname: "web2"} })
			time.Sleep(20 * time.Minute)
		})
		var told []string
		for _, r := range h.sent() {
			if r.Inventory != nil {
				told = append(told, r.Inventory.Hostname)
			}
		}
		if fmt.Sprint(told) != "[web1 web2]" {
			t.Errorf("told %v", told)
		}
	})
}

// A collector that started anew has forgotten the host: it is told again, once.
func TestInventoryIsToldAgainToANewCollector(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.run(nil, func() {
			time.Sleep(30 * time.Second)
			h.set(func() { h.ack = func(a *wire.Ack) { a.Incarnation = 2 } })
			time.Sleep(2 * time.Minute)
		})
		told := 0
		for _, r := range h.sent() {
			if r.Inventory != nil {
				told++
			}
		}
		if told != 2 {
			t.Errorf("told %d times, want once to each collector", told)
		}
	})
}

func TestKeepIsWhatTheCollectorSays(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.ack = func(a *wire.Ack) { a.KeepSeconds = 3600 }
		a := h.agent()
		sp := h.openSpool()
		defer sp.Close()
		r := newRun(a, sp)
		if !r.ask(t.Context(), time.Second) || r.keep != time.Hour {
			t.Errorf("keep %v, want 1h", r.keep)
		}
	})
}

func TestNewNeedsAnIdentity(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir = t.TempDir()
	if _, err := New(cfg, Options{}); !errors.Is(err, enroll.ErrNotEnrolled) || !strings.Contains(err.Error(), "watchbill token create") {
		t.Errorf("error %v", err)
	}
	cfg.Interval = 0
	if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), "interval") {
		t.Errorf("error %v", err)
	}
}

func TestTwoAgentsInOneDirectory(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		sp := h.openSpool()
		defer sp.Close()
		if err := h.agent().Run(t.Context()); !errors.Is(err, spool.ErrLocked) {
			t.Errorf("error %v, want that another one runs", err)
		}
		synctest.Wait()
	})
}
