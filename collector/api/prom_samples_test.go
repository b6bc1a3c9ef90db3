package api

import (
	"bufio"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/watchbill/watchbill/collector/history"
)

// recorded are the samples that Prometheus' API is tried over, an hour up to noon of two customers with a sample every 15 s: every
// kind of value, of name and of gap that a series can have.
func recorded(yield func(l labels.Labels, t int64, v float64)) {
	hosts := []struct{ name, customer, site string }{{"web1", "acme", "berlin"}, {"web2", "acme", "paris"}, {"db1", "shop", "leeds"}}
	for i := range int64(241) {
		t := noon.Add(-time.Hour).UnixMilli() + i*15_000
		for n, h := range hosts {
			put := func(v float64, name string, more ...string) {
				b := labels.NewScratchBuilder(8)
				for j := 0; j < len(more); j += 2 {
					b.Add(more[j], more[j+1])
				}
				b.Add("__name__", name)
				b.Add("customer", h.customer)
				b.Add("instance", h.name)
				b.Add("job", "node")
				b.Add("site", h.site)
				b.Sort()
				yield(b.Labels(), t+int64(n), v)
			}
			k := float64(n + 1)
			put(float64(1-boolOf(n == 2 && i%40 < 8)), "up")
			put(1.5+math.Sin(float64(i)/9*k)*k/2, "node_load1")
			put(1.79e9+k, "node_boot_time_seconds")
			for _, cpu := range []string{"0", "1"} {
				for m, mode := range []string{"idle", "user"} {
					reset := float64(i)
					if n == 0 && i > 130 {
						reset = float64(i - 130)
					}
					put(reset*(10-8*float64(m))+k*float64(len(cpu)), "node_cpu_seconds_total", "cpu", cpu, "mode", mode)
				}
			}
			put(1e11-float64(i)*1e8*k, "node_filesystem_avail_bytes", "mountpoint", "/")
			put(2e11, "node_filesystem_size_bytes", "mountpoint", "/")
			for b, le := range []string{"0.1", "0.5", "1", "+Inf"} {
				put(float64(i)*(1+float64(b))*k, "http_request_duration_seconds_bucket", "le", le)
			}
		}
		special(i, t, yield)
	}
}

func boolOf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// special are series with values, texts and endings of their own.
func special(i, t int64, yield func(l labels.Labels, t int64, v float64)) {
	odd := map[string]float64{"nan": math.NaN(), "inf": math.Inf(1), "neginf": math.Inf(-1), "zero": math.Copysign(0, -1), "huge": 1.25e21,
		"tiny": 1e-7, "small": 0.000001, "long": 1.0 / 3, "big": 123456789012345680}
	for _, kind := range []string{"nan", "inf", "neginf", "zero", "huge", "tiny", "small", "long", "big"} {
		yield(labels.FromStrings("__name__", "odd_value", "customer", "acme", "kind", kind), t, odd[kind])
	}
	for n, text := range []string{`<a href="x">&amp;</a>`, "back\\slash \"quoted\"", "line\nbreak\ttab\rcr\x01", "ümläut 日本 \u2028"} {
		yield(labels.FromStrings("__name__", "odd_text", "customer", "shop", "text", text), t, float64(n))
	}
	yield(labels.FromStrings("__name__", "näme.with.dots", "läbel.x", "ü", "customer", "acme"), t, 1)
	yield(labels.FromStrings("__name__", "nobodys", "instance", "watchbill"), t, 1)
	switch gone := labels.FromStrings("__name__", "gone", "customer", "acme", "instance", "web1"); {
	case i < 160:
		yield(gone, t, float64(i%7))
	case i == 160:
		yield(gone, t, math.Float64frombits(value.StaleNaN))
	}
	if i > 200 {
		for _, c := range []string{"acme", "shop"} {
			yield(labels.FromStrings("__name__", "ALERTS", "alertname", "Load<1>", "alertstate", "firing", "customer", c, "instance", "of-"+c), t, 1)
		}
	}
}

// record writes the samples into a TSDB in dir/tsdb; those of one customer alone unless that is empty.
func record(t testing.TB, dir, customer string) {
	t.Helper()
	recordInto(t, dir, func(yield func(labels.Labels, int64, float64)) {
		recorded(func(l labels.Labels, at int64, v float64) {
			if customer == "" || l.Get("customer") == customer {
				yield(l, at, v)
			}
		})
	})
}

// recordInto writes samples into a TSDB in dir/tsdb.
func recordInto(t testing.TB, dir string, samples func(yield func(labels.Labels, int64, float64))) {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.NoLockfile = true
	db, err := tsdb.Open(filepath.Join(dir, "tsdb"), nil, nil, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	app := db.Appender(t.Context())
	samples(func(l labels.Labels, at int64, v float64) {
		if _, err := app.Append(0, l, at, v); err != nil {
			t.Fatal(err)
		}
	})
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// recordedHistory is a history of the recorded samples.
func recordedHistory(t testing.TB, customer string) *history.History {
	t.Helper()
	dir := t.TempDir()
	record(t, dir, customer)
	h, err := history.Open(dir, history.Options{Retention: 1000 * time.Hour, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// recordedHouse is a house with that history.
func recordedHouse(t testing.TB, change ...func(*Options)) *house {
	t.Helper()
	h := recordedHistory(t, "")
	return newHouse(t, append([]func(*Options){func(o *Options) {
		o.History, o.Interval, o.Retention = h, 5*time.Second, 1000*time.Hour
	}}, change...)...)
}

// question is one line of testdata/prometheus.txt.
type question struct {
	line string
	// path is what is asked, from PrometheusRoot on.
	path string
}

func questions(t testing.TB) []question {
	t.Helper()
	f, err := os.Open("testdata/prometheus.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []question
	for s := bufio.NewScanner(f); s.Scan(); {
		kind, rest, _ := strings.Cut(s.Text(), " ")
		switch kind {
		case "instant":
			out = append(out, question{s.Text(), "/query?" + url.Values{"query": {rest}, "time": {fmt.Sprint(noon.Unix())}}.Encode()})
		case "range":
			step, expr, _ := strings.Cut(rest, " ")
			out = append(out, question{s.Text(), "/query_range?" + url.Values{"query": {expr}, "step": {step},
				"start": {fmt.Sprint(noon.Unix() - 3600)}, "end": {fmt.Sprint(noon.Unix())}}.Encode()})
		case "get":
			out = append(out, question{s.Text(), rest})
		case "#":
		default:
			t.Fatalf("testdata/prometheus.txt: %q", s.Text())
		}
	}
	if len(out) < 300 {
		t.Fatalf("only %d questions", len(out))
	}
	return out
}

// prom asks Prometheus' API as a role.
func (h *house) prom(role string, path string) (int, string) {
	h.t.Helper()
	w := h.do(roleOf(role), http.MethodGet, PrometheusRoot+path, "")
	return w.Code, w.Body.String()
}
