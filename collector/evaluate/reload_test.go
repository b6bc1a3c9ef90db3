package evaluate

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/rules/window"
)

// loads loads in a goroutine and tells whether that waits for anything.
func (h house) loads(text string) {
	h.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.load(text)
	}()
	synctest.Wait()
	select {
	case <-done:
	default:
		h.t.Fatal("a reload waits for somebody's commit")
	}
}

// names are the alerts that stand, with their assets.
func (h house) names() string {
	var out []string
	for _, a := range h.Alerts() {
		out = append(out, a.Origin.Name+who(a.Alert.Labels))
	}
	return strings.Join(out, " ")
}

// TestAReloadWaitsForNoCommit: while the commit of one asset hangs, rules are reloaded and others are judged by the new
// ones; the one that hung ends by the old ones, and then has the new ones itself.
func TestAReloadWaitsForNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "web1", open: make(chan struct{})}
		h, stop := running(t, g, `groups: [{name: g, rules: [
			{alert: Old, expr: 'avg_over_time(x[30m]) > 5', labels: {watchbill_missing: resolve}}, {alert: Keep, expr: x > 5, for: 10m}, {record: 'instance:x:double', expr: x * 2}]}]`)
		defer stop()
		for _, name := range []string{"web2", "web3"} {
			if err := h.now(name, 9, 9); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			if err := h.now("web1", 9, 9); err != nil {
				t.Error(err)
			}
		}()
		h.passed(0, "Old(web2) inactive>firing", "Keep(web2) inactive>pending", "Old(web3) inactive>firing", "Keep(web3) inactive>pending")
		since := h.Alerts()[2].Alert.ActiveAt
		if !h.recorded("web1") || !h.recorded("web2") {
			t.Error("nothing was recorded")
		}

		time.Sleep(5 * time.Second)
		h.loads("groups: [{name: g, rules: [{alert: Keep, expr: x > 5, for: 10m}, {alert: New, expr: 'avg_over_time(y[10m]) > 5', labels: {watchbill_missing: resolve}}]}]")
		h.passed(0, "Old(web2) firing>inactive rule removed", "Old(web3) firing>inactive rule removed")
		if n := len(h.Groups()[0].Rules); n != 2 {
			t.Errorf("%d rules are loaded", n)
		}
		if n := len(h.demand); n != 2 {
			t.Errorf("the window is asked to keep %d ranges: the old one may be read yet", n)
		}
		time.Sleep(5 * time.Second)
		if err := h.now("web2", 9, 9); err != nil {
			t.Fatal(err)
		}
		h.passed(0, "New(web2) inactive>firing")
		h.loads("groups: [{name: g, rules: [{alert: New, expr: 'avg_over_time(y[10m]) > 5', labels: {watchbill_missing: resolve}}, {alert: Keep, expr: x > 5, for: 10m}]}]")
		if got, want := h.names(), "New(web2) Keep(web2) Keep(web3)"; got != want {
			t.Errorf("alerts are %s, want %s", got, want)
		}

		close(g.open)
		h.passed(0, "Old(web1) inactive>firing", "Keep(web1) inactive>pending", "Old(web1) firing>inactive rule removed")
		if got, want := h.names(), "New(web2) Keep(web1) Keep(web2) Keep(web3)"; got != want {
			t.Errorf("alerts are %s, want %s", got, want)
		}
		if a := h.Alerts(); !a[2].Alert.ActiveAt.Equal(since) {
			t.Errorf("Keep(web2) is active since %v, was since %v", a[2].Alert.ActiveAt, since)
		}
		if n := len(h.demand); n != 1 {
			t.Errorf("the window is asked to keep %d ranges", n)
		}
		time.Sleep(4 * time.Second)
		if err := h.now("web1", 9, 9); err != nil {
			t.Fatal(err)
		}
		h.passed(0, "New(web1) inactive>firing")
		for _, name := range []string{"web1", "web2"} {
			if h.recorded(name) {
				t.Errorf("%s still has what a rule recorded that is gone", name)
			}
		}
	})
}

// recorded tells whether the window has a live series of an asset that a rule recorded.
func (h house) recorded(name string) (found bool) {
	h.w.View(name, func(v window.View) {
		found = slices.ContainsFunc(v.Parts(), func(p *window.Part) bool { return strings.HasPrefix(p.Name, window.RecordedPart) && p.Live > 0 })
	})
	return found
}

