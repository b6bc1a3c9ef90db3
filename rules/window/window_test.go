package window

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

var (
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	web1  = Asset{Name: "web1", Customer: "acme", Site: "hq"}
)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

// layout makes a layout of series in the text notation: name or name{label="value"}.
func layout(t testing.TB, series ...string) *Layout {
	t.Helper()
	l := &Layout{}
	p := parser.NewParser(parser.Options{})
	for i, s := range series {
		lbls, err := p.ParseMetric(s)
		if err != nil {
			t.Fatal(err)
		}
		l.Series = append(l.Series, lbls)
		copy(l.ID[i*4%28:], fmt.Sprintf("%s/%d", s, len(series)))
	}
	l.ID[31] = byte(len(series))
	return l
}

func ok(l *Layout, seconds float64, values ...float64) Block {
	return Block{Source: "cpu", Kind: "node", At: at(seconds), Interval: 10 * time.Second, Status: OK, Layout: l, Values: values}
}

func late(b Block) Block { b.Late = true; return b }

func failed(seconds float64, reason string) Block {
	return Block{Source: "cpu", Kind: "node", At: at(seconds), Interval: 10 * time.Second, Status: Failed, Reason: reason}
}

func unchanged(seconds float64) Block {
	return Block{Source: "cpu", Kind: "node", At: at(seconds), Interval: 10 * time.Second, Status: Unchanged}
}

// dump writes the samples of a metric: "10=1 20=stale".
func dump(t testing.TB, w *Window, metric string) string {
	t.Helper()
	q, err := w.Querier(math.MinInt64/2, math.MaxInt64/2)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
	var lines []string
	for set.Next() {
		var out []string
		it := set.At().Iterator(nil)
		for it.Next() != 0 {
			ts, v := it.At()
			text := fmt.Sprint(v)
			if value.IsStaleNaN(v) {
				text = "stale"
			}
			out = append(out, fmt.Sprintf("%v=%s", float64(ts-epoch.UnixMilli())/1000, text))
		}
		lines = append(lines, strings.Join(out, " "))
	}
	return strings.Join(lines, "; ")
}

func TestApply(t *testing.T) {
	a, b, ab := layout(t, "a"), layout(t, "b"), layout(t, "a", "b")
	for _, c := range []struct {
		name   string
		blocks []Block
		a, b   string
		up     string
	}{
		{"in order", []Block{ok(ab, 0, 1, 2), ok(ab, 10, 3, 4)}, "0=1 10=3", "0=2 10=4", "0=1 10=1"},
		{"twice", []Block{ok(a, 0, 1), ok(a, 10, 2), ok(a, 10, 9), ok(a, 0, 9)}, "0=1 10=2", "", "0=1 10=1"},
		{"a series leaves", []Block{ok(ab, 0, 1, 2), ok(a, 10, 3), ok(a, 20, 4)}, "0=1 10=3 20=4", "0=2 10=stale", "0=1 10=1 20=1"},
		{"and returns", []Block{ok(ab, 0, 1, 2), ok(a, 10, 3), ok(ab, 20, 4, 5)}, "0=1 10=3 20=4", "0=2 10=stale 20=5", "0=1 10=1 20=1"},
		{"a series is replaced", []Block{ok(a, 0, 1), ok(b, 10, 2)}, "0=1 10=stale", "10=2", "0=1 10=1"},
		{"failed leaves series as they are", []Block{ok(a, 0, 1), failed(10, "no"), ok(a, 20, 2)}, "0=1 20=2", "", "0=1 10=1 20=1"},
		{"unchanged repeats", []Block{ok(ab, 0, 1, 2), unchanged(10), ok(ab, 20, 5, 6)}, "0=1 10=1 20=5", "0=2 10=2 20=6", "0=1 10=1 20=1"},
		{"unchanged of nothing", []Block{unchanged(10)}, "", "", "10=1"},
		{"late between", []Block{ok(a, 0, 1), ok(a, 20, 3), late(ok(a, 10, 2))}, "0=1 10=2 20=3", "", "0=1 20=1"},
		{"late before all", []Block{ok(a, 20, 3), late(ok(ab, 0, 1, 2))}, "0=1 20=3", "0=2 20=stale", "20=1"},
		{"a series only in a late block", []Block{ok(a, 0, 1), ok(a, 20, 3), late(ok(ab, 10, 2, 7))}, "0=1 10=2 20=3", "10=7 20=stale", "0=1 20=1"},
		{"a series away in a late block", []Block{ok(ab, 0, 1, 2), ok(ab, 20, 3, 4), late(ok(a, 10, 9))}, "0=1 10=9 20=3", "0=2 10=stale 20=4", "0=1 20=1"},
		{"late unchanged", []Block{ok(a, 0, 1), ok(a, 20, 3), late(unchanged(10))}, "0=1 10=1 20=3", "", "0=1 20=1"},
		{"late and newer waits", []Block{ok(a, 0, 1), late(ok(a, 20, 3)), late(ok(a, 10, 2))}, "0=1", "", "0=1"},
		{"and comes in behind the next", []Block{ok(a, 0, 1), late(ok(a, 20, 3)), late(ok(ab, 10, 2, 7)), ok(a, 30, 4)}, "0=1 10=2 20=3 30=4", "10=7 20=stale", "0=1 30=1"},
		{"late twice", []Block{late(ok(a, 10, 2)), late(ok(a, 10, 2)), ok(a, 20, 3), late(ok(a, 10, 2))}, "10=2 20=3", "", "20=1"},
		{"out of order, not late", []Block{ok(a, 10, 2), ok(a, 0, 1)}, "0=1 10=2", "", "10=1"},
		{"values do not fit", []Block{ok(a, 0, 1), ok(a, 10, 1, 2)}, "0=1", "", "0=1 10=1"},
		{"older than is kept", []Block{ok(a, 1000, 2), late(ok(a, 0, 1))}, "1000=2", "", "1000=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Options{})
			for _, b := range c.blocks {
				w.Apply(web1, b.At, []Block{b})
			}
			for metric, want := range map[string]string{"a": c.a, "b": c.b, "up": c.up} {
				if got := dump(t, w, metric); got != want {
					t.Errorf("%s is %q, want %q", metric, got, want)
				}
			}
			checkBooks(t, w)
		})
	}
}

