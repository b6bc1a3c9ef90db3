package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

var (
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	web1  = window.Asset{Name: "web1", Customer: "acme", Site: "hq"}
)

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// ledger keeps what was committed, as a store would: JSON of every alert's last transition.
type ledger struct {
	mu     sync.Mutex
	fail   error
	log    []string
	states map[string][]byte
}

func (l *ledger) Commit(_ context.Context, when time.Time, ts []rules.Transition) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	if l.states == nil {
		l.states = map[string][]byte{}
	}
	for _, x := range ts {
		l.log = append(l.log, strings.TrimSpace(fmt.Sprintf("%vs %s%s %s>%s %s", when.Sub(epoch).Seconds(), x.Origin.Name,
			who(x.Alert.Labels), x.From, x.Alert.State, x.Alert.End)))
		if x.Alert.State == rules.Inactive {
			delete(l.states, x.ID())
			continue
		}
		b, err := json.Marshal(Restored{Origin: x.Origin, Alert: x.Alert})
		if err != nil {
			return err
		}
		l.states[x.ID()] = b
	}
	return nil
}

func who(l labels.Labels) string {
	if i := l.Get("instance"); i != "" {
		return "(" + i + ")"
	}
	return ""
}

// take returns the transitions since it was asked last.
func (l *ledger) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := strings.Join(l.log, ", ")
	l.log = nil
	return out
}

func (l *ledger) stored(t testing.TB) []Restored {
	var out []Restored
	for _, b := range l.states {
		var r Restored
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// house is an evaluator with what is around it.
type house struct {
	*Evaluator
	t testing.TB
	w *window.Window
	l *ledger
}

func newHouse(t testing.TB, text string, change ...func(*Options)) house {
	h := house{t: t, w: window.New(window.Options{}), l: &ledger{}}
	o := Options{Window: h.w, Commit: h.l, Interval: 10 * time.Second, Now: func() time.Time { return epoch }}
	for _, c := range change {
		c(&o)
	}
	h.Evaluator = New(o)
	h.load(text)
	return h
}

func (h house) load(text string) {
	h.t.Helper()
	groups, err := rules.Load(map[string][]byte{"r.yml": []byte(text)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Load(groups)
}

var (
	full    = &window.Layout{ID: [32]byte{1}, Series: []labels.Labels{labels.FromStrings("__name__", "x"), labels.FromStrings("__name__", "y")}}
	without = &window.Layout{ID: [32]byte{2}, Series: []labels.Labels{labels.FromStrings("__name__", "y")}}
)

// report applies a report of web1 with these values of x and y.
func (h house) report(seconds int, x, y float64) {
	h.apply(window.Block{At: at(seconds), Status: window.OK, Layout: full, Values: []float64{x, y}})
}

func (h house) apply(b window.Block) {
	b.Source, b.Kind, b.Interval = "cpu", "node", 10*time.Second
	h.w.Apply(web1, b.At, []window.Block{b})
}

// once evaluates and expects these transitions.
func (h house) once(seconds int, want string) {
	h.t.Helper()
	if err := h.EvaluateOnce(h.t.Context(), at(seconds)); err != nil {
		h.t.Errorf("at %d s: %v", seconds, err)
	}
	if got := h.l.take(); got != want {
		h.t.Errorf("at %d s: %q, want %q", seconds, got, want)
	}
}

const high = "groups: [{name: g, rules: [{alert: High, expr: x > 5, for: 20s, keep_firing_for: 20s}]}]"

func TestAnAlertFromReportToEnd(t *testing.T) {
	h := newHouse(t, high)
	h.report(0, 9, 0)
	h.once(1, "1s High(web1) inactive>pending")
	if a := h.Alerts(); len(a) != 1 || !a[0].Alert.FirstBadAt.Equal(at(0)) || !a[0].Alert.ActiveAt.Equal(at(1)) || a[0].Alert.Value != 9 {
		t.Errorf("alerts are %+v", a)
	}
	h.report(20, 8, 0)
	h.once(21, "21s High(web1) pending>firing")
	h.report(30, 1, 0)
	h.once(31, "31s High(web1) firing>firing")
	h.report(50, 1, 0)
	h.once(51, "51s High(web1) firing>inactive recovered")
	if a := h.Alerts(); len(a) != 0 {
		t.Errorf("alerts are %+v", a)
	}
}

func TestUnknownFreezes(t *testing.T) {
	const now = "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]"
	for name, c := range map[string]struct {
		blind func(house)
		until int
		why   string
	}{
		"failed": {func(h house) {
			for s := 10; s < 400; s += 10 {
				h.apply(window.Block{At: at(s), Status: window.Failed, Reason: "permission denied"})
			}
		}, 400, "cpu of web1 failed: permission denied"},
		"silent":     {func(house) {}, 400, "web1 is silent since"},
		"said to be": {func(h house) { h.w.SetDown(web1, at(2)) }, 3, "web1 is silent"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, now)
			h.report(0, 9, 0)
			h.once(1, "1s High(web1) inactive>firing")
			c.blind(h)
			h.once(c.until, "")
			a := h.Alerts()
			if len(a) != 1 || a[0].Alert.State != rules.Firing || !strings.Contains(a[0].Unknown, c.why) {
				t.Errorf("alerts are %+v", a)
			}
			h.report(500, 1, 0)
			h.once(501, "501s High(web1) firing>inactive recovered")
		})
	}
}

func TestSeriesGone(t *testing.T) {
	known := true
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]", func(o *Options) {
		o.AssetOf = func(string) (window.Asset, bool) { return web1, known }
	})
	h.report(0, 9, 0)
	h.once(1, "1s High(web1) inactive>firing")
	h.apply(window.Block{At: at(10), Status: window.OK, Layout: without, Values: []float64{1}})
	h.once(11, "11s High(web1) firing>inactive series gone")
	h.report(20, 9, 0)
	h.once(21, "21s High(web1) inactive>firing")
	h.w.Forget("web1")
	h.once(31, "") // nobody has heard of it, but the fleet knows it
	known = false
	h.once(41, "41s High(web1) firing>inactive series gone")
}

