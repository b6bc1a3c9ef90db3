package evaluate

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/rules/window"
)

// Past is a report about a time when nobody could see its asset, or about the time before, which is the context that
// rules look back on.
type Past struct {
	At              time.Time
	Epoch, Sequence uint64
	Blocks          []window.Block
	// Unseen reports are judged; the others were, when they came for the first time.
	Unseen bool
}

// Unseen is what a review found.
type Unseen struct {
	Asset window.Asset
	// From and To are the times of the first and the last report that nobody had seen. Both are zero when there was none.
	From, To time.Time
	// Reports is how many they were.
	Reports int
	// Found began to fire and was over before anybody could see it, oldest first. More is how many beyond MaxEpisodes.
	Found []Episode
	More  int
	// Live began in that time and is still there: it is an alert like any other now.
	Live []Episode
	// Unjudged says why the reports were not judged, or not all; empty when they were.
	Unjudged string
}

// ReviewOptions configure Reviews. Live and Tell are required; the others have defaults.
type ReviewOptions struct {
	// Live is the evaluator whose rules are judged by. Nothing of it is changed.
	Live *Evaluator
	// Tell makes a finished review durable. It is called again after an error, and after a restart that came in between.
	Tell func(context.Context, Unseen) error
	// MaxBytes is about how much memory all reviews may take together (256 MiB), and MaxQueued how much the reports of one
	// asset that wait to be judged (4 MiB).
	MaxBytes, MaxQueued int64
	// Share of one processor that reviews may take from live evaluation (0.25).
	Share float64
	// Idle is how long a review waits for its asset before it ends with what is here (15 min); what comes after that is
	// another review's.
	Idle       time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

func (o ReviewOptions) withDefaults() ReviewOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = 4 << 20
	}
	if o.Share <= 0 || o.Share > 1 {
		o.Share = 0.25
	}
	if o.Idle <= 0 {
		o.Idle = 15 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Reviews judge at their own time stamps what came too late to be judged live: per asset, oldest first, by the rules
// that can be judged on one asset's samples, over a window and with alert states of its own. They never touch the live
// ones. Memory is bounded by not letting agents send (Room), processor time by Share.
//
//	Open ─► Add, oldest first ─► Step: window apart ─► rules.Step ─► episodes ─► Close ─► Tell
type Reviews struct {
	o       ReviewOptions
	metrics reviewMetrics
	wake    chan struct{}
	// turn lets one Step run at a time.
	turn sync.Mutex

	mu     sync.Mutex
	all    map[string]*review
	line   []*review // in the order they were opened
	served uint64    // turns so far
	used   int64     // bytes
}

// NewReviews makes Reviews that do nothing yet.
func NewReviews(o ReviewOptions) *Reviews {
	r := &Reviews{o: o.withDefaults(), wake: make(chan struct{}, 1), all: map[string]*review{}}
	r.metrics = newReviewMetrics(r.o.Registerer, r.count)
	return r
}

// Open begins the review of an asset; one that is open stays as it is. before is what was known of it until then, and
// the live alerts that were active before since go on in the review; back is the report with which it came back, zero
// when that is not known: what fires after it is for the live rules to say.
func (r *Reviews) Open(a window.Asset, before *window.Window, since time.Time, back Past) {
	if r.Has(a.Name) {
		return
	}
	v := newReview(r.o, a, before, since, back)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[a.Name] != nil {
		return
	}
	r.all[a.Name] = v
	r.line = append(r.line, v)
	r.charge(v)
}

// Has tells whether the asset's review is open and still takes reports.
func (r *Reviews) Has(asset string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all[asset] != nil
}

// Add gives an open review a report; it is ignored when there is none. Reports come oldest first; one that does not only
// fills in.
func (r *Reviews) Add(asset string, p Past) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.all[asset]
	if v == nil {
		return
	}
	v.queue = append(v.queue, p)
	v.queued += sizeOf(p)
	v.fed = r.o.Now()
	r.charge(v)
	r.poke()
}

// Close says that nothing more will come for an asset's review, for all is here. What is queued is judged, then Tell is
// called; another review may be opened meanwhile.
func (r *Reviews) Close(asset string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.all[asset]; v != nil {
		v.whole = true
		r.close(v)
	}
}

// close ends what v takes in; the caller holds mu.
func (r *Reviews) close(v *review) {
	v.closed, v.again = true, time.Time{}
	delete(r.all, v.asset.Name)
	r.poke()
}

