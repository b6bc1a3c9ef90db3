// Package program turns rules about one asset into small programs that run when the asset's samples arrive. All that has
// to do with labels (which series a selector reads, what matches what, which groups there are, what results are called)
// is decided once, when an expression is compiled for the series of an asset, and shared by all assets with the same
// series; running a program walks numbers. What a program gives is what Prometheus' engine gives at the same time.
package program

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/window"
)

// Timer says why an expression is not for arrival, but for its group's timer.
type Timer struct {
	// Expr is the part of the expression that decided.
	Expr parser.Expr
	// Why is one line for a person.
	Why string
}

// Expr is an expression that can be judged on one asset's samples alone, at arrival. It is never changed.
type Expr struct {
	expr      parser.Expr
	selectors []*selector
	// pinned is the instance that every selector names, if they do.
	pinned    string
	instances []string
	timed     bool
	step      time.Duration
	maxRange  time.Duration
	longest   time.Duration
}

// Options are what expressions mean beside what is written in them.
type Options struct {
	// Step is that of subqueries that have none, in whole milliseconds; where it is 0 these go to the timer.
	Step time.Duration
}

// Prepare is Options.Prepare with the defaults.
func Prepare(expr parser.Expr) (*Expr, *Timer) { return Options{}.Prepare(expr) }

// Prepare looks at an expression as a rule's. It gives the expression when every sample of its result is about one asset
// and made of that asset's samples alone, and all it uses is covered; otherwise why not. The expression is kept and must
// not be changed.
func (o Options) Prepare(expr parser.Expr) (*Expr, *Timer) {
	x := &Expr{expr: expr, step: o.Step}
	if of := expr.Type(); of != parser.ValueTypeVector && of != parser.ValueTypeScalar {
		return nil, &Timer{expr, fmt.Sprintf("it gives a %s, want an instant vector or a scalar", parser.DocumentedType(of))}
	}
	if t := o.covered(expr); t != nil {
		return nil, t
	}
	x.collect()
	x.pinned = x.pin()
	if x.pinned != "" {
		x.instances = []string{x.pinned}
		return x, nil
	}
	s, t := place(expr)
	if t != nil {
		return nil, t
	}
	if s != own {
		return nil, &Timer{expr, "it reads no series of an asset"}
	}
	return x, nil
}

// collect notes the selectors and what the expression depends on beside samples.
func (x *Expr) collect() {
	parser.Inspect(x.expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			x.addSelector(n)
			x.timed = x.timed || n.OriginalOffset != 0
			x.maxRange = max(x.maxRange, n.OriginalOffset+Enclosing(path))
		case *parser.MatrixSelector:
			x.longest = max(x.longest, n.Range)
		case *parser.SubqueryExpr:
			x.timed, x.longest = x.timed || n.OriginalOffset != 0, max(x.longest, n.Range)
		case *parser.Call:
			x.timed = x.timed || clocked(n)
			if isAbsent(n) {
				if name := namedInstance(n.Args[0]); name != "" && !slices.Contains(x.instances, name) {
					x.instances = append(x.instances, name)
				}
			}
		}
		return nil
	})
}

// Enclosing is how far the ranges around a selector reach back from the evaluation; path are the nodes around it.
func Enclosing(path []parser.Node) (d time.Duration) {
	for _, p := range path {
		switch p := p.(type) {
		case *parser.MatrixSelector:
			d += p.Range
		case *parser.SubqueryExpr:
			d += p.Range + p.OriginalOffset
		}
	}
	return d
}

// clocked tells whether what a function gives depends on when it is asked.
func clocked(n *parser.Call) bool {
	switch n.Func.Name {
	case "time", "timestamp", "predict_linear", "absent", "absent_over_time":
		return true
	}
	return dateFuncs[n.Func.Name] != nil && len(n.Args) == 0
}

func isAbsent(n *parser.Call) bool {
	return n.Func.Name == "absent" || n.Func.Name == "absent_over_time"
}

// Timed tells whether the result can change while no samples come, beside what leaves a range or the look-back: it reads
// the clock, the times of samples or how long ago something was, or waits for what does not come.
func (x *Expr) Timed() bool { return x.timed }

// MaxRange is how far back ranges, offsets and subqueries reach together, without the look-back; 0 for instant selectors.
func (x *Expr) MaxRange() time.Duration { return max(0, x.maxRange) }

// LongestRange is the longest of the ranges and subqueries; 0 when there is none.
func (x *Expr) LongestRange() time.Duration { return x.longest }

// Instances are the assets that the expression names and speaks of even when they have no series: those of
// absent(x{instance="web1"}), or the one that every selector names. Nil: it names none.
func (x *Expr) Instances() []string { return slices.Clone(x.instances) }

// Selectors are the matchers of all selectors, in the order of the expression; nobody may change them.
func (x *Expr) Selectors() [][]*labels.Matcher {
	out := make([][]*labels.Matcher, 0, len(x.selectors))
	for _, s := range x.selectors {
		out = append(out, s.matchers)
	}
	return out
}

// Reads tells whether a selector matches a series of the part of this asset.
func (x *Expr) Reads(p *window.Part, a window.Asset) bool {
	id := x.Identity(a)
	for _, s := range x.selectors {
		if slices.ContainsFunc(p.Series, func(l labels.Labels) bool { return s.matches(bare(l, id), id) }) {
			return true
		}
	}
	return false
}
