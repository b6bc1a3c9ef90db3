package rules

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
)

// Recorded makes the samples of a recording rule from its expression's result: the rule's name and labels over those of
// the result. Source: https://github.com/prometheus/prometheus/blob/v3.15.0/rules/recording.go
func (r *Rule) Recorded(result promql.Vector) (promql.Vector, error) {
	if r.Limit > 0 && len(result) > r.Limit {
		return nil, fmt.Errorf("%w: %d series, limit %d", ErrLimit, len(result), r.Limit)
	}
	out := make(promql.Vector, 0, len(result))
	for _, s := range result {
		lb := labels.NewBuilder(s.Metric).Set(model.MetricNameLabel, r.Record)
		r.Labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
		s.Metric = lb.Labels()
		out = append(out, s)
	}
	if out.ContainsSameLabelset() {
		return nil, ErrDuplicateLabels
	}
	return out, nil
}

// The series that Prometheus keeps of pending and firing alerts.
const (
	alertsSeries         = "ALERTS"
	alertsForStateSeries = "ALERTS_FOR_STATE"
)

// Samples makes the series ALERTS and ALERTS_FOR_STATE that Prometheus keeps of pending and firing alerts.
func (r *Rule) Samples(active Active, at time.Time) promql.Vector {
	out := make(promql.Vector, 0, 2*len(active))
	t := timestamp.FromTime(at.Add(-r.QueryOffset))
	for _, a := range active {
		lb := labels.NewBuilder(a.Labels).Set(labels.AlertName, r.Alert).Set(model.MetricNameLabel, alertsForStateSeries)
		out = append(out, promql.Sample{Metric: lb.Labels(), T: t, F: float64(a.ActiveAt.Unix())})
		lb.Set(model.MetricNameLabel, alertsSeries).Set("alertstate", string(a.State))
		out = append(out, promql.Sample{Metric: lb.Labels(), T: t, F: 1})
	}
	return out
}

// Written remembers the series that a rule wrote last, to end those that it does not write any more.
type Written map[string]labels.Labels

// Next is what is written now. It returns the stale markers, at that time, of the series that vanished since.
func (w Written) Next(now promql.Vector, at time.Time) (next Written, ended promql.Vector) {
	next = make(Written, len(now))
	for _, s := range now {
		next[string(s.Metric.Bytes(nil))] = s.Metric
	}
	for key, lbls := range w {
		if _, ok := next[key]; !ok {
			stale := math.Float64frombits(value.StaleNaN)
			ended = append(ended, promql.Sample{Metric: lbls, T: timestamp.FromTime(at), F: stale})
		}
	}
	return next, ended
}