// Room tells whether an asset may send more of its past now. The review that waits longest always may, so that a full
// house empties.
func (r *Reviews) Room(asset string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.all[asset]
	switch {
	case v == nil:
		return r.used < r.o.MaxBytes
	case v.queued >= r.o.MaxQueued:
		return false
	}
	return r.used < r.o.MaxBytes || v == r.line[0]
}

// Fed is when an open review last got a report, or was opened; ok is false when none is open.
func (r *Reviews) Fed(asset string) (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.all[asset]
	if v == nil {
		return time.Time{}, false
	}
	return v.fed, true
}

// Run reviews until ctx ends; it returns nil. A Tell that fails is logged and tried again.
func (r *Reviews) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		began := r.o.Now()
		more := r.Step(ctx)
		// What was worked is rested for in proportion, so that live evaluation has the rest of the processor.
		rest := time.Duration(float64(r.o.Now().Sub(began)) * (1/r.o.Share - 1))
		if more {
			if !pause(ctx, rest) {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
		if !pause(ctx, rest) {
			return nil
		}
	}
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
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

// maxAbreast is how many reviews take turns with each other; the others wait for one of them to end, or to wait itself.
const maxAbreast = 64

// batch is how many reports one Step judges: a tenth of a second's work or so.
const batch = 32

// Step does the next piece of work and tells whether more can be done at once. Run calls it.
func (r *Reviews) Step(ctx context.Context) (more bool) {
	r.turn.Lock()
	defer r.turn.Unlock()
	v, work := r.next()
	if v == nil {
		return false
	}
	for _, p := range work {
		if ctx.Err() != nil {
			return false // the next start has the review again, from its beginning
		}
		v.take(ctx, p)
	}
	r.metrics.reports.Add(float64(len(work)))
	if v.weigh() > r.o.MaxBytes/2 {
		v.giveUp("its reports need more memory than reviews may take: there are too many series over too long a time")
	}
	held := v.weigh()
	r.mu.Lock()
	v.held = held
	r.charge(v)
	done := v.closed && len(v.queue) == 0
	r.mu.Unlock()
	if done && r.settle(ctx, v) {
		r.mu.Lock()
		r.drop(v)
		r.mu.Unlock()
	}
	return r.ready() != nil
}

// settle ends a review that has all its reports; false when it has to be looked at again later.
func (r *Reviews) settle(ctx context.Context, v *review) bool {
	found, ok := v.finish(ctx, r.o.Now())
	if !ok {
		return false
	}
	if err := r.o.Tell(ctx, found); err != nil {
		if ctx.Err() == nil {
			r.o.Logger.Error("what a review found could not be kept; trying again", "asset", v.asset.Name, "err", err)
		}
		return false
	}
	r.metrics.reviews.Inc()
	r.metrics.found.Add(float64(len(found.Found) + found.More))
	return true
}

// next takes the turn of the review that waited longest for one, with its work; none when there is nothing to do now.
func (r *Reviews) next() (*review, []Past) {
	v := r.ready()
	if v == nil {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served++
	v.served, v.again = r.served, r.o.Now().Add(time.Second)
	n := min(batch, len(v.queue))
	work := v.queue[:n:n]
	v.queue = v.queue[n:]
	for _, p := range work {
		v.queued -= sizeOf(p)
	}
	return v, work
}

// ready is the review whose turn is next, nil when none has work now. It closes those whose assets send nothing more.
func (r *Reviews) ready() *review {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	var best *review
	abreast := 0
	for _, v := range r.line {
		if !v.closed && len(v.queue) == 0 && now.Sub(v.fed) > r.o.Idle {
			r.o.Logger.Info("review ends before all is here: its asset sends no more for now", "asset", v.asset.Name)
			r.close(v)
		}
		works := len(v.queue) > 0 || v.closed && !now.Before(v.again)
		if !works {
			continue
		}
		if best == nil || v.served < best.served {
			best = v
		}
		if abreast++; abreast == maxAbreast {
			break
		}
	}
	return best
}

// drop forgets a review; the caller holds mu.
func (r *Reviews) drop(v *review) {
	if i := slices.Index(r.line, v); i >= 0 {
		r.line = slices.Delete(r.line, i, i+1)
		r.used -= v.charged
	}
}

// charge reckons what a review takes; the caller holds mu.
func (r *Reviews) charge(v *review) {
	r.used += v.held + v.queued - v.charged
	v.charged = v.held + v.queued
}

func (r *Reviews) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// sizeOf is about what a report takes in memory; layouts are shared.
func sizeOf(p Past) int64 {
	n := int64(96)
	for _, b := range p.Blocks {
		n += 160 + 8*int64(len(b.Values))
	}
	return n
}

// count is how many reviews are open, and their memory.
func (r *Reviews) count() (open int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.line), r.used
}
