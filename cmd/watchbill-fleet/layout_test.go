package main

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// everyLayout calls f for each make of each system.
func everyLayout(t *testing.T, n int, f func(t *testing.T, l *layout)) {
	t.Helper()
	for _, system := range []string{osLinux, osWindows} {
		all, err := newLayouts(system, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range all {
			t.Run(system+" "+string(rune('a'+i)), func(t *testing.T) { f(t, l) })
		}
	}
}

func TestLayoutsHaveAsManySeriesAsAsked(t *testing.T) {
	for _, n := range []int{minSeries, 187, 200, 203, 1000, maxSeries} {
		everyLayout(t, n, func(t *testing.T, l *layout) {
			if l.series != n {
				t.Errorf("%d series, want %d", l.series, n)
			}
		})
	}
	for _, n := range []int{minSeries - 1, maxSeries + 1} {
		if _, err := newLayouts(osLinux, n); err == nil {
			t.Errorf("%d series were not refused", n)
		}
	}
}

// What a host reports must be what the wire takes: a report that is refused measures nothing.
func TestReportsKeepToTheWiresLimits(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		h, err := newHost("sim-00001", l, 1, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		r := reporter{host: h, interval: 15 * time.Second}
		r.begin(noon)
		r.tell(noon, "agent_started", "started")
		m, err := r.report(noon, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.CheckReport(m, wire.DefaultLimits()); err != nil {
			t.Errorf("the report is refused: %v", err)
		}
		for _, b := range m.Blocks {
			shape, ok := h.shape(b.ShapeId)
			if !ok {
				t.Fatalf("block %s: its shape is not to be found", b.Source)
			}
			read, err := wire.ReadShape(shape, wire.DefaultLimits())
			if err != nil {
				t.Fatalf("block %s: %v", b.Source, err)
			}
			if string(read.ID[:]) != string(b.ShapeId) || len(read.Series) != len(b.Values) {
				t.Errorf("block %s: shape %x of %d series, values say %x of %d", b.Source, read.ID, len(read.Series), b.ShapeId, len(b.Values))
			}
		}
	})
}

// Hosts of one make share their shapes, but for the block that holds their name.
func TestHostsShareShapes(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		own := 0
		one, err := newHost("sim-00001", l, 1, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		two, err := newHost("sim-00002", l, 2, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		for i := range one.blocks {
			if one.blocks[i] != two.blocks[i] {
				own++
				if string(one.blocks[i].id) == string(two.blocks[i].id) {
					t.Errorf("block %s is each host's own and still has one shape", one.blocks[i].name)
				}
			}
		}
		if own != 1 {
			t.Errorf("%d blocks are each host's own, want the one with its name", own)
		}
	})
}

// The names are those that the real agent's samplers give: what they say on the test's host is in their own testdata.
func TestLinuxNamesAreTheAgents(t *testing.T) {
	raw, err := os.ReadFile("../../agent/sample/testdata/host.prom")
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]bool{}
	for l := range strings.Lines(string(raw)) {
		name, _, _ := strings.Cut(strings.TrimSpace(l), " ")
		name, _, _ = strings.Cut(name, "{")
		real[name] = true
	}
	all, err := newLayouts(osLinux, 200)
	if err != nil {
		t.Fatal(err)
	}
	// The sources of which that host has all there is; its meminfo is a part of it.
	for _, source := range []string{"cpu", "loadavg", "vmstat", "filesystem", "netdev", "netclass", "stat", "time", "filefd", "process", "diskstats"} {
		i := slices.IndexFunc(all[0].blocks, func(b *block) bool { return b.name == source })
		if i < 0 {
			t.Fatalf("there is no source %s", source)
		}
		for _, s := range all[0].blocks[i].samples {
			if !real[s.Name] {
				t.Errorf("%s: no sampler reports %s", source, s.Name)
			}
		}
	}
}

// 19 % of a real server's series have another value at the next scrape.
func TestShareOfValuesThatChange(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		h, err := newHost("sim-00001", l, 7, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		const scrapes = 400
		changed := 0
		before := slices.Clone(h.values)
		for i := range scrapes {
			if _, err := h.samples(noon.Add(time.Duration(i+1)*15*time.Second), 15*time.Second); err != nil {
				t.Fatal(err)
			}
			for k, v := range h.values {
				if v != before[k] {
					changed++
				}
			}
			copy(before, h.values)
		}
		if share := float64(changed) / float64(scrapes*l.series); share < 0.15 || share > 0.23 {
			t.Errorf("%.1f %% of the values change, want about 19 %%", 100*share)
		}
	})
}

