package window

import (
	"slices"
	"time"
)

// Fork makes a window of what is here of one asset from before t, recorded series with its instance among it, and of
// nothing that the house wrote about it after its last block: the past of a review, whose own reports then go into it
// without touching this one. It keeps as long and has the same bounds; shapes and what is sealed are shared. An asset that
// nobody has heard of gives an empty window.
func (w *Window) Fork(name string, before time.Time) *Window {
	out := newWindow(w.opts, w.parts)
	as := w.find(name)
	if as == nil {
		out.demand.Store(w.demand.Load())
		return out
	}
	as.read(w)
	defer as.mu.RUnlock()
	out.demand.Store(w.demand.Load())
	f := fork{w: out, cut: before.UnixMilli()}
	f.asset = &asset{Asset: as.Asset, complete: as.complete, known: as.known}
	x := out.shard(name)
	x.assets[name] = f.asset
	for _, src := range as.sources {
		if made := f.copy(src, f.asset); made != nil {
			f.asset.sources = append(f.asset.sources, made)
		}
	}
	f.age()
	// What the house wrote while it heard nothing is no past: that is what a review is to find out.
	f.cut = min(f.cut, f.asset.received.UnixMilli()+1)
	for _, s := range as.ups {
		if made := f.copy(s, f.asset); made != nil {
			f.asset.ups = append(f.asset.ups, made)
		}
	}
	f.recorded(w)
	f.asset.arrange()
	return out
}

// fork is a Fork under way.
type fork struct {
	w     *Window
	cut   int64
	asset *asset
}

// recorded copies what timers recorded of the asset.
func (f *fork) recorded(from *Window) {
	from.recorded.mu.RLock()
	defer from.recorded.mu.RUnlock()
	r := &f.w.recorded
	for _, s := range from.recorded.instance[f.asset.Name] {
		made := f.copy(s, nil)
		if made == nil {
			continue
		}
		lbls := s.part.Series[0]
		r.place(lbls, string(lbls.Bytes(nil)), made)
	}
}

// copy is a source as it was before the cut, in the new window; nil when it had not spoken yet.
func (f *fork) copy(s *source, as *asset) *source {
	made := &source{
		asset: as, part: s.part, plan: s.plan, lost: s.lost, floor: s.floor, was: s.was,
		status: s.status, statusAt: s.statusAt, interval: s.interval,
	}
	n, _ := slices.BinarySearch(s.t, f.cut)
	made.t, made.rows = slices.Clone(s.t[:n]), slices.Clone(s.rows[:n*len(s.part.Series)])
	made.bands = make([]band, len(s.bands))
	for i := range s.bands {
		made.bands[i] = s.bands[i].until(f.cut)
	}
	newest := made.newest()
	if newest == never {
		return nil
	}
	if m := s.more; m != nil {
		made.more = &more{
			reason: m.reason, pick: m.pick, turned: m.turned, left: slices.Clone(m.left),
			since: slices.Clone(m.since), doubted: m.doubted,
		}
		for _, x := range m.moved {
			if k, _ := slices.BinarySearch(x.t, f.cut); k > 0 {
				made.more.moved = append(made.more.moved, moved{x.id, x.t[:k:k], x.v[:k:k]})
			}
		}
	}
	if as != nil && !s.part.Written() && (made.status == 0 || made.statusAt >= f.cut) {
		made.status, made.statusAt = OK, newest
	}
	f.w.count(as, len(s.part.Series))
	if as != nil {
		f.w.index.add(made)
	}
	return made
}

// until is a band of its own with the rows from before t.
func (b *band) until(t int64) band {
	n := len(b.slabs)
	for n > 0 && b.slabs[n-1].last >= t {
		n--
	}
	out := band{lane: b.lane, slabs: slices.Clone(b.slabs[:n])}
	if n < len(b.slabs) { // the cut is in what is sealed
		ts, vs := b.decode(b.slabs[n : n+1])
		rows, _ := slices.BinarySearch(ts, t)
		out.copy(ts, vs, len(ts), rows)
		return out
	}
	rows, _ := slices.BinarySearch(b.t, t)
	out.copy(b.t, b.v, b.room, rows)
	return out
}

// copy takes over the first rows of columns that stand room apart.
func (b *band) copy(t []int64, v []float64, room, rows int) {
	b.t, b.room = slices.Clone(t[:rows:rows]), rows
	b.v = make([]float64, 0, rows*len(b.lane.ids))
	for p := range b.lane.ids {
		b.v = append(b.v, v[p*room:][:rows]...)
	}
}

// age gives the asset the life its samples tell of.
func (f *fork) age() {
	for _, src := range f.asset.sources {
		if t := time.UnixMilli(src.newest()); t.After(f.asset.received) {
			f.asset.received = t
		}
	}
	if f.asset.known {
		f.asset.first = time.UnixMilli(f.asset.complete)
	} else {
		f.asset.first = f.asset.received
	}
	f.w.begin(f.asset.first)
}
