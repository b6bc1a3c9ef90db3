package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// maxPoints is how many points a series of a range query may have, as in Prometheus.
const maxPoints = 11_000

// queryData is the data of query and query_range.
type queryData struct {
	value parser.Value
	stats stats.QueryStats
}

// evaluation is an expression on its way to the engine.
type evaluation struct {
	text  string
	expr  parser.Expr
	opts  promql.QueryOpts
	limit int
	// ctx ends when the asker's own timeout has passed, too.
	ctx    context.Context
	cancel context.CancelFunc
}

// promQuery answers an expression at one time.
func (a *API) promQuery(c *promCall) (promAnswer, error) {
	limit, err := wantedOf(c.value("limit"))
	if err != nil {
		return promAnswer{}, badParameter("limit", err)
	}
	at, err := c.time("time", a.o.Now())
	if err != nil {
		return promAnswer{}, err
	}
	e, err := a.evaluation(c, at, at, limit)
	if err != nil {
		return promAnswer{}, err
	}
	defer e.cancel()
	q, err := c.terms.engine.NewInstantQuery(e.ctx, a.source(c), e.opts, c.terms.parsed.hand(e.expr), at)
	if err != nil {
		return promAnswer{}, badParameter("query", err)
	}
	return c.run(e, q)
}

// promQueryRange answers an expression at every step from start to end.
func (a *API) promQueryRange(c *promCall) (promAnswer, error) {
	limit, err := wantedOf(c.value("limit"))
	if err != nil {
		return promAnswer{}, badParameter("limit", err)
	}
	start, err := timeOf(c.value("start"))
	if err != nil {
		return promAnswer{}, badParameter("start", err)
	}
	end, err := timeOf(c.value("end"))
	if err != nil {
		return promAnswer{}, badParameter("end", err)
	}
	if end.Before(start) {
		return promAnswer{}, badParameter("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := durationOf(c.value("step"))
	if err != nil {
		return promAnswer{}, badParameter("step", err)
	}
	if step <= 0 {
		return promAnswer{}, badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.Sub(start)/step > maxPoints {
		return promAnswer{}, promErrorf(promBadData,
			"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	e, err := a.evaluation(c, start, end, limit)
	if err != nil {
		return promAnswer{}, err
	}
	defer e.cancel()
	q, err := c.terms.engine.NewRangeQuery(e.ctx, a.source(c), e.opts, c.terms.parsed.hand(e.expr), start, end, step)
	if err != nil {
		return promAnswer{}, badParameter("query", err)
	}
	return c.run(e, q)
}

// evaluation reads what both kinds of query have: the expression, narrowed to what exists for who asks, and how. It is
// evaluated at start first, and at end last.
func (a *API) evaluation(c *promCall, start, end time.Time, limit int) (*evaluation, error) {
	e := &evaluation{text: c.value("query"), limit: limit, ctx: c.r.Context(), cancel: func() {}}
	if s := c.value("timeout"); s != "" {
		timeout, err := durationOf(s)
		if err != nil {
			return nil, badParameter("timeout", err)
		}
		e.ctx, e.cancel = context.WithTimeout(e.ctx, timeout)
	}
	delta := time.Duration(0)
	if s := c.value("lookback_delta"); s != "" {
		var err error
		if delta, err = durationOf(s); err != nil {
			e.cancel()
			return nil, promErrorf(promBadData, "error parsing lookback delta duration: %w", err)
		}
	}
	e.opts = promql.NewPrometheusQueryOpts(c.value("stats") == "all", delta)
	var err error
	if e.expr, err = a.readFor(c, e.text, start, end, delta); err != nil {
		e.cancel()
		return nil, err
	}
	return e, nil
}

// readFor parses an expression, holds it against the limits and narrows it to what exists for who asks.
func (a *API) readFor(c *promCall, text string, start, end time.Time, delta time.Duration) (parser.Expr, error) {
	expr, err := readExpr(text)
	if err != nil {
		return nil, badParameter("query", err)
	}
	if err := rules.CheckSubqueries(expr, start, end, a.queries.every, c.terms.MaxSamples); err != nil {
		return nil, queryError(err)
	}
	if delta <= 0 {
		delta = window.StaleAfter
	}
	if most := time.Duration(c.terms.MaxLookback); most > 0 {
		if far := lookbackOf(expr, start, delta); far > most {
			return nil, badParameter("query", boundErrorf("the expression looks %v back, and query.max_lookback is %v: shorten its ranges and offsets, and move its @", far, most))
		}
	}
	if err := c.reach.enforce(expr); err != nil {
		return nil, badParameter("query", err)
	}
	a.queries.metrics.count(c.reach)
	return expr, nil
}

// run evaluates and makes the answer of what came out.
func (c *promCall) run(e *evaluation, q promql.Query) (promAnswer, error) {
	res := q.Exec(e.ctx)
	out := promAnswer{query: e.text, done: q.Close}
	if res.Err != nil {
		return out, queryError(res.Err)
	}
	c.notes.Merge(res.Warnings)
	value, cut := truncated(res.Value, e.limit)
	if cut {
		c.note(errTruncated)
	}
	data := queryData{value: value}
	if s := c.value("stats"); s != "" {
		data.stats = stats.NewQueryStats(q.Stats())
		if s != "true" && s != "all" {
			c.note(fmt.Errorf(`value %q for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all"`, s))
		}
	}
	out.data = data
	return out, nil
}

var errTruncated = errors.New("results truncated due to limit")

// truncated is the first limit series of a result, all of them where limit is 0.
func truncated(v parser.Value, limit int) (parser.Value, bool) {
	if limit <= 0 {
		return v, false
	}
	switch x := v.(type) {
	case promql.Matrix:
		if len(x) > limit {
			return x[:limit], true
		}
	case promql.Vector:
		if len(x) > limit {
			return x[:limit], true
		}
	}
	return v, false
}

// promFormat answers an expression as Prometheus lays it out.
func (a *API) promFormat(c *promCall) (promAnswer, error) {
	e, err := readExpr(c.value("query"))
	if err != nil {
		return promAnswer{}, badParameter("query", err)
	}
	return promAnswer{data: e.Pretty(0)}, nil
}

// promExemplars answers none: agents send no exemplars. What is wrong with the question is said all the same.
func (a *API) promExemplars(c *promCall) (promAnswer, error) {
	start, err := c.time("start", minTime)
	if err != nil {
		return promAnswer{}, err
	}
	end, err := c.time("end", maxTime)
	if err != nil {
		return promAnswer{}, err
	}
	if end.Before(start) {
		return promAnswer{}, promErrorf(promBadData, "end timestamp must not be before start timestamp")
	}
	if _, err := readExpr(c.value("query")); err != nil {
		return promAnswer{}, &promError{Type: promBadData, Err: err}
	}
	return promAnswer{data: []string{}}, nil
}
