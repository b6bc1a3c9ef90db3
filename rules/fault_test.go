package rules

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// flat are the faults that errors join, in order.
func flat(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flat(e)...)
	}
	return out
}

// compareFaults wants an error of just these faults, in order: each begins with its line of want.
func compareFaults(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	faults := flat(err)
	good := len(faults) == len(want)
	for i := 0; good && i < len(want); i++ {
		var e *Error
		good = strings.HasPrefix(faults[i].Error(), want[i]) && errors.As(faults[i], &e) && e.File != "" && e.Line > 0
	}
	if !good {
		t.Errorf("faults are\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

const (
	inGroup  = "groups:\n- name: g\n  "             // the third line
	inRule   = "groups:\n- name: g\n  rules:\n  - " // the fourth
	inAlert  = inRule + "alert: A\n    expr: up\n    "
	inRecord = inRule + "record: r\n    expr: up\n    "
)

// TestEveryFaultHasItsPlace: each fault that a file can have, with file and line; those of expressions with their column.
func TestEveryFaultHasItsPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"not a mapping", "- a", `r.yml:1: the file: want a mapping with keys of groups`},
		{"second document", "groups: []\n---\ngroups: []", `r.yml:3: a second YAML document: want one per file`},
		{"second document with nothing in it", "groups: []\n---\n", `r.yml:2: a second YAML document: want one per file`},
		{"second document that is no YAML", "groups: []\n---\na: b: c\n", `r.yml:3: a second YAML document: want one per file`},
		{"groups no list", "\ngroups: {}", `r.yml:2: groups: want a list`},
		{"unknown key in the file", "group: []", `r.yml:1: unknown key "group" in the file: want one of groups`},

		{"no group", "groups:\n- a", `r.yml:2: a group: want a mapping with keys of`},
		{"an empty group", "groups:\n-", `r.yml:2: a group: want a mapping with keys of`},
		{"group without a name", "groups:\n- rules: []", `r.yml:2: name is missing: want one that no other group has`},
		{"group with an empty name", "groups:\n- rules: []\n  name: ''", `r.yml:2: name is missing`},
		{"group with a list for a name", "groups:\n- rules: []\n  name: [a]", `r.yml:3: name: want a text`},
		{"group twice", "groups:\n- name: g\n- name: h\n- name: g", `r.yml:4: group "g": the group at line 2 has this name too: want names that are unique`},
		{"unknown key in a group", inGroup + "intervall: 5s", `r.yml:3: group "g": unknown key "intervall" in a group: want one of interval, labels,`},
		{"key twice", inGroup + "name: h", `r.yml:3: group "g": key "name" twice in a group: want it once`},
		{"interval", inGroup + "interval: often", `r.yml:3: group "g": interval: "often" is not a duration: want one like 30s, 5m or 1h30m`},
		{"query_offset", inGroup + "query_offset: -5m", `r.yml:3: group "g": query_offset: "-5m" is not a duration`},
		{"limit no number", inGroup + "limit: many", `r.yml:3: group "g": limit: "many" is not a whole number`},
		{"rules no list", inGroup + "rules: {alert: A}", `r.yml:3: group "g": rules: want a list`},
		{"group labels no mapping", inGroup + "labels: [a]", `r.yml:3: group "g": labels: want a mapping of names to texts`},
		{"metric name as a group label", inGroup + "labels:\n    a: b\n    __name__: c", `r.yml:5: group "g": labels: "__name__" is the metric's name: want another label`},
		{"group label without a name", inGroup + "labels:\n    '': b", `r.yml:4: group "g": labels: a name is empty`},
		{"group label that is no text", inGroup + "labels:\n    a: [b]", `r.yml:4: group "g": labels: "a": want a text`},
		{"group label that is not UTF-8", inGroup + "labels:\n    a: !!binary //79", `r.yml:4: group "g": labels: "a": "\xff\xfe\xfd" is not UTF-8`},
		{"group label that is not base64", inGroup + "labels:\n    a: !!binary '?'", `r.yml:4: group "g": labels: "a": "?" is no text that can be read as !!binary`},

		{"no rule", inRule + "a", `r.yml:4: group "g": rule "#1": a rule: want a mapping with keys of alert, annotations`},
		{"unknown key in a rule", inAlert + "fro: 5m", `r.yml:6: group "g": rule "A": unknown key "fro" in a rule: want one of alert, annotations, expr, for,`},
		{"no name", inRule + "expr: up", `r.yml:4: group "g": rule "#1": neither alert nor record: want one of them`},
		{"two names", inAlert + "record: r", `r.yml:6: group "g": rule "Ar": both alert and record: want one of them`},
		{"a list for a name", inRule + "expr: up\n    alert: [A]", `r.yml:5: group "g": rule "#1": alert: want a text`},
		{"record with braces", inRule + "expr: up\n    record: 'a{b=\"c\"}'", `r.yml:5: group "g": rule "a{b=\"c\"}": record: "a{b=\"c\"}" has braces: want a metric's name`},
		{"record that is not UTF-8", inRule + "expr: up\n    record: !!binary //79", `r.yml:5: group "g": rule "//79": record: "\xff\xfe\xfd" is not UTF-8`},
		{"for in a recording rule", inRecord + "for: 5m", `r.yml:6: group "g": rule "r": for in a recording rule: want it in alerts only`},
		{"keep_firing_for in a recording rule", inRecord + "keep_firing_for: 5m", `r.yml:6: group "g": rule "r": keep_firing_for in a recording rule`},
		{"annotations in a recording rule", inRecord + "annotations: {a: b}", `r.yml:6: group "g": rule "r": annotations in a recording rule`},
		{"for", inAlert + "for: 5 minutes", `r.yml:6: group "g": rule "A": for: "5 minutes" is not a duration: want one like`},
		{"keep_firing_for", inAlert + "keep_firing_for: [5m]", `r.yml:6: group "g": rule "A": keep_firing_for: "" is not a duration`},
		{"label twice", inAlert + "labels:\n      a: b\n      a: c", `r.yml:8: group "g": rule "A": key "a" twice in labels`},
		{"labels no mapping", inAlert + "labels: [a]", `r.yml:6: group "g": rule "A": labels: want a mapping`},
		{"metric name as a label", inAlert + "labels:\n      __name__: c", `r.yml:7: group "g": rule "A": labels: "__name__" is the metric's name`},
		{"label that is not UTF-8", inAlert + "labels:\n      a: !!binary //79", `r.yml:7: group "g": rule "A": labels: "a": "\xff\xfe\xfd" is not UTF-8`},
		{"label's name that is not UTF-8", inAlert + "labels:\n      !!binary //79: a", `r.yml:7: group "g": rule "A": labels: "\xff\xfe\xfd" is not UTF-8`},
		{"annotation without a name", inAlert + "annotations:\n      '': c", `r.yml:7: group "g": rule "A": annotations: a name is empty`},
		{"label's template", inAlert + "labels:\n      a: b\n      s: '{{ if }}'", `r.yml:8: group "g": rule "A": label "s": template: __alert_A:1: missing value for if`},
		{"annotation's template", inAlert + "annotations:\n      a: b\n      s: '{{ $x }}'", `r.yml:8: group "g": rule "A": annotation "s": template: __alert_A:1: undefined variable "$x": want a template such as`},
		{"label merged in", "groups:\n- name: g\n  labels: &l {a: b, __name__: x}\n- name: h\n  labels: {<<: *l, c: d}",
			`r.yml:3: group "g": labels: "__name__" is|r.yml:3: group "h": labels: "__name__" is`},
		{"anchor that contains itself", inGroup + "labels: &l\n    <<: *l\n", `r.yml:2: group "g": yaml: anchor 'l' value contains itself`},
		{"a rule again", "groups:\n- name: g\n  rules:\n  - &r {alert: A, expr: up, fro: 5m}\n  - *r", `r.yml:4: group "g": rule "A": unknown key "fro"`},
		{"merged what is no mapping", inAlert + "labels: {<<: [5]}", `r.yml:6: group "g": rule "A": << in labels: want a mapping whose keys are merged`},

		{"no expression", inRule + "alert: A", `r.yml:4: group "g": rule "A": expr is missing: want a PromQL expression such as up == 0`},
		{"an empty expression", inRule + "alert: A\n    expr: ''", `r.yml:4: group "g": rule "A": expr is missing`},
		{"an expression that is a list", inRule + "alert: A\n    expr: [up]", `r.yml:5: group "g": rule "A": expr: want a text`},
		{"an expression that is none", inRule + "alert: A\n    expr: sum(foo) by", `r.yml:5:22: group "g": rule "A": expr "sum(foo) by": unexpected end of input in grouping opts, expected "(": want a PromQL expression`},
		{"two faults in one expression", inRule + "alert: A\n    expr: rate(x) + rate(y)", `r.yml:5:16: group "g": rule "A": expr "rate(x) + rate(y)": expected type range vector|r.yml:5:26: group "g": rule "A": expr "rate(x) + rate(y)": expected type range vector`},
		{"in a block", inRule + "alert: A\n    expr: |\n\n      up\n        or foo(bar)\n      or x", `r.yml:8:12: group "g": rule "A": expr "or foo(bar)": unknown function`},
		{"folded", inRule + "alert: A\n    expr: >-\n      up\n      or foo(bar)", `r.yml:7:10: group "g": rule "A": expr "up or foo(bar)": unknown function`},
		{"over two lines", inRule + "alert: A\n    expr: up\n      or foo(bar)", `r.yml:6:10: group "g": rule "A": expr "up or foo(bar)": unknown function`},
		{"in single quotes", inRule + "alert: A\n    expr: 'x{y=''z''} + foo(bar)'", `r.yml:5:25: group "g": rule "A": expr "x{y='z'} + foo(bar)": unknown function`},
		{"in double quotes", inRule + "alert: A\n    expr: \"x{y=\\\"z\\\"} + foo(bar)\"", `r.yml:5:25: group "g": rule "A": expr "x{y=\"z\"} + foo(bar)": unknown function`},
		{"behind a wide letter", inRule + "alert: A\n    expr: 'x{y=\"ü\"} + foo(bar)'", `r.yml:5:23: group "g": rule "A": expr "x{y=\"ü\"} + foo(bar)": unknown function`},
		{"where it cannot be followed", inRule + "alert: A\n    expr: \"x{y='\\u007a'} + foo(bar)\"", `r.yml:5: group "g": rule "A": expr "x{y='z'} + foo(bar)", character 12 of it: unknown function`},
		{"an expression from elsewhere", "groups:\n- name: g\n  rules:\n  - {alert: A, expr: &x foo(}\n  - {alert: B, expr: *x}", `r.yml:4: group "g": rule "A": expr "foo(", character 5 of it|r.yml:4: group "g": rule "B": expr "foo(", character 5 of it`},
		{"range vector", inRule + "alert: A\n    expr: up[5m]", `r.yml:5:11: group "g": rule "A": expr "up[5m]": is a range vector, want an instant vector or a scalar`},
		{"text", inRule + "alert: A\n    expr: '\"up\"'", `r.yml:5:12: group "g": rule "A": expr "\"up\"": is a string, want an instant vector or a scalar`},
		{"a subquery of endless steps", inRule + "alert: A\n    expr: up == 0 or max_over_time(up[10y:1ms]) > 1", `r.yml:5:36: group "g": rule "A": expr "up == 0 or max_over_time(up[10y:1ms]) > 1": subquery up[10y:1ms] has 3.15e+11 steps, with those that it stands in, and may have 5000000: want a shorter range or a longer step`},
		{"fixed times", inRule + "alert: A\n    expr: up @ 100 or max_over_time(up[1h:] @ 5)", `r.yml:5:11: group "g": rule "A": expr "up @ 100 or max_over_time(up[1h:] @ 5)": @ with a fixed time|r.yml:5:37: group "g": rule "A": expr "up @ 100 or max_over_time(up[1h:] @ 5)": @ with a fixed time`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(map[string][]byte{"r.yml": []byte(c.text)})
			compareFaults(t, err, strings.Split(c.want, "|")...)
		})
	}
}

