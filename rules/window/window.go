package window

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// StaleAfter is how long the last sample of a series stands for it, as in Prometheus.
const StaleAfter = 5 * time.Minute

// MaxLookback is how far back a window keeps samples unless its options say otherwise.
const MaxLookback = 8 * 24 * time.Hour

// DefaultJob is the job of `up` for an asset that was never heard of, unless the window's options say otherwise.
const DefaultJob = "node"

// slack is kept beyond the look-back: evaluations run a little behind the newest sample.
const slack = time.Minute

// Options are the window's bounds; zero values are the defaults given. What exceeds a bound is refused and counted in
// Stats.Refused, under the name of the option to raise.
type Options struct {
	// MaxLookback bounds SetLookback and SetDemand (the constant MaxLookback): a rule that looks back further is unknown for good.
	MaxLookback time.Duration
	// MaxSeries bounds the series of all assets together (5,000,000), MaxAssetSeries those of one asset (20,000).
	MaxSeries, MaxAssetSeries int
	// MaxSamples bounds the samples of one series (50,000). A full series forgets its oldest sample, and its asset's
	// complete-since moves up accordingly.
	MaxSamples int
	// MaxHeld bounds the late blocks of one source that wait for a newer live one (20,000).
	MaxHeld int
	// DefaultJob is the job label of `up` for an asset that was never heard of (the constant DefaultJob).
	DefaultJob string
}

func (o Options) withDefaults() Options {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.MaxSeries, 5_000_000)
	set(&o.MaxAssetSeries, 20_000)
	set(&o.MaxSamples, 50_000)
	set(&o.MaxHeld, 20_000)
	if o.MaxLookback < StaleAfter {
		o.MaxLookback = MaxLookback
	}
	if o.DefaultJob == "" {
		o.DefaultJob = DefaultJob
	}
	return o
}

// Window is the samples of the fleet, as far back as some rule looks. It is a storage.Queryable for the PromQL engine.
// All methods may be called concurrently. Each asset has a lock of its own: a report waits for nobody but readers of its
// asset, and they for nobody else's reports.
type Window struct {
	opts   Options
	demand atomic.Pointer[demand]
	gen    atomic.Uint64
	shards [64]shard
	series atomic.Int64
	// started is when the first report was received, in ms; forever before.
	started  atomic.Int64
	readers  readers
	parts    *parts
	index    index
	recorded recorded
	late     lateAssets
	mu       sync.Mutex // guards refused
	refused  map[string]uint64
}

// shard is the assets of some names.
type shard struct {
	mu     sync.RWMutex
	assets map[string]*asset
}

// New makes an empty window. Until it is told what rules look back on it keeps all series for StaleAfter.
func New(o Options) *Window { return newWindow(o.withDefaults(), newParts()) }

func newWindow(o Options, p *parts) *Window {
	w := &Window{opts: o, parts: p, index: newIndex(), refused: map[string]uint64{}}
	w.readers.oldest.Store(nobody)
	w.started.Store(forever)
	w.recorded = newRecorded()
	w.demand.Store(p.same(&demand{every: rawFor, longest: rawFor}))
	for i := range w.shards {
		w.shards[i].assets = map[string]*asset{}
	}
	return w
}

func (w *Window) shard(name string) *shard {
	return &w.shards[maphash.String(w.parts.seed, name)%uint64(len(w.shards))]
}

// refuse counts what was not taken.
func (w *Window) refuse(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused[why]++
}

// count counts series of an asset, nil for what timers record.
func (w *Window) count(as *asset, n int) {
	w.series.Add(int64(n))
	if as != nil {
		as.series += n
	}
}

