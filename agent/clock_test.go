package agent

import (
	"math"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// checkStamps: every block was stamped by the collector's clock, in steps of the interval from start.
func checkStamps(t *testing.T, all []*wire.Report, start time.Time) {
	t.Helper()
	for i, r := range all {
		if r.Goodbye != nil {
			continue
		}
		want := start.Add(time.Duration(i) * 10 * time.Second).UnixMilli()
		if got := block(r, "load").SampledAtMs; got != want {
			t.Errorf("report %d was sampled at %v, want %v", i, time.UnixMilli(got).UTC(), time.UnixMilli(want).UTC())
		}
	}
}

func TestClockAnHourOff(t *testing.T) {
	for name, tt := range map[string]struct {
		wrong time.Duration
		says  string
	}{
		"behind": {-time.Hour, "1h0m0s behind the collector's"},
		"ahead":  {time.Hour, "1h0m0s ahead of the collector's"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *host) {
				h.wrong = tt.wrong
				start := time.Now()
				h.run(nil, func() { time.Sleep(25 * time.Second) })
				all := h.sent()
				if len(all) != 4 || len(epochs(all)) != 1 {
					t.Fatalf("%d reports in epochs %v, want 4 in one", len(all), epochs(all))
				}
				if all[0].Epoch != uint64(start.UnixNano()) {
					t.Errorf("epoch %d, want the corrected start %d", all[0].Epoch, start.UnixNano())
				}
				checkStamps(t, all, start)
				off := events(all, "clock_off")
				if len(off) != 1 || !strings.Contains(off[0].Text, tt.says) || off[0].AtMs != start.UnixMilli() {
					t.Errorf("events %v, want one that says %q", off, tt.says)
				}
				sp := h.openSpool()
				defer sp.Close()
				if v, ok := h.metric(sp, block(all[1], "agent"), "watchbill_agent_clock_offset_seconds"); !ok || v != -tt.wrong.Seconds() {
					t.Errorf("offset metric %v, %v, want %v", v, ok, -tt.wrong.Seconds())
				}
			})
		})
	}
}

func TestRightClockMakesNoFuss(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.wrong = 1500 * time.Millisecond // what NTP has not yet slewed away
		h.run(nil, func() { time.Sleep(25 * time.Second) })
		all := h.sent()
		if len(epochs(all)) != 1 || len(events(all, "clock_off"))+len(events(all, "clock_stepped")) != 0 {
			t.Errorf("epochs %v, events %v %v", epochs(all), events(all, "clock_off"), events(all, "clock_stepped"))
		}
	})
}

func TestStartWithoutALineStampsByTheLastOffset(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.wrong = -time.Hour
		h.run(nil, func() {})
		h.reports = nil
		start := time.Now()
		h.set(func() { h.cut = true })
		h.run(nil, func() { time.Sleep(15 * time.Second) })
		sp := h.openSpool()
		defer sp.Close()
		it, ok, err := sp.Oldest()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if got := block(it.Report, "load").SampledAtMs; got != start.UnixMilli() {
			t.Errorf("sampled at %v, want %v", time.UnixMilli(got).UTC(), start.UTC())
		}
	})
}

func TestDamagedClockFileIsSaidAndLearntAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.wrong = -time.Hour
		h.run(nil, func() {})
		if err := os.WriteFile(clockFile(h.cfg.stateDir()), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.reports = nil
		start := time.Now()
		h.run(nil, func() {})
		checkStamps(t, h.sent(), start)
		if !strings.Contains(h.log.String(), "last clock offset not known") {
			t.Errorf("log:\n%s", h.log)
		}
	})
}

