package collector

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/collector/fleet"
)

// kept is what the history has of an instance: a line for each series, with its values in order.
func kept(t *testing.T, c *Collector, instance string) (out []string) {
	t.Helper()
	q, err := c.history.Queryable().Querier(0, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "instance", instance))
	for set.Next() {
		line, it := set.At().Labels().String(), set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			if _, v := it.At(); value.IsStaleNaN(v) {
				line += " stale"
			} else {
				line += fmt.Sprint(" ", v)
			}
		}
		out = append(out, line)
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// What programs write is in the history under the labels of the asset that the fleet has: two web sites are two series, `up`
// is the sender's and there is one, stale markers stay, and the past that comes late is there, too.
func TestRemoteWriteIsInTheHistory(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	iis := func(site string, v float64) {
		p.write(204, p.ts(v, "__name__", "windows_iis_requests_total", "instance", "web1:9182", "job", "windows", "site", site),
			p.ts(1, "__name__", "up", "instance", "web1:9182", "job", "windows"))
	}
	for _, v := range []float64{1, 2, math.Float64frombits(value.StaleNaN)} {
		iis("shop", v)
		iis("intranet", v)
		s.pass(time.Second)
		s.pass(14 * time.Second)
	}
	late := p.ts(1.5, "__name__", "windows_iis_requests_total", "instance", "web1:9182", "job", "windows", "site", "shop")
	late.Samples[0].Timestamp = s.at.Add(-40 * time.Second).UnixMilli()
	p.write(204, late)
	late.Samples[0].Timestamp = s.at.Add(-97 * time.Hour).UnixMilli()
	if said := p.write(400, late); !strings.Contains(said, "too old sample") {
		t.Errorf("of a sample that the history does not take it says %s", said)
	}
	p.write(204, p.ts(7, "__name__", "queue", "job", "batch", "customer", "acme"))
	flush(t, s.Collector)
	const own = `customer="acme", `
	want := []string{
		`{__name__="up", ` + own + `instance="web1", job="windows", site="london"} 1 1 1`,
		`{__name__="windows_iis_requests_total", ` + own + `exported_site="intranet", instance="web1", job="windows", site="london"} 1 2 stale`,
		`{__name__="windows_iis_requests_total", ` + own + `exported_site="shop", instance="web1", job="windows", site="london"} 1 1.5 2 stale`,
	}
	if got := kept(t, s.Collector, "web1"); !slices.Equal(got, want) {
		t.Errorf("the history has\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	want = []string{`{__name__="queue", customer="operator", exported_customer="acme", instance="remote-write/prom", job="batch"} 7`}
	if got := kept(t, s.Collector, "remote-write/prom"); !slices.Equal(got, want) {
		t.Errorf("of what names no instance the history has\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	about, err := (&prompb.WriteRequest{Metadata: []prompb.MetricMetadata{{Type: prompb.MetricMetadata_COUNTER,
		MetricFamilyName: "windows_iis_requests_total", Help: "Requests."}}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if w := p.post(snappy.Encode(nil, about)); w.Code != 204 {
		t.Errorf("metadata: %d %s", w.Code, w.Body)
	}
	if got := s.viewed("/api/v1/metadata?metric=windows_iis_requests_total"); !strings.Contains(got, `"help":"Requests."`) {
		t.Errorf("metadata of it is %s", got)
	}
}

// viewed is what the API answers who may read.
func (s *stage) viewed(path string) string {
	s.t.Helper()
	token, err := s.fleet.AddOperator(s.t.Context(), "reader", fleet.Viewer, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	req, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
	req.Header.Set("Authorization", "Bearer "+token)
	s.api.Handler().ServeHTTP(w, req)
	return w.Body.String()
}