// TestAnAlertOfABusyAssetIsShownUntilItsEndIsCommitted although its rule is loaded no more.
func TestAnAlertOfABusyAssetIsShownUntilItsEndIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "Second", open: make(chan struct{})}
		h, stop := running(t, g, "groups: [{name: g, rules: [{alert: First, expr: x > 5}, {alert: Second, expr: y > 5}]}]")
		defer stop()
		if err := h.now("web1", 9, 0); err != nil {
			t.Fatal(err)
		}
		h.passed(5*time.Second, "First(web1) inactive>firing")
		go func() { _ = h.now("web1", 9, 9) }()
		synctest.Wait()
		h.loads("groups: [{name: g, rules: [{alert: Second, expr: y > 5}]}]")
		if got := h.names(); got != "First(web1)" {
			t.Errorf("alerts are %q", got)
		}
		close(g.open)
		h.passed(0, "Second(web1) inactive>firing", "First(web1) firing>inactive rule removed")
		if got := h.names(); got != "Second(web1)" {
			t.Errorf("alerts are %q", got)
		}
	})
}

// TestAReloadWaitsForNoGroup: a group on a timer whose commit hangs holds up neither a reload, nor others, nor what is new.
// A rule that was removed meanwhile ends after what was under way, not before.
func TestAReloadWaitsForNoGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "Fleet", deaf: true, open: make(chan struct{})}
		const other = "{name: other, rules: [{alert: Other, expr: max(y) > 5}, {alert: High, expr: x > 5}]}"
		h, stop := running(t, g, "groups: [{name: g, rules: [{alert: Fleet, expr: max(x) > 5}, {alert: Stay, expr: max(x) > 5}]}, "+other+"]")
		defer stop()
		if err := h.now("web1", 9, 0); err != nil {
			t.Fatal(err)
		}
		h.passed(11*time.Second, "High(web1) inactive>firing")
		h.loads("groups: [{name: g, interval: 5s, rules: [{alert: Stay, expr: max(x) > 5}]}, " + other + ", {name: more, rules: [{alert: More, expr: max(x) > 5}]}]")
		if err := h.now("web1", 9, 9); err != nil {
			t.Fatal(err)
		}
		h.passed(11*time.Second, "Other inactive>firing", "More inactive>firing")
		close(g.open)
		h.passed(6*time.Second, "Fleet inactive>firing", "Stay inactive>firing", "Fleet firing>inactive rule removed")
		if got := h.names(); got != "Stay Other High(web1) More" {
			t.Errorf("alerts are %q", got)
		}
		if h.wide || len(h.leaving) != 0 {
			t.Errorf("something of the old rules is kept")
		}
	})
}

// TestRulesThatComeBackBeforeTheirEnd: what was removed and is loaded again before its end is committed has its alerts,
// whoever was busy meanwhile.
func TestRulesThatComeBackBeforeTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "Slow", open: make(chan struct{})}
		const whole = "groups: [{name: g, rules: [{alert: High, expr: x > 5}, {alert: Slow, expr: y > 5}, {alert: All, expr: max(x) > 5}]}]"
		h := house{t: t, w: window.New(window.Options{}), l: g.ledger}
		h.Evaluator = New(Options{Window: h.w, Commit: g, Interval: 10 * time.Second})
		h.load(whole)
		if err := h.now("web1", 9, 0); err != nil {
			t.Fatal(err)
		}
		if err := h.EvaluateOnce(context.Background(), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		h.passed(5*time.Second, "High(web1) inactive>firing", "All inactive>firing")
		go func() { _ = h.now("web1", 9, 9) }()
		synctest.Wait()
		h.loads("groups: [{name: g, rules: [{alert: Slow, expr: y > 5}]}]")
		h.loads(whole)
		close(g.open)
		h.passed(5*time.Second, "Slow(web1) inactive>firing")
		if err := h.EvaluateOnce(context.Background(), time.Now()); err != nil {
			t.Fatal(err)
		}
		h.passed(0)
		if got := h.names(); got != "High(web1) Slow(web1) All" {
			t.Errorf("alerts are %q", got)
		}
	})
}
