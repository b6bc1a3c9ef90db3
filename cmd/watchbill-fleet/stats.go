package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stats is what a run counts. Safe for concurrent use.
type stats struct {
	// reports and samples were acknowledged; superseded reports gave way to newer ones before they could be delivered
	// (an agent would have kept them in its spool); late ones began more than an interval after their time, because this
	// process could not keep up.
	reports, samples, superseded, late atomic.Uint64
	// sentBytes are bodies, as they went over the line, repetitions too.
	sentBytes atomic.Uint64
	// connects counts handshakes, connected connections that stand.
	connects  atomic.Uint64
	connected atomic.Int64
	// shapes counts reports that were sent again because the collector asked for shapes.
	shapes atomic.Uint64
	// replayed counts reports of spooling agents that were delivered behind newer ones.
	replayed atomic.Uint64

	// latency is from sample to acknowledgement.
	latency histogram

	mu sync.Mutex
	// refused counts what the collector would not take, by its reason; failed what never got an answer, by ours.
	refused, failed map[string]uint64
	// attacks counts what hostile agents did, by kind and answer.
	attacks map[string]uint64
	back    comeback
}

func newStats() *stats {
	return &stats{refused: map[string]uint64{}, failed: map[string]uint64{}, attacks: map[string]uint64{}}
}

func (s *stats) refuse(reason string) { s.count(s.refused, reason) }
func (s *stats) attack(what string)   { s.count(s.attacks, what) }

func (s *stats) count(in map[string]uint64, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[what]++
}

// fail counts an attempt that ended without an answer.
func (s *stats) fail(err error, now time.Time) {
	s.count(s.failed, failure(err))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back.failed(now)
}

// failure is the word under which an error of the line is counted.
func failure(err error) string {
	var remote *net.OpError
	var slow net.Error
	var trust *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody_listens"
	case errors.As(err, &trust):
		return "untrusted"
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "turned_away"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "broken_off"
	}
	return "other"
}

// reasons are the counts by reason at this time.
func (s *stats) reasons() (refused, failed, attacks map[string]uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.refused), maps.Clone(s.failed), maps.Clone(s.attacks)
}

// heard notes that an agent had an answer of this incarnation of the collector, having had one of another, or none,
// before. expected is how many agents are to report now.
func (s *stats) heard(incarnation uint64, now time.Time, expected int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back.heard(incarnation, now, expected)
}

// returns are the comebacks so far.
func (s *stats) returns() []returned {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back.all()
}

// comeback follows how a fleet returns to a collector that started anew. It is pure: times are arguments.
type comeback struct {
	incarnation uint64
	lost        time.Time // the first failure since the last return was complete
	done        []returned
	current     *returned
}

// returned is one return of the fleet, the first included.
type returned struct {
	// Incarnation of the collector they came to.
	Incarnation uint64 `json:"incarnation"`
	// Lost is when the first agent failed, zero for the first time; First when the first had an answer, Last the last.
	Lost  time.Time `json:"lost,omitzero"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last,omitzero"`
	// Agents that are back, of those Expected.
	Agents   int `json:"agents"`
	Expected int `json:"expected"`
}

// whole tells whether all are back.
func (r returned) whole() bool { return r.Agents >= r.Expected }

func (c *comeback) failed(now time.Time) {
	if c.lost.IsZero() {
		c.lost = now
	}
}

func (c *comeback) heard(incarnation uint64, now time.Time, expected int) {
	if c.current == nil || c.incarnation != incarnation {
		if c.current != nil {
			c.done = append(c.done, *c.current)
		}
		c.incarnation = incarnation
		c.current = &returned{Incarnation: incarnation, Lost: c.lost, First: now}
	}
	c.current.Agents++
	c.current.Expected, c.current.Last = expected, now
	if c.current.whole() {
		c.lost = time.Time{}
	}
}

func (c *comeback) all() []returned {
	out := append([]returned(nil), c.done...)
	if c.current != nil {
		out = append(out, *c.current)
	}
	return out
}
