package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"github.com/watchbill/watchbill/rules/window"
)

// ErrDuplicateLabels: the expression gave two results that would be the same alert or series.
var ErrDuplicateLabels = errors.New("two results have the same labels once the rule's own are set")

// ErrLimit: the rule gave more alerts or series than its group allows.
var ErrLimit = errors.New("more results than the group's limit")

// Active are the pending and firing alerts of one rule, by AlertID. It is never changed in place.
type Active map[string]Alert

// Input is what Step judges by, all of it as of one time.
type Input struct {
	// At is the time of the evaluation.
	At time.Time
	// Result is the expression's, evaluated at At less the group's query offset.
	Result promql.Vector
	// Query answers the `query` function of templates; nil makes such templates fail.
	Query template.QueryFunc
	// Look tells what is known about the series that an alert is about; nil knows that all is well.
	Look func(Sought) window.Standing
	// AssetOf finds the asset of an instance: its customer and site are put back on alerts that lost them.
	AssetOf func(instance string) (window.Asset, bool)
	// ExternalLabels and ExternalURL are what templates call by these names.
	ExternalLabels map[string]string
	ExternalURL    *url.URL
}

// Sought is an alert whose series are asked for.
type Sought struct {
	// ID is the alert's AlertID; there may be no such alert yet.
	ID string
	// Labels are the alert's without those that the rule and its expression write: what is left is the series'.
	Labels labels.Labels
	// Holds is true when the expression has a result for the alert.
	Holds bool
}

// Step advances a rule's alerts to in.At, exactly as Prometheus' AlertingRule.Eval does, but for what README.md lists:
// alerts whose series are unknown are left as they are. It returns the alerts after it and what changed, ordered by
// alert; active itself is not changed. On an error nothing has happened.
// Source: https://github.com/prometheus/prometheus/blob/v3.15.0/rules/alerting.go
func (r *Rule) Step(ctx context.Context, active Active, in Input) (Active, []Transition, error) {
	found, err := r.found(ctx, in)
	if err != nil {
		return active, nil, err
	}
	ids := maps.Clone(active)
	if ids == nil {
		ids = Active{}
	}
	maps.Copy(ids, found)
	next := make(Active, len(ids))
	var changes []Transition
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		was, known := active[id]
		res, holds := found[id]
		is, change := r.advance(was, known, res, Sought{ID: id, Holds: holds}, in)
		if is.State == Pending || is.State == Firing {
			next[id] = is
		}
		if change {
			from := was.State
			if !known {
				from = Inactive
			}
			changes = append(changes, Transition{Origin: r.Origin, From: from, Alert: is})
		}
	}
	if r.Limit > 0 && len(next) > r.Limit {
		return active, nil, fmt.Errorf("%w: %d alerts, limit %d", ErrLimit, len(next), r.Limit)
	}
	return next, changes, nil
}

// advance is Step for one alert. It reports whether anything durable changed.
func (r *Rule) advance(was Alert, known bool, res Alert, q Sought, in Input) (Alert, bool) {
	a := was
	if !known {
		a = res
	}
	q.Labels = r.sought(a.Labels)
	standing := in.look(q)
	if standing.State == window.Unknown {
		return was, false
	}
	switch {
	case !q.Holds:
		if !r.keepsFiring(&a, in.At) {
			a.State, a.EndedAt, a.End = Inactive, in.At, Recovered
			if standing.State == window.Gone && len(r.Selectors) > 0 {
				a.End = SeriesGone
			}
			return a, true
		}
	case known:
		a.Value, a.Annotations, a.KeepFiringSince = res.Value, res.Annotations, time.Time{}
	default:
		a.State, a.ActiveAt, a.FirstBadAt = Pending, in.At, in.At
		if n := standing.Newest; !n.IsZero() && n.Before(in.At) {
			a.FirstBadAt = n
		}
	}
	switch held := in.At.Sub(a.ActiveAt) >= r.For; {
	case a.State == Pending && held && !r.waits(standing, in.At):
		a.State, a.FiredAt = Firing, in.At
	case a.State == Firing && !held: // `for` was made longer
		a.State, a.FiredAt, a.KeepFiringSince = Pending, time.Time{}, time.Time{}
	}
	return a, !known || a.State != was.State || !a.KeepFiringSince.Equal(was.KeepFiringSince)
}