func TestValuesMoveLikeRealOnes(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		h, err := newHost("sim-00001", l, 3, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		var motions []motion
		for _, b := range h.blocks {
			motions = append(motions, b.motions...)
		}
		now := noon
		before := slices.Clone(h.values)
		for range 500 {
			now = now.Add(15 * time.Second)
			if _, err := h.samples(now, 15*time.Second); err != nil {
				t.Fatal(err)
			}
			for k, v := range h.values {
				switch m := motions[k]; m.kind {
				case counter:
					if v < before[k] {
						t.Fatalf("series %d: a counter fell from %v to %v", k, before[k], v)
					}
				case gauge:
					if v < m.low-m.grain || v > m.high+m.grain {
						t.Fatalf("series %d: %v is not between %v and %v", k, v, m.low, m.high)
					}
				case clock:
					if v != float64(now.Unix()) {
						t.Fatalf("series %d: the clock shows %v at %v", k, v, now.Unix())
					}
				case still, booted:
					if v != before[k] {
						t.Fatalf("series %d: went from %v to %v", k, before[k], v)
					}
				}
			}
			copy(before, h.values)
		}
	})
}

// A counter grows by its pace, however seldom it moves.
func TestCountersKeepTheirPace(t *testing.T) {
	for name, chance := range map[string]float64{"always": 1, "half": 0.5, "seldom": 0.05} {
		t.Run(name, func(t *testing.T) {
			l := &layout{os: osLinux, series: 1}
			b, err := newBlock(source{kind: "node", name: "x", series: []series{one(grows(chance, 10, 1), "x_total")}})
			if err != nil {
				t.Fatal(err)
			}
			l.blocks = []*block{b}
			h, err := newHost("a", l, 1, 0, noon)
			if err != nil {
				t.Fatal(err)
			}
			first := h.values[0]
			const n = 20000
			for i := range n {
				if _, err := h.samples(noon.Add(time.Duration(i+1)*time.Second), time.Second); err != nil {
					t.Fatal(err)
				}
			}
			if pace := (h.values[0] - first) / n; math.Abs(pace-10) > 1 {
				t.Errorf("%v a second, want 10", pace)
			}
		})
	}
}

func TestRoundGivesTheNearestDecimal(t *testing.T) {
	for _, c := range []struct{ v, grain, want float64 }{
		{0.0749, 0.01, 0.07}, {133432.917, 0.01, 133432.92}, {0.30000000000000004, 0.1, 0.3}, {6000, 4096, 4096},
		{7, 1, 7}, {7.5, 0, 7.5}, {0.12345678, 1e-7, 0.1234568},
	} {
		if got := round(c.v, c.grain); got != c.want {
			t.Errorf("round(%v, %v) = %v, want %v", c.v, c.grain, got, c.want)
		}
	}
}

func TestChurnRenamesItsShare(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		const churn, hours = 0.1, 50
		h, err := newHost("sim-00001", l, 5, churn, noon)
		if err != nil {
			t.Fatal(err)
		}
		values := slices.Clone(h.values)
		first := slices.Clone(h.blocks)
		for i := range hours * 60 {
			if _, err := h.samples(noon.Add(time.Duration(i+1)*time.Minute), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		done := churn*hours*float64(l.series) - h.owed
		if done < 0.8*churn*hours*float64(l.series) {
			t.Errorf("%.0f series have changed a label, want about %.0f", done, churn*hours*float64(l.series))
		}
		if len(h.values) != len(values) {
			t.Errorf("%d values, had %d", len(h.values), len(values))
		}
		for i, b := range l.blocks {
			if name, ok := b.namesHost(); !ok && b != first[i] {
				t.Errorf("block %s of the layout, which others share, has changed (%s)", b.name, name)
			}
		}
		for _, b := range h.blocks {
			if s, err := b.shape(); err != nil || len(s.Series) != len(b.samples) {
				t.Errorf("block %s: %d series after churn, want %d: %v", b.name, len(s.GetSeries()), len(b.samples), err)
			}
		}
	})
}

func TestNoChurnKeepsShapes(t *testing.T) {
	l, err := newLayouts(osLinux, 200)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHost("a", l[0], 1, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(h.blocks)
	if _, err := h.samples(noon.Add(1000*time.Hour), time.Minute); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, h.blocks) {
		t.Error("shapes have changed")
	}
}

func TestBreakageBreaksOneValueAndMendsIt(t *testing.T) {
	everyLayout(t, 200, func(t *testing.T, l *layout) {
		if l.os == osWindows {
			if l.breaks != nil {
				t.Error("no shipped rule reads Windows' values, and yet one is broken")
			}
			return
		}
		h, err := newHost("a", l, 1, 0, noon)
		if err != nil {
			t.Fatal(err)
		}
		broken := func() (n int) {
			blocks, err := h.samples(noon, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			for i, b := range blocks {
				for slot, v := range b.Values {
					if v == l.breaks.to && h.blocks[i].samples[h.blocks[i].order[slot]].Name == l.breaks.series {
						n++
					}
				}
			}
			return n
		}
		if n := broken(); n != 0 {
			t.Fatalf("%d values are broken before anything is", n)
		}
		h.broken = true
		if n := broken(); n != 1 {
			t.Errorf("%d values are broken, want 1", n)
		}
		h.broken = false
		if n := broken(); n != 0 {
			t.Errorf("%d values are still broken", n)
		}
	})
}
