package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promrules "github.com/prometheus/prometheus/rules"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/rules/window"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sample(v float64, lbls ...string) promql.Sample {
	return promql.Sample{F: v, Metric: labels.FromStrings(lbls...)}
}

func oneRule(t testing.TB, fields string) *Rule {
	t.Helper()
	return mustLoad(t, "groups: [{name: g, rules: [{alert: A, expr: up, "+fields+"}]}]")[0].Rules[0]
}

// moment is one evaluation: what the expression gives and what is known of the series.
type moment struct {
	at    time.Duration
	holds bool
	know  window.State
	want  string // FROM>TO END of each transition
}

func TestStep(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name, rule string
		moments    []moment
	}{
		{"fires at once without for", "for: 0s", []moment{
			{0, true, window.Live, "inactive>firing"}, {10 * s, true, window.Live, ""},
			{20 * s, false, window.Live, "firing>inactive recovered"}, {30 * s, false, window.Live, ""},
		}},
		{"fires when for has passed", "for: 20s", []moment{
			{0, true, window.Live, "inactive>pending"}, {10 * s, true, window.Live, ""}, {20 * s, true, window.Live, "pending>firing"},
		}},
		{"one miss ends a pending alert", "for: 20s", []moment{
			{0, true, window.Live, "inactive>pending"}, {10 * s, false, window.Live, "pending>inactive recovered"},
			{20 * s, true, window.Live, "inactive>pending"}, {30 * s, true, window.Live, ""}, {40 * s, true, window.Live, "pending>firing"},
		}},
		{"keeps firing", "keep_firing_for: 20s", []moment{
			{0, true, window.Live, "inactive>firing"}, {10 * s, false, window.Live, "firing>firing"}, {20 * s, false, window.Live, ""},
			{30 * s, false, window.Live, "firing>inactive recovered"},
		}},
		{"holds again while it keeps firing", "keep_firing_for: 20s", []moment{
			{0, true, window.Live, "inactive>firing"}, {10 * s, false, window.Live, "firing>firing"}, {20 * s, true, window.Live, "firing>firing"},
			{30 * s, false, window.Live, "firing>firing"}, {40 * s, false, window.Live, ""}, {50 * s, false, window.Live, "firing>inactive recovered"},
		}},
		{"unknown begins nothing", "for: 0s", []moment{
			{0, true, window.Unknown, ""}, {10 * s, true, window.Live, "inactive>firing"},
		}},
		{"unknown freezes a firing alert", "for: 0s", []moment{
			{0, true, window.Live, "inactive>firing"}, {10 * s, false, window.Unknown, ""}, {time.Hour, false, window.Unknown, ""},
			{2 * time.Hour, false, window.Live, "firing>inactive recovered"},
		}},
		{"unknown freezes a pending alert, held or not", "for: 20s", []moment{
			{0, true, window.Live, "inactive>pending"}, {20 * s, true, window.Unknown, ""}, {30 * s, false, window.Unknown, ""},
			{40 * s, true, window.Live, "pending>firing"},
		}},
		{"series gone is no recovery", "for: 0s", []moment{
			{0, true, window.Live, "inactive>firing"}, {10 * s, false, window.Gone, "firing>inactive series gone"},
		}},
		{"a result without series fires", "for: 0s", []moment{
			{0, true, window.Gone, "inactive>firing"}, {10 * s, false, window.Live, "firing>inactive recovered"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := oneRule(t, c.rule)
			var active Active
			for _, m := range c.moments {
				in := Input{At: epoch.Add(m.at), Look: func(Sought) window.Standing { return window.Standing{State: m.know} }}
				if m.holds {
					in.Result = promql.Vector{sample(1, "instance", "web1")}
				}
				next, ts, err := r.Step(t.Context(), active, in)
				if err != nil {
					t.Fatal(err)
				}
				if got := describe(ts); got != m.want {
					t.Errorf("at %v: %q, want %q", m.at, got, m.want)
				}
				active = next
			}
		})
	}
}

func describe(ts []Transition) string {
	var out []string
	for _, x := range ts {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s>%s %s", x.From, x.Alert.State, x.Alert.End)))
	}
	return strings.Join(out, ", ")
}

func TestStepOfALongerFor(t *testing.T) {
	firing, _, err := oneRule(t, "for: 0s").Step(t.Context(), nil, Input{At: epoch, Result: promql.Vector{sample(1)}})
	if err != nil {
		t.Fatal(err)
	}
	longer := oneRule(t, "for: 1m")
	in := Input{At: epoch.Add(10 * time.Second), Result: promql.Vector{sample(1)}}
	_, ts, err := longer.Step(t.Context(), firing, in)
	if got := describe(ts); err != nil || got != "firing>pending" || !ts[0].Alert.FiredAt.IsZero() {
		t.Errorf("%q, error %v: want firing>pending, as Prometheus does", got, err)
	}
}

