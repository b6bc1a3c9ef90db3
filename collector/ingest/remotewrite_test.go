package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// town1 is a fleet of one asset, with a token for a sender and one for a viewer.
type town1 struct{}

func (town1) Authenticate(token string) (fleet.Operator, bool) {
	switch token {
	case "send":
		return fleet.Operator{Name: "prom", Roles: []fleet.Role{fleet.Sender}}, true
	case "read":
		return fleet.Operator{Name: "ann", Roles: []fleet.Role{fleet.Viewer}}, true
	}
	return fleet.Operator{}, false
}

func (town1) Asset(name string) (fleet.Asset, bool) {
	return fleet.Asset{Name: "web1", Customer: "acme", Site: "york"}, name == "web1"
}

func (town1) Customer(id string) (fleet.Customer, bool) { return fleet.Customer{ID: id}, id == "acme" }

// feed1 is a Remote on a clock of the test's.
type feed1 struct {
	*Remote
	now    time.Time
	judge  error
	kept   []RemoteSample
	judged int
}

func newFeed(t testing.TB, change ...func(*RemoteWriteIn)) *feed1 {
	t.Helper()
	f := &feed1{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	c := DefaultRemoteWriteIn()
	for _, do := range change {
		do(&c)
	}
	r, err := NewRemote(RemoteOptions{
		Config: c, Fleet: town1{}, Window: window.New(window.Options{}), Now: func() time.Time { return f.now },
		Judge:     func(context.Context, string) error { f.judged++; return f.judge },
		KeepsBack: func() time.Duration { return 24 * time.Hour },
		Keep:      func(all []RemoteSample) { f.kept = append(f.kept, all...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Remote = r
	return f
}

// send sends series with the sender's token.
func (f *feed1) send(v2 bool, all ...prompb.TimeSeries) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, message(v2, all...))))
	req.Header.Set("Authorization", "Bearer send")
	req.Header.Set("Content-Type", "application/x-protobuf")
	if v2 {
		req.Header.Set("Content-Type", typeV2)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, req)
	return w
}

// message is a request's body in both versions.
func message(v2 bool, all ...prompb.TimeSeries) []byte {
	if !v2 {
		b, _ := (&prompb.WriteRequest{Timeseries: all}).Marshal() // it fails on nothing that tests give it
		return b
	}
	st := writev2.NewSymbolTable()
	req := &writev2.Request{}
	for _, ts := range all {
		var sb labels.ScratchBuilder
		for _, l := range ts.Labels {
			sb.Add(l.Name, l.Value)
		}
		one := writev2.TimeSeries{LabelsRefs: st.SymbolizeLabels(sb.Labels(), nil)}
		for _, s := range ts.Samples {
			one.Samples = append(one.Samples, writev2.Sample{Value: s.Value, Timestamp: s.Timestamp})
		}
		for range ts.Histograms {
			one.Histograms = append(one.Histograms, writev2.Histogram{Sum: 1})
		}
		for range ts.Exemplars {
			one.Exemplars = append(one.Exemplars, writev2.Exemplar{Value: 1})
		}
		req.Timeseries = append(req.Timeseries, one)
	}
	req.Symbols = st.Symbols()
	b, _ := req.Marshal()
	return b
}

func series1(name string, at time.Time, v float64) prompb.TimeSeries {
	return prompb.TimeSeries{
		Labels:  []prompb.Label{{Name: "__name__", Value: name}, {Name: "instance", Value: "web1:9100"}, {Name: "job", Value: "node"}},
		Samples: []prompb.Sample{{Value: v, Timestamp: at.UnixMilli()}},
	}
}

const typeV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

// The answers of both versions, by the specifications: what a sender may retry is 5xx or 429, what it must not is 4xx, and
// every answer to a message of version 2 says how much was written.
func TestRemoteWriteAnswers(t *testing.T) {
	type test struct {
		name    string
		change  func(*RemoteWriteIn)
		request func(f *feed1, v2 bool, req *http.Request) []byte // the body, compressed
		judge   error
		status  int
		says    string
		written string
		retry   bool
	}
	good := func(f *feed1, v2 bool, all ...prompb.TimeSeries) []byte {
		return snappy.Encode(nil, message(v2, append(all, series1("a", f.now, 1))...))
	}
	whole := func(f *feed1, v2 bool, _ *http.Request) []byte { return good(f, v2) }
	tests := []test{
		{name: "taken", request: whole, status: 204, written: "1"},
		{name: "basic", request: func(f *feed1, v2 bool, r *http.Request) []byte { r.SetBasicAuth("x", "send"); return good(f, v2) }, status: 204, written: "1"},
		{name: "no token", request: func(f *feed1, v2 bool, r *http.Request) []byte { r.Header.Del("Authorization"); return good(f, v2) }, status: 401, says: "--role sender"},
		{name: "another's token", request: func(f *feed1, v2 bool, r *http.Request) []byte {
			r.Header.Set("Authorization", "Bearer read")
			return good(f, v2)
		}, status: 403, says: "may not send"},
		{name: "method", request: func(f *feed1, v2 bool, r *http.Request) []byte { r.Method = http.MethodPut; return good(f, v2) }, status: 405},
		{name: "content type", request: func(f *feed1, v2 bool, r *http.Request) []byte {
			r.Header.Set("Content-Type", "application/json")
			return good(f, v2)
		}, status: 415},
		{name: "message type", request: func(f *feed1, v2 bool, r *http.Request) []byte {
			r.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request")
			return good(f, v2)
		}, status: 415},
		{name: "encoding", request: func(f *feed1, v2 bool, r *http.Request) []byte {
			r.Header.Set("Content-Encoding", "zstd")
			return good(f, v2)
		}, status: 415, says: "snappy", written: "0"},
		{name: "not snappy", request: func(*feed1, bool, *http.Request) []byte { return []byte("\xff\xff\xff\xff\xff\xff") }, status: 400, says: "snappy", written: "0"},
		{name: "not protobuf", request: func(*feed1, bool, *http.Request) []byte { return snappy.Encode(nil, []byte("hello, world")) }, status: 400, says: "Content-Type", written: "0"},
		{name: "the other version's message", request: func(f *feed1, v2 bool, _ *http.Request) []byte { return good(f, !v2) }, status: 400, says: "set Content-Type to application/x-protobuf;proto=", written: "0"},
		{name: "too old", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("x", f.now.Add(-25*time.Hour), 1), series1("y", f.now.Add(-24*time.Hour), 1))
		}, status: 400, says: `job="node"}: too old sample: it is of 2026-11-22T08:00:00Z, and the history takes what is up to 24h0m0s old`, written: "2"},
		{name: "large body", change: func(c *RemoteWriteIn) { c.Limits.BodyBytes = 10 }, request: whole, status: 413, says: "remote_write_in.limits.body_bytes", written: "0"},
		{name: "bomb", request: func(*feed1, bool, *http.Request) []byte {
			return []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0} // four gigabytes, it says
		}, status: 413, says: "remote_write_in.limits.decoded_bytes", written: "0"},
		{name: "many series", change: func(c *RemoteWriteIn) { c.Limits.Series = 1 }, request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("b", f.now, 1))
		}, status: 413, says: "remote_write_in.limits.series", written: "0"},
		{name: "quota", change: func(c *RemoteWriteIn) { c.Quotas.SamplesPerMinute = 1 }, request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			f.sender("prom", f.now).afford(1, f.now)
			return good(f, v2)
		}, status: 429, says: "remote_write_in.quotas.samples_per_minute", written: "0", retry: true},
		{name: "disk full", judge: errors.New("the disk is full"), request: whole, status: 503, says: "the disk is full", written: "0", retry: true},
		{name: "native histogram", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			h := series1("h", f.now, 1)
			h.Samples, h.Histograms = nil, []prompb.Histogram{{Sum: 1}}
			return good(f, v2, h)
		}, status: 400, says: `1 samples were taken, these were not: 1 (native_histogram), the first of them {__name__="h"`, written: "1"},
		{name: "exemplar", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			s := series1("e", f.now, 1)
			s.Exemplars = []prompb.Exemplar{{Value: 1}}
			return good(f, v2, s)
		}, status: 204, written: "2"},
		{name: "no name", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			s := series1("x", f.now, 1)
			s.Labels = s.Labels[1:]
			return good(f, v2, s)
		}, status: 400, says: "no __name__", written: "1"},
		{name: "twice a label", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			s := series1("x", f.now, 1)
			s.Labels = append(s.Labels, s.Labels[2])
			return good(f, v2, s)
		}, status: 400, says: "there twice", written: "1"},
		{name: "ahead", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("x", f.now.Add(time.Hour), 1))
		}, status: 400, says: "clock", written: "1"},
		{name: "long label", change: func(c *RemoteWriteIn) { c.Limits.LabelValueBytes = 20 }, request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1(strings.Repeat("x", 21), f.now, 1))
		}, status: 400, says: "remote_write_in.limits.label_name_bytes or label_value_bytes", written: "1"},
		{name: "sender's series", change: func(c *RemoteWriteIn) { c.Quotas.Series = 1 }, request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("b", f.now, 1))
		}, status: 400, says: "remote_write_in.quotas.series", written: "1"},
		{name: "another value of the same time", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("x", f.now, 1), series1("x", f.now, 2))
		}, status: 400, says: `1 (duplicate_sample), the first of them {__name__="x", customer="acme", instance="web1", job="node", site="york"}: ` +
			"duplicate sample for timestamp 2026-11-23T09:00:00Z: 2 came, and 1 is here already", written: "2"},
		{name: "the same value again", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("x", f.now, math.NaN()), series1("x", f.now, math.NaN()))
		}, status: 204, written: "3"},
		{name: "alerts of its own", request: func(f *feed1, v2 bool, _ *http.Request) []byte {
			return good(f, v2, series1("ALERTS", f.now, 1))
		}, status: 204, written: "1"},
	}
	for _, v2 := range []bool{false, true} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s v2=%v", test.name, v2), func(t *testing.T) {
				f := newFeed(t, func(c *RemoteWriteIn) {
					if test.change != nil {
						test.change(c)
					}
				})
				f.judge = test.judge
				req := httptest.NewRequest(http.MethodPost, "/api/v1/write", nil)
				req.Header.Set("Authorization", "Bearer send")
				req.Header.Set("Content-Encoding", "snappy")
				req.Header.Set("Content-Type", "application/x-protobuf")
				if v2 {
					req.Header.Set("Content-Type", typeV2)
				}
				body := test.request(f, v2, req)
				sent := httptest.NewRequest(req.Method, "/api/v1/write", bytes.NewReader(body))
				sent.Header = req.Header
				w := httptest.NewRecorder()
				f.ServeHTTP(w, sent)
				if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
					t.Errorf("%d %q, want %d and %q", w.Code, w.Body, test.status, test.says)
				}
				if got := w.Header().Get("Retry-After"); (got != "") != test.retry {
					t.Errorf("Retry-After %q", got)
				}
				want := test.written
				if !v2 {
					want = ""
				}
				if got := w.Header().Get("X-Prometheus-Remote-Write-Samples-Written"); got != want {
					t.Errorf("written %q, want %q", got, want)
				}
				if want != "" && w.Header().Get("X-Prometheus-Remote-Write-Exemplars-Written") != "0" {
					t.Error("it does not say that no exemplar was written")
				}
			})
		}
	}
}

