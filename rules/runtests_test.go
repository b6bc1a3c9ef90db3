package rules

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
)

var testRules = map[string]string{
	"cpu.yml": `
groups:
- name: second
  rules:
  - alert: Busy
    expr: cpu:avg > 50
    for: 2m
    keep_firing_for: 1m
    labels: {severity: warning, zone: '{{ $externalLabels.zone }}'}
    annotations: {summary: '{{ $labels.instance }} at {{ $value }}, see {{ $externalURL }}'}
  - alert: BusyFiring
    expr: ALERTS{alertname="Busy", alertstate="firing"} == 1
- name: first
  labels: {team: ops}
  rules:
  - record: cpu:avg
    expr: avg by (instance) (cpu)
`,
	"twice.yml":  "groups: [{name: twice, rules: [{record: made, expr: vector(1)}, {record: made, expr: vector(2)}]}]",
	"broken.yml": "groups: [{name: g, rules: [{alert: A, expr: 'sum('}]}]",
	"many.yml":   "groups: [{name: many, rules: [{alert: Many, expr: 'x', labels: {i: same}}]}]",
}

func openTest(name string) ([]byte, error) {
	if text, ok := testRules[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

const head = `
rule_files: [cpu.yml]
evaluation_interval: 1m
group_eval_order: [first, second]
`

const input = `
tests:
- name: busy
  interval: 1m
  external_labels: {zone: north}
  external_url: http://wb.example/
  input_series:
  - {series: 'cpu{instance="web1", core="0"}', values: '10 90x4 10x10'}
  - {series: 'cpu{instance="web1", core="1"}', values: '10 70x4 10x10'}
`

func TestRunTests(t *testing.T) {
	alertAt := func(at, rest string) string {
		return head + input + "  alert_rule_test:\n  - {eval_time: " + at + ", alertname: Busy, exp_alerts: [" + rest + "]}\n"
	}
	firing := `{exp_labels: {severity: warning, team: ops, instance: web1, zone: north}, exp_annotations: {summary: "web1 at 80, see http://wb.example/"}}`
	exprAt := func(at, expr, samples string) string {
		return head + input + "  promql_expr_test:\n  - {eval_time: " + at + ", expr: '" + expr + "', exp_samples: [" + samples + "]}\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"pending is not firing", alertAt("2m", ""), ""},
		{"firing", alertAt("3m", firing), ""},
		{"between evaluations", alertAt("3m59s", firing), ""},
		{"keeps firing", alertAt("6m", firing), ""},
		{"over", alertAt("8m", ""), ""},
		{"recorded", exprAt("2m", "cpu:avg", `{labels: 'cpu:avg{instance="web1", team="ops"}', value: 80}`), ""},
		{"ALERTS while pending", exprAt("1m", `ALERTS`, `{labels: 'ALERTS{alertname="Busy", alertstate="pending", instance="web1", severity="warning", team="ops", zone="north"}', value: 1}`), ""},
		{"an alert on ALERTS", exprAt("3m", `count(ALERTS{alertname="BusyFiring"})`, `{labels: '{}', value: 1}`), ""},
		{"scalar", exprAt("1m", "1 + 1", `{labels: '{}', value: 2}`), ""},
		{"no NaN is like another", exprAt("1m", "0 / 0", `{labels: '{}', value: .nan}`), "NaN is like no value"},
		{"nothing", exprAt("1m", "nothing", ""), ""},
		{"start time", strings.Replace(exprAt("1m", "time()", `{labels: '{}', value: 1767225660}`), "  interval: 1m\n", "  interval: 1m\n  start_timestamp: 2026-01-01T00:00:00Z\n", 1), ""},
		{"histogram", strings.Replace(exprAt("1m", "h", `{labels: 'h', histogram: '{{schema:0 count:3 sum:4 counter_reset_hint:not_reset buckets:[1 2]}}'}`), "  input_series:\n", "  input_series:\n  - {series: h, values: '{{schema:0 count:3 sum:4 buckets:[1 2]}}x3'}\n", 1), ""},
		{"not fuzzy", exprAt("1m", "vector(0.1 + 0.2)", `{labels: '{}', value: 0.3}`), `: test "busy": expr "vector(0.1 + 0.2)" at 1m: - expected, + got
  - {} 0.3
  + {} 0.30000000000000004`},
		{"fuzzy", "fuzzy_compare: true\n" + exprAt("1m", "vector(0.1 + 0.2)", `{labels: '{}', value: 0.3}`), ""},
		{"missing alert", alertAt("2m", firing), `: test "busy": alert Busy at 2m: - expected, + got (got nothing)
  - {alertname="Busy", instance="web1", severity="warning", team="ops", zone="north"}
    annotations {summary="web1 at 80, see http://wb.example/"}`},
		{"unexpected alert", alertAt("3m", ""), `: test "busy": alert Busy at 3m: - expected, + got (expected nothing)
  + {alertname="Busy",`},
		{"wrong annotation", alertAt("3m", strings.Replace(firing, "at 80", "at 81", 1)), "\n  - {alertname="},
		{"wrong value", exprAt("2m", "cpu:avg", `{labels: 'cpu:avg{instance="web1", team="ops"}', value: 81}`), "\n  - {__name__=\"cpu:avg\", instance=\"web1\", team=\"ops\"} 81\n  + {__name__=\"cpu:avg\", instance=\"web1\", team=\"ops\"} 80"},
		{"bad expression", exprAt("1m", "sum(", ""), `expr "sum(" at 1m: 1:5: parse error`},
		{"bad labels", exprAt("1m", "1", "{labels: '{', value: 1}"), `exp_samples[0]: labels "{"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, err := RunTests(t.Context(), "tests.yml", []byte(c.text), openTest)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(fs) > 0:
				t.Errorf("failed:\n%v", fs)
			case c.want != "" && (len(fs) != 1 || !strings.Contains(fs[0].String(), c.want)):
				t.Errorf("failures are\n%v\nwant one with\n%s", fs, c.want)
			}
		})
	}
}

func TestRunTestsThatCannotRun(t *testing.T) {
	const one = "\ntests: [{promql_expr_test: [{expr: up}]}]"
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "rules: []", `tests.yml:1: unknown key "rules": want one of evaluation_interval, fuzzy_compare, group_eval_order, rule_files, tests`},
		{"unknown keys of a test", "tests:\n- intervall: 1m\n  alert_rule_test:\n  - at: 5m", "tests.yml:2: tests[0]: unknown key \"intervall\": want one of alert_rule_test, external_labels, external_url, input_series, interval, name, promql_expr_test, start_timestamp\ntests.yml:4: tests[0].alert_rule_test[0]: unknown key \"at\": want one of alertname, eval_time, exp_alerts"},
		{"no list", "tests:\n- alert_rule_test: {a: b}", "tests.yml:2: tests[0].alert_rule_test: want a list, got keys with values"},
		{"no text", "rule_files:\n- [a]", "tests.yml:2: rule_files[0]: want a text, got a list"},
		{"no number", "tests:\n- promql_expr_test:\n  - {expr: up, exp_samples: [{labels: up, value: much}]}", `tests.yml:3: tests[0].promql_expr_test[0].exp_samples[0].value: want a number, got "much"`},
		{"no truth", "fuzzy_compare: 2", `tests.yml:1: fuzzy_compare: want true or false, got "2"`},
		{"no keys", "tests: [up]", `tests.yml:1: tests[0]: want keys of alert_rule_test, external_labels`},
		{"no labels", "tests: [{external_labels: [a]}]", `tests.yml:1: tests[0].external_labels: want names with texts, got a list`},
		{"no label", "tests: [{alert_rule_test: [{exp_alerts: [{exp_labels: {a: [b]}}]}]}]", `tests.yml:1: tests[0].alert_rule_test[0].exp_alerts[0].exp_labels.a: want a text, got a list`},
		{"no duration", "evaluation_interval: -5m\ntests: [{interval: [1m]}]", "tests.yml:1: evaluation_interval: want a duration like 30s, 5m or 1h30m, got \"-5m\"\ntests.yml:2: tests[0].interval: want a duration like 30s, 5m or 1h30m, got a list"},
		{"no start", "tests: [{start_timestamp: noon}]", `tests.yml:1: tests[0].start_timestamp: want an RFC 3339 time like 2026-03-01T12:00:00Z or seconds since 1970, got "noon"`},
		{"a key twice", "tests: []\nfuzzy_compare: true\ntests: []", `tests.yml:3: key "tests" twice: want it once`},
		{"merged in", "tests:\n- &a {name: a, until: 5m}\n- {<<: *a, name: b}", `tests.yml:2: tests[1]: unknown key "until"`},
		{"order twice", "group_eval_order:\n- a\n- a", `tests.yml:3: group_eval_order: "a" twice`},
		{"not YAML", "tests: [", "tests.yml: yaml: line 1"},
		{"no such rule file", "rule_files: [none.yml, gone.yml]" + one, "tests.yml: rule_files: open gone.yml: file does not exist\ntests.yml: rule_files: open none.yml"},
		{"broken rule file", "rule_files: [broken.yml]" + one, `broken.yml:1:50: group "g": rule "A"`},
		{"pattern", "rule_files: ['*.yml']", `"*.yml" is a pattern: name each file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := RunTests(t.Context(), "tests.yml", []byte(c.text), openTest)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant in it\n%s", err, c.want)
			}
		})
	}
}

