package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

var noonOf = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newPipeline is a pipeline on a store, without anything around it.
func newPipeline(t testing.TB, s store.Store, assets int) *pipeline {
	t.Helper()
	book, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	registry := fleet.NewRegistry(store.Keeper(s), fleet.Options{})
	if err := registry.SetDirectory(county(assets)); err != nil {
		t.Fatal(err)
	}
	p := &pipeline{
		store: s, fleet: registry, wake: func() {}, metrics: newMetrics(prometheus.NewRegistry()),
		log: slog.New(slog.DiscardHandler), now: func() time.Time { return noonOf },
	}
	if err := p.agree(context.Background(), book); err != nil {
		t.Fatal(err)
	}
	p.evidence = gatherer{
		facts: newFacts(), fleet: registry, store: s, zones: p.zones, failing: func(string) []failing { return nil },
		standing: func() []rules.Transition { return nil },
	}
	cfg := DefaultConfig()
	cfg.Receivers = []notify.Receiver{{Name: "desk"}}
	p.tell(cfg)
	return p
}

// prepared are commits of transitions, each of its own caller.
func prepared(t testing.TB, p *pipeline, all ...[]rules.Transition) (out []*commit) {
	t.Helper()
	for _, ts := range all {
		c, err := p.prepare(context.Background(), p.now(), ts, p.now())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// halting is a store whose Updates wait to be let through.
type halting struct {
	store.Store
	began, goOn chan struct{}
	updates     int
}

func (h *halting) Update(ctx context.Context, decision string, fn func(store.Tx) error) error {
	h.updates++
	h.began <- struct{}{}
	<-h.goOn
	return h.Store.Update(ctx, decision, fn)
}

// waiting is how many commits wait to be written.
func (q *committer) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// Who commits while another commit is being written shares the next transaction, and one alone waits for nobody.
func TestCommitsShareATransaction(t *testing.T) {
	h := &halting{Store: storetest.Open(t), began: make(chan struct{}), goOn: make(chan struct{})}
	p := newPipeline(t, h, 500)
	var all sync.WaitGroup
	errs := make(chan error, 300)
	send := func(ctx context.Context, n int) {
		all.Go(func() { errs <- p.Commit(ctx, noonOf, flips(n, "DiskFull", noonOf)) })
	}
	send(t.Context(), 0)
	<-h.began
	gone, leave := context.WithCancel(t.Context())
	for n := 1; n < 200; n++ {
		send(t.Context(), n)
	}
	go func() { errs <- p.Commit(gone, noonOf, flips(200, "DiskFull", noonOf)) }()
	for p.commits.waiting() != 200 { // until they queue
	}
	leave() // who goes while it waits has no effect, and nobody waits for it
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("a commit whose caller left: %v", err)
	}
	h.goOn <- struct{}{}
	<-h.began
	h.goOn <- struct{}{}
	all.Wait()
	for range 200 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if h.updates != 2 || !p.commits.idle() {
		t.Errorf("%d transactions, want 2; idle %v", h.updates, p.commits.idle())
	}
	if got := len(keysOf(t, h)); got != 200 {
		t.Errorf("%d tickets, want 200", got)
	}
}

// When the caller leaves whose turn it is, those who wait are written all the same.
func TestCommitOutlivesItsCaller(t *testing.T) {
	h := &halting{Store: storetest.Open(t), began: make(chan struct{}), goOn: make(chan struct{})}
	p := newPipeline(t, h, 500)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Commit(ctx, noonOf, flips(0, "DiskFull", noonOf)) }()
	<-h.began
	leave()
	h.goOn <- struct{}{}
	if err := <-done; err != nil {
		t.Errorf("a commit that was being written when its caller left: %v, want its real outcome", err)
	}
}

