package api

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

func TestPrometheusMethods(t *testing.T) {
	h := recordedHouse(t)
	for _, route := range promRoutes() {
		path := PrometheusRoot + strings.Replace(route.path, "{name}", "job", 1)
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"} {
			w := h.do(fleet.Viewer, method, path, "")
			allowed := strings.Join(route.methods, ", ")
			if may := strings.Contains(allowed, method); may == (w.Code == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s answered %d, allowed are %s", method, path, w.Code, allowed)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != allowed {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, w.Header().Get("Allow"), allowed)
			}
		}
	}
	if w := h.do(fleet.Viewer, "GET", PrometheusRoot+"/nothing", ""); w.Code != 404 || !strings.Contains(w.Body.String(), `"errorType":"not_found"`) {
		t.Errorf("unknown path: %d %s", w.Code, w.Body)
	}
}

// TestWrongMethods: what is asked with a method that it does not know says which ones it does.
func TestWrongMethods(t *testing.T) {
	h := newHouse(t)
	for ask, allowed := range map[string]string{
		"POST /federate": "GET, HEAD", "POST /metrics": "GET, HEAD", "POST /-/ready": "GET, HEAD", "PUT /-/healthy": "GET, HEAD", "GET /-/reload": "POST",
		"PATCH " + Root + "/tickets": "GET, HEAD, POST", "POST " + Root + "/customers/acme": "GET, HEAD, PUT, DELETE", "DELETE /rate/WB-1/x": "GET, HEAD, POST",
	} {
		method, path, _ := strings.Cut(ask, " ")
		w := h.do(fleet.Viewer, method, path, "")
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != allowed || !strings.Contains(w.Body.String(), "method_not_allowed") {
			t.Errorf("%s answered %d, Allow %q, %s; want 405 and %q", ask, w.Code, w.Header().Get("Allow"), w.Body, allowed)
		}
	}
	if w := h.do(fleet.Viewer, "POST", "/nothing", ""); w.Code != http.StatusNotFound || w.Header().Get("Allow") != "" {
		t.Errorf("POST /nothing answered %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// slowReader is a client that takes its answer when it is let.
type slowReader struct {
	*httptest.ResponseRecorder
	writes, let chan struct{}
}

func (s slowReader) Write(b []byte) (int, error) {
	s.writes <- struct{}{}
	<-s.let
	return s.ResponseRecorder.Write(b)
}

// TestCompressedInTurn: an answer is compressed, whole, before the next query's turn, and who reads it slowly holds up nobody.
func TestCompressedInTurn(t *testing.T) {
	limits := DefaultQueryLimits()
	limits.MaxConcurrency, limits.MaxQueued = 1, 0
	h := recordedHouse(t, func(o *Options) { o.Query = limits })
	ask := PrometheusRoot + "/query_range?" + url.Values{"query": {`{job="node"}`}, "start": {"1795258800"}, "end": {"1795262400"}, "step": {"15"}}.Encode()
	plain := h.do(fleet.Viewer, "GET", ask, "").Body.String()
	if len(plain) < 20*fewBytes || len(plain) > heldAnswer {
		t.Fatalf("%d bytes: the test proves nothing", len(plain))
	}
	for range 2 { // the second has a compressor that was used
		r := httptest.NewRequestWithContext(t.Context(), "GET", ask, nil)
		r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Viewer])
		r.Header.Set("Accept-Encoding", "deflate, gzip")
		w := slowReader{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.handler.ServeHTTP(w, r)
		}()
		<-w.writes
		if code, body := h.prom("viewer", "/query?query=up&time=1795262400"); code != 200 {
			t.Errorf("while somebody reads slowly: %d %s", code, body)
		}
		close(w.let)
		<-done // it was one write: nothing of it was left to be compressed
		zip, err := gzip.NewReader(w.Body)
		if err != nil || w.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%v, %v", err, w.Header())
		}
		if got, err := io.ReadAll(zip); err != nil || string(got) != plain {
			t.Errorf("compressed it is another answer: %d bytes of %d, %v", len(got), len(plain), err)
		}
	}
}

