package rules

import (
	"strings"
	"testing"
)

func TestResolves(t *testing.T) {
	const file = `
groups:
- name: g
  rules:
  - {alert: Plain, expr: a == 1}
  - {alert: Frozen, expr: a == 1, labels: {watchbill_missing: freeze}}
  - {alert: Stock, expr: a == 1, labels: {watchbill_missing: resolve}}
`
	for m, want := range map[Missing]map[string]bool{
		"":      {"Plain": false, "Frozen": false, "Stock": true},
		Freeze:  {"Plain": false, "Frozen": false, "Stock": true},
		Resolve: {"Plain": true, "Frozen": false, "Stock": true},
	} {
		groups, err := Load(map[string][]byte{"f.yml": []byte(file)})
		if err != nil {
			t.Fatal(err)
		}
		SetMissing(groups, m)
		for _, r := range groups[0].Rules {
			if got := r.Resolves(); got != want[r.Alert] {
				t.Errorf("by default %q: %s resolves %v, want %v", m, r.Alert, got, want[r.Alert])
			}
		}
	}
}

// A word that means nothing must not freeze or resolve in silence.
func TestAMissingLabelIsAWord(t *testing.T) {
	groups, err := Load(map[string][]byte{"f.yml": []byte(`
groups:
- name: g
  labels: {watchbill_missing: resolve}
  rules:
  - alert: Wrong
    expr: a == 1
    labels: {watchbill_missing: ignore}
  - alert: Right
    expr: b == 1
`)})
	if err != nil {
		t.Fatal(err)
	}
	SetMissing(groups, Freeze)
	var refused []string
	for _, f := range Check(groups, CheckOptions{}) {
		if f.Refused {
			refused = append(refused, f.String())
		}
	}
	if len(refused) != 1 || !strings.Contains(refused[0], `f.yml:6: group "g": rule "Wrong"`) || !strings.Contains(refused[0], "want freeze or resolve") {
		t.Errorf("refused %q", refused)
	}
	if !groups[0].Rules[1].Resolves() {
		t.Error("the group's label is not the rule's")
	}
}

func TestAboutUp(t *testing.T) {
	for expr, want := range map[string]bool{
		`up == 0`:                                               true,
		`up{job="node"} == 0`:                                   true,
		`{__name__="up", job="node"} != 1`:                      true,
		`absent(up{instance="x"})`:                              true,
		`avg_over_time(up[5m]) < 0.5`:                           true,
		`up == 0 unless on (instance) maintenance == 1`:         true,
		`up == 0 and on (instance) probe_success == 0`:          true,
		`(up == 0) or absent(up{instance="x"})`:                 true,
		`max by (instance) (up{job=~"node|windows"}) == 0`:      true,
		`node_load1 > 5 and on (instance) up == 1`:              false,
		`probe_success == 0`:                                    false,
		`group_over_time(upstream_errors[5m]) > 1`:              false,
		`up * on (instance) group_left node_load1 > 1`:          false,
		`up == 0 or on (instance) probe_success == 0`:           false,
		`{__name__=~"up"} == 0`:                                 false,
		`vector(1) > 0`:                                         false,
		`up ==`:                                                 false,
		`count by (site) (up == 0) > 3 and count(node_up) == 1`: true,
	} {
		if got := AboutUp(expr); got != want {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
}
