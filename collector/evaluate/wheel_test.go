package evaluate

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// gate is a committer whose commits wait, those of one asset or of one alert or all, until it is opened or their context
// ends; a deaf one does not hear of the latter, like a disk.
type gate struct {
	*ledger
	only string
	deaf bool
	open chan struct{}

	mu         sync.Mutex
	under, top int
}

func (g *gate) Commit(ctx context.Context, when time.Time, ts []rules.Transition) error {
	if l := ts[0].Alert.Labels; g.only == "" || l.Get("instance") == g.only || l.Get("alertname") == g.only {
		g.count(1)
		defer g.count(-1)
		if g.deaf {
			ctx = context.WithoutCancel(ctx)
		}
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g.ledger.Commit(ctx, when, ts)
}

func (g *gate) count(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under += n
	g.top = max(g.top, g.under)
}

func (g *gate) waiting() (now, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.under, g.top
}

// running is an evaluator that runs within a bubble of synctest; its clock is the bubble's.
func running(t *testing.T, g *gate, text string, change ...func(*Options)) (h house, stop func()) {
	t.Helper()
	h = house{t: t, w: window.New(window.Options{}), l: g.ledger}
	o := Options{Window: h.w, Commit: g, Interval: 10 * time.Second}
	for _, c := range change {
		c(&o)
	}
	h.Evaluator = New(o)
	h.load(text)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	return h, func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run gave %v", err)
		}
	}
}

func host(name string) window.Asset { return window.Asset{Name: name, Customer: "acme", Site: "hq"} }

// now applies a report of an asset as of now, with these values of x and y, and has it judged.
func (h house) now(name string, x, y float64) error {
	b := window.Block{At: time.Now(), Source: "cpu", Kind: "node", Interval: 10 * time.Second, Status: window.OK, Layout: full, Values: []float64{x, y}}
	h.w.Apply(host(name), b.At, []window.Block{b})
	return h.Arrive(h.t.Context(), name)
}

// down says that an asset is silent, as the collector does.
func (h house) down(name string) {
	h.w.SetDown(host(name), time.Now())
	h.Stir(name)
}

// passed waits and expects just these alerts to have changed, in any order.
func (h house) passed(after time.Duration, want ...string) {
	h.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	log := h.l.take()
	got := 0
	for _, x := range want {
		if strings.Contains(log, x) {
			got++
		}
	}
	if n := strings.Count(log, ">"); got != len(want) || n != len(want) {
		h.t.Errorf("%v later: %q, want %q", after, log, want)
	}
}

const down = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]"

// TestAHangingCommitOfTheWheelHoldsUpNobody: what time does to one asset is not waited for by what it does to others.
func TestAHangingCommitOfTheWheelHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "web1", open: make(chan struct{})}
		h, stop := running(t, g, down)
		defer stop()
		names := []string{"web1", "web2", "web3"}
		for _, name := range names {
			if err := h.now(name, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range names {
			h.down(name)
		}
		h.passed(time.Millisecond, "Down(web2) inactive>firing", "Down(web3) inactive>firing")
		for range 2 * abreast { // it takes one place, however often it is asked for
			h.Stir("web1")
			synctest.Wait()
		}
		h.w.SetDown(host("web4"), time.Now())
		h.Stir("web4")
		h.passed(time.Millisecond, "Down(web4) inactive>firing")
		close(g.open)
		h.passed(time.Millisecond, "Down(web1) inactive>firing")
	})
}

// TestTheWheelCommitsTogether: those whose time comes at once wait for their commits at once, as many as may; each asset
// for one of its own. What waits ends with Run.
func TestTheWheelCommitsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, open: make(chan struct{})}
		h, stop := running(t, g, down)
		const hosts = abreast + 50
		for i := range hosts {
			h.down(fmt.Sprintf("host%03d", i))
		}
		synctest.Wait()
		if now, _ := g.waiting(); now != abreast {
			t.Errorf("%d commits wait at once, want %d", now, abreast)
		}
		close(g.open)
		synctest.Wait()
		if n, most := strings.Count(h.l.take(), "Down"), g.top; n != hosts || most != abreast {
			t.Errorf("%d of %d hosts are down, %d commits at once", n, hosts, most)
		}
		g.open = make(chan struct{})
		for i := range hosts {
			h.w.Apply(host(fmt.Sprintf("host%03d", i)), time.Now(), []window.Block{{Source: "cpu", Kind: "node", Interval: 10 * time.Second, At: time.Now(), Status: window.OK, Layout: full, Values: []float64{0, 0}}})
			h.Stir(fmt.Sprintf("host%03d", i))
		}
		synctest.Wait()
		if now, _ := g.waiting(); now != abreast {
			t.Errorf("%d commits wait at once, want %d", now, abreast)
		}
		stop()
		if now, _ := g.waiting(); now != 0 {
			t.Errorf("%d commits wait after Run returned", now)
		}
	})
}

