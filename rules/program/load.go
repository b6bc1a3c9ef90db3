package program

import (
	"github.com/watchbill/watchbill/rules/window"
)

// slot is where the samples of a lane are: a part of the program and a series of it.
type slot struct{ part, slot, lane int32 }

// block is the lanes of a selector that are in the newest block of one part.
type block struct {
	part int32
	// need is how many values the block must have.
	need int32
	// slots are the series of the block, lanes those of the selector; lanes are nil where they are 0, 1, 2 …
	slots, lanes []int32
}

func (b *block) lane(i int) int32 {
	if b.lanes == nil {
		return int32(i)
	}
	return b.lanes[i]
}

// loadOp is a vector selector: the newest sample of every series, not older than the look-back and no stale marker.
type loadOp struct {
	out    span
	blocks []block
	// unset are lanes that are in no newest block; rest is where their samples can be, and those of lanes whose series
	// other parts know too: it is in one of them.
	unset    []int32
	rest     []slot
	offset   int64
	lookback int64
	base     base
	// times asks for the times of samples instead of their values, in seconds.
	times bool
}

const lookback = int64(window.StaleAfter / 1e6)

func (o *loadOp) run(m *Machine) error {
	out := m.reg(o.out)
	ref := m.reference(o.base, o.offset)
	for i := range o.blocks {
		b := &o.blocks[i]
		c := m.column(b.part)
		if !c.ok || c.t > ref || c.t <= ref-o.lookback || int32(len(c.values)) < b.need {
			for j, s := range b.slots {
				out[b.lane(j)] = o.last(m, b.part, s, ref)
			}
			continue
		}
		b.take(out, c, o.times)
	}
	if len(o.rest) > 0 {
		o.others(m, out, ref)
	}
	return nil
}

// take is what the selector reads of a block that is new enough: its values, or its time in seconds.
func (b *block) take(out []float64, c *column, times bool) {
	switch {
	case times:
		for j, s := range b.slots {
			lane := b.lane(j)
			if out[lane] = nothing; !absent(c.values[s]) {
				out[lane] = float64(c.t) / 1000
			}
		}
	case b.lanes == nil:
		out, values := out[:len(b.slots)], c.values
		for j, s := range b.slots {
			out[j] = values[s]
		}
	default:
		for j, s := range b.slots {
			out[b.lanes[j]] = c.values[s]
		}
	}
}

// others looks at series that are in no newest block, and at those that more than one part knows.
func (o *loadOp) others(m *Machine, out []float64, ref int64) {
	for _, lane := range o.unset {
		out[lane] = nothing
	}
	for _, s := range o.rest {
		if absent(out[s.lane]) {
			out[s.lane] = o.last(m, s.part, s.slot, ref)
		}
	}
}

func (o *loadOp) last(m *Machine, part, slot int32, ref int64) float64 {
	at, v, ok := m.view.Last(m.at[part], int(slot), ref)
	switch {
	case !ok || at <= ref-o.lookback:
		return nothing
	case o.times:
		return float64(at) / 1000
	}
	return v
}

func (o *loadOp) size() int {
	n := 120 + sizeOf(o.blocks) + sizeOf(o.rest) + sizeOf(o.unset)
	for _, b := range o.blocks {
		n += sizeOf(b.slots) + sizeOf(b.lanes)
	}
	return n
}

// clockOp is time().
type clockOp struct{ out span }

func (o *clockOp) run(m *Machine) error {
	m.mem[o.out.at] = float64(m.t) / 1000
	return nil
}

func (o *clockOp) size() int { return 8 }

// vectorOp makes a vector of a scalar.
type vectorOp struct {
	out span
	s   operand
}

func (o *vectorOp) run(m *Machine) error {
	m.mem[o.out.at] = o.s.get(m)
	return nil
}

func (o *vectorOp) size() int { return 32 }

// scalarOp is scalar(): the only sample of a vector.
type scalarOp struct{ in, out span }

func (o *scalarOp) run(m *Machine) error {
	found, v := 0, notANumber
	for _, x := range m.reg(o.in) {
		if !absent(x) {
			found, v = found+1, x
		}
	}
	if found != 1 {
		v = notANumber
	}
	m.mem[o.out.at] = v
	return nil
}

func (o *scalarOp) size() int { return 16 }

// absentOp is absent(), and absent_over_time() of a vector that says what was present.
type absentOp struct{ in, out span }

func (o *absentOp) run(m *Machine) error {
	out := m.reg(o.out)
	for _, x := range m.reg(o.in) {
		if !absent(x) {
			out[0] = nothing
			return nil
		}
	}
	out[0] = 1
	return nil
}

func (o *absentOp) size() int { return 16 }

// mergeOp gives lanes other labels: those that have the same labels then become one, and must not both have a sample.
type mergeOp struct {
	in, out span
	to      []int32
	fault   error
	// strict is where it notes, over the steps of a subquery, which lane came to which: the engine wants it to be the
	// same one at all steps. -1 outside of subqueries.
	strict int32
}

func (o *mergeOp) run(m *Machine) error {
	in, out := m.reg(o.in), m.reg(o.out)
	for i := range out {
		out[i] = nothing
	}
	for i, x := range in {
		if absent(x) {
			continue
		}
		to := o.to[i]
		if !absent(out[to]) {
			return o.fault
		}
		if o.strict >= 0 {
			was := &m.sticky[o.strict+to]
			if *was != 0 && *was != int32(i)+1 {
				return o.fault
			}
			*was = int32(i) + 1
		}
		out[to] = x
	}
	return nil
}

func (o *mergeOp) size() int { return 64 + sizeOf(o.to) }
