package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// bench is one test under way. What it does and in which order is promtool's.
// Source: https://github.com/prometheus/prometheus/blob/v3.15.0/cmd/promtool/unittest.go
type bench struct {
	run    TestRun
	file   *testFile
	test   *testGroup
	groups []Group

	lazy       *promqltest.LazyLoader
	evaluation Evaluation
	external   *url.URL
	active     map[*Rule]Active
	written    map[*Rule]Written
	failures   []Failure
}

func (b *bench) perform(ctx context.Context) []Failure {
	b.active, b.written, b.external = map[*Rule]Active{}, map[*Rule]Written{}, address(b.test.ExternalURL)
	lazy, err := promqltest.NewLazyLoader(b.test.notation(), promqltest.LazyLoaderOpts{
		EnableAtModifier: true, EnableNegativeOffset: true, StartTime: b.test.StartTimestamp.Time,
	})
	if err != nil {
		b.failSeries(err)
		return b.failures
	}
	b.lazy = lazy
	b.lazy.SubqueryInterval = b.every()
	b.evaluation = stock{b.query}
	if b.run.Evaluation != nil {
		b.evaluation = b.run.Evaluation(TestBed{
			Groups: b.groups, Interval: b.every(), Series: b.lazy.Queryable(), Query: b.query,
		})
	}
	b.play(ctx)
	if err := b.lazy.Close(); err != nil {
		b.fail(Failure{At: -1, What: "the test's storage", Err: err})
	}
	return b.failures
}

// stock is the evaluation by Prometheus' engine.
type stock struct {
	query func(ctx context.Context, expr string, at time.Time) (promql.Vector, error)
}

func (s stock) Evaluate(ctx context.Context, r *Rule, at time.Time) (promql.Vector, error) {
	return s.query(ctx, r.Expr.String(), at)
}

func (b *bench) every() time.Duration { return time.Duration(b.file.EvaluationInterval) }

// play evaluates and compares. A rule that cannot be evaluated ends the test.
func (b *bench) play(ctx context.Context) {
	when := func(i int) time.Duration { return time.Duration(b.test.AlertRuleTests[i].EvalTime) }
	expected := make([]int, len(b.test.AlertRuleTests))
	for i, e := range b.test.AlertRuleTests {
		if expected[i] = i; e.Alertname == "" {
			b.fail(Failure{
				At: when(i), Line: b.test.line("alert_rule_test", i), What: fmt.Sprintf("alert_rule_test[%d]", i),
				Err: errors.New("alertname is missing: want the name of an alert"),
			})
			return
		}
	}
	slices.SortStableFunc(expected, func(i, j int) int { return cmp.Compare(when(i), when(j)) })
	start := b.test.StartTimestamp.From()
	for at := start; !at.After(start.Add(b.test.last())); at = at.Add(b.every()) {
		if ctx.Err() != nil || !b.evaluate(ctx, at) {
			return
		}
		// An expectation between two evaluations is about the one before it.
		for len(expected) > 0 && when(expected[0]) < at.Add(b.every()).Sub(start) {
			b.compareAlerts(expected[0])
			expected = expected[1:]
		}
	}
	for i, e := range b.test.PromqlExprTests {
		b.compareExpr(ctx, i, start.Add(time.Duration(e.EvalTime)))
	}
}

// evaluate is one evaluation of all groups; it reports whether every rule could be evaluated.
func (b *bench) evaluate(ctx context.Context, at time.Time) bool {
	since := at.Sub(b.test.StartTimestamp.From())
	var err error
	if b.lazy.WithSamplesTill(at, func(e error) { err = e }); err != nil {
		b.fail(Failure{At: since, What: "input_series", Err: err})
		return false
	}
	good := true
	for _, g := range b.groups {
		for _, r := range g.Rules {
			if err := b.step(ctx, r, at); err != nil {
				b.fail(Failure{At: since, What: fmt.Sprintf("rule %q", r.Name()), Err: err})
				good = false
			}
		}
	}
	return good
}

func (b *bench) step(ctx context.Context, r *Rule, at time.Time) error {
	result, err := b.evaluation.Evaluate(ctx, r, at.Add(-r.QueryOffset))
	if err != nil {
		return err
	}
	if r.Alerting() {
		in := Input{
			At: at, Result: result, Query: b.query, ExternalLabels: b.test.ExternalLabels.Map(), ExternalURL: b.external,
		}
		if b.active[r], _, err = r.Step(ctx, b.active[r], in); err != nil {
			return err
		}
		result = r.Samples(b.active[r], at)
	} else if result, err = r.Recorded(result); err != nil {
		return err
	}
	next, ended := b.written[r].Next(result, at.Add(-r.QueryOffset))
	b.written[r] = next
	return b.append(ctx, result, ended)
}

// append writes what a rule made and the ends of what it makes no more. A series that another rule wrote at the same time
// is a fault, as in Prometheus; that the other goes on writing it when this one ends it is none.
func (b *bench) append(ctx context.Context, result, ended promql.Vector) error {
	app := b.lazy.Storage().AppenderV2(ctx)
	for _, s := range result {
		if _, err := app.Append(0, s.Metric, 0, s.T, s.F, nil, s.H, storage.AppendV2Options{}); err != nil {
			return errors.Join(fmt.Errorf("write %s: %w: want one rule to write a series, once at a time", s.Metric, err), app.Rollback())
		}
	}
	for _, s := range ended {
		_, err := app.Append(0, s.Metric, 0, s.T, s.F, nil, nil, storage.AppendV2Options{})
		switch {
		case err == nil, errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrTooOldSample),
			errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		default:
			return errors.Join(fmt.Errorf("end %s: %w", s.Metric, err), app.Rollback())
		}
	}
	return app.Commit()
}

func (b *bench) query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	if parsed, err := NewParser().ParseExpr(expr); err == nil { // else the engine says why
		if err := CheckSubqueries(parsed, at, at, usualStep, MaxSubquerySteps); err != nil {
			return nil, err
		}
	}
	q, err := b.lazy.QueryEngine().NewInstantQuery(ctx, b.lazy.Storage(), nil, expr, at)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, res.Err
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	}
	return nil, fmt.Errorf("expression %q gives a %s, want a vector or a scalar", expr, res.Value.Type())
}

// address is a URL that prints as it was written, be it one or not.
func address(text string) *url.URL {
	if u, err := url.Parse(text); err == nil && u.String() == text {
		return u
	}
	return &url.URL{Opaque: text}
}

// failSeries says which of the input series cannot be read.
func (b *bench) failSeries(err error) {
	f := Failure{At: -1, Line: b.test.line("input_series"), What: "input_series", Err: err}
	p := NewParser()
	for i, s := range b.test.InputSeries {
		text := s.Series + " " + s.Values
		if _, _, bad := p.ParseSeriesDesc(text); bad != nil {
			f.Line, f.What = b.test.line("input_series", i), fmt.Sprintf("input_series[%d]", i)
			f.Err = fmt.Errorf("%q: %w", text, bad)
			break
		}
	}
	b.fail(f)
}