func TestOffsetLearntLateBeginsANewEpoch(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.wrong, h.cut = -time.Hour, true
		start := time.Now()
		h.run(nil, func() {
			time.Sleep(11 * time.Second)
			h.set(func() { h.cut = false })
			time.Sleep(2 * time.Minute) // longer than any back-off
		})
		all := h.sent()
		if len(epochs(all)) != 2 {
			t.Fatalf("epochs %v, want two", epochs(all))
		}
		if got := block(all[0], "load").SampledAtMs; got != start.Add(-time.Hour).UnixMilli() {
			t.Errorf("first sample at %v, want the host's own time", time.UnixMilli(got).UTC())
		}
		stepped := events(all, "clock_stepped")
		if len(stepped) != 1 || !strings.HasPrefix(stepped[0].Text, "the collector's clock is") || len(events(all, "clock_off")) != 1 {
			t.Errorf("events %v, %v", stepped, events(all, "clock_off"))
		}
		last := all[len(all)-2] // the one before the goodbye
		if at := time.UnixMilli(block(last, "load").SampledAtMs); time.Since(at) > 10*time.Second || time.Since(at) < 0 {
			t.Errorf("last sample at %v, now is %v", at.UTC(), time.Now().UTC())
		}
		if last.Sequence >= all[len(all)-1].Sequence || last.Epoch != epochs(all)[1] {
			t.Error("sequence does not start over in the new epoch")
		}
	})
}

func TestStepDuringARun(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after time.Duration // the host's clock minus the collector's
		cut           bool
	}{
		"set right":                     {-time.Hour, 0, false},
		"set wrong":                     {0, 24 * time.Hour, false},
		"set right, no line":            {-time.Hour, 0, true},
		"set back, no line":             {0, -time.Hour, true},
		"set from ahead right, no line": {time.Hour, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *host) {
				h.wrong = tt.before
				start := time.Now()
				h.run(nil, func() {
					time.Sleep(15 * time.Second)
					h.set(func() { h.wrong, h.cut = tt.after, tt.cut })
					time.Sleep(20 * time.Second)
					h.set(func() { h.cut = false })
					time.Sleep(time.Minute)
				})
				all := h.sent()
				if n := len(epochs(all)); n != 2 {
					t.Fatalf("%d epochs, want 2", n)
				}
				checkStamps(t, all, start)
				if e := events(all, "clock_stepped"); len(e) != 1 || e[0].Id != 1 {
					t.Errorf("events %v, want one clock_stepped, the first of its epoch", e)
				}
			})
		})
	}
}

// A host that slept: the wall clock went on, the monotonic one did not. Nobody can be asked.
func TestSleepWithoutALineTrustsTheWallClock(t *testing.T) {
	wall := time.Now()
	mono := time.Duration(0)
	c := &clock{wall: func() time.Time { return wall }, mono: func() time.Duration { return mono }, offset: -3 * time.Second, learnt: true}
	c.anchor()
	c.guess(notMeasured)
	wall = wall.Add(8 * time.Hour)
	if step := c.stepped(); step != 8*time.Hour {
		t.Fatalf("step %v", step)
	}
	c.restart(c.stepped())
	if want := wall.Add(-3 * time.Second); !c.now().Equal(want) || c.stepped() != 0 {
		t.Errorf("corrected time %v, want %v", c.now(), want)
	}
}

func TestEpochsGrowAcrossRestartsWhateverTheClockSays(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.cut = true
		h.run(nil, func() {})
		for range 3 { // each start finds the clock a day earlier than the one before
			h.wrong -= 24 * time.Hour
			h.run(nil, func() {})
		}
		h.set(func() { h.cut, h.wrong = false, 0 })
		h.run(nil, func() { time.Sleep(time.Minute); synctest.Wait() })
		all := h.sent()
		if n := len(epochs(all)); n != 5 {
			t.Errorf("%d epochs, want 5", n)
		}
		made := map[uint64]int{}
		for _, r := range all {
			made[r.Epoch]++
			if r.Epoch == 0 || r.Epoch > math.MaxInt64 {
				t.Errorf("epoch %d", r.Epoch)
			}
		}
		for e, n := range made {
			if n < 2 {
				t.Errorf("epoch %d has %d reports, want a first and a goodbye", e, n)
			}
		}
	})
}
