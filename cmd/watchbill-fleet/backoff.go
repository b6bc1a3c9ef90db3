package main

import (
	"errors"
	"net/http"
	"syscall"
	"time"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

// How an agent waits. These are package push's, which keeps them to itself; a test compares every wait with push's own.
const (
	backOffBase  = time.Second
	backOffCap   = 30 * time.Second
	distrustBase = 30 * time.Second
	distrustCap  = 5 * time.Minute
	maxLater     = 5 * time.Minute
	maxSpread    = 5 * time.Minute
)

// patience is how long an agent without a spool waits between attempts, which is as long as one with package push does.
type patience struct {
	fails  int           // failed attempts since the last answer
	spread time.Duration // over which to return once the connection breaks
	// rand gives numbers in [0, 1).
	rand func() float64
}

// heard takes note of an answer.
func (p *patience) heard(a *wire.Ack) {
	p.fails = 0
	p.spread = min(time.Duration(a.ReturnSpreadMs)*time.Millisecond, maxSpread)
}

// later obeys a collector that cannot take reports now.
func (p *patience) later(a *wire.Ack) time.Duration {
	wait := min(time.Duration(a.RetryAfterMs)*time.Millisecond, maxLater)
	return max(wait, backOffBase/2+p.jitter(backOffBase/2))
}

// failed is how long to wait after an attempt without an answer about its report: slowly when trust is missing or a
// person has to do something; over the spread the collector asked for when the line has just broken or the collector
// turned this agent away; otherwise exponentially.
func (p *patience) failed(err error) time.Duration {
	p.fails++
	var status *statusError
	switch {
	case enroll.Certificate(err), errors.As(err, &status) && status.slow():
		return distrustBase/2 + p.backOff(distrustBase, distrustCap)/2
	case status != nil && status.after > 0:
		return min(status.after, maxLater) + p.jitter(backOffBase)
	case status == nil && p.spread > 0 && (p.fails == 1 || errors.Is(err, syscall.ECONNRESET)):
		return p.jitter(p.spread)
	}
	return p.backOff(backOffBase, backOffCap)
}

// backOff is exponential with full jitter.
func (p *patience) backOff(base, ceiling time.Duration) time.Duration {
	d := ceiling
	if n := p.fails - 1; n < 16 {
		d = min(ceiling, base<<max(n, 0))
	}
	return p.jitter(d)
}

func (p *patience) jitter(d time.Duration) time.Duration { return time.Duration(p.rand() * float64(d)) }

// slow tells whether a person has to do something before another try can succeed.
func (e *statusError) slow() bool {
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// final tells whether this very report will never be taken.
func (e *statusError) final() bool {
	return e.code == http.StatusRequestEntityTooLarge || e.code == http.StatusBadRequest || e.code == http.StatusUnprocessableEntity
}