// asset is one asset's part of the window; mu guards all but its name, customer and site.
type asset struct {
	Asset
	mu sync.RWMutex
	// gone says that the window has let go of it.
	gone bool
	// gen is that of the change under way, or of the last.
	gen     uint64
	sources []*source // by name
	ups     []*source // by job
	series  int
	// turns counts the changes of parts.
	turns uint64
	// news counts the live blocks and failures that were the newest of their source.
	news uint64
	// first and received are when the first and the newest report came in, by the collector's clock.
	first, received time.Time
	down            bool
	// behind says that some source has late blocks that are not in their places.
	behind bool
	// complete is the time (ms) since when every report of this asset is here; known says that it is set, resumed that
	// it is from a snapshot and the next live report begins anew.
	complete       int64
	known, resumed bool
	// again is the time (ms) of the first live block after a snapshot: what recording rules made before is not here.
	again int64
	// marks are rows that queries which are open may not see.
	marks []rowMark
	// parts and order are what views see of it; nil when they have to be made anew.
	parts []*Part
	order []*source
	// left are series that ended in the change under way, moved those that it had as another's: see Ended.
	left  []leaving
	moved []moving
}

// find is the asset of a name, nil when there is none.
func (w *Window) find(name string) *asset {
	x := w.shard(name)
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.assets[name]
}

// each calls fn with every asset, locked.
func (w *Window) each(fn func(*asset)) {
	for i := range w.shards {
		x := &w.shards[i]
		x.mu.RLock()
		list := slices.Collect(maps.Values(x.assets))
		x.mu.RUnlock()
		for _, as := range list {
			as.mu.Lock()
			if !as.gone {
				fn(as)
			}
			as.changed()
		}
	}
}

// change locks an asset to be changed; the caller calls changed.
func (w *Window) change(a Asset) *asset {
	var moved []moving
	for {
		as := w.find(a.Name)
		if as == nil {
			x := w.shard(a.Name)
			x.mu.Lock()
			if as = x.assets[a.Name]; as == nil {
				as = &asset{Asset: a}
				x.assets[a.Name] = as
			}
			x.mu.Unlock()
		}
		as.mu.Lock()
		if as.gone {
			as.mu.Unlock()
			continue
		}
		if as.Asset != a {
			moved = append(as.standing(), as.moved...)
			w.forget(as)
			as.mu.Unlock()
			continue
		}
		as.begin(w)
		as.moved = append(as.moved, moved...)
		return as
	}
}

// begin is a change that queries see as one.
func (a *asset) begin(w *Window) {
	a.gen = w.gen.Add(1)
	if oldest := w.readers.oldest.Load(); len(a.marks) > 0 {
		a.marks = slices.DeleteFunc(a.marks, func(m rowMark) bool { return m.gen <= oldest })
	}
}

// changed ends a change.
func (a *asset) changed() {
	if a.parts == nil {
		a.arrange()
	}
	a.mu.Unlock()
}

// Applied counts what Apply did with the blocks of one call.
type Applied struct {
	// New blocks took effect; Held ones will, behind the next live block of their source.
	New, Held int
	// Duplicate blocks were here already; Old ones were older than what the window keeps.
	Duplicate, Old int
	// Failed blocks said that their sampler could not look, or could not be understood.
	Failed int
	// Ended are series that are not in a block in which they were before, and all that the asset had as another customer's
	// or at another site.
	Ended []Ended
}

// Apply takes what one asset reported, received at the given time of the collector's clock. It is atomic: a query sees
// all of it or nothing. It is idempotent by (asset, source, block time). Blocks of an asset that changed its customer
// or site begin anew. Blocks are not kept but for late ones; their layouts are.
func (w *Window) Apply(a Asset, received time.Time, blocks []Block) Applied {
	as := w.change(a)
	defer as.changed()
	var done Applied
	var word int64 // the newest new live block
	own := false   // one of those is of the asset's agent
	for i := range blocks {
		b := &blocks[i]
		src := as.source(w, b.Source, b.Kind)
		live := src.apply(w, b, &done)
		if !b.Late && received.After(as.received) && (b.Kind != "" || as.agentless()) {
			as.received = received
		}
		if live {
			word, own = max(word, b.At.UnixMilli()), own || b.Kind != ""
		}
	}
	if word != 0 {
		as.heard(w, word, received, own)
	}
	done.Ended = as.ends(word)
	return done
}

