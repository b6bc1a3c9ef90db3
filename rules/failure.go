package rules

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// Failure is an expectation of a test that was not met.
type Failure struct {
	File, Test string
	// Line is where the expectation stands in File; 0 where that is not known.
	Line int
	// At is the time within the test; negative where the failure has none.
	At time.Duration
	// What is what was compared: an alert, an expression, tickets.
	What string
	// Want and Got are one line for each alert, sample or ticket, in order.
	Want, Got []string
	// Err is set where the expression or the expectation could not be evaluated at all.
	Err error
	// Hint says what to do about it, where that is not plain.
	Hint string
}

// String tells what is missing (-), what is too many (+) and, between them, what is right.
func (f Failure) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	fmt.Fprintf(&b, ": test %q: %s", f.Test, f.What)
	if f.At >= 0 {
		fmt.Fprintf(&b, " at %v", model.Duration(f.At))
	}
	b.WriteString(":")
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
	if f.Hint != "" {
		b.WriteString("\n  " + f.Hint)
	}
	return b.String()
}

func (b *bench) fail(f Failure) {
	f.File, f.Test = b.run.File, b.test.title()
	b.failures = append(b.failures, f)
}

// compareAlerts compares the alerts that fire now with what is expected.
func (b *bench) compareAlerts(i int) {
	e := b.test.AlertRuleTests[i]
	var want, got []string
	for _, x := range e.ExpAlerts {
		lbls := map[string]string{}
		maps.Copy(lbls, x.Labels)
		lbls[labels.AlertName] = e.Alertname
		want = append(want, alertLine(labels.FromMap(lbls), labels.FromMap(x.Annotations)))
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
		b.fail(Failure{At: time.Duration(e.EvalTime), Line: b.test.line("alert_rule_test", i), What: "alert " + e.Alertname,
			Want: want, Got: got})
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
	if p.histogram != "" && p.value == 0 {
		return p.lbls.String() + " " + p.histogram
	}
	if p.histogram != "" {
		return fmt.Sprintf("%s %s with the value %g beside it", p.lbls, p.histogram, p.value)
	}
	return p.lbls.String() + " " + strconv.FormatFloat(p.value, 'g', -1, 64)
}

func (b *bench) compareExpr(ctx context.Context, i int, at time.Time) {
	e := b.test.PromqlExprTests[i]
	f := Failure{At: time.Duration(e.EvalTime), Line: b.test.line("promql_expr_test", i), What: fmt.Sprintf("expr %q", e.Expr)}
	result, err := b.query(ctx, e.Expr, at)
	if err != nil {
		f.Err = err
		b.fail(f)
		return
	}
	want, err := expectedPoints(e)
	if err != nil {
		f.Err = err
		b.fail(f)
		return
	}
	var got []point
	for _, s := range result {
		got = append(got, point{s.Metric, s.F, promqltest.HistogramTestExpression(s.H)})
	}
	for _, ps := range [][]point{want, got} {
		slices.SortFunc(ps, func(a, b point) int { return labels.Compare(a.lbls, b.lbls) })
	}
	if slices.EqualFunc(want, got, b.same) {
		return
	}
	f.Want, f.Got = lines(want), lines(got)
	if slices.ContainsFunc(want, func(p point) bool { return math.IsNaN(p.value) }) {
		f.Hint = "NaN is like no value, itself included: test that with an expression like x != x"
	}
	b.fail(f)
}

func expectedPoints(e exprTest) ([]point, error) {
	p := NewParser()
	var out []point
	for i, s := range e.ExpSamples {
		at := func(format string, args ...any) error {
			return fmt.Errorf("exp_samples[%d]: "+format, append([]any{i}, args...)...)
		}
		lbls, err := p.ParseMetric(s.Labels)
		if err != nil {
			return nil, at("labels %q: %w", s.Labels, err)
		}
		x := point{lbls: lbls, value: s.Value}
		if s.Histogram != "" {
			_, values, err := p.ParseSeriesDesc("{} " + s.Histogram)
			switch {
			case err != nil:
				return nil, at("histogram %q: %w", s.Histogram, err)
			case len(values) != 1 || values[0].Histogram == nil:
				return nil, at("histogram %q: want one histogram", s.Histogram)
			}
			x.histogram = promqltest.HistogramTestExpression(values[0].Histogram)
		}
		out = append(out, x)
	}
	return out, nil
}

// same compares two points; fuzzy_compare forgives the last bit. As in promtool no NaN is like another, and the value that
// is expected beside a histogram counts.
func (b *bench) same(x, y point) bool {
	if !labels.Equal(x.lbls, y.lbls) || x.histogram != y.histogram {
		return false
	}
	switch {
	case x.value == y.value:
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
