package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// arrive applies a report of web1 with these values of x and y, judges it, and expects these transitions.
func (h house) arrive(seconds int, x, y float64, want string) {
	h.t.Helper()
	h.report(seconds, x, y)
	h.judged(seconds, want)
}

func (h house) judged(seconds int, want string) {
	h.t.Helper()
	if err := h.Arrive(h.t.Context(), "web1"); err != nil {
		h.t.Errorf("at %d s: %v", seconds, err)
	}
	if got := h.l.take(); got != want {
		h.t.Errorf("at %d s: %q, want %q", seconds, got, want)
	}
}

func TestAReportIsJudgedWhenItArrives(t *testing.T) {
	h := newHouse(t, high)
	h.arrive(0, 9, 0, "0s High(web1) inactive>pending")
	h.judged(0, "") // the same again
	h.arrive(10, 9, 0, "")
	h.arrive(21, 8, 0, "21s High(web1) pending>firing")
	h.arrive(30, 7, 0, "")
	if a := h.Alerts(); len(a) != 1 || a[0].Alert.Value != 7 || !a[0].Alert.ActiveAt.Equal(at(0)) || !a[0].Alert.FirstBadAt.IsZero() && !a[0].Alert.FirstBadAt.Equal(at(0)) {
		t.Errorf("alerts are %+v: the newest value is shown", a)
	}
	h.arrive(40, 1, 0, "40s High(web1) firing>firing")
	h.arrive(60, 1, 0, "60s High(web1) firing>inactive recovered")
	if a := h.Alerts(); len(a) != 0 {
		t.Errorf("alerts are %+v", a)
	}
	late := window.Block{At: at(5), Status: window.OK, Layout: full, Values: []float64{9, 9}, Late: true}
	h.apply(late)
	h.judged(60, "")
}

func TestACommitThatFailsAtArrivalIsFoundAgain(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]")
	h.report(0, 9, 0)
	h.l.fail = errors.New("disk full")
	err := h.Arrive(t.Context(), "web1")
	if !errors.Is(err, h.l.fail) || !strings.Contains(err.Error(), "commit 1 transitions of web1") {
		t.Errorf("error is %v", err)
	}
	if a, g := h.Alerts(), h.Groups(); len(a) != 0 || !strings.Contains(g[0].Err, "disk full") {
		t.Errorf("alerts %+v, group %+v: nothing may be believed that is not committed", a, g)
	}
	h.l.fail = nil
	h.judged(0, "0s High(web1) inactive>firing") // the agent sends the report again
}

func TestAGroupsIntervalAtArrival(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, interval: 1m, rules: [{alert: High, expr: x > 5}]}, {name: h, rules: [{alert: Low, expr: y > 5}]}]")
	h.arrive(50, 0, 0, "")
	h.arrive(55, 9, 9, "55s Low(web1) inactive>firing")
	h.arrive(63, 9, 9, "63s High(web1) inactive>firing")
	h.arrive(119, 0, 0, "119s Low(web1) firing>inactive recovered")
	h.arrive(120, 0, 0, "120s High(web1) firing>inactive recovered")
}

// TestALongRangeIsLookedAtNowAndThen: once in a 200th of it.
func TestALongRangeIsLookedAtNowAndThen(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: 'max_over_time(x[200m]) > 5'}, {alert: Now, expr: x > 5}]}]")
	h.w.SetCompleteSince("web1", at(-86400))
	h.arrive(0, 0, 0, "")
	h.w.SetCompleteSince("web1", at(-86400))
	for s := 10; s < 60; s += 10 {
		h.arrive(s, 9, 0, map[bool]string{true: "10s Now(web1) inactive>firing"}[s == 10])
	}
	h.arrive(60, 9, 0, "60s High(web1) inactive>firing")
}

func TestRecordedSeriesAtArrival(t *testing.T) {
	h := newHouse(t, `
groups:
- name: g
  rules:
  - {record: 'instance:x:double', expr: 'x * 2 > 10', labels: {kind: made}}
  - {record: 'instance:x:four', expr: 'instance:x:double{kind="made"} * 2'}
  - {alert: Double, expr: 'instance:x:double > 15'}
  - {alert: Four, expr: 'instance:x:four > 30'}
`)
	if n := len(rules.Local(h.loadedGroups())[0].Rules); n != 4 {
		t.Fatalf("%d rules at arrival", n)
	}
	h.arrive(0, 9, 0, "0s Double(web1) inactive>firing, 0s Four(web1) inactive>firing")
	h.arrive(10, 9, 0, "")
	h.arrive(20, 1, 0, "20s Double(web1) firing>inactive recovered, 20s Four(web1) firing>inactive recovered")
	h.arrive(30, 9, 0, "30s Double(web1) inactive>firing, 30s Four(web1) inactive>firing")
	h.load("groups: [{name: g, rules: [{alert: Double, expr: 'instance:x:double > 15'}]}]")
	h.arrive(40, 9, 0, "") // just after the start what is not there may still come
	h.arrive(400, 9, 0, "400s Double(web1) firing>inactive series gone")
}

