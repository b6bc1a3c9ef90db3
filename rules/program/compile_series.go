package program

import (
	"cmp"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// find is the series that a selector reads: its lanes, in the order of labels, and where their samples are, by lane.
func (c *compiler) find(n *parser.VectorSelector) (lanes []labels.Labels, where []slot) {
	i := slices.IndexFunc(c.x.selectors, func(s *selector) bool { return s.node == n })
	sel := c.x.selectors[i]
	s := newSet(16)
	for part, series := range c.series {
		for i, l := range series {
			if sel.matches(l, c.id) {
				where = append(where, slot{int32(part), int32(i), s.number(l)})
			}
		}
	}
	order := make([]int32, len(s.all))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return labels.Compare(s.all[a], s.all[b]) })
	place := make([]int32, len(order))
	for i, was := range order {
		place[was] = int32(i)
		lanes = append(lanes, s.all[was])
	}
	for i := range where {
		where[i].lane = place[where[i].lane]
	}
	slices.SortStableFunc(where, func(a, b slot) int { return int(a.lane - b.lane) })
	return lanes, where
}

func baseOf(startOrEnd parser.ItemType) base {
	if startOrEnd != 0 {
		return top
	}
	return step
}

func (c *compiler) load(n *parser.VectorSelector, times bool) vector {
	lanes, where := c.find(n)
	v := vector{c.room(len(lanes)), lanes}
	o := &loadOp{
		out: v.span, offset: n.OriginalOffset.Milliseconds(), lookback: lookback, base: baseOf(n.StartOrEnd), times: times,
	}
	blocks := make([]*block, len(c.series))
	done := int32(-1)
	for _, s := range where {
		first := s.lane != done
		done = s.lane
		switch {
		case !first:
			o.rest = append(o.rest, s)
		case int(s.slot) >= c.live[s.part]:
			o.unset, o.rest = append(o.unset, s.lane), append(o.rest, s)
		default:
			b := blocks[s.part]
			if b == nil {
				b = &block{part: s.part}
				blocks[s.part] = b
			}
			b.need = max(b.need, s.slot+1)
			b.slots, b.lanes = append(b.slots, s.slot), append(b.lanes, s.lane)
		}
	}
	for _, b := range blocks {
		if b != nil {
			b.slots, b.lanes = slices.Clip(b.slots), slices.Clip(b.lanes)
			if len(b.lanes) == len(lanes) {
				b.lanes = nil
			}
			o.blocks = append(o.blocks, *b)
		}
	}
	c.emit(o)
	return v
}

// overRange compiles a function of a range. Its name goes, but where the result is a sample of the series itself.
func (c *compiler) overRange(n *parser.Call, f over) vector {
	arg := constant(0)
	if f.param >= 0 {
		arg = c.scalar(n.Args[f.param])
	}
	var v vector
	switch r := unwrap(n.Args[f.series]).(type) {
	case *parser.MatrixSelector:
		v = c.ranges(r, f.do, arg)
	case *parser.SubqueryExpr:
		v = c.subquery(r, f.do, arg)
	default:
		c.fail(r)
		return vector{}
	}
	if f.keepsName {
		return v
	}
	return c.rename(n, v, nameless(v.lanes), true)
}

func (c *compiler) ranges(r *parser.MatrixSelector, do rangeFunc, arg operand) vector {
	sel := selectorOf(r)
	lanes, where := c.find(sel)
	v := vector{c.room(len(lanes)), lanes}
	c.emit(&rangeOp{
		out: v.span, series: slices.Clip(where), do: do, back: r.Range.Milliseconds(), offset: sel.OriginalOffset.Milliseconds(),
		base: baseOf(sel.StartOrEnd), seconds: r.Range.Seconds(), arg: arg,
	})
	return v
}

func (c *compiler) subquery(q *parser.SubqueryExpr, do rangeFunc, arg operand) vector {
	before, sticky := c.p.ops, c.p.sticky
	c.p.ops, c.p.sticky, c.inside = nil, 0, true
	in := c.vector(q.Expr)
	ops, kept := c.p.ops, c.p.sticky
	c.p.ops, c.p.sticky, c.inside = before, max(sticky, kept), false
	every := cmp.Or(q.Step, c.x.step)
	steps := int(q.Range/every) + 1
	if cells := steps * len(in.lanes); cells > maxCells || c.p.size+cells > maxCells {
		c.p.size = maxCells + 1
	}
	v := vector{c.room(len(in.lanes)), in.lanes}
	c.emit(&subqueryOp{
		ops: ops, in: in.span, out: v.span, do: do, back: q.Range.Milliseconds(), offset: q.OriginalOffset.Milliseconds(),
		every: every.Milliseconds(), base: baseOf(q.StartOrEnd), seconds: q.Range.Seconds(), arg: arg, sticky: kept,
	})
	return v
}
