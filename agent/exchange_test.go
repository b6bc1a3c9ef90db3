package agent

import (
	"encoding/json"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/wire"
)

// bench is a clock on a host whose wall and monotonic clock the test sets.
type bench struct {
	*clock
	at, slept time.Duration // monotonic time, and what of the wall clock's it lacks
}

// bench0 is when a bench's monotonic clock showed zero.
var bench0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newBench() *bench {
	b := &bench{}
	b.clock = &clock{wall: func() time.Time { return bench0.Add(b.at + b.slept) }, mono: func() time.Duration { return b.at }}
	b.anchor()
	b.guess(notMeasured)
	return b
}

// told is an exchange that ended now, of a collector whose clock is ahead of this host's monotonic one by ahead.
func (b *bench) told(ahead, uncertainty time.Duration) exchange {
	return exchange{now: bench0.Add(b.at + ahead), at: b.at, uncertainty: uncertainty}
}

func TestTheExchangeThatTellsMostIsKept(t *testing.T) {
	type heard struct {
		after, ahead, uncertainty time.Duration
	}
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		heard []heard
		want  time.Duration
	}{
		"the first, however slow":              {[]heard{{0, 1500 * ms, 1900 * ms}}, 1500 * ms},
		"a quicker one":                        {[]heard{{0, 900 * ms, 1000 * ms}, {10 * time.Second, 20 * ms, 20 * ms}}, 20 * ms},
		"the quick one before the held one":    {[]heard{{0, 5 * ms, 10 * ms}, {10 * time.Second, 9 * time.Second, 10 * time.Second}}, 5 * ms},
		"the newer of two equals":              {[]heard{{0, 5 * ms, 10 * ms}, {10 * time.Second, 8 * ms, 10 * ms}}, 8 * ms},
		"the slower when clocks drifted apart": {[]heard{{0, 0, 10 * ms}, {time.Hour, 400 * ms, 500 * ms}}, 400 * ms},
		"the quick one while they have not":    {[]heard{{0, 0, 10 * ms}, {10 * time.Minute, 200 * ms, 500 * ms}}, 0},
		"the newer of two that disagree":       {[]heard{{0, 0, 10 * ms}, {10 * time.Second, 900 * ms, 100 * ms}}, 900 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			for _, h := range tt.heard {
				b.at += h.after
				b.learn(b.told(h.ahead, h.uncertainty))
			}
			if got := b.measured(); got != tt.want {
				t.Errorf("offset %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAStepIsBelievedBeyondTheUncertaintyOfBoth(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		began, ahead, uncertainty time.Duration
		want                      bool
	}{
		"two seconds, exactly":            {0, 2 * time.Second, 0, false},
		"more than two seconds":           {0, 2*time.Second + ms, 0, true},
		"behind":                          {0, -2*time.Second - ms, 0, true},
		"within the exchange's":           {0, 2400 * ms, 500 * ms, false},
		"beyond the exchange's":           {0, 2600 * ms, 500 * ms, true},
		"within that of the line's begin": {700 * ms, 2600 * ms, 0, false},
		"within that of both":             {700 * ms, 3100 * ms, 500 * ms, false},
		"beyond that of both":             {700 * ms, 3300 * ms, 500 * ms, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.learn(b.told(0, tt.began))
			b.follow()
			b.at += 72 * time.Hour // an outage that long must not make a line stand that is wrong
			if got := b.off(b.told(tt.ahead, tt.uncertainty)); got != tt.want {
				t.Errorf("off: %v, want %v", got, tt.want)
			}
		})
	}
}

// Nobody can be asked after the step: what the best exchange of the time line told goes into the next one.
func TestAStepCarriesTheBestExchangeOver(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		begin, later exchange // as told by the collector, uncertainty and all
		step         time.Duration
		want         time.Duration // corrected time minus the collector's
	}{
		"set back, a held answer heard last": {exchange{uncertainty: 10 * ms}, exchange{now: bench0.Add(8 * time.Second), uncertainty: 9 * time.Second}, -time.Hour, 0},
		"set back, a quick answer heard last": {
			exchange{now: bench0.Add(1500 * ms), uncertainty: 1800 * ms}, exchange{uncertainty: 10 * ms}, -time.Hour, 0},
		"slept, a held answer heard last": {exchange{uncertainty: 10 * ms}, exchange{now: bench0.Add(8 * time.Second), uncertainty: 9 * time.Second}, 8 * time.Hour, 8 * time.Hour},
		"slept, a quick answer heard last": {
			exchange{now: bench0.Add(1500 * ms), uncertainty: 1800 * ms}, exchange{uncertainty: 10 * ms}, 8 * time.Hour, 8 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			for _, x := range []exchange{tt.begin, tt.later} {
				ahead := time.Duration(0)
				if !x.now.IsZero() {
					ahead = x.now.Sub(bench0)
				}
				b.learn(b.told(ahead, x.uncertainty))
				if b.offset == 0 && b.uncertainty == 0 {
					b.follow()
				}
				b.at += 10 * time.Second
			}
			b.slept += tt.step
			b.restart(b.stepped())
			if got := b.now().Sub(bench0.Add(b.at)); got != tt.want {
				t.Errorf("corrected time is %v from the collector's as it was, want %v", got, tt.want)
			}
			if b.stepped() != 0 || b.best.uncertainty != maxStep {
				t.Errorf("stepped %v, best %v", b.stepped(), b.best)
			}
		})
	}
}