// source is the asset's source of a name, made when it is new.
func (a *asset) source(w *Window, name, kind string) *source {
	i, have := slices.BinarySearchFunc(a.sources, name, func(s *source, name string) int {
		return strings.Compare(s.part.Name, name)
	})
	if !have {
		a.sources = slices.Insert(a.sources, i, w.newSource(a, w.parts.one(&Part{Name: name, kind: kind})))
		a.parts, a.order = nil, nil
	}
	s := a.sources[i]
	if s.part.kind != kind { // another job label, so other series; see resolve
		if s.layout = nil; len(s.part.Series) == 0 {
			s.become(w, w.parts.one(&Part{Name: name, kind: kind}))
		}
	}
	return s
}

func (w *Window) newSource(as *asset, p *Part) *source {
	s := &source{asset: as, part: p, plan: p.plan(w.demand.Load()), lost: never, floor: never}
	s.bands = make([]band, len(s.plan.lanes))
	for i, l := range s.plan.lanes {
		s.bands[i].lane = l
	}
	w.index.add(s)
	w.count(as, len(p.Series))
	return s
}

// agentless tells whether all that is known of the asset came from outside.
func (a *asset) agentless() bool {
	return !slices.ContainsFunc(a.sources, func(s *source) bool { return s.part.kind != "" && !s.part.house() })
}

// outside tells whether the source is not the asset's agent's.
func (s *source) outside() bool { return s.part.kind == "" && !s.part.house() }

// all are the asset's sources, `up` too.
func (a *asset) all() []*source { return append(slices.Clone(a.sources), a.ups...) }

// Forget removes an asset and all it ever reported, at once and without stale markers; what is unknown is ignored. It
// returns the series that had not ended, but for those from outside.
func (w *Window) Forget(name string) (ended []labels.Labels) {
	as := w.find(name)
	if as == nil {
		return nil
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.gone {
		return nil
	}
	for _, x := range append(as.standing(), as.moved...) {
		ended = append(ended, x.labels)
	}
	w.forget(as)
	return ended
}

// forget lets go of an asset; the caller holds its lock.
func (w *Window) forget(as *asset) {
	as.gone = true
	x := w.shard(as.Name)
	x.mu.Lock()
	if x.assets[as.Name] == as {
		delete(x.assets, as.Name)
	}
	x.mu.Unlock()
	for _, s := range as.all() {
		w.index.remove(s)
	}
	w.series.Add(-int64(as.series))
}

// raise moves complete-since up to t; it never moves it down.
func (a *asset) raise(t int64) {
	if a.known && t > a.complete {
		a.complete = t
	}
}

// replan keeps what the window's demand asks for.
func (a *asset) replan(w *Window) {
	a.catchUp(w)
	for _, s := range a.all() {
		s.replan(w)
	}
}

// CompleteSince is the time since when every report of the asset is here; ok is false while none is.
func (w *Window) CompleteSince(name string) (at time.Time, ok bool) {
	as := w.find(name)
	if as == nil {
		return time.Time{}, false
	}
	as.mu.RLock()
	defer as.mu.RUnlock()
	if !as.known {
		return time.Time{}, false
	}
	return time.UnixMilli(as.complete).UTC(), true
}

// SetCompleteSince says that every report of the asset since t is here: after a backlog was filled in, or because
// there was nothing before t. Without it an asset is complete since its first live block. Unknown assets are ignored.
func (w *Window) SetCompleteSince(name string, t time.Time) {
	if as := w.find(name); as != nil {
		as.mu.Lock()
		as.complete, as.known = t.UnixMilli(), true
		as.mu.Unlock()
	}
}
