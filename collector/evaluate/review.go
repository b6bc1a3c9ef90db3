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
	// Review is what Open called the review: an asset may have one that is being told and one that is open.
	Review uint64
	Asset  window.Asset
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
	opened uint64    // reviews so far
	served uint64    // turns so far
	used   int64     // bytes
}

// NewReviews makes Reviews that do nothing yet.
func NewReviews(o ReviewOptions) *Reviews {
	r := &Reviews{o: o.withDefaults(), wake: make(chan struct{}, 1), all: map[string]*review{}}
	r.metrics = newReviewMetrics(r.o.Registerer, r.count)
	return r
}

// forkBytes is what is set aside for a copy of an asset's window while it is being made: what one of a usual server takes.
const forkBytes = 128 << 10

// Open begins the review of an asset and returns its number; one that is open stays as it is. before makes the window of
// what was known of the asset until then, nil when nothing was, and the live alerts that were active before since go on in
// the review; back is the report with which it came back, zero when that is not known: what fires after it is for the live
// rules to say. When reviews have all the memory they may have, this one begins without before and back, in a few hundred
// bytes: what looks back further than its own reports is unknown then.
func (r *Reviews) Open(a window.Asset, since time.Time, back Past, before func() *window.Window) uint64 {
	r.mu.Lock()
	if v := r.all[a.Name]; v != nil {
		defer r.mu.Unlock()
		return v.id
	}
	full := r.used >= r.o.MaxBytes
	if !full {
		r.used += forkBytes // nobody else may count on it meanwhile
	}
	r.mu.Unlock()
	var known *window.Window
	switch {
	case full:
		back.Blocks = nil
		r.metrics.bare.Inc()
	case before != nil:
		known = before()
	}
	v := newReview(r.o, a, known, since, back)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !full {
		r.used -= forkBytes
	}
	if other := r.all[a.Name]; other != nil {
		return other.id
	}
	r.opened++
	v.id = r.opened
	r.all[a.Name] = v
	r.line = append(r.line, v)
	r.charge(v)
	return v.id
}

// Going tells whether a review, by the number that Open gave it, is not told yet.
func (r *Reviews) Going(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.line, func(v *review) bool { return v.id == id })
}

// Another is the number of the newest review of an asset that is not told yet, other than one; 0 when there is none.
func (r *Reviews) Another(asset string, than uint64) (id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.line {
		if v.asset.Name == asset && v.id != than {
			id = max(id, v.id)
		}
	}
	return id
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

// Fed is the number of an asset's open review and when that last got a report, or was opened; ok is false when none is
// open.
func (r *Reviews) Fed(asset string) (id uint64, at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.all[asset]
	if v == nil {
		return 0, time.Time{}, false
	}
	return v.id, v.fed, true
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
