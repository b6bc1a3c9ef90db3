package window

import (
	"cmp"
	"slices"
)

// lateBlock is a late block and when it came in.
type lateBlock struct {
	Block
	gen uint64
}

// sample is one value at one time.
type sample struct {
	t int64
	v float64
}

// maxLate bounds the late blocks of one source that wait for a reader.
const maxLate = 256

// putLate keeps a block for its place between older and newer ones. Putting one there costs as much as all that is
// behind it, for readers may hold what is there: so many are put there together, when somebody wants to read.
func (s *source) putLate(w *Window, b *Block) {
	i, _ := s.lateAt(b.At.UnixMilli())
	s.late = slices.Insert(s.late, i, lateBlock{*b, w.gen})
	w.behind[s] = true
	if len(s.late) >= maxLate {
		s.place(w)
	}
}

func (s *source) lateAt(t int64) (int, bool) {
	return slices.BinarySearchFunc(s.late, t, func(b lateBlock, t int64) int { return cmp.Compare(b.At.UnixMilli(), t) })
}

func (s *source) hasLate(t int64) bool {
	_, ok := s.lateAt(t)
	return ok
}

// catchUp puts all late blocks into their places; what reads the window calls it first. It returns with w.mu held for
// reading.
func (w *Window) catchUp() {
	w.mu.RLock()
	for len(w.behind) > 0 {
		w.mu.RUnlock()
		w.mu.Lock()
		for src := range w.behind {
			src.place(w)
		}
		w.mu.Unlock()
		w.mu.RLock()
	}
}

// place puts the late blocks of one source into their places, oldest first.
func (s *source) place(w *Window) {
	delete(w.behind, s)
	late := s.late
	s.late = nil
	for _, x := range s.asset.series {
		x.more = []sample{}
	}
	for i := range late {
		b := &late[i]
		t := b.At.UnixMilli()
		if t < s.newest()-w.keep {
			continue
		}
		before := len(s.asset.series)
		if sh, values, why := s.read(w, &b.Block); why == "" {
			if len(s.asset.series) > before {
				for _, x := range sh.slots {
					if x != nil && x.more == nil {
						x.more = []sample{}
					}
				}
			}
			s.fillIn(w, t, b.gen, sh, values)
		}
	}
	for _, x := range s.asset.series {
		w.samples += x.merge()
	}
}

// merge puts the samples that wait into their places, in new slices, since readers may hold the old ones. A time that is
// already there keeps its value, and of two that wait the first is it. It reports the number added.
func (s *series) merge() int {
	more := s.more
	s.more = nil
	if len(more) == 0 {
		return 0
	}
	slices.SortStableFunc(more, func(a, b sample) int { return cmp.Compare(a.t, b.t) })
	more = slices.CompactFunc(more, func(a, b sample) bool { return a.t == b.t })
	n := len(s.t) + len(more)
	t, v := make([]int64, 0, n+n/4), make([]float64, 0, n+n/4)
	i := 0
	for _, x := range more {
		from := i
		for i < len(s.t) && s.t[i] < x.t {
			i++
		}
		t, v = append(t, s.t[from:i]...), append(v, s.v[from:i]...)
		if i == len(s.t) || s.t[i] != x.t {
			t, v = append(t, x.t), append(v, x.v)
		}
	}
	t, v = append(t, s.t[i:]...), append(v, s.v[i:]...)
	added := len(t) - len(s.t)
	s.t, s.v = t, v
	return added
}
