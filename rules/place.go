package rules

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules/program"
	"github.com/watchbill/watchbill/rules/window"
)

const instanceLabel = "instance"

// place decides for each rule where it is evaluated: at arrival when it speaks about one asset at a time and reads nothing
// that is made on a timer, otherwise on its group's timer. Rule.Timer says which sub-expression decided that.
func (o LoadOptions) place(groups []Group) {
	var all []*Rule
	for _, g := range groups {
		all = append(all, g.Rules...)
	}
	for _, r := range all {
		r.Arrival, r.Timer = program.Options{Step: o.Interval}.Prepare(r.Expr)
		if r.Labels.Has(instanceLabel) {
			r.sendToTimer(r.Expr, "the rule's labels set instance, so that its results are not about the asset whose samples they were made of")
		}
	}
	for changed := true; changed; {
		changed = false
		for _, r := range all {
			if sel, other := r.readsTimer(all); r.Arrival != nil && other != nil {
				r.sendToTimer(sel, fmt.Sprintf("it reads what %s makes, which is evaluated on a timer", other.Name()))
				changed = true
			}
		}
	}
}

func (r *Rule) sendToTimer(decided parser.Expr, why string) {
	if r.Arrival != nil {
		r.Arrival, r.Timer = nil, &program.Timer{Expr: decided, Why: why}
	}
}

// readsTimer finds a selector of r and the rule on a timer whose series it reads. ALERTS are made on a timer.
func (r *Rule) readsTimer(all []*Rule) (sel parser.Expr, other *Rule) {
	parser.Inspect(r.Expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok || other != nil {
			return nil
		}
		for _, o := range all {
			if (o.Arrival == nil || o.Alerting()) && o.writes(v.LabelMatchers) {
				sel, other = v, o
				return nil
			}
		}
		return nil
	})
	return sel, other
}

// Local are the rules of groups that are evaluated at arrival, and so can be judged on one asset's samples alone. Groups
// keep their order, empty ones are left out; the rules are the same objects.
func Local(groups []Group) []Group {
	return filter(groups, func(r *Rule) bool { return r.Arrival != nil })
}

// Spread are the rules of groups that are evaluated on their group's timer; as Local.
func Spread(groups []Group) []Group {
	return filter(groups, func(r *Rule) bool { return r.Arrival == nil })
}

func filter(groups []Group, want func(*Rule) bool) (out []Group) {
	for _, g := range groups {
		var kept []*Rule
		for _, r := range g.Rules {
			if want(r) {
				kept = append(kept, r)
			}
		}
		if g.Rules = kept; len(kept) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// ReadsAlerts tells whether some rule reads the series ALERTS or ALERTS_FOR_STATE.
func ReadsAlerts(groups []Group) bool {
	for _, g := range groups {
		for _, r := range g.Rules {
			for _, other := range groups {
				for _, o := range other.Rules {
					if o.Alerting() && r.reads(o) {
						return true
					}
				}
			}
		}
	}
	return false
}

func (r *Rule) reads(o *Rule) bool {
	return slices.ContainsFunc(r.Selectors, func(s window.Selector) bool { return o.writes(s.Matchers) })
}
