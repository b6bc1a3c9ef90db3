package packs_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/rules"
)

// wholeNumbers are the rules whose whole numbers are moved by one rather than by a tenth: what they are compared with counts,
// and nothing lies between two of its values.
var wholeNumbers = map[string]string{
	"CollectorRestartsOver":      "starts",
	"IISAppPoolRecyclesOften":    "recycles",
	"IISRapidFailNear":           "failures",
	"InterfaceFlaps":             "changes of state",
	"ManyAgentsSilent":           "agents",
	"NetworkLinkFlaps":           "changes of the carrier",
	"PacketLoss":                 "times at which packets begin or cease to be lost",
	"SQLDatabaseOffline":         "states of a database have numbers",
	"SQLDatabaseSuspect":         "states of a database have numbers",
	"SQLDeadlocks":               "deadlocks",
	"SQLLogGrows":                "growths",
	"SQLSessionsBlocked":         "sessions",
	"WindowsRemoteDesktopFails":  "connections",
	"WindowsServiceRestartsOver": "processes",
	"WindowsSessionsLeftOpen":    "sessions",
}

// notHeld are the mutants that no test has to catch, each with its reason, by rule and by what is wrong with them.
var notHeld = map[string]string{
	"FilesystemFillsWithin4Hours: boundary: predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) <= 0":            aByte,
	"FilesystemFillsWithin4Hours: number: predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < 0: 0 -> -1":      aByte,
	"FilesystemFillsWithin4Hours: number: predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < 0: 0 -> 1":       aByte,
	"WindowsDiskFillsWithin4Hours: boundary: predict_linear(windows_logical_disk_free_bytes[1h], 4 * 3600) <= 0":       aByte,
	"WindowsDiskFillsWithin4Hours: number: predict_linear(windows_logical_disk_free_bytes[1h], 4 * 3600) < 0: 0 -> -1": aByte,
	"WindowsDiskFillsWithin4Hours: number: predict_linear(windows_logical_disk_free_bytes[1h], 4 * 3600) < 0: 0 -> 1":  aByte,
	"PacketLoss: boundary: 1 - avg_over_time(probe_success[10m]) >= 0.05": "1 - 0.95 is a little more than 0.05 in floating " +
		"point: no share of losses is the boundary",
}

const aByte = "a byte more or less in four hours is the same forecast; the four hours themselves are held"

// Whoever gets a rule a little wrong has a test that fails: a number that something is compared with, a wait or a range, the
// side on which equals fall, an operand that restricts or adds. All mutants of a rule are run at once, under names of their own,
// by the rules' programs, which cost half of what the engine does; that both give the same is what TestPacksPassTheirTests asks.
func TestPackTestsHoldTheirThresholds(t *testing.T) {
	excepted := map[string]bool{}
	for name := range byFile(t) {
		var pack packFile
		if err := yaml.Unmarshal(read(t, name), &pack); err != nil {
			t.Fatal(err)
		}
		tests := testsOf(t, name)
		for _, g := range pack.Groups {
			for _, r := range g.Rules {
				for reason := range exceptionsOf(r.Alert) {
					excepted[reason] = true
				}
				t.Run(r.Alert, func(t *testing.T) {
					t.Parallel()
					holds(t, r, tests)
				})
			}
		}
	}
	for what := range notHeld {
		if !excepted[what] {
			t.Errorf("notHeld names %s, and there is no such rule", what)
		}
	}
}

// exceptionsOf are the entries of notHeld about a rule.
func exceptionsOf(alert string) map[string]bool {
	out := map[string]bool{}
	for what := range notHeld {
		if strings.HasPrefix(what, alert+": ") {
			out[what] = true
		}
	}
	return out
}

// testsOf are the files of rule tests of a pack.
func testsOf(t *testing.T, pack string) []testsFile {
	t.Helper()
	var out []testsFile
	for _, n := range ruleTests(t) {
		if !strings.HasPrefix(n, strings.TrimSuffix(pack, ".yml")+"_") {
			continue
		}
		var f testsFile
		if err := yaml.Unmarshal(read(t, n), &f); err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		out = append(out, f)
	}
	return out
}