func TestTestsThatFailWhateverTheyExpect(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no alert name", "tests:\n- name: t\n  alert_rule_test:\n  - eval_time: 5m", `tests.yml:4: test "t": alert_rule_test[0] at 5m: alertname is missing: want the name of an alert`},
		{"bad series", "tests:\n- input_series:\n  - {series: a, values: 1}\n  - {series: 'a{', values: '1'}", `tests.yml:4: test "unnamed#0": input_series[1]: "a{ 1": 1:4: parse error`},
		{"bad samples", "tests:\n- promql_expr_test:\n  - {expr: '1', exp_samples: [{labels: '{}', value: 1, histogram: '1'}]}", `tests.yml:3: test "unnamed#0": expr "1" at 0s: exp_samples[0]: histogram "1": want one histogram`},
		{"a result of another kind", "tests:\n- promql_expr_test:\n  - {expr: 'up[5m]'}", `expression "up[5m]" gives a matrix, want a vector or a scalar`},
		{"rule error", "rule_files: [many.yml]\ntests: [{input_series: [{series: 'x{i=\"1\"}', values: '1'}, {series: 'x{i=\"2\"}', values: '1'}], alert_rule_test: [{eval_time: 1m, alertname: Many}]}]", `tests.yml: test "unnamed#0": rule "Many" at 0s: two results have the same labels`},
		{"two writers", "rule_files: [twice.yml]\ntests: [{promql_expr_test: [{expr: made, eval_time: 1m}]}]", `rule "made" at 0s: write {__name__="made"}: duplicate sample for timestamp`},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, err := RunTests(t.Context(), "tests.yml", []byte(c.text), openTest)
			if err != nil || len(fs) != 1 || !strings.Contains(fs[0].String(), c.want) {
				t.Errorf("%v, error %v, want one failure with\n%s", fs, err, c.want)
			}
		})
	}
}

