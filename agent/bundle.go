package agent

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

// How much the agent lets itself be asked for, whoever asks: bundles cost more than samples.
const (
	// bundleTime bounds the making of one.
	bundleTime = 30 * time.Second
	// bundleAgain is how soon the same one is made again.
	bundleAgain = 2 * time.Minute
	// bundlesAtOnce and bundlesEvery bound them all: so many at once, and then one in that time.
	bundlesAtOnce = 10
	bundlesEvery  = 3 * time.Minute
	// maxBundles bounds what of one Ack is looked at, and what waits to be made.
	maxBundles = 8
	// holdBundles is how long a bundle waits for others that are quick to make: of many small reports all but the newest
	// would go behind.
	holdBundles = 500 * time.Millisecond
	// tellRefusedEvery is how often the log tells of requests that were refused.
	tellRefusedEvery = time.Minute
)

// request is a wire.BundleRequest.
type request struct{ name, argument string }

// bundles answers requests for evidence (DESIGN D8). A request is data: two words, of which the first has to be one of
// the names that are built in and the second something this very agent has reported. What is neither is counted and
// logged, and nothing else happens. One bundle is made at a time, in a goroutine of its own; everything else is the
// loop's.
type bundles struct {
	all   map[string]sample.Bundle
	known func(source, label, value string) bool
	// tight says that memory is short.
	tight func() bool
	log   *slog.Logger

	// asked is where the pusher leaves requests; missed counts those that found no room.
	asked  chan []*wire.BundleRequest
	missed atomic.Uint64
	// made is where the maker leaves a bundle.
	made chan *wire.Bundle

	limit *rate.Limiter
	last  map[request]time.Time
	queue []request
	busy  bool
	// held are made and not sent yet; they go when flush says so at the latest.
	held  []*wire.Bundle
	flush <-chan time.Time
	now   func() time.Time // corrected

	answered, refused uint64
	toldAt            time.Time
	untold            int
}

func newBundles(all []sample.Bundle, col *collector, now func() time.Time, log *slog.Logger) *bundles {
	b := &bundles{
		all: map[string]sample.Bundle{}, known: col.known, log: log, now: now, last: map[request]time.Time{},
		tight: func() bool { return col.memory.level >= shedTables },
		asked: make(chan []*wire.BundleRequest, 4), made: make(chan *wire.Bundle, 1),
		limit: rate.NewLimiter(rate.Every(bundlesEvery), bundlesAtOnce),
	}
	for _, one := range all {
		b.all[one.Name] = one
	}
	return b
}

// hear takes the requests of an Ack. It never blocks.
func (b *bundles) hear(a *wire.Ack) {
	if len(a.Bundles) == 0 {
		return
	}
	select {
	case b.asked <- a.Bundles:
	default:
		b.missed.Add(uint64(len(a.Bundles)))
	}
}

// consider queues what may be made and begins with the first.
func (b *bundles) consider(ctx context.Context, asked []*wire.BundleRequest) {
	now := time.Now()
	for i, q := range asked {
		if i == maxBundles {
			b.refuse(now, len(asked)-i, request{}, "more at once than are looked at")
			break
		}
		r := request{q.GetName(), q.GetArgument()}
		if why := b.judge(r, now); why != "" {
			b.refuse(now, 1, r, why)
			continue
		}
		b.last[r] = now
		b.queue = append(b.queue, r)
	}
	b.start(ctx)
}

// judge says why a request is not answered; empty when it is.
func (b *bundles) judge(r request, now time.Time) string {
	one, ok := b.all[r.name]
	for q, at := range b.last {
		if now.Sub(at) >= bundleAgain {
			delete(b.last, q)
		}
	}
	_, again := b.last[r]
	switch {
	case !ok:
		return "there is no bundle of that name, or it is disabled (samplers.bundles.disabled)"
	case one.Needs && r.argument == "":
		return "it cannot be made without an argument"
	case r.argument != "" && one.Source == "":
		return "it takes no argument"
	case r.argument != "" && !b.known(one.Source, one.Label, r.argument):
		return "the argument is nothing that this agent has reported"
	case again:
		return fmt.Sprintf("it was asked for less than %v ago", bundleAgain)
	case b.tight():
		return "the agent is short of memory"
	case len(b.queue) >= maxBundles:
		return "too many are waiting to be made"
	case !b.limit.AllowN(now, 1):
		return fmt.Sprintf("more were asked for than one every %v", bundlesEvery)
	}
	return ""
}

