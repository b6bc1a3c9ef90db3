package program

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/window"
)

// maxCells bounds the numbers that a machine keeps for one program: 32 MiB.
const maxCells = 4 << 20

// Compile makes the program for an asset with these parts, in the order of View.Parts, and this identity. Parts that the
// expression does not read may be left out. The error says that the program would need too much memory.
func (x *Expr) Compile(parts []*window.Part, identity string) (*Program, error) {
	c := &compiler{x: x, id: identity, p: &Program{parts: len(parts)}}
	if x.foreign(identity) {
		return c.p, nil
	}
	for _, p := range parts {
		c.series, c.live = append(c.series, bareAll(p.Series, identity)), append(c.live, p.Live)
	}
	var v vector
	if x.expr.Type() == parser.ValueTypeScalar {
		v = c.vectorOf(c.scalar(x.expr))
	} else {
		v = c.vector(x.expr)
	}
	if c.err == nil && c.p.size > maxCells {
		c.err = fmt.Errorf("%s would need more than %d MiB to run over %d series: make its subquery shorter, or let fewer series match each other", x.expr, maxCells>>17, c.total())
	}
	if c.err != nil {
		return nil, fmt.Errorf("compile for an asset: %w", c.err)
	}
	c.p.result, c.p.labels = v.span, v.lanes
	c.p.bytes = c.bytes()
	return c.p, nil
}

// foreign tells whether every selector names one instance, and the asset is another.
func (x *Expr) foreign(id string) bool {
	if x.pinned == "" {
		return false
	}
	_, bit := x.selectors[0].instance()
	return id[bit] != '1'
}

// compiler makes one program. Labels are decided here, and nowhere else.
type compiler struct {
	x      *Expr
	id     string
	p      *Program
	series [][]labels.Labels
	live   []int
	// inside says that steps of a subquery are being compiled.
	inside bool
	err    error
}

// vector is a vector while it is compiled: where it will lie, and what its lanes are called.
type vector struct {
	span
	lanes []labels.Labels
}

func (c *compiler) emit(o op) { c.p.ops = append(c.p.ops, o) }

// room is memory for n numbers.
func (c *compiler) room(n int) span {
	s := span{int32(c.p.size), int32(n)}
	c.p.size = min(c.p.size+n, maxCells+1)
	return s
}

func (c *compiler) total() (n int) {
	for _, s := range c.series {
		n += len(s)
	}
	return n
}

func (c *compiler) bytes() int64 {
	n := 160 + sizeOf(c.p.ops) + sizeOf(c.p.labels)
	for _, o := range c.p.ops {
		n += o.size()
	}
	for _, l := range c.p.labels {
		n += int(l.ByteSize())
	}
	return int64(n)
}

// vector compiles an expression that gives a vector.
func (c *compiler) vector(e parser.Expr) vector {
	switch n := unwrap(e).(type) {
	case *parser.VectorSelector:
		return c.load(n, false)
	case *parser.UnaryExpr:
		return c.unary(n)
	case *parser.BinaryExpr:
		return c.binary(n)
	case *parser.AggregateExpr:
		return c.aggregate(n)
	case *parser.Call:
		return c.call(n)
	}
	c.fail(e)
	return vector{}
}

func (c *compiler) fail(e parser.Expr) {
	if c.err == nil {
		c.err = fmt.Errorf("%s gives a %s, want a vector or a scalar", e, parser.DocumentedType(e.Type()))
	}
}

// scalar compiles an expression that gives a scalar; what is the same at all times is computed now.
func (c *compiler) scalar(e parser.Expr) operand {
	switch n := unwrap(e).(type) {
	case *parser.NumberLiteral:
		return constant(n.Val)
	case *parser.UnaryExpr:
		s := c.scalar(n.Expr)
		if n.Op == parser.SUB {
			return c.scalars(parser.MUL, s, constant(-1))
		}
		return s
	case *parser.BinaryExpr:
		return c.scalars(n.Op, c.scalar(n.LHS), c.scalar(n.RHS))
	case *parser.Call:
		return c.scalarCall(n)
	}
	c.fail(e)
	return operand{}
}

func (c *compiler) scalars(op parser.ItemType, l, r operand) operand {
	if l.known && r.known {
		return constant(scalarBinop(op, l.constant, r.constant))
	}
	out := c.room(1)
	c.emit(&scalarsOp{op: op, l: l, r: r, out: out})
	return operand{at: out.at}
}

func (c *compiler) scalarCall(n *parser.Call) operand {
	switch n.Func.Name {
	case "pi":
		return constant(pi)
	case "time":
		out := c.room(1)
		c.emit(&clockOp{out})
		return operand{at: out.at}
	}
	v := c.vector(n.Args[0]) // scalar()
	out := c.room(1)
	c.emit(&scalarOp{v.span, out})
	return operand{at: out.at}
}

// vectorOf is a scalar as a vector of one sample without labels.
func (c *compiler) vectorOf(s operand) vector {
	v := vector{c.room(1), []labels.Labels{labels.EmptyLabels()}}
	c.emit(&vectorOp{v.span, s})
	return v
}

func (c *compiler) unary(n *parser.UnaryExpr) vector {
	v := c.vector(n.Expr)
	if n.Op != parser.SUB {
		return v
	}
	c.emit(&mapOp{v.span, negate})
	return c.unnamed(n, v)
}

// unnamed takes the name off all lanes.
func (c *compiler) unnamed(e parser.Expr, v vector) vector {
	return c.rename(e, v, nameless(v.lanes), false)
}

func nameless(lanes []labels.Labels) []labels.Labels {
	out := make([]labels.Labels, len(lanes))
	for i, l := range lanes {
		out[i] = dropName(l)
	}
	return out
}

// metadata are the labels that go when a result is something else than what the series is.
var metadata = []string{model.MetricNameLabel, model.MetricTypeLabel, model.MetricUnitLabel}

func dropName(l labels.Labels) labels.Labels {
	return l.DropReserved(func(name string) bool { return slices.Contains(metadata, name) })
}

// rename gives lanes other labels, and makes one lane of those that have the same now. Lasting says that, in a subquery,
// no two series may have them at any two steps.
func (c *compiler) rename(e parser.Expr, v vector, lanes []labels.Labels, lasting bool) vector {
	s := newSet(len(lanes))
	to := make([]int32, len(lanes))
	for i, l := range lanes {
		to[i] = s.number(l)
	}
	if len(s.all) == len(lanes) {
		return vector{v.span, lanes}
	}
	out := vector{c.room(len(s.all)), s.all}
	o := &mergeOp{in: v.span, out: out.span, to: to, fault: fmt.Errorf("%s: %w", e, ErrDuplicate), strict: -1}
	if c.inside && lasting {
		o.strict = int32(c.p.sticky)
		c.p.sticky += len(s.all)
	}
	c.emit(o)
	return out
}

// set numbers label sets in the order in which they come.
type set struct {
	all  []labels.Labels
	have map[string]int32
	buf  []byte
}

func newSet(n int) *set { return &set{have: make(map[string]int32, n)} }

func (s *set) number(l labels.Labels) int32 {
	s.buf = l.Bytes(s.buf)
	n, ok := s.have[string(s.buf)]
	if !ok {
		n = int32(len(s.all))
		s.have[string(s.buf)] = n
		s.all = append(s.all, l)
	}
	return n
}

// find is the number of a label set, -1 when it has none.
func (s *set) find(l labels.Labels) int32 {
	s.buf = l.Bytes(s.buf)
	if n, ok := s.have[string(s.buf)]; ok {
		return n
	}
	return -1
}
