package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Error is why a request was not done, as it stands under "error" in the answer.
type Error struct {
	// Status is the HTTP status it travels with.
	Status int `json:"-"`
	// Code is a word for programs: not_found, refused, forbidden …
	Code string `json:"code"`
	// Message says what happened, Hint what to do about it.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Details lists every single fault where there can be several; where a field is wrong it begins with its name and a colon.
	Details []string `json:"details,omitempty"`
	// Gate and Missing are there when a gate refused: which one, and everything that it misses. Further gates that refused
	// the same attempt are in Also.
	Gate    string             `json:"gate,omitempty"`
	Missing []string           `json:"missing,omitempty"`
	Also    []ticket.GateError `json:"also,omitempty"`
}

// Error is the message and the hint in one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

func refusal(status int, code, hint, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

func badRequest(hint, format string, args ...any) *Error {
	return refusal(http.StatusBadRequest, "bad_request", hint, format, args...)
}

// created is an answer that travels with 201.
type created struct{ body any }

// endpoint authenticates, bounds the request and writes what serve answers.
func (a *API) endpoint(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := a.authenticate(r, e.right)
		if err != nil {
			if explain(err).Status == http.StatusUnauthorized {
				invite(w, r, e.right)
			}
			a.fail(w, r, err)
			return
		}
		timeout := cmp.Or(e.timeout, answerTimeout)
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		rc := http.NewResponseController(w)
		// Not every ResponseWriter has deadlines (tests' recorders do not); the server's own still hold.
		_ = rc.SetWriteDeadline(time.Now().Add(timeout + readTimeout))
		r.Body = inTime(rc, http.MaxBytesReader(w, r.Body, e.limit()), r.ContentLength)
		out, err := e.serve(a, r.WithContext(ctx), who)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		if d, ok := out.(Download); ok {
			a.stream(w, r, d)
			return
		}
		status := http.StatusOK
		if c, ok := out.(created); ok {
			status, out = http.StatusCreated, c.body
		}
		a.write(w, status, out)
	})
}

// timedBody is a request's body that has to be read within readTimeout.
type timedBody struct {
	io.ReadCloser
	rc *http.ResponseController
}

// inTime makes body one that has to be read in time; size is its length, -1 when nobody knows.
func inTime(rc *http.ResponseController, body io.ReadCloser, size int64) io.ReadCloser {
	if size == 0 {
		return body
	}
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	return timedBody{body, rc}
}

// Read ends the deadline with the body: what is read from there on is only whether the client is still there, and a deadline
// that passes then looks to the server as if it had gone. While some of the body is to come it stands, whatever went wrong.
func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// limit bounds what is read of a request, in bytes.
func (e endpoint) limit() int64 {
	if strings.HasPrefix(e.pattern, http.MethodPut) {
		return directoryLimit
	}
	return bodyLimit
}

// write answers with v as JSON. Encoding goes to memory first, so that half an answer never travels as a whole one.
func (a *API) write(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := enc.Encode(v); err != nil {
		a.o.Logger.Error("answer cannot be encoded", "type", fmt.Sprintf("%T", v), "err", err)
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":{"code":"internal","message":"the answer cannot be encoded","hint":"see the collector's log"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a client that went away is no fault of ours
}

// fail answers with err; what is not meant for the client goes to the log alone.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := explain(err)
	if e.Status >= http.StatusInternalServerError {
		a.o.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "status", e.Status, "err", err)
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Add("WWW-Authenticate", `Bearer realm="watchbill"`)
	}
	if e.Gate != "" {
		a.write(w, e.Status, Refused{Error: *e, Gate: e.Gate, Missing: e.Missing})
		return
	}
	a.write(w, e.Status, map[string]*Error{"error": e})
}

// Refused is the answer of a gate: what is missing stands beside the error too.
type Refused struct {
	Error   Error    `json:"error"`
	Gate    string   `json:"gate"`
	Missing []string `json:"missing"`
}

// explain turns the errors of other rooms into answers.
func explain(err error) *Error {
	var e *Error
	var big *http.MaxBytesError
	var no *fleet.Refusal
	var gate *ticket.GateError
	var birth *ticket.BirthError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &no):
		return fleetRefusal(no)
	case errors.As(err, &big):
		return refusal(http.StatusRequestEntityTooLarge, "too_large", "shorten it",
			"the request has more than %d bytes", big.Limit)
	case errors.As(err, &gate):
		return gateRefusal(gate)
	case errors.As(err, &birth):
		return birthRefusal(birth)
	case errors.Is(err, ticket.ErrRefused):
		return refusal(http.StatusConflict, "refused", "", "%v", err)
	case errors.Is(err, ticket.ErrChain):
		return refusal(http.StatusInternalServerError, "record_damaged",
			"the ticket's chain says what stands and what does not: `watchbill ticket verify-chain`", "%v", err)
	case errors.Is(err, store.ErrNotFound):
		return refusal(http.StatusNotFound, "not_found", "", "%v", err)
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrOpenTwice):
		return refusal(http.StatusConflict, "conflict", "look at what is there now and try again", "%v", err)
	case errors.Is(err, store.ErrFull):
		return refusal(http.StatusInsufficientStorage, "storage_full",
			"make room there; reading goes on meanwhile", "%v", err)
	case errors.Is(err, store.ErrDamaged):
		return refusal(http.StatusInternalServerError, "storage_damaged",
			"stop the collector and start it: it names the newest good backup and the command that puts it in place", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return refusal(http.StatusServiceUnavailable, "timeout", "try again; if it stays so, see the collector's log",
			"no answer in time")
	case errors.Is(err, context.Canceled):
		return refusal(http.StatusServiceUnavailable, "stopping", "try again", "the collector is stopping")
	}
	return refusal(http.StatusInternalServerError, "internal", "see the collector's log", "the collector failed at this")
}