// TestWhatIsNoYAML has the line in which the file stops being YAML, or in which what is never closed was opened.
func TestWhatIsNoYAML(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
	}{
		{"list that is not closed", "groups: [", 1},
		{"list that is not closed, further down", "# a\ngroups:\n- name: g\n  rules: [\n\n- name: h\n", 4},
		{"text that is not closed", "groups:\n- name: 'g\n  rules: []\n", 2},
		{"two colons", inRule + "alert: A\n    expr: x: y\n    for: 5m", 5},
		{"wrong indentation", inRule + "alert: A\n    expr: up\n   for: 5m\n    labels: {}\n", 6},
		{"list in a mapping", "groups: []\n- a\n", 2},
		{"tab", "groups:\n\t- name: g\n", 2},
		{"sign at the beginning", inRule + "alert: A\n    expr: %x\n    for: 5m", 5},
		{"escape", "groups:\n- name: \"\\q\"\n", 2},
		{"no such anchor", "groups:\n- name: g\n  labels: *l\n- name: h\n", 3},
		{"not UTF-8", "groups:\n- name: g\n- name: \xff\n- name: h\n", 3},
		{"control character", "groups:\n- name: g\n- name: \x01\n- name: h\n", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(map[string][]byte{"r.yml": []byte(c.text)})
			compareFaults(t, err, fmt.Sprintf("r.yml:%d: not YAML: ", c.line))
		})
	}
}