// FuzzRemoteWrite holds the reader of both messages against the generated codecs: what they refuse it may refuse, and what
// both read is the same.
func FuzzRemoteWrite(f *testing.F) {
	at := time.UnixMilli(1)
	for _, v2 := range []bool{false, true} {
		f.Add(message(v2, series1("a", at, 1), series1("b", at, math.NaN())), v2)
		f.Add([]byte{0x0a, 0}, v2)
		f.Add([]byte{}, v2)
	}
	f.Fuzz(func(t *testing.T, body []byte, v2 bool) {
		var mine []string
		var w wireRequest
		err := w.read(v2, body, 1000, func(s *wireSeries) error {
			mine = append(mine, fmt.Sprintf("%q", s.labels))
			for _, p := range s.points {
				mine = append(mine, fmt.Sprintf("%d %x", p.t, math.Float64bits(p.v)))
			}
			return nil
		}, func(wireMeta) {})
		if err != nil {
			return
		}
		theirs, ok := decoded(body, v2)
		if ok && strings.Join(mine, "\n") != strings.Join(theirs, "\n") {
			t.Errorf("read %v, the generated codec %v", mine, theirs)
		}
	})
}

// decoded is what the generated codecs read; false when they refuse it.
func decoded(body []byte, v2 bool) (out []string, ok bool) {
	add := func(lbls []pair) { out = append(out, fmt.Sprintf("%q", lbls)) }
	if !v2 {
		var m prompb.WriteRequest
		if m.Unmarshal(body) != nil {
			return nil, false
		}
		for _, ts := range m.Timeseries {
			var lbls []pair
			for _, l := range ts.Labels {
				lbls = append(lbls, pair{[]byte(l.Name), []byte(l.Value)})
			}
			add(lbls)
			for _, s := range ts.Samples {
				out = append(out, fmt.Sprintf("%d %x", s.Timestamp, math.Float64bits(s.Value)))
			}
		}
		return out, true
	}
	var m writev2.Request
	if m.Unmarshal(body) != nil {
		return nil, false
	}
	for _, ts := range m.Timeseries {
		var lbls []pair
		for i := 0; i+1 < len(ts.LabelsRefs); i += 2 {
			if int(max(ts.LabelsRefs[i], ts.LabelsRefs[i+1])) >= len(m.Symbols) {
				return nil, false
			}
			lbls = append(lbls, pair{[]byte(m.Symbols[ts.LabelsRefs[i]]), []byte(m.Symbols[ts.LabelsRefs[i+1]])})
		}
		add(lbls)
		for _, s := range ts.Samples {
			out = append(out, fmt.Sprintf("%d %x", s.Timestamp, math.Float64bits(s.Value)))
		}
	}
	return out, true
}

// Every fault of the configuration is named at once.
func TestRemoteWriteInValidate(t *testing.T) {
	c := DefaultRemoteWriteIn()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	c.Limits.Series, c.Quotas.Assets, c.Keying.InstanceLabel, c.Silence.Paces = 0, -1, "", 0
	c.Senders = map[string]RemoteSender{"prom": {Keying: RemoteKeying{DropLabels: []string{"job"}}}}
	err := c.Validate()
	for _, want := range []string{"remote_write_in.limits.series", "remote_write_in.quotas.assets", "remote_write_in.keying.instance_label",
		"remote_write_in.silence.paces", "remote_write_in.senders.prom.keying.drop_labels"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
