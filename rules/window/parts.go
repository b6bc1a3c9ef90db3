package window

import (
	"cmp"
	"hash/maphash"
	"slices"
	"sync"
	"unsafe"
	"weak"

	"github.com/prometheus/prometheus/model/labels"
)

// parts finds the one Part of the same series. It holds none of them: who uses a part does, and what nobody uses is
// forgotten, so that shapes that come and go do not add up. A window shares it with its forks.
type parts struct {
	// seed makes ids that nobody outside can foresee, so that nobody can send two series of one id.
	seed maphash.Seed

	mu    sync.Mutex
	known map[uint64][]weak.Pointer[Part]
	bases map[layoutOf]weak.Pointer[Part]
	// sweep is at which size of both maps the dead are looked for.
	sweep   int
	demands []*demand
}

// layoutOf is a layout as one sampler's of one kind.
type layoutOf struct {
	name, kind string
	layout     weak.Pointer[Layout]
}

func newParts() *parts {
	return &parts{
		seed: maphash.MakeSeed(), sweep: 64,
		known: map[uint64][]weak.Pointer[Part]{}, bases: map[layoutOf]weak.Pointer[Part]{},
	}
}

// id tells a series, by its whole labels, from all others.
func (x *parts) id(buf []byte, lbls labels.Labels) (uint64, []byte) {
	buf = lbls.Bytes(buf)
	return maphash.Bytes(x.seed, buf), buf
}

// base is the part of a block's layout alone: all of its series, and none that left.
func (x *parts) base(name, kind string, l *Layout) *Part {
	key := layoutOf{name, kind, weak.Make(l)}
	x.mu.Lock()
	p := x.bases[key].Value()
	x.mu.Unlock()
	if p != nil {
		return p
	}
	p = &Part{Name: name, kind: kind, Live: len(l.Series), Series: l.Series}
	if !p.house() {
		p.Series = make([]labels.Labels, len(l.Series))
		lb := labels.NewBuilder(labels.EmptyLabels())
		for i, lbls := range l.Series {
			p.Series[i] = owned(lb, lbls, kind)
		}
	}
	p = x.one(p)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bases[key] = weak.Make(p)
	x.tidy()
	return p
}

// one is the one part like p, which may be p itself: completed, if its ids are not known.
func (x *parts) one(p *Part) *Part {
	var buf []byte
	if p.ids == nil {
		p.ids = make([]uint64, len(p.Series))
		for i, lbls := range p.Series {
			p.ids[i], buf = x.id(buf, lbls)
		}
	}
	key := x.hash(p)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range x.known[key] {
		if old := w.Value(); old != nil && old.equal(p) {
			return old
		}
	}
	p.complete()
	x.known[key] = append(x.known[key], weak.Make(p))
	x.tidy()
	return p
}

func (x *parts) hash(p *Part) uint64 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	h.WriteString(p.Name)
	h.WriteByte(0xff)
	h.WriteString(p.kind)
	maphash.WriteComparable(&h, p.Live)
	for _, id := range p.ids {
		maphash.WriteComparable(&h, id)
	}
	return h.Sum64()
}

// complete makes what follows from the series.
func (p *Part) complete() {
	p.order = orderOf(p.ids)
	for i := 1; i < len(p.order); i++ {
		p.twice = p.twice || p.ids[p.order[i]] == p.ids[p.order[i-1]]
	}
	p.bytes = int64(unsafe.Sizeof(*p)) + int64(cap(p.Series))*int64(unsafe.Sizeof(labels.Labels{})) +
		8*int64(cap(p.ids)) + 4*int64(cap(p.order))
	for _, l := range p.Series {
		p.bytes += int64(l.ByteSize())
	}
}

func (p *Part) equal(o *Part) bool {
	return p.Name == o.Name && p.kind == o.kind && p.Live == o.Live && slices.Equal(p.ids, o.ids) &&
		slices.EqualFunc(p.Series, o.Series, labels.Equal)
}

// tidy forgets parts that nobody holds, when there may be many; the caller holds mu.
func (x *parts) tidy() {
	if len(x.known)+len(x.bases) < x.sweep {
		return
	}
	for key, list := range x.known {
		list = slices.DeleteFunc(list, func(w weak.Pointer[Part]) bool { return w.Value() == nil })
		if x.known[key] = list; len(list) == 0 {
			delete(x.known, key)
		}
	}
	for key, w := range x.bases {
		if w.Value() == nil || key.layout.Value() == nil {
			delete(x.bases, key)
		}
	}
	x.sweep = max(64, 2*(len(x.known)+len(x.bases)))
}

// orderOf are the places of ids in ascending order of the ids.
func orderOf(ids []uint64) []int32 {
	order := make([]int32, len(ids))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(ids[a], ids[b]) })
	return order
}

func findID(ids []uint64, order []int32, id uint64) (int32, bool) {
	i, ok := slices.BinarySearchFunc(order, id, func(at int32, id uint64) int { return cmp.Compare(ids[at], id) })
	if !ok {
		return 0, false
	}
	return order[i], true
}

// translate says for every place of the new order where its id was in the old one, -1 where it was not.
func translate(ids []uint64, order []int32, oldIDs []uint64, oldOrder []int32) []int32 {
	from := make([]int32, len(ids))
	j := 0
	for _, at := range order {
		for j < len(oldOrder) && oldIDs[oldOrder[j]] < ids[at] {
			j++
		}
		if from[at] = -1; j < len(oldOrder) && oldIDs[oldOrder[j]] == ids[at] {
			from[at] = oldOrder[j]
		}
	}
	return from
}

// join is the series of a part with some of another behind them, to be put in order: no part of its own.
func (x *parts) join(p, other *Part, slots []int32) *Part {
	made := &Part{Series: slices.Clone(p.Series), ids: slices.Clone(p.ids)}
	for _, slot := range slots {
		made.Series, made.ids = append(made.Series, other.Series[slot]), append(made.ids, other.ids[slot])
	}
	return made
}