// keysOf are the incidents with an open ticket, in order.
func keysOf(t testing.TB, s store.Store) (keys []string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		keys = nil
		ts, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Limit: 100_000})
		for _, tk := range ts {
			if tk.Kind == ticket.KindIncident {
				keys = append(keys, tk.Key)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

var errBad = errors.New("this one cannot be written")

// choosy is a store that takes no alert of some assets.
type choosy struct {
	store.Store
	bad map[string]bool
}

type choosyTx struct {
	store.Tx
	bad map[string]bool
}

func (c choosy) Update(ctx context.Context, decision string, fn func(store.Tx) error) error {
	return c.Store.Update(ctx, decision, func(tx store.Tx) error { return fn(choosyTx{tx, c.bad}) })
}

func (c choosyTx) PutAlert(s store.AlertState) error {
	if c.bad[s.Alert.Labels.Get("instance")] {
		return errBad
	}
	return c.Tx.PutAlert(s)
}

// What fails fails alone, wherever it stands, and however many do.
func TestCommitFailsAlone(t *testing.T) {
	for name, bad := range map[string][]int{
		"none": nil, "the first": {0}, "the last": {29}, "one": {17}, "some": {3, 4, 28}, "all but one": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
			10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29},
	} {
		t.Run(name, func(t *testing.T) {
			s := choosy{storetest.Rerun(storetest.Open(t)), map[string]bool{}}
			for _, n := range bad {
				s.bad[fmt.Sprintf("host%05d", n)] = true
			}
			p := newPipeline(t, s, 500)
			var all [][]rules.Transition
			for n := range 30 {
				all = append(all, flips(n, "DiskFull", noonOf))
			}
			batch := prepared(t, p, all...)
			p.writeAll(batch)
			for n, c := range batch {
				if want := slices.Contains(bad, n); errors.Is(c.err, errBad) != want || !want && c.err != nil {
					t.Errorf("commit %d: %v", n, c.err)
				}
			}
			if got := len(keysOf(t, s)); got != 30-len(bad) {
				t.Errorf("%d tickets, want %d", got, 30-len(bad))
			}
		})
	}
}

// A store that takes nothing says so to everybody, and nothing is kept; then all is taken that is sent again.
func TestCommitsOnAFullDisk(t *testing.T) {
	s := storetest.Open(t)
	p := newPipeline(t, fullStore{s}, 500)
	var all [][]rules.Transition
	for n := range 30 {
		all = append(all, flips(n, "DiskFull", noonOf))
	}
	batch := prepared(t, p, all...)
	p.writeAll(batch)
	for n, c := range batch {
		if !errors.Is(c.err, store.ErrFull) {
			t.Errorf("commit %d: %v, want that the disk is full", n, c.err)
		}
	}
	p.store = s
	for _, c := range batch {
		c.err = nil
	}
	p.writeAll(batch)
	if got := len(keysOf(t, s)); got != 30 || batch[0].err != nil {
		t.Errorf("%d tickets, %v", got, batch[0].err)
	}
}

// unsure is a store whose answers are lost after it committed.
type unsure struct{ store.Store }

func (u unsure) Update(ctx context.Context, decision string, fn func(store.Tx) error) error {
	if err := u.Store.Update(ctx, decision, fn); err != nil {
		return err
	}
	return store.ErrDisk
}

// A commit whose outcome nobody learned is repeated beside others, and takes effect once.
func TestCommitRepeatedTakesEffectOnce(t *testing.T) {
	s := storetest.Open(t)
	p := newPipeline(t, unsure{s}, 500)
	over := flips(0, "DiskFull", noonOf)
	over[0].From, over[0].Alert.State, over[0].Alert.EndedAt, over[0].Alert.End = rules.Firing, rules.Inactive, noonOf, rules.Recovered
	batch := prepared(t, p, flips(0, "DiskFull", noonOf), flips(1, "DiskFull", noonOf), over)
	p.writeAll(batch)
	if !errors.Is(batch[0].err, store.ErrDisk) {
		t.Fatal(batch[0].err)
	}
	p.store = s
	before, _ := contents(t, s)
	again := prepared(t, p, flips(1, "DiskFull", noonOf), flips(2, "DiskFull", noonOf), flips(2, "DiskFull", noonOf), flips(0, "DiskFull", noonOf))
	p.writeAll(again)
	for _, c := range again {
		if c.err != nil {
			t.Error(c.err)
		}
	}
	tickets, messages := contents(t, s)
	if d := cmp.Diff(before, tickets[:2]); d != "" || len(tickets) != 3 || len(messages) != 4 {
		t.Errorf("%d tickets, %d messages, want 3 and 4; what was there before changed: %s", len(tickets), len(messages), d)
	}
}

// contents is what a store holds of incidents but for numbers and what comes of them: tickets, and messages by incident.
func contents(t testing.TB, s store.Store) (tickets []string, messages []string) {
	t.Helper()
	err := s.View(context.Background(), func(tx store.Tx) error {
		tickets, messages = nil, nil
		all, err := tx.Tickets(store.TicketFilter{Limit: 100_000})
		if err != nil {
			return err
		}
		keys := map[string]string{}
		for _, tk := range all {
			keys[tk.ID] = tk.Key
			if tk.Kind != ticket.KindIncident {
				continue
			}
			said := fmt.Sprintf("%s %s %s reopened %d, links %d:", tk.Key, tk.State, tk.Priority, tk.Reopened, len(tk.Links))
			for _, a := range tk.Alerts {
				said += fmt.Sprintf(" %s firing %v", a.Name, a.Firing())
			}
			line, err := tx.Timeline(tk.ID)
			if err == nil {
				err = ticket.VerifyChain(line, tk.Seq, tk.Head)
			}
			if err != nil {
				return err
			}
			for _, e := range line {
				if e.Kind != ticket.StormJoined && e.Kind != ticket.StormLeft {
					said += " " + string(e.Kind)
				}
			}
			tickets = append(tickets, said)
		}
		ms, err := tx.Messages(outbox.Queued, 100_000)
		for _, m := range ms {
			messages = append(messages, keys[m.Ticket]+" "+m.What)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tickets)
	slices.Sort(messages)
	return tickets, messages
}

// Batched and one by one give the same tickets, and the same messages where there is no storm.
func TestBatchedIsAsOneByOne(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		assets := rapid.SampledFrom([]int{6, 40}).Draw(r, "assets")
		sA, sB := storetest.Open(t), storetest.Open(t)
		one, many := newPipeline(t, sA, 500), newPipeline(t, sB, 500)
		at := noonOf
		clock := func() time.Time { return at }
		one.now, many.now = clock, clock
		firing := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(r, "rounds") {
			var all [][]rules.Transition
			for i := range rapid.IntRange(1, 40).Draw(r, "commits") {
				n := rapid.IntRange(0, assets-1).Draw(r, "asset")
				name := rapid.SampledFrom([]string{"DiskFull", "DiskSlow"}).Draw(r, "rule")
				ts := flips(n, name, at)
				ts[0].Alert.ActiveAt = at.Add(time.Duration(i) * time.Millisecond) // no two are the same decision
				if id := fmt.Sprint(n, name); firing[id] {
					ts[0].From, ts[0].Alert.State, ts[0].Alert.EndedAt = rules.Firing, rules.Inactive, at
					ts[0].Alert.End = rapid.SampledFrom([]rules.End{rules.Recovered, rules.SeriesGone}).Draw(r, "end")
					firing[id] = false
				} else {
					firing[id] = true
				}
				all = append(all, ts)
			}
			for _, c := range prepared(t, one, all...) {
				one.writeAll([]*commit{c})
				if c.err != nil {
					r.Fatal(c.err)
				}
			}
			batch := prepared(t, many, all...)
			many.writeAll(batch)
			for _, c := range batch {
				if c.err != nil {
					r.Fatal(c.err)
				}
			}
			at = at.Add(time.Duration(rapid.IntRange(1, 40).Draw(r, "hours")) * time.Hour)
		}
		ticketsA, messagesA := contents(t, sA)
		ticketsB, messagesB := contents(t, sB)
		if d := cmp.Diff(ticketsA, ticketsB); d != "" {
			r.Fatalf("one by one -, batched +\n%s", d)
		}
		if d := cmp.Diff(messagesA, messagesB); d != "" && assets < correlation.Assets {
			r.Fatalf("messages: one by one -, batched +\n%s", d)
		}
	})
}

// A transaction is bounded by what it holds; what one caller brings is never divided.
func TestCommitsAreBounded(t *testing.T) {
	var q committer
	of := func(changes, bytes int) *commit { return &commit{changes: make([]change, changes), bytes: bytes} }
	for name, tc := range map[string]struct {
		queue []*commit
		want  int
	}{
		"many":             {slices.Repeat([]*commit{of(1, 1)}, maxTogether+5), maxTogether},
		"one greater":      {[]*commit{of(3*maxTogether, 1), of(1, 1)}, 1},
		"a greater second": {[]*commit{of(1, 1), of(maxTogether, 1), of(1, 1)}, 1},
		"much":             {[]*commit{of(1, bytesTogether/2), of(1, bytesTogether/2), of(1, 1)}, 2},
		"one much":         {[]*commit{of(1, 2*bytesTogether), of(1, 1)}, 1},
	} {
		q.queue = tc.queue
		if got := len(q.take()); got != tc.want || len(q.queue) != len(tc.queue)-tc.want {
			t.Errorf("%s: %d together and %d left, want %d", name, got, len(q.queue), tc.want)
		}
	}
}
