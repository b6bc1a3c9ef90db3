package dashboards

import (
	"bufio"
	"context"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

const (
	// long is how much of the fleet's past there is, stride how far apart its samples are.
	long   = 3 * time.Hour
	stride = time.Minute
)

// end is the moment that everything is asked at: that of the recording.
var end = time.UnixMilli(1795397537000)

// language is PromQL as Prometheus has it by default, without what is experimental.
var language = parser.NewParser(parser.Options{})

// world is a recorded fleet in a real TSDB, and a real engine over it.
type world struct {
	storage storage.Storage
	engine  *promql.Engine
}

// newWorld records: this machine as its own agent saw it, other exporters' names as generated series, and two scrapes of a
// collector that runs in this test.
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{storage: teststorage.New(t), engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: 5e7, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
		NoStepSubqueryIntervalFn: func(int64) int64 { return stride.Milliseconds() },
	})}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 2 {
		t.Fatalf("recorded series: %v, %v", files, err)
	}
	for _, f := range files {
		w.write(t, readSeries(t, f))
	}
	w.write(t, scraped(t))
	return w
}

// series is a straight line: its value three hours before the end, and what is added every minute.
type series struct {
	labels      labels.Labels
	start, step float64
}

// readSeries reads lines of NAME{LABELS} START STEP. A START of @N is N seconds from the end, as a Unix time.
func readSeries(t testing.TB, file string) []series {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []series
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndex(line, "}") + 1
		fields := strings.Fields(line[cut:])
		if cut == 0 || len(fields) != 2 {
			t.Fatalf("%s:%d: expected NAME{LABELS} START STEP, got %q", file, n, line)
		}
		ls, err := language.ParseMetric(line[:cut])
		if err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
		text, ago := strings.CutPrefix(fields[0], "@")
		start, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
		if ago {
			start += float64(end.Unix())
		}
		step, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, n, err)
		}
		out = append(out, series{ls, start, step})
	}
	return out
}

func (w *world) write(t testing.TB, all []series) {
	t.Helper()
	for i := 0; i <= int(long/stride); i++ {
		app := w.storage.Appender(context.Background())
		at := end.Add(-long + time.Duration(i)*stride).UnixMilli()
		for _, s := range all {
			if _, err := app.Append(0, s.labels, at, s.start+float64(i)*s.step); err != nil {
				t.Fatalf("%s: %v", s.labels, err)
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// instant asks at the end, over asks for the last hour of it in minutes.
func (w *world) instant(expr string) (promql.Vector, error) {
	q, err := w.engine.NewInstantQuery(context.Background(), w.storage, nil, expr, end)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	r := q.Exec(context.Background())
	if r.Err != nil {
		return nil, r.Err
	}
	if s, err := r.Scalar(); err == nil {
		return promql.Vector{{T: s.T, F: s.V}}, nil
	}
	v, err := r.Vector()
	out := append(promql.Vector(nil), v...)
	sort.Slice(out, func(i, j int) bool { return labels.Compare(out[i].Metric, out[j].Metric) < 0 })
	return out, err
}

func (w *world) over(expr string) (promql.Matrix, error) {
	q, err := w.engine.NewRangeQuery(context.Background(), w.storage, nil, expr, end.Add(-time.Hour), end, stride)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	r := q.Exec(context.Background())
	if r.Err != nil {
		return nil, r.Err
	}
	return r.Matrix()
}

// values are those of a label of the series that a selector selects: label_values() of Grafana.
func (w *world) values(t testing.TB, selector, label string) []string {
	t.Helper()
	matchers, err := language.ParseMetricSelector(selector)
	if err != nil {
		t.Fatalf("label_values(%s, %s): %v", selector, label, err)
	}
	querier, err := w.storage.Querier(end.Add(-long).UnixMilli(), end.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer querier.Close()
	seen := map[string]bool{}
	set := querier.Select(context.Background(), false, nil, matchers...)
	for set.Next() {
		if v := set.At().Labels().Get(label); v != "" {
			seen[v] = true
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for v := range seen {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}

// says tells whether a result has something to draw.
func says(v promql.Vector) bool {
	for _, s := range v {
		if !math.IsNaN(s.F) && !math.IsInf(s.F, 0) {
			return true
		}
	}
	return false
}
