package window

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// selectors makes instant selectors of the notation; "!a" is one of absence, "a[5m]" looks back.
func selectors(t testing.TB, texts ...string) []Selector {
	t.Helper()
	var out []Selector
	p := parser.NewParser(parser.Options{})
	for _, text := range texts {
		name, absence := strings.CutPrefix(text, "!")
		e, err := p.ParseExpr(name)
		if err != nil {
			t.Fatal(err)
		}
		s := Selector{Absence: absence}
		if m, isRange := e.(*parser.MatrixSelector); isRange {
			s.Lookback, e = m.Range, m.VectorSelector
		}
		s.Matchers = e.(*parser.VectorSelector).LabelMatchers
		out = append(out, s)
	}
	return out
}

func TestLook(t *testing.T) {
	ab, b := layout(t, `a{disk="sda"}`, `a{disk="sdb"}`, "b"), layout(t, `a{disk="sdb"}`, "b")
	sda := labels.FromStrings("instance", "web1", "disk", "sda", "alertname", "Full", "severity", "warning")
	settled := []Block{ok(ab, 0, 1, 2, 3)} // and nothing but it until 400 s
	for i := 1; i <= 40; i++ {
		settled = append(settled, ok(ab, float64(10*i), 1, 2, 3))
	}
	mem := func(b Block) Block { b.Source = "memory"; return b }
	for _, c := range []struct {
		name   string
		sels   []string
		alert  labels.Labels
		blocks []Block
		at     float64
		holds  bool
		want   State
		reason string
		newest float64
	}{
		{"live", []string{"a"}, sda, settled, 405, false, Live, "", 400},
		{"live of another selector", []string{"x", "a"}, sda, settled, 405, false, Live, "", 400},
		{"newest is not later than the evaluation", []string{"a"}, sda, settled, 395, false, Live, "", 390},
		{"no such asset", []string{"a"}, labels.FromStrings("instance", "web9"), settled, 405, false, Unknown, "web9 has not been heard of", -1},
		{"no such series", []string{"x"}, sda, settled, 405, false, Gone, "there is no such series", -1},
		{"no such series yet", []string{"x"}, sda, settled[:3], 25, false, Unknown, "still filling", -1},
		{"one of two not yet", []string{"a", "x"}, sda, settled[:3], 25, false, Unknown, "still filling", 20},
		{"one of two not yet, and it holds", []string{"a", "x"}, sda, settled[:3], 25, true, Live, "", 20},
		{"labels do not fit", []string{"a"}, labels.FromStrings("instance", "web1", "disk", "sdz"), settled, 405, false, Gone, "no such series", -1},
		{"matchers do not fit", []string{`a{disk="sdb"}`}, sda, settled, 405, false, Gone, "no such series", -1},
		{"left", []string{"a"}, sda, append(settled[:41:41], ok(b, 410, 1, 2)), 411, false, Gone, "left their block", -1},
		{"left, with another selector live", []string{"a", "b"}, sda, append(settled[:41:41], ok(b, 410, 1, 2)), 411, false, Gone, "left", 410},
		{"left, as was wanted", []string{"!a", "b"}, sda, append(settled[:41:41], ok(b, 410, 1, 2)), 411, false, Live, "", 410},
		{"left, and it holds", []string{"a", "b"}, sda, append(settled[:41:41], ok(b, 410, 1, 2)), 411, true, Live, "", 410},
		{"left, then failed", []string{"a"}, sda, append(settled[:41:41], ok(b, 410, 1, 2), failed(420, "no")), 421, false, Unknown, "failed: no", -1},
		{"failed", []string{"a"}, sda, append(settled[:41:41], failed(410, "permission denied")), 411, false, Unknown, "cpu of web1 failed: permission denied", 400},
		{"failed, and it holds", []string{"a"}, sda, append(settled[:41:41], failed(410, "permission denied")), 411, true, Unknown, "failed", 400},
		{"failed and mended", []string{"a"}, sda, append(settled[:41:41], failed(410, "no"), ok(ab, 420, 1, 2, 3)), 421, false, Live, "", 420},
		{"one of two selectors failed", []string{"a", "m"}, sda, append(settled[:41:41], mem(ok(layout(t, "m"), 400, 1)), mem(failed(410, "no"))), 411, false, Unknown, "memory of web1 failed", 400},
		{"silent", []string{"a"}, sda, settled, 431, false, Unknown, "web1 is silent since 2026-03-01T12:06:40Z", 400},
		{"not silent yet", []string{"a"}, sda, settled, 430, false, Live, "", 400},
		{"block missing", []string{"a"}, sda, append(settled[:41:41], mem(ok(layout(t, "m"), 420, 1)), mem(ok(layout(t, "m"), 430, 1))), 431, false, Unknown, "cpu of web1 is missing since", 400},
		{"looks back further than is complete", []string{"a[5m]"}, sda, settled[:11], 105, false, Unknown, "complete since 2026-03-01T12:00:00Z, the rule looks back 5m", 100},
		{"looks back and all is there", []string{"a[5m]"}, sda, settled, 405, false, Live, "", 400},
		{"looks back further than is ever kept", []string{"a[30d]"}, sda, settled, 405, false, Unknown, "the window at most", 400},
		{"an aggregate", []string{"a"}, labels.FromStrings("customer", "acme"), settled, 405, false, Live, "", 400},
		{"an aggregate of another customer", []string{"a"}, labels.FromStrings("customer", "other"), settled, 405, false, Gone, "", -1},
		{"an aggregate too early", []string{"x"}, labels.EmptyLabels(), settled[:3], 25, false, Unknown, "still filling after the start", -1},
		{"an aggregate of nothing at all", []string{"x"}, labels.EmptyLabels(), nil, 0, false, Unknown, "still filling", -1},
		{"up tells of silence itself", []string{"up"}, sda, settled, 500, false, Live, "", 400},
		{"up that nobody writes", []string{"up"}, sda, settled, 701, false, Unknown, "up was last written at", 400},
		{"absence holds", []string{"!x"}, sda, settled, 405, true, Gone, "", -1},
		{"absence holds too early", []string{"!x"}, sda, settled[:3], 25, true, Unknown, "still filling", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Options{})
			for _, b := range c.blocks {
				w.Apply(web1, b.At, []Block{b})
			}
			got := w.Look(Question{Selectors: selectors(t, c.sels...), Labels: c.alert, At: at(c.at), Holds: c.holds})
			if got.State != c.want || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("got state %d, %q; want %d, %q", got.State, got.Reason, c.want, c.reason)
			}
			want := time.Time{}
			if c.newest >= 0 {
				want = at(c.newest)
			}
			if !got.Newest.Equal(want) {
				t.Errorf("newest is %v, want %v s", got.Newest, c.newest)
			}
		})
	}
}

