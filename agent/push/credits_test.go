package push

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// lanes is what the collector was told beside each report: lane and how many wait.
func lanes(r *rig) *[]string {
	var said []string
	inner := r.line.answer
	r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
		h := req.Header
		said = append(said, h.Get(wire.HeaderLane)+" "+h.Get(wire.HeaderWaiting)+" "+h.Get(wire.HeaderReplayed))
		return inner(n, x, req)
	}
	return &said
}

func TestTheBacklogWaitsForCredits(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		grant := uint32(0)
		var said []string
		r := start(5, func(o *Options) {
			o.Transport.(*line).answer = func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
				said = append(said, req.Header.Get(wire.HeaderLane)+" "+req.Header.Get(wire.HeaderWaiting))
				if req.Header.Get(wire.HeaderLane) != wire.LaneLive {
					grant--
				}
				a := accept(x)
				a.Credits = grant
				return reply(req, a), nil
			}
		})
		synctest.Wait()
		r.line.expect(5)
		time.Sleep(time.Hour)
		synctest.Wait()
		r.line.expect(5) // nothing drips through without credits
		grant = 2
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(5, 6, 1, 2)
		grant = 2
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(5, 6, 1, 2, 7, 3, 4)
		want := []string{"live 4", "live 4", "backlog 2", "backlog 2", "live 2", "backlog 0", "backlog 0"}
		if !slices.Equal(said, want) {
			t.Errorf("said %q, want %q", said, want)
		}
	})
}

// A collector that cannot take the past now does not keep the agent from telling of the present.
func TestLaterForTheBacklogIsNotLaterForTheNewest(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		var busy atomic.Bool
		busy.Store(true)
		r.line.becomes(func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if req.Header.Get(wire.HeaderLane) == wire.LaneBacklog && busy.Load() {
				return reply(req, &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: 60_000, Credits: 5}), nil
			}
			return reply(req, accept(x)), nil
		})
		r.append(t, 2)
		synctest.Wait()
		r.line.expect(2, 1)
		time.Sleep(10 * time.Second)
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(2, 1, 3)
		busy.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.line.expect(2, 1, 3, 1)
	})
}

// The past comes in the order of time, whether it was acknowledged or not, and what was asked for first is not sent
// again when the collector wants to see further back.
func TestReplayAndBacklogComeInOrderOfTime(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		var made []time.Time
		grow := func() {
			time.Sleep(time.Minute)
			r.append(t, 1)
			made = append(made, time.Now())
			synctest.Wait()
		}
		for range 4 {
			grow()
		}
		r.line.expect(1, 2, 3, 4)
		r.line.becomes(func(int, *wire.Report, *http.Request) (*http.Response, error) { return nil, errLine })
		grow() // 5 and 6 wait
		grow()
		var since atomic.Int64 // Unix milliseconds
		since.Store(made[2].UnixMilli())
		r.line.forget()
		r.line.becomes(func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
			a := accept(x)
			a.Incarnation, a.ReplaySinceMs = 2, since.Load()
			return reply(req, a), nil
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		r.line.expect(6, 3, 4, 5)
		said := lanes(r)
		since.Store(made[0].UnixMilli())
		r.append(t, 1)
		synctest.Wait()
		r.line.expect(6, 3, 4, 5, 7, 1, 2)
		r.append(t, 1)
		synctest.Wait()
		if n := len(*said); n != 4 || (*said)[0][:7] != "live 0 " || (*said)[1] != "replay 0 " {
			t.Errorf("said %q", *said)
		}
		if last := (*said)[3]; last == "live 0 " {
			t.Errorf("a replay that is over was not said to be: %q", last)
		}
	})
}

// Where a replay ends is for what is live to say: that a collector which was started anew has taken a report of the past
// does not mean that it has those which the one before it took since.
func TestABacklogDoesNotEndAReplay(t *testing.T) {
	for name, asked := range map[string]func(lane string) (since int){
		"asked for more with the backlog":  func(lane string) int { return map[bool]int{true: 1, false: 2}[lane == wire.LaneBacklog] },
		"asked for all with what was live": func(string) int { return 1 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(0)
				var made []time.Time
				grow := func() {
					time.Sleep(time.Minute)
					r.append(t, 1)
					made = append(made, time.Now())
					synctest.Wait()
				}
				r.line.becomes(func(int, *wire.Report, *http.Request) (*http.Response, error) { return nil, errLine })
				grow()
				grow()
				r.line.forget()
				r.line.becomes(func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
					a := accept(x)
					a.Credits = 0 // 1 is left behind
					return reply(req, a), nil
				})
				grow()
				grow()
				r.line.expect(2, 3, 4) // and 1 waits
				r.line.forget()
				before := slices.Clone(made)
				r.line.becomes(func(_ int, x *wire.Report, req *http.Request) (*http.Response, error) {
					a := accept(x)
					a.Incarnation, a.ReplaySinceMs = 2, before[asked(req.Header.Get(wire.HeaderLane))].UnixMilli()
					return reply(req, a), nil
				})
				grow()
				r.line.expect(5, 1, 2, 3, 4)
			})
		})
	}
}
