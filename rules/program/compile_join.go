package program

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func (c *compiler) binary(n *parser.BinaryExpr) vector {
	left, right := n.LHS.Type() == parser.ValueTypeScalar, n.RHS.Type() == parser.ValueTypeScalar
	switch {
	case left:
		s := c.scalar(n.LHS)
		return c.withScalar(n, c.vector(n.RHS), s, true)
	case right:
		v := c.vector(n.LHS)
		return c.withScalar(n, v, c.scalar(n.RHS), false)
	}
	l := c.vector(n.LHS)
	r := c.vector(n.RHS)
	switch n.Op {
	case parser.LAND, parser.LUNLESS:
		return c.filter(n, l, r)
	case parser.LOR:
		return c.either(n, l, r)
	}
	return c.match(n, l, r)
}

func (c *compiler) withScalar(n *parser.BinaryExpr, v vector, s operand, swapped bool) vector {
	op := n.Op
	if op.IsComparisonOperator() && swapped {
		op = mirrored(op)
	}
	switch {
	case !op.IsComparisonOperator():
		c.emit(&arithOp{op: op, v: v.span, s: s, swapped: swapped})
	case n.ReturnBool:
		c.emit(&boolOp{op: op, v: v.span, s: s})
	default:
		c.emit(&filterOp{op: op, v: v.span, s: s})
		return v
	}
	return c.unnamed(n, v)
}

// signature is what of a lane's labels has to be the same for it to match.
func signature(m *parser.VectorMatching, l labels.Labels) labels.Labels {
	lb := labels.NewBuilder(l)
	if m.On {
		return lb.Keep(m.MatchingLabels...).Labels()
	}
	return lb.Del(model.MetricNameLabel).Del(m.MatchingLabels...).Labels()
}

// signatures are the numbers of the lanes' signatures.
func signatures(m *parser.VectorMatching, s *set, lanes []labels.Labels) []int32 {
	out := make([]int32, len(lanes))
	for i, l := range lanes {
		out[i] = s.number(signature(m, l))
	}
	return out
}

// known are the numbers of the lanes' signatures, -1 where a signature has none.
func known(m *parser.VectorMatching, s *set, lanes []labels.Labels) []int32 {
	out := make([]int32, len(lanes))
	for i, l := range lanes {
		out[i] = s.find(signature(m, l))
	}
	return out
}

func (c *compiler) filter(n *parser.BinaryExpr, l, r vector) vector {
	s := newSet(len(r.lanes))
	rhs := signatures(n.VectorMatching, s, r.lanes)
	lhs := known(n.VectorMatching, s, l.lanes)
	c.emit(&setOp{
		l: l.span, r: r.span, lhs: lhs, rhs: rhs, there: c.room(len(s.all)), unless: n.Op == parser.LUNLESS,
	})
	return l
}

func (c *compiler) either(n *parser.BinaryExpr, l, r vector) vector {
	s := newSet(len(l.lanes))
	lhs := signatures(n.VectorMatching, s, l.lanes)
	rhs := known(n.VectorMatching, s, r.lanes)
	out := vector{c.room(len(l.lanes) + len(r.lanes)), slices.Concat(l.lanes, r.lanes)}
	c.emit(&orOp{l: l.span, r: r.span, out: out.span, lhs: lhs, rhs: rhs, there: c.room(len(s.all))})
	return c.rename(n, out, out.lanes, false)
}

// match compiles arithmetic and comparisons of two vectors.
func (c *compiler) match(n *parser.BinaryExpr, l, r vector) vector {
	m := n.VectorMatching
	many, one := l, r
	if m.Card == parser.CardOneToMany {
		many, one = r, l
	}
	s := newSet(len(one.lanes))
	ones, manys := signatures(m, s, one.lanes), known(m, s, many.lanes)
	joints := make([]joint, len(s.all))
	for lane, i := range ones {
		joints[i].one = append(joints[i].one, int32(lane))
	}
	for lane, i := range manys {
		if i >= 0 {
			joints[i].many = append(joints[i].many, int32(lane))
		}
	}
	j := &joining{n: n, many: many, one: one, joints: joints, swapped: m.Card == parser.CardOneToMany}
	j.label()
	out := vector{c.room(len(j.lanes)), j.lanes}
	if j.simple {
		c.emit(j.pairs(l, r, out))
	} else {
		c.emit(&matchOp{
			op: n.Op, bool: n.ReturnBool, many: many.span, one: one.span, out: out.span, met: c.room(len(j.lanes)),
			joints: j.joints, swapped: j.swapped, single: m.Card == parser.CardOneToOne, fault: fmt.Errorf("%s: %w", n, ErrMatching),
		})
	}
	return c.rename(n, out, out.lanes, false)
}