// checkBooks compares what the window counts with what is there, and what finds its series with its series.
func checkBooks(t testing.TB, w *Window) {
	t.Helper()
	samples, series, users := 0, 0, 0
	w.eachRead(func(as *asset) {
		seen := map[uint64]bool{}
		for _, s := range as.all() {
			users++
			if sh := w.index.shapes[s.part]; sh == nil || sh.users[s.at] != s {
				t.Errorf("the index has lost %s of %s", s.part.Name, as.Name)
			}
			for slot, id := range s.part.ids {
				series++
				if seen[id] {
					t.Errorf("%v is there twice", s.part.Series[slot])
				}
				seen[id] = true
				ts, vs := s.gather(int32(slot), never, forever, new(decoder), nil, nil)
				samples += len(ts)
				if !slices.IsSorted(ts) || len(ts) != len(vs) {
					t.Errorf("%v is not in order: %v", s.part.Series[slot], ts)
				}
			}
			for _, x := range s.seldom().moved {
				samples += len(x.t)
			}
			if len(s.seldom().left) != len(s.part.Series)-s.part.Live {
				t.Errorf("%s of %s has %d series that left, and of %d it is known when", s.part.Name, as.Name,
					len(s.part.Series)-s.part.Live, len(s.seldom().left))
			}
		}
	})
	for _, s := range w.recorded.all {
		series, samples = series+1, samples+s.samples()
	}
	for _, sh := range w.index.shapes {
		users -= len(sh.users)
	}
	if st := w.Stats(); st.Samples != samples || st.Series != series || users != 0 {
		t.Errorf("stats say %d samples of %d series; there are %d of %d, and %d sources not in the index",
			st.Samples, st.Series, samples, series, users)
	}
}

