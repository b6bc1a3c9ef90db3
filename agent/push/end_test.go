package push

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestGoodbyeIsDeliveredAtTheEnd(t *testing.T) {
	goodbye := func(t *testing.T, r *rig) {
		x := r.report(t)
		x.Goodbye = &wire.Goodbye{Reason: "stopped"}
		if err := r.spool.Append(x, r.builder.Shape); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(n int, x *wire.Report, req *http.Request) (*http.Response, error)
		want   []uint64
		within time.Duration
		left   int
	}{
		{"in the middle of a back-off", func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return nil, errLine
			}
			return reply(req, accept(x)), nil
		}, []uint64{1, 2}, 0, 1},
		{"request under way may finish", func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 1 {
				time.Sleep(time.Second + 200*time.Millisecond)
			}
			return reply(req, accept(x)), req.Context().Err()
		}, []uint64{1, 2}, 1100 * time.Millisecond, 0},
		{"collector hangs", func(_ int, _ *wire.Report, req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}, []uint64{1, 2}, 2 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer dropPools()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.line.answer = tt.answer
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- r.Run(ctx) }()
				r.append(t, 1)
				time.Sleep(100 * time.Millisecond)
				goodbye(t, r)
				cancel()
				began := time.Now()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != tt.within {
					t.Errorf("the end took %v, want %v", took, tt.within)
				}
				r.line.expect(tt.want...)
				if !r.line.seen[len(r.line.seen)-1].goodbye {
					t.Error("the goodbye was not the last word")
				}
				if r.waiting() != tt.left {
					t.Errorf("%d reports wait, want %d", r.waiting(), tt.left)
				}
			})
		})
	}
}

func TestReportsFromMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		r.line.answer = func(int, *wire.Report, *http.Request) (*http.Response, error) { return nil, errLine }
		r.append(t, 2)
		for range maxDirect + 3 {
			r.Direct(r.report(t), r.builder.Shape)
		}
		time.Sleep(time.Second)
		r.line.becomes(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := r.line.sequences()
		first := slices.IndexFunc(got, func(s uint64) bool { return s == 21 })
		want := []uint64{21, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
		if i := slices.Index(got, 1); i < 0 || first < 0 || !slices.Equal(got[len(got)-len(want):], want) {
			t.Errorf("sent %v, want it to end with %v", got, want)
		}
		if s := r.Stats(); s.Lost != 3 || s.Acknowledged != 18 || r.waiting() != 0 {
			t.Errorf("stats %+v, %d wait", s, r.waiting())
		}
	})
}

func TestUnreadableSpoolDoesNotStopWhatIsInMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		if err := r.spool.Close(); err != nil {
			t.Fatal(err)
		}
		r.Direct(r.report(t), r.builder.Shape)
		synctest.Wait()
		r.line.expect(1)
		if !strings.Contains(r.log.String(), "spool is closed") {
			t.Errorf("log:\n%s", r.log)
		}
	})
}

// A collector may close a kept-alive connection at any moment, even with a request on its way; net/http then repeats it,
// because it may.
func TestDeadConnectionIsReplacedUnseen(t *testing.T) {
	type served struct{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if h := req.Header.Values("Idempotency-Key"); h != nil {
			t.Errorf("sent Idempotency-Key %q", h)
		}
		n, _ := req.Context().Value(served{}).(*atomic.Int32)
		if n.Add(1) == 2 { // the connection dies under its second request
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
			return
		}
		x := &wire.Report{}
		if err := wire.Decode(req.Body, req.Header.Get(wire.HeaderCoding), wire.DefaultLimits(), x); err != nil {
			t.Error(err)
		}
		resp := reply(req, accept(x))
		w.Header().Set(wire.HeaderType, resp.Header.Get(wire.HeaderType))
		_, _ = io.Copy(w, resp.Body)
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, served{}, new(atomic.Int32))
	}
	s.Start()
	defer s.Close()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	r := newRig(t, func(o *Options) { o.URL, o.Transport = s.URL, tr })
	for i := range 4 {
		x := r.report(t)
		a, err := r.post(t.Context(), wire.PathReport, wire.TypeReport, x, nil)
		if err != nil || a.Ack.Sequence != x.Sequence {
			t.Fatalf("request %d: %v, %v", i, a.Ack, err)
		}
	}
}

func FuzzReadAck(f *testing.F) {
	body, _, err := wire.Encode(&wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, NowMs: 1, UnknownShapes: [][]byte{{1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, wire.TypeReport, body)
	f.Add(503, "text/plain", []byte("busy"))
	f.Fuzz(func(t *testing.T, code int, media string, body []byte) {
		p := New(Options{})
		resp := &http.Response{Status: "x", StatusCode: code, Header: http.Header{wire.HeaderType: {media}}, Body: io.NopCloser(strings.NewReader(string(body)))}
		if a, err := p.readAck(resp, wire.TypeReport); err == nil && (a.Result == wire.Ack_RESULT_UNSPECIFIED || code != http.StatusOK) {
			t.Errorf("status %d gave %v", code, a)
		}
	})
}