func TestLookAtSilence(t *testing.T) {
	w := New(Options{})
	q := func(s float64, sel ...string) Standing {
		return w.Look(Question{Selectors: selectors(t, sel...), Labels: labels.FromStrings("instance", "web1"), At: at(s)})
	}
	w.SetDown(web1, at(0))
	if st := q(1, "a"); st.State != Unknown || !strings.Contains(st.Reason, "has not been heard of") {
		t.Errorf("never heard of: %+v", st)
	}
	w.Apply(web1, at(10), []Block{ok(layout(t, "a"), 10, 1)})
	if st := q(11, "a"); st.State != Live {
		t.Errorf("heard of: %+v", st)
	}
	w.SetDown(web1, at(12))
	if st := q(13, "a"); st.State != Unknown || !strings.Contains(st.Reason, "web1 is silent since") {
		t.Errorf("said to be down: %+v", st)
	}
	if st := q(13, "up"); st.State != Live {
		t.Errorf("up says so itself: %+v", st)
	}
	w.Apply(web1, at(20), []Block{ok(layout(t, "a"), 20, 1)})
	w.SetCompleteSince("web1", at(-3600))
	if st := q(21, "a[1h]"); st.State != Live {
		t.Errorf("complete since an hour ago: %+v", st)
	}
}

func TestLookAtRecordedSeries(t *testing.T) {
	w := New(Options{})
	q := func(s float64, sel ...string) Standing {
		return w.Look(Question{Selectors: selectors(t, sel...), Labels: labels.FromStrings("instance", "web1"), At: at(s)})
	}
	for s := 0.0; s <= 600; s += 10 {
		w.Apply(web1, at(s), []Block{ok(layout(t, "a"), s, 1)})
		w.AppendRecorded(labels.FromStrings("__name__", "r", "instance", "web1"), at(s), 1)
	}
	w.AppendRecorded(labels.FromStrings("__name__", "fleet"), at(600), 1)
	for sel, want := range map[string]State{"r": Live, "fleet": Live, "r[5m]": Live, "r[1h]": Unknown} {
		if st := q(601, sel); st.State != want {
			t.Errorf("%s: %+v, want %d", sel, st, want)
		}
	}
	w.DoubtRecorded(labels.FromStrings("__name__", "r", "instance", "web1"), at(500))
	w.DoubtRecorded(labels.FromStrings("__name__", "nobody wrote this"), at(500))
	for sel, want := range map[string]State{"r": Live, "r[90s]": Live, "r[2m]": Unknown, "fleet": Live} {
		if st := q(601, sel); st.State != want {
			t.Errorf("%s, made of what was not known until 500: %+v, want %d", sel, st, want)
		}
	}
	w.DoubtRecorded(labels.FromStrings("__name__", "r", "instance", "web1"), at(600))
	if st := q(601, "r"); st.State != Unknown || !strings.Contains(st.Reason, "r was made of what was not known until") {
		t.Errorf("its newest sample is in doubt: %+v", st)
	}
	w.AppendRecorded(labels.FromStrings("__name__", "r", "instance", "web1"), at(610), staleMarker())
	if st := q(611, "r", "a"); st.State != Live {
		t.Errorf("it is not recorded any more, what it was made of is known: %+v", st)
	}
	if st := q(700, "r", "a"); st.State != Unknown {
		t.Errorf("it is not recorded because the asset is silent: %+v", st)
	}
}

func TestAssetStatus(t *testing.T) {
	w := New(Options{})
	w.Apply(web1, at(1), []Block{ok(layout(t, "a"), 0, 1), {Source: "disk", Kind: "node", At: at(0), Interval: time.Minute, Status: Failed, Reason: "no"}})
	w.Apply(web1, at(9), []Block{late(ok(layout(t, "a"), 5, 1))})
	all := w.Assets()
	if len(all) != 1 || all[0].Asset != web1 || !all[0].Received.Equal(at(1)) || all[0].Interval != 10*time.Second ||
		!all[0].CompleteSince.Equal(at(0)) || all[0].Series != 2 || len(all[0].Blocks) != 2 {
		t.Fatalf("status is %+v", all)
	}
	cpu, disk := all[0].Blocks[0], all[0].Blocks[1]
	if cpu.Status != OK || !cpu.LastOK.Equal(at(0)) || cpu.Series != 1 || cpu.Held != 1 {
		t.Errorf("cpu is %+v", cpu)
	}
	if disk.Status != Failed || disk.Reason != "no" || !disk.At.Equal(at(0)) || !disk.LastOK.IsZero() {
		t.Errorf("disk is %+v", disk)
	}
}
