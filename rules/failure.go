package rules

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// Failure is an expectation of a rule unit test that was not met.
type Failure struct {
	File, Test string
	// At is the time within the test.
	At time.Duration
	// What is the alert's name or the expression.
	What string
	// Want and Got are one line for each alert or sample, in order.
	Want, Got []string
	// Err is set where the expression or the expectation could not be evaluated at all.
	Err error
}

// String tells what is missing (-), what is too many (+) and, between them, what is right.
func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: test %q: %s at %v:", f.File, f.Test, f.What, model.Duration(f.At))
	if f.Err != nil {
		fmt.Fprintf(&b, " %v", f.Err)
		return b.String()
	}
	b.WriteString(" - expected, + got")
	if len(f.Want) == 0 {
		b.WriteString(" (expected nothing)")
	}
	if len(f.Got) == 0 {
		b.WriteString(" (got nothing)")
	}
	line := func(sign, text string) { fmt.Fprintf(&b, "\n  %s %s", sign, strings.ReplaceAll(text, "\n", "\n    ")) }
	rest := slices.Clone(f.Got)
	for _, w := range f.Want {
		if i := slices.Index(rest, w); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			line(" ", w)
			continue
		}
		line("-", w)
	}
	for _, g := range rest {
		line("+", g)
	}
	return b.String()
}

func (b *bench) fail(at model.Duration, what string, want, got []string, err error) {
	b.failures = append(b.failures, Failure{
		File: b.run.File, Test: b.test.Name, At: time.Duration(at), What: what, Want: want, Got: got, Err: err,
	})
}

// compareAlerts compares the alerts that fire now with what is expected.
func (b *bench) compareAlerts(e alertTest) {
	var want, got []string
	for _, x := range e.ExpAlerts {
		lbls := labels.NewBuilder(labels.FromMap(x.Labels)).Set(labels.AlertName, e.Alertname)
		want = append(want, alertLine(lbls.Labels(), labels.FromMap(x.Annotations)))
	}
	for r, active := range b.active {
		for _, a := range active {
			if r.Alert == e.Alertname && a.State == Firing {
				got = append(got, alertLine(a.Labels, a.Annotations))
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		b.fail(e.EvalTime, "alert "+e.Alertname, want, got, nil)
	}
}

func alertLine(lbls, annotations labels.Labels) string {
	return lbls.String() + "\nannotations " + annotations.String()
}

// point is a sample in a comparison.
type point struct {
	lbls      labels.Labels
	value     float64
	histogram string
}

func (p point) String() string {
	if p.histogram != "" {
		return p.lbls.String() + " " + p.histogram
	}
	return p.lbls.String() + " " + strconv.FormatFloat(p.value, 'g', -1, 64)
}

func (b *bench) compareExpr(ctx context.Context, e exprTest, at time.Time) {
	what := fmt.Sprintf("expr %q", e.Expr)
	result, err := b.query(ctx, e.Expr, at)
	if err != nil {
		b.fail(e.EvalTime, what, nil, nil, err)
		return
	}
	want, err := expectedPoints(e)
	if err != nil {
		b.fail(e.EvalTime, what, nil, nil, err)
		return
	}
	var got []point
	for _, s := range result {
		got = append(got, point{s.Metric, s.F, promqltest.HistogramTestExpression(s.H)})
	}
	for _, ps := range [][]point{want, got} {
		slices.SortFunc(ps, func(a, b point) int { return labels.Compare(a.lbls, b.lbls) })
	}
	if !slices.EqualFunc(want, got, b.same) {
		b.fail(e.EvalTime, what, lines(want), lines(got), nil)
	}
}

func expectedPoints(e exprTest) ([]point, error) {
	p := NewParser()
	var out []point
	for _, s := range e.ExpSamples {
		lbls, err := p.ParseMetric(s.Labels)
		if err != nil {
			return nil, fmt.Errorf("exp_samples: labels %q: %w", s.Labels, err)
		}
		x := point{lbls: lbls, value: s.Value}
		if s.Histogram != "" {
			_, values, err := p.ParseSeriesDesc("{} " + s.Histogram)
			switch {
			case err != nil:
				return nil, fmt.Errorf("exp_samples: histogram %q: %w", s.Histogram, err)
			case len(values) != 1 || values[0].Histogram == nil:
				return nil, fmt.Errorf("exp_samples: histogram %q: want one histogram", s.Histogram)
			}
			x.value, x.histogram = 0, promqltest.HistogramTestExpression(values[0].Histogram)
		}
		out = append(out, x)
	}
	return out, nil
}

// same compares two points; fuzzy_compare forgives the last bit.
func (b *bench) same(x, y point) bool {
	if !labels.Equal(x.lbls, y.lbls) || x.histogram != y.histogram {
		return false
	}
	switch {
	case x.value == y.value, math.IsNaN(x.value) && math.IsNaN(y.value):
		return true
	case b.file.FuzzyCompare:
		return math.Nextafter(x.value, math.Inf(-1)) == y.value || math.Nextafter(x.value, math.Inf(1)) == y.value
	}
	return false
}

func lines(ps []point) []string {
	var out []string
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}
