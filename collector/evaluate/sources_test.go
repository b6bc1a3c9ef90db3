package evaluate

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// probeOf is the layout of one probe's source.
func probeOf(target string) *window.Layout {
	return &window.Layout{ID: [32]byte{target[0]}, Series: []labels.Labels{labels.FromStrings("__name__", "probe_success", "target", target)}}
}

// probes reports what two probes of web1 see, each with a source of its own; nil leaves one out, a negative one has failed.
func (h house) probes(seconds int, a, b *float64) {
	var blocks []window.Block
	for target, v := range map[string]*float64{"a": a, "b": b} {
		if v == nil {
			continue
		}
		one := window.Block{Source: "probe " + target, Kind: "blackbox", Interval: 10 * time.Second, At: at(seconds)}
		if one.Status, one.Reason = window.Failed, "no right"; *v >= 0 {
			one.Status, one.Reason, one.Layout, one.Values = window.OK, "", probeOf(target), []float64{*v}
		}
		blocks = append(blocks, one)
	}
	h.w.Apply(web1, at(seconds), blocks)
}

// TestAnotherSourcesAge: that one probe has stopped does not keep the alert of another from firing.
func TestAnotherSourcesAge(t *testing.T) {
	up, down, broken := 1.0, 0.0, -1.0
	for name, other := range map[string]*float64{"missing": nil, "failed": &broken} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, "groups: [{name: g, rules: [{alert: Probe, expr: 'probe_success == 0', for: 20s}, {alert: Now, expr: 'probe_success == 0'}]}]")
			arrive := func(seconds int, want string) {
				t.Helper()
				if err := h.Arrive(t.Context(), "web1"); err != nil {
					t.Fatal(err)
				}
				if got := h.l.take(); got != want {
					t.Errorf("at %d s: %q, want %q", seconds, got, want)
				}
			}
			for s := 0; s < 100; s += 10 {
				h.probes(s, &up, &up)
				arrive(s, "")
			}
			for s := 100; s < 200; s += 10 {
				h.probes(s, &up, other)
				arrive(s, "")
			}
			h.probes(200, &down, other)
			arrive(200, "200s Probe(web1) inactive>pending, 200s Now(web1) inactive>firing")
			h.probes(210, &down, other)
			arrive(210, "")
			h.probes(220, &down, other)
			arrive(220, "220s Probe(web1) pending>firing")
		})
	}
}

// TestASourceBehindTheOthers: what a source says anew is judged when it comes, also when others have said something since.
func TestASourceBehindTheOthers(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: Probe, expr: 'probe_success == 0'}]}]")
	up, down := 1.0, 0.0
	h.probes(0, &up, &up)
	h.probes(10, &up, nil)
	if err := h.Arrive(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	h.probes(5, nil, &down)
	for range 2 { // once is enough
		if err := h.Arrive(t.Context(), "web1"); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := h.l.take(), "10.001s Probe(web1) inactive>firing"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestARuleBeforeWhatItReads: a rule that stands before the recording rule it reads has read what was recorded last time. Where
// that was made of what was not known it says nothing, although what is recorded after it is known again.
func TestARuleBeforeWhatItReads(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: Before, expr: 'x:double == 18'}, {record: 'x:double', expr: x * 2}]}]")
	h.arrive(0, 1, 0, "")
	h.report(10, 9, 0)
	h.apply(window.Block{At: at(11), Status: window.Failed, Reason: "no right"})
	if err := h.Arrive(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	h.arrive(20, 1, 0, "") // reads 18, of 11 s
	h.arrive(30, 9, 0, "")
	h.arrive(40, 9, 0, "40s Before(web1) inactive>firing")
}

// TestAnnotationsTellThePresentValue of an alert of which nothing but the value has changed for long.
func TestAnnotationsTellThePresentValue(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5, annotations: {summary: '{{ $labels.instance }} is at {{ $value }}'}}]}]")
	h.arrive(0, 6, 0, "0s High(web1) inactive>firing")
	for s := 10; s < 60; s += 10 {
		h.arrive(s, float64(s), 0, "")
	}
	if a := h.Alerts(); len(a) != 1 || a[0].Alert.Value != 50 || a[0].Alert.Annotations.Get("summary") != "web1 is at 50" {
		t.Errorf("%+v", a)
	}
}

// TestAnAlertEndsWithItsLastValue: what it was when it last held, not when something else last changed.
func TestAnAlertEndsWithItsLastValue(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5, annotations: {summary: 'is at {{ $value }}'}}]}]")
	h.arrive(0, 6, 0, "0s High(web1) inactive>firing")
	h.arrive(10, 99, 0, "")
	h.arrive(20, 1, 0, "20s High(web1) firing>inactive recovered")
	if r := h.Resolved(); len(r) != 1 || r[0].Alert.Value != 99 || r[0].Alert.Annotations.Get("summary") != "is at 99" {
		t.Errorf("%+v", r)
	}
}

// TestAFailedCommitOfALongRange: a rule that is evaluated now and then is evaluated again when its commit failed, and what was
// recorded then ends although the next report is older.
func TestAFailedCommitOfALongRange(t *testing.T) {
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: 'max_over_time(x[200m]) > 5'}, {alert: Now, expr: 'x:high > 5'}, {record: 'x:high', expr: x > 5}]}]")
	for s := range 2 { // complete since long ago
		h.arrive(10*s, 0, 0, "")
		h.w.SetCompleteSince("web1", at(-86400))
	}
	h.report(60, 9, 0)
	h.l.fail = errors.New("full")
	if h.Arrive(t.Context(), "web1") == nil {
		t.Fatal("no error")
	}
	h.l.fail = nil
	h.arrive(70, 1, 0, "70s High(web1) inactive>firing, 70s Now(web1) inactive>firing")
	h.arrive(80, 1, 0, "80s Now(web1) firing>inactive recovered")
}

// TestAlertsOfRulesThatGoAreReadNoMore by rules on a timer.
func TestAlertsOfRulesThatGoAreReadNoMore(t *testing.T) {
	const reader = "{alert: Many, expr: 'count(ALERTS) > 0'}"
	for name, next := range map[string]string{
		"the rule goes":      "groups: [{name: g, rules: [" + reader + "]}]",
		"their readers go":   "groups: [{name: g, rules: [{alert: High, expr: x > 5}]}]",
		"neither of them is": "groups: [{name: g, rules: [{alert: Low, expr: x < 0}]}]",
	} {
		t.Run(name, func(t *testing.T) {
			now := at(0)
			h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}, "+reader+"]}]", func(o *Options) {
				o.Now = func() time.Time { return now }
			})
			stands := func(s int) int {
				v, err := h.query(t.Context(), "ALERTS", at(s))
				if err != nil {
					t.Fatal(err)
				}
				return len(v)
			}
			h.arrive(0, 9, 0, "0s High(web1) inactive>firing")
			if n := stands(0); n != 1 {
				t.Fatalf("%d ALERTS", n)
			}
			now = at(5)
			h.load(next)
			if n := stands(6); n != 0 {
				t.Errorf("%d ALERTS stand after the reload", n)
			}
		})
	}
}
