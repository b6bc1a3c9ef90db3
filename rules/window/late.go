package window

import (
	"cmp"
	"slices"
	"sync"
)

// lateBlock is a late block and when it came in.
type lateBlock struct {
	Block
	gen uint64
}

// maxLate bounds the late blocks of one source that wait for a reader.
const maxLate = 256

// putLate keeps a block for its place between older and newer ones. Putting one there costs as much as all that is
// behind it: so many are put there together, when somebody wants to read.
func (s *source) putLate(w *Window, b *Block) {
	i, _ := s.lateAt(b.At.UnixMilli())
	m := s.rarely()
	m.late = slices.Insert(m.late, i, lateBlock{*b, s.asset.gen})
	s.asset.behind = true
	w.late.add(s.asset)
	if len(m.late) >= maxLate {
		s.place(w)
	}
}

func (s *source) lateAt(t int64) (int, bool) {
	return slices.BinarySearchFunc(s.seldom().late, t, func(b lateBlock, t int64) int {
		return cmp.Compare(b.At.UnixMilli(), t)
	})
}

func (s *source) hasLate(t int64) bool {
	_, ok := s.lateAt(t)
	return ok
}

// read locks an asset for reading, with all late blocks in their places; the caller unlocks it.
func (a *asset) read(w *Window) {
	a.mu.RLock()
	for a.behind {
		a.mu.RUnlock()
		a.mu.Lock()
		a.catchUp(w)
		a.changed()
		a.mu.RLock()
	}
}

// lateAssets are those that have late blocks which are not in their places: there may be series in them that nobody can
// find yet.
type lateAssets struct {
	mu  sync.Mutex
	all map[*asset]bool
}

func (x *lateAssets) add(as *asset) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all == nil {
		x.all = map[*asset]bool{}
	}
	x.all[as] = true
}

// catchUp puts all late blocks into their places; who looks for series of more than one asset calls it first.
func (w *Window) catchUp() {
	w.late.mu.Lock()
	all := w.late.all
	w.late.all = nil
	w.late.mu.Unlock()
	for as := range all {
		as.read(w)
		as.mu.RUnlock()
	}
}

// catchUp puts all late blocks of the asset into their places.
func (a *asset) catchUp(w *Window) {
	for _, s := range a.sources {
		if len(s.seldom().late) > 0 {
			s.place(w)
		}
	}
	a.behind = false
}

// lateRow is a late block as a row of its source's part; values is nil for one that is as the one before.
type lateRow struct {
	t      int64
	gen    uint64
	values []float64
}

// place puts the late blocks of one source into their places. A series that is in one but not in the next ended there;
// one that was in the one before but is not in it was away.
func (s *source) place(w *Window) {
	late := s.more.late
	s.more.late = nil
	newest := s.newest()
	late = slices.DeleteFunc(late, func(b lateBlock) bool {
		return b.At.UnixMilli() < newest-s.reach()
	})
	s.makeSlots(w, late, newest)
	kept := rawFor
	for i := range s.bands {
		kept = max(kept, s.bands[i].lane.keep)
	}
	late = slices.DeleteFunc(late, func(b lateBlock) bool { return b.At.UnixMilli() < newest-kept })
	rows := make([]lateRow, len(late))
	for i := range late {
		b := &late[i]
		rows[i] = lateRow{t: b.At.UnixMilli(), gen: b.gen}
		if b.Status == OK {
			rows[i].values = s.dense(w, &b.Block)
		}
	}
	if len(rows) == 0 {
		return
	}
	for i := range s.bands {
		b := &s.bands[i]
		from, _ := slices.BinarySearchFunc(rows, newest-b.lane.keep, func(r lateRow, t int64) int { return cmp.Compare(r.t, t) })
		if from < len(rows) {
			b.insert(rows[from:])
		}
	}
	for _, r := range rows {
		s.insert(r)
		s.asset.mark(w, s, r.t, r.gen)
	}
}

// dense is a block's values in the order of the part.
func (s *source) dense(w *Window, b *Block) []float64 {
	row := make([]float64, len(s.part.Series))
	for i := range row {
		row[i] = staleMarker()
	}
	base := w.parts.base(s.part.Name, b.Kind, b.Layout)
	for i := len(base.ids) - 1; i >= 0; i-- { // of two of one series the first is it
		slot, ok := s.part.find(base.ids[i])
		if !ok {
			continue
		}
		row[slot] = b.Values[i]
		if n := int(slot) - s.part.Live; n >= 0 { // it left later than was known
			s.more.left[n] = max(s.more.left[n], b.At.UnixMilli())
		}
	}
	return row
}

