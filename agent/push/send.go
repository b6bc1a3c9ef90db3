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
	return a, nil
}

// exchange sends a report, again with the shapes that the collector turns out not to know, or with everything written
// out when it has forgotten what the report leans on.
func (p *Push) exchange(ctx context.Context, it item) (Answer, error) {
	r := it.report
	for range maxRounds {
		a, err := p.send(ctx, r, it)
		if err != nil {
			return Answer{}, err
		}
		if a.Ack.Result != wire.Ack_RESULT_NEED_SHAPES {
			p.encoder.Accepted(r, a.Ack)
			return a, nil
		}
		if a.Ack.InFull {
			p.encoder.Forget()
		}
		if len(a.Ack.UnknownShapes) == 0 {
			continue
		}
		if r, err = p.withShapes(it, a.Ack.UnknownShapes); err != nil {
			return Answer{}, err
		}
	}
	return Answer{}, errShapes
}

// withShapes is a copy of the item's report that brings the shapes asked for.
func (p *Push) withShapes(it item, ids [][]byte) (*wire.Report, error) {
	r := proto.CloneOf(it.report)
	if p.oldFor == nil {
		if id := p.encoder.AddShapes(r, ids, it.shape); id != nil {
			return nil, fmt.Errorf("shape %x: %w", id, errShapes)
		}
		return r, nil
	}
	for _, id := range ids {
		shape, ok := it.shape(id)
		if !ok {
			return nil, fmt.Errorf("shape %x: %w", id, errShapes)
		}
		r.Shapes = append(r.Shapes, shape)
	}
	return r, nil
}

// send sends a report once, in the newest version that the collector reads. One that answers 415 is taken for older, until
// it starts anew: then it may have been updated.
func (p *Push) send(ctx context.Context, r *wire.Report, it item) (Answer, error) {
	p.count(func(s *Stats) { s.Sent++ })
	if p.oldFor == nil {
		body, coding, err := p.encoder.Encode(r)
		if err == nil {
			a, err := p.postBody(ctx, wire.PathReport, wire.TypeReportV1, body, coding, p.words(it))
			var status *statusError
			if !errors.As(err, &status) || status.code != http.StatusUnsupportedMediaType {
				return a, err
			}
			p.oldFor = new(uint64)
			p.encoder.Forget()
			p.o.Logger.Info("the collector does not read version 1 of reports; they are sent in version 0")
		} else {
			p.once("encode", "a report cannot be written in version 1; it is sent in version 0", "error", err)
		}
		if len(r.ShapeChanges) > 0 { // which version 0 does not have
			r = it.report
		}
	}
	a, err := p.post(ctx, wire.PathReport, wire.TypeReport, r, p.words(it))
	if err == nil && p.oldFor != nil {
		if *p.oldFor != 0 && *p.oldFor != a.Ack.Incarnation {
			p.oldFor = nil
		} else {
			*p.oldFor = a.Ack.Incarnation
		}
	}
	return a, err
}

// post sends one message, with these headers, and reads the Ack.
func (p *Push) post(ctx context.Context, path, media string, m proto.Message, words map[string]string) (Answer, error) {
	body, coding, err := wire.Encode(m)
	if err != nil {
		return Answer{}, err
	}
	return p.postBody(ctx, path, media, body, coding, words)
}

// postBody sends one message that is encoded.
func (p *Push) postBody(ctx context.Context, path, media string, body []byte, coding string, words map[string]string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
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
