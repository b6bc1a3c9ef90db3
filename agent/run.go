package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// helloWait bounds how long the first sample waits for the collector's clock.
	helloWait = 5 * time.Second
	// rehelloWait is the same after a clock step, when samples are already being missed.
	rehelloWait = 2 * time.Second
	// surely is how certain the collector's clock should be for a new epoch: above it, the collector is asked a second time.
	surely = 50 * time.Millisecond
	// stopWait is how long the end waits for samplers that hang.
	stopWait = time.Second
	// inventoryEvery is how often the host's facts are looked at for changes.
	inventoryEvery = 5 * time.Minute
	// maxEvents is how many events go into one report; the rest waits for the next.
	maxEvents = 200
	// maxWaiting bounds events that wait; the oldest are kept, being nearest to the cause.
	maxWaiting = 1000
)

// run is what lives while Run does. One goroutine, loop, uses it; heard is where the pusher leaves what it heard.
type run struct {
	cfg   Config
	o     Options
	log   *slog.Logger
	spool *spool.Spool
	push  *push.Push
	clock *clock
	col   *collector
	heard ears
	// bundles answers requests for evidence.
	bundles *bundles

	epoch, sequence, event uint64
	events                 []*wire.Event // waiting for a report
	inventory              *wire.Inventory
	inventoryAt            time.Time
	incarnation            uint64 // of the collector that was told the inventory
	reports                uint64
	unspooled              uint64 // reports sent from memory
	full                   bool   // the spool took the last report badly
	dropped                uint64 // of the spool's drops, those an event has told, or an acknowledged report of an earlier run
	droppedAt              time.Time
	counted, untold        uint64 // the spool's drops as own told them last, and those of them the collector did not know of
	claims                 claims
	keep                   time.Duration
	saved                  time.Duration // the offset on disk
}

func newRun(a *Agent, sp *spool.Spool) *run {
	r := &run{cfg: a.cfg, o: a.o, log: a.o.Logger, spool: sp, clock: newClock(a.o.Now), col: newCollector(a.sources, a.cfg.Interval, a.o.Logger)}
	r.col.memory.measure = a.o.Memory
	r.bundles = newBundles(a.o.Bundles, r.col, r.clock.now, a.o.Logger)
	r.push = a.newPush(sp, func(x push.Answer) {
		r.heard.hear(x.Ack, r.clock.hear(x))
		r.bundles.hear(x.Ack)
		r.hearDrops(x.Ack)
	})
	r.epoch, _ = sp.Last()
	held := sp.Stats()
	r.dropped = held.Dropped - held.Untold
	return r
}

// loop makes reports until ctx ends, the last one a goodbye.
func (r *run) loop(ctx context.Context) error {
	if err := r.clock.load(r.cfg.stateDir()); err != nil {
		r.log.Warn("last clock offset not known", "error", err)
	}
	r.saved = r.clock.measured()
	if r.ask(ctx, helloWait) {
		r.clock.follow()
	}
	r.begin()
	r.tell("agent_started", "the agent "+r.o.Version+" started", nil)
	if off := r.clock.offset; off.Abs() > maxStep {
		r.tellOffset(off)
	}
	ticks := time.NewTicker(r.cfg.Interval) // keeps its rhythm; a round that was missed is not made up for
	defer ticks.Stop()
	for ctx.Err() == nil {
		r.round(ctx)
		r.between(ctx, ticks.C)
	}
	r.goodbye(context.Cause(ctx))
	r.col.wait(stopWait)
	r.bundles.wait(stopWait)
	return nil
}

// ask asks the collector for its clock, believes it, and reports whether it answered. It asks again when the answer took
// long, as the first on a connection does, for the handshakes before it: an epoch keeps what it begins with.
func (r *run) ask(ctx context.Context, wait time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	x, err := r.hello(ctx)
	if err != nil {
		r.log.Warn("the collector's clock is not known; stamping by this host's and the last offset", "offset", r.clock.offset, "error", err)
		return false
	}
	if x.uncertainty > surely {
		if _, err := r.hello(ctx); err != nil {
			r.log.Debug("the collector's clock is known from one answer alone", "uncertainty", x.uncertainty, "error", err)
		}
	}
	return true
}

// errNoClock: an answer of a collector that does not say what time it is.
var errNoClock = errors.New("the collector's answer does not tell the time: look for what answers in its place")

// hello asks the collector for its clock once and learns what it says.
func (r *run) hello(ctx context.Context) (exchange, error) {
	a, err := r.push.Hello(ctx)
	if err != nil {
		return exchange{}, err
	}
	r.obey(a.Ack)
	if a.Ack.NowMs == 0 {
		return exchange{}, errNoClock
	}
	x := r.clock.hear(a)
	r.learn(x)
	return x, nil
}

// begin starts an epoch. Epochs only grow, whatever the clock does.
func (r *run) begin() {
	r.epoch = max(uint64(max(r.clock.now().UnixNano(), 0)), r.epoch+1)
	r.sequence, r.event, r.inventory = 0, 0, nil
	for _, e := range r.events { // they go out in the new epoch, so they are numbered there
		r.event++
		e.Id = r.event
	}
	r.col.forget()
}

