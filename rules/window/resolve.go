package window

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// resolve makes the part that a source has once a block of a layout is its newest: the block's series, then those that
// left, at t or before.
func (s *source) resolve(w *Window, kind string, l *Layout, t int64) {
	base := w.parts.base(s.part.Name, kind, l)
	next, pick := base, []int32(nil)
	if refused := s.refusals(w, base); len(refused) > 0 {
		next, pick = w.parts.without(base, refused)
	}
	var gone []int32 // slots of the part until now
	var left []int64
	for slot := range s.part.Series {
		if _, stays := next.find(s.part.ids[slot]); stays {
			continue
		}
		at := t
		if slot >= s.part.Live {
			at = s.more.left[slot-s.part.Live]
		}
		if at < t-s.holds(int32(slot)) {
			continue
		}
		gone, left = append(gone, int32(slot)), append(left, at)
	}
	if len(gone) > 0 {
		sortLeft(s.part, gone, left)
		next = w.parts.with(next, next.Live, s.part, gone)
	}
	s.leaves(next, t)
	s.become(w, next)
	s.layout = l
	if s.more != nil || len(left) > 0 || pick != nil {
		m := s.rarely()
		m.left, m.pick, m.turned = left, pick, s.asset.turns
	}
}

// sortLeft puts series that left in the order of their labels, so that assets that lost the same have the same part.
func sortLeft(p *Part, slots []int32, left []int64) {
	at := make(map[int32]int64, len(slots))
	for i, slot := range slots {
		at[slot] = left[i]
	}
	slices.SortFunc(slots, func(a, b int32) int { return labels.Compare(p.Series[a], p.Series[b]) })
	for i, slot := range slots {
		left[i] = at[slot]
	}
}

// refusals are the places of series of a block that the source cannot have: those that another source has, that are in it
// twice, and what exceeds the bounds. What another source had takes its samples along.
func (s *source) refusals(w *Window, base *Part) (refused []int32) {
	var seen map[uint64]bool
	if base.twice {
		seen = map[uint64]bool{}
	}
	fresh := 0
	up := w.parts.up(base.kind).ids[0] // the house writes that
	for i, id := range base.ids {
		if seen[id] || id == up {
			w.refuse("series of two blocks")
			refused = append(refused, int32(i))
			continue
		}
		if seen != nil {
			seen[id] = true
		}
		if _, have := s.part.find(id); have {
			continue
		}
		if why := s.admit(w, id, &fresh); why != "" {
			w.refuse(why)
			refused = append(refused, int32(i))
		}
	}
	return refused
}

// admit says why a source cannot have a series that it has not had so far, and takes it over from a source that it left.
// fresh is how many were admitted before that are not counted yet.
func (s *source) admit(w *Window, id uint64, fresh *int) (refused string) {
	for _, o := range s.asset.all() {
		slot, has := o.part.find(id)
		switch {
		case o == s || !has:
			continue
		case int(slot) < o.part.Live:
			return "series of two blocks"
		}
		var b Buffer
		if t, v := o.collect(slot, never, forever, nil, &b); len(t) > 0 {
			m := s.rarely()
			m.moved = append(m.moved, moved{id, slices.Clone(t), slices.Clone(v)})
		}
		o.lose(w, []int32{slot})
		break
	}
	switch {
	case w.series.Load()+int64(*fresh) >= int64(w.opts.MaxSeries):
		return "MaxSeries"
	case s.asset.series+*fresh >= w.opts.MaxAssetSeries:
		return "MaxAssetSeries"
	}
	*fresh++
	return ""
}

// lose forgets series that left.
func (s *source) lose(w *Window, slots []int32) {
	var rest []int32
	var left []int64
	for slot := s.part.Live; slot < len(s.part.Series); slot++ {
		if !slices.Contains(slots, int32(slot)) {
			rest, left = append(rest, int32(slot)), append(left, s.more.left[slot-s.part.Live])
		}
	}
	live := make([]int32, s.part.Live)
	for i := range live {
		live[i] = int32(i)
	}
	next := w.parts.with(&Part{Name: s.part.Name, kind: s.part.kind}, s.part.Live, s.part, append(live, rest...))
	s.become(w, next)
	s.more.left = left
}

// forgetLeft forgets all series that left too long ago.
func (s *source) forgetLeft(w *Window, now int64) {
	var slots []int32
	for i, at := range s.more.left {
		if slot := int32(s.part.Live + i); at < now-s.holds(slot) {
			slots = append(slots, slot)
		}
	}
	s.lose(w, slots)
}

// become changes the part: samples of series that are in both go over.
func (s *source) become(w *Window, next *Part) {
	old := s.part
	if next == old {
		return
	}
	from := translate(next.ids, next.order, old.ids, old.order)
	rows := make([]float64, 0, len(s.t)*len(next.ids))
	for i := range s.t {
		was := s.row(i)
		for _, slot := range from {
			if slot < 0 {
				rows = append(rows, staleMarker())
			} else {
				rows = append(rows, was[slot])
			}
		}
	}
	since := s.seldom().since
	if since != nil {
		s.more.since = make([]int64, len(from))
		for i, slot := range from {
			if s.more.since[i] = never; slot >= 0 {
				s.more.since[i] = since[slot]
			}
		}
	}
	p := next.plan(s.plan.demand)
	s.doubtNew(next, p, from)
	bands := make([]band, len(p.lanes))
	for i, l := range p.lanes {
		if k := slices.IndexFunc(s.bands, func(b band) bool { return b.lane.keep == l.keep }); k >= 0 {
			bands[i] = s.bands[k]
			bands[i].remap(l)
		} else {
			bands[i] = s.absent(l)
		}
	}
	s.rows, s.bands, s.plan = rows, bands, p
	w.count(s.asset, len(next.Series)-len(old.Series))
	w.index.move(s, next)
	s.part = next
	if s.asset != nil {
		s.asset.turns++
		s.asset.parts, s.asset.order = nil, nil
	}
}

