package rules

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

const instanceLabel = "instance"

// Local are the rules of groups that speak about one asset at a time and can so be judged on that asset's samples alone:
// every aggregation and match keeps `instance`, and what they read of other rules is local too. Groups keep their order,
// empty ones are left out; the rules are the same objects.
func Local(groups []Group) []Group {
	spread := map[*Rule]bool{} // rules that look at more than one asset
	for changed := true; changed; {
		changed = false
		for _, g := range groups {
			for _, r := range g.Rules {
				if !spread[r] && (!keepsInstance(r.Expr) || readsSpread(r, groups, spread)) {
					spread[r], changed = true, true
				}
			}
		}
	}
	var out []Group
	for _, g := range groups {
		g.Rules = slices.DeleteFunc(slices.Clone(g.Rules), func(r *Rule) bool { return spread[r] })
		if len(g.Rules) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// readsSpread tells whether r reads a series that a rule of spread writes.
func readsSpread(r *Rule, groups []Group, spread map[*Rule]bool) bool {
	for _, g := range groups {
		for _, other := range g.Rules {
			if spread[other] && slices.ContainsFunc(r.Selectors, other.writes) {
				return true
			}
		}
	}
	return false
}

// keepsInstance tells whether every sample an expression gives is about the one asset whose samples it was made of.
func keepsInstance(expr parser.Expr) bool {
	local := true
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			local = local && slices.Contains(n.Grouping, instanceLabel) != n.Without
			if p, ok := n.Param.(*parser.StringLiteral); ok && n.Op == parser.COUNT_VALUES {
				local = local && p.Val != instanceLabel
			}
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil {
				local = local && slices.Contains(m.MatchingLabels, instanceLabel) == m.On
			}
		case *parser.Call:
			local = local && callKeepsInstance(n)
		}
		return nil
	})
	return local
}

func callKeepsInstance(n *parser.Call) bool {
	switch n.Func.Name {
	case "scalar":
		return false
	case "absent", "absent_over_time":
		return namesInstance(n.Args[0])
	case "label_replace", "label_join":
		dst, ok := n.Args[1].(*parser.StringLiteral)
		return ok && dst.Val != instanceLabel
	}
	return true
}

// namesInstance tells whether a selector is of one instance.
func namesInstance(expr parser.Expr) bool {
	named := false
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if sel, ok := n.(*parser.VectorSelector); ok {
			named = slices.ContainsFunc(sel.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Name == instanceLabel && m.Type == labels.MatchEqual && m.Value != ""
			})
		}
		return nil
	})
	return named
}

// Below tells whether the rule fires on values that are too low rather than too high: whether its outermost comparison
// is < or <=. It is what makes one value of an alert worse than another.
func (r *Rule) Below() bool {
	e := r.Expr
	for {
		switch x := e.(type) {
		case *parser.ParenExpr:
			e = x.Expr
		case *parser.StepInvariantExpr:
			e = x.Expr
		case *parser.BinaryExpr:
			if x.Op.IsComparisonOperator() {
				return x.Op == parser.LSS || x.Op == parser.LTE
			}
			e = x.LHS // and, or, unless give the values of their left side; so does arithmetic with a threshold inside
		default:
			return false
		}
	}
}
