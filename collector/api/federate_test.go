package api

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

func TestFederate(t *testing.T) {
	h := newHouse(t)
	at := noon.Add(-2 * time.Second)
	h.report("web1", noon.Add(-7*time.Second), window.OK, map[string]float64{
		`node_load1`: 1, `node_filesystem_avail_bytes{mountpoint="/"}`: 9, `node_gone`: 1})
	h.report("web1", at, window.OK, map[string]float64{
		`node_load1`: 3, `node_filesystem_avail_bytes{mountpoint="/"}`: math.Inf(1), `node_odd`: math.NaN()})
	h.report("web2", at, window.OK, map[string]float64{`node_load1`: 0.1})
	h.report("db1", noon.Add(-6*time.Minute), window.OK, map[string]float64{`node_load1`: 7})

	all := []string{
		"# TYPE node_filesystem_avail_bytes untyped",
		`node_filesystem_avail_bytes{customer="acme",instance="web1",job="node",mountpoint="/",site="berlin"} +Inf 1795262398000`,
		"# TYPE node_load1 untyped",
		`node_load1{customer="acme",instance="web1",job="node",site="berlin"} 3 1795262398000`,
		`node_load1{customer="acme",instance="web2",job="node",site="paris"} 0.1 1795262398000`,
		"# TYPE node_odd untyped",
		`node_odd{customer="acme",instance="web1",job="node",site="berlin"} NaN 1795262398000`,
		"# TYPE up untyped",
		`up{customer="acme",instance="web1",job="node",site="berlin"} 1 1795262398000`,
		`up{customer="acme",instance="web2",job="node",site="paris"} 1 1795262398000`,
	}
	tests := []struct {
		name  string
		match []string
		want  []string
	}{
		{"none selects all that is alive", nil, all},
		{"everything, twice", []string{`{job="node"}`, `{job=~"n.*"}`}, all},
		{"by name", []string{`node_load1`}, all[2:5]},
		{"by name and label", []string{`node_load1{instance="web2"}`}, []string{all[2], all[4]}},
		{"two names", []string{`up{instance="web1"}`, `node_odd`}, []string{all[5], all[6], all[7], all[8]}},
		{"two selectors that overlap", []string{`node_load1`, `{__name__="node_load1",instance="web1"}`}, all[2:5]},
		{"names by pattern", []string{`{__name__=~"node_(odd|load1)",instance="web1"}`}, []string{all[2], all[3], all[5], all[6]}},
		{"nothing of that name", []string{`node_nothing`}, nil},
		{"a series that ended", []string{`node_gone`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.t = t
			w := h.do(fleet.Scrape, "GET", "/federate?"+url.Values{"match[]": tt.match}.Encode(), "")
			got := strings.Split(strings.TrimSuffix(w.Body.String(), "\n"), "\n")
			if w.Body.Len() == 0 {
				got = nil
			}
			if w.Code != 200 || !slices.Equal(got, tt.want) {
				t.Errorf("answered %d\ngot  %s\nwant %s", w.Code, strings.Join(got, "\n     "), strings.Join(tt.want, "\n     "))
			}
			if ct := w.Header().Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestFederateRefuses(t *testing.T) {
	h := newHouse(t)
	for name, q := range map[string]string{
		"no selector":          "match[]=" + url.QueryEscape("node_load1{"),
		"an expression":        "match[]=" + url.QueryEscape("rate(node_load1[5m])"),
		"a misspelt parameter": "match=node_load1",
		"a big pattern":        "match[]=" + url.QueryEscape(`up{a=~"`+strings.Repeat(".{1000}", 30)+`"}`),
		"too many":             strings.Repeat("match[]=up&", maxSelectors+1),
	} {
		t.Run(name, func(t *testing.T) {
			h.t = t
			if w := h.do(fleet.Scrape, "GET", "/federate?"+q, ""); w.Code != 400 || !strings.Contains(w.Body.String(), `"hint":"`) {
				t.Errorf("answered %d %s, want 400 with what to do", w.Code, w.Body)
			}
		})
	}
}

// TestFederateHostileText: whatever an agent puts into a label is the same label on the other side, and never another
// line, series or metric.
func TestFederateHostileText(t *testing.T) {
	for _, evil := range []string{
		`a"} 1` + "\n" + `watchbill_fake 1`, "\\", `\n`, "line\nbreak", "\r\n", "\x1b[2J", "\u202e\u2028", "quote\"", "# HELP x", "{}", "日本", "\x00",
	} {
		t.Run(fmt.Sprintf("%q", evil), func(t *testing.T) {
			h := newHouse(t)
			l := &window.Layout{Series: []labels.Labels{labels.FromStrings("__name__", "m", "path", evil)}}
			h.window.Apply(window.Asset{Name: "web1", Customer: "acme", Site: "berlin"}, noon, []window.Block{{Source: "s", Kind: "node",
				At: noon, Interval: time.Second, Status: window.OK, Layout: l, Values: []float64{1}}})
			w := h.do(fleet.Scrape, "GET", "/federate", "")
			p := expfmt.NewTextParser(model.LegacyValidation)
			families, err := p.TextToMetricFamilies(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			if len(families) != 2 || len(families["m"].GetMetric()) != 1 {
				t.Fatalf("got families %v, want m and up", families)
			}
			for _, l := range families["m"].GetMetric()[0].GetLabel() {
				if l.GetName() == "path" && l.GetValue() != evil {
					t.Errorf("label came out as %q", l.GetValue())
				}
			}
		})
	}
}

func FuzzFederateText(f *testing.F) {
	f.Add("name", "value", 1.5)
	f.Add("m.etric", "a\"} 1\nfake 2", math.Inf(-1))
	f.Fuzz(func(t *testing.T, name, value string, v float64) {
		if name == "" || name == "__name__" {
			return
		}
		var b bytes.Buffer
		w := federation{w: bufio.NewWriter(&b)}
		if err := errors.Join(w.sample(labels.FromStrings("__name__", name, "l"+name, value), 1, v), w.w.Flush()); err != nil {
			t.Fatal(err)
		}
		p := expfmt.NewTextParser(model.LegacyValidation)
		families, err := p.TextToMetricFamilies(&b)
		if err != nil {
			t.Fatalf("not the text format: %v\n%s", err, b.String())
		}
		if len(families) != 1 {
			t.Fatalf("%d metrics from one sample", len(families))
		}
		for _, mf := range families {
			if len(mf.GetMetric()) != 1 {
				t.Fatalf("%d series from one sample", len(mf.GetMetric()))
			}
			for _, l := range mf.GetMetric()[0].GetLabel() {
				if utf8.ValidString(value) && l.GetValue() != value {
					t.Errorf("label %q came out as %q", value, l.GetValue())
				}
			}
		}
	})
}

// brokenWindow fails while it is read.
type brokenWindow struct {
	Window
	atOnce bool
}

type brokenQuerier struct{ storage.Querier }

func (b brokenWindow) Querier(mint, maxt int64) (storage.Querier, error) {
	if b.atOnce {
		return nil, errors.New("no window")
	}
	q, err := b.Window.Querier(mint, maxt)
	return brokenQuerier{q}, err
}

func (q brokenQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return storage.ErrSeriesSet(errors.New("broken"))
}

func (q brokenQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return []string{"up"}, nil, nil
}

func TestFederateBreaksOffVisibly(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Window = brokenWindow{Window: o.Window}; o.Loopback = true })
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/federate")
	if err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %d: a scraper would take half an answer for a whole one", resp.StatusCode)
	}
	h = newHouse(t, func(o *Options) { o.Window = brokenWindow{Window: o.Window, atOnce: true} })
	if w := h.do(fleet.Scrape, "GET", "/federate", ""); w.Code != 500 {
		t.Errorf("answered %d, want 500", w.Code)
	}
}