// round makes one report and hands it on.
func (r *run) round(ctx context.Context) {
	r.watchClock(ctx)
	r.watchMemory()
	all := r.col.collect(ctx, r.clock.now)
	if ctx.Err() != nil {
		return // what was cut short is not a reading
	}
	for _, e := range all.events {
		r.queue(e)
	}
	r.watchSpool()
	if own, err := r.own(); err == nil {
		all.blocks = append(all.blocks, own)
	} else {
		r.log.Error("own metrics", "error", err)
	}
	report := &wire.Report{Blocks: all.blocks, Tables: all.tables, Inventory: r.facts(ctx), Bundles: r.bundles.take()}
	r.send(report)
	r.o.OnReport()
}

// watchClock begins a new epoch when wall and monotonic clock have parted, or when the collector's clock turns out to be
// another than this epoch assumes.
func (r *run) watchClock(ctx context.Context) {
	ack, x, told := r.heard.take()
	if step := r.clock.stepped(); step.Abs() > maxStep {
		r.clock.restart(step)
		if r.ask(ctx, rehelloWait) {
			r.clock.follow()
		}
		r.begin()
		r.tell("clock_stepped", fmt.Sprintf("this host's clock jumped by %v, or the host slept; a new time line begins", step.Round(time.Millisecond)),
			map[string]string{"step_seconds": seconds(step), "offset_seconds": seconds(r.clock.offset)})
		return
	}
	if ack == nil {
		return
	}
	r.obey(ack)
	if !told {
		return
	}
	if !r.clock.off(x) {
		r.learn(x)
		return
	}
	// That answer may have been under way while the host slept: ask once more before the time line is given up.
	if !r.ask(ctx, rehelloWait) || !r.clock.off(r.clock.best) {
		return
	}
	before := r.clock.offset
	r.clock.follow()
	r.begin()
	r.tell("clock_stepped", fmt.Sprintf("the collector's clock is %v from this host's, not %v as assumed; a new time line begins", r.clock.offset.Round(time.Millisecond), before.Round(time.Millisecond)),
		map[string]string{"step_seconds": seconds(r.clock.offset - before), "offset_seconds": seconds(r.clock.offset)})
	if r.clock.offset.Abs() > maxStep {
		r.tellOffset(r.clock.offset)
	}
}

// obey keeps reports for as long as the collector's rules look back, and tells a collector that started anew, which has
// forgotten, about the host again.
func (r *run) obey(a *wire.Ack) {
	if a.Incarnation != r.incarnation {
		r.incarnation, r.inventory = a.Incarnation, nil
	}
	if keep := time.Duration(a.KeepSeconds) * time.Second; keep > 0 && keep != r.keep {
		r.spool.SetKeep(keep)
		r.keep = keep
	}
}

// learn takes in an exchange, and keeps what is known of the offset for a start without a line.
func (r *run) learn(x exchange) {
	r.clock.learn(x)
	measured := r.clock.measured()
	if (measured - r.saved).Abs() <= 100*time.Millisecond {
		return
	}
	if err := r.clock.save(r.cfg.stateDir()); err != nil {
		r.log.Warn("clock offset not kept; the next start without a line stamps by an older one", "error", err)
	}
	r.saved = measured
}

func (r *run) tellOffset(off time.Duration) {
	side := "behind"
	if off < 0 {
		side = "ahead of"
	}
	text := fmt.Sprintf("this host's clock is %v %s the collector's; samples are stamped by the collector's. Set this host's clock and have NTP keep it", off.Abs().Round(time.Millisecond), side)
	r.log.Warn(text)
	r.tell("clock_off", text, map[string]string{"offset_seconds": seconds(off)})
}

// tell queues an event of the agent's own.
func (r *run) tell(kind, text string, fields map[string]string) {
	r.queue(&wire.Event{Kind: kind, AtMs: r.clock.now().UnixMilli(), Text: wire.Clean(text, wire.DefaultLimits().TextBytes), Fields: fields})
}

func (r *run) queue(e *wire.Event) {
	if len(r.events) >= maxWaiting {
		r.log.Error("too many events wait to be reported; this one is lost", "kind", e.Kind, "text", e.Text)
		return
	}
	r.event++
	e.Id = r.event
	r.events = append(r.events, e)
}

// facts is the inventory when it has not been told in this epoch, or to this collector, or has changed since.
func (r *run) facts(ctx context.Context) *wire.Inventory {
	now := r.clock.now()
	if r.inventory != nil && now.Sub(r.inventoryAt) < inventoryEvery {
		return nil
	}
	inv, err := r.o.Inventory(ctx)
	if err != nil {
		r.log.Warn("inventory not known", "error", err)
		return nil
	}
	r.inventoryAt = now
	if r.inventory != nil && proto.Equal(inv, r.inventory) {
		return nil
	}
	r.inventory = inv
	return inv
}

// goodbye makes the last report: that the agent stops, and why.
func (r *run) goodbye(cause error) {
	reason := "the agent was stopped"
	if cause != nil && !errors.Is(cause, context.Canceled) {
		reason = wire.Clean("the agent was stopped: "+cause.Error(), wire.DefaultLimits().TextBytes)
	}
	r.tell("agent_stopping", reason, nil)
	r.send(&wire.Report{Goodbye: &wire.Goodbye{Reason: reason}})
}
