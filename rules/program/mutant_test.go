package program

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// mutant spoils an expression, an identity or a program, as a mistake in this room would.
type mutant struct {
	name     string
	expr     func(parser.Expr)
	identity func(string) string
	// op changes one operation, or gives another for it.
	op func(op) op
}

func (m mutant) apply(p *Program) {
	if m.op != nil {
		p.ops = m.spoil(p.ops)
	}
}

func (m mutant) spoil(ops []op) []op {
	for i, o := range ops {
		if s, ok := o.(*subqueryOp); ok {
			s.ops = m.spoil(s.ops)
		}
		ops[i] = m.op(o)
	}
	return ops
}

// on makes a change of operations of one type.
func on[T any](change func(*T)) func(op) op {
	return func(o op) op {
		if x, ok := any(o).(*T); ok {
			change(x)
		}
		return o
	}
}

// inPlaceOf puts another function of a range in the place of some.
func inPlaceOf(do rangeFunc, of ...rangeFunc) func(op) op {
	is := func(f rangeFunc) bool {
		return slices.ContainsFunc(of, func(g rangeFunc) bool {
			return reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer()
		})
	}
	return func(o op) op {
		switch o := o.(type) {
		case *rangeOp:
			if is(o.do) {
				o.do = do
			}
		case *subqueryOp:
			if is(o.do) {
				o.do = do
			}
		}
		return o
	}
}

// blindLoad is a selector that does not see stale markers: it goes on with the sample before.
type blindLoad struct{ *loadOp }

func (o blindLoad) run(m *Machine) error {
	if err := o.loadOp.run(m); err != nil {
		return err
	}
	ref := m.reference(o.base, o.offset)
	for _, b := range o.blocks {
		for i, s := range b.slots {
			ts, vs := m.view.Range(m.at[b.part], int(s), ref-o.lookback, ref, &m.buf)
			if out := &m.reg(o.out)[b.lane(i)]; absent(*out) && len(ts) > 0 && !o.times {
				*out = vs[len(vs)-1]
			}
		}
	}
	return nil
}

// staleColumn is a selector that takes the newest block however old it is.
type staleColumn struct{ *loadOp }

func (o staleColumn) run(m *Machine) error {
	for _, b := range o.blocks {
		if c := m.column(b.part); c.ok {
			c.t = min(c.t, m.reference(o.base, o.offset))
			c.t = max(c.t, m.reference(o.base, o.offset)-o.lookback+1)
		}
	}
	return o.loadOp.run(m)
}

// oneJoint is a match that does not look whether more than one sample of the side of one is there.
type oneJoint struct{ *matchOp }

func (o oneJoint) run(m *Machine) error {
	for i := range o.joints {
		j := &o.joints[i]
		if only(m.reg(o.one), j.one) == several {
			m.reg(o.one)[j.one[0]] = nothing
		}
	}
	return o.matchOp.run(m)
}

// withoutNaN takes what is no number out of what is aggregated.
func withoutNaN(do func([]float64) float64) func([]float64) float64 {
	return func(v []float64) float64 {
		kept := slices.DeleteFunc(slices.Clone(v), math.IsNaN)
		if len(kept) == 0 {
			return do(v)
		}
		return do(kept)
	}
}

// unlimited extrapolates to the bounds however far they are.
func unlimited(p *points) (float64, bool) {
	if len(p.v) < 2 {
		return 0, false
	}
	last := len(p.v) - 1
	sampled := float64(p.t[last] - p.t[0])
	return changed(p.v, true) * (float64(p.end-p.start) / sampled) / p.seconds, true
}

