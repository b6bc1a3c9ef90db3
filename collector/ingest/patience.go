package ingest

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// tarpitFor is how long who does not keep to what it was told is made to wait, at most.
const tarpitFor = 2 * time.Second

// hold is for an agent that has been told to come again after d.
func (a *agent) hold(ctx context.Context, d time.Duration, now time.Time) {
	tarpit(ctx, &a.comeAt, d, now)
}

// tarpit is for who is told to come again after d. One that was told so before and does not keep to it waits here, on its
// own connection: an honest one never does, and a flood becomes one request in two seconds for each of the few
// connections it may have.
func tarpit(ctx context.Context, comeAt *atomic.Int64, d time.Duration, now time.Time) {
	told := comeAt.Swap(now.Add(d).UnixNano())
	if now.UnixNano() >= told {
		return
	}
	t := time.NewTimer(min(d, tarpitFor))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// finePrice is how many reports one counts for that is refused, in whole or in part: it has cost as much. An agent that
// is out of step reports a few times a minute and does not feel it.
const finePrice = 10

// fine takes the rest of that price. The caller holds the agent's turn.
func (a *agent) fine(now time.Time) {
	a.reports.ReserveN(now, min(finePrice-1, a.reports.Burst()))
}

// strict ends the connection with every refusal. An honest agent is refused so seldom that another handshake does not
// matter; who makes a habit of it meets the pace of the door.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&strictly{w}, r) })
}

type strictly struct{ http.ResponseWriter }

// WriteHeader closes with whatever is no answer for an agent that keeps to the protocol.
func (s *strictly) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		s.Header().Set("Connection", "close")
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *strictly) Unwrap() http.ResponseWriter { return s.ResponseWriter }
