package push

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Stats is what became of reports since the start, and how the line is.
type Stats struct {
	// Sent counts requests, Acknowledged reports accepted, Replayed those of them sent again on demand.
	Sent, Acknowledged, Replayed uint64
	// Refused counts reports the collector will never take, RefusedBlocks blocks of accepted reports it did not apply.
	Refused, RefusedBlocks uint64
	// Failures counts attempts that ended without an answer about the report: line, trust, or a collector in trouble.
	Failures uint64
	// Lost counts reports that were held in memory only and pushed out by newer ones.
	Lost uint64
	// LastSuccess is when the collector last disposed of a report, by this host's wall clock; zero: never.
	LastSuccess time.Time
	// LastError is the failure of the last attempt; empty when it succeeded.
	LastError string
}

// Stats is a snapshot.
func (p *Push) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

func (p *Push) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

// deliver tries it once and says how long to wait before anything else is sent.
func (p *Push) deliver(ctx context.Context, it item) time.Duration {
	a, err := p.exchange(ctx, it)
	var status *statusError
	if errors.As(err, &status) && status.final() {
		p.refused(it, "status_"+fmt.Sprint(status.code), status.text)
		return p.finish(it)
	}
	if err != nil {
		return p.failed(err)
	}
	p.heard(a)
	switch a.Ack.Result {
	case wire.Ack_RESULT_ACCEPTED:
		p.accepted(it, a.Ack)
		return p.finish(it)
	case wire.Ack_RESULT_REFUSED:
		p.refused(it, "refused", a.Ack.Error)
		return p.finish(it)
	case wire.Ack_RESULT_LATER:
		wait := p.later(a.Ack)
		if it.lane == laneLive {
			return wait
		}
		p.pastAt = p.o.Now().Add(wait) // what is live need not wait for it
		return 0
	}
	return p.failed(fmt.Errorf("the collector's answer %v is not known to this agent: update the agent", a.Ack.Result))
}

// heard takes note of what every answer to a report says.
func (p *Push) heard(a Answer) {
	p.o.OnAck(a)
	p.credits = int(min(a.Ack.Credits, maxCredits))
	p.spread = min(time.Duration(a.Ack.ReturnSpreadMs)*time.Millisecond, maxSpread)
}

func (p *Push) accepted(it item, a *wire.Ack) {
	p.count(func(s *Stats) {
		s.Acknowledged++
		s.RefusedBlocks += uint64(len(a.Refusals))
		if it.lane == laneReplay {
			s.Replayed++
		}
	})
	for _, r := range a.Refusals {
		source := "?"
		if int(r.Block) < len(it.report.Blocks) {
			source = it.report.Blocks[r.Block].Source
		}
		p.once("block "+source+" "+r.Reason, "the collector did not apply a block", "source", source, "reason", r.Reason, "error", r.Error)
	}
	if a.Error != "" {
		p.once("accepted "+a.Error, "the collector accepted a report but not all of it", "error", a.Error)
	}
	p.askReplay(a, it.lane, keyOf(it.report))
}

func (p *Push) refused(it item, reason, text string) {
	p.count(func(s *Stats) { s.Refused++ })
	p.once("report "+reason+" "+text, "the collector refuses reports; they are let go", "reason", reason, "error", text, "lane", string(it.lane))
}

// once logs what repeats with every report a single time. It forgets all once it knows too many.
func (p *Push) once(reason, text string, args ...any) {
	if p.known[reason] {
		return
	}
	if len(p.known) >= maxReasonsKnown {
		clear(p.known)
	}
	p.known[reason] = true
	p.o.Logger.Warn(text, args...)
}

// finish lets go of a report that the collector has disposed of; the next may go at once.
func (p *Push) finish(it item) time.Duration {
	if it.lane == laneLive {
		p.live = keyOf(it.report)
	} else if p.alone > 0 {
		p.alone--
	}
	p.up()
	if err := it.done(); err != nil {
		// Nothing is lost: the report will be sent again and the collector knows it.
		p.once("done", "acknowledgement not kept in the spool, the report may be sent twice", "error", err)
	}
	return 0
}

// up notes that something got through.
func (p *Push) up() {
	now := p.o.Now()
	if p.downFor != "" {
		p.o.Logger.Info("delivering again", "after", now.Sub(p.down).Round(time.Second))
		p.downFor = ""
	}
	p.fails = 0
	p.count(func(s *Stats) { s.LastSuccess, s.LastError = now, "" })
}

// later obeys a collector that cannot take reports now.
func (p *Push) later(a *wire.Ack) time.Duration {
	wait := min(time.Duration(a.RetryAfterMs)*time.Millisecond, maxLater)
	p.say(fmt.Errorf("the collector cannot take reports now: %s", a.Error))
	p.fails = 0 // it answers, in its own time
	return max(wait, backOffBase/2+p.jitter(backOffBase/2))
}

// failed counts and says err and how long to wait: slowly when trust is missing; over the spread the collector asked
// for when the line has just broken or the collector turned this agent away; otherwise exponentially.
func (p *Push) failed(err error) time.Duration {
	p.say(err)
	p.fails++
	var status *statusError
	switch {
	case p.o.Distrust(err), errors.As(err, &status) && status.slow():
		return distrustBase/2 + p.backOff(distrustBase, distrustCap)/2
	case status != nil && status.after > 0:
		return min(status.after, maxLater) + p.jitter(backOffBase)
	case status == nil && p.spread > 0 && (p.fails == 1 || errors.Is(err, syscall.ECONNRESET)):
		// The line has just broken, or the collector is there and lets others in first: either way it is the spread that
		// brings a fleet back in order, and however long it was gone.
		return p.jitter(p.spread)
	}
	return p.backOff(backOffBase, backOffCap)
}

// say counts a failure and logs it once until it changes or something gets through.
func (p *Push) say(err error) {
	text := err.Error()
	p.count(func(s *Stats) { s.Failures++; s.LastError = text })
	if p.downFor == "" {
		p.down = p.o.Now()
	}
	if text != p.downFor {
		p.o.Logger.Warn("report not delivered, it is kept and will be tried again", "error", text)
		p.downFor = text
	}
}

// backOff is exponential back-off with full jitter: random in [0, min(ceiling, base·2ⁿ⁻¹)) after n failures (Brooker,
// "Exponential Backoff And Jitter", 2015).
func (p *Push) backOff(base, ceiling time.Duration) time.Duration {
	d := ceiling
	if n := p.fails - 1; n < 16 {
		d = min(ceiling, base<<max(n, 0))
	}
	return p.jitter(d)
}

// jitter is random in [0, d).
func (p *Push) jitter(d time.Duration) time.Duration { return time.Duration(p.o.Rand() * float64(d)) }
