package push

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

var errTrust = errors.New("wrong authority")

// The waits between attempts, for the smallest, the middle and the largest random number.
func TestBackOff(t *testing.T) {
	line := func(*http.Request) (*http.Response, error) { return nil, errLine }
	answer := func(code int, header ...string) func(*http.Request) (*http.Response, error) {
		return func(req *http.Request) (*http.Response, error) {
			resp := status(req, code, []byte("why"))
			if len(header) == 2 {
				resp.Header.Set(header[0], header[1])
			}
			return resp, nil
		}
	}
	s := func(seconds ...float64) (d []time.Duration) {
		for _, x := range seconds {
			d = append(d, time.Duration(x*float64(time.Second)))
		}
		return d
	}
	for _, tt := range []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		random float64
		want   []time.Duration
		says   string
	}{
		{"line, middle", line, 0.5, s(0.5, 1, 2, 4, 8, 15, 15, 15), "the line is cut"},
		{"line, largest", line, 1, s(1, 2, 4, 8, 16, 30, 30, 30), "kept and will be tried again"},
		{"line, small", line, 0.01, s(0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.3), ""},
		{"trust", func(*http.Request) (*http.Response, error) { return nil, errTrust }, 0.5, s(22.5, 30, 45, 75, 90, 90), "wrong authority"},
		{"revoked", answer(http.StatusForbidden), 0.5, s(22.5, 30, 45), "enrol it again"},
		{"not a collector", answer(http.StatusNotFound), 0.5, s(22.5, 30, 45), "agents' listener"},
		{"older collector", answer(http.StatusUnsupportedMediaType), 0.5, s(0, 22.5, 30, 45), "update the older"},
		{"in trouble", answer(http.StatusInternalServerError), 0.5, s(0.5, 1, 2), "500"},
		{"in trouble, says how long", answer(http.StatusServiceUnavailable, "Retry-After", "20"), 0.5, s(20.5, 20.5), "503"},
		{"not an ack", answer(http.StatusOK), 0.5, s(0.5, 1, 2), "200 OK"},
		{"garbage", func(req *http.Request) (*http.Response, error) {
			resp := status(req, http.StatusOK, []byte("\xff\xff"))
			resp.Header.Set(wire.HeaderType, req.Header.Get(wire.HeaderType))
			return resp, nil
		}, 0.5, s(0.5, 1), "read the collector's answer"},
		{"from the future", func(req *http.Request) (*http.Response, error) { return reply(req, &wire.Ack{Result: 99}), nil }, 0.5, s(0.5, 1), "update the agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
				r := start(0, func(o *Options) {
					o.Rand = func() float64 { return tt.random }
					o.Distrust = func(err error) bool { return errors.Is(err, errTrust) }
				})
				r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
					if n <= len(tt.want) {
						return tt.answer(req)
					}
					return reply(req, accept(x)), nil
				}
				r.append(t, 1)
				time.Sleep(time.Hour)
				synctest.Wait()
				at := r.line.times()
				if len(at) != len(tt.want)+1 {
					t.Fatalf("attempts at %v, want %d", at, len(tt.want)+1)
				}
				for i, want := range tt.want {
					if got := at[i+1] - at[i]; (got - want).Abs() > time.Millisecond {
						t.Errorf("wait %d was %v, want %v", i+1, got, want)
					}
				}
				failures := len(tt.want)
				if tt.want[0] == 0 { // another version was tried at once, which is no failure
					failures--
				}
				if st := r.Stats(); st.Failures != uint64(failures) || st.LastError != "" || r.waiting() != 0 {
					t.Errorf("stats %+v, %d wait", st, r.waiting())
				}
				if !strings.Contains(r.log.String(), tt.says) || strings.Count(r.log.String(), "level=WARN") != 1 || !strings.Contains(r.log.String(), "delivering again") {
					t.Errorf("want one warning that says %q, and that it is over:\n%s", tt.says, r.log)
				}
			})
		})
	}
}

func TestSuccessResetsBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 4 || n > 5 {
				return reply(req, accept(x)), nil
			}
			return nil, errLine
		}
		r.append(t, 1)
		time.Sleep(time.Minute)
		r.append(t, 1)
		time.Sleep(time.Minute)
		at := r.line.times()
		if len(at) != 6 || at[5]-at[4] != 500*time.Millisecond {
			t.Errorf("attempts at %v, want the last half a second after the one before", at)
		}
	})
}

func TestReturnIsSpreadAfterABreak(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 2 || n == 3 {
				return nil, errLine
			}
			a := accept(x)
			a.ReturnSpreadMs = 20_000
			return reply(req, a), nil
		}
		r.append(t, 1)
		synctest.Wait()
		r.append(t, 1)
		time.Sleep(time.Minute)
		at := r.line.times()
		if len(at) != 4 || at[2]-at[1] != 10*time.Second || at[3]-at[2] != time.Second {
			t.Errorf("attempts at %v, want the third half of the spread later, then the usual back-off", at)
		}
	})
}

// A collector that turns agents away at its door is there: they come again over the spread, however long it was gone.
func TestTurnedAwayComesAgainOverTheSpread(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0)
		reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			switch {
			case n > 1 && n < 8:
				return nil, errLine
			case n > 7 && n < 11:
				return nil, reset
			}
			a := accept(x)
			a.ReturnSpreadMs = 4_000
			return reply(req, a), nil
		}
		r.append(t, 1)
		synctest.Wait()
		r.append(t, 1)
		time.Sleep(time.Hour)
		at := r.line.times()
		if len(at) != 11 {
			t.Fatalf("attempts at %v", at)
		}
		for i := 8; i < 11; i++ {
			if got := at[i] - at[i-1]; got != 2*time.Second {
				t.Errorf("wait %d was %v, want half the spread", i, got)
			}
		}
	})
}

// A report made during a wait does not cut it short, and is the first to go after it.
func TestWakeDoesNotCutBackOffShort(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(int, ...func(*Options)) *rig) {
		r := start(0, func(o *Options) { o.Rand = func() float64 { return 1 } })
		r.line.answer = func(n int, x *wire.Report, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return nil, errLine
			}
			return reply(req, accept(x)), nil
		}
		r.append(t, 1)
		time.Sleep(100 * time.Millisecond)
		r.append(t, 1)
		time.Sleep(time.Minute)
		r.line.expect(1, 2, 1)
		if at := r.line.times(); at[1] != time.Second {
			t.Errorf("second attempt at %v, want 1s", at[1])
		}
	})
}
