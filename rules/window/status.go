package window

import (
	"slices"
	"strings"
	"time"

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
	w.catchUp()
	defer w.mu.RUnlock()
	out := make([]AssetStatus, 0, len(w.assets))
	for _, as := range w.assets {
		out = append(out, as.report())
	}
	slices.SortFunc(out, func(a, b AssetStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Asset is the status of one asset; ok is false if the window has not heard of it.
func (w *Window) Asset(name string) (status AssetStatus, ok bool) {
	w.catchUp()
	defer w.mu.RUnlock()
	as := w.assets[name]
	if as == nil {
		return AssetStatus{}, false
	}
	return as.report(), true
}

func (a *asset) report() AssetStatus {
	st := AssetStatus{Asset: a.Asset, Received: a.received, Interval: a.interval(), Down: a.down, Series: len(a.series)}
	if a.known {
		st.CompleteSince = time.UnixMilli(a.complete).UTC()
	}
	for _, s := range a.sources {
		if s.house() {
			continue
		}
		b := BlockStatus{
			Source: s.name, Kind: s.kind, Interval: s.interval, Status: s.status, Reason: s.reason, Held: len(s.held),
		}
		if s.status != 0 {
			b.At = time.UnixMilli(s.statusAt).UTC()
		}
		if len(s.log) > 0 {
			b.LastOK = time.UnixMilli(s.newest()).UTC()
			b.Series = len(s.cur.slots)
		}
		st.Blocks = append(st.Blocks, b)
	}
	slices.SortFunc(st.Blocks, func(a, b BlockStatus) int { return strings.Compare(a.Source, b.Source) })
	return st
}

// interval is the shortest of the asset's sources, 0 if none said.
func (a *asset) interval() time.Duration {
	var d time.Duration
	for _, s := range a.sources {
		if s.interval > 0 && (d == 0 || s.interval < d) {
			d = s.interval
		}
	}
	return d
}

// Last calls fn with the newest sample of every series that has not ended, in no particular order. Each asset is read
// at one moment; fn is called without a lock.
func (w *Window) Last(fn func(lbls labels.Labels, at time.Time, v float64)) {
	w.catchUp()
	lists := make([]string, 0, len(w.index.instance))
	for instance := range w.index.instance {
		lists = append(lists, instance)
	}
	w.mu.RUnlock()
	type sample struct {
		s *series
		t int64
		v float64
	}
	var buf []sample
	for _, instance := range lists {
		buf = buf[:0]
		w.mu.RLock()
		for _, s := range w.index.instance[instance] {
			if t, v, ok := s.last(); ok && !value.IsStaleNaN(v) {
				buf = append(buf, sample{s, t, v})
			}
		}
		w.mu.RUnlock()
		for _, x := range buf {
			fn(x.s.lbls, time.UnixMilli(x.t).UTC(), x.v)
		}
	}
}

// Stats are the window's sizes and what it refused.
type Stats struct {
	Assets, Series, Samples int
	// Bytes is an estimate of the memory held.
	Bytes int64
	// Lookback is how far back samples are kept.
	Lookback time.Duration
	// Refused counts what was not taken, by the name of the option to raise, or by what was wrong.
	Refused map[string]uint64
}

// Stats is cheap enough for every scrape.
func (w *Window) Stats() Stats {
	w.catchUp()
	defer w.mu.RUnlock()
	st := Stats{
		Assets: len(w.assets), Series: w.index.size, Samples: w.samples,
		Lookback: time.Duration(w.keep) * time.Millisecond, Refused: make(map[string]uint64, len(w.refused)),
	}
	for k, v := range w.refused {
		st.Refused[k] = v
	}
	const perSample, perSeries, perAsset = 8 + 4, 420, 2048 // measured: labels, key, index and slack of growing slices
	st.Bytes = int64(st.Samples)*perSample + int64(st.Series)*perSeries + int64(st.Assets)*perAsset
	return st
}
