package collector

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// A goodbye is known to the next start, however the collector ended, and so is that it is over.
func TestAGoodbyeOutlastsARestart(t *testing.T) {
	for name, orderly := range map[string]bool{"orderly stop": true, "kill": false} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				n.orderly = orderly
				n.at(10 * min1)
				h := n.hosts["web1"]
				h.halt()
				left := time.Now()
				n.at(10*min1 + 2*time.Second)
				n.down()
				n.at(10*min1 + 5*time.Second)
				n.up()
				n.at(11*min1 + 55*time.Second)
				if got := titles(n.tickets()); len(got) != 0 {
					t.Fatalf("tickets %q when the agent has two minutes to come back", got)
				}
				n.at(12*min1 + 25*time.Second)
				const stopped = "The agent on web1 stopped and has not come back"
				all := n.tickets()
				if got := titles(all); !slices.Equal(got, []string{stopped}) {
					t.Fatalf("tickets %q, want that the agent stopped", got)
				}
				if tk := all[stopped]; tk.Severity != incident.Warning {
					t.Errorf("it is %s", tk.Severity)
				}
				want := left.UTC().Format("at 15:04:05 UTC, said goodbye: ")
				if got := n.symptoms(all[stopped]); !strings.Contains(got, want) {
					t.Errorf("%q is not in\n%s", want, got)
				}
				h.run()
				n.at(12*min1 + 45*time.Second)
				if tk := n.tickets()[stopped]; tk.State != ticket.Done {
					t.Errorf("the ticket is %s when the agent is back", tk.State)
				}
				n.orderly = false
				n.down()
				h.set(func(h *citizen) { h.cut = true })
				n.up()
				n.at(15 * min1)
				all = n.tickets()
				const silent = "web1 is silent"
				if tk := all[silent]; len(all) != 1 || tk.State != ticket.Again || tk.Severity != incident.Critical {
					t.Errorf("tickets %q: it came back and is silent now, without a goodbye: %+v", titles(all), tk.Alerts)
				}
			})
		})
	}
}

// A host that is not heard any more after a start is asked where it last was, and its ticket says when it was heard.
func TestTheLastAddressOutlastsARestart(t *testing.T) {
	for name, tc := range map[string]struct {
		orderly, answers bool
		title            string
	}{
		"orderly stop": {true, true, "web1 is up, but its agent is silent"},
		"kill":         {false, false, "web1 is silent and cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			inTown(t, diskRules, func(n *town) {
				n.orderly = tc.orderly
				asked := &fakePinger{answers: map[string]error{}}
				if tc.answers {
					asked.answers["10.0.0.5"] = nil
				}
				n.pinger, n.cfg.Silence.Ping.Count = asked, 3
				n.down()
				n.up()
				h := n.hosts["web1"]
				h.set(func(h *citizen) { h.from = "10.0.0.5:4711" })
				n.at(10 * min1)
				h.set(func(h *citizen) { h.cut = true })
				n.down()
				n.at(20 * min1)
				n.up()
				listening := time.Now()
				n.at(22 * min1)
				all := n.tickets()
				if got := titles(all); !slices.Equal(got, []string{tc.title}) {
					t.Fatalf("tickets %q, want %q; asked %q", got, tc.title, asked.asked)
				}
				if !slices.Equal(asked.asked, []string{"10.0.0.5"}) {
					t.Errorf("asked %q", asked.asked)
				}
				a := all[tc.title].Alerts[0]
				if away := listening.Sub(a.FirstBadAt); away < 10*min1-20*time.Second || away > 10*min1+heardEvery {
					t.Errorf("it is told to be silent since %v before the start, and is for ten minutes", away)
				}
				rec := n.record(all[tc.title])
				for _, want := range []string{"before that the last one that is known of came at " + a.FirstBadAt.UTC().Format("2006-01-02 15:04:05 UTC"), "no report is known of since "} {
					if !strings.Contains(rec, want) {
						t.Errorf("%q is not in\n%s", want, rec)
					}
				}
				if tc.orderly && !slices.Contains([]string{"10m0s", "9m50s", "10m10s"}, listening.Sub(a.FirstBadAt).Round(10*time.Second).String()) {
					t.Errorf("an orderly stop knows when it was: %v", listening.Sub(a.FirstBadAt))
				}
			})
		})
	}
}

// A host that was shut down in order and does not answer is told of as one that cannot be reached, in one ticket.
func TestAHostThatDoesNotComeBackFromAReboot(t *testing.T) {
	inTown(t, diskRules, func(n *town) {
		n.pinger, n.cfg.Silence.Ping.Count = &fakePinger{}, 3
		n.down()
		n.up()
		n.at(10 * min1)
		n.hosts["web1"].halt()
		n.at(13 * min1)
		const title = "web1 stopped in order and cannot be reached since"
		n.down()
		n.up()
		n.at(23 * min1)
		tk := n.tickets()[title]
		if len(n.tickets()) != 1 || tk.Severity != incident.Critical || tk.Firing() != 1 || tk.Service != incident.Availability {
			t.Fatalf("tickets %q, %s, %d fire, service %s", titles(n.tickets()), tk.Severity, tk.Firing(), tk.Service)
		}
		n.hosts["web1"].run()
		n.at(24 * min1)
		if tk := n.tickets()[title]; tk.State != ticket.Done {
			t.Errorf("the ticket is %s when it is back", tk.State)
		}
	})
}