// What promtool passes over in silence, or with a warning of its own, passes here too, and is told.
func TestRunTestsWarns(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "no test was run"},
		{"no tests", "rule_files: [broken.yml]", "no test was run"},
		{"no rule file", "rule_files: [gone.yml]\ntests: [{}]", `rule_files: no file is named "gone.yml": its rules are not tested`},
		{"groups of one name", "rule_files: ['*']\ntests: [{}]", `the collector would refuse these rules: b.yml:1: group "g": a.yml:1 has a group of this name too`},
		{"a line break in a series", "tests:\n- input_series:\n  - series: up\n    values: |\n      1x5\n", "tests.yml:3: test \"unnamed#0\": input_series[0]: a line break ends the series"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := TestRun{File: "tests.yml", Content: []byte(c.text),
				Open: func(string) ([]byte, error) { return []byte("groups: [{name: g, rules: []}]"), nil },
				Glob: func(p string) ([]string, error) {
					return map[string][]string{"*": {"a.yml", "b.yml"}, "broken.yml": {"broken.yml"}}[p], nil
				}}
			report, err := run.Run(t.Context())
			if err != nil || len(report.Failures) > 0 || len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], c.want) {
				t.Errorf("%+v, error %v, want one warning with\n%s", report, err, c.want)
			}
		})
	}
}

