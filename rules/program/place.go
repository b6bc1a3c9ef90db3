package program

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// scope is whose the samples of a vector are.
type scope int

const (
	// own: every sample is of the asset whose samples it was made of, and carries its instance.
	own scope = iota + 1
	// free: no series was read; it is the same for all assets.
	free
)

// maxSteps bounds the steps of a subquery.
const maxSteps = 1000

const computedDuration = "durations that are computed are experimental"

// covered tells why a program cannot be made of an expression, wherever its samples come from; nil when it can.
func (o Options) covered(expr parser.Expr) (t *Timer) {
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		e, ok := n.(parser.Expr)
		if t != nil || !ok {
			return nil
		}
		if why := o.uncovered(e, path); why != "" {
			t = &Timer{e, why}
		}
		return nil
	})
	return t
}

func (o Options) uncovered(e parser.Expr, path []parser.Node) string {
	switch n := e.(type) {
	case *parser.VectorSelector:
		return uncoveredSelector(n)
	case *parser.SubqueryExpr:
		return o.uncoveredSubquery(n, path)
	case *parser.MatrixSelector:
		if n.RangeExpr != nil {
			return computedDuration
		}
	case *parser.AggregateExpr:
		switch {
		case n.Op == parser.COUNT_VALUES:
			return "count_values makes labels of values"
		case !isAggregation(n.Op):
			return fmt.Sprintf("%s is not made at arrival", n.Op)
		}
	case *parser.BinaryExpr:
		if m := n.VectorMatching; m != nil && (m.FillValues.LHS != nil || m.FillValues.RHS != nil) {
			return "fill modifiers are experimental"
		}
		if !n.Op.IsSetOperator() && !isBinary(n.Op) {
			return fmt.Sprintf("operator %s works on native histograms", n.Op)
		}
	case *parser.Call:
		return uncoveredCall(n)
	}
	return ""
}

func uncoveredSelector(n *parser.VectorSelector) string {
	switch {
	case n.Anchored || n.Smoothed:
		return "anchored and smoothed are experimental"
	case n.OriginalOffsetExpr != nil:
		return computedDuration
	case n.Timestamp != nil && n.StartOrEnd == 0:
		return "@ with a fixed time looks back further every day"
	}
	for _, name := range []string{"ALERTS", "ALERTS_FOR_STATE"} {
		could := true
		for _, m := range n.LabelMatchers {
			could = could && (m.Name != model.MetricNameLabel || m.Matches(name))
		}
		if could {
			return "it can read " + name + ", which the timer writes"
		}
	}
	return ""
}

func (o Options) uncoveredSubquery(n *parser.SubqueryExpr, path []parser.Node) string {
	every := cmp.Or(n.Step, o.Step)
	switch {
	case n.RangeExpr != nil || n.StepExpr != nil || n.OriginalOffsetExpr != nil:
		return computedDuration
	case n.Timestamp != nil && n.StartOrEnd == 0:
		return "@ with a fixed time looks back further every day"
	case every <= 0:
		return "the step of a subquery without one is the timer's interval"
	case n.Range/every > maxSteps:
		return fmt.Sprintf("a subquery of %d steps; at arrival it may have %d: make the range shorter or the step longer", n.Range/every, maxSteps)
	case every%time.Millisecond != 0:
		return "the step of a subquery is finer than a millisecond"
	}
	for _, p := range path {
		if _, ok := p.(*parser.SubqueryExpr); ok {
			return "a subquery within a subquery"
		}
	}
	return ""
}

func uncoveredCall(n *parser.Call) string {
	name := n.Func.Name
	switch name {
	case "label_replace":
		return uncoveredLabels(n, 3, 4)
	case "label_join":
		return uncoveredLabels(n, 3, len(n.Args))
	case "timestamp":
		if sel := selectorOf(n.Args[0]); sel != nil && sel.StartOrEnd != 0 && sel.OriginalOffset != 0 {
			return "the engine forgets the offset of a selector with @ in timestamp()"
		}
		return ""
	case "histogram_quantile", "absent", "absent_over_time", "scalar", "vector", "time", "pi", "round", "clamp", "clamp_min",
		"clamp_max", "sort", "sort_desc":
		return ""
	}
	if mathFuncs[name] == nil && dateFuncs[name] == nil && rangeFuncs[name].do == nil {
		return fmt.Sprintf("function %s is not made at arrival", name)
	}
	return ""
}

