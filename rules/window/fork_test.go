package window

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// Whatever happened before, a fork answers every question about its asset's past as the window does, and what either
// learns later the other never sees.
func TestForkIsThePastOfOneAsset(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := New(Options{})
			w.SetLookback(time.Hour)
			feed(t, w, rand.New(rand.NewPCG(seed, 2)))
			f := w.Fork("web1", at(400))
			checkBooks(t, f)
			engine := newEngine()
			same := func(what string) {
				t.Helper()
				for _, expr := range []string{
					`{instance="web1", __name__=~"a|b|c|ab"}`, `rate(a{instance="web1"}[1m])`,
					`count_over_time({instance="web1", __name__=~"a|b|c"}[5m])`,
				} {
					compare(t, what+": "+expr, func(q storage.Queryable) (promql.Query, error) {
						return engine.NewRangeQuery(t.Context(), q, nil, expr, at(0), at(399.999), 13*time.Second)
					}, w, f)
				}
			}
			same("just forked")
			a := Asset{Name: "web1", Customer: "acme"}
			f.Apply(a, at(420), []Block{ok(layout(t, `a{disk="sda"}`, `c`), 420, 1, 2)})
			f.Apply(a, at(430), []Block{ok(layout(t, `c`), 430, 2)})
			w.Apply(a, at(700), []Block{ok(layout(t, `b{disk="sda"}`), 700, 3)})
			checkBooks(t, f)
			checkBooks(t, w)
			same("after both went on")
		})
	}
}

func TestForkKeepsWhatIsKnown(t *testing.T) {
	w := New(Options{})
	a := Asset{Name: "web1"}
	w.Apply(a, at(0), []Block{ok(layout(t, `a`), 0, 1)})
	w.Apply(a, at(10), []Block{failed(10, "permission denied")})
	w.SetCompleteSince("web1", at(-100))
	w.SetDown(a, at(15))
	f := w.Fork("web1", at(20))
	if got := dump(t, f, "up"); got != "0=1" {
		t.Errorf("up is %q: that nothing was heard is not what was", got)
	}
	st, ok := f.Asset("web1")
	if !ok || !st.CompleteSince.Equal(at(-100)) || st.Blocks[0].Status != Failed || !st.Received.Equal(at(0)) {
		t.Errorf("%+v", st)
	}
	if st, _ := w.Fork("web1", at(5)).Asset("web1"); st.Blocks[0].Status != OK {
		t.Errorf("a failure after the cut is in the fork: %+v", st)
	}
	if n := len(w.Fork("nobody", at(5)).Assets()); n != 0 {
		t.Errorf("%d assets in the fork of nobody", n)
	}
}
