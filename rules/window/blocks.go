package window

import (
	"fmt"
	"slices"
	"time"
)

// apply takes one block. It reports whether the block is the newest live word about its source.
func (s *source) apply(w *Window, b *Block, done *Applied) bool {
	t, newest := b.At.UnixMilli(), s.newest()
	if b.Status == Failed {
		return s.fail(b, b.Reason, done)
	}
	switch {
	case s.has(t), s.hasLate(t):
		done.Duplicate++
		return false
	case newest != never && t < newest-s.reach():
		done.Old++
		return false
	case b.Late && t > newest:
		s.hold(w, b, done)
		return false
	}
	if why := s.understand(b); why != "" {
		return s.fail(b, why, done)
	}
	done.New++
	if t < newest {
		s.putLate(w, b)
		if !b.Late {
			s.place(w)
		}
		return false
	}
	s.release(w, t)
	s.write(w, b)
	if t < s.statusAt { // a failure was reported since
		return false
	}
	s.status, s.statusAt = OK, t
	s.asset.news++
	if s.more != nil {
		s.more.reason = ""
	}
	s.setInterval(b)
	return true
}

func (s *source) setInterval(b *Block) {
	if b.Interval > 0 {
		s.interval = b.Interval
	}
}

// fail notes that the source cannot be known from this block on.
func (s *source) fail(b *Block, reason string, done *Applied) bool {
	t := b.At.UnixMilli()
	if b.Late || (s.status != 0 && t <= s.statusAt) {
		done.Duplicate++
		return false
	}
	done.Failed++
	s.status, s.statusAt = Failed, t
	s.asset.news++
	s.rarely().reason = reason
	s.setInterval(b)
	return true
}

// understand says why a block says nothing; empty when it does.
func (s *source) understand(b *Block) string {
	switch b.Status {
	case OK:
		if b.Layout == nil || len(b.Layout.Series) != len(b.Values) {
			return fmt.Sprintf("block not understood: %d values do not fit its shape", len(b.Values))
		}
	case Unchanged:
		t := b.At.UnixMilli()
		if !s.before(t) {
			return "said to be unchanged, and what it was before is not known here"
		}
		if s.status == Failed && t > s.statusAt {
			return s.more.reason
		}
	default:
		return fmt.Sprintf("block not understood: status %d", b.Status)
	}
	return ""
}

// before tells whether there is a row before t.
func (s *source) before(t int64) bool {
	if len(s.t) > 0 && s.t[0] < t {
		return true
	}
	for i := range s.bands {
		if oldest, ok := s.bands[i].oldest(); ok && oldest < t {
			return true
		}
	}
	return len(s.seldom().late) > 0 && s.more.late[0].At.UnixMilli() < t
}

// write appends a block that is newer than all before it.
func (s *source) write(w *Window, b *Block) {
	t := b.At.UnixMilli()
	if b.Status == Unchanged {
		if len(s.t) == 0 {
			was := s.recall(t)
			copy(s.push(w, t), was)
		} else {
			row := s.push(w, t)
			copy(row, s.row(len(s.t)-2))
		}
	} else {
		if s.layout != b.Layout || s.seldom().pick != nil && s.more.turned != s.asset.turns {
			s.resolve(w, b.Kind, b.Layout, t)
		}
		s.read(s.push(w, t), b.Values)
	}
	s.file(w)
	s.asset.mark(w, s, t, s.asset.gen)
}

// recall is what the columns know of the newest row before t, stale markers for the rest.
func (s *source) recall(t int64) []float64 {
	row := make([]float64, len(s.part.Series))
	for slot := range row {
		var ok bool
		if _, row[slot], ok = s.ownAt(int32(slot), t); !ok {
			row[slot] = staleMarker()
		}
	}
	return row
}

// read fills a row with a block's values.
func (s *source) read(row, values []float64) {
	if pick := s.seldom().pick; pick != nil {
		for i, from := range pick {
			row[i] = values[from]
		}
	} else {
		copy(row, values)
	}
	for i := s.part.Live; i < len(row); i++ {
		row[i] = staleMarker()
	}
}

// hold keeps a late block until a newer live one comes.
func (s *source) hold(w *Window, b *Block, done *Applied) {
	m := s.rarely()
	i, have := slices.BinarySearchFunc(m.held, b.At, func(h Block, t time.Time) int { return h.At.Compare(t) })
	if have {
		done.Duplicate++
		return
	}
	if len(m.held) >= w.opts.MaxHeld {
		w.refuse("MaxHeld")
		if i == 0 {
			return
		}
		m.held = m.held[1:]
		i--
	}
	done.Held++
	m.held = slices.Insert(m.held, i, *b)
}

// release puts the held blocks that are older than the live block at t into their places.
func (s *source) release(w *Window, t int64) {
	held := s.seldom().held
	n := 0
	for ; n < len(held) && held[n].At.UnixMilli() < t; n++ {
		b := &held[n]
		if b.At.UnixMilli() < t-s.reach() || s.has(b.At.UnixMilli()) {
			continue
		}
		if s.understand(b) == "" {
			s.write(w, b)
		}
	}
	if n > 0 {
		s.more.held = slices.Clone(held[n:])
	}
}
