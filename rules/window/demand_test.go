package window

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// plainBlocks are what a source said, as plainly as it can be written down.
type plainBlocks struct {
	keep   int64
	rows   map[int64]map[string]float64
	held   map[int64]map[string]float64
	newest int64
}

// take does what Apply promises with an ok block.
func (p *plainBlocks) take(t int64, late bool, row map[string]float64) {
	_, have := p.rows[t]
	_, waits := p.held[t]
	switch {
	case have || waits && late || p.newest != 0 && t < p.newest-p.keep:
	case late && t > p.newest:
		p.held[t] = row
	case t < p.newest:
		p.rows[t] = row
	default:
		for at, held := range p.held {
			if at < t {
				delete(p.held, at)
				if _, have := p.rows[at]; !have && at >= t-p.keep {
					p.rows[at] = held
				}
			}
		}
		p.rows[t], p.newest = row, t
	}
}

// samples are those of a series since a time, with all bits.
func (p *plainBlocks) samples(name string, since int64) (out []string) {
	for _, t := range slices.Sorted(maps.Keys(p.rows)) {
		if v, is := p.rows[t][name]; is && t >= since {
			out = append(out, plainSample(t, v))
		}
	}
	return out
}

func plainSample(t int64, v float64) string {
	return fmt.Sprintf("%d=%x", t-epoch.UnixMilli(), math.Float64bits(v))
}

// demanded are random selectors: nothing, or how far back, for each of the names.
func demanded(t *testing.T, chance *rand.Rand, names []string) (sels []Selector, backs map[string]time.Duration) {
	backs = map[string]time.Duration{}
	for _, n := range names {
		back := []time.Duration{0, 30 * time.Second, 5 * time.Minute, time.Hour, 6 * time.Hour}[chance.IntN(5)]
		backs[n] = back
		for _, d := range []time.Duration{0, back / 2, back} {
			s := selectors(t, n+`{instance=~"web.+"}`)[0]
			s.Lookback = d
			sels = append(sels, s)
		}
	}
	return sels, backs
}

// The window holds of each series what is demanded, whatever shapes come and go, however late blocks are, and whatever was
// demanded before: from when it says that it does.
func TestTheWindowHoldsWhatIsDemanded(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 7))
			w := New(Options{})
			w.SetLookback(6 * time.Hour)
			plain := &plainBlocks{keep: w.reach(6 * time.Hour), rows: map[int64]map[string]float64{}, held: map[int64]map[string]float64{}}
			n, used := 0.0, names
			compared, said, rows := 0, map[float64]Block{}, map[float64]map[string]float64{}
			for step := range 1200 {
				n += 1 + float64(chance.IntN(20))
				if chance.IntN(25) == 0 {
					used = slices.DeleteFunc(slices.Clone(names), func(string) bool { return chance.IntN(3) == 0 })
				}
				at, late := n, false
				switch chance.IntN(12) {
				case 0:
					at, late = n-float64(chance.IntN(2000)), true
				case 1:
					at = n - float64(chance.IntN(300))
				case 2:
					at, late = n+float64(chance.IntN(60)), true
				}
				b := ok(layout(t, used...), at)
				row := map[string]float64{}
				for _, name := range used {
					v := []float64{math.NaN(), math.Copysign(0, -1), math.Inf(1), math.Float64frombits(0x7ff8dead0000beef), 7, 7, chance.Float64()}[chance.IntN(7)]
					b.Values, row[name] = append(b.Values, v), v
				}
				b.Late = late
				if was, again := said[at]; again { // the same once more, or for the first time if it was too old before
					b, row = was, rows[at]
					b.Late = b.Late || late
				}
				said[at], rows[at] = b, row
				w.Apply(web1, b.At, []Block{b})
				plain.take(b.At.UnixMilli(), b.Late, row)
				if chance.IntN(150) == 0 && step > 100 {
					sels, _ := demanded(t, chance, names)
					w.SetDemand(sels)
					plain.keep = w.find("web1").sources[0].reach()
				}
				if chance.IntN(10) == 0 {
					compared += compareKept(t, w, plain, names)
				}
				if t.Failed() {
					return
				}
			}
			checkBooks(t, w)
			if compared < 1000 {
				t.Errorf("only %d samples were compared: this shows little", compared)
			}
		})
	}
}

