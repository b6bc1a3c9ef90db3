package collector

import (
	"hash/maphash"
	"runtime"
	"sync"
)

const (
	// maxLed is how many turns one caller takes for others before it hands over: its own agent waits for its answer.
	maxLed = 64
	// maxTurns is how many may wait at one of lanes: all together at least two seconds of what ten thousand hosts report.
	// Who comes to more is told to come again, for agents give up after 30 s, and what nobody waits for any more would be
	// done in vain, again and again.
	maxTurns = 1500
)

// lanes are turns for each processor: an asset always takes its turns in the same lane, so that its reports keep their order,
// and one whose report takes long holds up none of another lane.
type lanes struct {
	of   []turns
	seed maphash.Seed
}

func newLanes() *lanes {
	return &lanes{make([]turns, runtime.GOMAXPROCS(0)), maphash.MakeSeed()}
}

// do is that of turns, in the asset's lane.
func (l *lanes) do(asset string, f func()) bool {
	return l.of[maphash.String(l.seed, asset)%uint64(len(l.of))].do(f)
}

// turns runs functions one after the other, in the order they came, in the goroutine of whoever is there already.
//
// It stands where thousands of requests want one lock. Under a mutex each would be woken, queue behind everything that
// can run (after a restart that is thousands of handshakes), work for microseconds and wake the next: the lock is idle
// nearly all of the time, and with two processors and ten thousand agents 30 reports a second got through. Here who
// works goes on with the next one's work, and who waits is woken only to be told that it is done. The zero value is
// ready.
type turns struct {
	mu      sync.Mutex
	busy    bool
	waiting []*turn
}

// turn is one caller's.
type turn struct {
	run func()
	// told says once how it goes on: true when run was called, false when it is this caller's part to lead.
	told     chan bool
	panicked any
}

// do returns true when f was called, false when too many wait already. A panic of f is the caller's, whoever ran it.
func (q *turns) do(f func()) bool {
	t := &turn{run: f, told: make(chan bool, 1)}
	q.mu.Lock()
	if len(q.waiting) >= maxTurns {
		q.mu.Unlock()
		return false
	}
	q.waiting = append(q.waiting, t)
	lead := !q.busy
	q.busy = true
	q.mu.Unlock()
	if lead || !<-t.told {
		q.lead(t)
	}
	if t.panicked != nil {
		panic(t.panicked)
	}
	return true
}

// lead takes turns, own first, until nobody waits or another can lead.
func (q *turns) lead(own *turn) {
	for n := 0; ; n++ {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.busy = nil, false
			q.mu.Unlock()
			return
		}
		t := q.waiting[0]
		if n < maxLed {
			q.waiting[0] = nil
			q.waiting = q.waiting[1:]
		}
		q.mu.Unlock()
		if n >= maxLed {
			t.told <- false
			return
		}
		t.call()
		if t != own {
			t.told <- true
		}
	}
}

func (t *turn) call() {
	defer func() { t.panicked = recover() }()
	t.run()
}
