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

	"github.com/watchbill/watchbill/agent/wire"
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
	// backlog counts reports, of those that were acknowledged, that came out of a spool behind newer ones; replayed
	// such as had been acknowledged before and were sent again on demand.
	backlog, replayed atomic.Uint64

	// latency is from sample to acknowledgement, of live reports.
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
func (s *stats) refuseBlocks(all []*wire.Refusal) {
	for _, r := range all {
		s.refuse(r.Reason)
	}
}

func (s *stats) attack(what string) { s.count(s.attacks, what) }

func (s *stats) count(in map[string]uint64, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[what]++
}

// fail counts an attempt that ended without an answer.
func (s *stats) fail(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[failure(err)]++
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
	case errors.Is(err, errShapes):
		return "kept_asking_for_shapes"
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

// heard notes an answer to an agent, and how far it is back with that.
func (s *stats) heard(w *standing, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back.heard(w, a)
}

// join counts an agent that is to report from now on; leave takes out one that falls silent.
func (s *stats) join(w *standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back.join(w)
}

func (s *stats) leave(w *standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back.leave(w)
}

// awake is how many agents are to report now.
func (s *stats) awake() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back.awake
}

// returns are the comebacks so far.
func (s *stats) returns() []returned {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back.all()
}
