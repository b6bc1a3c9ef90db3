package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// checked is what Check finds in a file: the line, what it does to the rule, and the text up to what is wanted.
func checked(t *testing.T, content string, m Missing) []string {
	t.Helper()
	files := map[string][]byte{"r.yml": []byte(content)}
	groups, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	SetMissing(groups, m)
	var out []string
	for _, f := range Check(groups, CheckOptions{Files: files}) {
		weight := "warns"
		switch {
		case f.Refused && f.Fault:
			weight = "refused"
		case f.Refused:
			weight = "refused and no fault"
		case f.Fault:
			weight = "fault"
		}
		text, _, _ := strings.Cut(strings.Replace(f.Text, "; want", ": want", 1), ": want")
		out = append(out, fmt.Sprintf("%d %s %s: %s", f.Line, weight, f.Rule, text))
	}
	return out
}

func compareFindings(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A finding has the line of what is wrong, wherever that stands: in the rule, in the group, in what is merged into it.
func TestFindingsHaveTheirLine(t *testing.T) {
	compareFindings(t, checked(t, `groups:
- name: first
  labels:
    severity: urgent
    service: host
  rules:
  - alert: Own
    annotations: {summary: s}
    expr: up == 0
    labels:
      x: y
      system: serverr
  - alert: Flow
    expr: up == 0
    labels: {severity: info, system: serverr, watchbill_missing: foo}
    annotations: {summary: s}
  - {alert: A, expr: up == 0, labels: &l {system: sql,
       severity: page}, annotations: {summary: s}}
  - alert: Alias
    expr: up == 1
    labels: *l
    annotations: {summary: s}
  - alert: None
    expr: up == 2
- name: second
  rules:
  - alert: None
    expr: up == 2
    labels: {severity: info, service: x,
             system: none}
    annotations: {summary: s}
`, Freeze), []string{
		`4 warns Own: label "severity" is "urgent"`,
		`12 fault Own: label "system" is "serverr"`,
		`15 refused Flow: label "watchbill_missing" is "foo"`,
		`15 fault Flow: label "system" is "serverr"`,
		`18 warns A: label "severity" is "page"`,
		`18 warns Alias: label "severity" is "page"`,
		`4 warns None: label "severity" is "urgent"`,
		`23 warns None: label "system" is missing`,
		`23 warns None: annotation "summary" is missing`,
		`30 fault None: label "system" is "none"`,
	})
}

// What a template can become is looked at as if it stood there.
func TestTemplatesOfWords(t *testing.T) {
	for _, c := range []struct{ name, label, want string }{
		{"two words", `system: '{{ if gt $value 1.0 }}sql{{ else }}server{{ end }}'`, ""},
		{"by a variable", `system: '{{ $x := $labels.x }}{{ if $x }}sql{{ else if $value }}iis{{ else }}server{{ end }}'`, ""},
		{"part of a word", `system: 's{{ with $labels.x }}erver{{ else }}ql{{ end }}'`, ""},
		{"one of them wrong", `system: '{{ if gt $value 1.0 }}sql{{ else }}serverr{{ end }}'`, `fault R: label "system" becomes "serverr" by its template`},
		{"nothing else", `system: '{{ if gt $value 1.0 }}sql{{ end }}'`, `warns R: label "system" becomes empty by its template`},
		{"a value", `system: 'x{{ $labels.x }}'`, `warns R: label "system" is the template "x{{ $labels.x }}", of which nobody knows`},
		{"a value somewhere", `system: '{{ if $value }}{{ $labels.x }}{{ else }}sql{{ end }}'`, `warns R: label "system" is the template`},
		{"a loop", `system: '{{ range query "up" }}sql{{ end }}'`, `warns R: label "system" is the template`},
		{"too many", `system: '` + strings.Repeat(`{{ if $value }}a{{ else }}b{{ end }}`, 7) + `'`, `warns R: label "system" is the template`},
		{"severity", `severity: '{{ if gt $value 1.0 }}critical{{ else }}urgent{{ end }}'`, `warns R: label "severity" becomes "urgent" by its template`},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, _, _ := strings.Cut(c.label, ":")
			labels := map[string]string{"severity": "severity: info", "system": "system: sql"}
			labels[name] = c.label
			got := checked(t, "groups:\n- name: g\n  rules:\n  - alert: R\n    expr: up == 0\n    annotations: {summary: s}\n    labels:\n      service: x\n      "+
				labels["severity"]+"\n      "+labels["system"]+"\n", Freeze)
			line := map[string]string{"severity": "9 ", "system": "10 "}[name]
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], line+c.want)) {
				t.Errorf("found %q, want %q", got, line+c.want)
			}
		})
	}
}

