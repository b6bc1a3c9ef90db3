package evaluate

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// TestARuleAboutAnAssetNobodyHeardOf: it is unknown, and shown to be, until the asset reports; with resolve it fires as in
// Prometheus, within an interval and after its `for`.
func TestARuleAboutAnAssetNobodyHeardOf(t *testing.T) {
	const text = `groups: [{name: g, rules: [{alert: Missing, expr: 'absent(x{instance="web9"})', for: 30s, labels: {watchbill_missing: %s}}]},
		{name: h, interval: 1m, rules: [{alert: Often, expr: 'absent(x{instance="web9", job="node"})', labels: {watchbill_missing: %[1]s}}, {alert: Other, expr: x > 5}]}]`
	unknown := func(h house) (n int) {
		for _, g := range h.Groups() {
			for _, r := range g.Rules {
				n += r.Unknown
			}
		}
		return n
	}
	for _, missing := range []rules.Missing{rules.Freeze, rules.Resolve} {
		t.Run(string(missing), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{ledger: &ledger{}, only: "nobody"}
				h, stop := running(t, g, fmt.Sprintf(text, missing))
				defer stop()
				h.passed(9 * time.Second) // it may be about to report
				if missing == rules.Freeze {
					h.passed(10 * time.Minute)
					if n, a := unknown(h), h.Alerts(); n != 2 || len(a) != 0 {
						t.Errorf("%d results are unknown, want both, and alerts %+v", n, a)
					}
					if err := h.now("web9", 1, 1); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
					if err := h.now("web9", 1, 1); err != nil {
						t.Fatal(err)
					}
					if n := unknown(h); n != 0 {
						t.Errorf("%d results are unknown of an asset that reports", n)
					}
					return
				}
				h.passed(time.Second, "Missing(web9) inactive>pending", "Often(web9) inactive>firing")
				h.passed(29 * time.Second)
				h.passed(2*time.Second, "Missing(web9) pending>firing")
				for _, a := range h.Alerts() {
					if l := a.Alert.Labels; l.Get("instance") != "web9" || l.Has("customer") || l.Get("job") != map[string]string{"Often": "node"}[a.Origin.Name] {
						t.Errorf("%s has labels %s", a.Origin.Name, l)
					}
				}
				if err := h.now("web9", 1, 1); err != nil {
					t.Fatal(err)
				}
				h.passed(0, "Missing(web9) firing>inactive recovered")
				time.Sleep(time.Minute)
				if err := h.now("web9", 1, 1); err != nil {
					t.Fatal(err)
				}
				h.passed(0, "Often(web9) firing>inactive recovered")
			})
		})
	}
}

// TestARuleThatNamesAnAssetIsLoadedLater: the asset is looked at from then on, and let go of with the rule. That it leaves the
// fleet is known.
func TestARuleThatNamesAnAssetIsLoadedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "nobody"}
		var in atomic.Bool
		in.Store(true)
		h, stop := running(t, g, "groups: []", func(o *Options) {
			o.AssetOf = func(name string) (window.Asset, bool) { return host(name), in.Load() }
		})
		defer stop()
		h.load(`groups: [{name: g, rules: [{alert: Missing, expr: 'absent(x{instance="web9"})'}]}]`)
		h.passed(time.Hour)
		in.Store(false)
		h.passed(11*time.Second, "Missing(web9) inactive>firing")
		in.Store(true)
		h.load("groups: []")
		h.passed(0, "Missing(web9) firing>inactive rule removed")
		h.load(`groups: [{name: g, rules: [{alert: Missing, expr: 'absent(x{instance="web9"})', labels: {watchbill_missing: resolve}}]}]`)
		h.passed(11*time.Second, "Missing(web9) inactive>firing")
		if l := h.Alerts()[0].Alert.Labels; l.Get("customer") != "acme" {
			t.Errorf("labels are %s: the fleet knows whose it is", l)
		}
		h.load("groups: []")
		h.passed(0, "Missing(web9) firing>inactive rule removed")
		time.Sleep(2 * round)
		synctest.Wait()
		if len(h.assets) != 0 {
			t.Errorf("%d assets are kept that nobody names", len(h.assets))
		}
	})
}
