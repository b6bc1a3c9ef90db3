package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

var errLine = errors.New("the line is cut")

// host is an agent on a host and with a collector of the test's own, in a bubble: the bubble's clock is the collector's.
type host struct {
	t   *testing.T
	cfg Config

	mu      sync.Mutex
	wrong   time.Duration // the host's wall clock minus the collector's
	cut     bool          // no line
	reports []*wire.Report
	known   wire.Outlines // what this collector was told of reports' form
	ack     func(*wire.Ack)
	hold    func(path string) time.Duration // how long the collector works on a request before it looks at its clock
	full    bool                            // no room on the disk
	spool   Bytes                           // what the spool may take, if not what cfg says: less than an operator may say
	memory  func() (used, limit uint64)

	sources   []sample.Source
	bundles   []sample.Bundle
	inventory *wire.Inventory
	log       *bytes.Buffer
	signs     int
}

func newHost(t *testing.T) *host {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir = t.TempDir()
	return &host{t: t, cfg: cfg, log: &bytes.Buffer{}, sources: []sample.Source{
		{Name: "load", Kind: "node", Sampler: samples(wire.Sample{Name: "node_load1", Value: 1})},
	}, inventory: &wire.Inventory{Hostname: "web1"}}
}

// sampler is a function that reads.
type sampler func(ctx context.Context, now time.Time) (sample.Reading, error)

func (s sampler) Read(ctx context.Context, now time.Time) (sample.Reading, error) { return s(ctx, now) }

func samples(all ...wire.Sample) sampler {
	return func(context.Context, time.Time) (sample.Reading, error) { return sample.Reading{Samples: all}, nil }
}

// set changes the world under the lock that the agent's goroutines look at it with.
func (h *host) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *host) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.wrong)
}

// RoundTrip is line and collector.
func (h *host) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	h.mu.Lock()
	hold := h.hold
	h.mu.Unlock()
	if hold != nil {
		select {
		case <-time.After(hold(req.URL.Path)):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut {
		return nil, errLine
	}
	a := &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, NowMs: time.Now().UnixMilli(), Incarnation: 1, Credits: 1000}
	if req.URL.Path == wire.PathReport {
		d := wire.NewDecoder()
		defer d.Release()
		r, err := d.Report(req.Body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &h.known)
		if err != nil {
			h.t.Errorf("report: %v", err)
			return nil, err
		}
		r = proto.CloneOf(r)
		if err := wire.CheckReport(r, wire.DefaultLimits()); err != nil {
			h.t.Errorf("report %d: %v", r.Sequence, err)
		}
		h.reports = append(h.reports, r)
		a.Epoch, a.Sequence = r.Epoch, r.Sequence
	}
	if h.ack != nil {
		h.ack(a)
	}
	body, coding, err := wire.Encode(a)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)),
		Header: http.Header{wire.HeaderType: {req.Header.Get(wire.HeaderType)}, wire.HeaderCoding: {coding}},
	}, nil
}

func (h *host) agent() *Agent {
	h.t.Helper()
	a, err := New(h.cfg, Options{
		Logger: slog.New(slog.NewTextHandler(h.log, nil)), Version: "1.2.3", Now: h.now, Sources: h.sources, Bundles: h.bundles, Transport: h,
		URL: "https://collector.example:9721", OnReport: func() { h.signs++ }, Memory: h.memory,
		Inventory: func(context.Context) (*wire.Inventory, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.inventory == nil {
				return nil, errors.New("unknown host")
			}
			return h.inventory, nil
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.spool > 0 {
		a.cfg.Spool.MaxBytes = h.spool
	}
	a.free = func(string) (uint64, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.full {
			return 0, nil
		}
		return 1 << 40, nil
	}
	return a
}

// run runs the agent while during does what it does, then stops it for this reason.
func (h *host) run(reason error, during func()) {
	h.t.Helper()
	ctx, cancel := context.WithCancelCause(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.agent().Run(ctx) }()
	synctest.Wait()
	during()
	synctest.Wait()
	cancel(reason)
	if err := <-done; err != nil {
		h.t.Errorf("Run: %v", err)
	}
}

// inBubble gives each test a world of its own.
func inBubble(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	defer dropPools()
	synctest.Test(t, func(t *testing.T) { test(t, newHost(t)) })
}

// dropPools empties every sync.Pool, which takes two collections: the codec pools zstd encoders, whose channels belong
// to the bubble they were made in and must not be met in the next.
func dropPools() {
	runtime.GC()
	runtime.GC()
}

// sent is every report that arrived, in the order in which it was made.
func (h *host) sent() []*wire.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.reports)
	slices.SortFunc(all, func(a, b *wire.Report) int {
		if a.Epoch != b.Epoch {
			return int(int64(a.Epoch - b.Epoch))
		}
		return int(int64(a.Sequence - b.Sequence))
	})
	return all
}

// arrived is every report in the order in which it came.
func (h *host) arrived() []*wire.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reports)
}

// block is the block of source in r.
func block(r *wire.Report, source string) *wire.Block {
	for _, b := range r.Blocks {
		if b.Source == source {
			return b
		}
	}
	return nil
}

// spooled is what an agent that is not running left in its spool, by shape.
func (h *host) openSpool() *spool.Spool {
	h.t.Helper()
	sp, err := spool.Open(h.cfg.spoolDir(), spool.Options{Reserve: -1})
	if err != nil {
		h.t.Fatal(err)
	}
	return sp
}

// metric is the value of a series of the block of source, with these labels.
func (h *host) metric(sp *spool.Spool, b *wire.Block, name string, labels ...string) (float64, bool) {
	h.t.Helper()
	shape, ok := sp.Shape(b.ShapeId)
	if !ok {
		h.t.Fatalf("shape of block %s is not in the spool", b.Source)
	}
	layout, err := wire.ReadShape(shape, wire.DefaultLimits())
	if err != nil {
		h.t.Fatal(err)
	}
	want := fmt.Sprint(append([]string{wire.NameLabel, name}, labels...))
	for i, series := range layout.Series {
		var got []string
		for _, l := range series {
			got = append(got, l.Name, l.Value)
		}
		if fmt.Sprint(got) == want {
			return b.Values[i], true
		}
	}
	return 0, false
}

// events of a kind in all reports.
func events(all []*wire.Report, kind string) []*wire.Event {
	var out []*wire.Event
	for _, r := range all {
		for _, e := range r.Events {
			if e.Kind == kind {
				out = append(out, e)
			}
		}
	}
	return out
}

// epochs of all reports, each once, in order.
func epochs(all []*wire.Report) []uint64 {
	var out []uint64
	for _, r := range all {
		if !slices.Contains(out, r.Epoch) {
			out = append(out, r.Epoch)
		}
	}
	return out
}
