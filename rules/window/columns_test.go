package window

import (
	"testing"
)

// A series that moves to another sampler and back, while the first is silent, is not lost when the second lets go of it.
func TestASeriesThatMovesBackIsNotLost(t *testing.T) {
	w, abc, ab, c := New(Options{}), layout(t, "a", "b", "c"), layout(t, "a", "b"), layout(t, "c")
	from := func(source string, l *Layout, n float64) {
		b := ok(l, n, make([]float64, len(l.Series))...)
		b.Source = source
		w.Apply(web1, at(n), []Block{b})
	}
	from("cpu", abc, 0)
	from("cpu", ab, 10) // c left
	from("other", c, 20)
	from("other", layout(t, "d"), 30) // and left there too
	for n := 40.0; n < 900; n += 10 {
		from("other", layout(t, "d"), n) // until it is forgotten; cpu is silent
	}
	from("cpu", abc, 900)
	if got := dump(t, w, "c"); got != "900=0" {
		t.Errorf("c is %q, want the one sample it has now", got)
	}
	checkBooks(t, w)
}
