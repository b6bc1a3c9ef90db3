package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// TestShapesExpire: what nobody has used for a day is forgotten, in memory and in the store, by what Run does; what is in
// use stays, also where a host says that nothing has changed, and so does what another customer uses.
func TestShapesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Now = time.Now })
		w.clock.t = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.ingest.Run(ctx) }()
		c, beta := w.enrol("acme", "leeds", "web1"), w.enrol("beta", "main", "db1")
		c.deliver(c.report(c.block("gone", 1, 0), c.block("used", 1, 0)))
		beta.deliver(beta.report(beta.block("gone", 1, 0)))
		same := w.enrol("acme", "leeds", "web2")
		v1 := same.version1()
		v1.take(same.report(same.block("quiet", 20, 0)))
		said := w.ingest.agents.get(same.agent).said["quiet"]
		first := said.at
		known := func() (memory, kept string) {
			for _, source := range []string{"gone", "used", "quiet"} {
				id := idOf(c.block(source, map[string]int{"gone": 1, "used": 1, "quiet": 20}[source], 0))
				if w.ingest.shapes.has(askKey{"acme", id}) {
					memory += source + " "
				}
				if _, ok := w.keeper.state.shapes[shapeKey{"acme", id}]; ok {
					kept += source + " "
				}
			}
			return memory, kept
		}
		for range 25 * 4 {
			time.Sleep(15 * time.Minute)
			w.clock.t = time.Now()
			c.deliver(c.report(c.block("used", 1, 0)))
			beta.deliver(beta.report(beta.block("gone", 1, 0)))
			v1.take(same.report(same.block("quiet", 20, 0)))
		}
		if said.at != first {
			t.Fatal("a block was written out; this test wants it said to be as before")
		}
		synctest.Wait()
		if memory, kept := known(); memory != "used quiet " || kept != memory {
			t.Errorf("a day later %q are known and %q kept", memory, kept)
		}
		if ack, _ := c.send(c.report(c.block("gone", 1, 0))); ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			t.Errorf("who comes back after that: %v", ack)
		}
		c.deliver(c.report(c.block("gone", 1, 0)))
		if memory, kept := known(); memory != "gone used quiet " || kept != memory {
			t.Errorf("brought again: %q are known and %q kept", memory, kept)
		}
		if ack, _ := beta.send(beta.report(beta.block("gone", 1, 0))); ack.Result != wire.Ack_RESULT_ACCEPTED {
			t.Errorf("beta: %v", ack)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestShapesExpireInPasses: one pass forgets so many and looks at the shapes of so many customers, and all are gone in the end.
func TestShapesExpireInPasses(t *testing.T) {
	s := newShapes(newMemory())
	now := time.Now()
	layout := func(n int) wire.Layout {
		l := wire.Layout{Series: [][]wire.Label{{{Name: "__name__", Value: "up"}, {Name: "n", Value: fmt.Sprint(n)}}}}
		l.ID = wire.ShapeID(l.Series)
		return l
	}
	for n := range 3*expireMost + 1 {
		s.learn(fmt.Sprint("customer", n%2), layout(n), now)
	}
	s.learn("third", layout(0), now.Add(time.Hour))
	for pass, want := range []int{3*expireMost + 1, 2*expireMost + 1, expireMost + 1, 1, 0, 0} {
		if got := len(s.customers["customer0"].ids) + len(s.customers["customer1"].ids); got != want {
			t.Fatalf("%d shapes after pass %d, want %d", got, pass, want)
		}
		if err := s.expire(t.Context(), now.Add(expireShape+2*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if s.count() != 1 {
		t.Errorf("%v different shapes are left, want one", s.count())
	}
	if !s.has(askKey{"third", layout(0).ID}) {
		t.Error("a shape in use is gone")
	}
}

// TestShapesExpireLater: what the store could not let go of it does with the next pass; what was brought again stays.
func TestShapesExpireLater(t *testing.T) {
	w := newWorld(t, nil)
	c := w.enrol("acme", "leeds", "web1")
	c.deliver(c.report(c.block("a", 1, 0), c.block("b", 1, 0)))
	w.clock.add(expireShape + time.Hour)
	w.keeper.fail(errors.New("no room"))
	if err := w.ingest.shapes.expire(t.Context(), w.clock.now()); err == nil || !strings.Contains(err.Error(), "forget 2 shapes") {
		t.Errorf("%v", err)
	}
	w.keeper.fail(nil)
	c.deliver(c.report(c.block("b", 1, 0)))
	if err := w.ingest.shapes.expire(t.Context(), w.clock.now()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.keeper.state.shapes); n != 1 {
		t.Errorf("%d shapes kept, want that which was brought again", n)
	}
	w.start(nil)
	if ack, _ := c.send(c.report(c.block("b", 1, 0))); ack.Result != wire.Ack_RESULT_ACCEPTED {
		t.Errorf("%v", ack)
	}
}