func (h house) loadedGroups() []rules.Group {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// TestTheClockAlone: what no arrival will do is done when its time has come, and not on samples that are too old.
func TestTheClockAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		w := window.New(window.Options{})
		e := New(Options{Window: w, Commit: l, Interval: 10 * time.Second})
		h := house{Evaluator: e, t: t, w: w, l: l}
		h.load(`groups: [{name: g, rules: [
			{alert: Short, expr: x > 5, for: 15s, keep_firing_for: 15s}, {alert: Long, expr: x > 5, for: 35s}, {alert: Down, expr: up == 0}]}]`)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		begin := time.Now()
		report := func(x float64) {
			b := window.Block{At: time.Now(), Source: "cpu", Kind: "node", Interval: 10 * time.Second, Status: window.OK, Layout: full, Values: []float64{x, 0}}
			w.Apply(web1, b.At, []window.Block{b})
			if err := e.Arrive(ctx, "web1"); err != nil {
				t.Error(err)
			}
		}
		said := func(after time.Duration, want string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := strings.ReplaceAll(l.take(), fmt.Sprint(begin.Sub(epoch).Seconds()), ""); !matchesLog(got, want) {
				t.Errorf("%v in: %q, want %q", time.Since(begin), got, want)
			}
		}
		report(9)
		said(0, "Short inactive>pending Long inactive>pending")
		said(14*time.Second, "")
		said(1100*time.Millisecond, "Short pending>firing")
		said(30*time.Second, "") // Long's time has come, but the last sample is older than two intervals
		if a := e.Alerts(); len(a) != 2 || a[1].Alert.State != rules.Pending {
			t.Errorf("alerts are %+v", a)
		}
		report(9)
		said(0, "Long pending>firing")
		said(time.Second, "")
		report(1)
		said(time.Second, "Short firing>firing Long firing>inactive")
		said(15*time.Second, "Short firing>inactive")
		w.SetDown(web1, time.Now())
		e.Stir("web1")
		said(time.Millisecond, "Down inactive>firing")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// matchesLog compares names and states of a ledger's transitions.
func matchesLog(log, want string) bool {
	var got []string
	for _, x := range strings.Split(log, ", ") {
		if f := strings.Fields(x); len(f) >= 3 {
			got = append(got, strings.TrimSuffix(f[1], "(web1)"), f[2])
		}
	}
	return strings.Join(got, " ") == want
}

// TestAtArrivalAsOnATimer runs random reports of one host through rules at arrival and the same rules on the stock engine
// at the same times.
func TestAtArrivalAsOnATimer(t *testing.T) {
	const text = `
groups:
- name: g
  rules:
  - {record: 'x:rate', expr: 'rate(x[1m])'}
  - {record: 'x:high', expr: 'x > 4', labels: {a: b}}
  - {alert: High, expr: x > 5, for: 20s, keep_firing_for: 30s, labels: {service: '{{ $labels.job }}'}}
  - {alert: Value, expr: y > 8, labels: {value: '{{ $value }}'}}
  - {alert: Both, expr: '{__name__=~"x|y"} > 6', for: 10s}
  - {alert: Rate, expr: 'x:rate > 0.1', for: 10s}
  - {alert: Was, expr: 'max_over_time(x:high[1m]) > 8'}
  - {alert: Gone, expr: 'absent(x{instance="web1"})'}
  - {alert: Old, expr: 'time() - timestamp(y) > 5'}
  - {alert: Ratio, expr: 'sum by (instance) ({__name__=~"x|y"}) / on (instance) group_left y > 2'}
- name: h
  interval: 30s
  rules:
  - {alert: Slow, expr: 'avg_over_time(x[50s]) > 5', keep_firing_for: 40s}
- name: i
  query_offset: 5s
  rules:
  - {alert: Before, expr: x > 6, for: 20s}
  - {alert: Probe, expr: probe_success == 0, for: 20s}
  - {alert: Probed, expr: 'sum by (instance) (probe_success) < x'}
`
	up, down, broken := 1.0, 0.0, -1.0
	seen := []*float64{&up, &down, &broken, nil}
	for seed := range uint64(40) {
		run := func(timer bool) []string {
			rnd := rand.New(rand.NewPCG(seed, 5))
			groups, err := rules.Load(map[string][]byte{"r.yml": []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(rules.Spread(groups)); n != 0 {
				t.Fatalf("%d groups have rules on a timer", n)
			}
			h := newHouse(t, "")
			if timer {
				for _, g := range groups {
					for _, r := range g.Rules {
						r.Arrival = nil
					}
				}
			}
			h.Load(groups)
			var out []string
			last := 0
			for i := range 60 {
				s := 10*i + rnd.IntN(9)
				switch rnd.IntN(12) {
				case 0:
					h.apply(window.Block{At: at(s), Status: window.OK, Layout: without, Values: []float64{float64(rnd.IntN(12))}})
				default:
					h.report(s, float64(rnd.IntN(12)), float64(rnd.IntN(12)))
				}
				h.probes(s, seen[rnd.IntN(4)], seen[rnd.IntN(4)])
				if timer {
					// A group with an interval is evaluated at the first arrival at or after each multiple of it.
					for _, g := range h.snapshot() {
						if every := int(g.Interval.Seconds()); every == 0 || i == 0 || at(s).Unix()/int64(every) > at(last).Unix()/int64(every) {
							_ = h.evaluate(t.Context(), g, at(s))
						}
					}
				} else if err := h.Arrive(t.Context(), "web1"); err != nil {
					t.Fatal(err)
				}
				last = s
				log := strings.Split(h.l.take(), ", ")
				slices.Sort(log)
				out = append(out, strings.Join(log, ", "))
			}
			return out
		}
		if want, got := run(true), run(false); !slices.Equal(got, want) {
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("seed %d, report %d: at arrival\n%s\non a timer\n%s", seed, i, got[i], want[i])
				}
			}
		}
	}
}

// TestManyAssetsAtOnce: assets do not wait for each other, each one's reports are judged in order, and programs are shared
// and let go of.
func TestManyAssetsAtOnce(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}, {alert: Low, expr: y > 5}]}]")
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			a := window.Asset{Name: fmt.Sprintf("host%d", i), Customer: "acme", Site: "hq"}
			for s := range 20 {
				h.w.Apply(a, at(s), []window.Block{{Source: "cpu", Kind: "node", Interval: time.Second, At: at(s), Status: window.OK, Layout: full, Values: []float64{float64(9 * (s % 2)), 0}}})
				if err := h.Arrive(t.Context(), a.Name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := strings.Count(h.l.take(), "High"); n != 50*20-50 {
		t.Errorf("%d transitions, want one with every report of 50 hosts but the first", n)
	}
	if n, _ := h.programs(); n != 2 {
		t.Errorf("%d programs for 50 hosts of one shape and 2 rules", n)
	}
	h.load("groups: []")
	if n, _ := h.programs(); n != 0 {
		t.Errorf("%d programs without rules", n)
	}
}

// TestOneCommitDelaysNobodyElse: while one asset's transitions are being made durable, others are judged and alerts are shown.
func TestOneCommitDelaysNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		l := &held1{ledger: &ledger{}, hold: hold}
		w := window.New(window.Options{})
		e := New(Options{Window: w, Commit: l})
		h := house{Evaluator: e, t: t, w: w, l: l.ledger}
		h.load("groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]")
		for _, name := range []string{"web1", "web2"} {
			a := window.Asset{Name: name, Customer: "acme", Site: "hq"}
			w.Apply(a, at(0), []window.Block{{Source: "cpu", Kind: "node", Interval: time.Second, At: at(0), Status: window.OK, Layout: full, Values: []float64{9, 0}}})
		}
		go func() { _ = e.Arrive(t.Context(), "web1") }()
		synctest.Wait()
		if err := e.Arrive(t.Context(), "web2"); err != nil {
			t.Fatal(err)
		}
		if a := e.Alerts(); len(a) != 1 || a[0].Alert.Labels.Get("instance") != "web2" {
			t.Errorf("alerts are %+v", a)
		}
		close(hold)
		synctest.Wait()
		if a := e.Alerts(); len(a) != 2 {
			t.Errorf("alerts are %+v", a)
		}
	})
}

// held1 commits web1 when it may.
type held1 struct {
	*ledger
	hold chan struct{}
}

func (l *held1) Commit(ctx context.Context, when time.Time, ts []rules.Transition) error {
	if ts[0].Alert.Labels.Get("instance") == "web1" {
		<-l.hold
	}
	return l.ledger.Commit(ctx, when, ts)
}