// A rule that looks back further than the window keeps samples never gives anything, and nobody would notice.
func TestRulesThatLookBackTooFar(t *testing.T) {
	const alert = "groups:\n- name: g\n  rules:\n  - alert: R\n    labels: {severity: info, service: x, system: sql}\n    annotations: {summary: s}\n    expr: "
	const never = `, and the window keeps 8d: it is unknown for ever: its alerts neither begin nor end`
	for _, c := range []struct {
		name, text string
		missing    Missing
		want       []string
	}{
		{"a month", alert + "rate(x[30d]) > 1", Freeze, []string{"7 fault R: looks back 30d" + never}},
		{"just that", alert + "rate(x[8d]) > 1", Freeze, nil},
		{"an offset", alert + "x offset 9d > 1", Freeze, []string{"7 fault R: looks back 9d" + never}},
		{"a subquery", alert + "max_over_time(rate(x[5d])[5d:1h]) > 1", Freeze, []string{"7 fault R: looks back 10d" + never}},
		{"as Prometheus", alert + "rate(x[30d]) > 1", Resolve, []string{"7 warns R: looks back 30d, and the window keeps 8d: it sees no more than that"}},
		{"a group that is late", strings.Replace(alert, "  rules:", "  query_offset: 1h\n  rules:", 1) + "rate(x[8d]) > 1", Freeze,
			[]string{"8 fault R: looks back 8d1h" + never}},
		{"what is recorded", "groups:\n- name: f\n  rules:\n  - record: r\n    expr: |\n      rate(x[30d])\n- name: g\n" + strings.SplitN(alert, "\n", 3)[2] + "r > 1", Freeze, []string{
			"5 fault r: looks back 30d, and the window keeps 8d: what it records is unknown for ever",
			"12 fault R: looks back 30d through the series of other rules" + never}},
	} {
		t.Run(c.name, func(t *testing.T) { compareFindings(t, checked(t, c.text, c.missing), c.want) })
	}
}

// The words that findings ask for are said once, however many ask.
func TestWordsAreSaidOnce(t *testing.T) {
	var text strings.Builder
	text.WriteString("groups:\n- name: g\n  rules:\n")
	for i := range 50 {
		fmt.Fprintf(&text, "  - {alert: R%d, expr: up == 0, labels: {system: none, severity: none}}\n", i)
	}
	found := Check(mustLoad(t, text.String()), CheckOptions{})
	words := Words(found)
	if len(words) != 1 || !strings.Contains(words[0], strings.Join(Systems, ", ")) {
		t.Errorf("words %q", words)
	}
	for _, f := range found {
		if strings.Contains(f.Text, Systems[0]) {
			t.Errorf("%s: the list again", f)
		}
	}
}

// A test passes as in promtool, and says what a check of its rules would find fault with, or that no collector takes them.
func TestTestsDoubtTheirRules(t *testing.T) {
	for label, want := range map[string]string{
		"watchbill_missing: foo": `t.yml: the collector would refuse these rules: r.yml:6: group "g": rule "R": label "watchbill_missing" is "foo"`,
		"system: serverr":        `t.yml: a check of these rules fails: r.yml:6: group "g": rule "R": label "system" is "serverr"`,
		"severity: urgent":       "",
		"system: sql":            "",
	} {
		rule := "groups:\n- name: g\n  rules:\n  - alert: R\n    expr: up == 0\n    labels: {" + label + "}\n"
		report, err := TestRun{File: "t.yml", Content: []byte("rule_files: [r.yml]\ntests: [{interval: 1m}]"),
			Open: func(string) ([]byte, error) { return []byte(rule), nil }}.Run(t.Context())
		if err != nil || len(report.Failures) > 0 {
			t.Errorf("%s: %+v, %v", label, report, err)
		}
		if want == "" && len(report.Warnings) > 0 || want != "" && (len(report.Warnings) == 0 || !strings.HasPrefix(report.Warnings[0], want)) {
			t.Errorf("%s: warns %q, want %q", label, report.Warnings, want)
		}
	}
}
