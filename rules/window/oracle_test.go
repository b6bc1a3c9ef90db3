package window

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"
)

// expressions reach into the window in every way the engine knows.
var expressions = []string{
	`a`, `a{instance="web1"}`, `a{disk!=""}`, `{__name__=~"a|b"}`, `{__name__=~"a.*", instance=~"web1|web2"}`, `{instance="web2"}`,
	`a{missing=""}`, `rate(a[1m])`, `increase(b[2m])`, `delta(c[90s])`, `sum by (instance) (a)`, `a / on (instance, disk) b`,
	`count_over_time(a[5m])`, `max_over_time(rate(a[1m])[3m:30s])`, `a offset 1m`, `b offset -30s`, `absent(c{disk="sda"})`,
	`absent_over_time(c[1m])`, `a unless b`, `a or c`, `timestamp(a)`, `last_over_time(c[4m])`, `present_over_time(a[1m])`,
	`changes(a[3m])`, `predict_linear(a[3m], 60)`, `quantile by (disk) (0.5, a)`, `topk(2, a)`, `up`, `up == 0`, `a @ end()`,
	`count({__name__!=""})`, `resets(b[5m])`, `avg_over_time(a[2m]) > 20`, `irate(a[1m] offset 30s)`,
}

// TestTheWindowIsATSDB applies random reports, with failures, series that come and go, duplicates, late and unordered
// blocks, and asks the same engine the same questions over the window and over Prometheus' own storage.
func TestTheWindowIsATSDB(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := New(Options{})
			w.SetLookback(time.Hour)
			feed(t, w, rand.New(rand.NewPCG(seed, 1)))
			db := copied(t, w)
			engine := newEngine()
			for _, expr := range expressions {
				for _, s := range []float64{0, 12, 61, 300.001, 599.999, 601, 750, 1100} {
					compare(t, fmt.Sprintf("%s at %v", expr, s), func(q storage.Queryable) (promql.Query, error) {
						return engine.NewInstantQuery(t.Context(), q, nil, expr, at(s))
					}, w, db)
				}
				compare(t, expr+" over time", func(q storage.Queryable) (promql.Query, error) {
					return engine.NewRangeQuery(t.Context(), q, nil, expr, at(0), at(900), 17*time.Second)
				}, w, db)
			}
		})
	}
}

// feed lets three assets report for ten minutes.
func feed(t *testing.T, w *Window, rnd *rand.Rand) {
	full := []string{`a{disk="sda"}`, `a{disk="sdb"}`, `b{disk="sda"}`, `c{disk="sda"}`, `c`, `ab`}
	for i := range 60 {
		for _, name := range []string{"web1", "web2", "db1"} {
			s := float64(i*10 + rnd.IntN(3))
			var names []string
			var values []float64
			for _, n := range full {
				if rnd.IntN(12) > 0 {
					names, values = append(names, n), append(values, rnd.Float64()*50) // never the same: the engine breaks ties at will

				}
			}
			b := ok(layout(t, names...), s, values...)
			switch rnd.IntN(12) {
			case 0:
				b = failed(s, "bad luck")
			case 1:
				b = unchanged(s)
			case 2:
				b = ok(b.Layout, s-25.5, values...) // out of order
			case 3:
				b = late(ok(b.Layout, s-100.25, values...))
			case 4:
				b = late(ok(b.Layout, s+5.25, values...)) // waits
			case 5:
				w.SetDown(Asset{Name: name}, at(s))
			}
			a := Asset{Name: name, Customer: "acme"}
			w.Apply(a, b.At, []Block{b})
			w.Apply(a, b.At, []Block{b})
			w.AppendRecorded(labels.FromStrings("__name__", "a:r", "instance", name), at(s), float64(rnd.IntN(9)))
		}
	}
	checkBooks(t, w)
}

// copied writes the window's samples into Prometheus' storage.
func copied(t *testing.T, w *Window) storage.Queryable {
	db := teststorage.New(t)
	type sample struct {
		l labels.Labels
		t int64
		v float64
	}
	var all []sample
	eachSample(t, w, func(l labels.Labels, at int64, v float64) { all = append(all, sample{l, at, v}) })
	slices.SortStableFunc(all, func(a, b sample) int { return int(a.t - b.t) })
	app := db.AppenderV2(t.Context())
	for _, s := range all {
		if _, err := app.Append(0, s.l, 0, s.t, s.v, nil, nil, storage.AppendV2Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return db
}

// eachSample reads everything that a query can.
func eachSample(t testing.TB, w *Window, fn func(l labels.Labels, at int64, v float64)) {
	t.Helper()
	q, err := w.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil)
	var it chunkenc.Iterator
	for set.Next() {
		for it = set.At().Iterator(it); it.Next() != chunkenc.ValNone; {
			at, v := it.At()
			fn(set.At().Labels(), at, v)
		}
	}
}

func compare(t *testing.T, what string, ask func(storage.Queryable) (promql.Query, error), w, db storage.Queryable) {
	t.Helper()
	var got, want string
	for _, x := range []struct {
		from storage.Queryable
		to   *string
	}{{w, &got}, {db, &want}} {
		q, err := ask(x.from)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		res := q.Exec(context.Background())
		switch v := res.Value.(type) {
		case promql.Vector:
			slices.SortFunc(v, func(a, b promql.Sample) int { return labels.Compare(a.Metric, b.Metric) })
		case promql.Matrix:
			slices.SortFunc(v, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
		}
		*x.to = fmt.Sprint(res.Value, res.Err)
		q.Close()
	}
	if got != want {
		t.Errorf("%s: the window gives\n%s\nPrometheus' storage gives\n%s", what, got, want)
	}
}

func TestLabelQueries(t *testing.T) {
	w := New(Options{})
	feed(t, w, rand.New(rand.NewPCG(1, 1)))
	db := copied(t, w)
	ctx := t.Context()
	for name, ms := range map[string][]*labels.Matcher{
		"all":         nil,
		"a metric":    {labels.MustNewMatcher(labels.MatchEqual, "__name__", "c")},
		"a regexp":    {labels.MustNewMatcher(labels.MatchRegexp, "instance", "web.")},
		"no disk":     {labels.MustNewMatcher(labels.MatchEqual, "disk", ""), labels.MustNewMatcher(labels.MatchNotEqual, "__name__", "up")},
		"no instance": {labels.MustNewMatcher(labels.MatchEqual, "instance", "")},
	} {
		answer := func(s storage.Queryable) string {
			q, err := s.Querier(at(-3600).UnixMilli(), at(3600).UnixMilli())
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			names, _, err := q.LabelNames(ctx, nil, ms...)
			values, _, err2 := q.LabelValues(ctx, "disk", nil, ms...)
			instances, _, err3 := q.LabelValues(ctx, "instance", nil, ms...)
			return fmt.Sprint(len(names), names, err, len(values), values, err2, len(instances), instances, err3)
		}
		if got, want := answer(w), answer(db); got != want {
			t.Errorf("%s: %s, Prometheus' storage says %s", name, got, want)
		}
	}
}
