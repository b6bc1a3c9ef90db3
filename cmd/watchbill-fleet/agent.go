package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// How an agent waits, as package push does.
const (
	backOffBase    = time.Second
	backOffCap     = time.Minute
	maxLater       = 5 * time.Minute
	maxSpread      = 5 * time.Minute
	maxShapeRounds = 3
	// goodbyeTimeout bounds the last report.
	goodbyeTimeout = 2 * time.Second
	// flatOutPause keeps the times of a flat out agent's samples apart: they are milliseconds on the wire.
	flatOutPause = 2 * time.Millisecond
	// clockStep is how far a clock jumps on request.
	clockStep = time.Hour
)

// shared is what the agents of a fleet have in common.
type shared struct {
	stats   *stats
	start   time.Time
	flatOut bool
	// samples is false for agents that only show that they live.
	samples bool
	goodbye bool
	peer    *peer // nil when nobody else gets the samples
	// awake is how many agents are to report now.
	awake atomic.Int64
	// acknowledged is told of every report the collector disposed of as accepted, with its events; tests look there. It
	// may be nil.
	acknowledged func(asset string, m *wire.Report)
}

// simulated is one agent: a host, a reporter and what is wrong with it.
type simulated struct {
	*shared
	reporter
	fault  *fault
	struck bool // the fault is under way
	ahead  bool // its clock steps forward
	rand   *rand.Rand
	// silent while the agent says nothing.
	silent bool
	heard  uint64 // the incarnation that answered last
}

// suffer brings the agent's fault on and takes it away again. It tells whether the agent began anew.
func (a *simulated) suffer(now time.Time) (anew bool) {
	if a.fault == nil || a.fault.on(now.Sub(a.start)) == a.struck {
		return false
	}
	a.struck = !a.struck
	switch a.fault.kind {
	case faultValue:
		a.host.broken = a.struck
	case faultSilence, faultSiteCut:
		a.silent = a.struck
		if a.silent {
			a.awake.Add(-1)
		} else {
			a.awake.Add(1)
		}
		return true
	case faultRestart:
		if a.struck {
			a.begin(now)
			a.tell(now, "agent_started", "the agent (simulated) started")
			return true
		}
	case faultClockStep:
		step := clockStep
		if a.ahead != a.struck {
			step = -step
		}
		a.skew += step
		a.begin(now)
		a.tell(now, "clock_stepped", "this host's clock jumped by "+step.String())
	case faultHostile: // has a loop of its own
	}
	return false
}

// answered believes an Ack that came now to a request sent then, and counts it.
func (a *simulated) answered(ack *wire.Ack, sent, now time.Time) {
	if ack.Incarnation != a.heard {
		a.heard = ack.Incarnation
		a.stats.heard(ack.Incarnation, now, int(a.awake.Load()))
	}
	a.learn(ack, sent, now)
}

// accepted counts a report that the collector has.
func (a *simulated) accepted(m *wire.Report, ack *wire.Ack, sampled, now time.Time) {
	refused := map[uint32]bool{}
	for _, r := range ack.Refusals {
		refused[r.Block] = true
		a.stats.refuse(r.Reason)
	}
	n := 0
	for i, b := range m.Blocks {
		if !refused[uint32(i)] { //nolint:gosec // an index
			n += len(b.Values)
		}
	}
	a.stats.reports.Add(1)
	a.stats.samples.Add(uint64(n)) //nolint:gosec // a count
	a.stats.latency.observe(now.Sub(sampled))
	if a.acknowledged != nil {
		a.acknowledged(a.host.name, m)
	}
}

// light is an agent that keeps nothing on disk: a report it cannot deliver before the next one is due gives way to that,
// its events excepted.
type light struct {
	simulated
	line line
	// encoder writes version 1 of the wire; nil: version 0.
	encoder *wire.Encoder
	// replayed is the header line that says what was sent again.
	replayed string

	pending *wire.Report // not delivered yet
	sampled time.Time    // when it was due
	due     time.Time    // when the next one is
	retry   time.Time    // before which pending is not tried again
	fails   int
	spread  time.Duration // over which to return once the connection breaks
}

// run reports until ctx ends, first at a time.
func (a *light) run(ctx context.Context, first time.Time) error {
	defer a.line.drop()
	a.due = first
	a.begin(first)
	a.tell(first, "agent_started", "the agent (simulated) started")
	for a.sleep(ctx) {
		now := time.Now()
		if a.suffer(now) {
			a.line.drop()
			a.pending = nil
		}
		if !now.Before(a.due) {
			if err := a.sample(now); err != nil {
				return err
			}
		}
		if a.pending != nil && a.pending.Epoch != a.epoch { // of a time line that has ended
			a.pending = nil
			a.stats.superseded.Add(1)
		}
		if a.pending != nil && !now.Before(a.retry) {
			a.retry = time.Now().Add(a.attempt(ctx))
		}
	}
	a.sayGoodbye(ctx)
	return nil
}