// TestPrometheusForm: a form in the body is as good as a query in the path, and of both the body's comes first.
func TestPrometheusForm(t *testing.T) {
	h := recordedHouse(t)
	post := func(path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "POST", PrometheusRoot+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Viewer])
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		return w
	}
	for path, body := range map[string]string{
		"/query": "query=up&time=1795262400", "/query_range": "query=up&start=1795258800&end=1795262400&step=600",
		"/series": "match[]=up&match[]=node_load1", "/labels": "match[]=up", "/format_query": "query=a%2Bb", "/query_exemplars": "query=up",
	} {
		want := h.do(fleet.Viewer, "GET", PrometheusRoot+path+"?"+body, "").Body.String()
		if w := post(path, body); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s\nGET: %s", path, w.Code, w.Body, want)
		}
	}
	if w := post("/format_query?query=a", "query=b"); !strings.Contains(w.Body.String(), `"b"`) {
		t.Errorf("both: %s", w.Body)
	}
	if w := post("/query", "query="+strings.Repeat("a", formLimit)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too big: %d %s", w.Code, w.Body)
	}
}

// TestPrometheusDoor: who may ask without a token, with which kinds of token, and what refusals look like.
func TestPrometheusDoor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		loopback bool
		host     string
		set      func(h *house, r *http.Request)
		want     int
	}{
		{"loopback", true, "127.0.0.1:9720", nil, 200},
		{"another name for it", true, "evil.example:9720", nil, 401},
		{"passed on by a proxy", true, "127.0.0.1", func(_ *house, r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, 401},
		{"open listener", false, "127.0.0.1", nil, 401},
		{"bearer", false, "x", func(h *house, r *http.Request) { r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Viewer]) }, 200},
		{"password", false, "x", func(h *house, r *http.Request) { r.SetBasicAuth("grafana", h.tokens[fleet.Viewer]) }, 200},
		{"scraper's password", false, "x", func(h *house, r *http.Request) { r.SetBasicAuth("", h.tokens[fleet.Scrape]) }, 200},
		{"wrong password", false, "x", func(_ *house, r *http.Request) { r.SetBasicAuth("grafana", "wbo_no") }, 401},
		{"wrong token on loopback", true, "127.0.0.1", func(_ *house, r *http.Request) { r.Header.Set("Authorization", "Bearer wbo_no") }, 401},
		{"a program that sends", false, "x", func(h *house, r *http.Request) { r.SetBasicAuth("", h.tokens[fleet.Sender]) }, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.Loopback = tt.loopback })
			r := httptest.NewRequestWithContext(t.Context(), "GET", PrometheusRoot+"/query?query=1", nil)
			r.Host = tt.host
			if tt.set != nil {
				tt.set(h, r)
			}
			w := httptest.NewRecorder()
			h.handler.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, tt.want)
			}
			if tt.want >= 400 && (!strings.Contains(w.Body.String(), `"status":"error"`) || tt.want == 401 && w.Header().Get("WWW-Authenticate") == "") {
				t.Errorf("refused with %s %v", w.Body, w.Header())
			}
		})
	}
}

// TestPrometheusAsEveryRole: who may read, and programs that scrape, are answered; nobody else is.
func TestPrometheusAsEveryRole(t *testing.T) {
	h := recordedHouse(t)
	h.everyRole()
	for _, route := range promRoutes() {
		path := PrometheusRoot + strings.Replace(route.path, "{name}", "job", 1) + "?query=1&match[]=up&start=1&end=2&step=1"
		for _, role := range append(fleet.AllRoles(), "") {
			who := h.operator(role)
			want := 200
			switch {
			case role == "":
				want = 401
			case !who.May(fleet.MayRead) && !who.May(fleet.MayScrape):
				want = 403
			}
			if w := h.do(role, "GET", path, ""); w.Code != want {
				t.Errorf("%s as %q answered %d %s, want %d", route.path, role, w.Code, w.Body, want)
			}
		}
	}
}

