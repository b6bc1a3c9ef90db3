package rules

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

const good = `
groups:
  - name: host
    interval: 30s
    query_offset: 10s
    limit: 7
    labels: {team: ops, severity: info}
    rules:
      - record: instance:load:avg5m
        expr: avg_over_time(node_load1[5m])
      - alert: Busy
        expr: instance:load:avg5m > 8
        for: 2m
        keep_firing_for: 1m
        labels: {severity: warning, service: cpu, system: server}
        annotations: {summary: "{{ $labels.instance }} is busy"}
`

func mustLoad(t testing.TB, text string) []Group {
	t.Helper()
	groups, err := Load(map[string][]byte{"rules.yml": []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func TestParseKeepsWhatTheFileSays(t *testing.T) {
	g := mustLoad(t, good)[0]
	if g.File != "rules.yml" || g.Name != "host" || g.Interval != 30*time.Second || g.QueryOffset != 10*time.Second || g.Limit != 7 {
		t.Errorf("group is %+v", g)
	}
	rec, alert := g.Rules[0], g.Rules[1]
	if rec.Alerting() || rec.Record != "instance:load:avg5m" || rec.Line != 9 {
		t.Errorf("recording rule is %+v", rec)
	}
	if !alert.Alerting() || alert.For != 2*time.Minute || alert.KeepFiringFor != time.Minute || alert.Line != 11 || alert.Limit != 7 {
		t.Errorf("alerting rule is %+v", alert)
	}
	want := labels.FromStrings("service", "cpu", "severity", "warning", "system", "server", "team", "ops")
	if !labels.Equal(alert.Labels, want) {
		t.Errorf("labels are %v, want %v", alert.Labels, want)
	}
	if alert.Origin.Group != "host" || alert.Origin.Name != "Busy" || alert.Origin.For != 2*time.Minute || len(alert.Origin.ID) != 16 {
		t.Errorf("origin is %+v", alert.Origin)
	}
}

func TestOriginIDChangesWithTheRuleOnly(t *testing.T) {
	id := func(from, to string) string {
		text := strings.Replace(good, from, to, 1)
		if from != "" && text == good {
			t.Fatalf("%q is not in the file", from)
		}
		return mustLoad(t, text)[0].Rules[1].Origin.ID
	}
	was := id("", "")
	for name, c := range map[string]struct {
		from, to string
		same     bool
	}{
		"group name":      {"name: host", "name: hosts", false},
		"rule name":       {"alert: Busy", "alert: VeryBusy", false},
		"expression":      {"> 8", "> 9", false},
		"label":           {"service: cpu", "service: load", false},
		"group label":     {"team: ops", "team: dev", false},
		"for":             {"for: 2m", "for: 3m", true},
		"annotation":      {"is busy", "works hard", true},
		"interval":        {"interval: 30s", "interval: 1m", true},
		"spaces in expr":  {"avg5m > 8", "avg5m   >    8", true},
		"order of labels": {"severity: warning, service: cpu", "service: cpu, severity: warning", true},
	} {
		if got := id(c.from, c.to); (got == was) != c.same {
			t.Errorf("%s: ID %s was %s, want same: %v", name, got, was, c.same)
		}
	}
}

func TestTheSameRuleTwiceHasTwoIDs(t *testing.T) {
	g := mustLoad(t, "groups: [{name: g, rules: [{alert: A, expr: up == 0}, {alert: A, expr: up == 0}]}]")[0]
	if g.Rules[0].Origin.ID == g.Rules[1].Origin.ID {
		t.Errorf("both have ID %s", g.Rules[0].Origin.ID)
	}
	if fs := Check([]Group{g}, CheckOptions{}); !slices.ContainsFunc(fs, func(f Finding) bool { return strings.Contains(f.Text, "same rule again") }) {
		t.Errorf("Check does not mind: %v", fs)
	}
}

func TestParseOfNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "groups:\n", "groups: []"} {
		if groups, err := Parse("r.yml", []byte(text)); err != nil || len(groups) != 0 {
			t.Errorf("%q: groups %v, error %v", text, groups, err)
		}
	}
}

func TestLookback(t *testing.T) {
	for expr, want := range map[string]time.Duration{
		"up == 0":                                    0,
		"up offset 10m":                              10 * time.Minute,
		"up offset -10m":                             0,
		"rate(x[5m])":                                5 * time.Minute,
		"rate(x[5m] offset 1h) + y":                  65 * time.Minute,
		"max_over_time(rate(x[5m])[1h:1m])":          65 * time.Minute,
		"max_over_time(x[1h:1m] offset 30m)":         90 * time.Minute,
		"avg_over_time(x[2h]) > rate(y[5m])":         2 * time.Hour,
		"avg_over_time(x[5m] @ end())":               5 * time.Minute,
		"min_over_time(max_over_time(x[5m:])[1h:]) ": 65 * time.Minute,
	} {
		r := mustLoad(t, "groups: [{name: g, rules: [{alert: A, expr: '"+expr+"'}]}]")[0].Rules[0]
		if r.Lookback != want {
			t.Errorf("%s looks back %v, want %v", expr, r.Lookback, want)
		}
	}
}

func TestLoadConnectsRecordingRules(t *testing.T) {
	groups := mustLoad(t, `
groups:
- name: b
  rules:
  - {alert: A, expr: 'c > 1 and d > 1'}
- name: c
  rules:
  - {record: c, expr: 'label_replace(e, "disk", "$1", "device", "(.*)") unless avg_over_time(f[10m]) > 1', labels: {kind: disk}}
  - {record: e, expr: 'rate(g[1h])'}
`)
	r := groups[0].Rules[0]
	var names, absent []string
	for _, s := range r.Selectors {
		for _, m := range s.Matchers {
			if m.Name == model.MetricNameLabel {
				names = append(names, m.Value)
				if s.Absence {
					absent = append(absent, m.Value)
				}
			}
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "c d e f g" {
		t.Errorf("selectors are %s", got)
	}
	if got := strings.Join(absent, " "); got != "f" {
		t.Errorf("selectors of absence are %s", got)
	}
	if r.Lookback != time.Hour {
		t.Errorf("looks back %v, want what the recorded series are made of", r.Lookback)
	}
	got := r.sought(labels.FromStrings("alertname", "A", "instance", "web1", "disk", "sda", "kind", "disk"))
	if want := labels.FromStrings("instance", "web1"); !labels.Equal(got, want) {
		t.Errorf("looks for %v, want %v", got, want)
	}
	if d := Lookback(groups); d != 65*time.Minute {
		t.Errorf("the window has to keep %v", d)
	}
}

func TestLoadConnectsRulesThatReadThemselvesAndOthersTwice(t *testing.T) {
	groups := mustLoad(t, `
groups:
- name: g
  rules:
  - {alert: A, expr: 'r > 1 and avg_over_time(r[1h]) > 1'}
  - {record: r, expr: 'rate(x[5m]) + r offset 1m'}
`)
	if d := groups[0].Rules[0].Lookback; d != 65*time.Minute {
		t.Errorf("looks back %v, want an hour of r, each of which looks back 5m", d)
	}
	if d := groups[0].Rules[1].Lookback; d != 5*time.Minute {
		t.Errorf("r looks back %v, want 5m", d)
	}
}

func TestLoadConnectsALERTS(t *testing.T) {
	r := mustLoad(t, "groups: [{name: g, rules: [{alert: A, expr: 'ALERTS{alertname=\"B\"} == 1'}, {alert: B, expr: 'b > 1'}, {alert: C, expr: 'c > 1'}]}]")[0].Rules[0]
	if len(r.Selectors) != 2 || r.Selectors[1].Matchers[0].Value != "b" {
		t.Errorf("selectors are %v, want ALERTS and what B reads", r.Selectors)
	}
}

func TestCheck(t *testing.T) {
	text := `
groups:
- name: g
  rules:
  - alert: Perfect
    expr: up == 0
    labels: {severity: critical, service: host, system: server}
    annotations: {summary: down}
  - alert: Templated
    expr: up == 0
    labels: {severity: '{{ $labels.sev }}', service: host, system: sql}
    annotations: {summary: down}
  - alert: Bare
    expr: up == 0
  - alert: Wrong
    expr: up == 0
    labels: {severity: page, service: host, system: printer}
    annotations: {summary: down}
  - record: r
    expr: up
`
	var got, faults []string
	for _, f := range Check(mustLoad(t, text), CheckOptions{}) {
		line := f.String()[:strings.Index(f.String(), ": want")]
		got = append(got, line)
		if f.Fault {
			faults = append(faults, line)
		}
	}
	want := []string{
		`rules.yml:9: group "g": rule "Templated": label "severity" is the template "{{ $labels.sev }}", of which nobody knows what it becomes before it fires`,
		`rules.yml:13: group "g": rule "Bare": label "severity" is missing`,
		`rules.yml:13: group "g": rule "Bare": label "system" is missing`,
		`rules.yml:13: group "g": rule "Bare": label "service" is missing`,
		`rules.yml:13: group "g": rule "Bare": annotation "summary" is missing`,
		`rules.yml:15: group "g": rule "Wrong": label "severity" is "page"`,
		`rules.yml:15: group "g": rule "Wrong": label "system" is "printer"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(faults) != 1 || faults[0] != want[6] {
		t.Errorf("faults are %q, want the unknown system alone: public rules lack our labels, and have severities of their own", faults)
	}
	if fs := Check(mustLoad(t, text), CheckOptions{Systems: []string{"server", "sql", "printer"}}); len(fs) != 6 {
		t.Errorf("with printer among the systems: %v", fs)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("groups: [{name: g, rules: [{alert: A, expr: 'up == 0', labels: &l {a: b}}, {record: r, expr: up, labels: *l}]}]"))
	f.Add([]byte("groups:\n- name: g\n  rules:\n  - expr: [1]\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		groups, err := Load(map[string][]byte{"f.yml": content})
		if err != nil {
			for _, fault := range flat(err) {
				var e *Error
				if !errors.As(fault, &e) || e.Err == nil || e.Err.Error() == "" {
					t.Fatalf("%v is no *Error that says something", fault)
				}
			}
		}
		for _, g := range groups {
			for _, r := range g.Rules {
				if r.Name() == "" || r.Origin.ID == "" || r.Expr == nil || r.Line == 0 {
					t.Fatalf("rule %+v of group %q is not whole", r, g.Name)
				}
			}
		}
	})
}