func TestUpTellsOfSilence(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]")
	h.report(0, 1, 0)
	h.once(1, "")
	h.w.SetDown(web1, at(40))
	h.once(41, "41s Down(web1) inactive>firing")
	h.w.SetDown(web1, at(340))
	h.once(400, "")
	h.report(410, 1, 0)
	h.once(411, "411s Down(web1) firing>inactive recovered")
}

func TestAFailedCommitIsFoundAgain(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]")
	h.report(0, 9, 0)
	h.l.fail = errors.New("disk full")
	err := h.EvaluateOnce(t.Context(), at(1))
	if !errors.Is(err, h.l.fail) || !strings.Contains(err.Error(), `commit 1 transitions of web1`) {
		t.Errorf("error is %v", err)
	}
	if a, g := h.Alerts(), h.Groups(); len(a) != 0 || !strings.Contains(g[0].Err, "disk full") {
		t.Errorf("alerts %+v, group %+v: nothing may be believed that is not committed", a, g)
	}
	h.l.fail = nil
	h.once(2, "2s High(web1) inactive>firing")
	if g := h.Groups(); g[0].Err != "" {
		t.Errorf("group still says %q", g[0].Err)
	}
	h.report(10, 1, 0)
	h.l.fail = errors.New("disk full")
	if err := h.EvaluateOnce(t.Context(), at(11)); err == nil {
		t.Error("no error")
	}
	if a := h.Alerts(); len(a) != 1 || a[0].Alert.State != rules.Firing {
		t.Errorf("alerts are %+v: the end is not committed", a)
	}
	h.l.fail = nil
	h.once(12, "12s High(web1) firing>inactive recovered")
}

