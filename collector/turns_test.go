package collector

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"testing"
)

// Everybody gets exactly one turn, never two at a time, also when more come than one caller leads.
func TestTurnsAreTakenOneByOne(t *testing.T) {
	var q turns
	var inside, done atomic.Int64
	var wg sync.WaitGroup
	for range 20 * maxLed {
		wg.Go(func() {
			if q.do(func() {
				if inside.Add(1) != 1 {
					t.Error("two at a time")
				}
				inside.Add(-1)
			}) {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if done.Load() != 20*maxLed || q.busy || len(q.waiting) != 0 {
		t.Errorf("%d of %d turns, busy %v, %d waiting", done.Load(), 20*maxLed, q.busy, len(q.waiting))
	}
}

// More than can be served in time are turned away at once, and those who wait are served.
func TestTurnsAreBounded(t *testing.T) {
	var q turns
	inside, goOn := make(chan struct{}), make(chan struct{})
	var served atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() { q.do(func() { close(inside); <-goOn }) })
	<-inside
	answers := make(chan bool, 2*maxTurns)
	for range 2 * maxTurns {
		wg.Go(func() { answers <- q.do(func() { served.Add(1) }) })
	}
	for range maxTurns { // the half that is turned away need not wait
		if <-answers {
			t.Fatal("served while another's turn lasts")
		}
	}
	close(goOn)
	wg.Wait()
	for range maxTurns {
		if !<-answers {
			t.Fatal("turned away although there was room")
		}
	}
	if served.Load() != maxTurns {
		t.Errorf("%d served, want %d", served.Load(), maxTurns)
	}
}

// The caller that works is not kept working for others for ever, and their order is that in which they came.
func TestTurnsAreHandedOver(t *testing.T) {
	var q turns
	const n = 3*maxLed + 5
	inside := make(chan struct{})
	goOn := make(chan struct{})
	var order []int
	var wg sync.WaitGroup
	wg.Go(func() {
		q.do(func() { close(inside); <-goOn })
	})
	<-inside
	waiting := func() int {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.waiting)
	}
	for i := range n {
		wg.Go(func() { q.do(func() { order = append(order, i) }) })
		for waiting() != i+1 { // until it has queued up
		}
	}
	close(goOn)
	wg.Wait()
	if len(order) != n {
		t.Fatalf("%d turns, want %d", len(order), n)
	}
	for i, got := range order {
		if got != i {
			t.Fatalf("turn %d was %d's", i, got)
		}
	}
}

// A panic hits who brought it, and nobody who waits is forgotten over it.
func TestTurnsSurviveAPanic(t *testing.T) {
	var q turns
	inside, goOn := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { q.do(func() { close(inside); <-goOn }) })
	<-inside
	hit := make(chan any, 1)
	wg.Go(func() {
		defer func() { hit <- recover() }()
		q.do(func() { panic("broken") })
	})
	ran := make(chan struct{})
	wg.Go(func() { q.do(func() { close(ran) }) })
	close(goOn)
	wg.Wait()
	<-ran
	if got := <-hit; got != "broken" {
		t.Errorf("the caller got %v", got)
	}
	q.do(func() {})
}

// An asset keeps its lane, and what lasts in one lane holds up no other.
func TestLanesDoNotWaitForEachOther(t *testing.T) {
	l := &lanes{make([]turns, 2), maphash.MakeSeed()}
	lane := func(asset string) *turns {
		var at *turns
		l.do(asset, func() {
			for i := range l.of {
				if l.of[i].busy {
					at = &l.of[i]
				}
			}
		})
		return at
	}
	slow, other := "web0", ""
	for n := 1; other == ""; n++ {
		if name := fmt.Sprint("web", n); lane(name) != lane(slow) {
			other = name
		}
	}
	if again := lane(slow); again != lane(slow) {
		t.Error("an asset changed its lane")
	}
	inside, goOn := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.do(slow, func() { close(inside); <-goOn }) })
	<-inside
	if !l.do(other, func() {}) {
		t.Error("turned away")
	}
	close(goOn)
	wg.Wait()
}
