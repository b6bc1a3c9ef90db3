package rules

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

// TestRun is one file of rule unit tests in promtool's format.
type TestRun struct {
	// File names the tests in failures and errors.
	File    string
	Content []byte
	// Open reads a file that rule_files names, as it is written there.
	Open func(name string) ([]byte, error)
	// Glob finds the names that a pattern in rule_files means; nil refuses patterns.
	Glob func(pattern string) ([]string, error)
}

// RunTests runs a file of rule unit tests in promtool's format: series notation and engine are Prometheus' own, the
// states of alerts are Step's, with all data known. Failures are expectations that were not met; the error says that
// the tests could not be run as they are written.
func RunTests(ctx context.Context, name string, content []byte, open func(name string) ([]byte, error)) ([]Failure, error) {
	return TestRun{File: name, Content: content, Open: open}.Run(ctx)
}

// Run is RunTests.
func (r TestRun) Run(ctx context.Context) ([]Failure, error) {
	file, err := parseTests(r.File, r.Content)
	if err != nil {
		return nil, err
	}
	groups, err := r.load(file)
	if err != nil {
		return nil, err
	}
	var failures []Failure
	var errs []error
	for i := range file.Tests {
		b := bench{run: r, file: &file, test: &file.Tests[i], groups: groups}
		fs, err := b.perform(ctx)
		failures = append(failures, fs...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: test %q: %w", r.File, file.Tests[i].Name, err))
		}
	}
	return failures, errors.Join(errs...)
}

func (r TestRun) load(file testFile) ([]Group, error) {
	contents := map[string][]byte{}
	var errs []error
	for _, pattern := range file.RuleFiles {
		names := []string{pattern}
		if strings.ContainsAny(pattern, "*?[") {
			var err error
			if names, err = r.glob(pattern); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		for _, name := range names {
			content, err := r.Open(name)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: rule_files: open %s: %w", r.File, name, err))
				continue
			}
			contents[name] = content
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	groups, err := Load(contents)
	if err != nil {
		return nil, err
	}
	order := func(g Group) int { return max(0, slices.Index(file.GroupEvalOrder, g.Name)) }
	slices.SortStableFunc(groups, func(a, b Group) int { return order(a) - order(b) })
	return groups, nil
}

func (r TestRun) glob(pattern string) ([]string, error) {
	if r.Glob == nil {
		return nil, fmt.Errorf("%s: rule_files: %q is a pattern: name each file", r.File, pattern)
	}
	names, err := r.Glob(pattern)
	if err == nil && len(names) == 0 {
		err = errors.New("no file is named so")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: rule_files: %q: %w", r.File, pattern, err)
	}
	return names, nil
}

// bench is one test under way.
type bench struct {
	run    TestRun
	file   *testFile
	test   *testGroup
	groups []Group

	lazy     *promqltest.LazyLoader
	external *url.URL
	active   map[*Rule]Active
	written  map[*Rule]Written
	failures []Failure
}

func (b *bench) perform(ctx context.Context) (_ []Failure, err error) {
	b.active, b.written = map[*Rule]Active{}, map[*Rule]Written{}
	if b.external, err = url.Parse(b.test.ExternalURL); err != nil {
		return nil, fmt.Errorf("external_url: %w", err)
	}
	b.lazy, err = promqltest.NewLazyLoader(b.test.notation(), promqltest.LazyLoaderOpts{
		EnableAtModifier: true, EnableNegativeOffset: true, StartTime: b.test.StartTimestamp.Time,
	})
	if err != nil {
		return nil, fmt.Errorf("input_series: %w", err)
	}
	defer func() { err = errors.Join(err, b.lazy.Close()) }()
	every := time.Duration(b.file.EvaluationInterval)
	b.lazy.SubqueryInterval = every

	expected := slices.Clone(b.test.AlertRuleTests)
	slices.SortStableFunc(expected, func(a, b alertTest) int { return int(a.EvalTime - b.EvalTime) })
	start := b.test.start()
	for at := start; !at.After(start.Add(b.test.last())); at = at.Add(every) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := b.evaluate(ctx, at); err != nil {
			return b.failures, err
		}
		// An expectation between two evaluations is about the one before it.
		for len(expected) > 0 && time.Duration(expected[0].EvalTime) < at.Add(every).Sub(start) {
			b.compareAlerts(expected[0])
			expected = expected[1:]
		}
	}
	for _, e := range b.test.PromqlExprTests {
		b.compareExpr(ctx, e, start.Add(time.Duration(e.EvalTime)))
	}
	return b.failures, nil
}

// evaluate is one evaluation of all groups.
func (b *bench) evaluate(ctx context.Context, at time.Time) (err error) {
	b.lazy.WithSamplesTill(at, func(e error) { err = e })
	if err != nil {
		return fmt.Errorf("input_series: %w", err)
	}
	for _, g := range b.groups {
		for _, r := range g.Rules {
			if err := b.step(ctx, r, at); err != nil {
				return fmt.Errorf("rule %q at %v: %w", r.Name(), model.Duration(at.Sub(b.test.start())), err)
			}
		}
	}
	return nil
}

func (b *bench) step(ctx context.Context, r *Rule, at time.Time) error {
	result, err := b.query(ctx, r.Expr.String(), at.Add(-r.QueryOffset))
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
	return b.append(ctx, slices.Concat(result, ended))
}

func (b *bench) append(ctx context.Context, samples promql.Vector) error {
	app := b.lazy.Storage().AppenderV2(ctx)
	for _, s := range samples {
		_, err := app.Append(0, s.Metric, 0, s.T, s.F, nil, s.H, storage.AppendV2Options{})
		switch {
		case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
			// Another rule wrote this series already; the first one stands, as in Prometheus.
		case err != nil:
			return errors.Join(fmt.Errorf("append %s: %w", s.Metric, err), app.Rollback())
		}
	}
	return app.Commit()
}

func (b *bench) query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
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
