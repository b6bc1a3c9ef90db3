package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// clocked is a pipeline on a bolt store whose tickets have one clock each, of ten hours from their receipt. It is restarted
// again and again, on a clock that the test holds.
type clocked struct {
	t     testing.TB
	path  string
	book  *policy.Book
	store *bolt.Store
	p     *pipeline
	now   time.Time
	ids   []string
}

// clockedFor is how long each of the clocks runs.
const clockedFor = 10 * time.Hour

func newClocked(t testing.TB) *clocked {
	t.Helper()
	text, err := os.ReadFile("../rules/policies/default/policy.yml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Parse("default/policy.yml", []byte(string(text)+`
clocks: {response: {met_by: [ack]}}
targets: [{clock: response, within: "10h,elapsed"}]
`))
	if err != nil {
		t.Fatal(err)
	}
	book, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	c := &clocked{t: t, path: filepath.Join(t.TempDir(), StoreName), book: book.With(set), now: deskAt}
	c.openStore()
	t.Cleanup(func() { c.store.Close() })
	c.restart()
	return c
}

func (c *clocked) openStore() {
	c.t.Helper()
	s, err := bolt.Open(c.path, bolt.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.store = s
}

// restart loses everything that the pipeline had in memory.
func (c *clocked) restart() {
	c.t.Helper()
	registry := fleet.NewRegistry(store.Keeper(c.store), fleet.Options{})
	if err := registry.SetDirectory(fleet.Directory{Customers: []fleet.Customer{{ID: "acme"}}}); err != nil {
		c.t.Fatal(err)
	}
	c.p = &pipeline{store: c.store, fleet: registry, wake: func() {}, metrics: newMetrics(prometheus.NewRegistry()),
		log: slog.New(slog.DiscardHandler), now: func() time.Time { return c.now }}
	if err := c.p.agree(context.Background(), c.book); err != nil {
		c.t.Fatal(err)
	}
	c.p.evidence = gatherer{facts: newFacts(), fleet: registry, store: c.store, zones: c.p.zones,
		failing: func(string) []failing { return nil }, standing: func() []rules.Transition { return nil }}
	c.p.tell(DefaultConfig())
}

// fill opens n tickets that fall due between an hour and ten hours from now.
func (c *clocked) fill(n int, r *rand.Rand) {
	c.t.Helper()
	for at := 0; at < n; at += 500 {
		var ids []string
		received := make([]time.Time, min(500, n-at))
		for i := range received {
			received[i] = c.now.Add(-time.Duration(r.Int64N(int64(9 * time.Hour))))
		}
		err := c.store.Update(context.Background(), "", func(tx store.Tx) error {
			var did outcome
			ids = ids[:0]
			for i, received := range received {
				made, err := c.p.bring(tx, ticket.Birth{Title: "it is broken", Report: &ticket.Report{Customer: "acme", By: "Cleo",
					Channel: "telephone", ReceivedAt: received}}, fmt.Sprint("ticket ", at+i), c.now, &did)
				if err != nil {
					return err
				}
				ids = append(ids, made.Ticket.ID)
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
		c.ids = append(c.ids, ids...)
	}
}

// look is what watch does once a second.
func (c *clocked) look() {
	c.t.Helper()
	for {
		next, err := c.p.elapse(context.Background())
		if err != nil {
			c.t.Fatal(err)
		}
		if next.IsZero() || next.After(c.now) {
			return
		}
	}
}

// outage is a stretch in which nothing ran.
type outage struct{ from, until time.Time }

// TestDeadlinesAcrossRestarts: every deadline is recorded once, at most 2 s late while the collector runs, and at most 2 s
// after its start when it passed while it was down.
func TestDeadlinesAcrossRestarts(t *testing.T) {
	deadlines, restarts := 2000, 12
	if *long {
		deadlines, restarts = 100_000, 2000
	}
	r := chance(t)
	c := newClocked(t)
	c.fill(deadlines, r)
	began, end := c.now, c.now.Add(clockedFor+time.Minute)
	round := end.Sub(began) / time.Duration(restarts)
	var down []outage
	for n := range restarts {
		until := began.Add(time.Duration(n+1) * round)
		up := time.Duration(r.Int64N(int64(round)))
		c.runUntil(c.now.Add(up).Truncate(time.Second))
		gone := outage{from: c.now, until: c.now.Add(time.Duration(r.Int64N(int64(until.Sub(c.now)) + 1)))}
		if n%100 == 50 { // the file is opened anew, too
			if err := c.store.Close(); err != nil {
				t.Fatal(err)
			}
			c.openStore()
		}
		c.now = gone.until
		c.restart()
		down = append(down, gone)
	}
	c.runUntil(end)
	late := c.verify(down)
	t.Logf("%d deadlines, %d restarts, each recorded once, at most %v late", deadlines, restarts, late)
}

// runUntil looks once a second, the first time a second after it began.
func (c *clocked) runUntil(at time.Time) {
	c.t.Helper()
	for c.now.Add(watchEvery).Before(at) || c.now.Add(watchEvery).Equal(at) {
		c.now = c.now.Add(watchEvery)
		c.look()
	}
}

// verify reads every timeline: one breach each, dated when it was due, recorded in time. It returns how late the latest was,
// counted from when the collector ran.
func (c *clocked) verify(down []outage) (latest time.Duration) {
	c.t.Helper()
	wrong := 0
	for _, id := range c.ids {
		var line []ticket.Event
		if err := c.store.View(context.Background(), func(tx store.Tx) (err error) { line, err = tx.Timeline(id); return err }); err != nil {
			c.t.Fatal(err)
		}
		due := line[0].Opening.ReceivedAt.Add(clockedFor)
		could := due
		for _, d := range down {
			if !could.Before(d.from) && could.Before(d.until) { // while it was down, or on its way to the first look
				could = d.until
			}
		}
		var breaches []ticket.Event
		for _, e := range line {
			if e.Kind == ticket.ClockBreached {
				breaches = append(breaches, e)
			}
		}
		if len(breaches) != 1 || !breaches[0].Detail.At.Equal(due) || breaches[0].At.Before(due) || breaches[0].At.Sub(could) > 2*time.Second {
			if wrong++; wrong <= 5 {
				c.t.Errorf("ticket %s was due %v, could be recorded from %v on: %+v", id, due, could, breaches)
			}
			continue
		}
		latest = max(latest, breaches[0].At.Sub(could))
	}
	if wrong > 0 {
		c.t.Errorf("%d of %d deadlines were not kept", wrong, len(c.ids))
	}
	return latest
}

// TestDeadlinesAcrossClockSteps: steps of the clock, back and forth, lose no deadline and record none twice.
func TestDeadlinesAcrossClockSteps(t *testing.T) {
	for _, steps := range [][]time.Duration{
		{time.Hour, -time.Hour}, {-time.Hour, time.Hour}, {24 * time.Hour, -24 * time.Hour}, {-24 * time.Hour, 24 * time.Hour, time.Hour},
	} {
		t.Run(strings.ReplaceAll(fmt.Sprint(steps), " ", ","), func(t *testing.T) {
			c := newClocked(t)
			c.fill(200, rand.New(rand.NewPCG(1, 2)))
			for _, step := range steps {
				c.run(3 * time.Hour)
				c.now = c.now.Add(step)
				c.look()
				c.restart()
			}
			c.now = deskAt.Add(clockedFor)
			c.run(time.Minute)
			for _, id := range c.ids {
				line := c.line(id)
				n := 0
				for _, e := range line {
					if e.Kind == ticket.ClockBreached {
						n++
						if due := line[0].Opening.ReceivedAt.Add(clockedFor); !e.Detail.At.Equal(due) {
							t.Errorf("%s was due %v, recorded as of %v", id, due, e.Detail.At)
						}
					}
				}
				if n != 1 {
					t.Errorf("%s: %d breaches", id, n)
				}
			}
		})
	}
}

// run looks every minute.
func (c *clocked) run(d time.Duration) {
	c.t.Helper()
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(time.Minute) {
		c.look()
	}
}

func (c *clocked) line(id string) (line []ticket.Event) {
	c.t.Helper()
	if err := c.store.View(context.Background(), func(tx store.Tx) (err error) { line, err = tx.Timeline(id); return err }); err != nil {
		c.t.Fatal(err)
	}
	return line
}

// BenchmarkNextDeadline is one look at the deadlines of which none is due, with as many clocks open: it reads an index, so
// the number makes no difference.
func BenchmarkNextDeadline(b *testing.B) {
	for _, open := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("open=%d", open), func(b *testing.B) {
			c := newClocked(b)
			c.fill(open, rand.New(rand.NewPCG(1, 2)))
			for b.Loop() {
				if next, err := c.p.deadlines(context.Background(), c.now); err != nil || next.IsZero() {
					b.Fatal(next, err)
				}
			}
		})
	}
}

// BenchmarkDeadline is what one deadline costs that is due, alone in its transaction, with as many clocks open.
func BenchmarkDeadline(b *testing.B) {
	for _, open := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("open=%d", open), func(b *testing.B) {
			c := newClocked(b)
			c.fill(open, rand.New(rand.NewPCG(1, 2)))
			for b.Loop() {
				next, err := c.p.deadlines(context.Background(), c.now)
				if err != nil || next.IsZero() {
					b.Fatal(next, err)
				}
				c.now = next
				if _, err := c.p.deadlines(context.Background(), c.now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
