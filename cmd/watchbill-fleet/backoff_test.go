package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/enroll"
	"github.com/watchbill/watchbill/agent/push"
	"github.com/watchbill/watchbill/agent/spool"
	"github.com/watchbill/watchbill/agent/wire"
)

// happens is what an attempt meets: an error of the line, a status, or an Ack.
type happens struct {
	err   error
	code  int
	after string // Retry-After
	ack   *wire.Ack
}

// response is the same thing as net/http has it.
func (h happens) response(t *testing.T, req *http.Request) (*http.Response, error) {
	switch {
	case h.err != nil:
		return nil, h.err
	case h.ack == nil:
		resp := &http.Response{StatusCode: h.code, Status: http.StatusText(h.code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no"))}
		resp.Header.Set("Retry-After", h.after)
		return resp, nil
	}
	body, err := proto.Marshal(h.ack)
	if err != nil {
		t.Error(err)
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	resp.Header.Set(wire.HeaderType, req.Header.Get(wire.HeaderType))
	return resp, nil
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// pushWaits are the waits between the attempts of the agent's own push, which meets these one after the other.
func pushWaits(t *testing.T, meets []happens, random float64) []time.Duration {
	t.Helper()
	var at []time.Time
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sp, err := spool.Open(dir, spool.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := sp.Close(); err != nil {
				t.Error(err)
			}
		}()
		epoch := uint64(time.Now().UnixNano()) //nolint:gosec // after 1970
		report := func(n uint64) {
			m := &wire.Report{Epoch: epoch, Sequence: n, MadeAtMs: time.Now().UnixMilli()}
			if err := sp.Append(m, func([]byte) (*wire.Shape, bool) { return nil, false }); err != nil {
				t.Error(err)
			}
		}
		report(1)
		over := make(chan struct{})
		p := push.New(push.Options{URL: "https://collector", Spool: sp, Rand: func() float64 { return random }, Distrust: enroll.Certificate,
			Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if len(at) > len(meets) {
					return nil, errors.New("over")
				}
				at = append(at, time.Now())
				if len(at) > len(meets) {
					close(over)
					return nil, errors.New("over")
				}
				h := meets[len(at)-1]
				report(uint64(len(at)) + 1) // there is always something newer to send
				return h.response(t, req)
			})})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		<-over
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	waits := make([]time.Duration, len(meets))
	for i := range waits {
		waits[i] = at[i+1].Sub(at[i])
	}
	return waits
}

// fleetWaits are those of a simulated agent that meets the same.
func fleetWaits(t *testing.T, meets []happens, random float64) []time.Duration {
	t.Helper()
	a := newFake(t).light("sim-1")
	a.patience.rand = func() float64 { return random }
	waits := make([]time.Duration, len(meets))
	for i, h := range meets {
		if a.pending == nil {
			a.pending = &wire.Report{Epoch: a.epoch, Sequence: uint64(i)} //nolint:gosec // an index
		}
		switch {
		case h.err != nil:
			waits[i] = a.unanswered(h.err, time.Now())
		case h.ack == nil:
			resp, err := h.response(t, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.line.readAck(resp, wire.TypeReport)
			waits[i] = a.unanswered(err, time.Now())
		default:
			waits[i] = a.answered(t.Context(), h.ack, time.Now(), time.Now())
		}
	}
	return waits
}

// A simulated agent waits exactly as package push does: it is measured how a fleet of real ones comes back.
func TestAgentWaitsAsPushDoes(t *testing.T) {
	reset := happens{err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}}
	nobody := happens{err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
	broken := happens{err: io.ErrUnexpectedEOF}
	trust := happens{err: fmt.Errorf("handshake: %w", &tls.CertificateVerificationError{Err: errors.New("another authority")})}
	status := func(code int) happens { return happens{code: code} }
	ok := happens{ack: &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, ReturnSpreadMs: 20_000}}
	later := happens{ack: &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: 3000, ReturnSpreadMs: 4000}}
	again := func(h happens, n int) (all []happens) {
		for range n {
			all = append(all, h)
		}
		return all
	}
	for name, meets := range map[string][]happens{
		"nobody listens, ever":                  again(nobody, 20),
		"a collector that is killed":            append(append([]happens{ok, broken}, again(nobody, 9)...), ok, ok),
		"a collector that is gone at once":      append([]happens{ok}, again(nobody, 4)...),
		"and lets in others first":              append(append([]happens{ok, broken, nobody, nobody, nobody}, again(reset, 5)...), ok, reset),
		"lets in others first, never heard":     again(reset, 7),
		"no trust":                              again(trust, 8),
		"trust is lost":                         append([]happens{ok}, again(trust, 3)...),
		"revoked":                               again(status(http.StatusForbidden), 6),
		"not a collector":                       again(status(http.StatusNotFound), 3),
		"not a way in":                          again(status(http.StatusMethodNotAllowed), 3),
		"nobody it knows":                       again(status(http.StatusUnauthorized), 3),
		"in trouble":                            append([]happens{ok}, again(status(http.StatusInternalServerError), 7)...),
		"in trouble, says for how long":         again(happens{code: http.StatusServiceUnavailable, after: "20"}, 3),
		"in trouble for longer than one waits":  again(happens{code: http.StatusServiceUnavailable, after: "60000"}, 2),
		"busy":                                  {later, later, broken, nobody, later, reset},
		"busy for longer than one waits":        {happens{ack: &wire.Ack{Result: wire.Ack_RESULT_LATER, RetryAfterMs: 1 << 30}}},
		"busy for no time":                      {happens{ack: &wire.Ack{Result: wire.Ack_RESULT_LATER}}},
		"a spread longer than one waits":        {happens{ack: &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, ReturnSpreadMs: 1 << 30}}, broken},
		"too large, then gone":                  {ok, broken, nobody, status(http.StatusRequestEntityTooLarge), broken, nobody},
		"a report that is no good":              {status(http.StatusBadRequest), status(http.StatusUnprocessableEntity)},
		"refused for good":                      {nobody, nobody, happens{ack: &wire.Ack{Result: wire.Ack_RESULT_REFUSED}}, nobody},
		"what the answer was, the next forgets": {ok, happens{ack: &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED}}, broken, reset},
	} {
		t.Run(name, func(t *testing.T) {
			for _, random := range []float64{0, 0.25, 1} {
				want, got := pushWaits(t, meets, random), fleetWaits(t, meets, random)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("chance %v: waits %v, push waits %v", random, got, want)
				}
			}
		})
	}
}
