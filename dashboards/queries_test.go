package dashboards

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

var update = flag.Bool("update", false, "rewrite testdata/values.golden")

// asked is one expression of a dashboard: a panel's, or the annotations'.
type asked struct {
	where string
	expr  string
	graph bool
	// shown are the labels that a table shows.
	shown []string
	// legend names the series by their labels.
	legend string
}

// inLegend is a label in the name of a series.
var inLegend = regexp.MustCompile(`\{\{(\w+)\}\}`)

// everything asked of a data source but the variables' own questions.
func everything(all []board) []asked {
	var out []asked
	for _, b := range all {
		for _, a := range b.Annotations.List {
			out = append(out, asked{b.file + ", annotation " + a.Name, a.Expr, true, nil, a.TitleFormat})
		}
		for _, p := range b.Panels {
			for _, t := range p.Targets {
				out = append(out, asked{fmt.Sprintf("%s, panel %q, query %s", b.file, p.Title, t.RefID), t.Expr, t.Range, p.shown(), t.LegendFormat})
			}
		}
	}
	return out
}

// chains are the variables of a dashboard with the values that they have when all is chosen, and what each offers.
func (w *world) chains(t testing.TB, b board) (all chosen, offered map[string][]string) {
	t.Helper()
	all, offered = builtIn(), map[string][]string{}
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		selector, label := labelValues(t, b.file, v)
		offered[v.Name] = w.values(t, all.fill(selector), label)
		all[v.Name] = []string{".*"}
	}
	return all, offered
}

// labelValues are the two parts of a variable's query.
func labelValues(t testing.TB, file string, v variable) (selector, label string) {
	t.Helper()
	inner, ok := strings.CutPrefix(v.Query, "label_values(")
	cut := strings.LastIndex(inner, ", ")
	if !ok || cut < 0 || !strings.HasSuffix(inner, ")") {
		t.Fatalf("%s: variable %s: expected label_values(SERIES, LABEL), got %q", file, v.Name, v.Query)
	}
	return inner[:cut], strings.TrimSuffix(inner[cut+2:], ")")
}

// TestEveryQueryReturnsData asks every panel, annotation and variable on the real engine, with everything chosen, with one
// value of each variable chosen, and with two. A mutation of any metric's name in any of them is seen.
func TestEveryQueryReturnsData(t *testing.T) {
	w := newWorld(t)
	var golden strings.Builder
	queries, mutants := 0, 0
	for _, b := range load(t) {
		all, offered := w.chains(t, b)
		for name, values := range offered {
			if len(values) == 0 {
				t.Errorf("%s: variable %s offers nothing", b.file, name)
			}
		}
		w.narrower(t, b, offered)
		for _, q := range everything([]board{b}) {
			queries++
			expr := all.fill(q.expr)
			if left := references(expr); len(left) > 0 {
				t.Errorf("%s: %v are no variables of this dashboard", q.where, left)
			}
			v, err := w.instant(expr)
			if err != nil {
				t.Errorf("%s: %v", q.where, err)
				continue
			}
			if !says(v) {
				t.Errorf("%s: nothing to draw: %s gives %v", q.where, expr, v)
			}
			if q.graph {
				if m, err := w.over(expr); err != nil || len(m) == 0 {
					t.Errorf("%s: no line: %v", q.where, err)
				}
			}
			for _, m := range inLegend.FindAllStringSubmatch(q.legend, -1) {
				q.shown = append(q.shown, m[1])
			}
			for _, label := range q.shown {
				if label != "Value" && !slices.ContainsFunc(v, func(s promql.Sample) bool { return s.Metric.Get(label) != "" }) {
					t.Errorf("%s: a column or the legend shows %s, which no series has: %v", q.where, label, v)
				}
			}
			fmt.Fprintf(&golden, "%s\n%s\n", q.where, w.told(t, expr, v))
			mutants += w.mutate(t, q.where, expr, v)
		}
	}
	if queries < 200 || mutants < 250 {
		t.Errorf("%d queries and %d mutants: this test does not see the dashboards", queries, mutants)
	}
	t.Logf("%d queries, %d mutants", queries, mutants)
	compare(t, golden.String())
}

// narrower asks with the first value that each variable offers, and with the first two: they have to be understood, and
// what is chosen is never more than all.
func (w *world) narrower(t *testing.T, b board, offered map[string][]string) {
	t.Helper()
	for most := 1; most <= 2; most++ {
		some := builtIn()
		for name, values := range offered {
			some[name] = values[:min(most, len(values))]
		}
		for _, q := range everything([]board{b}) {
			if _, err := w.instant(some.fill(q.expr)); err != nil {
				t.Errorf("%s: with %v: %v", q.where, some, err)
			}
		}
	}
}

// told is a result as the golden file has it. What the collector of this test measured itself is told without its values,
// for they are never the same.
func (w *world) told(t *testing.T, expr string, v promql.Vector) string {
	t.Helper()
	values := true
	for _, name := range metricsOf(t, expr) {
		values = values && !(strings.HasPrefix(name, "watchbill_") && !strings.HasPrefix(name, "watchbill_agent_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_"))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "  %s\n", expr)
	if !values {
		v = slices.Clone(v)
	}
	for _, s := range v {
		if values {
			fmt.Fprintf(&out, "    %s %.4g\n", s.Metric, s.F)
		} else {
			fmt.Fprintf(&out, "    %v\n", labelNames(s.Metric))
		}
		if !values { // how many there are depends on how far it came
			break
		}
	}
	return out.String()
}

func labelNames(l labels.Labels) (out []string) {
	l.Range(func(l labels.Label) { out = append(out, l.Name) })
	return out
}

// selectors are those of an expression.
func selectors(expr parser.Expr) (out []*parser.VectorSelector) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = append(out, s)
		}
		return nil
	})
	return out
}

func parsed(t testing.TB, expr string) parser.Expr {
	t.Helper()
	e, err := language.ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return e
}

// metricsOf are the names that an expression reads, each once.
func metricsOf(t testing.TB, expr string) (out []string) {
	t.Helper()
	for _, s := range selectors(parsed(t, expr)) {
		if !slices.Contains(out, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

// mutate misspells the metric of each selector of an expression by itself; a result that stays the same means that the
// check would not see that name change.
func (w *world) mutate(t *testing.T, where, expr string, right promql.Vector) (mutants int) {
	t.Helper()
	for i := range selectors(parsed(t, expr)) {
		mutants++
		wrong := misspell(t, expr, i)
		v, err := w.instant(wrong)
		if err == nil && cmp.Equal(fmt.Sprint(right), fmt.Sprint(v)) {
			t.Errorf("%s: a misspelt metric changes nothing: %s", where, wrong)
		}
	}
	return mutants
}

// misspell is an expression with another metric in its nth selector.
func misspell(t testing.TB, expr string, n int) string {
	t.Helper()
	e := parsed(t, expr)
	s := selectors(e)[n]
	s.Name += "_misspelt"
	for i, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			s.LabelMatchers[i] = labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, m.Value+"_misspelt")
		}
	}
	return e.String()
}

// compare holds what was said against the golden file.
func compare(t *testing.T, got string) {
	t.Helper()
	const name = "testdata/values.golden"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil { //nolint:gosec // for everybody to read
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("what queries answer has changed; look at it, then run with -update (-want +got):\n%s", diff)
	}
}
