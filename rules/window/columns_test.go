package window

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// shared is how many series of the newest shape lie in its columns.
func shared(w *Window, asset, source string) (n int) {
	src := w.assets[asset].sources[source]
	if src == nil || src.cur == nil {
		return 0
	}
	sh := src.cur
	for _, x := range sh.slots {
		if x == nil || len(sh.times) == 0 {
			continue // refused, or with nobody to share
		}
		if k := len(x.t); k > 0 && &x.t[k-1] == &sh.times[len(sh.times)-1] {
			n++
		}
	}
	return n
}

func TestSeriesOfAShapeShareTheirTimes(t *testing.T) {
	w, abc, ab := New(Options{}), layout(t, "a", "b", "c"), layout(t, "a", "b")
	n := 0.0
	say := func(l *Layout, times int) {
		for range times {
			n += 10
			w.Apply(web1, at(n), []Block{ok(l, n, make([]float64, len(l.Series))...)})
		}
	}
	say(abc, 30)
	if got := shared(w, "web1", "cpu"); got != 3 {
		t.Errorf("%d of 3 series share their times", got)
	}
	say(ab, 1) // c left
	say(abc, 1)
	say(ab, 30)
	if got := shared(w, "web1", "cpu"); got != 2 {
		t.Errorf("%d of 2 series share their times after a third came and went", got)
	}
	w.Apply(web1, at(n), []Block{late(ok(ab, n-5, 7, 7))})
	w.Stats() // who reads puts late blocks into their places
	say(ab, 60)
	if got := shared(w, "web1", "cpu"); got != 2 {
		t.Errorf("%d of 2 series share their times long after a late block", got)
	}
	checkBooks(t, w)
}

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

// A window whose series share columns holds the same as one in which every series has slices of its own, at every
// moment: shapes that come, go and come back, series that move between blocks, late blocks, forks. And what a reader
// was given never changes.
func TestColumnsAsIfApart(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 0))
			w, apart := New(Options{MaxSamples: 90}), New(Options{MaxSamples: 90})
			layouts := []*Layout{
				layout(t, "a", "b", "c", "d"), layout(t, "a", "b", "c"), layout(t, "b", "e"), layout(t, "d"), layout(t, "a", "b", "c", "d", "e"),
			}
			var given []view
			var copies []view
			used, n := 0, 0.0
			together := 0
			for range 400 {
				n += 1 + float64(chance.IntN(12))
				if chance.IntN(12) == 0 {
					used = chance.IntN(len(layouts))
				}
				b := ok(layouts[used], n)
				if chance.IntN(15) == 0 {
					b = late(ok(layouts[chance.IntN(len(layouts))], n-float64(chance.IntN(300))))
				}
				if chance.IntN(10) == 0 {
					b.Source, b.Layout = "other", layouts[chance.IntN(len(layouts))]
				}
				b.Values = nil
				for range b.Layout.Series {
					b.Values = append(b.Values, float64(chance.IntN(100)))
				}
				for _, x := range []*Window{w, apart} {
					x.Apply(web1, at(n), []Block{b})
				}
				scatter(apart)
				if got, want := contents(w), contents(apart); !slices.Equal(got, want) {
					t.Fatalf("at %v in columns\n%v\napart\n%v", n, got, want)
				}
				together += shared(w, "web1", "cpu")
				if chance.IntN(20) == 0 {
					for _, s := range w.assets["web1"].series {
						ts, vs := s.between(0, 1<<62, nil)
						given = append(given, view{s.lbls, ts, vs})
						copies = append(copies, view{s.lbls, slices.Clone(ts), slices.Clone(vs)})
					}
				}
				if chance.IntN(60) == 0 {
					forked(t, w, n)
				}
			}
			for i := range given {
				if !slices.Equal(given[i].t, copies[i].t) || !slices.EqualFunc(given[i].v, copies[i].v, sameBits) {
					t.Fatalf("%v changed under its reader from\n%v %v to\n%v %v", given[i].lbls, copies[i].t, copies[i].v, given[i].t, given[i].v)
				}
			}
			if together == 0 {
				t.Error("no series ever shared its times: this shows nothing")
			}
			checkBooks(t, w)
		})
	}
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// forked writes into a fork; the window it came from must not notice.
func forked(t *testing.T, w *Window, n float64) {
	t.Helper()
	before := contents(w)
	f := w.Fork("web1", at(n-20))
	for i := range 30 {
		l := layout(t, "a", "b", "c", "d")
		f.Apply(web1, at(n+float64(i)), []Block{ok(l, n-19+float64(i), -1, -2, -3, -4)})
	}
	if after := contents(w); !slices.Equal(before, after) {
		t.Fatalf("a fork changed its origin from\n%v to\n%v", before, after)
	}
}

// scatter gives every series slices of its own.
func scatter(w *Window) {
	for _, as := range w.assets {
		for _, s := range as.series {
			s.t, s.v = slices.Clone(s.t), slices.Clone(s.v)
		}
	}
}

// contents is every sample of a window, a line for each series.
func contents(w *Window) (lines []string) {
	w.catchUp()
	defer w.mu.RUnlock()
	for _, as := range w.assets {
		for _, s := range as.series {
			line := s.lbls.String()
			for i := range s.t {
				line += fmt.Sprintf(" %v=%v", time.Duration(s.t[i])*time.Millisecond, s.v[i])
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