// joining is a match of two vectors while it is compiled.
type joining struct {
	n         *parser.BinaryExpr
	many, one vector
	joints    []joint
	swapped   bool
	// lanes are those of the result; simple says that no lane can match more than one other.
	lanes  []labels.Labels
	simple bool
}

// label finds what comes out of each joint; those that nothing can come out of go, but where more than one lane of the
// side of one has the same signature, which is an error whenever both have samples.
func (j *joining) label() {
	single := j.n.VectorMatching.Card == parser.CardOneToOne
	j.simple = true
	kept := j.joints[:0]
	for _, x := range j.joints {
		if len(x.many) == 0 && len(x.one) < 2 {
			continue
		}
		s := newSet(len(x.many))
		for _, a := range x.many {
			for _, b := range x.one {
				x.out = append(x.out, int32(len(j.lanes))+s.number(j.result(j.many.lanes[a], j.one.lanes[b])))
			}
		}
		if len(x.one) > 1 || single && len(x.many) > 1 || len(s.all) < len(x.many) {
			j.simple = false
		}
		j.lanes = append(j.lanes, s.all...)
		kept = append(kept, x)
	}
	j.joints = kept
}

// result is what comes of a lane of many and one of the other side.
func (j *joining) result(many, one labels.Labels) labels.Labels {
	m := j.n.VectorMatching
	lb := labels.NewBuilder(many)
	if j.n.ReturnBool || changesSchema(j.n.Op) {
		lb.Del(metadata...)
	}
	if m.Card == parser.CardOneToOne {
		if m.On {
			lb.Keep(m.MatchingLabels...)
		} else {
			lb.Del(m.MatchingLabels...)
		}
	}
	for _, name := range m.Include {
		lb.Set(name, one.Get(name)) // an empty value takes it away
	}
	return lb.Labels()
}

// pairs is the operation where every lane of many has one of the other side.
func (j *joining) pairs(l, r, out vector) op {
	o := &pairsOp{op: j.n.Op, bool: j.n.ReturnBool, l: l.span, r: r.span, out: out.span}
	same := true
	for _, x := range j.joints {
		for _, a := range x.many {
			lhs, rhs := a, x.one[0]
			if j.swapped {
				lhs, rhs = rhs, lhs
			}
			same = same && int(lhs) == len(o.lhs) && lhs == rhs
			o.lhs, o.rhs = append(o.lhs, lhs), append(o.rhs, rhs)
		}
	}
	if same {
		o.lhs, o.rhs = nil, nil
	}
	o.lhs, o.rhs = slices.Clip(o.lhs), slices.Clip(o.rhs)
	return o
}

func (c *compiler) aggregate(n *parser.AggregateExpr) vector {
	var param operand
	if n.Param != nil {
		param = c.scalar(n.Param)
	}
	v := c.vector(n.Expr)
	s := newSet(8)
	of := make([]int32, len(v.lanes))
	for i, l := range v.lanes {
		lb := labels.NewBuilder(l)
		if n.Without {
			lb.Del(n.Grouping...).Del(model.MetricNameLabel)
		} else {
			lb.Keep(n.Grouping...)
		}
		of[i] = s.number(lb.Labels())
	}
	g := grouped(of, len(s.all))
	if n.Op == parser.TOPK || n.Op == parser.BOTTOMK {
		fault := fmt.Errorf("%s: %w", n, ErrParameter)
		c.emit(&rankOp{groups: g, v: v.span, k: param, largest: n.Op == parser.TOPK, fault: fault})
		return v
	}
	out := vector{c.room(len(s.all)), s.all}
	if n.Op == parser.QUANTILE {
		c.emit(&quantileOp{groups: g, in: v.span, out: out.span, q: param})
	} else {
		c.emit(&aggregateOp{groups: g, in: v.span, out: out.span, do: folds[n.Op]})
	}
	return out
}