// TestQueryBounds: what costs too much is refused before it costs it, and counted.
func TestQueryBounds(t *testing.T) {
	limits := DefaultQueryLimits()
	limits.MaxSamples, limits.MaxLookback = 5000, policy.Duration(time.Hour)
	h := recordedHouse(t, func(o *Options) { o.Query = limits })
	for _, tt := range []struct {
		name, expr, says, reason string
		status                   int
	}{
		{"too many samples", `{__name__!=""}[30m]`, "query processing would load too many samples into memory", "too_many_samples", 422},
		{"too many patterns", `up{instance=~"` + strings.Repeat(".{1000}", 30) + `"}`, "patterns", "expression_too_big", 400},
		{"repeated repeats", `up{instance=~"(((a{30}){30}){30}){30}"}`, "", "", 400},
		{"patterns in many matchers", "up" + strings.Repeat(` + up{instance!~".{1000}"}`, 30), "patterns", "expression_too_big", 400},
		{"a pattern of label_replace", `label_replace(up, "a", "b", "c", "` + strings.Repeat("x{1000}", 30) + `")`, "patterns", "expression_too_big", 400},
		{"in back quotes", "up{instance=~`" + strings.Repeat("[a-z]{1000}", 30) + "`}", "patterns", "expression_too_big", 400},
		{"deep brackets", strings.Repeat("(", 101) + "up" + strings.Repeat(")", 101), "brackets", "expression_too_big", 400},
		{"deep sums", "1" + strings.Repeat("+1", 1001), "operations deep", "expression_too_big", 400},
		{"deep signs", strings.Repeat("-", 3000) + "up", "operations deep", "expression_too_big", 400},
		{"long", "up + " + strings.Repeat(" ", maxExpression) + "1", "bytes", "expression_too_big", 400},
		{"far back", `rate(up[61m])`, "query.max_lookback", "expression_too_big", 400},
		{"far back by offset", `up offset 56m`, "query.max_lookback", "expression_too_big", 400},
		{"far back by subqueries", `max_over_time(rate(up[20m])[20m:1m] offset 21m)`, "query.max_lookback", "expression_too_big", 400},
		{"far back by a time of its own", `sum_over_time(up[30m] @ 1700000000)`, "query.max_lookback", "expression_too_big", 400},
		{"the beginning of time", `up @ 0`, "query.max_lookback", "expression_too_big", 400},
		{"before all time", `up @ -9000000000000000`, "query.max_lookback", "expression_too_big", 400},
		{"a subquery at a time of its own", `max_over_time(up[5m:1m] @ 1795259000)`, "query.max_lookback", "expression_too_big", 400},
		{"in a subquery that is not far back", `max_over_time((up @ 1795259000)[1m:1m])`, "query.max_lookback", "expression_too_big", 400},
		{"far back from the end", `rate(up[61m] @ end())`, "query.max_lookback", "expression_too_big", 400},
		{"labels that double", strings.Repeat("label_replace(", 50) + "up" + strings.Repeat(`, "a", "$1$1", "job", "(.*)")`, 50), "labels of more than", "expression_too_big", 400},
		{"labels joined of many", `label_join(up, "a", "` + strings.Repeat("-", 1000) + `"` + strings.Repeat(`, "job"`, 100) + ")", "labels of more than", "expression_too_big", 400},
		{"labels joined of some", `label_join(label_replace(up, "a", "$1-$2", "job", "(.)(.*)"), "b", "/", "a", "job", "instance")`, "", "", 200},
		{"a subquery of endless steps", `max_over_time(up[10y:1ms])`, "query.max_samples", "too_many_samples", 422},
		{"subqueries of many steps together", `max_over_time(max_over_time(up[29m:1s])[29m:1s])`, "subquery up[29m:1s] has 5.22e+03 steps", "too_many_samples", 422},
		{"subqueries of many steps one after the other", `absent_over_time(nothing[54m:1s]) + absent_over_time(nothing[54m:1s])`, "", "", 200},
		{"not far back, wherever it stands", `max_over_time((up @ 1795262000)[2h:1m])`, "", "", 200},
		{"an offset that brings it back", `up @ 1795258000 offset -20m`, "", "", 200},
		{"the end, just", `rate(up[60m] @ end())`, "", "", 200},
		{"far back, just", `rate(up[60m])`, "", "", 200},
		{"names of a thousand hosts", `up{instance=~"` + strings.Repeat("host-with-a-long-name-17.example.net|", 1000) + `web1"}`, "", "", 200},
		{"a sum of some", "1" + strings.Repeat("+1", 900), "", "", 200},
	} {
		before := 0.0
		if tt.reason != "" {
			before = testutil.ToFloat64(h.api.queries.metrics.refused.WithLabelValues(tt.reason))
		}
		r := httptest.NewRequestWithContext(t.Context(), "POST", PrometheusRoot+"/query", strings.NewReader(url.Values{"query": {tt.expr}, "time": {"1795262400"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Viewer])
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %.300s, want %d %s", tt.name, w.Code, w.Body, tt.status, tt.says)
		}
		if tt.reason != "" && testutil.ToFloat64(h.api.queries.metrics.refused.WithLabelValues(tt.reason)) != before+1 {
			t.Errorf("%s: not counted as %s", tt.name, tt.reason)
		}
	}
	for _, path := range []string{"/series", "/labels", "/label/job/values", "/rules"} {
		if code, body := h.prom("viewer", path+"?"+url.Values{"match[]": {`up{a=~"` + strings.Repeat(".{1000}", 30) + `"}`}}.Encode()); code != 400 || !strings.Contains(body, "patterns") {
			t.Errorf("%s: %d %s", path, code, body)
		}
		if code, body := h.prom("viewer", path+"?"+strings.Repeat("match[]=up&", maxSelectors+1)); code != 400 || !strings.Contains(body, "selectors") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

// TestTenMillionSamples: a query that would hold 10 M samples is refused as shipped, with what there is to do.
func TestTenMillionSamples(t *testing.T) {
	h := recordedHouse(t)
	for expr, says := range map[string]string{
		`vector(1)[120d:1s]`: `subquery vector(1)[120d:1s] has 1.04e+07 steps`,
		`(vector(1) or label_replace(vector(1), "a", "b", "", ""))[57d:1s]`: `query processing would load too many samples into memory in `,
	} {
		code, body := h.prom("viewer", "/query?"+url.Values{"query": {expr}, "time": {"1795262400"}}.Encode())
		if code != 422 || !strings.Contains(body, `"errorType":"execution","error":"`+says) {
			t.Errorf("%s: answered %d %.300s", expr, code, body)
		}
	}
}

// TestSubqueryOverAllTime: a range may be longer than a Duration, and the steps of its subqueries are counted all the same.
func TestSubqueryOverAllTime(t *testing.T) {
	h := recordedHouse(t)
	code, body := h.prom("viewer", "/query_range?"+url.Values{"query": {`max_over_time(up[5m:1h])`},
		"start": {"-9000000000000"}, "end": {"9000000000000"}, "step": {"9000000000"}}.Encode())
	if code != 422 || !strings.Contains(body, "subquery up[5m:1h] has 5e+09 steps") {
		t.Errorf("answered %d %.300s", code, body)
	}
}

// TestTenMillionStoredSamples: neither is one over series that are there, a thousand of them at ten thousand steps, and what it
// takes until then, garbage included, is bounded by query.max_samples: three times its 16 bytes each, where all of it would be six.
func TestTenMillionStoredSamples(t *testing.T) {
	dir := t.TempDir()
	recordInto(t, dir, func(yield func(labels.Labels, int64, float64)) {
		for i := range 1000 {
			for at := range int64(60) {
				yield(labels.FromStrings("__name__", "many", "i", fmt.Sprint(i)), noon.UnixMilli()-(60-at)*60_000, float64(at))
			}
		}
	})
	stored, err := history.Open(dir, history.Options{Retention: 1000 * time.Hour, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stored.Close() })
	limits := DefaultQueryLimits()
	limits.Timeout = policy.Duration(time.Hour) // samples are what bounds them here, however slow the machine
	h := newHouse(t, func(o *Options) { o.History, o.Interval, o.Query = stored, time.Second, limits })
	ask := func(expr string) (int, string) {
		return h.prom("viewer", "/query_range?"+url.Values{"query": {expr}, "start": {fmt.Sprint(noon.Unix() - 3500)},
			"end": {fmt.Sprint(noon.Unix())}, "step": {"0.35"}}.Encode())
	}
	if code, body := ask(`many{i="1"}`); code != 200 || strings.Count(body, "[") < 10_000 {
		t.Fatalf("a thousandth of it: %d, %d bytes", code, len(body))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, expr := range []string{`many`, `many * 2`, `sum by (i) (many)`} {
		if code, body := ask(expr); code != 422 || !strings.Contains(body, "too many samples") {
			t.Errorf("%s: answered %d %.300s", expr, code, body)
		}
	}
	runtime.ReadMemStats(&after)
	if took, most := after.TotalAlloc-before.TotalAlloc, uint64(3*4*16*DefaultQueryLimits().MaxSamples); took > most {
		t.Errorf("three refused queries took %d MB of memory, want at most %d", took>>20, most>>20)
	}
}

// gateOf is a gate with metrics of its own.
func gateOf(most, queue int) *gate {
	m := newQueryMetrics()
	g := newGate(m.running, m.waiting)
	g.set(most, queue)
	return g
}

// TestGate: so many at a time, so many in line, in the order in which they came; who gives up leaves the line.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gateOf(2, 3)
		var mu sync.Mutex
		var came []int
		enter := func(i int, ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				leave, err := g.enter(ctx)
				if err == nil {
					mu.Lock()
					came = append(came, i)
					mu.Unlock()
					time.Sleep(time.Second)
					leave()
					leave() // a second call is none
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var all []<-chan error
		for i, ctx := range []context.Context{t.Context(), t.Context(), t.Context(), short, t.Context(), t.Context()} {
			all = append(all, enter(i, ctx))
		}
		if running, waiting := testutil.ToFloat64(g.shown[0]), testutil.ToFloat64(g.shown[1]); running != 2 || waiting != 3 {
			t.Errorf("%v run and %v wait, want 2 and 3", running, waiting)
		}
		var crowded crowdedError
		if err := <-all[5]; !errors.As(err, &crowded) {
			t.Errorf("the sixth got %v", err)
		}
		var late *promError
		if err := <-all[3]; !errors.As(err, &late) || late.Type != promTimeout || !strings.Contains(err.Error(), "query queue") {
			t.Errorf("who waited too long got %v", err)
		}
		for _, i := range []int{0, 1, 2, 4} {
			if err := <-all[i]; err != nil {
				t.Errorf("%d got %v", i, err)
			}
		}
		if len(came) != 4 || came[2]+came[3] != 6 {
			t.Errorf("came in the order %v", came)
		}
		if g.running != 0 || len(g.waiting) != 0 {
			t.Errorf("%d run and %d wait at the end", g.running, len(g.waiting))
		}
		g.set(1, 0)
		if leave, err := g.enter(t.Context()); err != nil {
			t.Error(err)
		} else {
			if _, err := g.enter(t.Context()); !errors.As(err, &crowded) {
				t.Errorf("with a line of none the second got %v", err)
			}
			leave()
		}
	})
}

// held is a history whose readers wait.
type held struct {
	Curves
	entered, release chan struct{}
}

func (s held) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		s.entered <- struct{}{}
		<-s.release
		return s.Curves.Queryable().Querier(mint, maxt)
	})
}

