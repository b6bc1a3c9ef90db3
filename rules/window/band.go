package window

import (
	"math"
	"slices"
	"unsafe"
)

// band holds the samples of the series of a source that are looked back on equally far: one column of times for all of
// them and a column of values for each, in one piece of memory. What is older than rawFor is sealed. A series that is
// not in a block has a stale marker there. Readers look at raw columns under the lock only: they are written in place.
type band struct {
	lane *lane
	// t are the times of the raw rows; v are columns of room values, of which len(t) are there.
	t     []int64
	v     []float64
	room  int
	slabs []slab
}

// rawFor is what lies raw, in ms, of series that are looked back on further; sealRows how many rows are sealed at a
// time, and slabs of at most minSlab to maxSlab rows are made of them: an eighth of what is kept.
const (
	rawFor   = int64((StaleAfter + slack) / 1e6)
	sealRows = 8
	minSlab  = 16
	maxSlab  = 128
)

// rows is how many samples each series has.
func (b *band) rows() int {
	n := len(b.t)
	for i := range b.slabs {
		n += b.slabs[i].n
	}
	return n
}

// times are those of all rows.
func (b *band) times() (t []int64) {
	for i := range b.slabs {
		t = b.slabs[i].times(t)
	}
	return append(t, b.t...)
}

// oldest is the time of the oldest row; ok is false when there is none.
func (b *band) oldest() (t int64, ok bool) {
	if len(b.slabs) > 0 {
		return b.slabs[0].first, true
	}
	if len(b.t) > 0 {
		return b.t[0], true
	}
	return 0, false
}

// add puts a row behind all others. It reports whether samples went because there would be more than limit of them.
func (b *band) add(t int64, row []float64, limit int) (full bool) {
	if len(b.t) == b.room {
		full = b.makeRoom(t, limit)
	}
	n := len(b.t)
	b.t = append(b.t, t)
	for p, slot := range b.lane.slots {
		b.v[p*b.room+n] = row[slot]
	}
	return full
}

// makeRoom forgets and seals what is old by time t, so that a row can be added.
func (b *band) makeRoom(t int64, limit int) (full bool) {
	from := b.seal(t)
	dead, full := b.expire(t, from, limit)
	b.shift(max(from, dead), limit)
	return full
}

// seal seals rows that need not be raw any more, if they are enough, and returns how many.
func (b *band) seal(t int64) int {
	if b.lane.keep <= rawFor {
		return 0
	}
	old, _ := slices.BinarySearch(b.t, t-rawFor)
	if old < sealRows {
		return 0
	}
	var x sealer
	limit := min(max(b.rows()/8, minSlab), maxSlab)
	for from := 0; from < old; from += limit {
		to := min(from+limit, old)
		b.slabs = append(room(b.slabs, 1), x.seal(b.lane, b.t[from:to], b.v, b.room, from))
		b.merge(&x, limit)
	}
	return old
}

// merge makes one slab of the newest two while the one before is not larger and both together are within limit.
func (b *band) merge(x *sealer, limit int) {
	for n := len(b.slabs); n > 1 && b.slabs[n-2].n <= b.slabs[n-1].n && b.slabs[n-2].n+b.slabs[n-1].n <= limit; n-- {
		t, v := b.decode(b.slabs[n-2:])
		b.slabs[n-2] = x.seal(b.lane, t, v, len(t), 0)
		b.slabs = slices.Delete(b.slabs, n-1, n) // which lets go of it
	}
}

// decode makes columns of slabs, without room.
func (b *band) decode(slabs []slab) (t []int64, v []float64) {
	var c decoder
	for i := range slabs {
		t = slabs[i].times(t)
	}
	v = make([]float64, 0, len(t)*len(b.lane.ids))
	for _, id := range b.lane.ids {
		for i := range slabs {
			v = slabs[i].values(id, &c, v)
		}
	}
	return t, v
}

// expire forgets sealed rows that nobody looks back to, and those over limit. It returns how many raw rows are to go
// for the same reasons; sealed says how many of them are in slabs. The newest row before what is looked back on stays:
// what was said last then is in it.
func (b *band) expire(t int64, sealed, limit int) (raw int, full bool) {
	cut := t - b.lane.keep
	n := b.rows() - sealed
	for len(b.slabs) > 0 {
		next := t
		if len(b.slabs) > 1 {
			next = b.slabs[1].first
		} else if sealed < len(b.t) {
			next = b.t[sealed]
		}
		over := n >= limit
		if next > cut && !over {
			break
		}
		full = full || next > cut
		n -= b.slabs[0].n
		b.slabs = slices.Delete(b.slabs, 0, 1)
	}
	if len(b.slabs) > 0 {
		return 0, full
	}
	raw = sealed
	for raw < len(b.t)-1 && b.t[raw+1] <= cut {
		raw++
	}
	if over := len(b.t) - limit + 1; over > raw {
		raw, full = over, true
	}
	return raw, full
}