// absent is a band of series that were in none of the blocks that are here. Of blocks of which nothing else is kept, the
// time is not known either: a series that was in late blocks only may be seen to have ended a little later than it did.
func (s *source) absent(l *lane) band {
	b := band{lane: l}
	t := slices.Clone(s.t)
	for i := range s.bands {
		t = union(t, s.bands[i].times())
	}
	if len(t) > 0 {
		from, _ := slices.BinarySearch(t, t[len(t)-1]-l.keep)
		t = t[from:]
		b.fill(t, slices.Repeat([]float64{staleMarker()}, len(t)*len(l.ids)))
	}
	return b
}

// doubtNew notes of series that come what they were may have been forgotten; from says which were there.
func (s *source) doubtNew(next *Part, p *plan, from []int32) {
	newest := s.newest()
	if s.floor == never || newest == never {
		return
	}
	for slot, was := range from {
		if was >= 0 || p.at[slot].lane < 0 {
			continue
		}
		keep := p.lanes[p.at[slot].lane].keep
		if s.floor <= newest-keep || s.was != nil && s.was.keep(next.Series[slot]) >= keep {
			continue
		}
		m := s.rarely()
		if m.since == nil {
			m.since = slices.Repeat([]int64{never}, len(from))
		}
		m.since[slot] = s.floor
	}
}

// with is a part and, behind it, series of another.
func (x *parts) with(p *Part, live int, other *Part, slots []int32) *Part {
	made := &Part{Name: p.Name, kind: p.kind, Live: live}
	made.Series = append(make([]labels.Labels, 0, len(p.Series)+len(slots)), p.Series...)
	made.ids = append(make([]uint64, 0, len(p.ids)+len(slots)), p.ids...)
	for _, slot := range slots {
		made.Series, made.ids = append(made.Series, other.Series[slot]), append(made.ids, other.ids[slot])
	}
	return x.one(made)
}

// without is a part without some of its series, and the places of those that it has.
func (x *parts) without(p *Part, refused []int32) (*Part, []int32) {
	pick := make([]int32, 0, len(p.Series)-len(refused))
	for i := range p.Series {
		if !slices.Contains(refused, int32(i)) {
			pick = append(pick, int32(i))
		}
	}
	return x.with(&Part{Name: p.Name, kind: p.kind}, len(pick), p, pick), pick
}

// replan keeps of the samples what a new demand asks for, as far as they are here.
func (s *source) replan(w *Window) {
	p := s.part.plan(w.demand.Load())
	if p == s.plan {
		return
	}
	w.index.mu.RLock() // whose places other assets' changes move
	was := *s
	w.index.mu.RUnlock()
	s.plan, s.bands = p, make([]band, len(p.lanes))
	newest := was.newest()
	since := make([]int64, len(s.part.Series))
	young := false
	for slot := range since {
		since[slot] = never
		old, now := was.keep(int32(slot)), s.keep(int32(slot))
		if m := was.seldom().since; m != nil {
			since[slot] = m[slot]
		}
		if now <= old || newest == never {
			continue
		}
		kept := newest - old
		if old == 0 && len(was.t) > 0 {
			kept = was.t[0]
		}
		if old > 0 || was.lost != never {
			since[slot], young = max(since[slot], kept), true
		}
	}
	if young || was.seldom().since != nil {
		s.rarely().since = since
	}
	if newest != never {
		aged := was.floor == never || was.floor <= newest-p.demand.longest
		if s.floor, s.was = newest-rawFor, nil; aged {
			s.was = was.plan.demand
		}
	}
	for i, l := range p.lanes {
		s.bands[i] = was.regroup(l)
	}
}

// regroup makes a band of what there is of its series.
func (s *source) regroup(l *lane) band {
	for i := range s.bands {
		if b := s.bands[i]; slices.Equal(b.lane.ids, l.ids) {
			b.lane = l
			return b
		}
	}
	var t []int64
	var c decoder
	for i := range s.bands {
		t = union(t, s.bands[i].times())
	}
	if len(t) > 0 {
		from, _ := slices.BinarySearch(t, t[len(t)-1]-l.keep)
		t = t[max(0, from-1):]
	}
	t = union(t, s.t)
	v := make([]float64, len(l.ids)*len(t))
	for p, slot := range l.slots {
		column := v[p*len(t):][:len(t)]
		for i := range column {
			column[i] = staleMarker()
		}
		ts, vs := s.gather(slot, never, forever, &c, nil, nil)
		for i, at := range ts {
			if k, ok := slices.BinarySearch(t, at); ok {
				column[k] = vs[i]
			}
		}
	}
	b := band{lane: l}
	b.fill(t, v)
	return b
}

// union is the times of both, in order.
func union(a, b []int64) []int64 {
	if len(a) == 0 {
		return slices.Clone(b)
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}
