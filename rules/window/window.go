package window

import (
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// StaleAfter is how long the last sample of a series stands for it, as in Prometheus. The window keeps at least this.
const StaleAfter = 5 * time.Minute

// slack is kept beyond the look-back: evaluations run a little behind the newest sample.
const slack = time.Minute

// Options are the window's bounds; zero values are the defaults given. What exceeds a bound is refused and counted in
// Stats.Refused, under the name of the option to raise.
type Options struct {
	// MaxLookback bounds SetLookback (8 days): a rule that looks back further is unknown for good.
	MaxLookback time.Duration
	// MaxSeries bounds the series of all assets together (5,000,000), MaxAssetSeries those of one asset (20,000).
	MaxSeries, MaxAssetSeries int
	// MaxSamples bounds the samples of one series (50,000). A full series forgets its oldest sample, and its asset's
	// complete-since moves up accordingly.
	MaxSamples int
	// MaxHeld bounds the late blocks of one source that wait for a newer live one (20,000).
	MaxHeld int
	// DefaultJob is the job label of `up` for an asset that was never heard of ("node").
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
		o.MaxLookback = 8 * 24 * time.Hour
	}
	if o.DefaultJob == "" {
		o.DefaultJob = "node"
	}
	return o
}

// Window is the samples of the fleet, as far back as some rule looks. It is a storage.Queryable for the PromQL engine.
// All methods may be called concurrently; none of them blocks on a reader.
type Window struct {
	opts Options

	mu     sync.RWMutex
	keep   int64 // how far back samples stay, in ms
	gen    uint64
	assets map[string]*asset
	index  index
	// recorded are the series of recording rules, by their labels.
	recorded map[string]*series
	swept    int64
	// started is when the first report was received.
	started time.Time
	samples int
	refused map[string]uint64
	// behind are the sources with late blocks that are not in their places.
	behind map[*source]bool
	// parts guards what views made of assets; shared are the parts they made.
	parts  sync.Mutex
	shared map[string]*Part
}

// New makes an empty window.
func New(o Options) *Window {
	return &Window{
		opts: o.withDefaults(), keep: (StaleAfter + slack).Milliseconds(),
		assets: map[string]*asset{}, index: newIndex(), recorded: map[string]*series{}, refused: map[string]uint64{},
		behind: map[*source]bool{}, shared: map[string]*Part{},
	}
}

// asset is one asset's part of the window.
type asset struct {
	Asset
	sources map[string]*source
	series  map[string]*series
	up      map[string]*series // by job
	// first and received are when the first and the newest report came in, by the collector's clock.
	first, received time.Time
	down            bool
	// complete is the time (ms) since when every report of this asset is here.
	complete int64
	known    bool // complete is set
	// parts and slots are what views see of the series; nil when they have to be made anew.
	parts []*Part
	slots [][]*series
}

// Applied counts what Apply did with the blocks of one call.
type Applied struct {
	// New blocks took effect; Held ones will, behind the next live block of their source.
	New, Held int
	// Duplicate blocks were here already; Old ones were older than what the window keeps.
	Duplicate, Old int
	// Failed blocks said that their sampler could not look, or could not be understood.
	Failed int
}

// Apply takes what one asset reported, received at the given time of the collector's clock. It is atomic: a query sees
// all of it or nothing. It is idempotent by (asset, source, block time). Blocks of an asset that changed its customer
// or site begin anew. Blocks are not kept but for late ones; their layouts are.
func (w *Window) Apply(a Asset, received time.Time, blocks []Block) Applied {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gen++
	as := w.assetOf(a)
	var done Applied
	var word int64 // the newest new live block
	for i := range blocks {
		b := &blocks[i]
		src := as.source(b)
		live := src.apply(w, b, &done)
		if !b.Late && received.After(as.received) {
			as.received = received
		}
		if live {
			word = max(word, b.At.UnixMilli())
		}
	}
	if word != 0 {
		as.heard(w, word, received)
	}
	for i := range blocks {
		as.sources[blocks[i].Source].tidy(w)
	}
	return done
}

func (w *Window) assetOf(a Asset) *asset {
	as := w.assets[a.Name]
	if as != nil && as.Asset != a {
		w.forget(as)
		as = nil
	}
	if as == nil {
		as = &asset{Asset: a, sources: map[string]*source{}, series: map[string]*series{}, up: map[string]*series{}}
		w.assets[a.Name] = as
	}
	return as
}

func (a *asset) source(b *Block) *source {
	src := a.sources[b.Source]
	if src == nil {
		src = &source{name: b.Source, asset: a, shapes: map[[32]byte]*shape{}}
		a.sources[b.Source] = src
	}
	src.kind = b.Kind
	return src
}

// add makes a series and puts it into the index; nil when a bound is reached.
func (w *Window) add(as *asset, src *source, lbls labels.Labels, key string) *series {
	if w.index.size >= w.opts.MaxSeries {
		w.refused["MaxSeries"]++
		return nil
	}
	if as != nil && len(as.series) >= w.opts.MaxAssetSeries {
		w.refused["MaxAssetSeries"]++
		return nil
	}
	s := &series{lbls: lbls, key: key, src: src, asset: as}
	w.index.add(s)
	if as != nil {
		as.series[key] = s
	}
	return s
}

func (w *Window) drop(s *series) {
	w.samples -= len(s.t)
	w.index.remove(s)
	if s.asset != nil {
		delete(s.asset.series, s.key)
		return
	}
	delete(w.recorded, s.key)
}

// Forget removes an asset and all it ever reported, at once and without stale markers; what is unknown is ignored.
func (w *Window) Forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if as := w.assets[name]; as != nil {
		w.forget(as)
	}
}

func (w *Window) forget(as *asset) {
	for _, src := range as.sources {
		delete(w.behind, src)
	}
	for _, s := range as.series {
		w.drop(s)
	}
	delete(w.assets, as.Name)
}

// SetLookback tells how far back the longest rule looks; the window keeps StaleAfter at least and Options.MaxLookback
// at most. After a rise every asset is complete only since what was kept until now.
func (w *Window) SetLookback(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d = min(max(d, StaleAfter), w.opts.MaxLookback)
	keep := (d + slack).Milliseconds()
	if keep > w.keep {
		for _, as := range w.assets {
			for _, src := range as.sources {
				if len(src.log) > 0 {
					as.raise(src.newest() - w.keep)
				}
			}
		}
	}
	w.keep = keep
}

// raise moves complete-since up to t; it never moves it down.
func (a *asset) raise(t int64) {
	if a.known && t > a.complete {
		a.complete = t
	}
}

// CompleteSince is the time since when every report of the asset is here; ok is false while none is.
func (w *Window) CompleteSince(name string) (at time.Time, ok bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	as := w.assets[name]
	if as == nil || !as.known {
		return time.Time{}, false
	}
	return time.UnixMilli(as.complete).UTC(), true
}

// SetCompleteSince says that every report of the asset since t is here: after a backlog was filled in, or because
// there was nothing before t. Without it an asset is complete since its first live block. Unknown assets are ignored.
func (w *Window) SetCompleteSince(name string, t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if as := w.assets[name]; as != nil {
		as.complete, as.known = t.UnixMilli(), true
	}
}