func TestOnlySomeTests(t *testing.T) {
	run := TestRun{File: "tests.yml", Content: []byte(`tests:
- {name: a, promql_expr_test: [{expr: 'vector(1)'}]}
- {promql_expr_test: [{expr: 'vector(1)'}]}
- {name: b, promql_expr_test: [{expr: 'vector(1)'}]}
`), Open: openTest}
	for _, c := range []struct {
		name string
		only func(string) bool
		want []string
	}{
		{"all", nil, []string{"a", "unnamed#1", "b"}},
		{"by name", func(n string) bool { return n == "b" }, []string{"b"}},
		{"without a name", func(n string) bool { return n == "" }, []string{"unnamed#1"}},
	} {
		run.Only = c.only
		report, err := run.Run(t.Context())
		var failed []string
		for _, f := range report.Failures {
			failed = append(failed, f.Test)
		}
		if err != nil || !slices.Equal(report.Tests, c.want) || !slices.Equal(failed, c.want) {
			t.Errorf("%s: %v ran, %v failed, error %v, want %v", c.name, report.Tests, failed, err, c.want)
		}
	}
}

// wrong evaluates rules by Prometheus' engine, but one never has a result.
type wrong struct {
	bed   TestBed
	asked *int
}

func (w wrong) Evaluate(ctx context.Context, r *Rule, at time.Time) (promql.Vector, error) {
	if *w.asked++; r.Record == "cpu:avg" {
		return nil, nil
	}
	return w.bed.Query(ctx, r.Expr.String(), at)
}

// Whatever evaluates rules is judged by the same tests.
func TestAnotherEvaluation(t *testing.T) {
	asked := 0
	text := head + input + "  promql_expr_test:\n  - {eval_time: 2m, expr: 'cpu:avg', exp_samples: [{labels: 'cpu:avg{instance=\"web1\", team=\"ops\"}', value: 80}]}\n"
	run := TestRun{File: "tests.yml", Content: []byte(text), Open: openTest, Evaluation: func(bed TestBed) Evaluation {
		if len(bed.Groups) != 2 || bed.Groups[0].Name != "first" || bed.Interval != time.Minute {
			t.Errorf("the bed is %+v", bed)
		}
		return wrong{bed, &asked}
	}}
	report, err := run.Run(t.Context())
	if err != nil || len(report.Failures) != 1 || asked != 9 {
		t.Errorf("%v, error %v, asked %d times: want a failure after three evaluations of three rules", report.Failures, err, asked)
	}
}

func TestRunTestsOfAPattern(t *testing.T) {
	run := TestRun{
		File: "tests.yml", Content: []byte("rule_files: ['c*.yml', 'cp*']\ntests: [{}]"), Open: openTest,
		Glob: func(p string) ([]string, error) { return []string{"cpu.yml"}, nil },
	}
	if report, err := run.Run(t.Context()); err != nil || len(report.Warnings) > 0 {
		t.Errorf("%v, error %v", report.Warnings, err)
	}
	run.Glob = func(string) ([]string, error) { return nil, path.ErrBadPattern }
	if _, err := run.Run(t.Context()); !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("error is %v", err)
	}
	run.Glob, run.Content = nil, []byte("rule_files: [gone.yml]\ntests: [{}]")
	if _, err := run.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

// TestREADME runs the rule and the unit test that README.md shows.
func TestREADME(t *testing.T) {
	doc, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```yaml\n")
	if len(blocks) != 4 {
		t.Fatalf("%d examples, want three", len(blocks)-1)
	}
	example := func(i int) []byte { return []byte(strings.SplitN(blocks[i], "```", 2)[0]) }
	open := func(string) ([]byte, error) { return example(1), nil }
	failures, err := RunTests(t.Context(), "README.md", example(2), open)
	if err != nil || len(failures) > 0 {
		t.Errorf("failures %v, error %v", failures, err)
	}
	groups, err := Parse("README.md", example(1))
	if fs := Check(groups, CheckOptions{}); err != nil || len(fs) > 0 {
		t.Errorf("findings %v, error %v", fs, err)
	}
}

func FuzzParseTests(f *testing.F) {
	f.Add([]byte(head + input))
	f.Add([]byte("tests: [{start_timestamp: 1e9, promql_expr_test: [{expr: up, eval_time: 1d}]}]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := parseTests("f.yml", content)
		if err == nil && file.EvaluationInterval <= 0 {
			t.Fatalf("accepted an evaluation interval of %v", file.EvaluationInterval)
		}
	})
}