// mutants are mistakes that the oracle has to see.
var mutants = []mutant{
	{name: "range closed on the left", op: on(func(o *rangeOp) { o.back++ })},
	{name: "range open on the right", op: on(func(o *rangeOp) { o.offset++; o.back-- })},
	{name: "range of a subquery closed on the left", op: on(func(o *subqueryOp) { o.back++ })},
	{name: "look-back one longer", op: on(func(o *loadOp) { o.lookback++ })},
	{name: "look-back one shorter", op: on(func(o *loadOp) { o.lookback-- })},
	{name: "newest block however old", op: func(o op) op {
		if l, ok := o.(*loadOp); ok {
			return staleColumn{l}
		}
		return o
	}},
	{name: "lost stale marker", op: func(o op) op {
		if l, ok := o.(*loadOp); ok {
			return blindLoad{l}
		}
		return o
	}},
	{name: "missed reset of rate", op: inPlaceOf(func(p *points) (float64, bool) {
		return changed(p.v, false) * stretch(p, changed(p.v, true), true, true), len(p.v) > 1
	}, rate)},
	{name: "missed reset of irate", op: inPlaceOf(func(p *points) (float64, bool) {
		v, ok := idelta(p)
		if n := len(p.t); ok {
			v /= float64(p.t[n-1]-p.t[n-2]) / 1000
		}
		return v, ok
	}, irate)},
	{name: "no limit of extrapolation", op: inPlaceOf(unlimited, rate)},
	{name: "counters extrapolated below zero", op: inPlaceOf(func(p *points) (float64, bool) {
		return changed(p.v, true) * stretch(p, changed(p.v, true), false, true), len(p.v) > 1
	}, rate)},
	{name: "prediction from the end of the range", op: inPlaceOf(func(p *points) (float64, bool) {
		p.now = p.end
		return predictLinear(p)
	}, predictLinear)},
	{name: "NaN after NaN is a change", op: inPlaceOf(func(p *points) (float64, bool) {
		n := 0.0
		for i, x := range p.v[1:] {
			n += truth(x != p.v[i])
		}
		return n, true
	}, changes)},
	{name: ">= for >", op: on(func(o *filterOp) {
		if o.op == parser.GTR {
			o.op = parser.GTE
		}
	})},
	{name: "< for <=, of vectors", op: on(func(o *pairsOp) {
		if o.op == parser.LTE {
			o.op = parser.LSS
		}
	})},
	{name: "bool forgotten", op: func(o op) op {
		if b, ok := o.(*boolOp); ok {
			return (*filterOp)(b)
		}
		return o
	}},
	{name: "bool forgotten, of vectors", op: on(func(o *pairsOp) { o.asBool = false })},
	{name: "unless and and swapped", op: on(func(o *setOp) { o.unless = !o.unless })},
	{name: "or adds what is there", op: on(func(o *orOp) {
		for i := range o.rhs {
			o.rhs[i] = -1
		}
	})},
	{name: "dropped NaN", op: on(func(o *aggregateOp) { o.do = withoutNaN(o.do) })},
	{name: "group_left label lost", expr: func(e parser.Expr) {
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			if b, ok := n.(*parser.BinaryExpr); ok && b.VectorMatching != nil {
				b.VectorMatching.Include = nil
			}
			return nil
		})
	}},
	{name: "missed duplicate", op: on(func(o *mergeOp) { o.fault = nil })},
	{name: "missed duplicate at two steps", op: on(func(o *mergeOp) { o.strict = -1 })},
	{name: "missed second match", op: on(func(o *matchOp) { o.single, o.fault = false, nil })},
	{name: "missed many on both sides", op: func(o op) op {
		if x, ok := o.(*matchOp); ok {
			return oneJoint{x}
		}
		return o
	}},
	{name: "sides of group_right swapped", op: on(func(o *matchOp) { o.swapped = !o.swapped })},
	{name: "scalar on the wrong side", op: on(func(o *arithOp) { o.swapped = !o.swapped })},
	{name: "offset into the future", op: on(func(o *loadOp) { o.offset = -o.offset })},
	{name: "@ end() at the step", op: on(func(o *loadOp) { o.base = step })},
	{name: "topk takes the least", op: on(func(o *rankOp) { o.largest = !o.largest })},
	{name: "k rounded up", op: on(func(o *rankOp) { o.k.constant += 0.5 })},
	{name: "absent when present", op: func(o op) op {
		if a, ok := o.(*absentOp); ok {
			return &absentOp{in: span{}, out: a.out}
		}
		return o
	}},
	{name: "matchers on instance always match", identity: func(id string) string {
		b := []byte(id)
		for i := firstBit; i < len(b); i++ {
			b[i] = '1'
		}
		return string(b)
	}},
	{name: "absent site is a label", identity: func(id string) string { return "11" + id[firstBit:] }},
}

// TestTheOracleSeesMistakes puts one mistake after the other into programs: the oracle has to see each.
func TestTheOracleSeesMistakes(t *testing.T) {
	const most = 60_000
	gen, e := questions(0, 40), newEngine()
	drawn := make([]question, 0, most)
	for _, spoil := range mutants {
		t.Run(spoil.name, func(t *testing.T) {
			m := &Machine{}
			for i := range most {
				if i == len(drawn) {
					drawn = append(drawn, gen.Example(i))
				}
				if _, err := drawn[i].check(m, e, spoil); err != nil && !errors.Is(err, errTimer) {
					t.Logf("seen at expression %d, %s: %v", i, drawn[i].expr, err)
					return
				}
			}
			t.Errorf("%d expressions, and none showed the mistake", most)
		})
	}
}
