package window

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/value"
)

// View is one asset's samples, held still: nothing of the asset changes until the function it was given to returns, and it
// means nothing after that. Times are milliseconds since the epoch.
type View struct {
	w  *Window
	as *asset
}

// View calls fn with the samples of an asset. It returns false when the window has not heard of it. It holds up this
// asset's reports and nobody else's; fn must not call the window's own methods about this asset.
func (w *Window) View(name string, fn func(View)) bool {
	as := w.find(name)
	if as == nil {
		return false
	}
	as.read(w)
	defer as.mu.RUnlock()
	if as.gone {
		return false
	}
	fn(View{w: w, as: as})
	return true
}

// Asset is whose samples they are.
func (v View) Asset() Asset { return v.as.Asset }

// Parts are the series of the asset, by name of the part. The slice is the same until a part changes, and is not changed
// itself.
func (v View) Parts() []*Part { return v.as.parts }

// Newest is the time of the newest live block of the asset, math.MinInt64 when there is none, and a number that grows with
// every block that is the newest of its source, a failure too. What the house writes does not count.
func (v View) Newest() (at int64, news uint64) {
	newest := int64(never)
	for _, s := range v.as.sources {
		if s.status == OK && !s.part.house() {
			newest = max(newest, s.statusAt)
		}
	}
	return newest, v.as.news
}

// Column is the newest block of a part, one value for each of its live slots; stale markers stand where a series is not.
// ok is false when there is none, or when its values have to be asked for one by one.
func (v View) Column(part int) (t int64, values []float64, ok bool) {
	s := v.as.order[part]
	n := len(s.t)
	if n == 0 || len(s.seldom().moved) > 0 {
		return 0, nil, false
	}
	return s.t[n-1], s.last()[:s.part.Live:s.part.Live], true
}

// Last is the newest sample of a series at or before t; ok is false when there is none, or it is a stale marker.
func (v View) Last(part, slot int, t int64) (at int64, val float64, ok bool) {
	at, val, ok = v.as.order[part].lastAt(int32(slot), t)
	return at, val, ok && !value.IsStaleNaN(val)
}

// Buffer is memory that Range puts samples into when they do not lie together.
type Buffer struct {
	t       []int64
	v       []float64
	decoder decoder
}

// Range is the samples of a series in (from, to] without stale markers, oldest first. They are read only, and good until
// the buffer is used again or the view ends.
func (v View) Range(part, slot int, from, to int64, b *Buffer) ([]int64, []float64) {
	s := v.as.order[part]
	if from >= to {
		return nil, nil
	}
	at := s.plan.at[slot]
	if at.lane >= 0 && len(s.seldom().moved) == 0 {
		x := &s.bands[at.lane]
		if n := len(x.slabs); n == 0 || x.slabs[n-1].last <= from {
			i, j := x.between(from+1, to)
			if vs := x.column(at.pos)[i:j]; !slices.ContainsFunc(vs, value.IsStaleNaN) {
				return x.t[i:j], vs
			}
		}
	}
	t, vals := s.collect(int32(slot), from+1, min(to, forever), nil, b)
	n := 0
	for i, x := range vals {
		if !value.IsStaleNaN(x) {
			t[n], vals[n] = t[i], x
			n++
		}
	}
	return t[:n], vals[:n]
}

// Known tells whether what a part says is known as of t to who looks back that far: its asset is heard, its sampler looks,
// the past is here, of every series of it, and what left will not come in a block that is still missing after the start.
// When it is not, Look says why, or that some of it is known all the same.
func (v View) Known(part int, t int64, back time.Duration) bool {
	s, at := v.as.order[part], time.UnixMilli(t)
	if s.part.Live < len(s.part.Series) && (v.as.first.IsZero() || at.Sub(v.as.first) < settle) {
		return false
	}
	for slot := range s.part.Series {
		if last, x, ok := s.lastOf(int32(slot)); ok && value.IsStaleNaN(x) && last <= t {
			continue // it left: that is known
		}
		_, why := v.w.judge(s, int32(slot), at, back)
		if why != "" || s.seldom().since == nil { // else one stands for all
			return why == ""
		}
	}
	return true
}

// KnownSlot is Known of one series: of a part, some may be looked back on further than others since a short time only.
func (v View) KnownSlot(part, slot int, t int64, back time.Duration) bool {
	_, why := v.w.judge(v.as.order[part], int32(slot), time.UnixMilli(t), back)
	return why == ""
}

// arrange makes what views see of the asset's shape.
func (a *asset) arrange() {
	a.order = make([]*source, 0, len(a.sources)+len(a.ups))
	for _, s := range a.all() {
		if s.newest() != never {
			a.order = append(a.order, s)
		}
	}
	slices.SortFunc(a.order, func(a, b *source) int { return strings.Compare(a.part.Name, b.part.Name) })
	a.parts = make([]*Part, len(a.order))
	for i, s := range a.order {
		a.parts[i] = s.part
	}
}

// Interval is how often the asset reports: the shortest of its sources' intervals, 0 if none said.
func (v View) Interval() time.Duration { return v.as.interval() }

// NewestOf is the time of the newest block of a part; ok is false when there is none.
func (v View) NewestOf(part int) (t int64, ok bool) {
	t = v.as.order[part].newest()
	return t, t != never
}
