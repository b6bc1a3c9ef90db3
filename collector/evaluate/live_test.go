package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// chain is a committer that is slow now and then, fails now and then, and takes only what follows from what it has.
type chain struct {
	t    *testing.T
	mu   sync.Mutex
	rnd  *rand.Rand
	has  map[string]rules.Alert
	seen int
}

func (c *chain) Commit(_ context.Context, _ time.Time, ts []rules.Transition) error {
	c.mu.Lock()
	turns, fails := c.rnd.IntN(3)*c.rnd.IntN(300), c.rnd.IntN(10) == 0
	c.mu.Unlock()
	for range turns {
		runtime.Gosched()
	}
	if fails {
		return errors.New("not now")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range ts {
		was := rules.Inactive
		if a, ok := c.has[x.ID()]; ok {
			was = a.State
		}
		if x.From != was {
			c.t.Errorf("%s of %s: committed from %s to %s (%s), but it is %s", x.Origin.Name, x.Alert.Labels, x.From, x.Alert.State, x.Alert.End, was)
		}
		c.has[x.ID()] = x.Alert
		if x.Alert.State == rules.Inactive {
			delete(c.has, x.ID())
		}
		c.seen++
	}
	return nil
}

// TestReloadsAmidEverything: reports, the wheel and groups on timers go on while rules come and go; commits are slow and fail.
// Whatever is committed follows from what was, and in the end what is shown is what was committed.
func TestReloadsAmidEverything(t *testing.T) {
	sets := []string{
		`groups: [{name: g, rules: [{record: 'y:made', expr: 'y * 2'}, {alert: High, expr: x > 5, for: 15s, keep_firing_for: 20s}, {alert: Made, expr: 'y:made > 10'}, {alert: Down, expr: up == 0}]},
			{name: fleet, rules: [{alert: Some, expr: 'sum by (site) (x) > 20'}, {alert: All, expr: 'max(y) > 5', for: 20s}]}]`,
		`groups: [{name: g, rules: [{alert: Low, expr: x < 5}, {record: 'y:made', expr: 'y * 2'}, {alert: Made, expr: 'y:made > 10'}, {alert: Lower, expr: x < 4}]},
			{name: fleet, rules: [{alert: All, expr: 'max(y) > 5', for: 20s}]}]`,
		`groups: [{name: g, rules: [{alert: High, expr: x > 5, for: 15s, keep_firing_for: 20s}, {alert: Down, expr: up == 0}, {alert: Low, expr: x < 5}]},
			{name: fleet, interval: 20s, rules: [{alert: Some, expr: 'sum by (site) (x) > 20'}]}]`,
		`groups: []`,
	}
	total := 0
	for seed := range uint64(8) {
		c := &chain{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), has: map[string]rules.Alert{}}
		var clock atomic.Int64
		now := func() time.Time { return epoch.Add(time.Duration(clock.Load()) * time.Millisecond) }
		h := house{t: t, w: window.New(window.Options{})}
		h.Evaluator = New(Options{Window: h.w, Commit: c, Interval: 10 * time.Second, Now: now})
		h.load(sets[0])
		const rounds = 1000
		var all sync.WaitGroup
		for i := range 5 {
			rnd, name := rand.New(rand.NewPCG(seed, uint64(10+i))), fmt.Sprintf("host%d", i)
			all.Go(func() {
				for range rounds {
					clock.Add(int64(rnd.IntN(2000)))
					if at := now(); rnd.IntN(15) == 0 {
						h.w.SetDown(host(name), at)
						h.Stir(name)
					} else {
						h.w.Apply(host(name), at, []window.Block{{Source: "cpu", Kind: "node", Interval: 10 * time.Second, At: at, Status: window.OK,
							Layout: full, Values: []float64{float64(rnd.IntN(12)), float64(rnd.IntN(12))}}})
						_ = h.Arrive(t.Context(), name)
					}
				}
			})
		}
		all.Go(func() { // the wheel
			for range 10 * rounds {
				if a, _ := h.wheel.pop(now()); a != nil {
					all.Go(func() { _ = h.visit(t.Context(), a) })
				}
				runtime.Gosched()
			}
		})
		all.Go(func() { // groups on timers, one and the other way
			for i := range rounds {
				_ = h.turnOf(t.Context(), "fleet", now())
				_ = h.turnOf(t.Context(), "g", now())
				if i%5 == 0 {
					_ = h.EvaluateOnce(t.Context(), now())
				}
			}
		})
		all.Go(func() {
			for range rounds {
				h.buryNow(t.Context())
				runtime.Gosched()
			}
		})
		rnd := rand.New(rand.NewPCG(seed, 2))
		all.Go(func() {
			for range rounds / 5 {
				h.load(sets[rnd.IntN(len(sets))])
				for range rnd.IntN(300) {
					runtime.Gosched()
				}
			}
		})
		all.Wait()
		c.compare(h, seed)
		total += c.seen
	}
	if total < 200 {
		t.Errorf("%d transitions were tried, too few to say anything", total)
	}
}

// compare expects what is shown to be what was committed.
func (c *chain) compare(h house, seed uint64) {
	shown := h.Alerts()
	for _, s := range shown {
		if a, ok := c.has[rules.AlertID(s.Origin.ID, s.Alert.Labels)]; !ok || a.State != s.Alert.State {
			c.t.Errorf("seed %d: %s of %s is shown %s, and kept %s", seed, s.Origin.Name, s.Alert.Labels, s.Alert.State, a.State)
		}
	}
	if len(shown) != len(c.has) {
		c.t.Errorf("seed %d: %d alerts are shown, %d kept", seed, len(shown), len(c.has))
	}
}