// compareKept compares the series of web1's only source with what they should be.
func compareKept(t *testing.T, w *Window, plain *plainBlocks, names []string) (compared int) {
	t.Helper()
	as := w.find("web1")
	as.read(w)
	defer as.mu.RUnlock()
	s := as.sources[0]
	for _, name := range names {
		lb := labels.NewBuilder(labels.EmptyLabels())
		id, _ := w.parts.id(nil, owned(lb, labels.FromStrings("__name__", name), "node"))
		slot, have := s.part.find(id)
		since := int64(math.MaxInt64) // of one that is forgotten nothing may be known
		if have {
			since = max(plain.newest-s.keep(slot), s.since(slot))
			if s.keep(slot) == 0 {
				since = s.t[0]
			}
		} else {
			since = plain.newest - rawFor
		}
		var got []string
		if have {
			ts, vs := s.collect(slot, since, forever, nil, &Buffer{})
			for i := range ts {
				if !value.IsStaleNaN(vs[i]) {
					got = append(got, plainSample(ts[i], vs[i]))
				}
			}
		}
		want := plain.samples(name, since)
		compared += len(want)
		if !slices.Equal(got, want) {
			i := 0
			for i < min(len(got), len(want)) && got[i] == want[i] {
				i++
			}
			t.Fatalf("%s since %d is from sample %d on\n%s\nwant\n%s", name, since-epoch.UnixMilli(), i,
				strings.Join(got[i:], " "), strings.Join(want[i:], " "))
		}
	}
	return compared
}

// TestDemandIsATSDB: whatever rules look back on, what they ask gives the same over the window as over Prometheus' storage.
func TestDemandIsATSDB(t *testing.T) {
	names := []string{"a", "b", "c"}
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			chance := rand.New(rand.NewPCG(seed, 9))
			w, all := New(Options{}), New(Options{})
			all.SetLookback(8 * time.Hour)
			sels, backs := demanded(t, chance, names)
			w.SetDemand(sels)
			end := 7 * 3600.0
			for s := 0.0; s < end; s += 30 {
				for _, name := range []string{"web1", "web2"} {
					used := slices.DeleteFunc([]string{`a{disk="x"}`, `a{disk="y"}`, `b`, `c`}, func(string) bool { return chance.IntN(40) == 0 })
					b := ok(layout(t, used...), s+chance.Float64())
					for range used {
						b.Values = append(b.Values, float64(chance.IntN(1000))+chance.Float64())
					}
					for _, x := range []*Window{w, all} {
						x.Apply(Asset{Name: name, Customer: "acme"}, b.At, []Block{b})
						if chance.IntN(4) == 0 {
							b := late(ok(b.Layout, s-400*chance.Float64(), b.Values...))
							for _, x := range []*Window{w, all} {
								x.Apply(Asset{Name: name, Customer: "acme"}, at(s), []Block{b})
							}
						}
					}
				}
			}
			db := copied(t, all)
			engine := newEngine()
			for _, name := range names {
				exprs := []string{name, "sum(" + name + ")", name + `{instance="web1"}`}
				if back := backs[name]; back > 0 {
					d := fmt.Sprintf("%ds", int(back.Seconds()))
					exprs = append(exprs, "rate("+name+"["+d+"])", "count_over_time("+name+"["+d+"])", name+" offset "+d,
						"max_over_time("+name+"["+d+":7s])", "stddev_over_time("+name+"["+d+"])")
				}
				for _, expr := range exprs {
					for _, s := range []float64{end, end + 11, end + 250} {
						if backs[name] > 0 {
							s -= 20 // a little behind, as timers are
						}
						compare(t, fmt.Sprintf("%s at %v", expr, s), func(q storage.Queryable) (promql.Query, error) {
							return engine.NewInstantQuery(t.Context(), q, nil, expr, at(s))
						}, w, db)
					}
				}
			}
			checkBooks(t, w)
		})
	}
}

// What is looked back on further than before is known only since what was kept; others stay known.
func TestARiseIsYoung(t *testing.T) {
	w, l := New(Options{}), layout(t, "a", "b")
	demand := func(texts ...string) { w.SetDemand(selectors(t, texts...)) }
	demand("a[5m]")
	for s := 0.0; s <= 3600; s += 10 {
		w.Apply(web1, at(s), []Block{ok(l, s, s, s)})
	}
	known := func(s float64, sel string) bool {
		st := w.Look(Question{Selectors: selectors(t, sel), Labels: labels.FromStrings("instance", "web1"), At: at(s)})
		return st.State == Live
	}
	if !known(3600, "a[5m]") || !known(3600, "a") || !known(3600, "b") {
		t.Fatal("what was always kept is not known")
	}
	demand("a[20m]", "b[30s]")
	if !known(3600, "a[5m]") || known(3600, "a[20m]") || known(3600, "b[30s]") {
		t.Error("more is known than was kept")
	}
	for s := 3610.0; s <= 3700; s += 10 {
		w.Apply(web1, at(s), []Block{ok(l, s, s, s)})
	}
	if known(3700, "a[20m]") || !known(3700, "b[30s]") {
		t.Error("b is kept for long enough, a is not")
	}
	w.View("web1", func(v View) {
		if v.Known(0, at(3700).UnixMilli(), 20*time.Minute) || !v.KnownSlot(0, 1, at(3700).UnixMilli(), 30*time.Second) {
			t.Error("views see it otherwise")
		}
	})
	for s := 3710.0; s <= 5000; s += 10 {
		w.Apply(web1, at(s), []Block{ok(l, s, s, s)})
	}
	if !known(5000, "a[20m]") {
		t.Error("twenty minutes later it is known")
	}
	demand()
	before := w.Stats()
	if got := dump(t, w, "a"); len(strings.Fields(got)) != 2 || known(4980, "a") || !known(4990, "a") {
		t.Errorf("nobody looks back on a: it is %q", got)
	}
	if before.Samples > 3*2 {
		t.Errorf("%d samples are kept that nobody looks back on", before.Samples)
	}
}

