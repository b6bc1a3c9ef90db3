package ingest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestOneIsAsked: four hundred agents report the same shapes to a collector that has lost its store. One sends them, and
// all are accepted within a few seconds.
func TestOneIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		const agents = 400
		var all []*client
		for n := range agents {
			all = append(all, w.enrol("acme", "leeds", fmt.Sprintf("web%d", n)))
		}
		var sent, requests atomic.Int64
		from := time.Now()
		var g sync.WaitGroup
		for _, c := range all {
			g.Go(func() {
				m := c.report(c.block("cpu", 3, 0), c.block("memory", 2, 0))
				plain := m
				for {
					requests.Add(1)
					ack, _, err := c.try(m)
					switch {
					case err != nil:
						t.Error(err)
						return
					case ack.Result == wire.Ack_RESULT_ACCEPTED:
						return
					case ack.Result == wire.Ack_RESULT_NEED_SHAPES:
						time.Sleep(300 * time.Millisecond) // there and back
						m = c.with(plain, ack.UnknownShapes)
						sent.Add(int64(len(m.Shapes)))
					case ack.Result == wire.Ack_RESULT_LATER:
						time.Sleep(time.Duration(ack.RetryAfterMs) * time.Millisecond)
						m = plain
					default:
						t.Errorf("%v", ack)
						return
					}
				}
			})
		}
		g.Wait()
		if n := sent.Load(); n != 2 {
			t.Errorf("the two shapes were sent %d times", n)
		}
		if took := time.Since(from); took > 5*time.Second || requests.Load() > 3*agents {
			t.Errorf("took %v and %d requests", took, requests.Load())
		}
		if n := len(w.sink.all()); n != agents || w.keeper.puts != 2 || len(w.ingest.asks.open) != 0 {
			t.Errorf("%d reports, %d shapes kept, %d asked for still", n, w.keeper.puts, len(w.ingest.asks.open))
		}
	})
}

// TestAskedButSilent: who is asked and does not bring the shape holds nobody up for long, and nobody again.
func TestAskedButSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		silent, other := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
		wants := func(c *client, want wire.Ack_Result) *wire.Report {
			t.Helper()
			m := c.report(c.block("cpu", 3, 0))
			if ack, _ := c.send(m); ack.Result != want {
				t.Fatalf("%s: %v, want %v", c.agent.Asset, ack, want)
			}
			return m
		}
		wants(silent, wire.Ack_RESULT_NEED_SHAPES)
		wants(silent, wire.Ack_RESULT_NEED_SHAPES) // its answer may have been lost
		from := time.Now()
		wants(other, wire.Ack_RESULT_LATER)
		if held := time.Since(from); held != holdFor {
			t.Errorf("held for %v", held)
		}
		w.clock.add(askFor)
		m := wants(other, wire.Ack_RESULT_NEED_SHAPES)
		wants(silent, wire.Ack_RESULT_NEED_SHAPES) // nobody waits for it, so it may
		var g sync.WaitGroup
		third := w.enrol("acme", "leeds", "web3")
		g.Go(func() { wants(third, wire.Ack_RESULT_ACCEPTED) }) // is held, and taken when it comes
		synctest.Wait()
		other.deliver(m)
		g.Wait()
		// Another customer is asked for itself.
		wants(w.enrol("beta", "main", "beta1"), wire.Ack_RESULT_NEED_SHAPES)
	})
}

// TestAskedButRefused: the quota of one agent, or its broken shape, does not keep the others from theirs.
func TestAskedButRefused(t *testing.T) {
	for _, name := range []string{"quota", "broken"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				o.Quotas = DefaultQuotas()
				if name == "quota" {
					o.Quotas.Agent.ShapesPerHour = 1
				}
			})
			first, second := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
			first.deliver(first.report(first.block("cpu", 1, 0)))
			m := first.report(first.block("memory", 1, 0))
			ack, _ := first.send(m)
			m = first.with(m, ack.UnknownShapes)
			if name == "broken" {
				m.Shapes[0].Series[0].Labels[0] = 99
			}
			if ack, _ := first.send(m); ack.Result != wire.Ack_RESULT_ACCEPTED || len(ack.Refusals) != 1 {
				t.Fatalf("%v", ack)
			}
			if ack, _ := second.send(second.report(second.block("memory", 1, 0))); ack.Result != wire.Ack_RESULT_NEED_SHAPES {
				t.Errorf("%v", ack)
			}
		})
	}
}

