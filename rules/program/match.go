package program

import "github.com/prometheus/prometheus/promql/parser"

// pairsOp is a binary operator on two vectors where no lane can match more than one: arithmetic, or a comparison.
type pairsOp struct {
	op       parser.ItemType
	asBool   bool
	l, r     span
	out      span
	lhs, rhs []int32 // lanes, by lane of the result; nil where they are the same
}

func (o *pairsOp) run(m *Machine) error {
	l, r, out := m.reg(o.l), m.reg(o.r), m.reg(o.out)
	if o.lhs == nil && o.op == parser.DIV {
		for i, x := range l[:len(out)] {
			if out[i] = nothing; !absent(x) && !absent(r[i]) {
				out[i] = x / r[i]
			}
		}
		return nil
	}
	for i := range out {
		a, b := i, i
		if o.lhs != nil {
			a, b = int(o.lhs[i]), int(o.rhs[i])
		}
		out[i] = nothing
		if !absent(l[a]) && !absent(r[b]) {
			out[i] = operate(o.op, o.asBool, l[a], r[b])
		}
	}
	return nil
}

// operate is a binary operator on two samples that are there.
func operate(op parser.ItemType, asBool bool, l, r float64) float64 {
	v, keep := apply(op, l, r)
	switch {
	case asBool:
		return truth(keep)
	case !keep:
		return nothing
	}
	return v
}

func (o *pairsOp) size() int { return 112 + sizeOf(o.lhs) + sizeOf(o.rhs) }

// joint is the lanes of both sides that match each other.
type joint struct {
	many, one []int32
	// kind is what a lane of one gives to the labels of the result, by number; nil where that is the same for all.
	kind []int32
	// out is the lane of the result for each lane of many with each kind; a row of that many kinds for each of many.
	out   []int32
	kinds int
}

func (j *joint) lane(many, one int) int32 {
	if j.kind == nil {
		return j.out[many]
	}
	return j.out[many*j.kinds+int(j.kind[one])]
}

// matchOp is a binary operator on two vectors where more than one lane of a side can match one of the other: which do is
// seen when the program runs, and too many are an error.
type matchOp struct {
	op        parser.ItemType
	asBool    bool
	many, one span
	out       span
	// met is as long as out, for what was matched, whether it was kept or not.
	met    span
	joints []joint
	// swapped says that the side of many is the right one; single, that one lane of it may match.
	swapped, single bool
	fault           error
}

func (o *matchOp) run(m *Machine) error {
	out, met, many, one := m.reg(o.out), m.reg(o.met), m.reg(o.many), m.reg(o.one)
	for i := range out {
		out[i], met[i] = nothing, 0
	}
	if !some(many) || !some(one) {
		return nil
	}
	for i := range o.joints {
		if only(one, o.joints[i].one) == several {
			return o.fault
		}
	}
	for i := range o.joints {
		j := &o.joints[i]
		r := only(one, j.one)
		if r == none {
			continue
		}
		if !o.join(out, met, many, one, j, r) {
			return o.fault
		}
	}
	return nil
}

// join matches the lanes of a joint with the only one, the r-th, of the other side.
func (o *matchOp) join(out, met, many, one []float64, j *joint, r int) bool {
	matched := false
	for i, lane := range j.many {
		x := many[lane]
		if absent(x) {
			continue
		}
		to := j.lane(i, r)
		if met[to] != 0 || matched && o.single {
			return false
		}
		met[to], matched = 1, true
		a, b := x, one[j.one[r]]
		if o.swapped {
			a, b = b, a
		}
		out[to] = operate(o.op, o.asBool, a, b)
	}
	return true
}

const (
	none    = -1
	several = -2
)

// only is which of the lanes has a sample: none, several, or its place among them.
func only(v []float64, lanes []int32) int {
	found := none
	for i, lane := range lanes {
		if !absent(v[lane]) {
			if found != none {
				return several
			}
			found = i
		}
	}
	return found
}

// some tells whether a vector has a sample.
func some(v []float64) bool {
	for _, x := range v {
		if !absent(x) {
			return true
		}
	}
	return false
}

func (o *matchOp) size() int {
	n := 120 + sizeOf(o.joints)
	for _, j := range o.joints {
		n += sizeOf(j.many) + sizeOf(j.one) + sizeOf(j.kind) + sizeOf(j.out)
	}
	return n
}

// setOp is and and unless: it takes away samples of the left side by what is on the right. Lanes match by number.
type setOp struct {
	l, r   span
	lhs    []int32 // by lane of l; -1 where nothing of the right side matches
	rhs    []int32 // by lane of r
	there  span    // by number
	unless bool
}

func (o *setOp) run(m *Machine) error {
	l, there := m.reg(o.l), m.reg(o.there)
	clear(there)
	for i, x := range m.reg(o.r) {
		if !absent(x) {
			there[o.rhs[i]] = 1
		}
	}
	for i, n := range o.lhs {
		if (n >= 0 && there[n] != 0) == o.unless {
			l[i] = nothing
		}
	}
	return nil
}

func (o *setOp) size() int { return 88 + sizeOf(o.lhs) + sizeOf(o.rhs) }

// orOp is the left side, and of the right side what the left has nothing for.
type orOp struct {
	l, r, out span
	lhs, rhs  []int32 // numbers that match; -1 of the right side where nothing of the left matches
	there     span
}

func (o *orOp) run(m *Machine) error {
	l, there := m.reg(o.l), m.reg(o.there)
	out := m.reg(o.out)
	clear(there)
	for i, x := range l {
		if out[i] = x; !absent(x) {
			there[o.lhs[i]] = 1
		}
	}
	out = out[len(l):]
	for i, x := range m.reg(o.r) {
		if n := o.rhs[i]; n >= 0 && there[n] != 0 {
			x = nothing
		}
		out[i] = x
	}
	return nil
}

func (o *orOp) size() int { return 88 + sizeOf(o.lhs) + sizeOf(o.rhs) }
