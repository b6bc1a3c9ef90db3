package rules

import (
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// MaxSubquerySteps is how many steps the subqueries of a rule may have, and of queries by default. See CheckSubqueries.
const MaxSubquerySteps = 5_000_000

// usualStep is the collector's own evaluation.interval, the step of subqueries that name none. Where another one is configured,
// who evaluates looks again.
const usualStep = 5 * time.Second

// LongSubqueryError is a subquery of more steps than there may be.
type LongSubqueryError struct {
	At    *parser.SubqueryExpr
	Steps float64
	Most  int
}

func (e *LongSubqueryError) Error() string {
	return fmt.Sprintf("subquery %s has %.3g steps, with those that it stands in, and may have %d: want a shorter range or a longer step",
		e.At, e.Steps, e.Most)
}

// CheckSubqueries refuses, with a *LongSubqueryError, an expression whose subqueries have more than most steps together with
// those that they stand in. Prometheus' engine (v0.315.0, util/stats.InitStepTracking) takes 16 bytes for each before it
// reads a sample, which its own bound of samples does not see: up[10y:1ms] is 5 TB. The expression is
// evaluated from start to end, which are the same where that is once; every is the step of subqueries that name none.
func CheckSubqueries(e parser.Expr, start, end time.Time, every time.Duration, most int) error {
	span := (float64(end.UnixMilli()) - float64(start.UnixMilli())) * float64(time.Millisecond) // may be more than a Duration
	var long error
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		sub, ok := n.(*parser.SubqueryExpr)
		if !ok {
			return nil
		}
		covers, steps := span, 0.0
		for _, p := range append(path[:len(path):len(path)], sub) {
			if q, ok := p.(*parser.SubqueryExpr); ok {
				if q.Timestamp != nil || q.StartOrEnd != 0 {
					covers = 0 // a time of its own: it is asked once
				}
				step := q.Step
				if step <= 0 {
					step = every
				}
				covers += float64(q.Range)
				steps += covers / float64(max(step, time.Millisecond))
			}
		}
		if steps > float64(most) {
			long = &LongSubqueryError{At: sub, Steps: steps, Most: most}
		}
		return long
	})
	return long
}
