package ingest

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/rules/window"
)

// FuzzReport sends any body as a report of an enrolled agent: the answer is always an Ack, and what reaches the sink
// keeps every promise that Report and window.Block make.
func FuzzReport(f *testing.F) {
	w := newWorld(f, func(o *Options) {
		o.Quotas = DefaultQuotas()
		o.Quotas.Agent.ReportsPerMinute, o.Quotas.Agent.BytesPerMinute = 1e9, 1e9
		o.Quotas.Customer.ReportsPerMinute, o.Quotas.Customer.BytesPerMinute = 1e9, 1e9
		o.KeepFor = func() time.Duration { return time.Hour }
	})
	c := w.enrol("acme", "leeds", "web1")
	seed := func(m *wire.Report) {
		body, coding, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(coding == wire.CodingZstd, body)
	}
	full := c.report(c.block("cpu", 3, 0), c.block("disk", 2, time.Hour), wire.FailedBlock("node", "x", w.clock.now(), time.Second, errors.New("y")))
	full.Events = []*wire.Event{{Id: 1, Kind: "k", AtMs: 5, Text: "\x1b[2J\u202e", Fields: map[string]string{"a": "b"}}}
	full.Tables = []*wire.Table{{Kind: "t", SampledAtMs: 1, Columns: []string{"a"}, Rows: []*wire.Row{{Cells: []string{"\r\n"}}}}}
	full.Inventory, full.Goodbye = &wire.Inventory{Hostname: "h"}, &wire.Goodbye{Reason: "r"}
	seed(full)
	seed(c.with(full, [][]byte{full.Blocks[0].ShapeId, full.Blocks[1].ShapeId}))
	seed(c.report(c.block("cpu", 300, 0)))
	f.Add(true, bomb(f, 8<<20))
	f.Add(false, []byte{})
	h := w.ingest.Handler()
	f.Fuzz(func(t *testing.T, packed bool, body []byte) {
		w.sink.mu.Lock()
		w.sink.reports = nil
		w.sink.mu.Unlock()
		r := c.authorise(httptest.NewRequest(http.MethodPost, wire.PathReport, bytes.NewReader(body)))
		r.Header.Set(wire.HeaderType, wire.TypeReport)
		if packed {
			r.Header.Set(wire.HeaderCoding, wire.CodingZstd)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		var ack wire.Ack
		if err := proto.Unmarshal(rec.Body.Bytes(), &ack); err != nil || ack.Result == wire.Ack_RESULT_UNSPECIFIED {
			t.Fatalf("answer %d %q: %v", rec.Code, rec.Body, err)
		}
		for _, r := range w.sink.all() {
			checkReport(t, r, w.clock.now())
		}
	})
}

func checkReport(t *testing.T, r Report, now time.Time) {
	t.Helper()
	if r.Asset != (window.Asset{Name: "web1", Customer: "acme", Site: "leeds"}) {
		t.Errorf("asset %+v", r.Asset)
	}
	for _, b := range r.Blocks {
		if b.At.After(now.Add(maxAhead)) || b.Source == "" || b.Kind == "" || b.Interval <= 0 {
			t.Errorf("block %+v", b)
		}
		if ok := b.Status == window.OK; ok != (b.Layout != nil) || ok && len(b.Layout.Series) != len(b.Values) || !ok && b.Values != nil {
			t.Errorf("block %+v", b)
		}
		inert(t, b.Source, b.Kind, b.Reason)
	}
	for _, e := range r.Events {
		if e.ID == 0 || e.At.After(now.Add(maxAhead)) {
			t.Errorf("event %+v", e)
		}
		inert(t, e.Kind, e.Text)
		for k, v := range e.Fields {
			inert(t, k, v)
		}
	}
	for _, table := range r.Tables {
		inert(t, append(table.Columns, table.Kind, table.NoneBecause)...)
		for _, row := range table.Rows {
			inert(t, row...)
		}
	}
	if r.Inventory != nil {
		inert(t, append(r.Inventory.Addresses, r.Inventory.Hostname, r.Inventory.OS, r.Inventory.Zone)...)
	}
	if r.Goodbye != nil {
		inert(t, *r.Goodbye)
	}
}

func inert(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		for _, c := range s {
			if unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) {
				t.Errorf("text %q is not inert", s)
			}
		}
		if !utf8.ValidString(s) {
			t.Errorf("text %q is not UTF-8", s)
		}
	}
}
