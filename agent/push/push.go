// Package push brings reports to the collector: the newest first; then, as far as the collector gave credits for it, what
// was left behind and what it asks to see again, oldest first; one request at a time, patient with a line or a collector
// that is not there.
//
//	spool.Newest ─► live ───────────────┐
//	spool.Oldest ─► backlog ─┬─ credits ┼─► one POST at a time ─► Ack ─► spool.Done, credits
//	spool.Since ──► replay ──┘          │
//	memory ─────────────────────────────┘
package push

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// How long things take; see each use.
const (
	defaultTimeout  = 30 * time.Second
	defaultGoodbye  = 2 * time.Second
	backOffBase     = time.Second
	backOffCap      = 30 * time.Second // so long after a collector is back, all its agents are
	distrustBase    = 30 * time.Second
	distrustCap     = 5 * time.Minute
	maxLater        = 5 * time.Minute
	maxSpread       = 5 * time.Minute
	maxRounds       = 4
	maxDirect       = 16
	maxReasonsKnown = 64
	maxCredits      = 10_000
)

// Answer is an Ack and when, by this host's wall clock, its request left and it arrived.
type Answer struct {
	Ack            *wire.Ack
	Sent, Received time.Time
}

// Offset is the collector's clock minus this host's, taken in the middle of the exchange, and by how much that can be
// wrong at most: half the time the exchange took (Cristian, "Probabilistic clock synchronization", 1989).
func (a Answer) Offset() (offset, uncertainty time.Duration) {
	half := a.Received.Sub(a.Sent) / 2
	return time.UnixMilli(a.Ack.NowMs).Sub(a.Sent.Add(half)), half
}

// Options of New.
type Options struct {
	// URL is the collector's base URL: https://host:port.
	URL string
	// Transport carries the requests under the agent's certificate.
	Transport http.RoundTripper
	// Spool is where reports wait.
	Spool *spool.Spool
	// Limits bound what is read of an answer; wire.DefaultLimits when zero.
	Limits wire.Limits
	// Version is the agent's, told with Hello.
	Version string
	Logger  *slog.Logger
	// Now is the wall clock; time.Now when nil.
	Now func() time.Time
	// Rand gives numbers in [0, 1) for jitter; math/rand's when nil.
	Rand func() float64
	// Distrust says of a failed request that it failed for want of trust (certificate, authority, clock) and not for
	// the line: such are tried again slowly. Nothing is distrusted when nil.
	Distrust func(error) bool
	// OnAck is told every Ack, from Run's goroutine and from Hello's caller. It must not block.
	OnAck func(Answer)
	// Timeout bounds one request; 30 s when zero.
	Timeout time.Duration
	// Goodbye bounds what is still sent once Run's context has ended; 2 s when zero.
	Goodbye time.Duration
}

// Push delivers what the spool holds. All methods are safe for concurrent use; Run is called once.
type Push struct {
	o    Options
	wake chan struct{}

	mu     sync.Mutex
	stats  Stats
	direct []direct

	// What follows belongs to Run's goroutine.
	live    key             // the newest report the collector has disposed of
	replay  *replay         // what the collector wants to see again
	taken   taken           // since when it has what is live
	credits int             // how many reports of the past it takes now
	alone   int             // so many reports of the past go alone, for want of what a bulk cannot carry
	noBulk  bool            // the collector knows of no bulk
	pastAt  time.Time       // when it takes the next of them
	fails   int             // failed attempts since the last success
	spread  time.Duration   // over which to return once the connection breaks
	known   map[string]bool // reasons already logged
	encoder *wire.Encoder
	oldFor  *uint64   // set while reports go out in version 0: the incarnation that asked for it, 0 before it is known
	downFor string    // the error last logged, so that it is logged once
	down    time.Time // since when nothing got through
}

// New makes a Push; it starts nothing.
func New(o Options) *Push {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Distrust == nil {
		o.Distrust = func(error) bool { return false }
	}
	if o.OnAck == nil {
		o.OnAck = func(Answer) {}
	}
	if o.Limits == (wire.Limits{}) {
		o.Limits = wire.DefaultLimits()
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Goodbye == 0 {
		o.Goodbye = defaultGoodbye
	}
	return &Push{o: o, wake: make(chan struct{}, 1), known: map[string]bool{}, encoder: wire.NewEncoder(wire.DefaultLimits())}
}

// Wake tells Run that the spool holds something new. It never blocks.
func (p *Push) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, then tries for Options.Goodbye to deliver the newest report, and returns nil. Troubles of
// the line and of the spool are logged, counted and waited out.
func (p *Push) Run(ctx context.Context) error {
	requests, stop := graceful(ctx, p.o.Goodbye)
	defer stop()
	defer p.endReplay()
	for ctx.Err() == nil {
		it, ok := p.next()
		if !ok {
			p.idle(ctx)
			continue
		}
		deliver := p.deliver
		if items := p.behind(it); len(items) > 1 {
			deliver = func(ctx context.Context, _ item) time.Duration { return p.deliverBulk(ctx, items) }
		}
		if wait := deliver(requests, it); wait > 0 {
			pause(ctx, wait)
		}
	}
	// The newest report may be the goodbye, which turns a silence into an orderly stop.
	if it, ok := p.newest(); ok {
		p.deliver(requests, it)
	}
	return nil
}

// graceful is a context that outlives ctx by grace, so that a request under way at the end may finish.
func graceful(ctx context.Context, grace time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var timer *time.Timer
	started := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		timer = time.AfterFunc(grace, cancel)
		close(started)
	})
	return longer, func() {
		if !stop() { // the timer is or is being started
			<-started
			timer.Stop()
		}
		cancel()
	}
}

// idle waits until there may be something to send.
func (p *Push) idle(ctx context.Context) {
	var past <-chan time.Time
	if wait := p.pastAt.Sub(p.o.Now()); p.credits > 0 && wait > 0 {
		t := time.NewTimer(min(wait, maxLater)) // the wall clock may be set back meanwhile
		defer t.Stop()
		past = t.C
	}
	select {
	case <-ctx.Done():
	case <-p.wake:
	case <-past:
	}
}

// pause waits for d or the end of ctx. Wake does not cut it short: the wait is what keeps a struggling collector from
// being struck at every new report.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