// TestCrowd: beyond what may wait the answer is 503 with when to come again, and rules and status are answered meanwhile.
func TestCrowd(t *testing.T) {
	limits := DefaultQueryLimits()
	limits.MaxConcurrency, limits.MaxQueued = 1, 0
	wait := held{recordedHistory(t, ""), make(chan struct{}), make(chan struct{})}
	h := newHouse(t, func(o *Options) { o.Query, o.History, o.Interval = limits, wait, time.Second })
	done := make(chan int)
	go func() {
		code, _ := h.prom("viewer", "/query?query=up")
		done <- code
	}()
	<-wait.entered
	w := h.do(fleet.Viewer, "GET", PrometheusRoot+"/query?query=up", "")
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"errorType":"unavailable"`) || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Body.String(), "query.max_queued") {
		t.Errorf("answered %d %s %v", w.Code, w.Body, w.Header())
	}
	for _, path := range []string{"/rules", "/alerts", "/targets", "/status/buildinfo", "/format_query?query=up"} {
		if code, body := h.prom("viewer", path); code != 200 {
			t.Errorf("%s waits for a query: %d %s", path, code, body)
		}
	}
	close(wait.release)
	if code := <-done; code != 200 {
		t.Errorf("the first was answered %d", code)
	}
	if n := testutil.ToFloat64(h.api.queries.metrics.refused.WithLabelValues("crowded")); n != 1 {
		t.Errorf("counted %v as crowded", n)
	}
}

// away is a history that is not open.
type away struct{}

func (away) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(int64, int64) (storage.Querier, error) {
		return nil, fmt.Errorf("read history: %w", history.ErrUnavailable)
	})
}

func (away) Behind() error { return nil }

func (away) Stats(int) (history.Stats, error) { return history.Stats{}, history.ErrUnavailable }

// TestWithoutHistory: while there is no history the window answers, and the answer says so.
func TestWithoutHistory(t *testing.T) {
	for name, change := range map[string]func(*Options){"is off": nil, "is not open": func(o *Options) { o.History = away{} }} {
		var changes []func(*Options)
		if change != nil {
			changes = append(changes, change)
		}
		h := newHouse(t, changes...)
		h.report("web1", noon.Add(-2*time.Second), window.OK, map[string]float64{"node_load1": 3})
		for path, want := range map[string]string{
			"/query?query=node_load1":         `"value":[1795262400,"3"]`,
			"/series?match[]=node_load1":      `{"__name__":"node_load1","customer":"acme","instance":"web1","job":"node","site":"berlin"}`,
			"/label/instance/values":          `["web1"]`,
			"/labels?match[]=node_load1":      `["__name__","customer","instance","job","site"]`,
			"/metadata?metric=node_load1":     `{"node_load1":[{"type":"unknown","unit":"","help":""}]}`,
			"/query?query=sum(node_load1)*2":  `"6"`,
			"/query?query=node_load1&limit=0": `"3"`,
		} {
			code, body := h.prom("viewer", path)
			if code != 200 || !strings.Contains(body, want) || !strings.Contains(body, `"warnings":["history `+name) {
				t.Errorf("%s, %s: %d %s, want %s", name, path, code, body, want)
			}
		}
		code, body := h.prom("viewer", "/status/tsdb")
		if change == nil && (code != 200 || !strings.Contains(body, "history is off")) || change != nil && (code != 503 || !strings.Contains(body, `"unavailable"`)) {
			t.Errorf("%s: /status/tsdb: %d %s", name, code, body)
		}
	}
}