// countingKeeper counts transactions; unless hold is nil they say that they begin, and wait for it.
type countingKeeper struct {
	fleet.Keeper
	n           atomic.Int64
	begun, hold chan struct{}
}

func (k *countingKeeper) UpdateFleet(ctx context.Context, decision string, fn func(fleet.Records) error) error {
	k.n.Add(1)
	if k.hold != nil {
		k.begun <- struct{}{}
		<-k.hold
	}
	return k.Keeper.UpdateFleet(ctx, decision, fn)
}

// manyAgents is a fleet of n agents, heard at now each from an address of its own, and who remembers them.
func manyAgents(tb testing.TB, s store.Store, n int, now time.Time) (*remembering, *countingKeeper) {
	tb.Helper()
	k := &countingKeeper{Keeper: store.Keeper(s)}
	r := &remembering{facts: newFacts(), now: func() time.Time { return now }}
	if err := s.Update(context.Background(), "", func(tx store.Tx) error {
		for i := range n {
			name := fmt.Sprintf("h%05d", i)
			if err := tx.PutAgent(fleet.Agent{ID: "id-" + name, Asset: name, Customer: "acme", Site: "london"}); err != nil {
				return err
			}
			if err := tx.PutAsset(fleet.Asset{Name: name, Customer: "acme", Site: "london", Agent: "id-" + name}); err != nil {
				return err
			}
			r.facts.hosts[name] = hostFacts{Heard: now, Interval: 10 * time.Second, From: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	r.fleet = fleet.NewRegistry(k, fleet.Options{})
	if err := r.fleet.Load(context.Background()); err != nil {
		tb.Fatal(err)
	}
	k.n.Store(0)
	return r, k
}

func memoryStore(tb testing.TB) store.Store {
	tb.Helper()
	s, err := store.New(store.NewMemory(), store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// How hosts were seen is written when it changes, a thousand at a time.
func TestWhatIsSeenIsWrittenTogether(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r, k := manyAgents(t, memoryStore(t), 2500, now)
	r.now = func() time.Time { return now }
	hear := func(i int, change func(*hostFacts)) {
		name := fmt.Sprintf("h%05d", i)
		h := r.facts.hosts[name]
		h.Heard = now
		change(&h)
		r.facts.hosts[name] = h
	}
	everybody := func() {
		for i := range 2500 {
			hear(i, func(*hostFacts) {})
		}
	}
	for _, step := range []struct {
		what   string
		do     func()
		writes int64
	}{
		{"all are new", everybody, 3},
		{"nothing is new", func() {}, 0},
		{"a minute later", func() { now = now.Add(min1); everybody() }, 0},
		{"one has moved", func() { hear(7, func(h *hostFacts) { h.From = netip.MustParseAddr("2001:db8::7") }) }, 1},
		{"some report less often", func() {
			for i := range 900 {
				hear(i, func(h *hostFacts) { h.Interval = min1 })
			}
		}, 1},
		{"one is silent for four minutes", func() {
			now = now.Add(4 * min1)
			for i := range 2499 {
				hear(i, func(*hostFacts) {})
			}
		}, 1},
		{"it still is", func() {
			now = now.Add(min1)
			everybody()
			hear(2499, func(h *hostFacts) { h.Heard = now.Add(-5 * min1) })
		}, 0},
		{"a stop", func() {}, 3},
		{"it is long ago", func() { now = now.Add(heardEvery); everybody() }, 3},
	} {
		k.n.Store(0)
		step.do()
		if err := r.all(t.Context(), step.what == "a stop"); err != nil {
			t.Fatal(err)
		}
		if n := k.n.Load(); n != step.writes {
			t.Errorf("%s: %d transactions, want %d", step.what, n, step.writes)
		}
	}
	for _, a := range r.fleet.Agents() {
		if h, _ := r.facts.host(a.Asset); !a.Equal(h.seen()) {
			t.Fatalf("%s is kept as %+v, and was seen %+v", a.Asset, a.Seen, h.seen())
		}
	}
}

// Goodbyes that come together are written together, each before it is acknowledged.
func TestGoodbyesShareATransaction(t *testing.T) {
	r, k := manyAgents(t, memoryStore(t), 300, time.Now())
	k.begun, k.hold = make(chan struct{}, 300), make(chan struct{})
	var all sync.WaitGroup
	leave := func(i int) {
		name := fmt.Sprintf("h%05d", i)
		r.facts.mu.Lock()
		h := r.facts.hosts[name]
		h.Goodbye = "reboot"
		r.facts.hosts[name] = h
		r.facts.mu.Unlock()
		all.Go(func() {
			if err := r.keep(t.Context(), "id-"+name, name); err != nil {
				t.Error(err)
			}
			if a, _ := r.fleet.Seen(name); a.Goodbye != "reboot" {
				t.Errorf("the goodbye of %s is said to be kept, and is not", name)
			}
		})
	}
	leave(0)
	<-k.begun
	for i := 1; i < 300; i++ {
		leave(i)
	}
	for waiting := 0; waiting < 299; runtime.Gosched() {
		r.mu.Lock()
		if r.next != nil {
			waiting = len(r.next.agents)
		}
		r.mu.Unlock()
	}
	close(k.hold)
	all.Wait()
	if n := k.n.Load(); n != 2 {
		t.Errorf("%d transactions, want two: one was under way when the others came", n)
	}
}
