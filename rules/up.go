package rules

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// upSeries is what the house itself says of an asset: 1 with every report, 0 while it is silent.
const upSeries = "up"

// AboutUp tells whether the result of an expression is about assets being up: every selector that its result is made of
// reads the series `up`. What stands behind `and` and `unless` only chooses among results and does not count, so
// `up == 0 unless on (instance) maintenance` is about up and `node_load1 > 5 and on (instance) up == 1` is not. An
// expression that cannot be parsed is about something else.
func AboutUp(expr string) bool {
	if !strings.Contains(expr, upSeries) { // nearly all are, and parsing costs a thousand times as much
		return false
	}
	parsed, err := NewParser().ParseExpr(expr)
	return err == nil && readsOnlyUp(parsed)
}

func readsOnlyUp(expr parser.Expr) bool {
	found, only := false, true
	parser.Inspect(expr, func(n parser.Node, path []parser.Node) error {
		if sel, ok := n.(*parser.VectorSelector); ok && !chooses(n, path) {
			found, only = true, only && selectsUp(sel)
		}
		return nil
	})
	return found && only
}

// chooses tells whether n, found under path, stands behind a set operator that keeps nothing of it.
func chooses(n parser.Node, path []parser.Node) bool {
	for i, p := range path {
		below := n
		if i+1 < len(path) {
			below = path[i+1]
		}
		if b, ok := p.(*parser.BinaryExpr); ok && (b.Op == parser.LAND || b.Op == parser.LUNLESS) && b.RHS == below {
			return true
		}
	}
	return false
}

func selectsUp(s *parser.VectorSelector) bool {
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value == upSeries
		}
	}
	return false
}
