package program

import (
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

var notANumber = math.NaN()

// isBinary tells whether apply knows the operator.
func isBinary(op parser.ItemType) bool {
	switch op {
	case parser.ADD, parser.SUB, parser.MUL, parser.DIV, parser.POW, parser.MOD, parser.ATAN2:
		return true
	}
	return op.IsComparisonOperator()
}

// changesSchema tells whether the result of the operator is something else than its left side, so that its name goes.
func changesSchema(op parser.ItemType) bool { return isBinary(op) && !op.IsComparisonOperator() }

// apply is a binary operator on two samples; keep is whether a comparison holds.
func apply(op parser.ItemType, l, r float64) (v float64, keep bool) {
	switch op {
	case parser.ADD:
		return l + r, true
	case parser.SUB:
		return l - r, true
	case parser.MUL:
		return l * r, true
	case parser.DIV:
		return l / r, true
	case parser.POW:
		return math.Pow(l, r), true
	case parser.MOD:
		return math.Mod(l, r), true
	case parser.ATAN2:
		return math.Atan2(l, r), true
	}
	return l, compare(op, l, r)
}

func compare(op parser.ItemType, l, r float64) bool {
	switch op {
	case parser.EQLC:
		return l == r
	case parser.NEQ:
		return l != r
	case parser.GTR:
		return l > r
	case parser.LSS:
		return l < r
	case parser.GTE:
		return l >= r
	}
	return l <= r
}

// mirrored is the comparison with its sides swapped.
func mirrored(op parser.ItemType) parser.ItemType {
	switch op {
	case parser.GTR:
		return parser.LSS
	case parser.LSS:
		return parser.GTR
	case parser.GTE:
		return parser.LTE
	case parser.LTE:
		return parser.GTE
	}
	return op
}

func truth(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}

// scalarBinop is an operator on two scalars.
func scalarBinop(op parser.ItemType, l, r float64) float64 {
	if op.IsComparisonOperator() {
		return truth(compare(op, l, r))
	}
	v, _ := apply(op, l, r)
	return v
}

// scalarsOp is an operator on two scalars that are known only when the program runs.
type scalarsOp struct {
	op   parser.ItemType
	l, r operand
	out  span
}

func (o *scalarsOp) run(m *Machine) error {
	m.mem[o.out.at] = scalarBinop(o.op, o.l.get(m), o.r.get(m))
	return nil
}

func (o *scalarsOp) size() int { return 64 }

// filterOp is a comparison of a vector with a scalar: it takes away the samples for which it does not hold. Where there
// is no sample a stale marker stands, for which only != holds, and that stays.
type filterOp struct {
	op parser.ItemType
	v  span
	s  operand
}

func (o *filterOp) run(m *Machine) error {
	v, s := m.reg(o.v), o.s.get(m)
	switch o.op {
	case parser.GTR:
		for i, x := range v {
			if !(x > s) {
				v[i] = nothing
			}
		}
	case parser.LSS:
		for i, x := range v {
			if !(x < s) {
				v[i] = nothing
			}
		}
	case parser.EQLC:
		for i, x := range v {
			if x != s {
				v[i] = nothing
			}
		}
	default:
		for i, x := range v {
			if !compare(o.op, x, s) {
				v[i] = nothing
			}
		}
	}
	return nil
}

func (o *filterOp) size() int { return 48 }

// boolOp is a comparison with bool.
type boolOp filterOp

func (o *boolOp) run(m *Machine) error {
	v, s := m.reg(o.v), o.s.get(m)
	for i, x := range v {
		if !absent(x) {
			v[i] = truth(compare(o.op, x, s))
		}
	}
	return nil
}

func (o *boolOp) size() int { return 48 }

// arithOp is arithmetic of a vector with a scalar. Swapped says that the scalar is on the left.
type arithOp struct {
	op      parser.ItemType
	v       span
	s       operand
	swapped bool
}

func (o *arithOp) run(m *Machine) error {
	v, s := m.reg(o.v), o.s.get(m)
	switch {
	case o.op == parser.MUL:
		for i, x := range v {
			if !absent(x) {
				v[i] = x * s
			}
		}
	case o.op == parser.DIV && !o.swapped:
		for i, x := range v {
			if !absent(x) {
				v[i] = x / s
			}
		}
	case o.op == parser.SUB && o.swapped:
		for i, x := range v {
			if !absent(x) {
				v[i] = s - x
			}
		}
	default:
		for i, x := range v {
			l, r := x, s
			if o.swapped {
				l, r = s, x
			}
			if !absent(x) {
				v[i], _ = apply(o.op, l, r)
			}
		}
	}
	return nil
}

func (o *arithOp) size() int { return 56 }

// mapOp is a function of each sample.
type mapOp struct {
	v  span
	do func(float64) float64
}

func (o *mapOp) run(m *Machine) error {
	v := m.reg(o.v)
	for i, x := range v {
		if !absent(x) {
			v[i] = sample(o.do(x))
		}
	}
	return nil
}

func (o *mapOp) size() int { return 16 }

// sample is a value that is no stale marker: what works on a number's bits can make one of another that is none.
func sample(v float64) float64 {
	if absent(v) {
		return notANumber
	}
	return v
}

// clampOp keeps samples between two bounds.
type clampOp struct {
	v      span
	lo, hi operand
}

func (o *clampOp) run(m *Machine) error {
	v, lo, hi := m.reg(o.v), o.lo.get(m), o.hi.get(m)
	none := hi < lo
	for i, x := range v {
		switch {
		case absent(x):
		case none:
			v[i] = nothing
		default:
			v[i] = math.Max(lo, math.Min(hi, x))
		}
	}
	return nil
}

func (o *clampOp) size() int { return 56 }

// roundOp rounds to the nearest multiple.
type roundOp struct {
	v  span
	to operand
}

func (o *roundOp) run(m *Machine) error {
	v, inverse := m.reg(o.v), 1/o.to.get(m)
	for i, x := range v {
		if !absent(x) {
			v[i] = math.Floor(x*inverse+0.5) / inverse
		}
	}
	return nil
}

func (o *roundOp) size() int { return 32 }

// nowOp gives every sample the time of the evaluation, in seconds: timestamp() of what is no selector.
type nowOp struct{ v span }

func (o *nowOp) run(m *Machine) error {
	v := m.reg(o.v)
	for i, x := range v {
		if !absent(x) {
			v[i] = float64(m.t) / 1000
		}
	}
	return nil
}

func (o *nowOp) size() int { return 8 }
