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
	j := &joining{n: n, many: many, one: one, joints: joints, of: manys, swapped: m.Card == parser.CardOneToMany}
	if !j.label() {
		c.p.size = maxCells + 1
		return vector{}
	}
	out := vector{c.room(len(j.lanes)), j.lanes}
	if j.simple {
		c.emit(j.pairs(l, r, out))
	} else {
		c.emit(&matchOp{
			op: n.Op, asBool: n.ReturnBool, many: many.span, one: one.span, out: out.span, met: c.room(len(j.lanes)),
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
	of        []int32 // joints, by lane of many; -1 where nothing matches
	swapped   bool
	// lanes are those of the result; simple says that no lane can match more than one other.
	lanes  []labels.Labels
	simple bool
}

// label finds what comes out of each joint, in the order of the side of many as the engine has it. Joints that nothing can
// come out of go, but where more than one lane of the side of one has the same signature, which is an error whenever both
// have samples. It returns false when that are too many.
func (j *joining) label() bool {
	single := j.n.VectorMatching.Card == parser.CardOneToOne
	cells := 0
	given := make([][]int32, len(j.joints))
	for i := range j.joints {
		given[i] = j.kinds(&j.joints[i])
		cells += len(j.joints[i].many) * len(given[i])
	}
	if cells > maxCells {
		return false
	}
	results, numbers := make([]*set, len(j.joints)), make([][]int32, len(j.joints))
	j.simple = true
	for lane, i := range j.of {
		if i < 0 {
			continue
		}
		x := &j.joints[i]
		if results[i] == nil {
			results[i] = newSet(1)
		}
		before := len(results[i].all)
		for _, b := range given[i] {
			n := results[i].number(j.result(j.many.lanes[lane], j.one.lanes[b]))
			if int(n) == len(numbers[i]) {
				numbers[i] = append(numbers[i], int32(len(j.lanes)))
				j.lanes = append(j.lanes, results[i].all[n])
			}
			x.out = append(x.out, numbers[i][n])
		}
		if single && len(x.many) > 1 || len(results[i].all) == before {
			j.simple = false
		}
	}
	j.joints = slices.DeleteFunc(j.joints, func(x joint) bool { return len(x.many) == 0 && len(x.one) < 2 })
	j.simple = j.simple && !slices.ContainsFunc(j.joints, func(x joint) bool { return len(x.one) > 1 })
	return true
}

// kinds finds the kinds of the side of one of a joint, and gives a lane of each.
func (j *joining) kinds(x *joint) (given []int32) {
	include := j.n.VectorMatching.Include
	if len(include) == 0 {
		x.kinds = 1
		return x.one[:1]
	}
	s := newSet(len(x.one))
	for _, lane := range x.one {
		n := s.number(labels.NewBuilder(j.one.lanes[lane]).Keep(include...).Labels())
		if int(n) == len(given) {
			given = append(given, lane)
		}
		x.kind = append(x.kind, n)
	}
	x.kinds = len(given)
	return given
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
	n := len(j.lanes)
	o := &pairsOp{
		op: j.n.Op, asBool: j.n.ReturnBool, l: l.span, r: r.span, out: out.span, lhs: make([]int32, n), rhs: make([]int32, n),
	}
	for _, x := range j.joints {
		for i, lane := range x.many {
			o.lhs[x.out[i]], o.rhs[x.out[i]] = lane, x.one[0]
		}
	}
	if j.swapped {
		o.lhs, o.rhs = o.rhs, o.lhs
	}
	same := slices.Equal(o.lhs, o.rhs)
	for i, lane := range o.lhs {
		same = same && int(lane) == i
	}
	if same {
		o.lhs, o.rhs = nil, nil
	}
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