// uncoveredLabels is why a call of label_replace or label_join, with source labels in the arguments [from, to), is not
// made: what it reads has to be the same for all assets.
func uncoveredLabels(n *parser.Call, from, to int) string {
	var text []string
	for i, a := range n.Args {
		s, ok := unwrap(a).(*parser.StringLiteral)
		if i > 0 && !ok {
			return fmt.Sprintf("%s with an argument that is no string", n.Func.Name)
		}
		if ok {
			text = append(text, s.Val)
		} else {
			text = append(text, "")
		}
	}
	if ownLabel(text[1]) {
		return fmt.Sprintf("%s writes %s, which says whose a sample is", n.Func.Name, text[1])
	}
	if !model.UTF8Validation.IsValidLabelName(text[1]) {
		return fmt.Sprintf("%s writes %q, which is no label", n.Func.Name, text[1])
	}
	for _, src := range text[from:to] {
		if ownLabel(src) {
			return fmt.Sprintf("%s reads %s, which is another for each asset", n.Func.Name, src)
		}
		if n.Func.Name == "label_join" && !model.UTF8Validation.IsValidLabelName(src) {
			return fmt.Sprintf("%s reads %q, which is no label", n.Func.Name, src)
		}
	}
	if n.Func.Name == "label_replace" {
		if _, err := regexp.Compile(anchored(text[4])); err != nil {
			return fmt.Sprintf("%s has no regular expression in %q", n.Func.Name, text[4])
		}
	}
	return ""
}

func anchored(expr string) string { return "^(?s:" + expr + ")$" }

// place tells whose the samples of an expression are, or what in it looks at more than one asset.
func place(expr parser.Expr) (scope, *Timer) {
	switch n := unwrap(expr).(type) {
	case *parser.VectorSelector:
		return own, nil
	case *parser.MatrixSelector:
		return own, nil
	case *parser.SubqueryExpr:
		return place(n.Expr)
	case *parser.UnaryExpr:
		return place(n.Expr)
	case *parser.AggregateExpr:
		return placeAggregate(n)
	case *parser.BinaryExpr:
		return placeBinary(n)
	case *parser.Call:
		return placeCall(n)
	}
	return free, nil
}

func placeAggregate(n *parser.AggregateExpr) (scope, *Timer) {
	if n.Param != nil {
		if _, t := place(n.Param); t != nil {
			return 0, t
		}
	}
	s, t := place(n.Expr)
	switch {
	case t != nil:
		return 0, t
	case s == own && n.Without && slices.Contains(n.Grouping, instanceLabel):
		return 0, &Timer{n, fmt.Sprintf("%s without (instance) looks at all assets", n.Op)}
	case s == own && !n.Without && !slices.Contains(n.Grouping, instanceLabel):
		return 0, &Timer{n, fmt.Sprintf("%s does not keep instance: want by (instance, …) or without (…)", n.Op)}
	}
	return s, nil
}

func placeCall(n *parser.Call) (scope, *Timer) {
	s := free
	for _, a := range n.Args {
		of, t := place(a)
		if t != nil {
			return 0, t
		}
		if of == own {
			s = own
		}
	}
	switch {
	case s == own && n.Func.Name == "scalar":
		return 0, &Timer{n, "scalar looks at all assets: want every selector of the rule to name one instance"}
	case s == own && isAbsent(n) && namedInstance(n.Args[0]) == "":
		return 0, &Timer{n, n.Func.Name + ` looks at all assets: want it of one selector with instance="…"`}
	}
	return s, nil
}

func placeBinary(n *parser.BinaryExpr) (scope, *Timer) {
	l, t := place(n.LHS)
	if t != nil {
		return 0, t
	}
	r, t := place(n.RHS)
	if t != nil {
		return 0, t
	}
	m := n.VectorMatching
	switch {
	case m == nil || n.LHS.Type() == parser.ValueTypeScalar || n.RHS.Type() == parser.ValueTypeScalar, l == free && r == free:
		if l == own || r == own {
			return own, nil
		}
		return free, nil
	case l != r:
		return placeMixed(n, l)
	case m.On && !slices.Contains(m.MatchingLabels, instanceLabel):
		return 0, &Timer{n, fmt.Sprintf("%s matches on labels without instance: assets could match each other", n.Op)}
	case !m.On && slices.Contains(m.MatchingLabels, instanceLabel):
		return 0, &Timer{n, fmt.Sprintf("%s ignores instance: assets could match each other", n.Op)}
	}
	return own, nil
}

// placeMixed is where an asset's samples meet some that are the same for all assets.
func placeMixed(n *parser.BinaryExpr, left scope) (scope, *Timer) {
	m := n.VectorMatching
	switch {
	case (n.Op == parser.LAND || n.Op == parser.LUNLESS) && left == own:
		return own, nil // they only decide which of the asset's samples stay
	case (left == own && m.Card == parser.CardManyToOne || left == free && m.Card == parser.CardOneToMany) &&
		!slices.Contains(m.Include, instanceLabel):
		return own, nil // the asset's are many, and what comes out has their labels
	}
	return 0, &Timer{n, fmt.Sprintf("%s joins samples of assets with some that are of none", n.Op)}
}
