package program

// points are the samples of one series in a range, and what functions of a range want to know beside them. Times are
// milliseconds since the epoch.
type points struct {
	t []int64
	v []float64
	// start and end are the bounds of the range; now is the time of the evaluation.
	start, end, now int64
	// seconds is the length of the range, arg the scalar that the function takes.
	seconds, arg float64
	m            *Machine
}

// rangeFunc makes one sample of those in a range, of which there is at least one; ok is false when it makes none.
type rangeFunc func(p *points) (v float64, ok bool)

// rangeOp is a function of a range of every series.
type rangeOp struct {
	out span
	// series are by lane; more than one of a lane where more than one part knows the series.
	series []slot
	do     rangeFunc
	// back is the length of the range, in milliseconds: (end-back, end].
	back, offset int64
	base         base
	seconds      float64
	arg          operand
}

func (o *rangeOp) run(m *Machine) error {
	out := m.reg(o.out)
	p := &m.pts
	p.end, p.now, p.seconds, p.m = m.reference(o.base, o.offset), m.t, o.seconds, m
	p.start, p.arg = p.end-o.back, o.arg.get(m)
	lane := int32(-1)
	for i := range o.series {
		s := &o.series[i]
		if s.lane != lane {
			lane = s.lane
			out[lane] = nothing
		} else if !absent(out[lane]) {
			continue // another part had it
		}
		p.t, p.v = m.view.Range(m.at[s.part], int(s.slot), p.start, p.end, &m.buf)
		if len(p.t) > 0 {
			if v, ok := o.do(p); ok {
				out[lane] = sample(v)
			}
		}
	}
	return nil
}

func (o *rangeOp) size() int { return 120 + sizeOf(o.series) }

// stepped is what a subquery made: by lane, then by step.
type stepped struct {
	times  []int64
	values []float64
	t      []int64
	v      []float64
}

// subqueryOp runs operations at steps, and makes one sample of those of each lane.
type subqueryOp struct {
	ops     []op
	in, out span
	do      rangeFunc
	back    int64
	offset  int64
	every   int64
	base    base
	seconds float64
	arg     operand
	// sticky is what the operations keep from step to step.
	sticky int
}

func (o *subqueryOp) run(m *Machine) error {
	now := m.t
	end := m.reference(o.base, o.offset)
	first := o.every * ((end - o.back) / o.every)
	if first <= end-o.back {
		first += o.every
	}
	err := o.walk(m, first, end)
	m.t = now
	if err != nil {
		return err
	}
	p := &m.pts
	p.start, p.end, p.now, p.seconds, p.arg, p.m = end-o.back, end, now, o.seconds, o.arg.get(m), m
	s, out, n := &m.steps, m.reg(o.out), len(m.steps.times)
	for lane := range out {
		s.t, s.v = s.t[:0], s.v[:0]
		for i, v := range s.values[lane*n : (lane+1)*n] {
			if !absent(v) {
				s.t, s.v = append(s.t, s.times[i]), append(s.v, v)
			}
		}
		p.t, p.v = s.t, s.v
		out[lane] = nothing
		if len(p.t) > 0 {
			if v, ok := o.do(p); ok {
				out[lane] = sample(v)
			}
		}
	}
	return nil
}

// walk runs the operations at every step from first to end and keeps what they make.
func (o *subqueryOp) walk(m *Machine, first, end int64) error {
	s, lanes := &m.steps, int(o.in.n)
	s.times = s.times[:0]
	for t := first; t <= end; t += o.every {
		s.times = append(s.times, t)
	}
	n := len(s.times)
	if cap(s.values) < lanes*n {
		s.values = make([]float64, lanes*n)
	}
	s.values = s.values[:lanes*n]
	clear(m.sticky[:o.sticky])
	for i, t := range s.times {
		m.t = t
		for _, x := range o.ops {
			if err := x.run(m); err != nil {
				return err
			}
		}
		for lane, v := range m.reg(o.in) {
			s.values[lane*n+i] = v
		}
	}
	return nil
}

func (o *subqueryOp) size() int {
	n := 120
	for _, x := range o.ops {
		n += 16 + x.size()
	}
	return n
}
