// Package rules is the language in which faults are described: Prometheus' rule files, the states of their alerts, and
// their unit tests. It is pure: the caller evaluates expressions, brings the time and saves what Step decides.
package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

// Group is rules that are evaluated one after another at the same times.
type Group struct {
	// File is the name the group was loaded under. Name is unique over all files.
	File, Name string
	// Line is where the group begins in its file.
	Line int
	// Interval is 0 where the file gives none.
	Interval time.Duration
	// QueryOffset is how much earlier than the evaluation its expressions look, so that late samples are seen.
	QueryOffset time.Duration
	// Limit bounds the alerts or recorded series of each rule; 0 is no limit.
	Limit int
	// Labels are added to all rules of the group; Rule.Labels has them already.
	Labels labels.Labels
	Rules  []*Rule
}

// Rule is an alerting or a recording rule. It is not changed after loading.
type Rule struct {
	// Alert or Record is its name.
	Alert, Record string
	Expr          parser.Expr
	// Text is the expression as it is written in the file; Origin.Expr is as the parser prints it.
	Text               string
	For, KeepFiringFor time.Duration
	// Labels and Annotations of an alerting rule are templates.
	Labels, Annotations labels.Labels
	// Line is where the rule begins in its file.
	Line   int
	Origin Origin
	// QueryOffset and Limit are the group's.
	QueryOffset time.Duration
	Limit       int
	// Lookback is the longest of the selectors: how far back ranges, subqueries and offsets reach, through recorded
	// series too, from the time that the expression is evaluated at; 0 for instant selectors.
	Lookback time.Duration
	// Selectors are those of the expression and, after Load, of the recording rules it reads.
	Selectors []window.Selector

	// Arrival is the expression as it is evaluated when a report of its asset arrives; nil for a rule that is evaluated on
	// its group's timer: then Timer says why. Both are set by Load.
	Arrival *program.Expr
	Timer   *program.Timer

	// direct are the selectors of the expression itself.
	direct []window.Selector
	// written are the labels that the expression itself writes (label_replace, label_join, count_values, group_left):
	// those of an alert may differ from those of the series it is about.
	written map[string]bool
	// moving: its labels may change while a result keeps its own; see moves.
	moving bool
	// telling is that of its annotations.
	telling bool
	// missing is what SetMissing said.
	missing Missing
}

// Name is the alert's or the recorded series' name.
func (r *Rule) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

// Alerting tells an alerting rule from a recording rule.
func (r *Rule) Alerting() bool { return r.Alert != "" }

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