// An answer that was under way while the host slept tells the time of before; it must not outlive the next question.
func TestAnAnswerFromBeforeASleepIsOverruled(t *testing.T) {
	b := newBench()
	b.learn(b.told(0, 5*time.Millisecond))
	b.follow()
	late := b.told(0, 5*time.Millisecond) // arrives after the sleep
	b.slept = 8 * time.Hour
	b.restart(b.stepped())
	if !b.off(late) {
		t.Fatal("an answer that is eight hours old fits")
	}
	b.at += time.Second
	b.learn(b.told(8*time.Hour, 20*time.Millisecond))
	if b.off(b.best) || b.measured() != 0 {
		t.Errorf("after the next answer: off by %v, offset %v", b.ahead(b.best), b.measured())
	}
}

func TestEarsKeepTheNewestAckAndTheExchangeThatTellsMost(t *testing.T) {
	var e ears
	if a, _, ok := e.take(); a != nil || ok {
		t.Fatalf("heard %v, %v, of nobody", a, ok)
	}
	at := time.UnixMilli(1_700_000_000_000)
	quick := exchange{now: at, at: time.Second, uncertainty: time.Millisecond}
	held := exchange{now: at.Add(20 * time.Second), at: 20 * time.Second, uncertainty: 9 * time.Second}
	e.hear(&wire.Ack{NowMs: 1, Incarnation: 1}, quick)
	e.hear(&wire.Ack{NowMs: 1, Incarnation: 2}, held)
	e.hear(&wire.Ack{Incarnation: 3}, exchange{now: at, at: 21 * time.Second}) // does not tell the time
	if a, x, ok := e.take(); a.GetIncarnation() != 3 || !ok || x != quick {
		t.Errorf("heard %v, %v, %v", a, x, ok)
	}
	if a, x, ok := e.take(); a != nil || ok {
		t.Errorf("heard again %v, %v", a, x)
	}
	e.hear(&wire.Ack{Incarnation: 4}, quick)
	if a, _, ok := e.take(); a.GetIncarnation() != 4 || ok {
		t.Errorf("heard %v, %v, want an Ack without the time", a, ok)
	}
}

// The middle of a long exchange is a poor guess, and says so.
func TestAnAnswerIsAsCertainAsItWasQuick(t *testing.T) {
	b := newBench()
	b.at = time.Minute
	sent := bench0
	x := b.hear(push.Answer{Ack: &wire.Ack{NowMs: bench0.Add(7 * time.Second).UnixMilli()}, Sent: sent, Received: sent.Add(8 * time.Second)})
	if want := (exchange{now: bench0.Add(11 * time.Second).Local(), at: time.Minute, uncertainty: 4001 * time.Millisecond}); !x.now.Equal(want.now) || x.at != want.at || x.uncertainty != want.uncertainty {
		t.Errorf("got %v, want %v", x, want)
	}
}

// held makes every report's answer wait at the collector, which tells the time after that.
func held(d time.Duration) func(path string) time.Duration {
	return func(path string) time.Duration {
		if path == wire.PathReport {
			return d
		}
		return 0
	}
}