func TestStepTellsWhenItBeganToBeBad(t *testing.T) {
	for name, c := range map[string]struct{ newest, want time.Time }{
		"sample before":   {epoch.Add(-7 * time.Second), epoch.Add(-7 * time.Second)},
		"no sample":       {time.Time{}, epoch},
		"sample to come":  {epoch.Add(time.Second), epoch},
		"sample just now": {epoch, epoch},
	} {
		in := Input{
			At: epoch, Result: promql.Vector{sample(1)},
			Look: func(Sought) window.Standing { return window.Standing{State: window.Live, Newest: c.newest} },
		}
		_, ts, err := oneRule(t, "for: 1m").Step(t.Context(), nil, in)
		if err != nil || !ts[0].Alert.FirstBadAt.Equal(c.want) || !ts[0].Alert.ActiveAt.Equal(epoch) {
			t.Errorf("%s: first bad at %v, active at %v, error %v; want %v", name, ts[0].Alert.FirstBadAt, ts[0].Alert.ActiveAt, err, c.want)
		}
	}
}

func TestStepLabelsAndAnnotations(t *testing.T) {
	r := mustLoad(t, `
groups:
- name: g
  rules:
  - alert: Full
    expr: avail < 10
    labels: {severity: warning, service: 'disk {{ $labels.device }}', device: fixed}
    annotations:
      summary: '{{ $labels.instance }} of {{ $labels.customer }} has {{ $value | humanize }} in {{ $externalLabels.zone }}, {{ with query "peers" }}{{ . | first | value }}{{ end }} peers'
      broken: '{{ query "fails" | first }}'
`)[0].Rules[0]
	var sought Sought
	in := Input{
		At: epoch, Result: promql.Vector{sample(1500, "__name__", "avail", "instance", "web1", "device", "sda")},
		ExternalLabels: map[string]string{"zone": "north"},
		AssetOf: func(i string) (window.Asset, bool) {
			return window.Asset{Name: i, Customer: "acme", Site: "hq"}, i == "web1"
		},
		Query: func(_ context.Context, q string, at time.Time) (promql.Vector, error) {
			if q == "fails" {
				return nil, errors.New("no engine")
			}
			return promql.Vector{sample(3)}, nil
		},
		Look: func(q Sought) window.Standing { sought = q; return window.Standing{State: window.Live} },
	}
	active, ts, err := r.Step(t.Context(), nil, in)
	if err != nil || len(ts) != 1 {
		t.Fatalf("transitions %v, error %v", ts, err)
	}
	a := ts[0].Alert
	want := labels.FromStrings("alertname", "Full", "customer", "acme", "site", "hq", "instance", "web1", "device", "fixed",
		"severity", "warning", "service", "disk sda")
	if !labels.Equal(a.Labels, want) {
		t.Errorf("labels are %v, want %v", a.Labels, want)
	}
	if got := a.Annotations.Get("summary"); got != "web1 of acme has 1.5k in north, 3 peers" {
		t.Errorf("summary is %q", got)
	}
	if got := a.Annotations.Get("broken"); !strings.HasPrefix(got, "<error expanding template:") {
		t.Errorf("broken is %q", got)
	}
	if want := labels.FromStrings("customer", "acme", "site", "hq", "instance", "web1"); !labels.Equal(sought.Labels, want) || !sought.Holds {
		t.Errorf("looks for %v, want %v", sought.Labels, want)
	}
	if _, ok := active[sought.ID]; !ok || ts[0].ID() != sought.ID {
		t.Errorf("the alert's ID is not that which was looked for: %v", sought.ID)
	}
	in.Result[0].F = 2
	next, ts, err := r.Step(t.Context(), active, in)
	if err != nil || len(ts) != 0 || next[sought.ID].Value != 2 || active[sought.ID].Value != 1500 {
		t.Errorf("a refreshed value: %v became %v with transitions %v, error %v", active, next, ts, err)
	}
}

