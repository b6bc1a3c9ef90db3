package rules

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

// reach is what an expression reads.
type reach struct {
	selectors []window.Selector
	written   map[string]bool
	// fixed are selectors and subqueries with a fixed time behind @: they look back further every day, while the window
	// keeps only what rules look back to.
	fixed []parser.Expr
}

func analyse(expr parser.Expr) reach {
	out := reach{written: map[string]bool{}}
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if n.Timestamp != nil {
				out.fixed = append(out.fixed, n)
			}
			out.selectors = append(out.selectors, window.Selector{
				Matchers: n.LabelMatchers, Absence: absence(n, path), Lookback: max(0, n.OriginalOffset+program.Enclosing(path)),
			})
		case *parser.SubqueryExpr:
			if n.Timestamp != nil {
				out.fixed = append(out.fixed, n)
			}
		case *parser.Call:
			if (n.Func.Name == "label_replace" || n.Func.Name == "label_join") && len(n.Args) > 1 {
				if dst, ok := n.Args[1].(*parser.StringLiteral); ok {
					out.written[dst.Val] = true
				}
			}
		case *parser.AggregateExpr:
			if p, ok := n.Param.(*parser.StringLiteral); ok && n.Op == parser.COUNT_VALUES {
				out.written[p.Val] = true
			}
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				for _, l := range n.VectorMatching.Include {
					out.written[l] = true
				}
			}
		}
		return nil
	})
	return out
}

// absence tells whether the expression wants the selector's series not to be.
func absence(sel parser.Node, path []parser.Node) bool {
	for i, p := range path {
		below := sel
		if i+1 < len(path) {
			below = path[i+1]
		}
		switch p := p.(type) {
		case *parser.Call:
			if p.Func.Name == "absent" || p.Func.Name == "absent_over_time" {
				return true
			}
		case *parser.BinaryExpr:
			if p.Op == parser.LUNLESS && p.RHS == below {
				return true
			}
		}
	}
	return false
}

// writes tells whether matchers can match a series that the rule writes: its recorded one, or its ALERTS.
func (r *Rule) writes(ms []*labels.Matcher) bool {
	match := func(name string) bool {
		for _, m := range ms {
			if m.Name == model.MetricNameLabel && !m.Matches(name) || m.Name == labels.AlertName && r.Alerting() && !m.Matches(r.Alert) {
				return false
			}
		}
		return true
	}
	if r.Alerting() {
		return match(alertsSeries) || match(alertsForStateSeries)
	}
	return match(r.Record)
}
