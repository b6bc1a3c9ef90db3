package api

import (
	"context"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// gate lets so many queries read at a time, and so many wait for that, in the order in which they came.
type gate struct {
	mu      sync.Mutex
	most    int
	queue   int
	running int
	waiting []chan struct{}
	// shown are the gauges of who reads and who waits, if any.
	shown [2]prometheus.Gauge
}

func newGate(running, waiting prometheus.Gauge) *gate {
	return &gate{shown: [2]prometheus.Gauge{running, waiting}}
}

// set changes how many may read and wait. Who reads or waits already stays.
func (g *gate) set(most, queue int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most, g.queue = most, queue
	g.call()
}

// call lets in who waits while there is room; the caller holds mu.
func (g *gate) call() {
	for len(g.waiting) > 0 && g.running < g.most {
		close(g.waiting[0])
		g.waiting = slices.Delete(g.waiting, 0, 1)
		g.running++
	}
	for i, n := range []int{g.running, len(g.waiting)} {
		if g.shown[i] != nil {
			g.shown[i].Set(float64(n))
		}
	}
}

// enter waits for a turn until ctx ends. What it gives ends the turn; only the first call counts.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	leave = sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		g.call()
	})
	g.mu.Lock()
	if g.running < g.most && len(g.waiting) == 0 {
		g.running++
		g.call()
		g.mu.Unlock()
		return leave, nil
	}
	if len(g.waiting) >= g.queue {
		g.mu.Unlock()
		return nil, &promError{Type: promUnavailable, Reason: "crowded", Err: crowdedError{g.most, g.queue}}
	}
	turn := make(chan struct{})
	g.waiting = append(g.waiting, turn)
	g.call()
	g.mu.Unlock()
	select {
	case <-turn:
		return leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, turn); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else { // it was called just now
		g.running--
	}
	g.call()
	return nil, contextError(ctx.Err(), "query queue")
}