// shift forgets the first rows and makes room for further ones, of limit in all.
func (b *band) shift(from, limit int) {
	left := len(b.t) - from
	room := min(left+max(2, left/8), limit)
	if room < b.room && room > b.room*3/4 {
		room = b.room // as good
	}
	if room == b.room {
		for p := range b.lane.slots {
			copy(b.v[p*room:], b.v[p*room+from:p*room+from+left])
		}
		b.t = b.t[:copy(b.t, b.t[from:])]
		return
	}
	v := make([]float64, room*len(b.lane.slots))
	for p := range b.lane.slots {
		copy(v[p*room:], b.v[p*b.room+from:p*b.room+from+left])
	}
	b.t, b.v, b.room = append(make([]int64, 0, room), b.t[from:]...), v, room
}

// remap is the band with the series of another lane that is kept as long.
func (b *band) remap(l *lane) {
	if l == b.lane {
		return
	}
	v := make([]float64, b.room*len(l.slots))
	for p, from := range translate(l.ids, l.order, b.lane.ids, b.lane.order) {
		column := v[p*b.room:][:len(b.t)]
		if from >= 0 {
			copy(column, b.v[int(from)*b.room:])
			continue
		}
		for i := range column {
			column[i] = staleMarker()
		}
	}
	b.lane, b.v = l, v
}

// fill makes the band anew of columns without room, whose newest row is the newest there is.
func (b *band) fill(t []int64, v []float64) {
	b.t, b.v, b.room = t, v, len(t)
	if len(t) > 0 {
		newest := t[len(t)-1]
		from := b.seal(newest)
		dead, _ := b.expire(newest, from, math.MaxInt)
		b.shift(max(from, dead), math.MaxInt)
	}
}

// open undoes the sealing of all rows from t on: it returns the columns of what is not sealed then, without room, and
// leaves the band without them.
func (b *band) open(t int64) ([]int64, []float64) {
	keep := len(b.slabs)
	for keep > 0 && b.slabs[keep-1].last >= t {
		keep--
	}
	opened := b.slabs[keep:]
	ts, vs := b.decode(opened)
	n := len(ts)
	times := append(ts, b.t...)
	v := make([]float64, 0, len(times)*len(b.lane.ids))
	for p := range b.lane.ids {
		v = append(v, vs[p*n:(p+1)*n]...)
		v = append(v, b.v[p*b.room:][:len(b.t)]...)
	}
	b.slabs, b.t, b.v, b.room = b.slabs[:keep:keep], nil, nil, 0
	return times, v
}

// gather appends the samples of one series in [mint, maxt], stale markers too.
func (b *band) gather(pos int32, mint, maxt int64, c *decoder, t []int64, v []float64) ([]int64, []float64) {
	for i := range b.slabs {
		if s := &b.slabs[i]; s.last >= mint && s.first <= maxt {
			t, v = s.gather(b.lane.ids[pos], mint, maxt, c, t, v)
		}
	}
	from, to := b.between(mint, maxt)
	column := b.column(pos)
	return append(t, b.t[from:to]...), append(v, column[from:to]...)
}

// gather appends the samples of one series in [mint, maxt].
func (s *slab) gather(id uint64, mint, maxt int64, c *decoder, t []int64, v []float64) ([]int64, []float64) {
	n := len(t)
	t, v = s.times(t), s.values(id, c, v)
	from, _ := slices.BinarySearch(t[n:], mint)
	to, _ := slices.BinarySearch(t[n:], maxt+1)
	t = append(t[:n], t[n+from:n+to]...)
	v = append(v[:n], v[n+from:n+to]...)
	return t, v
}

func (b *band) column(pos int32) []float64 { return b.v[int(pos)*b.room:][:len(b.t)] }

// between are the raw rows in [mint, maxt].
func (b *band) between(mint, maxt int64) (from, to int) {
	to = len(b.t)
	if to > 0 && b.t[to-1] > maxt {
		to, _ = slices.BinarySearch(b.t, maxt+1)
	}
	from, _ = slices.BinarySearch(b.t[:to], mint)
	return from, to
}

// lastAt is the newest sample of a series at or before t.
func (b *band) lastAt(pos int32, t int64, c *decoder) (int64, float64, bool) {
	if _, to := b.between(t, t); to > 0 {
		return b.t[to-1], b.column(pos)[to-1], true
	}
	for i := len(b.slabs) - 1; i >= 0; i-- {
		if s := &b.slabs[i]; s.first <= t {
			ts, vs := s.gather(b.lane.ids[pos], s.first, t, c, nil, nil)
			return ts[len(ts)-1], vs[len(vs)-1], true
		}
	}
	return 0, 0, false
}

// has tells whether there is a row at t.
func (b *band) has(t int64) bool {
	if _, ok := slices.BinarySearch(b.t, t); ok {
		return true
	}
	for i := range b.slabs {
		if s := &b.slabs[i]; s.first <= t && t <= s.last {
			_, ok := slices.BinarySearch(s.times(nil), t)
			return ok
		}
	}
	return false
}

// bytes is the memory behind the band, itself not counted.
func (b *band) bytes() int64 {
	n := 8*int64(cap(b.t)) + 8*int64(cap(b.v)) + int64(cap(b.slabs))*int64(unsafe.Sizeof(slab{}))
	for i := range b.slabs {
		n += int64(cap(b.slabs[i].data))
	}
	return n
}
