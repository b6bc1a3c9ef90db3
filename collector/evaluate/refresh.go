package evaluate

import (
	"context"
	"maps"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/rules"
)

// shownLane is the present result behind an alert of which nothing but the value has changed since it was looked at in full.
type shownLane struct {
	rule   *rules.Rule
	id     string
	sample promql.Sample
	at     time.Time
}

// moving are those of one rule, if its annotations tell more than labels. The caller holds a.shown.
func (a *asset) moving(rule int) []shownLane {
	s, r := a.states[rule], a.book.rules[rule].Rule
	if len(s.quiet) == 0 || !r.Telling() || len(a.bound) == 0 || a.bound[rule].use == nil {
		return nil
	}
	at := time.UnixMilli(a.at).UTC()
	out := make([]shownLane, len(s.quiet))
	for i, q := range s.quiet {
		out[i] = shownLane{r, q.id, promql.Sample{
			Metric: a.who.Labels(a.bound[rule].use.prog.Labels(int(q.lane))), F: q.value, T: at.Add(-r.QueryOffset).UnixMilli(),
		}, at}
	}
	return out
}

// refresh brings the annotations of alerts up to date with their values. It is done for who looks, since no evaluation needs it.
func (e *Evaluator) refresh(standings map[string][]Standing, moved []shownLane) {
	byID := make(map[string]shownLane, len(moved))
	of := map[string]bool{}
	for _, m := range moved {
		byID[m.id], of[m.rule.Origin.ID] = m, true
	}
	for rule := range of {
		for i := range standings[rule] {
			al := &standings[rule][i].Alert
			if m, ok := byID[rules.AlertID(rule, al.Labels)]; ok {
				al.Annotations = m.rule.AnnotationsOf(context.Background(), e.input(m.rule, m.at, nil, nil), m.sample)
			}
		}
	}
}

// current are a rule's alerts with the values they had last, for they may end with the next evaluation. The caller has the
// asset's turn.
func (e *Evaluator) current(ctx context.Context, a *asset, rule int) rules.Active {
	s := a.states[rule]
	if len(s.quiet) == 0 {
		return s.active
	}
	out := maps.Clone(s.active)
	for _, q := range s.quiet {
		al := out[q.id]
		al.Value = rules.Value(q.value)
		out[q.id] = al
	}
	for _, m := range a.moving(rule) {
		al := out[m.id]
		al.Annotations = m.rule.AnnotationsOf(ctx, e.input(m.rule, m.at, nil, nil), m.sample)
		out[m.id] = al
	}
	return out
}
