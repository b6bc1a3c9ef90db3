package program

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/watchbill/watchbill/rules/window"
)

var (
	epoch  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	assets = []window.Asset{{Name: "web1", Customer: "acme", Site: "hq"}, {Name: "web2", Customer: "acme"}}
)

const defaultStep = 20 * time.Second

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples: 5_000_000, Timeout: time.Minute, LookbackDelta: window.StaleAfter,
		NoStepSubqueryIntervalFn: func(int64) int64 { return defaultStep.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: newParser(),
	})
}

// inOrder gives series in the order of their labels, as programs have them: the engine adds up in the order of storage.
type inOrder struct{ storage.Queryable }

func (q inOrder) Querier(mint, maxt int64) (storage.Querier, error) {
	in, err := q.Queryable.Querier(mint, maxt)
	return orderedQuerier{in}, err
}

type orderedQuerier struct{ storage.Querier }

func (q orderedQuerier) Select(ctx context.Context, _ bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, true, h, ms...)
}

// world is what two assets reported over ten minutes: in one window each, and in one together.
type world struct {
	alone []*window.Window // by asset
	fleet *window.Window
	// ticks are the times of blocks, in milliseconds.
	ticks []int64
}

var worlds sync.Map // by seed

func worldOf(seed uint64) *world {
	if w, ok := worlds.Load(seed); ok {
		return w.(*world)
	}
	w, _ := worlds.LoadOrStore(seed, newWorld(seed))
	return w.(*world)
}

// swapping are series of which every source has one or the other.
var swapping = []string{"swap1", "swap2"}

// poolOf are the series that a source can have: names and label sets that collide once names are dropped.
func poolOf(rnd *rand.Rand) []labels.Labels {
	var pool []labels.Labels
	for _, name := range []string{"a", "b", "c", "total"} {
		for range rnd.IntN(4) {
			lb := labels.NewBuilder(labels.FromStrings("__name__", name))
			if rnd.IntN(4) > 0 {
				lb.Set("d", fmt.Sprint(rnd.IntN(3)))
			}
			if rnd.IntN(2) > 0 {
				lb.Set("m", string(rune('u'+rnd.IntN(3))))
			}
			pool = append(pool, lb.Labels())
		}
	}
	if rnd.IntN(3) == 0 {
		for _, le := range []string{"0.1", "1", "10", "+Inf", "no"}[rnd.IntN(2):] {
			for d := range 1 + rnd.IntN(2) {
				pool = append(pool, labels.FromStrings("__name__", "h_bucket", "le", le, "d", fmt.Sprint(d)))
			}
		}
	}
	for _, name := range swapping {
		pool = append(pool, labels.FromStrings("__name__", name, "d", "1"))
	}
	slices.SortFunc(pool, labels.Compare)
	pool = slices.CompactFunc(pool, labels.Equal)
	rnd.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	return pool
}

// teller makes the values of one series: a counter with resets, a gauge, or what is hard.
type teller struct {
	kind int
	v    float64
}

func (t *teller) next(rnd *rand.Rand) float64 {
	switch t.kind {
	case 0: // a counter
		t.v += float64(rnd.IntN(40)) / 8
		if rnd.IntN(9) == 0 {
			t.v = float64(rnd.IntN(3))
		}
	case 1: // a gauge that does not add up exactly
		t.v = float64(rnd.IntN(2000)-1000) / 7
	case 2: // few values, so that many are equal
		t.v = float64(rnd.IntN(3) - 1)
	case 3:
		hard := []float64{
			0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e300, math.SmallestNonzeroFloat64, 3, -3,
		}
		t.v = hard[rnd.IntN(len(hard))]
	default: // flat
		if rnd.IntN(12) == 0 {
			t.v++
		}
	}
	return t.v
}

func newWorld(seed uint64) *world {
	rnd := rand.New(rand.NewPCG(seed, 7))
	w := &world{fleet: window.New(window.Options{})}
	w.fleet.SetLookback(2 * time.Hour)
	ticks := map[int64]bool{}
	for _, a := range assets {
		one := window.New(window.Options{})
		one.SetLookback(2 * time.Hour)
		w.alone = append(w.alone, one)
		for i := range 1 + rnd.IntN(3) {
			kind := []string{"node", "app"}[rnd.IntN(2)]
			for _, b := range report(rnd, fmt.Sprintf("s%d", i), kind) {
				ticks[b.At.UnixMilli()] = true
				for _, win := range []*window.Window{one, w.fleet} {
					win.Apply(a, b.At, []window.Block{b})
				}
			}
		}
	}
	for t := range ticks {
		w.ticks = append(w.ticks, t)
	}
	slices.Sort(w.ticks)
	return w
}

