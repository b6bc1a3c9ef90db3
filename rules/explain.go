package rules

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/rules/window"
)

// MaxRangeSamples is how many samples the longest range of a rule may hold for it to be evaluated at every arrival. What a
// longer one gives moves so little from one report to the next that it is evaluated once in a 200th of the range.
const MaxRangeSamples = 200

// Spacing is the least time between two evaluations of the rule for an asset whose samples are closer than that: 0 for a
// rule that looks at newest samples only, or is on a timer. What a rule records is written often enough to be found by who
// looks back five minutes.
func (r *Rule) Spacing() time.Duration {
	if r.Arrival == nil {
		return 0
	}
	every := r.Arrival.LongestRange() / MaxRangeSamples
	if !r.Alerting() {
		every = min(every, window.StaleAfter/2)
	}
	return every
}

// Explanation says where a rule is evaluated, and why.
type Explanation struct {
	File        string
	Line        int
	Group, Rule string
	// Arrival is true for a rule that is evaluated when a report of its asset arrives, false for one on its group's timer.
	Arrival bool
	// Expr is the part of the expression that decided for the timer, and Why one line about it; for a rule at arrival Why
	// says how often at most, where that is not at every arrival, and Expr is empty.
	Expr, Why string
}

// Explain says of every rule where it is evaluated, in the order of the groups; interval is how often assets report.
func Explain(groups []Group, interval time.Duration) []Explanation {
	var out []Explanation
	for _, g := range groups {
		for _, r := range g.Rules {
			x := Explanation{File: g.File, Line: r.Line, Group: g.Name, Rule: r.Name(), Arrival: r.Arrival != nil}
			switch every := r.Spacing(); {
			case r.Timer != nil:
				x.Expr, x.Why = r.Timer.Expr.String(), r.Timer.Why
			case every > interval && every > g.Interval:
				x.Why = fmt.Sprintf("at most every %s: reporting every %s its range of %s holds more than %d samples",
					model.Duration(every), model.Duration(interval), model.Duration(r.Arrival.LongestRange()), MaxRangeSamples)
			case g.Interval > 0:
				x.Why = fmt.Sprintf("the first arrival at or after each multiple of %s", model.Duration(g.Interval))
			}
			out = append(out, x)
		}
	}
	return out
}