// waits tells whether a pending alert whose time has come waits for news of its series: their newest sample is older than two
// of their intervals, and who has not reported since may have recovered.
func (r *Rule) waits(s window.Standing, at time.Time) bool {
	return r.For > 0 && !r.Resolves() && s.Every > 0 && !s.Newest.IsZero() && at.Add(-r.QueryOffset).Sub(s.Newest) > 2*s.Every
}

// keepsFiring tells whether keep_firing_for holds up an alert whose expression does not hold, and notes since when.
func (r *Rule) keepsFiring(a *Alert, at time.Time) bool {
	if a.State != Firing || r.KeepFiringFor <= 0 {
		return false
	}
	if a.KeepFiringSince.IsZero() {
		a.KeepFiringSince = at
	}
	return at.Sub(a.KeepFiringSince) < r.KeepFiringFor
}

func (in Input) look(q Sought) window.Standing {
	if in.Look == nil {
		return window.Standing{State: window.Live}
	}
	return in.Look(q)
}

// sought are the labels by which an alert's series are found: those that the rule or the expression wrote may differ.
func (r *Rule) sought(lbls labels.Labels) labels.Labels {
	b := labels.NewBuilder(lbls).Del(labels.AlertName, model.MetricNameLabel)
	r.Labels.Range(func(l labels.Label) { b.Del(l.Name) })
	for name := range r.written {
		b.Del(name)
	}
	return b.Labels()
}

// IDs are the AlertIDs of the result, in its order. They are nil when the rule's labels may change while the result keeps
// its own: when their templates read its value, the clock or other series.
func (r *Rule) IDs(ctx context.Context, in Input) []string {
	if r.moving {
		return nil
	}
	ids := make([]string, len(in.Result))
	for i, smpl := range in.Result {
		ids[i] = AlertID(r.Origin.ID, r.labelsOf(ctx, in, smpl))
	}
	return ids
}

// found is the alerts that the result makes, without a state.
func (r *Rule) found(ctx context.Context, in Input) (Active, error) {
	out := make(Active, len(in.Result))
	for _, smpl := range in.Result {
		smpl.Metric = in.placed(smpl.Metric)
		a := Alert{Labels: r.labelsOf(ctx, in, smpl), Annotations: r.AnnotationsOf(ctx, in, smpl), Value: Value(smpl.F)}
		id := AlertID(r.Origin.ID, a.Labels)
		if _, ok := out[id]; ok {
			return nil, fmt.Errorf("%w: %s", ErrDuplicateLabels, a.Labels)
		}
		out[id] = a
	}
	return out, nil
}

// Telling tells whether an annotation may change while a result keeps its labels.
func (r *Rule) Telling() bool { return r.telling }

// AnnotationsOf are the annotations of the alert that a sample makes.
func (r *Rule) AnnotationsOf(ctx context.Context, in Input, smpl promql.Sample) labels.Labels {
	smpl.Metric = in.placed(smpl.Metric)
	expand := r.expander(ctx, in, smpl)
	notes := labels.NewScratchBuilder(r.Annotations.Len())
	r.Annotations.Range(func(l labels.Label) { notes.Add(l.Name, expand(l.Name, l.Value)) })
	return notes.Labels()
}

// labelsOf are the labels of the alert that a sample makes.
func (r *Rule) labelsOf(ctx context.Context, in Input, smpl promql.Sample) labels.Labels {
	smpl.Metric = in.placed(smpl.Metric)
	expand := r.expander(ctx, in, smpl)
	lb := labels.NewBuilder(smpl.Metric).Del(model.MetricNameLabel)
	r.Labels.Range(func(l labels.Label) { lb.Set(l.Name, expand("", l.Value)) })
	return lb.Set(labels.AlertName, r.Alert).Labels()
}

// placed puts customer and site of the asset back where an aggregation dropped them.
func (in Input) placed(lbls labels.Labels) labels.Labels {
	instance := lbls.Get("instance")
	if in.AssetOf == nil || instance == "" || (lbls.Has("customer") && lbls.Has("site")) {
		return lbls
	}
	a, ok := in.AssetOf(instance)
	if !ok {
		return lbls
	}
	lb := labels.NewBuilder(lbls)
	if !lbls.Has("customer") {
		lb.Set("customer", a.Customer)
	}
	if !lbls.Has("site") {
		lb.Set("site", a.Site)
	}
	return lb.Labels()
}
