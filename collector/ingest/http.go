package ingest

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Time-outs of one request, by the machine's clock.
const (
	// bodyTimeout is how long a body may take to arrive: a megabyte at 50 KB/s.
	bodyTimeout = 20 * time.Second
	// turnTimeout is how long a request waits for another one of its agent.
	turnTimeout = 10 * time.Second
	// applyTimeout is how long the Sink may take; past it the agent is told to come again.
	applyTimeout = 30 * time.Second
	// answerTimeout is how long writing an answer may take.
	answerTimeout = 10 * time.Second
)

// endpoint holds what all paths have in common: POST, known media types, the newest first, a bounded time.
func (i *Ingest) endpoint(serve http.HandlerFunc, media ...string) http.Handler {
	reads := strings.Join(media, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			i.metrics.refused(reasonMethod)
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "agents POST to "+r.URL.Path, http.StatusMethodNotAllowed)
			return
		}
		if !slices.Contains(media, mediaOf(r)) {
			i.metrics.refused(reasonMedia)
			w.Header().Set(wire.HeaderAccept, reads)
			http.Error(w, fmt.Sprintf("this collector reads %s here, got %.100q: update the older of agent and collector",
				reads, r.Header.Get(wire.HeaderType)), http.StatusUnsupportedMediaType)
			return
		}
		serve(w, r)
	})
}

// mediaOf is the media type of a request's body, empty when it is none.
func mediaOf(r *http.Request) string {
	got := r.Header.Get(wire.HeaderType)
	switch got {
	case wire.TypeReportV1, wire.TypeBulkV1, wire.TypeReport: // as agents write them
		return got
	}
	got, _, err := mime.ParseMediaType(got)
	if err != nil {
		return ""
	}
	return got
}

// identify is the agent that the connection's certificate speaks for.
func (i *Ingest) identify(r *http.Request) (fleet.Agent, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return fleet.Agent{}, &fleet.Refusal{Kind: errNoCertificate, Text: "no certificate: an agent shows the one it got " +
			"when it enrolled; enrol this host with a token from `watchbill token create`"}
	}
	return i.o.Registry.AuthenticateCert(r.TLS.PeerCertificates[0])
}

var errNoCertificate = errors.New("no certificate")

// kinds says how a refusal of the fleet is counted and answered.
var kinds = []struct {
	kind   error
	reason string
	status int
}{
	{errNoCertificate, reasonUnknown, http.StatusUnauthorized},
	{fleet.ErrCertificate, reasonCertificate, http.StatusForbidden},
	{fleet.ErrRevoked, reasonRevoked, http.StatusForbidden},
	{fleet.ErrExpired, reasonExpired, http.StatusForbidden},
	{fleet.ErrTokenUnknown, reasonToken, http.StatusForbidden},
	{fleet.ErrTokenExpired, reasonToken, http.StatusForbidden},
	{fleet.ErrTokenUsed, reasonToken, http.StatusForbidden},
	{fleet.ErrTaken, reasonToken, http.StatusConflict},
	{fleet.ErrNotFound, reasonToken, http.StatusConflict},
	{fleet.ErrInvalid, reasonToken, http.StatusBadRequest},
}

// refusal is what to answer to an error of the fleet. What went wrong inside is for the log alone.
func (i *Ingest) refusal(err error) (status int, text string) {
	var told *fleet.Refusal
	if errors.As(err, &told) {
		for _, k := range kinds {
			if errors.Is(err, k.kind) {
				i.metrics.refused(k.reason)
				return k.status, told.Text
			}
		}
	}
	i.metrics.refused(reasonFailed)
	i.o.Logger.Error("request of an agent failed", "error", err)
	return http.StatusServiceUnavailable, "the collector could not do it now, its log says why: try again later"
}

func (i *Ingest) hello(w http.ResponseWriter, r *http.Request) {
	who, err := i.identify(r)
	if err != nil {
		i.unidentified(w, wire.TypeHello, err)
		return
	}
	a := i.agents.get(who)
	if text := i.seat(r, a); text != "" {
		i.answer(w, http.StatusOK, wire.TypeHello, i.crowded(w, who, text).ack)
		return
	}
	now := i.o.Now()
	if d := wait(a.reports, 1, now); d > 0 {
		a.hold(r.Context(), d, now)
		out := i.later(who, reasonReports, d, "this agent asks more often than quotas.agent.reports_per_minute allows")
		i.answer(w, out.status, wire.TypeHello, out.ack)
		return
	}
	var h wire.Hello
	small := i.o.Limits
	small.BodyBytes = min(small.BodyBytes, maxHello)
	if _, err := i.read(w, r, small, &h); err != nil {
		status, text := i.unread(err)
		i.answer(w, status, wire.TypeHello, i.ack(wire.Ack_RESULT_REFUSED, text))
		return
	}
	i.answer(w, http.StatusOK, wire.TypeHello, i.ackTo(who, wire.Ack_RESULT_ACCEPTED, ""))
}