// lagging is a history that does not take samples.
type lagging struct {
	Curves
	why error
}

func (l lagging) Behind() error { return l.why }

// TestHistoryThatTakesNothing: what the history lacks is answered out of the window, once, and the answer says so.
func TestHistoryThatTakesNothing(t *testing.T) {
	why := errors.New("history takes no samples since 12:00: no space left on device")
	h := newHouse(t, func(o *Options) { o.History = lagging{recordedHistory(t, ""), why} })
	later := noon.Add(10 * time.Minute)
	h.report("web1", later, window.OK, map[string]float64{"node_load1": 3})
	at := fmt.Sprint("&time=", later.Unix())
	for path, want := range map[string]string{
		"/query?query=node_load1" + at:                                        `"result":[{"metric":{"__name__":"node_load1","customer":"acme","instance":"web1","job":"node","site":"berlin"},"value":[1795263000,"3"]}]`,
		"/query?query=count(up)" + at:                                         `"1"`, // of web1 alone there is news
		`/query?query=count_over_time(node_load1{instance="web1"}[70m])` + at: `"241"`,
		"/query?query=count(node_load1)&time=1795262400":                      `"3"`, // as the history has it
		"/label/instance/values?match[]=node_load1":                           `["db1","web1","web2"]`,
	} {
		code, body := h.prom("viewer", path)
		if code != 200 || !strings.Contains(body, want) || !strings.Contains(body, `"warnings":["`+why.Error()+"; the newest is of what") {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
}

// TestGrafana: what Grafana asks when a data source is saved and tested, its rules are listed, and a query is built, as it asks it.
func TestGrafana(t *testing.T) {
	limits := DefaultQueryLimits()
	limits.MaxConcurrency = 2
	h := recordedHouse(t, func(o *Options) { o.Query = limits })
	h.rules.groups = ruleGroups(t)
	h.rules.alerts = []evaluate.Standing{standing("web1", rules.Firing)}
	h.report("web1", noon.Add(-2*time.Second), window.OK, map[string]float64{"node_load1": 3})
	var got strings.Builder
	for _, ask := range []string{
		"GET /status/buildinfo", "POST /query query=1%2B1&time=1795262400.123", "GET /rules", "GET /rules?type=alert&exclude_alerts=true&file[]=own.yml",
		"GET /alerts", "POST /labels start=1795258800&end=1795262400", "GET /label/__name__/values?start=1795258800&end=1795262400&match[]=%7Bjob%3D%22node%22%7D",
		"GET /metadata?limit=3", "GET /metadata?metric=node_cpu_seconds_total", "POST /query_exemplars query=up&start=1795258800&end=1795262400",
		"POST /series match[]=up%7Binstance%3D%22web1%22%7D&start=1795258800&end=1795262400",
		"POST /query_range query=sum+by(customer)(up)&start=1795262340&end=1795262400&step=15", "GET /targets", "GET /status/flags", "GET /status/config",
		"GET /status/tsdb?limit=2", "GET /status/runtimeinfo",
	} {
		method, rest, _ := strings.Cut(ask, " ")
		path, body, _ := strings.Cut(rest, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, PrometheusRoot+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("grafana", h.tokens[fleet.Viewer])
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		answer := w.Body.String()
		if path == "/status/runtimeinfo" || strings.HasPrefix(path, "/status/tsdb") {
			answer = keysOf(t, answer)
		}
		fmt.Fprintf(&got, "%s\n%d %s %s\n\n", ask, w.Code, w.Header().Get("Content-Type"), answer)
	}
	file := filepath.Join("testdata", "grafana.golden")
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// keysOf is an answer with the names of its fields alone.
func keysOf(t *testing.T, body string) string {
	t.Helper()
	var v struct{ Data map[string]any }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	for k := range v.Data {
		v.Data[k] = nil
	}
	b, _ := json.Marshal(v.Data)
	return string(b)
}

// TestRuleFilters: every filter of /rules.
func TestRuleFilters(t *testing.T) {
	h := newHouse(t)
	h.rules.groups = ruleGroups(t)
	for _, tt := range []struct {
		query string
		names string
	}{
		{"", "HighLoad load:sum Quiet"}, {"type=alert", "HighLoad Quiet"}, {"type=record", "load:sum"},
		{"rule_name[]=Quiet&rule_name[]=load:sum", "load:sum Quiet"}, {"rule_group[]=own", "Quiet"}, {"file[]=packs/linux.yml", "HighLoad load:sum"},
		{"file[]=none", ""}, {"match[]={team=\"ops\"}", "load:sum"}, {"match[]={severity=~\".%2b\"}&match[]={team=\"ops\"}", "HighLoad load:sum"},
		{"group_limit=1", "HighLoad load:sum"}, {"group_limit=1&group_next_token=" + groupToken("own.yml", "own"), "Quiet"},
		{"group_limit=5", "HighLoad load:sum Quiet"},
	} {
		code, body := h.prom("viewer", "/rules?"+strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22").Replace(tt.query))
		var v struct {
			Data struct {
				Groups []struct{ Rules []struct{ Name string } }
				Token  string `json:"groupNextToken"`
			}
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil || code != 200 {
			t.Fatalf("%s: %d %s", tt.query, code, body)
		}
		var names []string
		for _, g := range v.Data.Groups {
			for _, r := range g.Rules {
				names = append(names, r.Name)
			}
		}
		if got := strings.Join(names, " "); got != tt.names {
			t.Errorf("%s: %s, want %s", tt.query, got, tt.names)
		}
		if (v.Data.Token != "") != (tt.query == "group_limit=1") {
			t.Errorf("%s: next token %q", tt.query, v.Data.Token)
		}
	}
	if code, body := h.prom("viewer", "/rules?group_limit=1&group_next_token=x"); code != 400 || !strings.Contains(body, "were rule groups changed?") {
		t.Errorf("a token of nothing: %d %s", code, body)
	}
	if _, body := h.prom("viewer", "/rules?exclude_alerts=true"); strings.Contains(body, "web1") {
		t.Errorf("alerts are there: %s", body)
	}
}

func TestQueryLimitsValidate(t *testing.T) {
	if err := DefaultQueryLimits().Validate(); err != nil {
		t.Error(err)
	}
	err := QueryLimits{MaxConcurrency: -1, MaxQueued: -1, MaxLookback: policy.Duration(time.Second)}.Validate()
	for _, key := range []string{"query.timeout", "query.max_samples", "query.max_concurrency", "query.max_queued", "query.max_lookback"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s is not named: %v", key, err)
		}
	}
}

// TestQueryMetrics: what was asked, narrowed and refused is in the figures.
func TestQueryMetrics(t *testing.T) {
	h := recordedHouse(t)
	h.add(fleet.NewOperator{Name: "the-inner", Roles: []fleet.Role{fleet.Engineer}, Scope: fleet.Scope{Customer: "acme"}, By: "test"})
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(h.api.QueryMetrics()...)
	for role, path := range map[string]string{"viewer": "/query?query=up", "inner": "/query?query=up"} {
		if code, body := h.prom(role, path); code != 200 {
			t.Fatal(body)
		}
	}
	if code, _ := h.prom("inner", "/labels"); code != 200 {
		t.Error(code)
	}
	m := h.api.queries.metrics
	if n := testutil.ToFloat64(m.narrowed); n != 2 {
		t.Errorf("%v were narrowed, want 2", n)
	}
	if n, err := testutil.GatherAndCount(reg, "watchbill_query_duration_seconds", "watchbill_query_refused_total", "watchbill_query_in_flight"); err != nil || n != 2+len(refusals)+1 {
		t.Errorf("%d series, %v", n, err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestSetQueryLimits: limits hold from the next query on.
func TestSetQueryLimits(t *testing.T) {
	h := recordedHouse(t)
	limits := DefaultQueryLimits()
	limits.MaxSamples = 1000
	for _, want := range []int{200, 422} {
		if code, body := h.prom("viewer", "/query?query=up[1h]&time=1795262400"); code != 200 {
			t.Fatal(body)
		}
		if code, body := h.prom("viewer", "/query?query=node_cpu_seconds_total[1h]&time=1795262400"); code != want {
			t.Errorf("answered %d %.200s, want %d", code, body, want)
		}
		h.api.SetQueryLimits(limits)
	}
}

// TestEngineVersion: what clients are told is the version that is linked.
func TestEngineVersion(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	minor := strings.Split(engineVersion, ".")
	if want := fmt.Sprintf("github.com/prometheus/prometheus v0.3%02s.%s", minor[1], minor[2]); !strings.Contains(string(b), want+"\n") {
		t.Errorf("go.mod does not link %s: tell clients the version that it does (engineVersion)", want)
	}
}

// TestBigAnswer: an answer that is too big to be held goes out whole all the same, compressed where that is asked for.
func TestBigAnswer(t *testing.T) {
	h := recordedHouse(t)
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	ask := PrometheusRoot + "/query_range?" + url.Values{"query": {`{__name__!=""}`}, "start": {"1795258800"}, "end": {"1795262400"}, "step": {"0.5"}}.Encode()
	plain := h.do(fleet.Viewer, "GET", ask, "").Body.Len()
	if plain < 3*heldAnswer {
		t.Fatalf("the answer has only %d bytes: the test proves nothing", plain)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", srv.URL+ask, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Viewer])
	resp, err := http.DefaultClient.Do(r) // asks for gzip, and takes it apart
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v struct{ Data struct{ Result []any } }
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || !resp.Uncompressed || len(v.Data.Result) < 50 {
		t.Errorf("%v, compressed %v, %d series", err, resp.Uncompressed, len(v.Data.Result))
	}
}
