package agent

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// TestMemoryShort: near the limit tables go first, then slow sources; what is left out is failed with the reason, live
// sources go on, and everything comes back.
func TestMemoryShort(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		var used atomic.Uint64
		used.Store(10)
		h.memory = func() (uint64, uint64) { return used.Load() << 20, 100 << 20 }
		table := func(kind string) []*wire.Table {
			return []*wire.Table{{Kind: kind, SampledAtMs: time.Now().UnixMilli(), Columns: []string{"pid"}, Rows: []*wire.Row{{Cells: []string{"1"}}}}}
		}
		h.sources = append(h.sources,
			sample.Source{Name: "processes", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) {
				return sample.Reading{Tables: table("processes")}, nil
			})},
			sample.Source{Name: "both", Kind: "node", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) {
				return sample.Reading{Samples: []wire.Sample{{Name: "b"}}, Tables: table("sessions")}, nil
			})},
			sample.Source{Name: "slow", Kind: "node", Every: 10 * time.Minute, Sampler: samples(wire.Sample{Name: "s"})})
		h.run(nil, func() {
			for _, mib := range []uint64{80, 95, 85, 60, 60} { // one a round
				time.Sleep(5 * time.Second)
				used.Store(mib)
				time.Sleep(5 * time.Second)
			}
			time.Sleep(10 * time.Minute)
			used.Store(95)
			time.Sleep(10 * time.Minute)
		})
		var got []string
		all := h.sent()
		for _, r := range all[:6] {
			status := func(source string) string {
				b := block(r, source)
				if b.GetReason() != "" && !strings.Contains(b.GetReason(), "raise memory_limit") {
					t.Errorf("%s failed for another reason: %s", source, b.GetReason())
				}
				return strings.TrimPrefix(b.GetStatus().String(), "STATUS_")
			}
			got = append(got, fmt.Sprintf("load %s, both %s, processes %s, slow %s, %d tables", status("load"), status("both"),
				status("processes"), status("slow"), len(r.Tables)))
		}
		want := []string{
			"load OK, both OK, processes UNSPECIFIED, slow OK, 2 tables",
			"load OK, both OK, processes FAILED, slow UNSPECIFIED, 0 tables", // 80 %
			"load OK, both OK, processes FAILED, slow UNSPECIFIED, 0 tables", // 95 %, and slow is not due
			"load OK, both OK, processes FAILED, slow UNSPECIFIED, 0 tables", // 85 %
			"load OK, both OK, processes OK, slow UNSPECIFIED, 2 tables",     // 60 %
			"load OK, both OK, processes UNSPECIFIED, slow UNSPECIFIED, 2 tables",
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("report %d: %s\nwant: %s", i, got[i], want[i])
			}
		}
		slow := map[string]int{}
		for _, r := range all {
			if b := block(r, "slow"); b != nil {
				slow[b.GetStatus().String()]++
			}
		}
		if slow["STATUS_FAILED"] == 0 {
			t.Errorf("the slow source was never left out: %v", slow)
		}
		var texts []string
		for _, e := range events(all, "memory_limit") {
			texts = append(texts, e.Fields["level"])
		}
		if fmt.Sprint(texts) != "[1 2 0 2]" { // 85 % is within the gap
			t.Errorf("levels told: %v", texts)
		}
	})
}

// TestMemoryMetrics: the block about the agent tells of it, and not where there is no limit.
func TestMemoryMetrics(t *testing.T) {
	for _, limited := range []bool{true, false} {
		inBubble(t, func(t *testing.T, h *host) {
			if limited {
				h.memory = func() (uint64, uint64) { return 5, 100 }
			}
			h.run(nil, func() { time.Sleep(time.Second) })
			sp := h.openSpool()
			defer sp.Close()
			v, ok := h.metric(sp, block(h.sent()[0], "agent"), "watchbill_agent_memory_bytes")
			if ok != limited || limited && v != 5 {
				t.Errorf("limited %v: %v, %v", limited, v, ok)
			}
		})
	}
}

func TestSetMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	if SetMemoryLimit(0) != nil || debug.SetMemoryLimit(-1) != before {
		t.Error("no limit sets one")
	}
	measure := SetMemoryLimit(4 << 30)
	used, limit := measure()
	if limit != 4<<30 || debug.SetMemoryLimit(-1) != 4<<30 {
		t.Errorf("limit %d", limit)
	}
	if used < 1<<20 || used > 1<<30 {
		t.Errorf("this test uses %d bytes", used)
	}
	held := make([]byte, 64<<20)
	dropPools() // two collections
	more, _ := measure()
	if grown := int64(more) - int64(used); grown < 60<<20 {
		t.Errorf("64 MiB more are held, and %d more are measured", grown)
	}
	held[0] = 1
	held = nil
	dropPools()
	if less, _ := measure(); int64(more)-int64(less) < 60<<20 {
		t.Errorf("they are garbage now, and %d of %d are measured", less, more)
	}
	t.Setenv("GOMEMLIMIT", "1GiB") // the runtime read it at its start; here it only has to win
	SetMemoryLimit(2 << 30)
	if got := debug.SetMemoryLimit(-1); got != 4<<30 {
		t.Errorf("with GOMEMLIMIT the limit was set to %d", got)
	}
}

func TestFrugal(t *testing.T) {
	percent, procs := debug.SetGCPercent(100), runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(procs)
	})
	for name, tt := range map[string]struct {
		gogc, gomaxprocs string
		percent, procs   int
	}{
		"by default":        {"", "", gcPercent, maxProcs},
		"$GOGC wins":        {"70", "", 100, maxProcs},
		"$GOMAXPROCS wins":  {"", "8", gcPercent, 8},
		"both are set":      {"70", "8", 100, 8},
		"$GOGC off is kept": {"off", "", 100, maxProcs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tt.gogc)
			t.Setenv("GOMAXPROCS", tt.gomaxprocs)
			debug.SetGCPercent(100) // as the runtime would have it from the start
			runtime.GOMAXPROCS(8)
			Frugal()
			if p := debug.SetGCPercent(100); p != tt.percent || runtime.GOMAXPROCS(0) != tt.procs {
				t.Errorf("%d %%, %d processors, want %d %%, %d", p, runtime.GOMAXPROCS(0), tt.percent, tt.procs)
			}
		})
	}
}