// TestAssetsThatLeftAreForgotten: with their programs and the faults of their rules. One with an alert stays until that has
// ended, and one that comes back begins anew.
func TestAssetsThatLeftAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "nobody"}
		var fleet sync.Map // who is in it
		fleet.Store("web1", true)
		h, stop := running(t, g, `groups: [{name: g, rules: [
			{alert: High, expr: x > 5}, {record: 'instance:x:all', expr: 'sum without (__name__) ({__name__=~"x|y"})'},
			{alert: Twice, expr: '{__name__=~"x|y"} > 100', labels: {instance: same}}, {record: 'one', expr: 'label_replace({__name__=~"x|y"}, "job", "", "job", ".*")'}]}]`,
			func(o *Options) {
				o.AssetOf = func(name string) (window.Asset, bool) {
					_, in := fleet.Load(name)
					return host(name), in
				}
			})
		defer stop()
		const hosts = 200
		name := func(i int) string { return fmt.Sprintf("host%03d", i) }
		for i := range hosts {
			if err := h.now(name(i), 0, 200); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.now("web1", 9, 0); err != nil {
			t.Fatal(err)
		}
		if n, _ := h.programs(); n == 0 || len(h.failing) == 0 || len(h.noted) == 0 {
			t.Fatalf("%d programs, %d rules fail, %d assets noted", n, len(h.failing), len(h.noted))
		}
		if len(h.Groups()) != 1 { // who looks has no part in it
			t.Error("groups are not shown")
		}
		for i := range hosts {
			h.w.Forget(name(i))
		}
		h.w.Forget("web1")
		time.Sleep(round + 2*window.StaleAfter)
		synctest.Wait()
		if len(h.assets) != 1 || h.assets["web1"] == nil || len(h.noted) != 1 {
			t.Errorf("%d assets are kept and %d noted, want web1 with its alert", len(h.assets), len(h.noted))
		}
		h.l.take()
		fleet.Delete("web1")
		h.passed(round+window.StaleAfter, "High(web1) firing>inactive series gone")
		if n, _ := h.programs(); n != 0 || len(h.assets) != 0 || len(h.noted) != 0 || len(h.failing) != 0 || len(h.wheel.line) != 0 {
			t.Errorf("%d programs, %d assets, %d noted, %d rules fail, %d on the wheel: all have left",
				n, len(h.assets), len(h.noted), len(h.failing), len(h.wheel.line))
		}
		fleet.Store("web1", true)
		if err := h.now("web1", 9, 0); err != nil {
			t.Fatal(err)
		}
		h.passed(0, "High(web1) inactive>firing")
	})
}

// TestAnIntervalOfASilentAsset: a group that is not due when the last samples get too old is evaluated when it is. Rules that
// resolve fire on old samples, too, as in Prometheus.
func TestAnIntervalOfASilentAsset(t *testing.T) {
	for interval, want := range map[string]time.Duration{
		"0s": 6 * time.Minute, "3m": 6 * time.Minute, "8m": 8 * time.Minute, "10m": 10 * time.Minute, "1h": time.Hour,
	} {
		t.Run(interval, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{ledger: &ledger{}, only: "nobody"}
				h, stop := running(t, g, `groups: [{name: g, interval: `+interval+`, rules: [
					{alert: Gone, expr: 'absent(x{instance="web1"})', labels: {watchbill_missing: resolve}}]}]`)
				defer stop()
				began := time.Now()
				for range 3 { // the last one after a minute, to stand for five
					if err := h.now("web1", 1, 1); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
				}
				h.passed(want - time.Second - time.Since(began))
				h.passed(2*time.Second, "Gone(web1) inactive>firing")
				h.passed(2 * time.Hour)
			})
		})
	}
}

// TestWhatLeavesARangeOfASilentAsset: samples leave a range one by one although none come; rules that freeze do not care.
func TestWhatLeavesARangeOfASilentAsset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{ledger: &ledger{}, only: "nobody"}
		h, stop := running(t, g, `groups: [{name: g, rules: [
			{alert: Few, expr: 'count_over_time(x[10m]) < 2', labels: {watchbill_missing: resolve}}, {alert: Frozen, expr: 'count_over_time(x[10m]) < 2'}]}]`)
		defer stop()
		h.w.SetCompleteSince("web1", time.Now().Add(-time.Hour))
		for i := range 2 {
			err := h.now("web1", 1, 1)
			if i == 0 {
				h.w.SetCompleteSince("web1", time.Now().Add(-time.Hour))
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		h.l.take()                            // the first report was alone
		h.passed(8*time.Minute - time.Second) // ten since the first
		h.passed(16*time.Second, "Few(web1) inactive>firing")
		h.passed(time.Minute+15*time.Second, "Few(web1) firing>inactive recovered") // the range is empty
		if n := time.Until(h.wheel.line[0].queued); n < window.StaleAfter {
			t.Errorf("the asset is looked at again in %v: nothing more will change", n)
		}
	})
}
