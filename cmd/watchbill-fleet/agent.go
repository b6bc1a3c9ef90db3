package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// maxShapeRounds is how often a report is sent, at most, to a collector that asks for shapes: as package push does.
	maxShapeRounds = 4
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
	// back belongs to the stats.
	back standing
}

// startUp is what an agent does first.
func (a *simulated) startUp(now time.Time) {
	a.begin(now)
	a.tell(now, "agent_started", "the agent (simulated) started")
}

// suffer brings the agent's fault on and takes it away again. It tells whether that changed anything.
func (a *simulated) suffer(now time.Time) (changed bool) {
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
			a.stats.leave(&a.back)
		} else {
			a.stats.join(&a.back)
		}
	case faultRestart:
		if !a.struck {
			return false
		}
		a.startUp(now)
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
	return true
}

// breaksOff tells whether the agent's fault, which has just come on or gone away, ends its connection.
func (a *simulated) breaksOff() bool {
	return a.fault.kind == faultSilence || a.fault.kind == faultSiteCut || a.fault.kind == faultRestart
}

// accepted counts a report that the collector has, the n-th of its request, but for the blocks that it refused; sizes
// are how many series each block has.
func (a *simulated) accepted(sizes []int, n uint32, refusals []*wire.Refusal) {
	samples := 0
	for _, size := range sizes {
		samples += size
	}
	for _, r := range refusals {
		if r.Report == n && int(r.Block) < len(sizes) {
			samples -= sizes[r.Block]
		}
	}
	a.stats.reports.Add(1)
	a.stats.samples.Add(uint64(samples)) //nolint:gosec // a count
}

// light is an agent that keeps nothing on disk: a report it cannot deliver before the next one is due gives way to that,
// its events excepted.
type light struct {
	simulated
	line line
	// encoder writes version 1 of the wire; nil: version 0.
	encoder *wire.Encoder

	pending *wire.Report // not delivered yet
	sampled time.Time    // when it was due
	due     time.Time    // when the next one is
	retry   time.Time    // before which pending is not tried again
	patience
}

// run reports until ctx ends, first at a time.
func (a *light) run(ctx context.Context, first time.Time) error {
	defer a.line.drop()
	a.due = first
	a.startUp(first)
	for a.sleep(ctx) {
		now := time.Now()
		if a.suffer(now) && a.breaksOff() {
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
	sent := time.Now()
	ack, err := a.exchange(ctx, a.pending)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		return a.unanswered(err, now)
	}
	return a.answered(ctx, ack, sent, now)
}

// unanswered is an attempt that ended without an Ack.
func (a *light) unanswered(err error, now time.Time) time.Duration {
	var status *statusError
	if !errors.As(err, &status) {
		a.stats.fail(err, now)
		return a.failed(enroll.Explain(err, a.line.x.address, now))
	}
	a.stats.refuse("status_" + http.StatusText(status.code))
	if status.final() {
		a.pending, a.fails = nil, 0
		return 0
	}
	return a.failed(err)
}

// answered believes an Ack of the pending report that came now to a request sent then.
func (a *light) answered(ctx context.Context, ack *wire.Ack, sent, now time.Time) (wait time.Duration) {
	m := a.pending
	got := answer{incarnation: wire.Start(ack.Incarnation), sent: sent, came: now}
	got.reached[stageBack] = true
	a.heard(ack)
	switch ack.Result {
	case wire.Ack_RESULT_ACCEPTED:
		got.reached[stageLive] = len(ack.Refusals) == 0
		a.stats.refuseBlocks(ack.Refusals)
		a.accepted(a.host.sizes(m), 0, ack.Refusals)
		a.stats.latency.observe(now.Sub(a.sampled))
		if a.acknowledged != nil {
			a.acknowledged(a.host.name, m)
		}
		a.delivered(m)
		a.pending = nil
	case wire.Ack_RESULT_LATER:
		a.stats.refuse("later")
		wait = a.later(ack)
	default: // refused for good
		a.stats.refuse("report")
		a.pending = nil
	}
	a.stats.heard(&a.back, got)
	a.learn(ack, sent, now)
	if a.peer != nil && a.pending == nil && len(m.Blocks) > 0 {
		a.peer.write(ctx, a.host, m)
	}
	return wait
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

// encode writes a report in the version of the wire that the fleet speaks. What an agent with a spool says beside it, of
// lanes and of what it has replayed, this one does not: it has none, and would keep room for a past that never comes.
func (a *light) encode(m *wire.Report) (q request, err error) {
	if a.encoder == nil {
		q, err = plain(wire.PathReport, wire.TypeReport, m)
	} else {
		q = request{path: wire.PathReport, media: wire.TypeReportV1}
		q.body, q.coding, err = a.encoder.Encode(m)
	}
	return q, err
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
