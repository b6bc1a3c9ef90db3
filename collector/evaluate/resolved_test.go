package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
)

// TestWhatFiredAndEndedIsKeptForAWhile: fifteen minutes, in the order it ended, whatever ended it; what never fired is not.
func TestWhatFiredAndEndedIsKeptForAWhile(t *testing.T) {
	clock := epoch
	h := newHouse(t, "groups: [{name: g, rules: [{alert: High, expr: x > 5}, {alert: Long, expr: x > 5, for: 1h}, {alert: Low, expr: y > 5}, {alert: All, expr: max(y) > 5}]}]",
		func(o *Options) { o.Now = func() time.Time { return clock } })
	step := func(seconds int, x, y float64) {
		t.Helper()
		clock = at(seconds)
		h.report(seconds, x, y)
		if err := h.EvaluateOnce(t.Context(), clock); err != nil {
			t.Fatal(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		var got []string
		for _, s := range h.Resolved() {
			got = append(got, fmt.Sprintf("%s at %v, %s", s.Origin.Name, s.Alert.EndedAt.Sub(epoch), s.Alert.End))
		}
		if !slices.Equal(got, names) {
			t.Errorf("%v in: %q, want %q", clock.Sub(epoch), got, names)
		}
	}
	step(0, 9, 9)
	want()
	step(10, 0, 9)
	want("High at 10s, recovered")
	step(20, 0, 0)
	want("High at 10s, recovered", "Low at 20s, recovered", "All at 20s, recovered")
	step(30, 9, 0)
	h.l.take()
	h.load("groups: []")
	clock = at(40)
	h.once(40, "40s Long(web1) pending>inactive rule removed, 40s High(web1) firing>inactive rule removed")
	const high, removed = "High at 10s, recovered", "High at 40s, rule removed"
	want(high, "Low at 20s, recovered", "All at 20s, recovered", removed)
	clock = at(10 + 15*60)
	want(high, "Low at 20s, recovered", "All at 20s, recovered", removed)
	clock = at(11 + 15*60)
	want("Low at 20s, recovered", "All at 20s, recovered", removed)
	clock = at(41 + 15*60)
	want()
}

// TestWhatIsKeptIsOrderedAndBounded: late ends find their places, what is too old goes, and of too many the oldest.
func TestWhatIsKeptIsOrderedAndBounded(t *testing.T) {
	clock := epoch
	reg := prometheus.NewRegistry()
	h := newHouse(t, "groups: []", func(o *Options) { o.Now, o.Registerer = func() time.Time { return clock }, reg })
	end := func(seconds int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.resolve([]rules.Transition{{From: rules.Firing, Alert: rules.Alert{
			Labels: labels.FromStrings("n", fmt.Sprint(seconds)), State: rules.Inactive, EndedAt: at(seconds),
		}}})
	}
	ended := func() (out []int) {
		for _, s := range h.Resolved() {
			out = append(out, int(s.Alert.EndedAt.Sub(epoch).Seconds()))
		}
		return out
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []int
	for i := range 3000 {
		s := i/10 + rnd.IntN(20)
		clock = at(i / 10)
		end(s)
		all = append(all, s)
	}
	slices.Sort(all)
	if got := ended(); !slices.Equal(got, all) {
		t.Fatalf("%d are kept, want %d in the order they ended", len(got), len(all))
	}
	clock = at(1050)
	kept := slices.DeleteFunc(all, func(s int) bool { return s < 150 })
	if got := ended(); !slices.Equal(got, kept) {
		t.Fatalf("%d are kept, want %d that ended in the last 15 minutes", len(got), len(kept))
	}
	for range maxResolved {
		end(1050)
	}
	end(1051)
	got := ended()
	if len(got) != maxResolved || got[0] != 1050 || got[len(got)-1] != 1051 || h.resolved.n != maxResolved {
		t.Errorf("%d are kept, from %d on", len(got), got[0])
	}
	want := fmt.Sprintf(`
# HELP watchbill_resolved_alerts_dropped_total Alerts that ended within the last 15 minutes and are shown no more, because too many did.
# TYPE watchbill_resolved_alerts_dropped_total counter
watchbill_resolved_alerts_dropped_total %d
`, len(kept)+1)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_resolved_alerts_dropped_total"); err != nil {
		t.Error(err)
	}
	clock = at(3000)
	if got := ended(); len(got) != 0 || h.resolved.ring != nil {
		t.Errorf("%d are kept, with room for %d", len(got), len(h.resolved.ring))
	}
}
