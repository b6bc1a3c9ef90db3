package rules

import (
	"strings"
	"testing"
	"time"
)

// TestTestsRunAtArrivalToo: a rule test is run in both ways in which rules are evaluated, and with series that a program
// cannot have in the engine's.
func TestTestsRunAtArrivalToo(t *testing.T) {
	const file = `rule_files: [r.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'a{instance="x", customer="acme"}', values: '0 1 2 stale _ 5 6'}
  - {series: 'b{instance="x"}', values: '1 1 1 1 1 1 1'}
  - {series: 'a', values: '7 7 7 7 7 7 7'}
  - {series: 'a{instance="y"}', values: '1 _ _ _ _ _ _ _'}
  alert_rule_test:
  - {alertname: High, eval_time: 6m, exp_alerts: [{exp_labels: {instance: x}}, {exp_labels: {}}]}
  - {alertname: High, eval_time: 3m, exp_alerts: [{exp_labels: {}}]}
  - {alertname: Gone, eval_time: 3m, exp_alerts: [{exp_labels: {instance: z}}]}
  - {alertname: Twice, eval_time: 2m, exp_alerts: [{exp_labels: {instance: x, customer: acme}}, {exp_labels: {}}, {exp_labels: {instance: y}}]}
  - {alertname: Step, eval_time: 5m, exp_alerts: [{exp_labels: {instance: x}}]}
  promql_expr_test:
  - {expr: 'a:twice', eval_time: 4m, exp_samples: [{labels: 'a:twice', value: 14}, {labels: 'a:twice{instance="y"}', value: 2}]}
`
	const good = `groups:
- name: g
  rules:
  - {record: "a:twice", expr: a * 2}
  - {alert: High, expr: 'sum by (instance) (a) > 4'}
  - {alert: Gone, expr: 'absent(a{instance="z"})'}
  - {alert: Step, expr: 'count_over_time(b[3m:]) == 3'}
  - {alert: Twice, expr: '{__name__="a:twice"} == 2 * a'}
`
	run := func(rules string, at func(TestBed) Evaluation) string {
		t.Helper()
		report, err := TestRun{File: "t.yml", Content: []byte(file), Evaluation: at, Open: func(string) ([]byte, error) { return []byte(rules), nil }}.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, f := range report.Failures {
			out = append(out, f.String())
		}
		return strings.Join(out, "\n")
	}
	if got := run(good, nil); got != "" {
		t.Errorf("failures: %s", got)
	}
	groups, err := LoadOptions{Interval: time.Minute}.Load(map[string][]byte{"r.yml": []byte(good)})
	if err != nil || len(Spread(groups)) != 0 {
		t.Fatalf("on a timer: %v, %v", Spread(groups), err)
	}
	wrong := func(bed TestBed) Evaluation {
		e := AtArrival(bed).(*arrivalBed)
		for _, g := range bed.Groups { // the program of another expression
			for _, r := range g.Rules {
				if r.Alert == "High" {
					for _, o := range g.Rules {
						if o.Record != "" {
							r.Arrival = o.Arrival
						}
					}
				}
			}
		}
		return e
	}
	if got := run(good, wrong); !strings.Contains(got, "alert High at 3m") {
		t.Errorf("failures of wrong programs: %q", got)
	}
}

// TestTestsDoNotSpace: the verdicts are promtool's, which evaluates each rule at each evaluation_interval, at arrival too. In
// the collector this rule is evaluated every two minutes.
func TestTestsDoNotSpace(t *testing.T) {
	const rule = "groups: [{name: g, rules: [{alert: Long, expr: 'max_over_time(a[400m]) > 4'}]}]"
	const file = `rule_files: [r.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - {series: 'a{instance="x"}', values: '0 5 0 0'}
  alert_rule_test:
  - {alertname: Long, eval_time: 0m, exp_alerts: []}
  - {alertname: Long, eval_time: 1m, exp_alerts: [{exp_labels: {instance: x}}]}
`
	groups, err := Load(map[string][]byte{"r.yml": []byte(rule)})
	if err != nil || groups[0].Rules[0].Spacing() != 2*time.Minute {
		t.Fatalf("groups %v, error %v: want a rule that is evaluated every 2m", groups, err)
	}
	failures, err := RunTests(t.Context(), "t.yml", []byte(file), func(string) ([]byte, error) { return []byte(rule), nil })
	if err != nil || len(failures) != 0 {
		t.Errorf("failures %v, error %v", failures, err)
	}
}
