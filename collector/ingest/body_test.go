package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// tight lets one body of the past be worked on at a time.
func tight(o *Options) {
	o.Backlog = Backlog{SamplesPerSecond: 1e6, Credits: 10, AtOnce: 1, BodyBytes: 8 << 20}
}

// withPast enrols an agent that may send five reports of its past.
func (w *world) withPast(customer, site, asset string) *client {
	w.t.Helper()
	c := w.enrol(customer, site, asset)
	c.withCredits()
	return c
}

func (c *client) withCredits() {
	c.w.t.Helper()
	if ack := c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 5, time.Time{}); ack.Result != accepted || ack.Credits != 5 {
		c.w.t.Fatalf("%v, want credits", ack)
	}
}

// old is a report of the past.
func (c *client) old() *wire.Report { return c.report(c.block("cpu", 1, time.Minute)) }

// sayPast sends a report of the past in a body that comes as it likes.
func (c *client) sayPast(body io.Reader) (*wire.Ack, error) {
	_, answer, err := c.postWith(wire.PathReport, wire.TypeReport, "", body, func(h http.Header) {
		h.Set(wire.HeaderLane, wire.LaneBacklog)
		h.Set(wire.HeaderWaiting, "5")
	})
	if err != nil {
		return nil, err
	}
	var ack wire.Ack
	return &ack, proto.Unmarshal(answer, &ack)
}

// slowly is a body that comes when it is let go.
func (c *client) slowly(g *sync.WaitGroup) (letGo func()) {
	c.w.t.Helper()
	plain, err := proto.Marshal(c.old())
	if err != nil {
		c.w.t.Fatal(err)
	}
	in, out := io.Pipe()
	g.Go(func() {
		if ack, err := c.sayPast(in); err != nil || ack.Result != accepted {
			c.w.t.Errorf("a slow body: %v, %v", ack, err)
		}
	})
	return func() {
		_, _ = out.Write(plain)
		_ = out.Close()
	}
}

// TestThePastWaitsForNobodySlow: whatever holds one agent up outside of the work itself, another's past is taken at once,
// though one is worked on at a time.
func TestThePastWaitsForNobodySlow(t *testing.T) {
	for name, hold := range map[string]func(w *world, g *sync.WaitGroup) (letGo func()){
		"a body that drips": func(w *world, g *sync.WaitGroup) func() {
			return w.withPast("acme", "leeds", "slow").slowly(g)
		},
		"an agent over its quota, that does not keep to it": func(w *world, g *sync.WaitGroup) func() {
			c := w.withPast("acme", "leeds", "slow")
			c.say(c.old(), wire.LaneBacklog, 5, time.Time{})
			a := w.ingest.agents.get(c.agent)
			a.bytes.ReserveN(w.clock.now(), a.bytes.Burst())
			if ack := c.say(c.old(), wire.LaneBacklog, 5, time.Time{}); ack.Result != later {
				w.t.Errorf("%v, want it over its quota", ack)
			}
			g.Go(func() { c.say(c.old(), wire.LaneBacklog, 5, time.Time{}) }) // waits in the tarpit
			return func() {}
		},
		"a shape that another agent is asked for": func(w *world, g *sync.WaitGroup) func() {
			c, asked := w.withPast("acme", "leeds", "slow"), w.enrol("acme", "leeds", "asked")
			if ack, _ := asked.send(asked.report(asked.block("new", 1, 0))); ack.Result != wire.Ack_RESULT_NEED_SHAPES {
				w.t.Errorf("%v, want it asked", ack)
			}
			g.Go(func() {
				if ack := c.say(c.report(c.block("new", 1, time.Minute)), wire.LaneBacklog, 5, time.Time{}); ack.Result != later {
					w.t.Errorf("%v, want it told to come again", ack)
				}
			})
			return func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tight)
				quick := w.withPast("beta", "main", "quick")
				var g sync.WaitGroup
				letGo := hold(w, &g)
				synctest.Wait()
				from := time.Now()
				wantCredits(t, "the past of another", quick.say(quick.old(), wire.LaneBacklog, 4, time.Time{}), accepted, 4)
				if took := time.Since(from); took != 0 {
					t.Errorf("it waited %v", took)
				}
				letGo()
				g.Wait()
			})
		})
	}
}

