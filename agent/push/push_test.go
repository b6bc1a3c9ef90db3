package push

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// inBubble gives test a Push with so many reports in its spool, runs it until test returns, then ends it and waits.
func inBubble(t *testing.T, test func(t *testing.T, start func(int, ...func(*Options)) *rig)) {
	defer dropPools()
	synctest.Test(t, func(t *testing.T) {
		var stop []func()
		test(t, func(spooled int, change ...func(*Options)) *rig {
			r := newRig(t, change...)
			r.append(t, spooled)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			if spooled == 0 {
				synctest.Wait() // it waits for the first, and does not see it before the second
			}
			stop = append(stop, func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
			return r
		})
		for _, f := range stop {
			f()
		}
	})
}

// dropPools empties every sync.Pool, which takes two collections: the codec pools zstd encoders, whose channels belong
// to the bubble they were made in and must not be met in the next.
func dropPools() {
	runtime.GC()
	runtime.GC()
}

var errLine = errors.New("the line is cut")

func TestNewestFirstThenBacklogFromTheOldest(t *testing.T) {
	defer dropPools()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.line.old = true // one by one, so that there is something between
		r.append(t, 5)
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 2 { // a new report is made while the backlog goes out
				r.append(t, 1)
			}
			return reply(req, accept(x)), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		r.line.expect(5, 1, 6, 2, 3, 4)
		if r.waiting() != 0 {
			t.Errorf("%d reports wait after all were accepted", r.waiting())
		}
		if s := r.Stats(); s.Acknowledged != 6 || s.Sent != 7 || s.LastError != "" || !s.LastSuccess.Equal(time.Now()) {
			t.Errorf("stats %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestUnknownShapesAreSentOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		var got *wire.Report
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return reply(req, &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, UnknownShapes: [][]byte{x.Blocks[0].ShapeId}}), nil
			}
			got = x
			return reply(req, accept(x)), nil
		}
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(1, 1)
		layout, err := wire.ReadShape(got.Shapes[0], wire.DefaultLimits())
		if err != nil || string(layout.ID[:]) != string(got.Blocks[0].ShapeId) {
			t.Errorf("shape %v, %v, want that of the block", layout, err)
		}
		r.append(t, 1)
		synctest.Wait()
		if r.line.seen[2].shapes != 0 {
			t.Error("a shape the collector knows was sent again")
		}
	})
}

func TestShapesNobodyHasAreAFailureAndNothingIsLost(t *testing.T) {
	for name, id := range map[string]func(*wire.Report) []byte{
		"never made":     func(*wire.Report) []byte { return make([]byte, 32) },
		"asked for ever": func(x *wire.Report) []byte { return x.Blocks[0].ShapeId },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(0)
				r.line.answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
					return reply(req, &wire.Ack{Result: wire.Ack_RESULT_NEED_SHAPES, UnknownShapes: [][]byte{id(x)}}), nil
				}
				r.append(t, 1)
				synctest.Wait()
				if s := r.Stats(); s.Failures != 1 || !strings.Contains(s.LastError, "compare the versions") || s.Sent > maxRounds {
					t.Errorf("stats %+v", s)
				}
				if r.waiting() != 1 {
					t.Error("the report was let go")
				}
			})
		})
	}
}

func TestReplayComesLastAndOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(3)
		synctest.Wait()
		r.line.expect(3, 1, 2)
		cut := true
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if cut && n == 6 { // the line breaks in the middle of the replay
				cut = false
				return nil, errLine
			}
			a := accept(x)
			a.Incarnation, a.ReplaySinceMs = 2, 1
			return reply(req, a), nil
		}
		time.Sleep(time.Second)
		r.append(t, 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.line.expect(3, 1, 2, 4, 1, 2, 1, 2, 3) // 4 it has: that is what it answered
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(3, 1, 2, 4, 1, 2, 1, 2, 3, 5)
		if s := r.Stats(); s.Replayed != 3 || s.Failures != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestHelloLearnsTheClock(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		heard := make(chan Answer, 10)
		r := start(0, func(o *Options) { o.OnAck = func(a Answer) { heard <- a } })
		r.append(t, 1)
		synctest.Wait()
		r.line.answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if req.URL.Path != wire.PathHello {
				return reply(req, accept(x)), nil
			}
			if got := req.Header.Get(wire.HeaderType); got != wire.TypeHello {
				t.Errorf("hello has type %q", got)
			}
			time.Sleep(200 * time.Millisecond)
			a := &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, NowMs: time.Now().Add(time.Hour).UnixMilli(), Incarnation: 9}
			time.Sleep(200 * time.Millisecond)
			return reply(req, a), nil
		}
		a, err := r.Hello(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if off, half := a.Offset(); off != time.Hour || half != 200*time.Millisecond {
			t.Errorf("offset %v ± %v, want 1h ± 200ms", off, half)
		}
		if first, second := <-heard, <-heard; first.Ack.Incarnation != 1 || second.Ack.Incarnation != 9 {
			t.Errorf("OnAck heard %v, then %v", first.Ack, second.Ack)
		}
		synctest.Wait()
		r.line.expect(1, 0)
	})
}

func TestRefusedReportsAreLetGoAndSaidOnce(t *testing.T) {
	refuse := func(req *http.Request) *http.Response {
		return reply(req, &wire.Ack{Result: wire.Ack_RESULT_REFUSED, Error: "too many series"})
	}
	for name, answer := range map[string]func(req *http.Request) *http.Response{
		"by ack": refuse,
		"oversized": func(req *http.Request) *http.Response {
			return status(req, http.StatusRequestEntityTooLarge, []byte("too many series"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(0, func(o *Options) {
					l, _ := o.Transport.(*line)
					l.answer = func(_ int, _ *wire.Report, req *http.Request) (*http.Response, error) { return answer(req), nil }
				})
				r.append(t, 1)
				synctest.Wait()
				r.append(t, 1)
				synctest.Wait()
				r.append(t, 1)
				synctest.Wait()
				r.line.expect(1, 2, 3)
				if s := r.Stats(); s.Refused != 3 || s.Acknowledged != 0 || r.waiting() != 0 {
					t.Errorf("stats %+v, %d wait", s, r.waiting())
				}
				if n := strings.Count(r.log.String(), "too many series"); n != 1 {
					t.Errorf("the reason was logged %d times:\n%s", n, r.log)
				}
			})
		})
	}
}

func TestRefusedBlocksAreCountedAndSaidOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		r.line.answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			a := accept(x)
			a.Error = "12 events were left out"
			a.Refusals = []*wire.Refusal{{Block: 0, Reason: "clock_ahead", Error: "7 s ahead"}, {Block: 99, Reason: "quota"}}
			return reply(req, a), nil
		}
		r.append(t, 2)
		synctest.Wait()
		if s := r.Stats(); s.Acknowledged != 2 || s.RefusedBlocks != 4 {
			t.Errorf("stats %+v", s)
		}
		if n := strings.Count(r.log.String(), "source=load reason=clock_ahead"); n != 1 {
			t.Errorf("said %d times:\n%s", n, r.log)
		}
		if n := strings.Count(r.log.String(), "12 events were left out"); n != 1 {
			t.Errorf("said %d times:\n%s", n, r.log)
		}
	})
}

func TestLaterIsObeyed(t *testing.T) {
	for _, tt := range []struct {
		name     string
		afterMs  uint32
		wantWait time.Duration
	}{
		{"as told", 7000, 7 * time.Second},
		{"not told", 0, 750 * time.Millisecond},
		{"for ever", 1 << 31, maxLater},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(0)
				r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
					if n == 1 {
						return reply(req, &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: tt.afterMs, Error: "disk is full"}), nil
					}
					return reply(req, accept(x)), nil
				}
				r.append(t, 1)
				time.Sleep(maxLater + time.Second)
				synctest.Wait()
				r.line.expect(1, 1)
				if got := r.line.times()[1] - r.line.times()[0]; got != tt.wantWait {
					t.Errorf("waited %v, want %v", got, tt.wantWait)
				}
				if s := r.Stats(); s.Failures != 1 || s.Refused != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}
