package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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
	StartTimestamp  testStart      `yaml:"start_timestamp"`
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
	// Histogram, when it is given, is meant instead of Value.
	Histogram string `yaml:"histogram"`
}

// testStart is an RFC 3339 time or seconds since the epoch.
type testStart struct{ time.Time }

func (t *testStart) UnmarshalYAML(n *yaml.Node) error {
	at, err := time.Parse(time.RFC3339Nano, n.Value)
	if err == nil {
		t.Time = at.UTC()
		return nil
	}
	sec, err := strconv.ParseFloat(n.Value, 64)
	if err != nil || sec < -1e10 || sec > 1e10 {
		return fmt.Errorf("line %d: start_timestamp %q: want an RFC 3339 time or seconds since 1970", n.Line, n.Value)
	}
	t.Time = time.UnixMilli(int64(sec * 1000)).UTC()
	return nil
}

// parseTests reads a test file, strictly. The error joins every fault of its form.
func parseTests(name string, content []byte) (testFile, error) {
	var f testFile
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty: want rule_files and tests")
		}
		return f, inWords(name, err)
	}
	if f.EvaluationInterval == 0 {
		f.EvaluationInterval = model.Duration(time.Minute)
	}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(name+": "+format, args...)) }
	if f.EvaluationInterval < 0 {
		fault("evaluation_interval: must be positive, got %v", f.EvaluationInterval)
	}
	seen := map[string]bool{}
	for _, g := range f.GroupEvalOrder {
		if seen[g] {
			fault("group_eval_order: %q twice: want it once", g)
		}
		seen[g] = true
	}
	for i := range f.Tests {
		t := &f.Tests[i]
		if t.Name == "" {
			t.Name = fmt.Sprintf("unnamed#%d", i)
		}
		if t.Interval == 0 {
			t.Interval = f.EvaluationInterval
		}
		for _, a := range t.AlertRuleTests {
			if a.Alertname == "" {
				fault("test %q: alert_rule_test at %v: alertname is missing", t.Name, a.EvalTime)
			}
		}
	}
	return f, errors.Join(errs...)
}

// How the YAML package tells of a key that a Go type lacks, and of a value of another type. Should it change its words, a
// person reads those.
var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type .+$`)
	wrongType  = regexp.MustCompile("^line (\\d+): cannot unmarshal (!!\\w+)(?: `(.*)`)? into (.+)$")
)

// inWords puts the YAML package's faults into words for somebody who does not know Go.
func inWords(file string, err error) error {
	var bad *yaml.TypeError
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s: %w", file, err)
	}
	var errs []error
	for _, e := range bad.Errors {
		if m := unknownKey.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: unknown key %q", m[1], m[2])
		} else if m := wrongType.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: want %s, got %s", m[1], wanted(m[4]), found(m[2], m[3]))
		}
		errs = append(errs, fmt.Errorf("%s: %s", file, e))
	}
	return errors.Join(errs...)
}

// wanted says what a value of a Go type looks like in YAML.
func wanted(goType string) string {
	switch {
	case goType == "time.Duration" || goType == "model.Duration":
		return "a duration like 30s"
	case goType == "bool":
		return "true or false"
	case goType == "string":
		return "text"
	case strings.HasPrefix(goType, "int") || strings.HasPrefix(goType, "uint") || strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	}
	return "keys with values"
}

// found says what stands there instead.
func found(tag, text string) string {
	switch tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "keys with values"
	case "!!null":
		return "nothing"
	}
	return strconv.Quote(text)
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

func (t *testGroup) start() time.Time {
	if t.StartTimestamp.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.StartTimestamp.Time
}

// notation is the input in the language of Prometheus' own engine tests.
func (t *testGroup) notation() string {
	var b strings.Builder
	fmt.Fprintf(&b, "load %v\n", t.Interval)
	for _, s := range t.InputSeries {
		fmt.Fprintf(&b, "  %s %s\n", oneLine(s.Series), oneLine(s.Values))
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