// gateRefusal is the refusal of a gate, whose words are for people and whose list is for programs.
func gateRefusal(g *ticket.GateError) *Error {
	e := refusal(http.StatusConflict, "gate", "give what is missing and try again", "%v", g)
	e.Gate, e.Missing, e.Also = g.Gate, g.Missing, g.Also
	return e
}

// birthRefusal names the field of each thing that a new ticket lacks, as they are named in the request.
func birthRefusal(b *ticket.BirthError) *Error {
	e := refusal(http.StatusConflict, "refused", "", "%v", b)
	for _, l := range b.Lacks {
		e.Details = append(e.Details, l.Field+": "+l.Text)
	}
	return e
}

// fleetRefusal gives a refusal of the fleet, whose text is written for the person, the status of its kind.
func fleetRefusal(no *fleet.Refusal) *Error {
	switch {
	case errors.Is(no, fleet.ErrInvalid):
		return refusal(http.StatusBadRequest, "bad_request", "", "%s", no.Text)
	case errors.Is(no, fleet.ErrNotFound):
		return refusal(http.StatusNotFound, "not_found", "", "%s", no.Text)
	}
	return refusal(http.StatusConflict, "refused", "", "%s", no.Text)
}

// decode reads the body into v, which must be one JSON object of known fields. An empty body leaves v as it is.
func decode(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return err
		}
		return badRequest("send one JSON object with the fields that are documented", "body: %s",
			strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("send one JSON object", "body: something follows the first JSON value")
	}
	return nil
}

// decodeNamed reads the body of what the path names by its id. A body that names itself says the same name.
func decodeNamed(r *http.Request, v any, id *string) error {
	if err := decode(r, v); err != nil {
		return err
	}
	path := r.PathValue("id")
	if *id != "" && *id != path {
		return badRequest("leave id out, or say the one of the path", "id: the path says %q, the body %q", path, *id)
	}
	*id = path
	return nil
}

// query refuses parameters that the endpoint does not know: a misspelt filter must not silently select everything.
func query(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("encode the query", "query: %v", err)
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			return nil, badRequest("known are: "+strings.Join(known, ", "), "unknown parameter %q", name)
		}
		if len(values) > 1 {
			return nil, badRequest("give it once", "parameter %q is there %d times", name, len(values))
		}
	}
	return q, nil
}

// unknown says that there is nothing at a path, or by which methods mux is asked there.
func (a *API) unknown(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed := methodsOf(mux, r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			a.fail(w, r, refusal(http.StatusMethodNotAllowed, "method_not_allowed", "ask it with "+strings.Join(allowed, " or "),
				"%s is not asked with %s", r.URL.Path, r.Method))
			return
		}
		if r.Method == http.MethodPost && !strings.HasPrefix(r.URL.Path, Root+"/") {
			a.misdirected(w, r)
			return
		}
		a.fail(w, r, refusal(http.StatusNotFound, "not_found", "the JSON API stands under "+Root+"/",
			"there is nothing at %s %s", r.Method, r.URL.Path))
	})
}

// methodsOf are the methods that something answers to at the path of r.
func methodsOf(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		with := r.WithContext(r.Context())
		with.Method = method
		if _, pattern := mux.Handler(with); pattern != "/" && pattern != Root+"/" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}

// reserved keeps a path free for an API that others define.
func reserved(what string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]*Error{"error": refusal(http.StatusNotFound, "reserved",
			"the collector's own API stands under "+Root+"/", "this path is reserved for %s", what)})
	})
}

// guard sets the headers that keep a browser from doing anything with an answer but show it, turns a panic into 500, counts
// answers, and logs refused senders.
func (a *API) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(under http.ResponseWriter, r *http.Request) {
		w := &counted{ResponseWriter: under, code: http.StatusOK}
		defer func() { a.gauges.requests.WithLabelValues(strconv.Itoa(w.code)).Inc() }()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		defer func() {
			p := recover()
			switch p {
			case nil:
				return
			case http.ErrAbortHandler:
				panic(p)
			}
			a.o.Logger.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p,
				"stack", string(debug.Stack()))
			a.write(w, http.StatusInternalServerError, map[string]*Error{"error": explain(fmt.Errorf("panic: %v", p))})
		}()
		next.ServeHTTP(w, r)
		a.tellRefused(r, w.code)
	})
}

// counted remembers the status of an answer.
type counted struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (c *counted) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func splitPattern(p string) (method, path string) {
	method, path, _ = strings.Cut(p, " ")
	return method, path
}

// promLog hands promhttp's complaints to the log.
type promLog struct{ *slog.Logger }

// Println is the one method promhttp calls.
func (l promLog) Println(v ...any) { l.Error("metrics", "err", strings.TrimSpace(fmt.Sprintln(v...))) }

// actor is an operator as the author of an event.
func actor(who fleet.Operator) ticket.By {
	by := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: who.Name}, Person: who.Person, Department: who.Scope.Department, Customer: who.Scope.Customer}
	for _, r := range who.Held() {
		by.Roles = append(by.Roles, string(r))
	}
	return by
}
