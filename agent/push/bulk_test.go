package push

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

func (l *line) expectBulks(want ...int) {
	l.t.Helper()
	if !slices.Equal(l.bulks, want) {
		l.t.Errorf("bulks of %v, want %v", l.bulks, want)
	}
}

func upTo(n uint64) (out []uint64) {
	for i := uint64(1); i <= n; i++ {
		out = append(out, i)
	}
	return out
}

func TestThePastGoesInBulk(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(151)
		synctest.Wait()
		r.line.expect(append([]uint64{151}, upTo(150)...)...)
		r.line.expectBulks(60, 60, 30)
		if s := r.Stats(); s.Acknowledged != 151 || s.Sent != 4 || r.waiting() != 0 {
			t.Errorf("stats %+v, %d wait", s, r.waiting())
		}
	})
}

func TestWhatABulkDoesNotGetThrough(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(r *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error)
		want   []uint64 // before and after a minute
		bulks  []int
		stats  Stats
	}{
		"the line breaks in it": {func(_ *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 3 {
				return nil, errLine
			}
			return reply(req, accept(x)), nil
		}, []uint64{5, 1, 2, 1, 2, 3, 4}, []int{2, 4}, Stats{Sent: 3, Acknowledged: 5, Failures: 1}},
		"one wants shapes": {func(_ *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if x.Sequence == 2 && len(x.Shapes) == 0 {
				return reply(req, &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, UnknownShapes: [][]byte{x.Blocks[0].ShapeId}, Credits: 9}), nil
			}
			return reply(req, accept(x)), nil
		}, []uint64{5, 1, 2, 2, 2, 2, 3, 4}, []int{2, 2}, Stats{Sent: 6, Acknowledged: 5}},
		"one is refused": {func(_ *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			a := accept(x)
			if x.Sequence == 2 {
				a.Result, a.Error = wire.Ack_RESULT_REFUSED, "too old"
			}
			return reply(req, a), nil
		}, []uint64{5, 1, 2, 3, 4}, []int{4}, Stats{Sent: 2, Acknowledged: 4, Refused: 1}},
		"later, in the middle": {func(r *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 4 {
				return reply(req, &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: 30_000, Credits: 9}), nil
			}
			return reply(req, accept(x)), nil
		}, []uint64{5, 1, 2, 3, 3, 4}, []int{3, 2}, Stats{Sent: 3, Acknowledged: 5, Failures: 1}},
		"too large": {func(_ *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if req.URL.Path == wire.PathBulk {
				return status(req, http.StatusRequestEntityTooLarge, nil), nil
			}
			return reply(req, accept(x)), nil
		}, []uint64{5, 1, 1, 2, 3, 4}, []int{1}, Stats{Sent: 6, Acknowledged: 5}},
		"a collector that knows of no bulk": {func(r *rig, n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			r.line.old = true
			return reply(req, accept(x)), nil
		}, []uint64{5, 1, 2, 3, 4}, nil, Stats{Sent: 6, Acknowledged: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(5, func(o *Options) {
					l := o.Transport.(*line)
					l.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
						return tt.answer(&rig{line: l}, n, x, req)
					}
				})
				time.Sleep(time.Minute)
				synctest.Wait()
				r.line.expect(tt.want...)
				r.line.expectBulks(tt.bulks...)
				s := r.Stats()
				s.LastSuccess, s.LastError = time.Time{}, ""
				if s != tt.stats || r.waiting() != 0 {
					t.Errorf("stats %+v, want %+v; %d wait", s, tt.stats, r.waiting())
				}
			})
		})
	}
}

// A collector of an earlier release grants nothing, for it knows of no credits: it gets its backlog as it used to.
func TestAnOldCollectorGetsItsBacklog(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(4, func(o *Options) {
			o.Transport.(*line).answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
				if req.Header.Get(wire.HeaderType) != wire.TypeReport {
					return status(req, http.StatusUnsupportedMediaType, nil), nil
				}
				a := accept(x)
				a.Credits = 0
				return reply(req, a), nil
			}
		})
		synctest.Wait()
		r.line.expect(4, 4, 1, 2, 3)
	})
}