// TestNoFaultHidesAnother: in a rule, in a group, in a file, in other files.
func TestNoFaultHidesAnother(t *testing.T) {
	_, err := Load(map[string][]byte{
		"a.yml": []byte(`groups:
- name: g
  intervall: 5s
  rules:
  - alert: A
    expr: foo @ 1234
    y: 5
  - alert: B
    expr: foo[5m]
    for: long
    labels: {__name__: x}
    annotations:
      a: '{{ $x }}'
      b: '{{ if }}'
  - record: c
    expr: sum(foo) by
    for: 5m
  - alert: D
    expr: up
- name: h
- limit: few
- name: g
`),
		"b.yml": []byte("groups: ["),
		"c.yml": []byte("x: 1\ngroups:\n- name: i\n- name: h\n"),
		"d.yml": []byte("groups:\n- name: i\n  rules:\n  - {record: '{', expr: up}\n"),
	})
	compareFaults(t, err,
		`a.yml:3: group "g": unknown key "intervall"`,
		`a.yml:6:11: group "g": rule "A": expr "foo @ 1234": @ with a fixed time`,
		`a.yml:7: group "g": rule "A": unknown key "y"`,
		`a.yml:9:11: group "g": rule "B": expr "foo[5m]": is a range vector`,
		`a.yml:10: group "g": rule "B": for: "long" is not a duration`,
		`a.yml:11: group "g": rule "B": labels: "__name__"`,
		`a.yml:13: group "g": rule "B": annotation "a": template`,
		`a.yml:14: group "g": rule "B": annotation "b": template`,
		`a.yml:16:22: group "g": rule "c": expr "sum(foo) by": unexpected end`,
		`a.yml:17: group "g": rule "c": for in a recording rule`,
		`a.yml:21: limit: "few" is not a whole number`,
		`a.yml:21: name is missing`,
		`a.yml:22: group "g": the group at line 2 has this name too`,
		`b.yml:1: not YAML`,
		`c.yml:1: unknown key "x"`,
		`c.yml:4: group "h": a.yml:20 has a group of this name too: want names that are unique over all files; rename one`,
		`d.yml:4: group "i": rule "{": record: "{" has braces`,
		`d.yml:2: group "i": c.yml:3 has a group of this name too`,
	)
}

