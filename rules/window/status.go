package window

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// AssetStatus is what the window knows about one asset's reports.
type AssetStatus struct {
	Asset
	// Received is when the newest live report came in; zero if none did.
	Received time.Time
	// Interval is the shortest of its sources.
	Interval time.Duration
	// Down is what SetDown said last, until the next live report.
	Down bool
	// CompleteSince is zero while no live report is here.
	CompleteSince time.Time
	Series        int
	Blocks        []BlockStatus
}

// BlockStatus is the newest live word of one source of an asset.
type BlockStatus struct {
	Source, Kind string
	// Job is the label job of its series: the kind, or where that is empty what they bring themselves.
	Job string
	// At is the time of that block, LastOK that of the newest samples; zero if there are none.
	At, LastOK time.Time
	Interval   time.Duration
	// Status is OK or Failed, or 0 while there were only late blocks.
	Status Status
	Reason string
	// Series is how many are in the newest ok block; Held how many late blocks wait for a newer live one.
	Series, Held int
}

// Assets is the status of every asset, by name.
func (w *Window) Assets() []AssetStatus {
	var out []AssetStatus
	w.eachRead(func(as *asset) { out = append(out, as.report()) })
	slices.SortFunc(out, func(a, b AssetStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Asset is the status of one asset; ok is false if the window has not heard of it.
func (w *Window) Asset(name string) (status AssetStatus, ok bool) {
	as := w.find(name)
	if as == nil {
		return AssetStatus{}, false
	}
	as.read(w)
	defer as.mu.RUnlock()
	return as.report(), !as.gone
}

// eachRead calls fn with every asset, each held still meanwhile, with all late blocks in their places.
func (w *Window) eachRead(fn func(*asset)) {
	for i := range w.shards {
		x := &w.shards[i]
		x.mu.RLock()
		list := slices.Collect(maps.Values(x.assets))
		x.mu.RUnlock()
		for _, as := range list {
			as.read(w)
			if !as.gone {
				fn(as)
			}
			as.mu.RUnlock()
		}
	}
}

func (a *asset) report() AssetStatus {
	st := AssetStatus{Asset: a.Asset, Received: a.received, Interval: a.interval(), Down: a.down, Series: a.series}
	if a.known {
		st.CompleteSince = time.UnixMilli(a.complete).UTC()
	}
	for _, s := range a.sources {
		if s.part.house() {
			continue
		}
		m := s.seldom()
		b := BlockStatus{
			Source: s.part.Name, Kind: s.part.kind, Job: s.part.job(), Interval: s.interval, Status: s.status, Reason: m.reason, Held: len(m.held),
		}
		if s.status != 0 {
			b.At = time.UnixMilli(s.statusAt).UTC()
		}
		if newest := s.newest(); newest != never {
			b.LastOK = time.UnixMilli(newest).UTC()
			b.Series = s.part.Live
			if s.layout != nil {
				b.Series = len(s.layout.Series)
			}
		}
		st.Blocks = append(st.Blocks, b)
	}
	return st
}

// interval is the shortest of its agent's sources, or of those from outside when it has no agent; 0 if none said.
func (a *asset) interval() time.Duration {
	var d time.Duration
	agentless := a.agentless()
	for _, s := range a.sources {
		if s.outside() && !agentless {
			continue
		}
		if s.interval > 0 && (d == 0 || s.interval < d) {
			d = s.interval
		}
	}
	return d
}

// Last calls fn with the newest sample of every series that has not ended, in no particular order. Each asset is read
// at one moment; fn is called without a lock.
func (w *Window) Last(fn func(lbls labels.Labels, at time.Time, v float64)) {
	type sample struct {
		lbls labels.Labels
		t    int64
		v    float64
	}
	var buf []sample
	take := func(a *Asset, s *source) {
		for slot, lbls := range s.part.Series {
			if t, v, ok := s.lastOf(int32(slot)); ok && !value.IsStaleNaN(v) {
				buf = append(buf, sample{a.Labels(lbls), t, v})
			}
		}
	}
	tell := func() {
		for _, x := range buf {
			fn(x.lbls, time.UnixMilli(x.t).UTC(), x.v)
		}
		buf = buf[:0]
	}
	for i := range w.shards {
		x := &w.shards[i]
		x.mu.RLock()
		list := slices.Collect(maps.Values(x.assets))
		x.mu.RUnlock()
		for _, as := range list {
			as.read(w)
			for _, s := range as.order {
				take(&as.Asset, s)
			}
			as.mu.RUnlock()
			tell()
		}
	}
	w.recorded.mu.RLock()
	for _, s := range w.recorded.all {
		take(&Asset{}, s)
	}
	w.recorded.mu.RUnlock()
	tell()
}

// Stats are the window's sizes and what it refused.
type Stats struct {
	Assets, Series, Samples int
	// Parts is how many different shapes are in use.
	Parts int
	// Bytes is the memory held, as it was asked for: columns, compressed samples, shapes with their labels and what is
	// known of assets and sources. The layouts that were given to Apply, and what the allocator adds, are not in it.
	Bytes int64
	// Lookback is how far back samples are kept of the series that are looked back on furthest.
	Lookback time.Duration
	// Refused counts what was not taken, by the name of the option to raise, or by what was wrong.
	Refused map[string]uint64
}

// Stats looks at every asset, for a moment each: cheap enough for every scrape.
func (w *Window) Stats() Stats {
	st := Stats{Series: int(w.series.Load()), Lookback: time.Duration(w.demand.Load().longest) * time.Millisecond}
	w.eachRead(func(as *asset) {
		st.Assets++
		st.Bytes += as.bytes()
		for _, s := range as.all() {
			st.Samples += s.samples()
		}
	})
	w.recorded.mu.RLock()
	for key, s := range w.recorded.all {
		st.Samples += s.samples()
		st.Bytes += s.bytes() + s.part.bytes + 2*int64(unsafe.Sizeof(s)) + int64(unsafe.Sizeof(key)) + int64(len(key))
	}
	w.recorded.mu.RUnlock()
	w.index.mu.RLock()
	st.Parts = len(w.index.shapes)
	for _, sh := range w.index.shapes {
		st.Bytes += sh.bytes()
	}
	w.index.mu.RUnlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	st.Refused = maps.Clone(w.refused)
	return st
}

// bytes is the memory behind an asset; parts are not in it, for others have them too.
func (a *asset) bytes() int64 {
	n := int64(unsafe.Sizeof(*a)) + int64(len(a.Name)+len(a.Customer)+len(a.Site))
	n += int64(unsafe.Sizeof(a)) * int64(cap(a.sources)+cap(a.ups)+cap(a.parts)+cap(a.order))
	n += int64(cap(a.marks)) * int64(unsafe.Sizeof(rowMark{}))
	for _, s := range a.all() {
		n += s.bytes()
	}
	return n
}

// bytes is the memory of a part and of what finds and keeps its series.
func (sh *shape) bytes() int64 {
	n := sh.part.bytes + int64(unsafe.Sizeof(*sh)) + int64(unsafe.Sizeof(sh))*int64(cap(sh.users)) +
		int64(unsafe.Sizeof(""))*int64(cap(sh.names)) + 4*int64(cap(sh.at))
	if plans := sh.part.plans.Load(); plans != nil {
		for _, p := range *plans {
			n += int64(unsafe.Sizeof(*p)) + int64(cap(p.at))*int64(unsafe.Sizeof(place{}))
			for _, l := range p.lanes {
				n += int64(unsafe.Sizeof(*l)) + 4*int64(cap(l.slots)+cap(l.order)) + 8*int64(cap(l.ids))
			}
		}
	}
	return n
}
