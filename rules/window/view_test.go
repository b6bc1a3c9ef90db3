package window

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// TestAssetsOfOneShapeShareTheirParts: what programs are compiled for is the same where only the asset's own labels differ,
// and what left a block stands behind what is in it until nothing of it is looked back on.
func TestAssetsOfOneShapeShareTheirParts(t *testing.T) {
	w := New(Options{})
	web2 := Asset{Name: "web2", Customer: "acme", Site: "paris"}
	l := layout(t, "a", `b{disk="1"}`)
	w.Apply(web1, at(0), []Block{ok(l, 0, 1, 2)})
	w.Apply(web2, at(0), []Block{ok(l, 0, 3, 4)})
	parts := map[string][]*Part{}
	for _, name := range []string{"web1", "web2"} {
		w.View(name, func(v View) { parts[name] = v.Parts() })
	}
	one, two := parts["web1"], parts["web2"]
	if len(one) != 2 || len(two) != 2 || one[0] != two[0] || one[1] != two[1] {
		t.Fatalf("parts are %v and %v", one, two)
	}
	if got := web2.Labels(one[0].Series[1]).String(); got != `{__name__="b", customer="acme", disk="1", instance="web2", job="node", site="paris"}` {
		t.Errorf("labels are %s", got)
	}
	w.Apply(web1, at(10), []Block{ok(layout(t, "a"), 10, 5)})
	w.View("web1", func(v View) {
		p := v.Parts()[0]
		if p == one[0] || p.Live != 1 || len(p.Series) != 2 || p.Series[1].Get("disk") != "1" || p.Written() {
			t.Errorf("after b left the part is %+v", p)
		}
		if at, x, ok := v.Last(0, 0, 10_000+epoch.UnixMilli()); !ok || x != 5 || at != epoch.UnixMilli()+10_000 {
			t.Errorf("a is %v at %v, %v", x, at, ok)
		}
		if _, _, ok := v.Last(0, 1, epoch.UnixMilli()+10_000); ok {
			t.Error("b has ended")
		}
		ts, vs := v.Range(0, 1, epoch.UnixMilli()-1, epoch.UnixMilli()+10_000, &Buffer{})
		if len(ts) != 1 || len(vs) != 1 || vs[0] != 2 {
			t.Errorf("b was %v at %v", vs, ts)
		}
	})
}

// TestWhatARecordingRuleMadeIsAPart and ends with a stale marker where it is not made any more.
func TestWhatARecordingRuleMadeIsAPart(t *testing.T) {
	w := New(Options{})
	w.Apply(web1, at(0), []Block{ok(layout(t, "a"), 0, 1)})
	l := &Layout{ID: [32]byte{7}, Series: []labels.Labels{
		labels.FromStrings("__name__", "r", "instance", OwnInstance), labels.FromStrings("__name__", "r", "instance", OwnInstance, "x", "1"),
	}}
	w.Record("web1", "id", l, at(0), []float64{3, staleMarker()}, false)
	w.Record("web1", "id", l, at(0), []float64{4, 4}, false)
	w.Record("nobody", "id", l, at(0), []float64{4, 4}, false)
	look := func(name string, want State) {
		t.Helper()
		q := Question{Selectors: selectors(t, name), Labels: labels.FromStrings("instance", "web1"), At: at(0)}
		if st := w.Look(q); st.State != want {
			t.Errorf("%s: %+v, want %d", name, st, want)
		}
	}
	w.View("web1", func(v View) {
		i := 1
		if p := v.Parts()[i]; p.Name != RecordedPart+"id" || !p.Written() || !v.Known(i, at(0).UnixMilli(), 0) {
			t.Errorf("parts are %v", v.Parts())
		}
		if _, x, ok := v.Last(i, 0, at(0).UnixMilli()); !ok || x != 3 {
			t.Errorf("r is %v, %v", x, ok)
		}
		if _, _, ok := v.Last(i, 1, at(0).UnixMilli()); ok {
			t.Error(`r{x="1"} was not made`)
		}
	})
	if got := dump(t, w, "r"); got == "" {
		t.Error("queries do not see it")
	}
	look("r", Live)
	w.Record("web1", "id", l, at(1), []float64{3, 3}, true)
	w.View("web1", func(v View) {
		if v.Known(1, at(1).UnixMilli(), 0) {
			t.Error("it was made of what is not known")
		}
	})
	w.Unrecord("web1", "id", at(2))
	w.View("web1", func(v View) {
		if _, _, ok := v.Last(1, 0, at(2).UnixMilli()); ok || v.Parts()[1].Live != 0 {
			t.Error("it is not ended")
		}
	})
}

// TestKnown: a part is known while its asset is heard, its sampler looks, and the past is here.
func TestKnown(t *testing.T) {
	w := New(Options{})
	for s := 0.0; s <= 60; s += 10 {
		w.Apply(web1, at(s), []Block{ok(layout(t, "a"), s, 1)})
	}
	known := func(seconds float64, back time.Duration) (is bool) {
		w.View("web1", func(v View) { is = v.Known(0, at(seconds).UnixMilli(), back) })
		return is
	}
	if !known(60, 0) || !known(60, time.Minute) || known(60, 61*time.Second) || known(91, 0) {
		t.Error("60 s of samples every 10 s")
	}
	w.Apply(web1, at(61), []Block{failed(61, "no")})
	if known(61, 0) {
		t.Error("its sampler failed")
	}
}
