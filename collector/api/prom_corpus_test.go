package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules"
)

func roleOf(s string) fleet.Role { return fleet.Role(s) }

const goldenAnswers = "testdata/prometheus.golden"

// fingerprint is an answer in one line.
func fingerprint(q question, code int, body string) string {
	return fmt.Sprintf("%d %x", code, sha256.Sum256([]byte(settled(q, body))))[:4+24]
}

// settled is an answer with the series of an instant vector in order, where the expression does not itself order them, and
// with its notes in order: the engine keeps both in maps.
func settled(q question, body string) string {
	for _, field := range []string{`,"warnings":[`, `,"infos":[`} {
		if i := strings.LastIndex(body, field); i > 0 {
			notes := strings.Split(body[i:], `"`)
			slices.Sort(notes)
			return settled(q, body[:i]) + strings.Join(notes, `"`)
		}
	}
	const opening = `{"status":"success","data":{"resultType":"vector","result":[{`
	if !strings.HasPrefix(body, opening) || strings.Contains(q.line, "sort") {
		return body
	}
	series, rest, _ := strings.Cut(strings.TrimPrefix(body, opening), "}]}")
	all := strings.Split(series, "},{")
	slices.Sort(all)
	return opening + strings.Join(all, "},{") + "}]}" + rest
}

// TestAnswersAsPrometheus: every question is answered to the byte as Prometheus 3 of the engine's version answered it over the
// same samples. TestAnswersBesidePrometheus asks it again, and with -update writes what it says.
func TestAnswersAsPrometheus(t *testing.T) {
	b, err := os.ReadFile(goldenAnswers)
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(b)) {
		mark, q, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		said[q] = mark
	}
	h := recordedHouse(t)
	for _, q := range questions(t) {
		want, ok := said[q.line]
		if !ok {
			t.Errorf("%s: Prometheus was not asked this; run TestAnswersBesidePrometheus with -update", q.line)
			continue
		}
		code, body := h.prom("viewer", q.path)
		if got := fingerprint(q, code, body); got != want {
			t.Errorf("%s\nanswered %s, Prometheus %s: %d %.2000s", q.line, got, want, code, body)
		}
	}
}

// TestAnswersAsTheEngine: what is answered is what a stock engine finds, in another encoding of the same values.
func TestAnswersAsTheEngine(t *testing.T) {
	hist := recordedHistory(t, "")
	h := newHouse(t, func(o *Options) { o.History, o.Interval = hist, 5*time.Second })
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e7, Timeout: time.Minute, Parser: rules.NewParser(), EnableAtModifier: true,
		EnableNegativeOffset: true, NoStepSubqueryIntervalFn: func(int64) int64 { return 5000 }})
	asked := 0
	for _, q := range questions(t) {
		kind, rest, _ := strings.Cut(q.line, " ")
		var query promql.Query
		var err error
		switch kind {
		case "instant":
			query, err = engine.NewInstantQuery(context.Background(), hist.Queryable(), nil, rest, noon)
		case "range":
			step, expr, _ := strings.Cut(rest, " ")
			var d time.Duration
			if d, err = durationOf(step); err == nil {
				query, err = engine.NewRangeQuery(context.Background(), hist.Queryable(), nil, expr, noon.Add(-time.Hour), noon, d)
			}
		default:
			continue
		}
		asked++
		code, body := h.prom("viewer", q.path)
		if err != nil {
			if code != 400 || !strings.Contains(body, `"bad_data"`) {
				t.Errorf("%s: answered %d %s, the engine says %v", q.line, code, body, err)
			}
			continue
		}
		res := query.Exec(context.Background())
		if res.Err != nil {
			if code != 422 || !strings.Contains(body, `"execution"`) {
				t.Errorf("%s: answered %d %s, the engine says %v", q.line, code, body, res.Err)
			}
			continue
		}
		var got struct{ Data struct{ Result any } }
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
			t.Fatalf("%s: %d %v: %.500s", q.line, code, err, body)
		}
		order(q, got.Data.Result)
		want := plainly(res.Value)
		order(q, want)
		if !reflect.DeepEqual(got.Data.Result, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", q.line, got.Data.Result, want)
		}
		query.Close()
	}
	if asked < 400 {
		t.Errorf("only %d were compared", asked)
	}
}

// order is settled for a result that was read.
func order(q question, result any) {
	all, ok := result.([]any)
	if !ok || len(all) == 0 || strings.Contains(q.line, "sort") {
		return
	}
	if _, series := all[0].(map[string]any); series {
		slices.SortFunc(all, func(x, y any) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
	}
}

// plainly is a result as the description of the API has it.
func plainly(v any) any {
	number := func(f float64) string {
		switch {
		case math.IsInf(f, 1):
			return "+Inf"
		case math.IsInf(f, -1):
			return "-Inf"
		case math.IsNaN(f):
			return "NaN"
		}
		s, _ := json.Marshal(f)
		return strings.NewReplacer("e-0", "e-").Replace(string(s))
	}
	point := func(t int64, f float64) []any {
		s := number(f)
		if a := math.Abs(f); a != 0 && a < 1e-6 {
			s = fmt.Sprintf("%.0e", f) // the one that is so small is 1e-07 there
		}
		return []any{float64(t) / 1000, s}
	}
	metric := func(m map[string]string) map[string]any {
		out := map[string]any{}
		for k, v := range m {
			out[k] = v
		}
		return out
	}
	switch x := v.(type) {
	case promql.Scalar:
		return []any{float64(x.T) / 1000, scalarText(x.V)}
	case promql.String:
		return []any{float64(x.T) / 1000, x.V}
	case promql.Vector:
		out := []any{}
		for _, s := range x {
			out = append(out, map[string]any{"metric": metric(s.Metric.Map()), "value": point(s.T, s.F)})
		}
		return out
	case promql.Matrix:
		out := []any{}
		for _, s := range x {
			values := []any{}
			for _, p := range s.Floats {
				values = append(values, point(p.T, p.F))
			}
			out = append(out, map[string]any{"metric": metric(s.Metric.Map()), "values": values})
		}
		return out
	}
	return fmt.Sprintf("%T", v)
}

func scalarText(f float64) string { return fmt.Sprintf("%v", jsonScalar(f)) }

func jsonScalar(f float64) any {
	b, _ := json.Marshal(promql.Scalar{V: f})
	var pair []any
	_ = json.Unmarshal(b, &pair)
	return pair[1]
}

// TestGoldenIsOfTheQuestions: no answer is kept that nobody asks for.
func TestGoldenIsOfTheQuestions(t *testing.T) {
	b, err := os.ReadFile(goldenAnswers)
	if err != nil {
		t.Fatal(err)
	}
	all := questions(t)
	for line := range strings.Lines(string(b)) {
		_, q, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !slices.ContainsFunc(all, func(x question) bool { return x.line == q }) {
			t.Errorf("%s: is not asked any more", q)
		}
	}
}
