package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// statusError is an answer that is not an Ack.
type statusError struct {
	status string
	code   int
	text   string
	after  time.Duration
}

// Error says what came and what that mostly means.
func (e *statusError) Error() string {
	var hint string
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = ": if this agent was revoked, enrol it again with a new token and --replace"
	case http.StatusUnsupportedMediaType:
		hint = ": the collector does not read this agent's version of reports: update the older of the two"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		hint = ": check that the address is the agents' listener of a collector"
	}
	return fmt.Sprintf("the collector answered %s %q%s", e.status, e.text, hint)
}

// slow reports whether a person has to do something before another try can succeed.
func (e *statusError) slow() bool {
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// final reports whether this very report will never be taken.
func (e *statusError) final() bool {
	return e.code == http.StatusRequestEntityTooLarge || e.code == http.StatusBadRequest || e.code == http.StatusUnprocessableEntity
}

// errShapes: the collector keeps asking for shapes.
var errShapes = errors.New("the collector asks for shapes it was just sent, or that this agent does not have: compare the versions of agent and collector")

// Hello asks the collector for its clock without reporting anything. The Ack goes to OnAck as well.
func (p *Push) Hello(ctx context.Context) (Answer, error) {
	a, err := p.post(ctx, wire.PathHello, wire.TypeHello, &wire.Hello{AgentVersion: p.o.Version}, nil)
	if err != nil {
		return Answer{}, fmt.Errorf("ask the collector at %s for its clock: %w", p.o.URL, err)
	}
	p.o.OnAck(a)
	if a.Ack.ReplaySinceMs != 0 {
		p.mu.Lock()
		p.hello = a.Ack
		p.mu.Unlock()
		p.Wake()
	}
	return a, nil
}

// exchange sends a report, a second time with the shapes the collector turns out not to know.
func (p *Push) exchange(ctx context.Context, it item) (Answer, error) {
	r := it.report
	for range maxShapeRounds {
		p.count(func(s *Stats) { s.Sent++ })
		a, err := p.post(ctx, wire.PathReport, wire.TypeReport, r, p.words(it))
		if err != nil {
			return Answer{}, err
		}
		if a.Ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			return a, nil
		}
		with, ok := proto.Clone(r).(*wire.Report)
		if !ok {
			return Answer{}, errShapes
		}
		for _, id := range a.Ack.UnknownShapes {
			shape, ok := it.shape(id)
			if !ok {
				return Answer{}, fmt.Errorf("shape %x: %w", id, errShapes)
			}
			with.Shapes = append(with.Shapes, shape)
		}
		r = with
	}
	return Answer{}, errShapes
}

// post sends one message, with these headers, and reads the Ack.
func (p *Push) post(ctx context.Context, path, media string, m proto.Message, words map[string]string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	body, coding, err := wire.Encode(m)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.o.URL+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("collector URL %q: %w", p.o.URL, err)
	}
	for k, v := range words {
		req.Header.Set(k, v)
	}
	req.Header.Set(wire.HeaderType, media)
	if coding != "" {
		req.Header.Set(wire.HeaderCoding, coding)
	}
	// Present without a value: net/http may repeat the request when a kept-alive connection turns out to be dead, and
	// sends no such header. A report is known by (epoch, sequence), so a repetition takes effect once.
	req.Header["Idempotency-Key"] = nil
	a := Answer{Sent: p.o.Now()}
	resp, err := p.o.Transport.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	a.Ack, err = p.readAck(resp, media)
	a.Received = p.o.Now()
	return a, err
}

// readAck reads an Ack, which carries the media type of its request; the rest of the body is drained so that the connection can be kept.
func (p *Push) readAck(resp *http.Response, media string) (*wire.Ack, error) {
	ack := &wire.Ack{}
	if strings.HasPrefix(resp.Header.Get(wire.HeaderType), media) {
		if err := wire.Decode(resp.Body, resp.Header.Get(wire.HeaderCoding), p.o.Limits, ack); err != nil {
			return nil, fmt.Errorf("read the collector's answer (%s): %w", resp.Status, err)
		}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 400)) // for the message only
	if resp.StatusCode == http.StatusOK && ack.Result != wire.Ack_RESULT_UNSPECIFIED {
		return ack, nil
	}
	e := &statusError{status: resp.Status, code: resp.StatusCode, text: strings.TrimSpace(string(text))}
	if ack.Error != "" {
		e.text = ack.Error
	}
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		e.after = time.Duration(s) * time.Second
	}
	return nil, e
}