func TestAFailingRuleStopsNobody(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHouse(t, `
groups:
- name: g
  rules:
  - {alert: Broken, expr: 'label_replace(x, "__name__", "z", "", "") or label_replace(y, "__name__", "z", "", "") > -1'}
  - {alert: Same, expr: '{__name__=~"x|y"}', labels: {a: b}}
  - {alert: High, expr: x > 5}
`, func(o *Options) { o.Registerer = reg })
	h.report(0, 9, 0)
	err := h.EvaluateOnce(t.Context(), at(1))
	if !errors.Is(err, rules.ErrDuplicateLabels) || !strings.Contains(err.Error(), `rule "Same" of group "g" at 2026-03-01T12:00:01Z`) {
		t.Errorf("error is %v", err)
	}
	if got := h.l.take(); !strings.Contains(got, "1s High(web1) inactive>firing") {
		t.Errorf("transitions %q", got)
	}
	g := h.Groups()[0]
	if g.Rules[1].Health != Bad || g.Rules[1].LastError == "" || g.Rules[2].Health != Good || !g.Rules[2].LastEvaluation.Equal(at(1)) {
		t.Errorf("rules are %+v", g.Rules)
	}
	want := `
# HELP watchbill_rule_evaluation_failures_total Evaluations of rules that failed.
# TYPE watchbill_rule_evaluation_failures_total counter
watchbill_rule_evaluation_failures_total{group="g"} 1
# HELP watchbill_rule_evaluations_total Evaluations of rules.
# TYPE watchbill_rule_evaluations_total counter
watchbill_rule_evaluations_total{group="g"} 3
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_rule_evaluations_total", "watchbill_rule_evaluation_failures_total"); err != nil {
		t.Error(err)
	}
}

func TestRecordedSeries(t *testing.T) {
	h := newHouse(t, `
groups:
- name: g
  rules:
  - {record: 'instance:x:double', expr: 'x * 2 > 10', labels: {kind: made}}
  - {alert: Double, expr: 'instance:x:double > 15'}
  - {alert: Noise, expr: 'count(ALERTS{alertname="Double", alertstate="firing"}) > 0'}
`)
	h.report(0, 9, 0)
	h.once(1, "1s Double(web1) inactive>firing, 1s Noise inactive>firing")
	h.report(10, 1, 0) // the recorded series ends, and x is live: that is a recovery
	h.once(11, "11s Double(web1) firing>inactive recovered, 11s Noise firing>inactive recovered")
	h.report(20, 9, 0)
	h.once(21, "21s Double(web1) inactive>firing, 21s Noise inactive>firing")
	h.apply(window.Block{At: at(30), Status: window.Failed, Reason: "no"})
	h.once(400, "") // nobody knows x, so nobody knows what is recorded of it
}

func TestReload(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}, {alert: Low, expr: y < 5}]}]")
	h.report(0, 9, 0)
	h.once(1, "1s High(web1) inactive>firing, 1s Low(web1) inactive>firing")
	h.load("groups: [{name: g, rules: [{alert: New, expr: x > 100}, {alert: High, expr: x > 5, for: 0s, annotations: {a: b}}]}]")
	if a := h.Alerts(); len(a) != 2 {
		t.Errorf("%d alerts: an end is none before it is committed", len(a))
	}
	h.l.fail = errors.New("not now")
	if err := h.EvaluateOnce(t.Context(), at(2)); !errors.Is(err, h.l.fail) {
		t.Errorf("error is %v", err)
	}
	h.l.fail = nil
	h.once(3, "3s Low(web1) firing>inactive rule removed")
	h.load("groups: [{name: g, rules: [{alert: Low, expr: y < 5}]}]")
	h.load("groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]") // it was away for no evaluation
	h.once(4, "")
	if a := h.Alerts(); len(a) != 1 || !a[0].Alert.FiredAt.Equal(at(1)) {
		t.Errorf("alerts are %+v", a)
	}
	h.load("groups: []")
	h.once(5, "5s High(web1) firing>inactive rule removed")
}

// TestRestartChangesNothing runs random reports with and without a restart at a random evaluation.
func TestRestartChangesNothing(t *testing.T) {
	const text = `
groups:
- name: g
  rules:
  - {alert: High, expr: x > 5, for: 20s, keep_firing_for: 30s}
  - {alert: Now, expr: y > 5}
`
	for seed := range uint64(60) {
		run := func(restart int) []string {
			rnd := rand.New(rand.NewPCG(seed, 2))
			h := newHouse(t, text)
			var out []string
			for i := range 40 {
				h.report(10*i, float64(rnd.IntN(12)), float64(rnd.IntN(12)))
				if i == restart {
					old := h
					h = newHouse(t, text, func(o *Options) { o.Window, o.Commit = old.w, old.l })
					h.w, h.l = old.w, old.l
					h.Restore(old.l.stored(t))
				}
				if err := h.EvaluateOnce(t.Context(), at(10*i+1)); err != nil {
					t.Fatal(err)
				}
				out = append(out, h.l.take())
			}
			return out
		}
		want, got := run(-1), run(int(seed)%40)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: with a restart\n%s\nwithout\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestRestoreBeforeLoadAndOfARuleThatIsGone(t *testing.T) {
	old := newHouse(t, high)
	old.report(0, 9, 0)
	old.once(1, "1s High(web1) inactive>pending")
	stored := old.l.stored(t)
	gone := stored[0]
	gone.Origin.ID, gone.Origin.Name = "other", "Other"
	ended := stored[0]
	ended.Alert.State = rules.Inactive

	h := house{t: t, w: window.New(window.Options{}), l: &ledger{}}
	h.Evaluator = New(Options{Window: h.w, Commit: h.l})
	h.Restore(append(stored, gone, ended))
	h.once(2, "") // no rules are loaded: nobody can say that one is gone
	h.load(high)
	if a := h.Alerts(); len(a) != 2 || a[0].Alert.State != rules.Pending || !a[0].Alert.ActiveAt.Equal(at(1)) {
		t.Errorf("alerts are %+v", a)
	}
	h.once(3, "3s Other(web1) pending>inactive rule removed")
	h.once(30, "") // web1 has not reported since the restart
	h.report(40, 9, 0)
	h.once(41, "41s High(web1) pending>firing")
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		l := &ledger{}
		w := window.New(window.Options{})
		e := New(Options{Window: w, Commit: l, Interval: 10 * time.Second, Registerer: reg})
		h := house{Evaluator: e, t: t, w: w, l: l}
		begin := time.Now()
		report := func(x float64) {
			b := window.Block{At: time.Now(), Source: "cpu", Kind: "node", Interval: time.Minute, Status: window.OK, Layout: full, Values: []float64{x, 0}}
			w.Apply(web1, b.At, []window.Block{b})
		}
		last := func() time.Duration { return h.Groups()[0].LastEvaluation.Sub(begin) }
		h.load("groups: [{name: g, rules: [{alert: High, expr: max(x) > 5}]}, {name: slow, interval: 1m, rules: [{alert: Slow, expr: max(x) > 5}]}]")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		report(9)
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if got := l.take(); !strings.Contains(got, "High inactive>firing") || strings.Contains(got, "Slow") || last() != 10*time.Second {
			t.Errorf("after one interval: %q, evaluated at %v", got, last())
		}
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if got := l.take(); !strings.Contains(got, "Slow inactive>firing") || last() != time.Minute {
			t.Errorf("after a minute: %q, evaluated at %v", got, last())
		}
		report(9)
		h.load("groups: [{name: g, interval: 5s, rules: [{alert: High, expr: max(x) > 5}]}]")
		synctest.Wait()
		if got := l.take(); !strings.Contains(got, "Slow firing>inactive rule removed") {
			t.Errorf("after a reload: %q", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := l.take(); got != "" || last() != 65*time.Second {
			t.Errorf("with the new interval: %q, evaluated at %v", got, last())
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run gave %v", err)
		}
		const want = `
# HELP watchbill_alerts Alerts by state.
# TYPE watchbill_alerts gauge
watchbill_alerts{state="firing"} 1
watchbill_alerts{state="pending"} 0
# HELP watchbill_alerts_unknown Alerts that are frozen because nothing is known of their series.
# TYPE watchbill_alerts_unknown gauge
watchbill_alerts_unknown 0
# HELP watchbill_rule_group_missed_total Evaluations of groups left out because one before took too long.
# TYPE watchbill_rule_group_missed_total counter
watchbill_rule_group_missed_total{group="g"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_alerts", "watchbill_alerts_unknown", "watchbill_rule_group_missed_total"); err != nil {
			t.Error(err)
		}
	})
}