// report is the blocks of one source.
func report(rnd *rand.Rand, name, kind string) (out []window.Block) {
	pool := poolOf(rnd)
	tell := make([]teller, len(pool))
	here := make([]bool, len(pool))
	for i := range tell {
		tell[i].kind, here[i] = rnd.IntN(5), rnd.IntN(4) > 0
	}
	every := []int{5, 15, 15, 30, 60}[rnd.IntN(5)]
	jitter := []int{1, 1, 1 + every*700}[rnd.IntN(3)]
	for s := rnd.IntN(every); s < 600; s += every {
		if rnd.IntN(15) == 0 {
			s += rnd.IntN(400)
		}
		if rnd.IntN(10) == 0 {
			i := rnd.IntN(len(pool) + 1)
			if i < len(pool) {
				here[i] = !here[i]
			}
		}
		b := window.Block{
			Source: name, Kind: kind, At: epoch.Add(time.Duration(s)*time.Second + time.Duration(rnd.IntN(jitter))*time.Millisecond),
			Interval: time.Duration(every) * time.Second, Status: window.OK, Layout: &window.Layout{},
		}
		for i, l := range pool {
			if n := slices.Index(swapping, l.Get("__name__")); n >= 0 {
				here[i] = s/120%2 == n
			}
			if here[i] {
				b.Layout.Series = append(b.Layout.Series, l)
				b.Values = append(b.Values, tell[i].next(rnd))
			}
		}
		switch rnd.IntN(20) {
		case 0:
			b.Status, b.Reason = window.Failed, "no"
		case 1:
			b.Late = true
		}
		out = append(out, b)
	}
	return out
}

// ask is what the engine says, by labels.
func ask(e *promql.Engine, q storage.Queryable, expr string, t int64) (map[string]float64, error) {
	query, err := e.NewInstantQuery(context.Background(), inOrder{q}, nil, expr, time.UnixMilli(t))
	if err != nil {
		return nil, err
	}
	defer query.Close()
	res := query.Exec(context.Background())
	if res.Err != nil {
		return nil, res.Err
	}
	out := map[string]float64{}
	switch v := res.Value.(type) {
	case promql.Vector:
		for _, s := range v {
			out[s.Metric.String()] = s.F
		}
	case promql.Scalar:
		out["{}"] = v.V
	}
	return out, nil
}

// reading is what a program says of an asset, by labels, once through Run and once series by series, without columns.
func reading(m *Machine, x *Expr, w *window.Window, a window.Asset, t int64, spoil mutant) (out map[string]float64, err error) {
	w.View(a.Name, func(v window.View) {
		var parts []*window.Part
		var at []int
		for i, p := range v.Parts() {
			if x.Reads(p, a) {
				parts, at = append(parts, p), append(at, i)
			}
		}
		var p *Program
		id := x.Identity(a)
		if spoil.identity != nil {
			id = spoil.identity(id)
		}
		if p, err = x.Compile(parts, id); err != nil {
			return
		}
		spoil.apply(p)
		out, err = runs(m, p, v, a, at, t)
	})
	return out, err
}

func runs(m *Machine, p *Program, v window.View, a window.Asset, at []int, t int64) (map[string]float64, error) {
	got, err := m.Run(p, v, at, t)
	out := map[string]float64{}
	for _, s := range got {
		l := a.Labels(p.Labels(int(s.Lane))).String()
		if _, ok := out[l]; ok {
			return nil, fmt.Errorf("two lanes are %s", l)
		}
		out[l] = s.V
	}
	slow, serr := runSingly(m, p, v, at, t)
	if (err == nil) != (serr == nil) || len(slow) != len(out) {
		return nil, fmt.Errorf("with columns there are %d samples and error %v, without %d and %v", len(out), err, len(slow), serr)
	}
	for _, s := range slow {
		if l := a.Labels(p.Labels(int(s.Lane))).String(); !same(out[l], s.V) {
			return nil, fmt.Errorf("%s is %v with columns, %v without", l, out[l], s.V)
		}
	}
	return out, err
}

// runSingly is Run as if the window had no columns to give.
func runSingly(m *Machine, p *Program, v window.View, at []int, t int64) (out []Sample, err error) {
	m.begin(p)
	m.view, m.at, m.t, m.top = v, at, t, t
	defer m.end()
	for i := range at {
		m.cols[i] = column{asked: true}
	}
	for _, o := range p.ops {
		if err := o.run(m); err != nil {
			return nil, err
		}
	}
	return m.collect(p), nil
}

// same tells whether two values are equal, or as near as another order of addition may bring them.
func same(a, b float64) bool { return within(1e-12, a, b) }

func within(tolerance, a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return a == b || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))
}
