package window

import (
	"fmt"
	"runtime"
	"testing"
)

// Shapes that come and go do not add up, neither in what is looked for nor in what is found.
func TestShapesThatChurnAreForgotten(t *testing.T) {
	w := New(Options{})
	w.SetDemand(selectors(t, "a[30s]"))
	for i := range 3000 {
		s := float64(10 * i)
		w.Apply(web1, at(s), []Block{ok(layout(t, "a", fmt.Sprintf(`b{process="%d"}`, i)), s, 1, 2)})
		if i%500 == 499 {
			runtime.GC()
		}
	}
	runtime.GC()
	w.parts.mu.Lock()
	w.parts.sweep = 0
	w.parts.tidy()
	known, bases := len(w.parts.known), len(w.parts.bases)
	w.parts.mu.Unlock()
	st := w.Stats()
	if known > 50 || bases > 50 || st.Parts > 2 || st.Series > 60 || len(w.index.names) > 3 {
		t.Errorf("after 3,000 shapes %d parts and %d layouts are known, %+v, %d names", known, bases, st, len(w.index.names))
	}
	checkBooks(t, w)
}

// The same series are the same part, whichever way an asset came to it, as long as somebody has it.
func TestTheSameSeriesAreOnePart(t *testing.T) {
	w := New(Options{})
	part := func(name string) (p *Part) {
		w.View(name, func(v View) { p = v.Parts()[0] })
		return p
	}
	web2 := Asset{Name: "web2"}
	for s := 0.0; s <= 20; s += 10 {
		w.Apply(web2, at(s), []Block{ok(layout(t, "a"), s, 1)})
	}
	whole := part("web2")
	w.Apply(web1, at(0), []Block{ok(layout(t, "a", "b"), 0, 1, 2)})
	w.Apply(web1, at(10), []Block{ok(layout(t, "a"), 10, 1)})
	if part("web1") == whole {
		t.Error("web1 had b, web2 never")
	}
	for s := 20.0; s < 600; s += 10 {
		w.Apply(web1, at(s), []Block{ok(layout(t, "a"), s, 1)})
	}
	if part("web1") != whole {
		t.Error("b is forgotten, and web1 is as web2")
	}
}
