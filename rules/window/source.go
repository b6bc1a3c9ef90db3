package window

import (
	"math"
	"slices"
	"time"
	"unsafe"

	"github.com/prometheus/prometheus/model/value"
)

// source is one block kind of one asset over time: the newest two blocks whole, row by row, and behind them, of the series
// that some rule looks back on, columns as far as it looks. Labels, look-backs and places are the part's and its plan's,
// which all assets of the shape share; `up` of one job and a recorded series are sources of one series.
type source struct {
	asset *asset // nil for what timers record
	part  *Part
	plan  *plan
	// layout is the newest block's where that is known, for the next one will most often have the same.
	layout *Layout
	// t are the times of the newest rows and rows their values, one for each slot of the part.
	t     []int64
	rows  []float64
	bands []band
	// lost is the time of the newest row that is not in rows any more.
	lost int64
	// floor is since when is known, of a series that comes, whether it was there before: it may have been forgotten when
	// was was demanded, which is nil when nobody knows what was.
	floor int64
	was   *demand
	// status is the newest live word, at that block's time.
	statusAt int64
	interval time.Duration
	more     *more
	at       int32 // its place in the index
	status   Status
}

// more is what few sources have, or not for long.
type more struct {
	reason string
	// held are late blocks newer than everything live: they wait, so that they are never the newest word.
	held []Block
	// late are blocks that belong between those that are here, by time; they are put there when somebody wants to read.
	late []lateBlock
	// pick are the places in the layout of the live slots, nil when all are there; turned is the asset's count of
	// changes when series were refused.
	pick   []int32
	turned uint64
	// left are when the series behind the live ones left.
	left []int64
	// since is, by slot, since when a series is kept as far as it is looked back on; nil when that is all.
	since []int64
	// moved are samples of series that were another source's before.
	moved []moved
	// doubted is the time of the newest row that was made of what is not known; zero for none.
	doubted int64
}

// moved is what another source knew of a series.
type moved struct {
	id uint64
	t  []int64
	v  []float64
}

// rarely is what few sources have, to be changed.
func (s *source) rarely() *more {
	if s.more == nil {
		s.more = &more{}
	}
	return s.more
}

// nothing is what most sources have of it.
var nothing more

func (s *source) seldom() *more {
	if s.more == nil {
		return &nothing
	}
	return s.more
}

func staleMarker() float64 { return math.Float64frombits(value.StaleNaN) }

// newest is the time of the newest ok block, or never.
func (s *source) newest() int64 {
	if n := len(s.t); n > 0 {
		return s.t[n-1]
	}
	newest := int64(never)
	for i := range s.bands { // a fork may have columns only
		if b := &s.bands[i]; len(b.t) > 0 {
			newest = max(newest, b.t[len(b.t)-1])
		} else if n := len(b.slabs); n > 0 {
			newest = max(newest, b.slabs[n-1].last)
		}
	}
	return newest
}

// reach is how far back late blocks are taken, in ms: as far as any series is looked back on, for who knows which of them
// are in the blocks to come.
func (s *source) reach() int64 { return max(rawFor, s.plan.demand.longest) }

// row is the i-th of the newest rows.
func (s *source) row(i int) []float64 {
	n := len(s.part.Series)
	return s.rows[i*n : (i+1)*n]
}

// last is the newest row; nil when there is none.
func (s *source) last() []float64 {
	if len(s.t) == 0 {
		return nil
	}
	return s.row(len(s.t) - 1)
}

// maxRows bounds the newest rows while a query is open that has seen none but the oldest.
const maxRows = 64

// push makes a row at t, newer than all, to be filled and then filed.
func (s *source) push(w *Window, t int64) []float64 {
	for len(s.t) >= 2 && s.spare(w) {
		s.drop(0)
	}
	n := len(s.part.Series)
	if len(s.t) < 2 && cap(s.t) > 4 { // a query took long, and is over
		s.t, s.rows = slices.Clone(s.t), slices.Clone(s.rows)
	}
	s.t = append(room(s.t, 1), t)
	s.rows = room(s.rows, n)[:len(s.rows)+n]
	return s.last()
}

