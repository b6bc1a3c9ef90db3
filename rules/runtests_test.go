package rules

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
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
		{"no NaN is like another", exprAt("1m", "0 / 0", `{labels: '{}', value: .nan}`), ""},
		{"nothing", exprAt("1m", "nothing", ""), ""},
		{"start time", strings.Replace(exprAt("1m", "time()", `{labels: '{}', value: 1767225660}`), "  interval: 1m\n", "  interval: 1m\n  start_timestamp: 2026-01-01T00:00:00Z\n", 1), ""},
		{"histogram", strings.Replace(exprAt("1m", "h", `{labels: 'h', histogram: '{{schema:0 count:3 sum:4 counter_reset_hint:not_reset buckets:[1 2]}}'}`), "  input_series:\n", "  input_series:\n  - {series: h, values: '{{schema:0 count:3 sum:4 buckets:[1 2]}}x3'}\n", 1), ""},
		{"not fuzzy", exprAt("1m", "vector(0.1 + 0.2)", `{labels: '{}', value: 0.3}`), `tests.yml: test "busy": expr "vector(0.1 + 0.2)" at 1m: - expected, + got
  - {} 0.3
  + {} 0.30000000000000004`},
		{"fuzzy", "fuzzy_compare: true\n" + exprAt("1m", "vector(0.1 + 0.2)", `{labels: '{}', value: 0.3}`), ""},
		{"missing alert", alertAt("2m", firing), `tests.yml: test "busy": alert Busy at 2m: - expected, + got (got nothing)
  - {alertname="Busy", instance="web1", severity="warning", team="ops", zone="north"}
    annotations {summary="web1 at 80, see http://wb.example/"}`},
		{"unexpected alert", alertAt("3m", ""), `tests.yml: test "busy": alert Busy at 3m: - expected, + got (expected nothing)
  + {alertname="Busy",`},
		{"wrong annotation", alertAt("3m", strings.Replace(firing, "at 80", "at 81", 1)), "\n  - {alertname="},
		{"wrong value", exprAt("2m", "cpu:avg", `{labels: 'cpu:avg{instance="web1", team="ops"}', value: 81}`), "\n  - {__name__=\"cpu:avg\", instance=\"web1\", team=\"ops\"} 81\n  + {__name__=\"cpu:avg\", instance=\"web1\", team=\"ops\"} 80"},
		{"bad expression", exprAt("1m", "sum(", ""), `expr "sum(" at 1m: 1:5: parse error`},
		{"bad labels", exprAt("1m", "1", "{labels: '{', value: 1}"), `exp_samples: labels "{"`},
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
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "tests.yml: the file is empty"},
		{"unknown key", "rules: []", `tests.yml: line 1: unknown key "rules"`},
		{"unknown keys of a test", "tests:\n- intervall: 1m\n  alert_rule_test: [{at: 5m}]", "tests.yml: line 2: unknown key \"intervall\"\ntests.yml: line 3: unknown key \"at\""},
		{"wrong type", "tests:\n- alert_rule_test: {a: b}", "tests.yml: line 2: want a list, got keys with values"},
		{"not YAML", "tests: [", "tests.yml: yaml: line 1"},
		{"no such rule file", "rule_files: [none.yml, gone.yml]", "tests.yml: rule_files: open none.yml: file does not exist\ntests.yml: rule_files: open gone.yml"},
		{"broken rule file", "rule_files: [broken.yml]", `broken.yml:1: group "g": rule "A"`},
		{"pattern", "rule_files: ['*.yml']", `"*.yml" is a pattern: name each file`},
		{"no alert name", "tests: [{name: t, alert_rule_test: [{eval_time: 5m}]}]", `test "t": alert_rule_test at 5m: alertname is missing`},
		{"order twice", "group_eval_order: [a, a]", `group_eval_order: "a" twice`},
		{"bad series", "tests: [{input_series: [{series: 'a{', values: '1'}]}]", `test "unnamed#0": input_series:`},
		{"bad start", "tests: [{start_timestamp: noon}]", `start_timestamp "noon": want an RFC 3339 time`},
		{"negative interval", "evaluation_interval: -5m", "-5m"},
		{"rule error", "rule_files: [many.yml]\ntests: [{input_series: [{series: 'x{i=\"1\"}', values: '1'}, {series: 'x{i=\"2\"}', values: '1'}], alert_rule_test: [{eval_time: 1m, alertname: Many}]}]", `rule "Many" at 0s: two results have the same labels`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := RunTests(t.Context(), "tests.yml", []byte(c.text), openTest)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want in it %q", err, c.want)
			}
		})
	}
}

func TestRunTestsOfAPattern(t *testing.T) {
	run := TestRun{
		File: "tests.yml", Content: []byte("rule_files: ['c*.yml']"), Open: openTest,
		Glob: func(p string) ([]string, error) { return []string{"cpu.yml"}, nil },
	}
	if _, err := run.Run(t.Context()); err != nil {
		t.Error(err)
	}
	run.Glob = func(string) ([]string, error) { return nil, nil }
	if _, err := run.Run(t.Context()); err == nil {
		t.Error("a pattern that means no file is no error")
	}
	run.Content = []byte("rule_files: [gone.yml]")
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