// sleep waits for what comes next: a report that is due, or one that is tried again. False when ctx has ended.
func (a *light) sleep(ctx context.Context) bool {
	next := a.due
	if a.pending != nil && (a.flatOut || a.retry.Before(next)) {
		next = a.retry
	}
	d := time.Until(next)
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// sample makes the report that is due, in place of one that still waits.
func (a *light) sample(now time.Time) error {
	if a.flatOut {
		if a.pending != nil {
			return nil
		}
		a.sampled, a.due = now, now.Add(flatOutPause)
	} else {
		a.sampled = a.due
		for !a.due.After(now) { // what could not be kept up with is left out
			a.due = a.due.Add(a.interval)
		}
		if now.Sub(a.sampled) > a.interval {
			a.stats.late.Add(1)
		}
	}
	if a.silent {
		return nil
	}
	if a.pending != nil {
		a.stats.superseded.Add(1)
	}
	a.happen(now)
	var err error
	a.pending, err = a.report(now, a.samples)
	return err
}

// attempt tries to deliver the pending report and says how long to wait before another try.
func (a *light) attempt(ctx context.Context) time.Duration {
	m := a.pending
	sent := time.Now()
	ack, err := a.exchange(ctx, m)
	now := time.Now()
	var status *statusError
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.As(err, &status):
		return a.turnedDown(status)
	case err != nil:
		a.stats.fail(err, now)
		return a.backOff()
	}
	a.spread = min(time.Duration(ack.ReturnSpreadMs)*time.Millisecond, maxSpread)
	a.fails = 0
	switch ack.Result {
	case wire.Ack_RESULT_ACCEPTED:
		a.accepted(m, ack, a.sampled, now)
		a.delivered(m)
		a.pending = nil
	case wire.Ack_RESULT_LATER:
		a.stats.refuse("later")
		wait := min(time.Duration(ack.RetryAfterMs)*time.Millisecond, maxLater)
		a.answered(ack, sent, now)
		return max(wait, backOffBase/2+a.jitter(backOffBase/2))
	default: // refused for good
		a.stats.refuse("report")
		a.pending = nil
	}
	a.answered(ack, sent, now)
	if a.peer != nil && a.pending == nil && len(m.Blocks) > 0 {
		a.peer.write(ctx, a.host, m)
	}
	return 0
}

// turnedDown is an answer without an Ack.
func (a *light) turnedDown(e *statusError) time.Duration {
	a.stats.refuse("status_" + http.StatusText(e.code))
	switch e.code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		a.pending = nil
		return 0
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnsupportedMediaType:
		return backOffCap/2 + a.jitter(backOffCap/2) // a person has to do something
	}
	return a.backOff()
}

// backOff waits over the spread the collector asked for when the line has just broken, afterwards exponentially with
// full jitter.
func (a *light) backOff() time.Duration {
	a.fails++
	if a.fails == 1 && a.spread > 0 {
		return a.jitter(a.spread)
	}
	return a.jitter(min(backOffCap, backOffBase<<min(a.fails-1, 16)))
}

func (a *light) jitter(d time.Duration) time.Duration {
	return time.Duration(a.rand.Float64() * float64(d))
}

// exchange sends a report, again with the shapes that the collector turns out not to know, or with everything written out
// when it has forgotten what the report leans on.
func (a *light) exchange(ctx context.Context, m *wire.Report) (*wire.Ack, error) {
	r := m
	for range maxShapeRounds {
		q, err := a.encode(r)
		if err != nil {
			return nil, err
		}
		ack, err := a.line.post(ctx, q)
		if err != nil {
			return nil, err
		}
		if ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			if a.encoder != nil {
				a.encoder.Accepted(r, ack)
			}
			a.promise(ack)
			return ack, nil
		}
		a.stats.shapes.Add(1)
		if ack.InFull && a.encoder != nil {
			a.encoder.Forget()
		}
		if len(ack.UnknownShapes) == 0 {
			continue
		}
		if r = proto.CloneOf(m); !a.addShapes(r, ack.UnknownShapes) {
			return nil, errShapes
		}
	}
	return nil, errShapes
}

// encode writes a report in the version of the wire that the fleet speaks, and says what an agent says beside it.
func (a *light) encode(m *wire.Report) (q request, err error) {
	if a.encoder == nil {
		q, err = plain(wire.PathReport, wire.TypeReport, m)
	} else {
		q = request{path: wire.PathReport, media: wire.TypeReportV1}
		q.body, q.coding, err = a.encoder.Encode(m)
	}
	q.words = liveWords + a.replayed
	return q, err
}

// liveWords: this is the newest report, and nothing else waits.
const liveWords = wire.HeaderLane + ": " + wire.LaneLive + "\r\n" + wire.HeaderWaiting + ": 0\r\n"

// promise notes what a collector asked to see again: an agent that keeps nothing has sent all it has.
func (a *light) promise(ack *wire.Ack) {
	if ack.ReplaySinceMs != 0 {
		a.replayed = fmt.Sprintf("%s: %d %d\r\n", wire.HeaderReplayed, ack.ReplaySinceMs, ack.Incarnation)
	}
}

func (a *light) addShapes(m *wire.Report, ids [][]byte) bool {
	if a.encoder != nil {
		return a.encoder.AddShapes(m, ids, a.host.shape) == nil
	}
	for _, id := range ids {
		shape, ok := a.host.shape(id)
		if !ok {
			return false
		}
		m.Shapes = append(m.Shapes, shape)
	}
	return true
}

// errShapes: the collector keeps asking.
var errShapes = errors.New("the collector asks for shapes that it was just sent, or that this host does not have")

// sayGoodbye is the last report of an agent that is stopped in order.
func (a *light) sayGoodbye(ctx context.Context) {
	if !a.goodbye || a.silent || a.line.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	m, err := a.report(time.Now(), false)
	if err != nil {
		return // there is nothing it could fail with without samples
	}
	m.Goodbye = &wire.Goodbye{Reason: "the simulation ends"}
	if ack, err := a.exchange(ctx, m); err == nil && ack.Result == wire.Ack_RESULT_ACCEPTED && a.acknowledged != nil {
		a.acknowledged(a.host.name, m)
	}
}