// spare tells whether the oldest row can go: nobody who asks now needs it, nor a query that is still open.
func (s *source) spare(w *Window) bool {
	return len(s.t) >= maxRows || s.asset == nil || slices.ContainsFunc(s.t[1:], func(t int64) bool {
		return !s.asset.hidden(s, t, w.readers.oldest.Load())
	})
}

// room is s with room for n more elements.
func room[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return append(make([]T, 0, len(s)+n), s...)
}

// drop forgets one of the newest rows.
func (s *source) drop(i int) {
	n := len(s.part.Series)
	s.lost = max(s.lost, s.t[i])
	s.t = slices.Delete(s.t, i, i+1)
	s.rows = s.rows[:i*n+copy(s.rows[i*n:], s.rows[(i+1)*n:])]
}

// file puts the newest row into the columns.
func (s *source) file(w *Window) {
	t, row := s.t[len(s.t)-1], s.last()
	for i := range s.bands {
		b := &s.bands[i]
		if full := b.add(t, row, w.opts.MaxSamples); full {
			w.refuse("MaxSamples")
			if from, ok := b.oldest(); ok && s.asset != nil {
				s.asset.raise(from)
			}
		}
	}
	if s.more != nil {
		s.age(w, t)
	}
}

// age forgets what few sources have, once it is old.
func (s *source) age(w *Window, now int64) {
	m := s.more
	if m.since != nil {
		young := false
		for i, since := range m.since {
			young = young || since > now-s.keep(int32(i))
		}
		if !young {
			m.since = nil
		}
	}
	m.moved = slices.DeleteFunc(m.moved, func(x moved) bool {
		slot, ok := s.part.find(x.id)
		return !ok || x.t[len(x.t)-1] < now-s.holds(slot)
	})
	for i, at := range m.left {
		if hold := s.holds(int32(s.part.Live + i)); at < now-hold-hold/8 {
			s.forgetLeft(w, now)
			break
		}
	}
}

// keep is how far back a slot is looked at, in ms, 0 for the newest only.
func (s *source) keep(slot int32) int64 {
	if at := s.plan.at[slot]; at.lane >= 0 {
		return s.plan.lanes[at.lane].keep
	}
	return 0
}

// holds is for how long it is remembered that a series left: as long as it is looked back on, and long enough for
// everybody to notice.
func (s *source) holds(slot int32) int64 { return max(s.keep(slot), rawFor) }

// put writes a value of a source of one series at t, which is newer than all.
func (s *source) put(w *Window, t int64, v float64) {
	s.push(w, t)[0] = v
	s.file(w)
}

// has tells whether there is a row at t.
func (s *source) has(t int64) bool {
	if slices.Contains(s.t, t) {
		return true
	}
	for i := range s.bands {
		if s.bands[i].has(t) {
			return true
		}
	}
	return false
}

// lastOf is the newest sample of a slot; ok is false when there is none.
func (s *source) lastOf(slot int32) (t int64, v float64, ok bool) { return s.lastAt(slot, forever) }

// lastAt is the newest sample of a slot at or before t, which may be a stale marker.
func (s *source) lastAt(slot int32, t int64) (int64, float64, bool) {
	if !slices.ContainsFunc(s.seldom().moved, func(x moved) bool { return x.id == s.part.ids[slot] }) {
		return s.ownAt(slot, t)
	}
	var b Buffer
	ts, vs := s.collect(slot, never, t, nil, &b)
	if n := len(ts); n > 0 {
		return ts[n-1], vs[n-1], true
	}
	return 0, 0, false
}

func (s *source) ownAt(slot int32, t int64) (int64, float64, bool) {
	for i := len(s.t) - 1; i >= 0; i-- {
		if s.t[i] <= t {
			return s.t[i], s.rows[i*len(s.part.Series)+int(slot)], true
		}
	}
	if at := s.plan.at[slot]; at.lane >= 0 {
		return s.bands[at.lane].lastAt(at.pos, t, new(decoder))
	}
	return 0, 0, false
}

