package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testFiles writes rules and tests of them and returns their directory.
func testFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"up.yml": `
groups:
- name: g
  rules:
  - alert: Full
    expr: free < 5
    labels: {severity: critical, service: "disk {{ $labels.disk }}", system: server}
    annotations: {summary: "{{ $labels.instance }} is full"}
`,
		"more.yml": "groups: [{name: m, owner: me, rules: [{record: a, expr: vector(1)}]}]\n",
		"up_test.yml": `
rule_files: ['u?.yml', gone.yml]
tests:
- name: fires
  input_series: [{series: 'free{instance="web1", disk="a"}', values: '1'}]
  alert_rule_test:
  - alertname: Full
    exp_alerts: [{exp_labels: {instance: web1, disk: a, service: disk a, system: server, severity: critical}, exp_annotations: {summary: web1 is full}}]
- name: fails
  alert_rule_test: [{alertname: Full, exp_alerts: [{}]}]
`,
		"more_test.yml": "rule_files: [more.yml]\ntests: [{promql_expr_test: [{expr: a, exp_samples: [{labels: a, value: 1}]}]}]\n",
		"up_ticket_test.yml": `
rule_files: ['u?.yml']
tests:
- name: opens
  assets: [{name: web1, customer: acme, site: london}]
  input_series: [{series: 'free{instance="web1", disk="a"}', values: '9 1'}]
  ticket_test:
  - {eval_time: 0s, exp_tickets: []}
  - {eval_time: 1m, exp_tickets: [{asset: web1, service: disk a, state: new, priority: P1, alerts: [Full]}]}
- name: does not open
  assets: [{name: web1, customer: acme, site: london}]
  ticket_test:
  - {eval_time: 1m, exp_tickets: [{asset: web1, service: disk b, state: new}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTestRules(t *testing.T) {
	dir := testFiles(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"one of two fails", []string{at("up_test.yml")}, 1, []string{
			`warning: ` + at("up_test.yml") + `: rule_files: no file is named "gone.yml"`, at("up_test.yml") + `:10: test "fails": alert Full at 0s`}},
		{"only the good one", []string{"--run", "^fires$", at("up_test.yml")}, 0, []string{"up_test.yml: passed (1 test)"}},
		{"either of two names", []string{"--run", "nothing", "--run", "fire", at("up_test.yml")}, 0, []string{"passed (1 test)"}},
		{"none", []string{"--run", "nothing", at("up_test.yml")}, 0, []string{"no test was run", "passed (0 tests)"}},
		{"no expression", []string{"--run", "(", at("up_test.yml")}, 2, []string{"--run: error parsing regexp"}},
		{"unknown keys", []string{at("more_test.yml")}, 1, []string{at("more.yml") + `:1: group "m": unknown key "owner"`}},
		{"unknown keys are taken", []string{"--ignore-unknown-fields", at("more_test.yml")}, 0, []string{"passed (1 test)", `the collector would refuse these rules: ` + at("more.yml")}},
		{"tickets", []string{"--run", "^opens$", at("up_ticket_test.yml")}, 0, []string{"up_ticket_test.yml: passed (1 test)"}},
		{"no ticket", []string{at("up_ticket_test.yml")}, 1, []string{
			at("up_ticket_test.yml") + `:13: test "does not open": tickets at 1m: - expected, + got (got nothing)`, "- {asset: web1, service: disk b, state: new}"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := cli(t, append([]string{"test", "rules"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("says\n%s%s\nwant it to say %q", out, errs, want)
				}
			}
		})
	}
}

func TestTestRulesForMachines(t *testing.T) {
	dir := testFiles(t)
	file := filepath.Join(dir, "verdicts.xml")
	code, _, _ := cli(t, "test", "rules", "--junit", file, filepath.Join(dir, "up_test.yml"), filepath.Join(dir, "more_test.yml"))
	text, err := os.ReadFile(file)
	if err != nil || code != 1 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	var got junitFile
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 2 {
		t.Fatalf("%d suites, want two:\n%s", len(got.Suites), text)
	}
	up, more := got.Suites[0], got.Suites[1]
	if up.Tests != 2 || up.Failures != 1 || up.Errors != 0 || len(up.Cases) != 2 || len(up.Cases[0].Failures) != 0 ||
		len(up.Cases[1].Failures) != 1 || !strings.Contains(up.Cases[1].Failures[0], "alert Full at 0s") {
		t.Errorf("%+v", up)
	}
	if more.Errors != 1 || len(more.Cases) != 1 || !strings.Contains(more.Cases[0].Error, `unknown key "owner"`) {
		t.Errorf("%+v", more)
	}
	if code, _, errs := cli(t, "test", "rules", "--junit", filepath.Join(dir, "no", "where.xml"), filepath.Join(dir, "more_test.yml")); code != 1 || !strings.Contains(errs, "--junit: open") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
