package program

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules/window"
)

// notOurs are files of the corpus that have nothing for a window of plain samples.
var notOurs = map[string]string{
	"native_histograms.test": "the window keeps no native histograms",
	"extended_vectors.test":  "anchored and smoothed are experimental",
	"start_timestamps.test":  "start timestamps are experimental",
	"info.test":              "info() is experimental",
	"type_and_unit.test":     "labels for type and unit are experimental",
}

// someFiles runs those files of the corpus that are ours.
type someFiles struct{ *testing.T }

func (f someFiles) Run(name string, run func(*testing.T)) bool {
	if notOurs[name[strings.LastIndex(name, "/")+1:]] != "" {
		return true
	}
	return f.T.Run(name, run)
}

// listener is the engine that runs the corpus, and asks everything that is asked of it a second time: of one asset, of
// which all series are, and of programs.
type listener struct {
	*promql.Engine
	t     *testing.T
	stock *promql.Engine
	m     Machine
	// made is the window of the storage that was asked last.
	made    *window.Window
	madeKey string
	placed  int
	equal   int
	timers  map[string]int
}

// NewInstantQuery is promql.QueryEngine's.
func (l *listener) NewInstantQuery(ctx context.Context, q storage.Queryable, o promql.QueryOpts, expr string, at time.Time) (promql.Query, error) {
	if key := storageKey(q); key != l.madeKey {
		l.made, l.madeKey = l.window(q), key
	}
	for _, way := range []func(parser.Expr){pinAll, keepAll} {
		if e, err := parser.NewParser(promqltest.TestParserOpts).ParseExpr(expr); err == nil && e.Type() != parser.ValueTypeString && e.Type() != parser.ValueTypeMatrix {
			l.compare(l.made, e, way, at.UnixMilli())
		}
	}
	return l.Engine.NewInstantQuery(ctx, q, o, expr, at)
}

// storageKey changes when another storage is asked, or there is more in it.
func storageKey(q storage.Queryable) string {
	db, ok := q.(interface{ Head() *tsdb.Head })
	if !ok {
		return ""
	}
	h := db.Head()
	return fmt.Sprintf("%p %d %d %d", h, h.NumSeries(), h.MinTime(), h.MaxTime())
}

func (l *listener) compare(w *window.Window, e parser.Expr, way func(parser.Expr), t int64) {
	way(e)
	text := e.String()
	x, timer := Options{Step: time.Minute}.Prepare(e)
	if timer != nil {
		l.timers[timer.Why]++
		return
	}
	l.placed++
	a := assets[0]
	want, werr := ask(l.stock, w, text, t)
	got, gerr := reading(&l.m, x, w, a, t, mutant{})
	err := sameErrors(text, gerr, werr)
	if err == nil && werr == nil {
		err = sameSamples(got, about(want, x, a))
	}
	if err != nil {
		l.t.Errorf("%s at %d: %v", text, t, err)
		return
	}
	l.equal++
}

// window is a storage's samples as those of one asset, of sources that report the same times.
func (l *listener) window(q storage.Queryable) *window.Window {
	w := window.New(window.Options{MaxLookback: 1000 * 24 * time.Hour})
	w.SetLookback(1000 * 24 * time.Hour)
	heard := window.Block{Source: "heard", Kind: "test", At: time.UnixMilli(0), Status: window.OK, Layout: &window.Layout{}}
	w.Apply(assets[0], heard.At, []window.Block{heard})
	db, err := q.Querier(-1<<50, 1<<50)
	if err != nil {
		l.t.Fatal(err)
	}
	defer db.Close()
	set := db.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	sources := map[string]*told{}
	for set.Next() {
		times, values := floats(set.At())
		key := fmt.Sprint(times)
		if sources[key] == nil {
			sources[key] = &told{name: fmt.Sprint("s", len(sources)), times: times}
		}
		sources[key].series = append(sources[key].series, renamed(set.At().Labels()))
		sources[key].values = append(sources[key].values, values)
	}
	for _, key := range slices.Sorted(maps.Keys(sources)) {
		sources[key].tell(w)
	}
	return w
}

// told is series that have samples at the same times.
type told struct {
	name   string
	times  []int64
	series []labels.Labels
	values [][]float64
}