// refuse counts, and logs now and then.
func (b *bundles) refuse(now time.Time, n int, r request, why string) {
	b.refused += uint64(n) //nolint:gosec // a length
	b.untold += n
	if now.Sub(b.toldAt) < tellRefusedEvery {
		return
	}
	b.log.Warn("the collector asks for evidence that is not given", "name", wire.Clean(r.name, 80), "argument", wire.Clean(r.argument, 200),
		"reason", why, "requests", b.untold)
	b.toldAt, b.untold = now, 0
}

// start makes the next bundle, unless one is being made.
func (b *bundles) start(ctx context.Context) {
	if b.busy || len(b.queue) == 0 {
		return
	}
	r := b.queue[0]
	b.queue = b.queue[1:]
	b.busy = true
	one, at := b.all[r.name], b.now()
	go func() {
		ctx, cancel := context.WithTimeout(ctx, bundleTime)
		defer cancel()
		b.made <- answer(ctx, one, r, at)
	}()
}

// answer makes a bundle; one that cannot be made has the reason in its table.
func answer(ctx context.Context, one sample.Bundle, r request, at time.Time) (out *wire.Bundle) {
	failed := func(why string) *wire.Table {
		return &wire.Table{Kind: r.name, SampledAtMs: at.UnixMilli(), NoneBecause: wire.Clean(why, wire.DefaultLimits().TextBytes)}
	}
	out = &wire.Bundle{Request: &wire.BundleRequest{Name: r.name, Argument: r.argument}}
	defer func() {
		if p := recover(); p != nil {
			out.Table = failed(fmt.Sprintf("the agent panicked over it: %v: this is a fault of the agent, please report it with this: %s", p, debug.Stack()))
		}
	}()
	t, err := one.Make(ctx, at, r.argument)
	if err != nil {
		t = failed("it could not be made: " + err.Error())
	}
	out.Table = t
	return out
}

// finished takes a bundle that is there and begins with the next.
func (b *bundles) finished(ctx context.Context, made *wire.Bundle) {
	b.busy = false
	if ctx.Err() != nil {
		return // what was cut short is not worth sending
	}
	b.answered++
	if b.held = append(b.held, made); b.flush == nil {
		b.flush = time.After(holdBundles)
	}
	b.start(ctx)
}

// take is what is to be sent now.
func (b *bundles) take() []*wire.Bundle {
	held := b.held
	b.held, b.flush = nil, nil
	return held
}

// wait gives a bundle that is being made a last chance to end, for as long as d.
func (b *bundles) wait(d time.Duration) {
	if !b.busy {
		return
	}
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-b.made:
	case <-late.C:
		b.log.Warn("a bundle is still being made; it is left behind")
	}
}

// samples are what the agent says of it.
func (b *bundles) samples() []wire.Sample {
	return []wire.Sample{
		{Name: "watchbill_agent_bundles_total", Value: float64(b.answered)},
		{Name: "watchbill_agent_bundles_refused_total", Value: float64(b.refused + b.missed.Load())},
	}
}

// between waits for the next round, and makes and sends what is asked for meanwhile.
func (r *run) between(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			return
		case asked := <-r.bundles.asked:
			r.bundles.consider(ctx, asked)
		case made := <-r.bundles.made:
			r.bundles.finished(ctx, made)
			if !r.bundles.busy {
				r.sendBundles()
			}
		case <-r.bundles.flush:
			r.sendBundles()
		}
	}
}

// sendBundles sends what has been made, out of turn.
func (r *run) sendBundles() {
	if made := r.bundles.take(); len(made) > 0 {
		r.send(&wire.Report{Bundles: made})
	}
}

// known says whether the last ok block of a source has this value of a label: whether this agent has reported it.
func (c *collector) known(name, label, value string) bool {
	i := slices.IndexFunc(c.sources, func(s *source) bool { return s.Name == name })
	if i < 0 {
		return false
	}
	shape, ok := c.builder.Shape(c.sources[i].shape)
	if !ok {
		return false
	}
	layout, err := wire.ReadShape(shape, wire.DefaultLimits())
	if err != nil {
		return false
	}
	return slices.ContainsFunc(layout.Series, func(labels []wire.Label) bool {
		return slices.Contains(labels, wire.Label{Name: label, Value: value})
	})
}
