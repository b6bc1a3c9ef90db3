package window

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// View is one asset's samples, held still: nothing of the asset changes until the function it was given to returns, and it
// means nothing after that. Times are milliseconds since the epoch.
type View struct {
	w  *Window
	as *asset
}

// View calls fn with the samples of an asset. It returns false when the window has not heard of it.
func (w *Window) View(name string, fn func(*View)) bool {
	w.catchUp()
	defer w.mu.RUnlock()
	as := w.assets[name]
	if as == nil {
		return false
	}
	fn(&View{w: w, as: as})
	return true
}

// Asset is whose samples they are.
func (v *View) Asset() Asset { return v.as.Asset }

// Parts are the series of the asset, by name of the part. The slice is the same until a part changes, and is not changed
// itself.
func (v *View) Parts() []*Part {
	v.w.parts.Lock()
	defer v.w.parts.Unlock()
	if v.as.parts == nil {
		v.as.arrange(v.w)
	}
	return v.as.parts
}

// Newest is the time of the newest live block of the asset, math.MinInt64 when there is none; Written parts do not count.
func (v *View) Newest() int64 {
	newest := int64(math.MinInt64)
	for _, s := range v.as.sources {
		if s.status == OK && !s.house() {
			newest = max(newest, s.statusAt)
		}
	}
	return newest
}

// Column is the newest block of a part, one value for each of its live slots; stale markers stand where a series is not.
// ok is false when there is none, or when its values have to be asked for one by one.
func (v *View) Column(part int) (t int64, values []float64, ok bool) { return 0, nil, false }

// Last is the newest sample of a series at or before t; ok is false when there is none, or it is a stale marker.
func (v *View) Last(part, slot int, t int64) (at int64, val float64, ok bool) {
	s := v.series(part, slot)
	if s == nil {
		return 0, 0, false
	}
	at, val, ok = s.lastAt(t)
	return at, val, ok && !value.IsStaleNaN(val)
}

// Buffer is memory that Range puts samples into when they do not lie together.
type Buffer struct {
	t []int64
	v []float64
}

// Range is the samples of a series in (from, to] without stale markers, oldest first. They are read only, and good until
// the buffer is used again or the view ends.
func (v *View) Range(part, slot int, from, to int64, b *Buffer) ([]int64, []float64) {
	s := v.series(part, slot)
	if s == nil || from >= to {
		return nil, nil
	}
	ts, vs := s.between(from+1, to, nil)
	if !slices.ContainsFunc(vs, value.IsStaleNaN) {
		return ts, vs
	}
	b.t, b.v = b.t[:0], b.v[:0]
	for i, x := range vs {
		if !value.IsStaleNaN(x) {
			b.t, b.v = append(b.t, ts[i]), append(b.v, x)
		}
	}
	return b.t, b.v
}

// Known tells whether what a part says is known as of t to who looks back that far: its asset is heard, its sampler looks,
// the past is here, and what left will not come in a block that is still missing after the start. When it is not, Look says
// why, or that some of it is known all the same.
func (v *View) Known(part int, t int64, back time.Duration) bool {
	slots := v.slotsOf(part)
	if live := v.Parts()[part].Live; live < len(slots) && (v.as.first.IsZero() || time.UnixMilli(t).Sub(v.as.first) < settle) {
		return false
	}
	for _, s := range slots {
		if s == nil {
			continue
		}
		if last, x, ok := s.last(); ok && value.IsStaleNaN(x) && last <= t {
			continue // it left: that is known
		}
		_, why := v.w.judge(s, time.UnixMilli(t), back)
		return why == ""
	}
	return true
}

func (v *View) series(part, slot int) *series {
	v.Parts()
	return v.as.slots[part][slot]
}

// house tells whether the source is what a recording rule of the asset made.
func (s *source) house() bool { return strings.HasPrefix(s.name, RecordedPart) }

// arrange makes the asset's parts; the caller holds w.parts.
func (a *asset) arrange(w *Window) {
	type part struct {
		p     *Part
		slots []*series
	}
	var all []part
	for _, s := range a.sources {
		if s.cur != nil {
			p, slots := s.part()
			all = append(all, part{w.share(p), slots})
		}
	}
	for job, s := range a.up {
		all = append(all, part{w.share(upPart(job)), []*series{s}})
	}
	slices.SortFunc(all, func(a, b part) int { return strings.Compare(a.p.Name, b.p.Name) })
	a.parts, a.slots = make([]*Part, 0, len(all)), make([][]*series, 0, len(all))
	for _, x := range all {
		a.parts, a.slots = append(a.parts, x.p), append(a.slots, x.slots)
	}
}