// What is live passes while the past is worked on; more of the past waits a moment, and no more of it than fits: who
// comes then is sent away unread.
func TestThePastDoesNotDelayThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tight)
		slow, quick := w.withPast("acme", "leeds", "slow"), w.withPast("acme", "leeds", "quick")
		entered, release := make(chan struct{}), make(chan struct{})
		w.sink.set(func(_ context.Context, r Report) error {
			if r.Agent.Asset == "slow" {
				close(entered)
				<-release
			}
			return nil
		})
		var g sync.WaitGroup
		g.Go(func() {
			wantCredits(t, "the slow one", slow.say(slow.old(), wire.LaneBacklog, 4, time.Time{}), accepted, 4)
		})
		<-entered
		from := time.Now()
		wantCredits(t, "the present of another", quick.say(quick.report(quick.block("cpu", 1, 0)), wire.LaneLive, 5, time.Time{}), accepted, 5)
		if took := time.Since(from); took != 0 {
			t.Errorf("the present waited %v", took)
		}
		for n := range readyPerSlot {
			c := w.withPast("acme", "leeds", fmt.Sprint("waits", n))
			g.Go(func() {
				ack := c.say(c.old(), wire.LaneBacklog, 4, time.Time{})
				wantCredits(t, "one that waited", ack, later, 5)
				if took := time.Since(from); took != slotPatience || ack.RetryAfterMs != 1000 || !strings.Contains(ack.Error, "backlog.at_once") {
					t.Errorf("after %v: %v", took, ack)
				}
			})
		}
		synctest.Wait()
		ack, err := quick.sayPast(unread{t})
		if err != nil || time.Since(from) != 0 || !strings.Contains(ack.Error, "backlog.at_once") {
			t.Errorf("one too many: %v, %v", ack, err)
		}
		wantCredits(t, "one too many", ack, later, 5)
		time.Sleep(slotPatience)
		synctest.Wait()
		close(release)
		g.Wait()
		w.clock.add(time.Second)
		wantCredits(t, "a second later", quick.say(quick.old(), wire.LaneBacklog, 4, time.Time{}), accepted, 4)
	})
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestBodiesOfThePastAreBounded: in all, and of one customer half of that, whatever they say of their length.
func TestBodiesOfThePastAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tight) // of unknown length, and so of 2 MiB: four, two of one customer
		var g sync.WaitGroup
		var letGo []func()
		for n := range 2 {
			letGo = append(letGo, w.withPast("acme", "leeds", fmt.Sprint("web", n)).slowly(&g))
		}
		synctest.Wait()
		full := func(c *client) {
			t.Helper()
			ack, err := c.sayPast(unread{t})
			if err != nil || !strings.Contains(ack.Error, "backlog.body_bytes") {
				t.Errorf("%v, %v", ack, err)
			}
			wantCredits(t, "one too many", ack, later, 5)
		}
		third := w.withPast("acme", "leeds", "web3")
		full(third)
		for n := range 2 {
			letGo = append(letGo, w.withPast("beta", "main", fmt.Sprint("db", n)).slowly(&g))
		}
		synctest.Wait()
		full(w.withPast("beta", "main", "db3"))
		// What is live needs none of it.
		wantCredits(t, "live", third.say(third.report(third.block("cpu", 1, 0)), wire.LaneLive, 5, time.Time{}), accepted, 5)
		for _, f := range letGo {
			f()
		}
		g.Wait()
		w.clock.add(time.Second)
		wantCredits(t, "later", third.say(third.old(), wire.LaneBacklog, 4, time.Time{}), accepted, 4)
		if w.ingest.past.held != 0 || w.ingest.agents.customers["acme"].held != 0 {
			t.Errorf("%d bytes held still", w.ingest.past.held)
		}
	})
}

// TestFloodOfThePast: who comes again with its past before its time waits for every answer; what is live does not.
func TestFloodOfThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tight)
		c := w.enrol("acme", "leeds", "web1")
		c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, time.Time{})
		for n := range 3 {
			from := time.Now()
			wantCredits(t, "without credits", c.say(c.old(), wire.LaneBacklog, 4, time.Time{}), later, 0)
			if took, want := time.Since(from), min(n, 1)*int(tarpitFor); took != time.Duration(want) {
				t.Errorf("answer %d after %v", n, took)
			}
		}
		from := time.Now()
		if wantCredits(t, "live", c.say(c.report(), wire.LaneLive, 0, time.Time{}), accepted, 0); time.Since(from) != 0 {
			t.Errorf("what is live waited %v", time.Since(from))
		}
	})
}

// A bulk is of the past whatever lane it names, and one longer than allowed is refused as such.
func TestABulkIsOfThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tight)
		c := w.enrol("acme", "leeds", "web1")
		c.say(c.report(c.block("cpu", 1, 0)), wire.LaneLive, 0, time.Time{})
		e := wire.NewBulkEncoder(wire.DefaultLimits())
		if _, err := e.Add(c.old()); err != nil {
			t.Fatal(err)
		}
		body, coding, err := e.Body()
		if err != nil {
			t.Fatal(err)
		}
		for _, lane := range []string{"", wire.LaneLive, "?"} {
			_, answer, err := c.postWith(wire.PathBulk, wire.TypeBulkV1, coding, bytes.NewReader(body), func(h http.Header) { h.Set(wire.HeaderLane, lane) })
			var ack wire.Ack
			if err != nil || proto.Unmarshal(answer, &ack) != nil || ack.Result != later || !strings.Contains(ack.Error, "backlog.samples_per_second") {
				t.Errorf("lane %q: %v, %v", lane, &ack, err)
			}
		}
		c.withCredits()
		for name, body := range map[string]io.Reader{
			"told":     bytes.NewReader(make([]byte, 1<<20+1)),
			"not told": io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), strings.NewReader("xy")),
		} {
			resp, answer, err := c.postWith(wire.PathBulk, wire.TypeBulkV1, "", body, func(h http.Header) { h.Set(wire.HeaderLane, wire.LaneBacklog) })
			if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %v, %q, %v", name, resp.Status, answer, err)
			}
			c.withCredits()
		}
	})
}