// gather appends what there is of a slot in [mint, maxt].
func (s *source) gather(slot int32, mint, maxt int64, c *decoder, t []int64, v []float64) ([]int64, []float64) {
	if at := s.plan.at[slot]; at.lane >= 0 {
		return s.bands[at.lane].gather(at.pos, mint, maxt, c, t, v)
	}
	for i, at := range s.t {
		if mint <= at && at <= maxt {
			t, v = append(t, at), append(v, s.rows[i*len(s.part.Series)+int(slot)])
		}
	}
	return t, v
}

// collect is the samples of a slot in [mint, maxt] but those that are hidden, where a stale marker stands once for a
// series that went, put into the buffer.
func (s *source) collect(slot int32, mint, maxt int64, hide func(int64) bool, b *Buffer) ([]int64, []float64) {
	foreign := slices.IndexFunc(s.seldom().moved, func(x moved) bool { return x.id == s.part.ids[slot] })
	from := mint
	if foreign >= 0 { // which stale marker is the first depends on all before it
		from = never
	}
	b.t, b.v = s.gather(slot, from, maxt, &b.decoder, b.t[:0], b.v[:0])
	b.t, b.v = tidySamples(b.t, b.v, 0, hide)
	if foreign < 0 {
		return b.t, b.v
	}
	i, _ := slices.BinarySearch(b.t, mint)
	b.t, b.v = b.t[i:], b.v[i:]
	for _, x := range s.more.moved[foreign:] {
		if x.id == s.part.ids[slot] {
			b.mix(x, mint, maxt)
		}
	}
	return b.t, b.v
}

// mix puts samples from before into their places.
func (b *Buffer) mix(x moved, mint, maxt int64) {
	for i, t := range x.t {
		if at, have := slices.BinarySearch(b.t, t); !have && mint <= t && t <= maxt {
			b.t, b.v = slices.Insert(b.t, at, t), slices.Insert(b.v, at, x.v[i])
		}
	}
}

// tidySamples takes from t and v, from an index on, what is hidden and stale markers with no sample before them.
func tidySamples(t []int64, v []float64, from int, hide func(int64) bool) ([]int64, []float64) {
	n, live := from, false
	for i := from; i < len(t); i++ {
		if hide != nil && hide(t[i]) {
			continue
		}
		stale := value.IsStaleNaN(v[i])
		if stale && !live {
			continue
		}
		t[n], v[n], live = t[i], v[i], !stale
		n++
	}
	return t[:n], v[:n]
}

// samples is how many it holds.
func (s *source) samples() int {
	n := 0
	for slot := range s.part.Series {
		if at := s.plan.at[slot]; at.lane >= 0 {
			n += s.bands[at.lane].rows()
		} else {
			n += len(s.t)
		}
	}
	for _, x := range s.seldom().moved {
		n += len(x.t)
	}
	return n
}

// bytes is the memory it takes, parts and layouts not counted.
func (s *source) bytes() int64 {
	n := int64(unsafe.Sizeof(*s)) + 8*int64(cap(s.t)+cap(s.rows)) + int64(cap(s.bands))*int64(unsafe.Sizeof(band{}))
	for i := range s.bands {
		n += s.bands[i].bytes()
	}
	if m := s.more; m != nil {
		n += int64(unsafe.Sizeof(*m)) + 8*int64(cap(m.left)+cap(m.since)) + 4*int64(cap(m.pick))
		for _, x := range m.moved {
			n += int64(unsafe.Sizeof(x)) + 8*int64(cap(x.t)+cap(x.v))
		}
		for i := range m.held {
			n += int64(unsafe.Sizeof(m.held[i])) + 8*int64(len(m.held[i].Values))
		}
		for i := range m.late {
			n += int64(unsafe.Sizeof(m.late[i])) + 8*int64(len(m.late[i].Values))
		}
	}
	return n
}