// makeSlots sees to it that the part has all series of late blocks that are looked back on as far, or that somebody may
// miss yet, and that the source may have: as series that left.
func (s *source) makeSlots(w *Window, late []lateBlock, newest int64) {
	var seen map[*Layout]int64
	for i := range late {
		if b := &late[i]; b.Status == OK && b.Layout != s.layout {
			if seen == nil {
				seen = map[*Layout]int64{}
			}
			seen[b.Layout] = b.At.UnixMilli()
		}
	}
	for i := range late {
		l := late[i].Layout
		t, is := seen[l]
		if !is {
			continue
		}
		delete(seen, l)
		base := w.parts.base(s.part.Name, late[i].Kind, l)
		p := base.plan(s.plan.demand)
		fresh, made := 0, []int32(nil)
		for at, id := range base.ids {
			keep := rawFor
			if lane := p.at[at].lane; lane >= 0 {
				keep = max(keep, p.lanes[lane].keep)
			}
			if _, have := s.part.find(id); have || t < newest-keep {
				continue
			}
			if why := s.admit(w, id, &fresh); why != "" {
				w.refuse(why)
				continue
			}
			made = append(made, int32(at))
		}
		if len(made) > 0 {
			s.addLeft(w, base, made, t)
		}
	}
}

// addLeft adds series to those that left, in the order of their labels.
func (s *source) addLeft(w *Window, base *Part, made []int32, t int64) {
	live, rest := make([]int32, s.part.Live), []int32(nil)
	for i := range s.part.Series {
		if i < len(live) {
			live[i] = int32(i)
		} else {
			rest = append(rest, int32(i))
		}
	}
	n := int32(len(s.part.Series))
	both := w.parts.join(s.part, base, made)
	left := slices.Clone(s.rarely().left)
	for i := range made {
		rest, left = append(rest, n+int32(i)), append(left, t)
	}
	sortLeft(both, rest, left)
	s.become(w, w.parts.with(&Part{Name: s.part.Name, kind: s.part.kind}, s.part.Live, both, append(live, rest...)))
	s.more.left = left
}

// insert puts a late row among the newest, if it is one.
func (s *source) insert(r lateRow) {
	i, have := slices.BinarySearch(s.t, r.t)
	if have || i == 0 && len(s.t) >= 2 {
		if !have {
			s.lost = max(s.lost, r.t)
		}
		return
	}
	n := len(s.part.Series)
	values := r.values
	if values == nil {
		if i == 0 {
			values = s.recall(r.t)
		} else {
			values = slices.Clone(s.row(i - 1))
		}
	}
	s.t = slices.Insert(s.t, i, r.t)
	s.rows = slices.Insert(s.rows, i*n, values...)
	if len(s.t) > 2 {
		s.drop(0)
	}
}

// insert puts late rows among the band's, in order of time. Times that are there already keep their values.
func (b *band) insert(rows []lateRow) {
	t, v := b.open(rows[0].t)
	n, m := len(t), len(b.lane.ids)
	times := make([]int64, 0, n+len(rows))
	from := make([]int, 0, n+len(rows)) // ≥ 0: an old row, < 0: the late one of that number
	i := 0
	for k, r := range rows {
		for ; i < n && t[i] < r.t; i++ {
			times, from = append(times, t[i]), append(from, i)
		}
		if i < n && t[i] == r.t || r.values == nil && len(times) == 0 && len(b.slabs) == 0 {
			continue // it is here, or as nothing that is known
		}
		times, from = append(times, r.t), append(from, -1-k)
	}
	for ; i < n; i++ {
		times, from = append(times, t[i]), append(from, i)
	}
	out := make([]float64, m*len(times))
	var c decoder
	for p, slot := range b.lane.slots {
		was := staleMarker()
		if k := len(b.slabs); k > 0 {
			_, was, _ = b.lastAt(int32(p), b.slabs[k-1].last, &c)
		}
		column := out[p*len(times):]
		for i, k := range from {
			switch {
			case k >= 0:
				was = v[p*n+k]
			case rows[-1-k].values != nil:
				was = rows[-1-k].values[slot]
			}
			column[i] = was
		}
	}
	b.fill(times, out)
}
