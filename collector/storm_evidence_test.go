package collector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// record is what a ticket says in all.
func (w *weather) record(t ticket.Ticket) (said string) {
	w.t.Helper()
	w.view(func(tx store.Tx) error {
		line, err := tx.Timeline(t.ID)
		if err != nil {
			return err
		}
		r, err := ticket.AssembleRecord(line, func(seq int) ([]byte, bool, error) { return tx.Evidence(t.ID, seq) })
		said = text(r.Time) + text(r.Symptom) + text(r.Users) + text(r.Errors) + text(r.Actions)
		return err
	})
	return said
}

// allTell finds that every ticket of the storm tells of what.
func (w *weather) allTell(what string) {
	w.t.Helper()
	for _, m := range w.members() {
		if said := w.record(m); !strings.Contains(said, what) {
			w.t.Errorf("%s has %s", m.Number, said)
		}
	}
}

// fails has a unit fail on each of the first n hosts, a minute ago.
func (w *weather) fails(n int) {
	w.t.Helper()
	err := w.store.Update(context.Background(), "", func(tx store.Tx) error {
		for i := range n {
			if _, err := tx.PutEvent(store.HostEvent{Asset: fmt.Sprintf("host%05d", i), Epoch: 1, ID: 1, Kind: "unit_failed",
				At: w.at.Add(-time.Minute), Text: "nginx failed"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// When many alerts come at once, what takes time to read is left out of most tickets, which say so, and added later.
func TestEvidenceLeftOutIsAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 500)
		const n = wholeAtOnce + 90
		w.fails(n)
		w.strike(0, n)
		count := func(what string) (tickets int) {
			for _, m := range w.members() {
				if strings.Contains(w.record(m), what) {
					tickets++
				}
			}
			return tickets
		}
		if thin, whole := count(leftOut), count("nginx failed"); thin != n-wholeAtOnce || whole != wholeAtOnce {
			t.Fatalf("%d tickets say that something was left out, %d have their events; want %d and %d", thin, whole, n-wholeAtOnce, wholeAtOnce)
		}
		w.clear(n-5, n) // nobody looks for their cause any more
		w.later(time.Second)
		w.pipeline.thin.waiting, w.pipeline.thin.recalled = nil, false // as after a start
		for range n {                                                  // a look adds to some
			w.later(time.Second)
			if len(w.pipeline.thin.waiting) == 0 {
				break
			}
		}
		w.view(func(tx store.Tx) error {
			owed, err := tx.Owed(n)
			if len(owed) > 0 {
				t.Errorf("evidence of %d alerts is owed in the end", len(owed))
			}
			return err
		})
		if got := count("nginx failed"); got != n-5 {
			t.Errorf("%d tickets have their events in the end, want %d", got, n-5)
		}
	})
}

// slowly is a store that takes its time to read, and gives up when it may not have it.
type slowly struct {
	store.Store
	by time.Duration
}

func (s slowly) View(ctx context.Context, fn func(store.Tx) error) error {
	select {
	case <-time.After(s.by):
		return s.Store.View(ctx, fn)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// What was begun to be read is read to its end, though the time for it is over meanwhile: nobody would look for it again.
func TestEvidenceThatIsBegunIsWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 200)
		const n = wholeAtOnce + 5
		w.fails(n)
		w.strike(0, n)
		w.pipeline.evidence.store = slowly{w.store, 2 * fillFor}
		for range n - wholeAtOnce { // one at a time
			w.later(time.Second)
		}
		w.allTell("nginx failed")
	})
}

// What could not be read in time is read later, although nobody else was in the way.
func TestEvidenceThatComesTooLateIsAddedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 200)
		w.fails(1)
		w.pipeline.evidence.store = slowly{w.store, 2 * evidenceBudget}
		w.strike(0, 1)
		w.pipeline.evidence.store = w.store
		said := func() string { return w.record(w.members()[0]) }
		if got := said(); !strings.Contains(got, leftOut) {
			t.Errorf("it says %s", got)
		}
		w.later(time.Second)
		if got := said(); !strings.Contains(got, "nginx failed") {
			t.Errorf("later it says %s", got)
		}
	})
}

// What is left out is not looked for before its ticket is open: it would be taken for over, and never be added.
func TestEvidenceIsNotAddedBeforeItsTicketOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 200)
		const n = wholeAtOnce + 5
		w.fails(n)
		of := w.pipeline.evidence.failing
		w.pipeline.evidence.failing = func(asset string) []failing {
			w.later(0)
			return of(asset)
		}
		w.strike(0, n)
		w.pipeline.evidence.failing = of
		w.later(time.Second)
		w.allTell("nginx failed")
	})
}

// damaged is a store whose reading fails for good.
type damaged struct{ store.Store }

func (damaged) View(context.Context, func(store.Tx) error) error { return store.ErrDamaged }

// Events that no time will make readable are not looked for again: the ticket says why it has none.
func TestEvidenceThatCannotBeReadIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 200)
		w.fails(wholeAtOnce + 1)
		w.strike(0, wholeAtOnce+1)
		var last ticket.Ticket
		for _, m := range w.members() {
			if strings.Contains(w.record(m), leftOut) {
				last = m
			}
		}
		w.pipeline.evidence.store = damaged{w.store}
		w.later(time.Second)
		if said := w.record(last); !strings.Contains(said, store.ErrDamaged.Error()) || len(w.pipeline.thin.waiting) != 0 {
			t.Errorf("%d wait, and it says %s", len(w.pipeline.thin.waiting), said)
		}
	})
}

// Events that could not be read in time for what was left out are read later.
func TestEvidenceIsLookedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeather(t, 200)
		const n = wholeAtOnce + 1
		w.fails(n)
		w.strike(0, n)
		w.pipeline.evidence.store = slowly{w.store, 2 * evidenceBudget}
		w.later(time.Second)
		w.pipeline.evidence.store = w.store
		w.later(time.Second)
		w.allTell("nginx failed")
	})
}

// An alert that comes alone has its evidence whole, however many come in a day.
func TestEvidenceIsWholeWhenItIsCalm(t *testing.T) {
	var s thin
	at := noonOf
	for range 1000 {
		if s.whole(1, at) != 1 {
			t.Fatal("left out")
		}
		at = at.Add(time.Second / wholePerSecond)
	}
	for name, tc := range map[string]struct {
		n, want int
		after   time.Duration
	}{
		"more than there is": {wholeAtOnce + 5, wholeAtOnce, time.Hour},
		"some":               {5, 5, time.Hour},
		"none":               {0, 0, time.Hour},
	} {
		if at = at.Add(tc.after); s.whole(tc.n, at) != tc.want {
			t.Errorf("%s: not %d of %d", name, tc.want, tc.n)
		}
	}
	s.whole(wholeAtOnce, at)
	if got := s.whole(10, at.Add(-time.Hour)); got != 0 {
		t.Errorf("%d when the clock was set back", got)
	}
	if got := s.whole(100, at.Add(time.Second)); got > wholeAtOnce {
		t.Errorf("%d, more than at once", got)
	}
}

// What waits is bounded.
func TestEvidenceThatWaitsIsBounded(t *testing.T) {
	var s thin
	for range maxThin + 10 {
		s.owe(incident.Alert{})
	}
	if got := len(s.next(maxThin + 10)); got != maxThin || len(s.next(1)) != 0 {
		t.Errorf("%d wait, want %d", got, maxThin)
	}
}
