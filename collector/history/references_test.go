package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules/window"
)

func layoutOf(names ...string) *window.Layout {
	l := &window.Layout{}
	for _, n := range names {
		l.Series = append(l.Series, labels.FromStrings("__name__", n))
	}
	return l
}

func lookedUp(h *History) float64 { return testutil.ToFloat64(h.metrics.lookedUp) }

func TestSeriesAreLookedUpOnce(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	both := layoutOf("load", "temp") // one layout, as all hosts of one make share it
	for i := range 10 {
		at := noon.Add(time.Duration(i) * time.Second)
		h.hear(report("web1", at, both, 1, float64(i)))
		h.hear(report("web2", at, both, 2, float64(-i)))
		run(t, h)
	}
	if got := lookedUp(h); got != 4 {
		t.Errorf("looked up %v series, want the four there are, once each", got)
	}
	if got, want := values(t, h, "load"), "0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1 9:1\n0:2 1:2 2:2 3:2 4:2 5:2 6:2 7:2 8:2 9:2"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if got, want := values(t, h, "temp"), "0:0 1:1 2:2 3:3 4:4 5:5 6:6 7:7 8:8 9:9\n0:0 1:-1 2:-2 3:-3 4:-4 5:-5 6:-6 7:-7 8:-8 9:-9"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestWhoseSeriesTheyAre(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	l := layoutOf("load")
	say := func(n int, a window.Asset, kind string) {
		h.Append(a, []window.Block{{Kind: kind, At: noon.Add(time.Duration(n) * time.Second), Status: window.OK, Layout: l, Values: []float64{float64(n)}}})
	}
	web := window.Asset{Name: "web1", Customer: "acme", Site: "leeds"}
	say(0, web, "node")
	say(1, window.Asset{Name: "web1", Customer: "acme", Site: "york"}, "node") // it moved
	say(2, web, "windows")                                                     // another kind of the same layout
	say(3, web, "node")
	run(t, h)
	want := []string{
		`{__name__="load", customer="acme", instance="web1", job="node", site="leeds"} 0 3`,
		`{__name__="load", customer="acme", instance="web1", job="node", site="york"} 1`,
		`{__name__="load", customer="acme", instance="web1", job="windows", site="leeds"} 2`,
	}
	curves, err := h.Series(t.Context(), match("__name__", "load"), noon, noon.Add(time.Minute), 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range curves {
		line := c.Labels.String()
		for _, p := range c.Points {
			line += fmt.Sprint(" ", p.V)
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The TSDB's head lets go of series that nobody writes; references to them lead nowhere then.
func TestSeriesThatLeftMemoryComeBack(t *testing.T) {
	h := open(t, t.TempDir(), Options{Retention: 30 * time.Minute})
	rare, busy := layoutOf("rare"), layoutOf("busy")
	h.hear(report("web1", noon, rare, 1))
	last := noon
	for i := range 40 {
		last = noon.Add(time.Duration(i) * time.Minute)
		h.hear(report("web1", last, busy, float64(i)))
		run(t, h)
		h.known.round-- // upkeep is run more often here than the references think
		h.upkeep(t.Context())
	}
	if n := h.shelf.Load().db.Head().NumSeries(); n != 1 {
		t.Fatalf("%d series in memory, want the busy one alone: this test shows nothing", n)
	}
	before := lookedUp(h)
	for i := 1; i <= 2; i++ {
		h.hear(report("web1", last.Add(time.Duration(i)*time.Minute), rare, float64(1+i)))
		run(t, h)
	}
	if got := lookedUp(h) - before; got != 1 {
		t.Errorf("looked up %v times, want once", got)
	}
	if got, want := values(t, h, "rare"), "0:1 2400:2 2460:3"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

// Another TSDB numbers its series otherwise: what is known of the one that was given up must not be written there.
func TestReferencesEndWithTheirStorage(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	first, second := layoutOf("first"), layoutOf("second")
	h.hear(report("web1", noon, first, 1))
	h.hear(report("web1", noon, second, 2))
	run(t, h)
	s := h.shelf.Load()
	h.abandon(s, errors.New("for a test"))
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	h.dir = t.TempDir() // the next one begins empty, and meets the series in another order
	h.hear(report("web1", noon.Add(time.Second), second, 20))
	h.hear(report("web1", noon.Add(time.Second), first, 10))
	run(t, h)
	if got, want := values(t, h, "first")+"|"+values(t, h, "second"), "1:10|1:20"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestUnusedReferencesAreForgotten(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	used := layoutOf("used")
	for i := range 3 * forgetAfter {
		at := noon.Add(time.Duration(i) * time.Minute)
		h.hear(report("web1", at, used, 1))
		h.hear(report("web1", at, layoutOf("load"), 1)) // a shape that is never seen again
		run(t, h)
		h.known.forget()
	}
	if n := len(h.known.sets); n > forgetAfter+2 {
		t.Errorf("%d sets of references are kept, want the used one and those of the last %d rounds", n, forgetAfter)
	}
	if h.known.sets[setKey{window.Asset{Name: "web1"}, "", used}] == nil {
		t.Error("what is used was forgotten")
	}
}

func TestWhatSaysNothingIsNotQueued(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	l := layoutOf("load", "temp")
	h.Append(window.Asset{Name: "web1"}, []window.Block{
		{At: noon, Status: window.Failed, Layout: l, Values: []float64{1, 2}},
		{At: noon, Status: window.OK, Layout: l, Values: []float64{1}}, // does not fit
		{At: noon, Status: window.OK},
		{At: noon, Status: window.Unchanged},
	})
	if n := len(h.queue); n != 0 {
		t.Errorf("%d reports queued", n)
	}
}

// What the caller does with its values after Append does not show.
func TestAppendCopies(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	l, v := layoutOf("load"), []float64{1}
	for i := range 3 {
		v[0] = float64(i)
		h.hear(report("web1", noon.Add(time.Duration(i)*time.Second), l, v...))
		v[0] = -1
	}
	run(t, h)
	if got, want := values(t, h, "load"), "0:0 1:1 2:2"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

// Written by reference and written by labels, as it was done before, is the same: hosts that share layouts and change
// them, series that move between blocks, late and repeated blocks, stale series, memory that is tidied up in between.
func TestByReferenceAsByLabels(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			o := Options{Retention: 30 * time.Minute}
			h, oracle := open(t, t.TempDir(), o), open(t, t.TempDir(), o)
			chance := rand.New(rand.NewPCG(seed, 0))
			layouts := []*window.Layout{layoutOf("a", "b", "c"), layoutOf("c", "d"), layoutOf("e"), layoutOf("a", "b", "c")}
			at := noon
			for n := range 400 {
				at = at.Add(time.Duration(chance.IntN(20)) * time.Second)
				l := layouts[(n/100+chance.IntN(2))%len(layouts)] // for a quarter of an hour two of them are not heard of
				s := report(fmt.Sprint("web", chance.IntN(3)), at.Add(-time.Duration(chance.IntN(4)*chance.IntN(300))*time.Second), l)
				for range l.Series {
					s.block.Values = append(s.block.Values, float64(chance.IntN(3)))
				}
				h.hear(s)
				run(t, h)
				byLabels(t, oracle, s)
				if n%100 == 99 {
					h.upkeep(t.Context())
					oracle.upkeep(t.Context())
				}
			}
			got, want := everything(t, h), everything(t, oracle)
			if got != want {
				t.Errorf("by reference\n%s\nby labels\n%s", got, want)
			}
			if n := lookedUp(h); n <= 3*(3+2+1+3) {
				t.Errorf("looked up %v times: no series left memory and came back, this shows nothing", n)
			}
		})
	}
}

// byLabels writes one report without references.
func byLabels(t *testing.T, h *History, s said) {
	t.Helper()
	app := h.shelf.Load().db.Appender(context.Background())
	for i, v := range s.block.Values {
		b := labels.NewBuilder(s.block.Layout.Series[i])
		_, err := app.Append(0, b.Set("instance", s.asset.Name).Labels(), s.block.At.UnixMilli(), v)
		if err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) && !errors.Is(err, storage.ErrTooOldSample) {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
}

// everything is all that a history holds, a line for each series.
func everything(t *testing.T, h *History) string {
	t.Helper()
	q, err := h.Queryable().Querier(noon.Add(-time.Hour).UnixMilli(), noon.Add(48*time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	var lines strings.Builder
	for set.Next() {
		fmt.Fprint(&lines, set.At().Labels())
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			at, v := it.At()
			fmt.Fprintf(&lines, " %d:%v", (at-noon.UnixMilli())/1000, v)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		fmt.Fprintln(&lines)
	}
	if set.Err() != nil {
		t.Fatal(set.Err())
	}
	return lines.String()
}