func TestHeldAnswersBendNothing(t *testing.T) {
	for name, hold := range map[string]time.Duration{"by less than a step": 3 * time.Second, "by the longest": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *host) {
				h.hold = held(hold)
				h.run(nil, func() { time.Sleep(3 * time.Minute) })
				sp := h.openSpool()
				defer sp.Close()
				var seen int
				for it, err := range sp.Since(time.Time{}) {
					if err != nil {
						t.Fatal(err)
					}
					b := block(it.Report, "agent")
					if b == nil {
						continue
					}
					seen++
					offset, _ := h.metric(sp, b, "watchbill_agent_clock_offset_seconds")
					doubt, ok := h.metric(sp, b, "watchbill_agent_clock_uncertainty_seconds")
					if offset < -0.001 || offset > 0.001 || !ok || doubt <= 0 || doubt > 0.1 {
						t.Errorf("report %d: offset %v s, give or take %v, %v, want none, give or take next to nothing", it.Report.Sequence, offset, doubt, ok)
					}
				}
				if seen < 6 { // what was delivered, and the held answers heard
					t.Errorf("%d reports looked at", seen)
				}
				raw, err := os.ReadFile(clockFile(h.cfg.stateDir()))
				var kept clockState
				if err == nil {
					err = json.Unmarshal(raw, &kept)
				}
				if !os.IsNotExist(err) && (err != nil || kept.OffsetMs != 0) {
					t.Errorf("kept for the next start: %s, %v", raw, err)
				}
			})
		})
	}
}

// The host's clock is set and the line is cut at once: the time line runs on by the epoch's best exchange, not by the
// answers that were held.
func TestStepAfterHeldAnswersWithoutALine(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.wrong, h.hold = -time.Hour, held(4*time.Second)
		start := time.Now()
		h.run(nil, func() {
			time.Sleep(35 * time.Second)
			h.set(func() { h.wrong, h.cut, h.hold = 0, true, nil })
			time.Sleep(20 * time.Second)
			h.set(func() { h.cut = false })
			time.Sleep(2 * time.Minute)
		})
		all := h.sent()
		if n := len(epochs(all)); n != 2 {
			t.Errorf("%d epochs, want 2", n)
		}
		checkStamps(t, all, start)
	})
}

func TestASlowFirstAnswerIsAskedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		asked := 0
		h.hold = func(path string) time.Duration {
			if path != wire.PathHello {
				return 0
			}
			if asked++; asked == 1 { // handshakes, say
				return 2 * time.Second
			}
			return 0
		}
		start := time.Now()
		h.run(nil, func() { time.Sleep(32 * time.Second) })
		if asked != 2 {
			t.Errorf("asked %d times, want twice", asked)
		}
		checkStamps(t, h.sent(), start.Add(2*time.Second))
	})
}

// The collector's clock is set by three seconds while its answers take four: that may be the answers. The first quick
// answer decides.
func TestAStepOfTheCollectorsClockIsBelievedWhenItIsSure(t *testing.T) {
	inBubble(t, func(t *testing.T, h *host) {
		h.run(nil, func() {
			time.Sleep(25 * time.Second)
			h.set(func() {
				h.hold = func(string) time.Duration { return 1900 * time.Millisecond }
				h.ack = func(a *wire.Ack) { a.NowMs += 2900 } // 2.9 s and half of 1.9 s are 3.85 s, give or take 0.95
			})
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(epochs(h.sent())); n != 2 {
				t.Errorf("%d epochs after answers that prove a step, want 2", n)
			}
		})
	})
	inBubble(t, func(t *testing.T, h *host) {
		h.run(nil, func() {
			time.Sleep(25 * time.Second)
			h.set(func() {
				h.hold = held(4 * time.Second)
				h.ack = func(a *wire.Ack) { a.NowMs += 1500 } // 1.5 s and half of 4 s are 3.5 s, give or take 2
			})
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := len(epochs(h.sent())); n != 1 {
				t.Errorf("%d epochs after answers that prove nothing, want 1", n)
			}
			h.set(func() { h.hold, h.ack = nil, func(a *wire.Ack) { a.NowMs += 2500 } })
			time.Sleep(30 * time.Second)
		})
		if n := len(epochs(h.sent())); n != 2 {
			t.Errorf("%d epochs after a quick answer, want 2", n)
		}
	})
}