func TestApplyCounts(t *testing.T) {
	a := layout(t, "a")
	w := New(Options{})
	got := w.Apply(web1, at(1000), []Block{ok(a, 1000, 1), ok(a, 1000, 1), late(ok(a, 0, 1)), late(ok(a, 2000, 1)), failed(1010, "x")})
	if want := (Applied{New: 1, Duplicate: 1, Old: 1, Held: 1, Failed: 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("applied %+v, want %+v", got, want)
	}
}

func TestLabelsOfSeries(t *testing.T) {
	w := New(Options{})
	w.Apply(web1, at(0), []Block{ok(layout(t, `a{disk="sda"}`), 0, 1)})
	w.SetDown(Asset{Name: "new"}, at(5))
	var got []string
	w.Last(func(lbls labels.Labels, when time.Time, v float64) {
		got = append(got, fmt.Sprintf("%s %v %v", lbls, when.Sub(epoch), v))
	})
	slices.Sort(got)
	want := []string{
		`{__name__="a", customer="acme", disk="sda", instance="web1", job="node", site="hq"} 0s 1`,
		`{__name__="up", customer="acme", instance="web1", job="node", site="hq"} 0s 1`,
		`{__name__="up", instance="new", job="node"} 5s 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("last samples are\n%s", strings.Join(got, "\n"))
	}
}

func TestUp(t *testing.T) {
	w, a := New(Options{}), layout(t, "a")
	w.SetDown(web1, at(0))
	iis := ok(a, 10, 1)
	iis.Kind = "iis"
	w.Apply(web1, at(10), []Block{iis}) // it is no "node": that was a guess
	w.SetDown(web1, at(40))
	w.SetDown(web1, at(50))
	iis.At = at(49) // its clock is behind ours
	w.Apply(web1, at(51), []Block{iis})
	if got := dump(t, w, "up"); got != "10=1 40=0 50=0 50.001=1; 0=0 10=stale" {
		t.Errorf("up is %q", got)
	}
	if st, _ := w.Asset("web1"); st.Down || !st.Received.Equal(at(51)) {
		t.Errorf("status is %+v", st)
	}
}

func TestRetention(t *testing.T) {
	w, ab, a := New(Options{MaxLookback: 20 * time.Minute}), layout(t, "a", "b"), layout(t, "a")
	keep := func() int {
		return len(strings.Fields(dump(t, w, "a")))
	}
	w.Apply(web1, at(0), []Block{ok(ab, 0, 1, 1)})
	for i := 1; i <= 100; i++ {
		w.Apply(web1, at(float64(10*i)), []Block{ok(a, float64(10*i), 1)})
	}
	if n := keep(); n < 37 || n > 37*9/8+1 {
		t.Errorf("%d samples of 10 s are kept, want 6 minutes and at most an eighth more", n)
	}
	if got := dump(t, w, "b"); got != "" || w.Stats().Series != 2 {
		t.Errorf("the series that left is still there: %q, %d series", got, w.Stats().Series)
	}
	w.SetLookback(time.Hour) // more than MaxLookback
	if since, _ := w.CompleteSince("web1"); !since.Equal(at(640)) {
		t.Errorf("complete since %v: what was forgotten before the longer look-back is not here", since.Sub(epoch))
	}
	for i := 101; i <= 300; i++ {
		w.Apply(web1, at(float64(10*i)), []Block{ok(a, float64(10*i), 1)})
	}
	if n := keep(); n < 127 || n > 127*9/8+1 {
		t.Errorf("%d samples of 10 s are kept, want 21 minutes and at most an eighth more", n)
	}
	checkBooks(t, w)
}

func TestBounds(t *testing.T) {
	many := make([]string, 10)
	for i := range many {
		many[i] = fmt.Sprintf(`a{i="%d"}`, i)
	}
	w := New(Options{MaxAssetSeries: 4, MaxSeries: 6, MaxSamples: 3, MaxHeld: 2})
	for i := range 5 {
		w.Apply(web1, at(float64(i)), []Block{ok(layout(t, many...), float64(i), make([]float64, 10)...)})
	}
	w.Apply(Asset{Name: "web2"}, at(0), []Block{ok(layout(t, many...), 0, make([]float64, 10)...)})
	for i := range 5 {
		w.Apply(web1, at(20), []Block{late(ok(layout(t, many...), float64(10+i), make([]float64, 10)...))})
	}
	st := w.Stats()
	if st.Series != 6 || st.Samples > 18 {
		t.Errorf("stats are %+v", st)
	}
	for _, name := range []string{"MaxAssetSeries", "MaxSeries", "MaxSamples", "MaxHeld"} {
		if st.Refused[name] == 0 {
			t.Errorf("%s refused nothing: %v", name, st.Refused)
		}
	}
	if since, _ := w.CompleteSince("web1"); !since.Equal(at(2)) {
		t.Errorf("complete since %v, want the oldest sample that is left", since)
	}
	checkBooks(t, w)
}

func TestForgetAndMove(t *testing.T) {
	w, a := New(Options{}), layout(t, "a")
	w.Apply(web1, at(0), []Block{ok(a, 0, 1)})
	moved := Asset{Name: "web1", Customer: "other"}
	w.Apply(moved, at(10), []Block{ok(a, 10, 2)})
	if got := dump(t, w, "a"); got != "10=2" {
		t.Errorf("a is %q: the old customer's samples are not the new one's", got)
	}
	w.Forget("web1")
	w.Forget("nobody")
	if st := w.Stats(); st.Series != 0 || st.Samples != 0 || len(w.Assets()) != 0 {
		t.Errorf("left over: %+v", st)
	}
}

func TestAppendRecorded(t *testing.T) {
	w := New(Options{})
	lbls := labels.FromStrings("__name__", "r", "instance", "web1")
	for _, c := range []struct {
		at   float64
		v    float64
		want bool
	}{
		{0, staleMarker(), false}, {10, 1, true}, {10, 2, false}, {5, 2, false}, {20, staleMarker(), true}, {30, 3, true},
	} {
		if got := w.AppendRecorded(lbls, at(c.at), c.v); got != c.want {
			t.Errorf("%v at %v: %v", c.v, c.at, got)
		}
	}
	if got := dump(t, w, "r"); got != "10=1 20=stale 30=3" {
		t.Errorf("r is %q", got)
	}
	w.AppendRecorded(labels.FromStrings("__name__", "other"), at(1000), 1)
	if got := dump(t, w, "r"); got != "" {
		t.Errorf("nothing writes r any more, it is still %q", got)
	}
	checkBooks(t, w)
}

func TestSameSeriesInTwoBlocks(t *testing.T) {
	w, a := New(Options{}), layout(t, "a")
	other := func(seconds, v float64) Block { b := ok(a, seconds, v); b.Source = "other"; return b }
	w.Apply(web1, at(0), []Block{ok(a, 0, 1), other(0, 9)})
	if got := dump(t, w, "a"); got != "0=1" || w.Stats().Refused["series of two blocks"] != 1 {
		t.Errorf("a is %q, refused %v: want the first one's", got, w.Stats().Refused)
	}
	w.Apply(web1, at(10), []Block{ok(layout(t, "b"), 10, 1)})
	moved := layout(t, "a", "c")
	b := ok(moved, 20, 7, 8)
	b.Source = "other"
	w.Apply(web1, at(20), []Block{b})
	if got := dump(t, w, "a"); got != "0=1 10=stale 20=7" {
		t.Errorf("a is %q: it moved to another sampler", got)
	}
}

// TestQueriesSeeReportsWholeAndOnce runs queries over two metrics while reports come in that always hold the same value.
func TestQueriesSeeReportsWholeAndOnce(t *testing.T) {
	w, l := New(Options{MaxSamples: 1 << 30}), layout(t, "a", "b")
	w.SetLookback(24 * time.Hour) // nothing is forgotten meanwhile
	ctx, stop := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	w.Apply(web1, at(0), []Block{ok(l, 0, 0, 0)})
	writer.Go(func() {
		for i := 1; ctx.Err() == nil && i < 20_000; i++ { // less than a day, however slow the reader is
			v := float64(i)
			w.Apply(web1, at(v), []Block{ok(l, v, v, v)})
			w.Apply(web1, at(v), []Block{late(ok(l, v-0.5, v, v))})
		}
	})
	defer writer.Wait()
	defer stop()
	for range 500 {
		q, err := w.Querier(0, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		a, b := times(t, q, "a"), times(t, q, "b")
		if !slices.Equal(a, b) {
			t.Fatalf("one query saw two states: up to %d and %d", a[len(a)-1], b[len(b)-1])
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func times(t *testing.T, q storage.Querier, metric string) (out []int64) {
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
	for set.Next() {
		for it := set.At().Iterator(nil); it.Next() != 0; {
			out = append(out, it.AtT())
		}
	}
	return out
}

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e7, Timeout: time.Minute, LookbackDelta: StaleAfter, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 15_000 }, Parser: parser.NewParser(parser.Options{}),
	})
}