func TestStepErrorsChangeNothing(t *testing.T) {
	r := mustLoad(t, "groups: [{name: g, limit: 2, rules: [{alert: A, expr: up, labels: {x: same}}]}]")[0].Rules[0]
	active, _, err := r.Step(t.Context(), nil, Input{At: epoch, Result: promql.Vector{sample(1, "i", "a")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		result promql.Vector
		want   error
	}{
		"same labels": {promql.Vector{sample(1, "i", "a", "x", "1"), sample(1, "i", "a", "x", "2")}, ErrDuplicateLabels},
		"limit":       {promql.Vector{sample(1, "i", "a"), sample(1, "i", "b"), sample(1, "i", "c")}, ErrLimit},
	} {
		next, ts, err := r.Step(t.Context(), active, Input{At: epoch.Add(time.Minute), Result: c.result})
		if !errors.Is(err, c.want) || len(ts) != 0 || !cmp.Equal(next, active, cmp.Comparer(labels.Equal)) {
			t.Errorf("%s: error %v, transitions %v, alerts %v; want %v and nothing changed", name, err, ts, next, c.want)
		}
	}
}

// TestStepIsPrometheus runs random results through Step and through Prometheus' own rule at the same times.
func TestStepIsPrometheus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string) time.Duration {
			return time.Duration(rapid.IntRange(0, 6).Draw(t, name)) * 10 * time.Second
		}
		r := &Rule{
			Alert: "A", For: seconds("for"), KeepFiringFor: seconds("keep_firing_for"),
			Labels:      labels.FromStrings("severity", "warning", "sign", "{{ if gt $value 2.0 }}high{{ else }}low{{ end }}"),
			Annotations: labels.FromStrings("summary", "{{ $labels.i }} is {{ $value }}"), Origin: Origin{ID: "r"},
		}
		expr, err := NewParser().ParseExpr("x")
		if err != nil {
			t.Fatal(err)
		}
		r.Expr = expr
		peer := promrules.NewAlertingRule("A", expr, r.For, r.KeepFiringFor, r.Labels, r.Annotations, labels.EmptyLabels(), "", true, promslog.NewNopLogger())
		var active Active
		restart := rapid.IntRange(0, 30).Draw(t, "restart")
		stored := map[string]Transition{} // what a store keeps: the last transition of every alert
		at := epoch
		for n := range rapid.IntRange(1, 30).Draw(t, "evaluations") {
			at = at.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "wait")) * 5 * time.Second)
			result := drawResult(t)
			if n == restart {
				active = restored(t, stored, active)
			}
			next, ts, err := r.Step(context.Background(), active, Input{At: at, Result: result})
			query := func(context.Context, string, time.Time) (promql.Vector, error) { return result, nil }
			if _, perr := peer.Eval(context.Background(), 0, at, query, nil, 0); perr != nil || err != nil {
				t.Fatalf("errors %v, Prometheus' %v", err, perr)
			}
			compareWithPeer(t, next, peer)
			active = follow(t, active, next, ts, stored)
		}
	})
}

func drawResult(t *rapid.T) promql.Vector {
	var out promql.Vector
	for _, i := range []string{"a", "b", "c"} {
		if v := rapid.IntRange(-3, 4).Draw(t, i); v > 0 {
			out = append(out, sample(float64(v), "__name__", "x", "i", i))
		}
	}
	return out
}

func compareWithPeer(t *rapid.T, active Active, peer *promrules.AlertingRule) {
	var want, got []string
	for _, a := range peer.ActiveAlerts() {
		want = append(want, fmt.Sprintln(a.Labels, a.Annotations, a.State, a.Value, a.ActiveAt, a.FiredAt, a.KeepFiringSince))
	}
	for _, a := range active {
		got = append(got, fmt.Sprintln(a.Labels, a.Annotations, a.State, a.Value, a.ActiveAt, a.FiredAt, a.KeepFiringSince))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		t.Fatalf("got\n%s\nPrometheus has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// follow checks that the transitions are the whole difference of states, and stores them.
func follow(t *rapid.T, was, is Active, ts []Transition, stored map[string]Transition) Active {
	for _, x := range ts {
		if from, ok := was[x.ID()]; (ok && from.State != x.From) || (!ok && x.From != Inactive) {
			t.Fatalf("transition of %s from %s, it was %v", x.ID(), x.From, from.State)
		}
		stored[x.ID()] = x
		if x.Alert.State == Inactive {
			delete(stored, x.ID())
		}
	}
	for id, a := range is {
		if s, ok := stored[id]; !ok || s.Alert.State != a.State || !s.Alert.FiredAt.Equal(a.FiredAt) || !s.Alert.KeepFiringSince.Equal(a.KeepFiringSince) {
			t.Fatalf("%s is %+v, the last transition said %+v", id, a, s.Alert)
		}
	}
	if len(stored) != len(is) {
		t.Fatalf("%d alerts by transitions, %d are active", len(stored), len(is))
	}
	return is
}

// restored is what a restart finds in the store; only value and annotations may be older than they were.
func restored(t *rapid.T, stored map[string]Transition, was Active) Active {
	out := Active{}
	for id, x := range stored {
		b, err := json.Marshal(x.Alert)
		if err != nil {
			t.Fatal(err)
		}
		var a Alert
		if err := json.Unmarshal(b, &a); err != nil {
			t.Fatal(err)
		}
		a.Value, a.Annotations = was[id].Value, was[id].Annotations
		out[id] = a
	}
	if !slices.Equal(slices.Sorted(maps.Keys(out)), slices.Sorted(maps.Keys(was))) {
		t.Fatalf("restored %v, was %v", out, was)
	}
	return out
}
