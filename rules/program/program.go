package program

import (
	"errors"
	"math"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/rules/window"
)

// The errors of Run, as the engine has them. What is wrapped around them names the sub-expression.
var (
	// ErrDuplicate: two samples of a result have the same labels.
	ErrDuplicate = errors.New("vector cannot contain metrics with the same labelset")
	// ErrMatching: more than one sample where one was expected.
	ErrMatching = errors.New("many-to-many matching not allowed: matching labels must be unique on one side")
	// ErrParameter: the parameter of an aggregation is no number that it can take.
	ErrParameter = errors.New("parameter out of range")
)

// errParts is a mistake of the caller.
var errParts = errors.New("run a program: want one index for each part that it was compiled for")

// Program is an expression compiled for the series of an asset. It is never changed, and may be run by any number of
// machines at once.
type Program struct {
	ops    []op
	size   int // of the memory that a machine needs, in numbers
	sticky int // of the memory that a subquery needs from step to step
	parts  int
	result span
	labels []labels.Labels
	bytes  int64
}

// Lanes is how many samples a result can have.
func (p *Program) Lanes() int { return len(p.labels) }

// Labels are those of the samples of one lane, with placeholders where the asset's own stand; window.Asset.Labels puts
// these in. No two lanes have the same.
func (p *Program) Labels(lane int) labels.Labels { return p.labels[lane] }

// Bytes is about what the program takes in memory, its labels included.
func (p *Program) Bytes() int64 { return p.bytes }

// Sample is one sample of a result.
type Sample struct {
	Lane int32
	V    float64
}

// span is where a vector, one number for each of its lanes, lies in a machine's memory. A stale marker stands where a
// lane has no sample: arithmetic does not make one, and samples are none.
type span struct{ at, n int32 }

// absentBits stand where there is no sample.
const absentBits = value.StaleNaN

var nothing = math.Float64frombits(absentBits)

func absent(v float64) bool { return math.Float64bits(v) == absentBits }

// operand is a scalar: a constant, or the number at a place in a machine's memory.
type operand struct {
	at       int32
	constant float64
	known    bool
}

func constant(v float64) operand { return operand{constant: v, known: true} }

func (o operand) get(m *Machine) float64 {
	if o.known {
		return o.constant
	}
	return m.mem[o.at]
}

// op is one step of a program: it reads and writes a machine's memory.
type op interface {
	run(m *Machine) error
	// size is about how many bytes it takes.
	size() int
}

// base is the time that a selector looks back from.
type base uint8

const (
	// step is the time of the evaluation, or of the subquery's step.
	step base = iota
	// top is the time of the evaluation, from within a subquery too: @ start() and @ end().
	top
)

// Machine is the memory in which one worker runs programs, one after another; it grows to what the largest needs and is
// then used again. The zero Machine is ready. It must not be used by two goroutines at once.
type Machine struct {
	view      window.View
	at        []int
	t, top    int64 // times of this step and of the evaluation
	mem       []float64
	sticky    []int32
	cols      []column
	buf       window.Buffer
	pts       points
	sorted    []float64
	ranks     []ranked
	buckets   promql.Buckets
	steps     stepped
	abscissae abscissae
	out       []Sample
}

// column is the newest block of a part, once somebody asked for it.
type column struct {
	asked, ok bool
	t         int64
	values    []float64
}

// Run gives the result at t, in milliseconds since the epoch. At are the places in v.Parts() of the parts that the
// program was compiled for, in that order. The result is good until the next Run. An error is one of those above,
// wrapped: nothing is known of this evaluation then.
func (m *Machine) Run(p *Program, v window.View, at []int, t int64) ([]Sample, error) {
	if len(at) != p.parts {
		return nil, errParts
	}
	m.begin(p)
	m.view, m.at, m.t, m.top = v, at, t, t
	defer m.end()
	for _, o := range p.ops {
		if err := o.run(m); err != nil {
			return nil, err
		}
	}
	return m.collect(p), nil
}

// collect is the samples of the result.
func (m *Machine) collect(p *Program) []Sample {
	m.out = m.out[:0]
	for i, x := range m.reg(p.result) {
		if !absent(x) {
			m.out = append(m.out, Sample{int32(i), x})
		}
	}
	return m.out
}

func (m *Machine) begin(p *Program) {
	if len(m.mem) < p.size {
		m.mem = make([]float64, p.size)
	}
	if len(m.sticky) < p.sticky {
		m.sticky = make([]int32, p.sticky)
	}
	if len(m.cols) < p.parts {
		m.cols = make([]column, p.parts)
	}
	clear(m.cols[:p.parts])
}

// end lets go of the view: it means nothing any more.
func (m *Machine) end() {
	m.view, m.at = window.View{}, nil
	clear(m.cols)
}

func (m *Machine) reg(s span) []float64 { return m.mem[s.at : s.at+s.n : s.at+s.n] }

// column is the newest block of a part of the program.
func (m *Machine) column(part int32) *column {
	c := &m.cols[part]
	if !c.asked {
		c.asked = true
		c.t, c.values, c.ok = m.view.Column(m.at[part])
	}
	return c
}

// reference is the time that a selector looks at.
func (m *Machine) reference(b base, offset int64) int64 {
	if b == top {
		return m.top - offset
	}
	return m.t - offset
}

func sizeOf[T any](s []T) int {
	var x T
	return cap(s) * int(unsafe.Sizeof(x))
}