// TestAskedForOneOfTwo: of two agents that report the same two shapes each is asked for one, and needs the other's. Both
// bring what they were asked for, and are taken.
func TestAskedForOneOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		first, second := w.enrol("acme", "leeds", "web1"), w.enrol("acme", "leeds", "web2")
		both := func(c *client) *wire.Report { return c.report(c.block("cpu", 3, 0), c.block("memory", 2, 0)) }
		m1, m2 := both(first), both(second)
		ack, _ := first.send(first.report(first.block("cpu", 3, 0)))
		m1 = first.with(m1, ack.UnknownShapes)
		ack, _ = second.send(second.report(second.block("memory", 2, 0)))
		m2 = second.with(m2, ack.UnknownShapes)
		from := time.Now()
		var g sync.WaitGroup
		for c, m := range map[*client]*wire.Report{first: m1, second: m2} {
			g.Go(func() {
				if ack, _, err := c.try(m); err != nil || ack.Result != wire.Ack_RESULT_ACCEPTED {
					t.Errorf("%s: %v, %v", c.agent.Asset, ack, err)
				}
			})
		}
		g.Wait()
		if waited := time.Since(from); waited > 0 {
			t.Errorf("they waited %v for each other", waited)
		}
	})
}

// TestAskedForMuch: an agent that asks to be asked for ever new shapes is not remembered without bound.
func TestAskedForMuch(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Quotas = DefaultQuotas(); o.Quotas.Agent.ReportsPerMinute = 1e6 })
	c := w.enrol("acme", "leeds", "web1")
	id := [32]byte{}
	for n := range 2 * maxAsks / 200 {
		m := c.report()
		for k := range 200 {
			id[0], id[1], id[2] = byte(n), byte(n>>8), byte(k)
			m.Blocks = append(m.Blocks, &wire.Block{
				Kind: "node", Source: fmt.Sprint("s", k), SampledAtMs: w.clock.now().UnixMilli(), IntervalMs: 1000,
				Status: wire.Block_STATUS_OK, ShapeId: append([]byte(nil), id[:]...), Values: []float64{1},
			})
		}
		if ack, status := c.send(m); ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			t.Fatalf("%d %v", status, ack)
		}
	}
	w.ingest.agents.mu.Lock()
	defer w.ingest.agents.mu.Unlock()
	if n, m := len(w.ingest.agents.byID[c.agent.ID].asked), len(w.ingest.asks.open); n > maxAsked || m > maxAsks {
		t.Errorf("%d and %d remembered", n, m)
	}
}

// TestForgottenShapes: when a customer's shapes are full, those that nobody has used for an hour make room, the longest
// unused first, in the store as in memory; those in use stay, and what does not fit is refused with the quota's name.
func TestForgottenShapes(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Quotas = DefaultQuotas(); o.Quotas.Customer.Shapes = 3 })
	c, beta := w.enrol("acme", "leeds", "web1"), w.enrol("beta", "main", "beta1")
	beta.deliver(beta.report(beta.block("a", 1, 0)))
	for _, source := range []string{"a", "b", "used"} {
		c.deliver(c.report(c.block(source, 1, 0)))
		w.clock.add(2 * time.Minute)
	}
	ack := c.deliver(c.report(c.block("d", 1, 0)))
	if len(ack.Refusals) != 1 || ack.Refusals[0].Reason != reasonShapeQuota || !strings.Contains(ack.Refusals[0].Error, "quotas.customer.shapes or shape_bytes") {
		t.Fatalf("%v", ack)
	}
	w.clock.add(forgetShape)
	c.deliver(c.report(c.block("used", 1, 0)))
	c.deliver(c.report(c.block("d", 1, 0)))
	known := func(want string) {
		t.Helper()
		var got []string
		for _, source := range []string{"a", "b", "used", "d"} {
			b := c.block(source, 1, 0)
			if w.ingest.shapes.has(askKey{"acme", idOf(b)}) {
				got = append(got, source)
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("known %q, want %q", s, want)
		}
	}
	known("b used d")
	w.start(nil)
	known("b used d")
	// What one customer has forgotten another still knows, and it is kept once as long as anybody does.
	if ack, _ := beta.send(beta.report(beta.block("a", 1, 0))); ack.Result != wire.Ack_RESULT_ACCEPTED {
		t.Errorf("beta: %v", ack)
	}
	if n := testutil.ToFloat64(w.ingest.metrics.refusals.WithLabelValues(reasonShapeQuota)); n != 0 || w.ingest.shapes.count() != 4 {
		t.Errorf("%v refused, %v different shapes", n, w.ingest.shapes.count())
	}
}
