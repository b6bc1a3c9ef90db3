package window

import (
	"time"
)

// Fork makes a window of what is here of one asset from before t, recorded series with its instance among it, and of
// nothing that the house wrote about it after its last block: the past of a review, whose own reports then go into it without touching this one. It keeps as long and has the same bounds;
// samples are shared until one side lets go of them. An asset that nobody has heard of gives an empty window.
func (w *Window) Fork(name string, before time.Time) *Window {
	w.catchUp()
	defer w.mu.RUnlock()
	out := New(w.opts)
	out.keep = w.keep
	as := w.assets[name]
	if as == nil {
		return out
	}
	f := fork{w: out, cut: before.UnixMilli(), series: map[*series]*series{}}
	f.asset = &asset{
		Asset: as.Asset, complete: as.complete, known: as.known,
		sources: map[string]*source{}, series: map[string]*series{}, up: map[string]*series{},
	}
	out.assets[name] = f.asset
	for _, src := range as.sources {
		f.source(src)
	}
	f.age()
	// What the house wrote while it heard nothing is no past: that is what a review is to find out.
	f.cut = min(f.cut, f.asset.received.UnixMilli()+1)
	for job, s := range as.up {
		if made := f.copy(s, nil, f.asset); len(made.t) > 0 {
			f.asset.up[job] = made
		}
	}
	for _, s := range w.index.instance[name] {
		if s.asset == nil {
			out.recorded[s.key] = f.copy(s, nil, nil)
		}
	}
	return out
}

// fork is a Fork under way.
type fork struct {
	w      *Window
	cut    int64
	asset  *asset
	series map[*series]*series
}

// copy is a series up to the cut, in the new window.
func (f *fork) copy(s *series, src *source, as *asset) *series {
	if made := f.series[s]; made != nil {
		return made
	}
	n := s.after(f.cut - 1)
	made := &series{lbls: s.lbls, key: s.key, src: src, asset: as, t: s.t[:n:n], v: s.v[:n:n]}
	f.series[s] = made
	f.w.index.add(made)
	f.w.samples += n
	if as != nil {
		as.series[s.key] = made
	}
	return made
}

// source copies what a source said before the cut; nothing when it had not spoken yet.
func (f *fork) source(src *source) {
	n, _ := src.at(f.cut)
	if n == 0 {
		return
	}
	made := &source{
		name: src.name, kind: src.kind, asset: f.asset, shapes: map[[32]byte]*shape{}, interval: src.interval,
		status: src.status, statusAt: src.statusAt, reason: src.reason,
	}
	f.asset.sources[src.name] = made
	shapes := map[*shape]*shape{}
	for _, e := range src.log[:n] {
		sh := shapes[e.sh]
		if sh == nil {
			sh = &shape{layout: e.sh.layout, slots: make([]*series, len(e.sh.slots))}
			for i, s := range e.sh.slots {
				if s != nil {
					sh.slots[i] = f.copy(s, made, f.asset)
				}
			}
			shapes[e.sh] = sh
			if id := sh.layout.ID; id != [32]byte{} {
				made.shapes[id] = sh
			}
		}
		made.log = append(made.log, entry{t: e.t, sh: sh})
	}
	made.cur = made.log[n-1].sh
	if made.status == 0 || made.statusAt >= f.cut {
		made.status, made.statusAt, made.reason = OK, made.newest(), ""
	}
	current := made.cur.set()
	for old, s := range f.series {
		if old.src == src && !current[s] {
			made.left = append(made.left, s)
		}
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
	f.w.started = f.asset.first
}
