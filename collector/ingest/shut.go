package ingest

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// An address that keeps coming though it is turned away costs a connection each time. Where the kernel can do it, what
// comes from there is dropped before it becomes one, a second at a time: it costs next to nothing then, and fills no
// queue that others stand in. An honest agent behind the same address tries again by itself, as for any lost packet.
const (
	// shutFor is how long one is not listened to; refusedPerSecond and refusedAtOnce are what it is turned away before.
	shutFor          = time.Second
	refusedPerSecond = 50
	refusedAtOnce    = 200
	// maxShut is how many at a time: more are a flood from everywhere.
	maxShut = 64
)

// Listen takes host:port as agents need it: in plain TCP, because what Multipath TCP adds, which net.Listen offers by itself,
// costs every connection and cannot shut anybody out.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(ctx, "tcp", address)
}

// shutters keep addresses out.
type shutters struct {
	// drop has the kernel drop what comes from these addresses and from no others; nil where it cannot.
	drop func([]netip.Addr) error
	// cannot is why drop is nil where the kernel was asked and refused.
	cannot error

	mu    sync.Mutex
	until map[netip.Addr]time.Time
	timer *time.Timer // opens again; nil when nothing is shut
}

// shut keeps an address out for a while; false when it is already, when that is not possible, or too many are.
func (s *shutters) shut(a netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drop == nil || !a.IsValid() || len(s.until) >= maxShut {
		return false
	}
	if _, already := s.until[a]; already {
		return false // it had come before that, and waited in the kernel's queue
	}
	s.until[a] = now.Add(shutFor)
	if !s.apply() {
		return false
	}
	if s.timer == nil {
		s.timer = time.AfterFunc(shutFor, s.open)
	}
	return true
}

// apply tells the kernel; what it does not take it is not asked again. The caller holds mu.
func (s *shutters) apply() bool {
	if err := s.drop(slices.Collect(maps.Keys(s.until))); err != nil {
		s.drop, s.until = nil, nil
		return false
	}
	return true
}

// open lets those in again whose time is over.
func (s *shutters) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = nil
	if s.drop == nil {
		return
	}
	now := time.Now()
	next := shutFor
	maps.DeleteFunc(s.until, func(_ netip.Addr, until time.Time) bool {
		if now.Before(until) {
			next = min(next, until.Sub(now))
			return false
		}
		return true
	})
	if s.apply() && len(s.until) > 0 {
		s.timer = time.AfterFunc(next, s.open)
	}
}

// close ends it; the listener is closed.
func (s *shutters) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.drop, s.timer = nil, nil
}