// part is the series of a source: those of its newest block, then those that left.
func (s *source) part() (*Part, []*series) {
	p := &Part{Name: s.name, Live: len(s.cur.slots)}
	whole := func(lbls labels.Labels) labels.Labels {
		if s.house() {
			return lbls
		}
		return owned(lbls, s.kind)
	}
	for _, lbls := range s.cur.layout.Series {
		p.Series = append(p.Series, whole(lbls))
	}
	slots := slices.Clone(s.cur.slots)
	var left []*series
	for _, x := range s.left {
		if !slices.Contains(slots, x) && !slices.Contains(left, x) && x.src == s && s.asset.series[x.key] == x {
			left = append(left, x)
		}
	}
	slices.SortFunc(left, func(a, b *series) int { return labels.Compare(a.lbls, b.lbls) })
	for _, x := range left {
		p.Series = append(p.Series, s.asset.disown(x.lbls))
	}
	return p, append(slots, left...)
}

// disown puts placeholders where the asset's own labels stand.
func (a *asset) disown(lbls labels.Labels) labels.Labels {
	lb := labels.NewBuilder(lbls)
	for name, own := range map[string][2]string{
		instanceLabel: {a.Name, OwnInstance}, "customer": {a.Customer, OwnCustomer}, "site": {a.Site, OwnSite},
	} {
		if lbls.Get(name) == own[0] {
			lb.Set(name, own[1])
		}
	}
	return lb.Labels()
}

// share is the one Part of these series.
func (w *Window) share(p *Part) *Part {
	var key []byte
	key = append(key, p.Name...)
	key = append(key, byte(p.Live), byte(p.Live>>8), byte(p.Live>>16))
	for _, l := range p.Series {
		key = append(append(key, 0xfe), l.Bytes(nil)...)
	}
	if old := w.shared[string(key)]; old != nil {
		return old
	}
	w.shared[string(key)] = p
	return p
}

// Record takes what a recording rule made of the asset's samples at t: one value per series, stale markers for those
// that it did not make; the labels as Part.Series has them. doubted says that it was made of what is not known. What is
// not newer than the last of the same rule is ignored, and so is an unknown asset.
func (w *Window) Record(asset, rule string, l *Layout, t time.Time, values []float64, doubted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	as := w.assets[asset]
	if as == nil {
		return
	}
	w.gen++
	name := RecordedPart + rule
	src := as.sources[name]
	if src == nil {
		src = &source{name: name, asset: as, shapes: map[[32]byte]*shape{}}
		as.sources[name] = src
	}
	ms := t.UnixMilli()
	if newest := src.newest(); newest != math.MinInt64 && ms <= newest {
		return
	}
	sh := src.shapeOf(w, l)
	src.write(w, ms, sh, values)
	if doubted {
		for _, x := range sh.slots {
			if x != nil {
				x.doubted = ms
			}
		}
	}
	src.tidy(w)
}

// Unrecord ends what a recording rule wrote: it is loaded no more.
func (w *Window) Unrecord(asset, rule string, t time.Time) {
	w.Record(asset, rule, &Layout{ID: [32]byte{1}}, t, nil, false)
}

// Interval is how often the asset reports: the shortest of its sources' intervals, 0 if none said.
func (v *View) Interval() time.Duration { return v.as.interval() }

// Said is the time of the newest block of a part, and how often one is due; 0 for what the house writes.
func (v *View) Said(part int) (t int64, every time.Duration) {
	for _, s := range v.slotsOf(part) {
		if s != nil && s.src != nil && !s.src.house() {
			return s.src.newest(), s.src.interval
		}
	}
	return 0, 0
}

func (v *View) slotsOf(part int) []*series {
	v.Parts()
	return v.as.slots[part]
}

// SetDemand tells which series rules look back on, and how far; the window keeps that much of them.
func (w *Window) SetDemand(sels []Selector) {
	var d time.Duration
	for _, s := range sels {
		d = max(d, s.Lookback)
	}
	w.SetLookback(d + StaleAfter)
}
