package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Builder makes blocks of samples; an agent has one. It remembers the shape of every source, so that a reading with the
// same series as the one before costs a comparison and a copy: no sorting, no hashing. Safe for concurrent use.
type Builder struct {
	max Limits

	mu    sync.Mutex
	tick  uint64
	last  map[sourceKey]*reading
	made  map[[32]byte]*madeShape
	bound int // of each of the two maps
}

type sourceKey struct{ kind, source string }

// reading is what a source's newest reading looked like, in the order it came.
type reading struct {
	samples []Sample // copies, values unused
	order   []int32  // slot in the block -> index in samples
	id      [32]byte
	used    uint64
}

type madeShape struct {
	shape *Shape
	used  uint64
}

// NewBuilder makes a builder whose shapes keep to max, so that an agent learns from its own sampler's error what the
// collector would refuse.
func NewBuilder(max Limits) *Builder {
	return &Builder{
		max:   max,
		last:  map[sourceKey]*reading{},
		made:  map[[32]byte]*madeShape{},
		bound: 2 * max.Blocks, // every source of a report, and the shape each had before
	}
}

// Block makes an ok block of samples that a source read at a time and reads every so often. Labels and samples may come
// in any order. A label without a value is left out, as Prometheus has it; values that are not UTF-8 get U+FFFD where
// they are not. The error, an *Error in a chain that names the source, says which series or label is wrong: see
// ReadShape. samples is not kept.
func (b *Builder) Block(kind, source string, at time.Time, every time.Duration, samples []Sample) (*Block, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick++
	r := b.last[sourceKey{kind, source}]
	if r == nil || !r.same(samples) {
		var err error
		if r, err = b.read(samples); err != nil {
			return nil, fmt.Errorf("block %s of %s: %w", source, kind, err)
		}
		b.last[sourceKey{kind, source}] = r
		evict(b.last, b.bound, func(r *reading) uint64 { return r.used })
	}
	r.used = b.tick
	b.made[r.id].used = b.tick
	block := newBlock(kind, source, at, every)
	block.Status = Block_STATUS_OK
	block.ShapeId = r.id[:]
	block.Values = make([]float64, len(r.order))
	for slot, i := range r.order {
		block.Values[slot] = samples[i].Value
	}
	return block, nil
}

// FailedBlock says that a source could not be read, and why: the reason is cut to what DefaultLimits allow.
func FailedBlock(kind, source string, at time.Time, every time.Duration, reason error) *Block {
	block := newBlock(kind, source, at, every)
	block.Status = Block_STATUS_FAILED
	block.Reason = Clean(reason.Error(), DefaultLimits().TextBytes)
	if block.Reason == "" {
		block.Reason = "the sampler gave no reason"
	}
	return block
}

func newBlock(kind, source string, at time.Time, every time.Duration) *Block {
	return &Block{
		Kind:        kind,
		Source:      source,
		SampledAtMs: at.UnixMilli(),
		IntervalMs:  uint32(min(max(every.Milliseconds(), 0), math.MaxUint32)), //nolint:gosec // clamped
	}
}

// Shape finds a shape among those of the blocks it made lately. The shape is shared: do not change it.
func (b *Builder) Shape(id []byte) (*Shape, bool) {
	if len(id) != 32 {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m, ok := b.made[[32]byte(id)]
	if !ok {
		return nil, false
	}
	return m.shape, true
}

// same compares without looking at characters where it can: a sampler that keeps its strings costs a pointer each.
func (r *reading) same(samples []Sample) bool {
	return slices.EqualFunc(r.samples, samples, func(x, y Sample) bool {
		return x.Name == y.Name && slices.Equal(x.Labels, y.Labels)
	})
}

func (b *Builder) read(samples []Sample) (*reading, error) {
	type row struct {
		labels []Label
		index  int32
	}
	// Before the work, not after: a sampler gone wild should cost its agent nothing.
	if err := over("samples of one block", len(samples), b.max.SeriesPerBlock, "series_per_block"); err != nil {
		return nil, err
	}
	rows := make([]row, len(samples))
	for i, s := range samples {
		rows[i] = row{labels: tidy(s), index: int32(i)} //nolint:gosec // within SeriesPerBlock
	}
	slices.SortFunc(rows, func(x, y row) int { return compareSeries(x.labels, y.labels) })
	r := &reading{samples: make([]Sample, len(samples)), order: make([]int32, len(rows))}
	l := Layout{Series: make([][]Label, len(rows))}
	for slot, row := range rows {
		l.Series[slot], r.order[slot] = row.labels, row.index
	}
	shape := l.Shape()
	l, err := ReadShape(shape, b.max)
	if err != nil {
		return nil, err
	}
	for i, s := range samples {
		r.samples[i] = Sample{Name: s.Name, Labels: slices.Clone(s.Labels)}
	}
	r.id = l.ID
	if b.made[r.id] == nil {
		b.made[r.id] = &madeShape{shape: shape, used: b.tick}
		evict(b.made, b.bound, func(m *madeShape) uint64 { return m.used })
	}
	return r, nil
}

// tidy is s's label set as a layout has it: sorted, the metric name among the labels.
func tidy(s Sample) []Label {
	labels := make([]Label, 0, len(s.Labels)+1)
	labels = append(labels, Label{Name: NameLabel, Value: s.Name})
	for _, l := range s.Labels {
		if l.Value != "" {
			labels = append(labels, Label{Name: l.Name, Value: strings.ToValidUTF8(l.Value, "\uFFFD")})
		}
	}
	slices.SortFunc(labels, func(x, y Label) int { return strings.Compare(x.Name, y.Name) })
	return labels
}

// evict drops the entry unused longest when there are too many.
func evict[K comparable, V any](m map[K]V, bound int, used func(V) uint64) {
	if len(m) <= bound {
		return
	}
	var oldest K
	least := uint64(math.MaxUint64)
	for k, v := range m {
		if u := used(v); u < least {
			oldest, least = k, u
		}
	}
	delete(m, oldest)
}
