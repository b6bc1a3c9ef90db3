package push

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sent is one request as the collector saw it.
type sent struct {
	path     string
	sequence uint64
	shapes   int
	at       time.Duration // since the test began
	goodbye  bool
	media    string
	changes  int // shapes as changes
	same     int // blocks as before
}

// line stands in for connection and collector.
type line struct {
	t     *testing.T
	start time.Time
	mu    sync.Mutex
	seen  []sent
	known wire.Outlines
	bulks []int // how many reports each bulk had
	old   bool  // knows of no bulk
	// answer decides; nil accepts. It gets the number of the request, from 1.
	answer func(n int, r *wire.Report, req *http.Request) (*http.Response, error)
}

func (l *line) RoundTrip(req *http.Request) (*http.Response, error) {
	defer req.Body.Close()
	if req.URL.Path == wire.PathBulk {
		return l.bulk(req)
	}
	r := &wire.Report{}
	if req.URL.Path == wire.PathReport {
		var err error
		if r, err = l.read(req); err != nil {
			l.t.Errorf("request: %v", err)
		}
	}
	return l.one(r, req)
}

// forget lets go of what was seen.
func (l *line) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = nil
}

// one is what becomes of a report.
func (l *line) one(r *wire.Report, req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.seen = append(l.seen, sent{
		path: req.URL.Path, sequence: r.Sequence, shapes: len(r.Shapes), at: time.Since(l.start), goodbye: r.Goodbye != nil,
		media: req.Header.Get(wire.HeaderType), changes: len(r.ShapeChanges), same: repeats(r),
	})
	n, answer := len(l.seen), l.answer
	l.mu.Unlock()
	if answer != nil {
		return answer(n, r, req)
	}
	return reply(req, accept(r)), nil
}

// bulk is what becomes of many: each as if it had come alone, up to one that is not disposed of.
func (l *line) bulk(req *http.Request) (*http.Response, error) {
	if l.old {
		return status(req, http.StatusUnsupportedMediaType, nil), nil
	}
	d := wire.NewDecoder()
	defer d.Release()
	if err := d.Bulk(req.Body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits()); err != nil {
		l.t.Errorf("bulk: %v", err)
	}
	sum := &wire.Ack{}
	n := len(l.bulks)
	l.bulks = append(l.bulks, 0)
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			sum.Result = wire.Ack_RESULT_ACCEPTED
			return reply(req, sum), nil
		}
		if err != nil {
			l.t.Errorf("bulk: %v", err)
		}
		l.bulks[n]++
		resp, err := l.one(proto.CloneOf(r), req)
		if err != nil {
			return nil, err
		}
		var a wire.Ack
		if err := wire.Decode(resp.Body, resp.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &a); err != nil || a.Result == 0 {
			return resp, nil
		}
		disposed, refused := sum.Disposed, sum.Refused
		switch sum = &a; a.Result {
		case wire.Ack_RESULT_REFUSED:
			refused++
		case wire.Ack_RESULT_ACCEPTED:
			for _, f := range a.Refusals {
				f.Report = disposed
			}
		default:
			sum.Disposed, sum.Refused = disposed, refused
			return reply(req, sum), nil
		}
		sum.Disposed, sum.Refused = disposed+1, refused
	}
}

// read reads a report of either version, as a collector that never forgets.
func (l *line) read(req *http.Request) (*wire.Report, error) {
	if req.Header.Get(wire.HeaderType) == wire.TypeReport {
		r := &wire.Report{}
		return r, wire.Decode(req.Body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := wire.NewDecoder()
	defer d.Release()
	r, err := d.Report(req.Body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), &l.known)
	return proto.CloneOf(r), err
}

// repeats counts blocks that are said to be as before.
func repeats(r *wire.Report) (n int) {
	for _, b := range r.Blocks {
		if b.SameAsMs != 0 {
			n++
		}
	}
	return n
}

// becomes changes the answer while the Push runs.
func (l *line) becomes(answer func(int, *wire.Report, *http.Request) (*http.Response, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

func (l *line) sequences() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s []uint64
	for _, x := range l.seen {
		s = append(s, x.sequence)
	}
	return s
}

func (l *line) times() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s []time.Duration
	for _, x := range l.seen {
		s = append(s, x.at)
	}
	return s
}

func (l *line) expect(want ...uint64) {
	l.t.Helper()
	if got := l.sequences(); !slices.Equal(got, want) {
		l.t.Errorf("sent %v, want %v", got, want)
	}
}

func accept(r *wire.Report) *wire.Ack {
	return &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Epoch: r.Epoch, Sequence: r.Sequence, NowMs: time.Now().UnixMilli(), Incarnation: 1, Credits: 1000}
}

func reply(req *http.Request, a *wire.Ack) *http.Response {
	body, coding, err := wire.Encode(a)
	if err != nil {
		panic(err)
	}
	resp := status(req, http.StatusOK, body)
	resp.Header.Set(wire.HeaderType, req.Header.Get(wire.HeaderType))
	resp.Header.Set(wire.HeaderCoding, coding)
	return resp
}

func status(req *http.Request, code int, body []byte) *http.Response {
	return &http.Response{
		Status: strconv.Itoa(code) + " " + http.StatusText(code), StatusCode: code, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}
}

// rig is a Push on a real spool and a line of the test's own.
type rig struct {
	*Push
	line    *line
	spool   *spool.Spool
	builder *wire.Builder
	log     *bytes.Buffer
	next    uint64
}

func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	sp, err := spool.Open(t.TempDir(), spool.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sp.Close() })
	r := &rig{line: &line{t: t, start: time.Now()}, spool: sp, builder: wire.NewBuilder(wire.DefaultLimits()), log: &bytes.Buffer{}}
	o := Options{
		URL: "https://collector.example:9721", Transport: r.line, Spool: sp, Version: "1.2.3",
		Rand: func() float64 { return 0.5 }, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	for _, c := range change {
		c(&o)
	}
	r.Push = New(o)
	return r
}

// report makes the next report, with one block of one series.
func (r *rig) report(t *testing.T) *wire.Report {
	t.Helper()
	r.next++
	b, err := r.builder.Block("node", "load", time.Now(), 10*time.Second, []wire.Sample{{Name: "node_load1", Value: float64(r.next)}})
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Report{Epoch: 7, Sequence: r.next, MadeAtMs: time.Now().UnixMilli(), Blocks: []*wire.Block{b}}
}

// append puts n reports into the spool and wakes the Push.
func (r *rig) append(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := r.spool.Append(r.report(t), r.builder.Shape); err != nil {
			t.Fatal(err)
		}
	}
	r.Wake()
}

// waiting is how many reports the collector has not disposed of.
func (r *rig) waiting() int { return r.spool.Stats().Unacknowledged }