// A query that is open sees what there was when it was opened, also of series of which the newest samples only are kept.
func TestAnOpenQueryKeepsTheNewest(t *testing.T) {
	w, l := New(Options{}), layout(t, "a", "b")
	w.SetDemand(nil)
	say := func(s float64) { w.Apply(web1, at(s), []Block{ok(l, s, s, s)}) }
	say(0)
	say(10)
	q, err := w.Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	for s := 20.0; s < 100; s += 10 {
		say(s)
	}
	for _, metric := range []string{"a", "b"} {
		if got := times(t, q, metric); len(got) == 0 || got[len(got)-1] != at(10).UnixMilli() {
			t.Errorf("%s is at %v, want 10 s the newest", metric, got)
		}
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	say(100)
	say(110)
	if got := dump(t, w, "a"); got != "100=100 110=110" {
		t.Errorf("with the query closed a is %q", got)
	}
	if as := w.find("web1"); len(as.marks) != 0 || cap(as.sources[0].t) > 4 {
		t.Errorf("%d marks and room for %d rows are left over", len(as.marks), cap(as.sources[0].t))
	}
}

// A reader of one asset delays nobody else's reports.
func TestAViewHoldsItsAssetOnly(t *testing.T) {
	w, l := New(Options{}), layout(t, "a")
	w.Apply(web1, at(0), []Block{ok(l, 0, 1)})
	w.View("web1", func(View) {
		w.Apply(Asset{Name: "web2"}, at(0), []Block{ok(l, 0, 2)})
		w.SetDown(Asset{Name: "web3"}, at(0))
		w.AppendRecorded(labels.FromStrings("__name__", "r"), at(0), 1)
		w.Forget("web3")
	})
	if st := w.Stats(); st.Assets != 2 {
		t.Errorf("stats are %+v", st)
	}
}

// Reading the newest, and what lies raw, costs no memory.
func TestReadingAllocatesNothing(t *testing.T) {
	w, l := New(Options{}), layout(t, "a", "b", "c")
	w.SetDemand(selectors(t, "b[5m]", "c[1h]"))
	for s := 0.0; s <= 7200; s += 10 {
		w.Apply(web1, at(s), []Block{ok(l, s, s, s, s)})
	}
	end, b := at(7200).UnixMilli(), &Buffer{}
	w.View("web1", func(v View) {
		if at, values, ok := v.Column(0); !ok || at != end || !slices.Equal(values, []float64{7200, 7200, 7200}) {
			t.Errorf("the newest block is %v at %v, %v", values, at, ok)
		}
		n := 0
		for name, read := range map[string]func(){
			"column":   func() { _, values, _ := v.Column(0); n += len(values) },
			"last":     func() { _, _, ok := v.Last(0, 0, end); n += map[bool]int{true: 1}[ok] },
			"raw":      func() { ts, _ := v.Range(0, 1, end-300_000, end, b); n += len(ts) },
			"raw of c": func() { ts, _ := v.Range(0, 2, end-60_000, end, b); n += len(ts) },
			"sealed":   func() { ts, _ := v.Range(0, 2, end-3600_000, end, b); n += len(ts) },
		} {
			n = 0
			if got := testing.AllocsPerRun(20, read); got != 0 || n == 0 {
				t.Errorf("%s: %v allocations for %d samples", name, got, n)
			}
		}
		if ts, vs := v.Range(0, 2, end-3600_000, end, b); len(ts) != 360 || vs[0] != 3610 || value.IsStaleNaN(vs[359]) {
			t.Errorf("c is %d samples from %v", len(ts), vs[0])
		}
	})
}

// TestANewDemandWhileLateBlocksWait: what they brought is there at once, beside all else.
func TestANewDemandWhileLateBlocksWait(t *testing.T) {
	w := New(Options{})
	sels := selectors(t, `{__name__=~"a|b"}`)
	for i := range sels {
		sels[i].Lookback = time.Hour
	}
	w.SetDemand(sels)
	w.Apply(web1, at(0), []Block{ok(layout(t, "a"), 0, 1)})
	w.Apply(web1, at(100), []Block{ok(layout(t, "a"), 100, 1)})
	w.Apply(web1, at(101), []Block{late(ok(layout(t, "a", "b"), 50, 1, 2))})
	for i := range sels {
		sels[i].Lookback = 2 * time.Hour
	}
	w.SetDemand(sels)
	heard := w.View("web1", func(v View) {
		if p := v.Parts(); len(p) != 2 || len(p[0].Series) != 2 {
			t.Errorf("parts are %v, want that of a and b, and up", p)
		}
	})
	if !heard {
		t.Error("the window has not heard of it")
	}
}