// slowLedger takes its time.
type slowLedger struct {
	ledger
	wait time.Duration
}

func (s *slowLedger) Commit(ctx context.Context, when time.Time, ts []rules.Transition) error {
	s.mu.Lock()
	wait := s.wait
	s.mu.Unlock()
	time.Sleep(wait)
	return s.ledger.Commit(ctx, when, ts)
}

func TestRunCountsWhatItMissedAndRetriesBurials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		l := &slowLedger{wait: 35 * time.Second}
		w := window.New(window.Options{})
		e := New(Options{Window: w, Commit: l, Interval: 10 * time.Second, Registerer: reg})
		h := house{Evaluator: e, t: t, w: w}
		h.load("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		time.Sleep(46 * time.Second)
		synctest.Wait()
		want := `
# HELP watchbill_rule_group_missed_total Evaluations of groups left out because one before took too long.
# TYPE watchbill_rule_group_missed_total counter
watchbill_rule_group_missed_total{group="g"} 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_rule_group_missed_total"); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		l.fail, l.wait = errors.New("not now"), 0
		l.mu.Unlock()
		l.take()
		h.load("groups: []")
		time.Sleep(25 * time.Second)
		if got := l.take(); got != "" || len(h.Alerts()) != 1 {
			t.Errorf("%q, alerts %v", got, h.Alerts())
		}
		l.mu.Lock()
		l.fail = nil
		l.mu.Unlock()
		time.Sleep(11 * time.Second)
		if got := l.take(); !strings.Contains(got, "Always firing>inactive rule removed") {
			t.Errorf("%q: the end of a removed rule's alert was not tried again", got)
		}
		stop()
		<-done
	})
}
