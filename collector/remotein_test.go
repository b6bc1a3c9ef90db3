package collector

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// remoteRules has rules of both paths: about one asset, judged at arrival, and about several, on a timer.
const remoteRules = `groups:
- name: remote
  rules:
  - alert: DiskFull
    expr: disk_free_ratio < 0.1
    labels: {severity: warning, service: filesystem, system: server}
    annotations: {summary: "{{ $labels.mountpoint }} is filling on {{ $labels.instance }}"}
  - alert: TargetDown
    expr: up == 0
    labels: {severity: critical, service: node, system: server}
    annotations: {summary: "{{ $labels.job }} of {{ $labels.instance }} cannot be scraped"}
  - alert: AllFilling
    expr: sum by (job) (disk_free_ratio) < 0.3
    labels: {severity: info, service: capacity, system: server}
    annotations: {summary: "disks of {{ $labels.job }} are filling"}
`

// scraper is a program that writes to a stage with a token of its own.
type scraper struct {
	s     *stage
	token string
}

func (s *stage) sender(name string) *scraper {
	s.t.Helper()
	token, err := s.fleet.AddOperator(context.Background(), name, fleet.Sender, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return &scraper{s, token}
}

// post sends a body and returns the answer.
func (p *scraper) post(body []byte, head ...string) *httptest.ResponseRecorder {
	p.s.t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("Content-Type", "application/x-protobuf")
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	p.s.api.Handler().ServeHTTP(w, req)
	return w
}

// ts is a series with one sample at the stage's time.
func (p *scraper) ts(v float64, lbls ...string) prompb.TimeSeries {
	t := prompb.TimeSeries{Samples: []prompb.Sample{{Value: v, Timestamp: p.s.at.UnixMilli()}}}
	for i := 0; i+1 < len(lbls); i += 2 {
		t.Labels = append(t.Labels, prompb.Label{Name: lbls[i], Value: lbls[i+1]})
	}
	return t
}

// write sends series, and expects a status.
func (p *scraper) write(status int, all ...prompb.TimeSeries) string {
	p.s.t.Helper()
	b, err := (&prompb.WriteRequest{Timeseries: all}).Marshal()
	if err != nil {
		p.s.t.Fatal(err)
	}
	w := p.post(snappy.Encode(nil, b))
	if w.Code != status {
		p.s.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	return w.Body.String()
}

// scrape is what Prometheus writes of a target with two disks.
func (p *scraper) scrape(instance string, free float64) []prompb.TimeSeries {
	return []prompb.TimeSeries{
		p.ts(free, "__name__", "disk_free_ratio", "instance", instance, "job", "node", "mountpoint", "/srv"),
		p.ts(0.5, "__name__", "disk_free_ratio", "instance", instance, "job", "node", "mountpoint", "/"),
		p.ts(1, "__name__", "up", "instance", instance, "job", "node"),
	}
}

// gone is the same target when it cannot be scraped any more.
func (p *scraper) failed(instance string) []prompb.TimeSeries {
	out := p.scrape(instance, 0)
	out[0].Samples[0].Value, out[1].Samples[0].Value = math.Float64frombits(value.StaleNaN), math.Float64frombits(value.StaleNaN)
	out[2].Samples[0].Value = 0
	return out
}

// pass lets time pass, and what waits for it be done.
func (s *stage) pass(d time.Duration) {
	s.t.Helper()
	s.at = s.at.Add(d)
	s.remote.Load().Settle(context.Background(), s.at)
}

func (s *stage) fires() []string {
	var out []string
	for _, a := range s.evaluator.Alerts() {
		if a.Alert.State == rules.Firing {
			out = append(out, a.Origin.Name+" "+a.Alert.Labels.Get("instance"))
		}
	}
	return out
}

// A program that writes samples is an agent: what it writes is judged when it arrives, and a ticket is there before it is
// told that its samples are taken.
func TestRemoteWriteOpensATicket(t *testing.T) {
	s := newStage(t, testConfig(t, remoteRules))
	p := s.sender("prom")
	p.write(204, p.scrape("web1:9100", 0.5)...)
	s.pass(time.Second)
	s.pass(14 * time.Second)
	p.write(204, p.scrape("web1:9100", 0.05)...)
	tk := s.only()
	if tk.Customer != "acme" || tk.Asset != "web1" || tk.Title != "/srv is filling on web1" {
		t.Errorf("ticket %+v", tk)
	}
	st, _ := s.window.Asset("web1")
	for _, b := range st.Blocks {
		t.Logf("%+v", b)
	}
	if st.Series != 3 || st.Site != "london" {
		t.Errorf("window has %+v", st)
	}
	s.pass(15 * time.Second)
	p.write(204, p.scrape("web1:9100", 0.5)...)
	if got := s.fires(); len(got) != 0 {
		t.Errorf("still firing: %v", got)
	}
	if _, ok := s.window.Asset("web1:9100"); ok {
		t.Error("the asset is there under its instance, too")
	}
	_ = window.OK
	_ = strings.Contains
}
