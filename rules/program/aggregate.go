package program

import (
	"math"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// isAggregation tells whether aggregateOp or rankOp knows the operator.
func isAggregation(op parser.ItemType) bool {
	return op == parser.TOPK || op == parser.BOTTOMK || op == parser.QUANTILE || folds[op] != nil
}

// folds make one sample of those of a group, of which there is at least one, in the order of lanes.
var folds = map[parser.ItemType]func([]float64) float64{
	parser.SUM: total, parser.AVG: average, parser.MAX: largest, parser.MIN: smallest,
	parser.COUNT:  func(v []float64) float64 { return float64(len(v)) },
	parser.GROUP:  func([]float64) float64 { return 1 },
	parser.STDVAR: variance,
	parser.STDDEV: func(v []float64) float64 { return math.Sqrt(variance(v)) },
}

// groups are the lanes of each group, one group after the other; from has where each begins, and where the last ends.
type groups struct{ lanes, from []int32 }

func (g groups) of(i int) []int32 { return g.lanes[g.from[i]:g.from[i+1]] }

func (g groups) size() int { return sizeOf(g.lanes) + sizeOf(g.from) }

// aggregateOp makes one sample of each group that has some.
type aggregateOp struct {
	groups
	in, out span
	do      func([]float64) float64
}

func (o *aggregateOp) run(m *Machine) error {
	in, out := m.reg(o.in), m.reg(o.out)
	for g := range out {
		out[g] = nothing
		if v := m.gather(in, o.of(g)); len(v) > 0 {
			out[g] = o.do(v)
		}
	}
	return nil
}

// gather is the samples of lanes, in order; good until it is called again.
func (m *Machine) gather(in []float64, lanes []int32) []float64 {
	v := m.sorted[:0]
	for _, lane := range lanes {
		if x := in[lane]; !absent(x) {
			v = append(v, x)
		}
	}
	m.sorted = v
	return v
}

func (o *aggregateOp) size() int { return 72 + o.groups.size() }

// quantileOp is the aggregation quantile.
type quantileOp struct {
	groups
	in, out span
	q       operand
}

func (o *quantileOp) run(m *Machine) error {
	in, out, q := m.reg(o.in), m.reg(o.out), o.q.get(m)
	for g := range out {
		out[g] = nothing
		if v := m.gather(in, o.of(g)); len(v) > 0 {
			out[g] = quantile(q, v)
		}
	}
	return nil
}

func (o *quantileOp) size() int { return 88 + o.groups.size() }

// ranked is a candidate of topk and bottomk.
type ranked struct {
	v    float64
	lane int32
}

// rankOp is topk and bottomk: it takes away all samples of a group but k. Which of equal ones stay is as in Prometheus,
// where a heap decides.
type rankOp struct {
	groups
	v       span
	k       operand
	largest bool
	fault   error
}

func (o *rankOp) run(m *Machine) error {
	v, k := m.reg(o.v), o.k.get(m)
	switch {
	case k < 1:
		for i := range v {
			v[i] = nothing
		}
		return nil
	case math.IsNaN(k) || k >= math.MaxInt64:
		return o.fault
	}
	n := int(min(k, float64(len(v)+1)))
	for g := range len(o.from) - 1 {
		heap := m.ranks[:0]
		for _, lane := range o.of(g) {
			if !absent(v[lane]) {
				heap = o.offer(heap, ranked{v[lane], lane}, n)
				v[lane] = nothing
			}
		}
		for _, x := range heap {
			v[x.lane] = x.v
		}
		m.ranks = heap
	}
	return nil
}

// offer puts x into the heap of at most n, whose first is the one that goes next.
func (o *rankOp) offer(heap []ranked, x ranked, n int) []ranked {
	if len(heap) < n {
		heap = append(heap, x)
		for i := len(heap) - 1; i > 0; {
			above := (i - 1) / 2
			if !o.less(heap[i].v, heap[above].v) {
				break
			}
			heap[i], heap[above] = heap[above], heap[i]
			i = above
		}
		return heap
	}
	first := heap[0].v
	if o.largest && first < x.v || !o.largest && first > x.v || math.IsNaN(first) && !math.IsNaN(x.v) {
		heap[0] = x
		o.sink(heap)
	}
	return heap
}

// sink moves the first of the heap to where it belongs.
func (o *rankOp) sink(heap []ranked) {
	for i := 0; ; {
		below := 2*i + 1
		if below >= len(heap) {
			return
		}
		if right := below + 1; right < len(heap) && o.less(heap[right].v, heap[below].v) {
			below = right
		}
		if !o.less(heap[below].v, heap[i].v) {
			return
		}
		heap[i], heap[below] = heap[below], heap[i]
		i = below
	}
}

// less tells whether a goes before b; NaN goes first.
func (o *rankOp) less(a, b float64) bool {
	switch {
	case math.IsNaN(a):
		return true
	case o.largest:
		return a < b
	}
	return a > b
}

func (o *rankOp) size() int { return 104 + o.groups.size() }

// bucketsOp is histogram_quantile over classic buckets.
type bucketsOp struct {
	groups
	in, out span
	// bounds are the upper bounds, by lane.
	bounds []float64
	q      operand
}

func (o *bucketsOp) run(m *Machine) error {
	in, out, q := m.reg(o.in), m.reg(o.out), o.q.get(m)
	for g := range out {
		b := m.buckets[:0]
		for _, lane := range o.of(g) {
			if x := in[lane]; !absent(x) {
				b = append(b, promql.Bucket{UpperBound: o.bounds[lane], Count: x})
			}
		}
		m.buckets = b
		out[g] = nothing
		if len(b) > 0 {
			v, _, _, _, _, _ := promql.BucketQuantile(q, b)
			out[g] = sample(v)
		}
	}
	return nil
}

func (o *bucketsOp) size() int { return 112 + o.groups.size() + sizeOf(o.bounds) }
