package evaluate

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules"
)

// MaxEpisodes bounds what is told in detail of one review.
const MaxEpisodes = 50

// Episode is one alert within the time nobody saw. An alert that came back counts as one episode.
type Episode struct {
	Origin rules.Origin
	// Alert as it stood last: FiredAt, EndedAt and End are those of its last firing; EndedAt is zero when the last report
	// of the review still had it.
	Alert rules.Alert
	// Since is when it first became active, Times how often it fired.
	Since time.Time
	Times int
	// Worst is its worst value while it fired, and WorstAt when it had it.
	Worst   rules.Value
	WorstAt time.Time
	// Curves are samples of the series it is about, from before it began to its end, as far as rules look back.
	Curves []Curve
}

// Curve is one series over some time, oldest sample first.
type Curve struct {
	Labels labels.Labels
	Points []Point
}

// Point is one sample of a curve.
type Point struct {
	T time.Time
	V float64
}

func (e *Episode) worse(r *rules.Rule, v rules.Value, at time.Time) {
	if e.WorstAt.IsZero() || r != nil && r.Below() && v < e.Worst || (r == nil || !r.Below()) && v > e.Worst {
		e.Worst, e.WorstAt = v, at
	}
}

// Commit notes what changed, as the Committer of the review's own evaluator.
func (v *review) Commit(_ context.Context, at time.Time, ts []rules.Transition) error {
	for _, t := range ts {
		id := t.ID()
		e := v.episodes[id]
		switch {
		case t.Alert.Labels.Get("instance") != v.asset.Name:
		case t.Alert.State == rules.Firing && t.From != rules.Firing:
			if e == nil {
				if e = v.episode(id, t); e == nil {
					continue
				}
			}
			e.Times++
			e.Origin, e.Alert = t.Origin, t.Alert
			e.worse(v.rule(t.Origin.ID), t.Alert.Value, at)
		case e != nil && t.From == rules.Firing:
			e.Alert = t.Alert
			if t.Alert.State == rules.Inactive {
				e.Curves = v.curves(t)
			}
		}
	}
	return nil
}

func (v *review) episode(id string, t rules.Transition) *Episode {
	if len(v.episodes) >= MaxEpisodes {
		v.more++
		return nil
	}
	e := &Episode{Since: t.Alert.ActiveAt}
	v.episodes[id], v.order = e, append(v.order, id)
	return e
}

func (v *review) rule(id string) *rules.Rule {
	if r := v.eval.book.byID[id]; r != nil {
		return r.Rule
	}
	return nil
}

const (
	maxCurves   = 3
	curveBefore = 30 * time.Minute
)

// curves are the samples behind an alert, from half an hour before it began to its end.
func (v *review) curves(t rules.Transition) []Curve {
	r := v.rule(t.Origin.ID)
	end := t.Alert.EndedAt
	if end.IsZero() {
		end = v.last.At
	}
	q, err := v.window.Querier(t.Alert.ActiveAt.Add(-curveBefore).UnixMilli(), end.UnixMilli())
	if err != nil {
		return nil
	}
	defer func() { _ = q.Close() }()
	if r == nil {
		return nil
	}
	var out []Curve
	seen := map[string]bool{}
	for _, sel := range r.Selectors {
		set := q.Select(context.Background(), true, nil, sel.Matchers...)
		for set.Next() && len(out) < maxCurves {
			l := set.At().Labels()
			key := string(l.Bytes(nil))
			if seen[key] || l.Get("instance") != v.asset.Name || !matchesAlert(l, t.Alert.Labels) {
				continue
			}
			seen[key] = true
			if points := pointsOf(set.At()); len(points) > 1 {
				out = append(out, Curve{Labels: l, Points: points})
			}
		}
	}
	return out
}

// matchesAlert tells whether a series can be behind an alert: no label that both have differs.
func matchesAlert(series, alert labels.Labels) bool {
	same := true
	series.Range(func(l labels.Label) {
		if v := alert.Get(l.Name); v != "" && v != l.Value && l.Name != model.MetricNameLabel && l.Name != labels.AlertName {
			same = false
		}
	})
	return same
}

// pointsOf are the values of a series that a chart can show.
func pointsOf(s storage.Series) []Point {
	var out []Point
	it := s.Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		if t, v := it.At(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, Point{T: time.UnixMilli(t).UTC(), V: v})
		}
	}
	return out
}
