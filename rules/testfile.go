package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"
)

// testFile is a file of rule unit tests.
// Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
type testFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []testGroup    `yaml:"tests"`
	FuzzyCompare       bool           `yaml:"fuzzy_compare"`
}

type testGroup struct {
	Name            string         `yaml:"name"`
	Interval        model.Duration `yaml:"interval"`
	InputSeries     []inputSeries  `yaml:"input_series"`
	AlertRuleTests  []alertTest    `yaml:"alert_rule_test"`
	PromqlExprTests []exprTest     `yaml:"promql_expr_test"`
	ExternalLabels  labels.Labels  `yaml:"external_labels"`
	ExternalURL     string         `yaml:"external_url"`
	StartTimestamp  TestStart      `yaml:"start_timestamp"`

	// number is the test's place among the file's tests; lines is that file.
	number int
	lines  Lines
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	EvalTime  model.Duration  `yaml:"eval_time"`
	Alertname string          `yaml:"alertname"`
	ExpAlerts []expectedAlert `yaml:"exp_alerts"`
}

type expectedAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

type exprTest struct {
	Expr       string           `yaml:"expr"`
	EvalTime   model.Duration   `yaml:"eval_time"`
	ExpSamples []expectedSample `yaml:"exp_samples"`
}

type expectedSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
	// Histogram, when it is given, is expected with a Value of 0.
	Histogram string `yaml:"histogram"`
}

// TestStart is when a test begins, written as an RFC 3339 time or as seconds since 1970.
type TestStart struct{ time.Time }

// UnmarshalYAML reads either form.
func (t *TestStart) UnmarshalYAML(n *yaml.Node) error {
	at, ok := parseStart(n.Value)
	if !ok || n.Kind != yaml.ScalarNode {
		return fmt.Errorf("start_timestamp %q: want %s", n.Value, startForm)
	}
	t.Time = at
	return nil
}

const startForm = "an RFC 3339 time like 2026-03-01T12:00:00Z or seconds since 1970"

// parseStart is promtool's: seconds first, with what is left of them in nanoseconds.
func parseStart(s string) (time.Time, bool) {
	if sec, err := strconv.ParseFloat(s, 64); err == nil {
		whole, part := math.Modf(sec)
		return time.Unix(int64(whole), int64(part*float64(time.Second))).UTC(), true
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	return at, err == nil
}

// From is the time the test begins: that of Prometheus' own tests, the beginning of 1970, when none is given.
func (t TestStart) From() time.Time {
	if t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.Time
}

// parseTests reads a test file, strictly. The error joins an *Error for every fault of its form.
func parseTests(name string, content []byte) (testFile, error) {
	var f testFile
	if err := DecodeTests(name, content, &f); err != nil {
		return f, err
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	lines := ReadLines(content)
	seen := map[string]bool{}
	for i, g := range f.GroupEvalOrder {
		if seen[g] {
			err := fmt.Errorf("group_eval_order: %q twice: want it once", g)
			return f, &Error{File: name, Line: lines.Of("group_eval_order", i), Err: err}
		}
		seen[g] = true
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		t.number, t.lines = i, lines
		if t.Interval == 0 {
			t.Interval = f.EvaluationInterval
		}
	}
	return f, nil
}

// title is what a person calls the test; only its name is matched by what to run.
func (t *testGroup) title() string {
	if t.Name == "" {
		return fmt.Sprintf("unnamed#%d", t.number)
	}
	return t.Name
}

// last is the time of the test's last expectation.
func (t *testGroup) last() time.Duration {
	var d model.Duration
	for _, a := range t.AlertRuleTests {
		d = max(d, a.EvalTime)
	}
	for _, e := range t.PromqlExprTests {
		d = max(d, e.EvalTime)
	}
	return time.Duration(d)
}

// notation is the input in the language of Prometheus' own engine tests, put together as promtool does it: what it makes
// of a line break, we do too.
func (t *testGroup) notation() string {
	var b strings.Builder
	fmt.Fprintf(&b, "load %v\n", t.Interval)
	for _, s := range t.InputSeries {
		fmt.Fprintf(&b, "  %v %v\n", s.Series, s.Values)
	}
	return b.String()
}

// traps are what a test may say and hardly means.
func (t *testGroup) traps(file string) []string {
	var out []string
	for i, s := range t.InputSeries {
		if text := s.Series + " " + s.Values; strings.Contains(strings.TrimRight(text, "\n"), "\n") || strings.HasSuffix(s.Values, "\n") {
			out = append(out, fmt.Sprintf("%s:%d: test %q: input_series[%d]: a line break ends the series, and an empty line "+
				"all series: write it in one line, or with >- instead of |", file, t.line("input_series", i), t.title(), i))
		}
	}
	return out
}

// line is where something of the test stands in its file.
func (t *testGroup) line(path ...any) int {
	return t.lines.Of(append([]any{"tests", t.number}, path...)...)
}