// Bounds of the bodies that need no room.
const (
	maxHello = 4 << 10
	maxEnrol = 64 << 10
)

func (i *Ingest) unidentified(w http.ResponseWriter, media string, err error) {
	status, text := i.refusal(err)
	if media != wire.TypeHello {
		i.metrics.reports.WithLabelValues(resultRefused).Inc()
	}
	w.Header().Set("Connection", "close")
	i.answer(w, status, media, i.ack(wire.Ack_RESULT_REFUSED, text))
}

// ack is an answer with what every agent should know.
func (i *Ingest) ack(result wire.Ack_Result, text string) *wire.Ack {
	return &wire.Ack{
		Result: result, Error: text,
		NowMs:          i.o.Now().UnixMilli(),
		Incarnation:    i.o.Incarnation,
		KeepSeconds:    uint32(min(max(i.keepFor(), 0), 365*24*time.Hour) / time.Second), //nolint:gosec // a year at most
		ReturnSpreadMs: uint32(i.returnSpread().Milliseconds()),                          //nolint:gosec // bounded
	}
}

// maxSpread bounds what agents are asked for; they would not wait longer (see agent/push).
const maxSpread = 5 * time.Minute

// returnSpread is over how long agents should spread their return: as long as the door needs for the whole fleet, those
// included that have not come since the start.
func (i *Ingest) returnSpread() time.Duration {
	return i.SpreadFor(int(max(i.fleet.Load(), i.agents.count.Load())))
}

// ackTo is an ack that tells the agent who it is.
func (i *Ingest) ackTo(who fleet.Agent, result wire.Ack_Result, text string) *wire.Ack {
	a := i.ack(result, text)
	a.Incarnation = i.incarnation(i.agents.round(who))
	a.Customer, a.Site, a.Asset = who.Customer, who.Site, who.Asset
	return a
}

func (i *Ingest) answer(w http.ResponseWriter, status int, media string, m proto.Message) {
	body, err := proto.Marshal(m)
	if err != nil { // our own message of our own text
		i.o.Logger.Error("encode an answer", "error", err)
		http.Error(w, "the collector could not write its answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set(wire.HeaderType, media)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// Whoever does not take a few hundred bytes is not waiting for them.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body) // an agent that is gone sends again
}

// read decodes a body within limits and a bounded time and returns how many bytes came.
func (i *Ingest) read(w http.ResponseWriter, r *http.Request, max wire.Limits, into proto.Message) (int, error) {
	return i.body(w, r, max, func(in io.Reader, coding string) error { return wire.Decode(in, coding, max, into) })
}

// body has a body decoded within a bounded time and returns how many bytes came.
func (i *Ingest) body(w http.ResponseWriter, r *http.Request, max wire.Limits, decode func(io.Reader, string) error) (int, error) {
	control := http.NewResponseController(w)
	// Without deadlines (a recorder in a test) the server's own time-outs are all there is.
	_ = control.SetReadDeadline(time.Now().Add(i.bodyTimeout))
	body := &counter{r: http.MaxBytesReader(w, r.Body, max.BodyBytes+1)}
	var err error
	if r.ContentLength > max.BodyBytes {
		err = &wire.Error{Reason: wire.ReasonOversized, Text: fmt.Sprintf("body of %d bytes, at most %d allowed; send less, "+
			"or raise limits.body_bytes", r.ContentLength, max.BodyBytes)}
		w.Header().Set("Connection", "close")
	} else {
		err = decode(body, r.Header.Get(wire.HeaderCoding))
	}
	i.metrics.bytes.Add(float64(body.n))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	return body.n, err
}

// unread is what to answer when a body could not be read. Only a body that came whole is refused for good: what the
// line broke is sent again.
func (i *Ingest) unread(err error) (status int, text string) {
	var bad *wire.Error
	if errors.As(err, &bad) {
		i.metrics.refused(bad.Reason)
		switch bad.Reason {
		case wire.ReasonOversized, wire.ReasonBomb:
			return http.StatusRequestEntityTooLarge, bad.Text
		}
		return http.StatusBadRequest, bad.Text
	}
	i.metrics.refused(reasonBody)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return http.StatusRequestTimeout, fmt.Sprintf("the body did not arrive within %v: send it again", i.bodyTimeout)
	}
	return http.StatusRequestTimeout, "the body broke off: send it again"
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
