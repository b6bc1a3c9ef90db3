package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/rules"
)

// promType is why a query was not answered, in Prometheus' words.
type promType string

// The types of Prometheus' errors.
const (
	promTimeout     promType = "timeout"
	promCanceled    promType = "canceled"
	promExecution   promType = "execution"
	promBadData     promType = "bad_data"
	promInternal    promType = "internal"
	promUnavailable promType = "unavailable"
	promNotFound    promType = "not_found"
)

// statusClientGone is what Prometheus answers who does not wait for it.
const statusClientGone = 499

// promStatus is the HTTP status of each type.
var promStatus = map[promType]int{
	promTimeout: http.StatusServiceUnavailable, promCanceled: statusClientGone, promExecution: http.StatusUnprocessableEntity,
	promBadData: http.StatusBadRequest, promInternal: http.StatusInternalServerError,
	promUnavailable: http.StatusServiceUnavailable, promNotFound: http.StatusNotFound,
}

// promError is why a request of Prometheus' API was not answered.
type promError struct {
	// Status is that of Type when zero.
	Status int
	Type   promType
	Err    error
	// Reason is the word under which a refusal is counted; empty for what the asker did wrong.
	Reason string
}

func (e *promError) Error() string { return e.Err.Error() }

func (e *promError) Unwrap() error { return e.Err }

func promErrorf(t promType, format string, args ...any) *promError {
	return &promError{Type: t, Err: fmt.Errorf(format, args...)}
}

// badParameter is Prometheus' refusal of one parameter.
func badParameter(name string, err error) error {
	e := promErrorf(promBadData, "invalid parameter %q: %w", name, err)
	var bound *boundError
	if errors.As(err, &bound) {
		e.Reason = "expression_too_big"
	}
	return e
}

func formError(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return &promError{Status: http.StatusRequestEntityTooLarge, Type: promBadData, Err: fmt.Errorf("the request has more than %d bytes", big.Limit),
			Reason: "expression_too_big"}
	}
	return promErrorf(promBadData, "error parsing form values: %w", err)
}

// crowdedError is the gate's.
type crowdedError struct{ most, queue int }

func (e crowdedError) Error() string {
	return fmt.Sprintf("%d queries are being answered and %d wait already: ask again in a moment, or raise query.max_queued", e.most, e.queue)
}

// contextError is the end of a context in the words of the engine.
func contextError(err error, where string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return queryError(promql.ErrQueryTimeout(where))
	}
	return queryError(promql.ErrQueryCanceled(where))
}

// queryError gives an error of the engine or the storage its type.
func queryError(err error) error {
	var canceled promql.ErrQueryCanceled
	var late promql.ErrQueryTimeout
	var many promql.ErrTooManySamples
	var long *rules.LongSubqueryError
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &promError{Type: promCanceled, Err: err, Reason: "canceled"}
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded):
		return &promError{Type: promTimeout, Err: err, Reason: "timeout"}
	case errors.As(err, &many):
		return &promError{Type: promExecution, Err: err, Reason: "too_many_samples"}
	case errors.As(err, &long):
		return &promError{Type: promExecution, Err: fmt.Errorf("%w (query.max_samples)", err), Reason: "too_many_samples"}
	case errors.As(err, &stored), errors.Is(err, errUnscoped):
		return &promError{Type: promInternal, Err: err, Reason: "storage"}
	}
	return &promError{Type: promExecution, Err: err}
}

// promFailure is an error as Prometheus writes it.
type promFailure struct {
	Status    string   `json:"status"`
	ErrorType promType `json:"errorType"`
	Error     string   `json:"error"`
}

// promFail answers with err in Prometheus' form.
func (a *API) promFail(w http.ResponseWriter, r *http.Request, err error) {
	var e *promError
	var own *Error
	switch {
	case errors.As(err, &e):
	case errors.As(err, &own): // of authentication: who, not what
		e = &promError{Status: own.Status, Type: promType(own.Code), Err: own}
	default:
		e = &promError{Type: promInternal, Err: errors.New("the collector failed at this; see its log")}
	}
	status := e.Status
	if status == 0 {
		status = promStatus[e.Type]
	}
	if e.Reason != "" {
		a.queries.metrics.refused.WithLabelValues(e.Reason).Inc()
	}
	if e.Type == promInternal {
		a.o.Logger.Error("query failed", "path", r.URL.Path, "err", err)
	}
	h := w.Header()
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="watchbill"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	b, err := json.Marshal(promFailure{"error", e.Type, e.Err.Error()})
	if err != nil { // three strings
		b = []byte(`{"status":"error","errorType":"internal","error":"the answer cannot be encoded"}`)
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // a client that went away is no fault of ours
}