// holds runs the mutants of a rule, and the rule itself beside them, through the tests that are about it.
func holds(t *testing.T, r packRule, files []testsFile) {
	mutants, err := mutantsOf(r, wholeNumbers[r.Alert] != "")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := metricsOf(r.Expr)
	if err != nil {
		t.Fatal(err)
	}
	itself, left := named(r.Alert, 0), map[string]packRule{named(r.Alert, 0): r}
	for i, m := range mutants {
		left[named(r.Alert, i+1)] = m.rule
	}
	for _, f := range files {
		if f = f.about(r.Alert, metrics); len(f.Tests) == 0 {
			continue
		}
		for n := range caught(t, f, r.Alert, left) {
			if n == itself {
				t.Fatalf("%s does not pass its own tests", r.Alert)
			}
			delete(left, n)
		}
	}
	open := exceptionsOf(r.Alert)
	for i, m := range mutants {
		what := r.Alert + ": " + m.name
		_, survived := left[named(r.Alert, i+1)]
		if _, listed := notHeld[what]; listed && !survived {
			t.Errorf("%s: a test catches it now: take it out of notHeld", what)
		} else if !listed && survived {
			t.Errorf("%s: no test fails: add a case on each side", what)
		}
		delete(open, what)
	}
	for what := range open {
		t.Errorf("notHeld names %s, which is no mutant of the rule", what)
	}
}

func named(alert string, mutant int) string { return fmt.Sprintf("%s_m%d", alert, mutant) }

var mutantName = regexp.MustCompile(`\w+_m\d+\b`)

// caught is which of some rules do not pass tests. A rule that cannot be evaluated ends a test for all: they are run again
// without it.
func caught(t *testing.T, tests testsFile, alert string, all map[string]packRule) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for again := true; again && len(out) < len(all); {
		again = false
		var names []string
		group := packGroup{Name: "mutants"}
		for _, n := range slices.Sorted(maps.Keys(all)) {
			if r := all[n]; !out[n] {
				r.Alert = n
				names, group.Rules = append(names, n), append(group.Rules, r)
			}
		}
		pack, content := marshal(t, packFile{Groups: []packGroup{group}}), marshal(t, tests.of(alert, names))
		report, err := rules.TestRun{
			File: alert, Content: content, Open: func(string) ([]byte, error) { return pack, nil }, Evaluation: rules.AtArrival,
		}.Run(t.Context())
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, pack, content)
		}
		for _, f := range report.Failures {
			for _, n := range mutantName.FindAllString(f.What, -1) {
				again = again || !out[n] && strings.HasPrefix(f.What, "rule ")
				out[n] = true
			}
		}
	}
	return out
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testsFile is a file of rule tests, without what alerts say.
type testsFile struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval,omitempty"`
	Tests              []testOf       `yaml:"tests"`
}

type testOf struct {
	Name           string         `yaml:"name"`
	Interval       model.Duration `yaml:"interval,omitempty"`
	StartTimestamp string         `yaml:"start_timestamp,omitempty"`
	InputSeries    []testSeries   `yaml:"input_series"`
	Alerts         []alertTest    `yaml:"alert_rule_test,omitempty"`
	Exprs          []exprTest     `yaml:"promql_expr_test,omitempty"`
}

type testSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type alertTest struct {
	Alertname string         `yaml:"alertname"`
	EvalTime  model.Duration `yaml:"eval_time"`
	ExpAlerts []expAlert     `yaml:"exp_alerts"`
}

type expAlert struct {
	Labels map[string]string `yaml:"exp_labels"`
}

type exprTest struct {
	Expr       string         `yaml:"expr"`
	EvalTime   model.Duration `yaml:"eval_time"`
	ExpSamples []any          `yaml:"exp_samples"`
}

// about is the tests that ask for one alert, with the series of the metrics that its rule reads; of all where metrics is nil.
func (f testsFile) about(alert string, metrics []string) testsFile {
	tests := f.Tests
	f.Tests = nil
	for _, t := range tests {
		t.Alerts = only(t.Alerts, func(a alertTest) bool { return a.Alertname == alert })
		t.Exprs = only(t.Exprs, func(x exprTest) bool { return strings.Contains(x.Expr, `"`+alert+`"`) })
		t.InputSeries = only(t.InputSeries, func(s testSeries) bool {
			name, _, _ := strings.Cut(s.Series, "{")
			return metrics == nil || slices.Contains(metrics, name)
		})
		if len(t.Alerts)+len(t.Exprs) > 0 {
			f.Tests = append(f.Tests, t)
		}
	}
	return f
}

// of asks of each of some rules what the tests ask of alert.
func (f testsFile) of(alert string, names []string) testsFile {
	f.RuleFiles, f.Tests = []string{"mutants.yml"}, slices.Clone(f.Tests)
	for i := range f.Tests {
		t := &f.Tests[i]
		alerts, exprs := t.Alerts, t.Exprs
		t.Alerts, t.Exprs = nil, nil
		for _, n := range names {
			for _, a := range alerts {
				a.Alertname = n
				t.Alerts = append(t.Alerts, a)
			}
			for _, x := range exprs {
				x.Expr = strings.ReplaceAll(x.Expr, `"`+alert+`"`, `"`+n+`"`)
				t.Exprs = append(t.Exprs, x)
			}
		}
	}
	return f
}

func only[T any](all []T, keep func(T) bool) []T {
	var out []T
	for _, x := range all {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}