// TestLoadGivesWhatHasNoFault so that it can be looked at for other faults at once.
func TestLoadGivesWhatHasNoFault(t *testing.T) {
	groups, err := Load(map[string][]byte{
		"a.yml": []byte(inRule + "alert: A\n    expr: sum(\n  - alert: B\n    expr: up == 0\n    labels: {system: printer}"),
		"b.yml": []byte("groups:\n- name: h\n  rules: [{alert: C, expr: up == 0, labels: {system: plotter}}]"),
	})
	if err == nil {
		t.Fatal("no error")
	}
	var got []string
	for _, f := range Check(groups, CheckOptions{}) {
		if f.Fault {
			got = append(got, fmt.Sprintf("%s:%d %s", f.File, f.Line, f.Rule))
		}
	}
	if s := strings.Join(got, ", "); s != "a.yml:6 B, b.yml:3 C" {
		t.Errorf("unknown systems are found in %s", s)
	}
}

// TestWhatPrometheusRefusesHasAPlace, should it ever know a fault that the reader does not.
func TestWhatPrometheusRefusesHasAPlace(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a rule", inAlert + "labels: {__name__: x}", `r.yml:4: group "g": rule "A": invalid label name: __name__`},
		{"a value", inGroup + "limit: many", `r.yml:3: cannot unmarshal !!str`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &reader{file: "r.yml", content: []byte(c.text), parser: NewParser()}
			r.ask()
			compareFaults(t, r.err(), c.want)
		})
	}
}