// tell reports them; where there is a stale marker, a series is not in the block.
func (s *told) tell(w *window.Window) {
	layouts := map[string]*window.Layout{}
	for i, t := range s.times {
		b := window.Block{Source: s.name, Kind: "test", At: time.UnixMilli(t), Status: window.OK}
		var here []labels.Labels
		var which []byte
		for j, l := range s.series {
			v := s.values[j][i]
			if which = append(which, outcome(!value.IsStaleNaN(v))); !value.IsStaleNaN(v) {
				here, b.Values = append(here, l), append(b.Values, v)
			}
		}
		b.Layout = layouts[string(which)]
		if b.Layout == nil {
			b.Layout = &window.Layout{ID: [32]byte{byte(len(layouts) + 1), byte(len(layouts) >> 8)}, Series: here}
			layouts[string(which)] = b.Layout
		}
		w.Apply(assets[0], b.At, []window.Block{b})
	}
}

func floats(s storage.Series) (times []int64, values []float64) {
	it := s.Iterator(nil)
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		if kind == chunkenc.ValFloat {
			t, v := it.At()
			times, values = append(times, t), append(values, v)
		}
	}
	return times, values
}

// other is what the asset's own labels are called in the corpus, where they are labels like others.
func other(name string) string {
	if name == "job" || ownLabel(name) {
		return "test_" + name
	}
	return name
}

func renamed(l labels.Labels) labels.Labels {
	lb := labels.NewScratchBuilder(8)
	l.Range(func(l labels.Label) { lb.Add(other(l.Name), l.Value) })
	lb.Sort()
	return lb.Labels()
}

func others(names []string) {
	for i, n := range names {
		names[i] = other(n)
	}
}

// rename makes an expression speak of the renamed labels.
func rename(e parser.Expr) {
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			for i, m := range n.LabelMatchers {
				n.LabelMatchers[i] = labels.MustNewMatcher(m.Type, other(m.Name), m.Value)
			}
		case *parser.AggregateExpr:
			others(n.Grouping)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				others(n.VectorMatching.MatchingLabels)
				others(n.VectorMatching.Include)
			}
		case *parser.Call:
			if strings.HasPrefix(n.Func.Name, "label_") {
				for _, a := range n.Args[1:] {
					if s, ok := a.(*parser.StringLiteral); ok {
						s.Val = other(s.Val)
					}
				}
			}
		}
		return nil
	})
}

// pinAll makes every selector name the asset.
func pinAll(e parser.Expr) {
	rename(e)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			s.LabelMatchers = append(s.LabelMatchers, labels.MustNewMatcher(labels.MatchEqual, instanceLabel, assets[0].Name))
		}
		return nil
	})
}

// keepAll makes every match and aggregation keep the asset.
func keepAll(e parser.Expr) {
	rename(e)
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			if !n.Without {
				n.Grouping = append(n.Grouping, instanceLabel)
			}
		case *parser.BinaryExpr:
			if m := n.VectorMatching; m != nil && m.On {
				m.MatchingLabels = append(m.MatchingLabels, instanceLabel)
			}
		}
		return nil
	})
}

// TestPrometheusCorpus asks programs what Prometheus' own tests ask the engine.
func TestPrometheusCorpus(t *testing.T) {
	l := &listener{
		Engine: promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery), t: t,
		timers: map[string]int{},
	}
	l.stock = promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{
		MaxSamples: 5_000_000, Timeout: time.Minute, LookbackDelta: window.StaleAfter,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: parser.NewParser(promqltest.TestParserOpts),
	})
	promqltest.RunBuiltinTests(someFiles{t}, l)
	if l.placed < 1000 || l.equal != l.placed {
		t.Errorf("of %d expressions for arrival %d are as in the engine: want 1000 at least, and all", l.placed, l.equal)
	}
	t.Logf("%d of the corpus' questions are for arrival, %d answers are the engine's; not for arrival:", l.placed, l.equal)
	for _, why := range slices.SortedFunc(maps.Keys(l.timers), func(a, b string) int { return l.timers[b] - l.timers[a] }) {
		t.Logf("%5d  %s", l.timers[why], why)
	}
}
