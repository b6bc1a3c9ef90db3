package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/history"
)

// PrometheusRoot is the path under which Prometheus' HTTP API stands.
const PrometheusRoot = "/api/v1"

// formLimit bounds the body of a query: the selectors that a dashboard makes of a thousand hosts take 30 KB.
const formLimit = 1 << 20

// Curves is the history, as far as queries ask it.
type Curves interface {
	// Queryable gives queriers; while there is no history to read their error is history.ErrUnavailable.
	Queryable() storage.Queryable
	// Behind says why the newest samples are not in it; nil when they are.
	Behind() error
	// Stats counts the series of the head; at most limit lines of each list.
	Stats(limit int) (history.Stats, error)
}

// promRoute is one endpoint of Prometheus' API.
type promRoute struct {
	// methods it answers to, in the order of Allow.
	methods []string
	path    string
	serve   func(*API, *promCall) (promAnswer, error)
	// turn is whether it waits for one, and at which gate.
	turn turn
}

// turn is what an endpoint waits for before it looks.
type turn int

const (
	noTurn turn = iota
	// readTurn: it reads samples or series, beside as many others as query.max_concurrency says.
	readTurn
	// lookTurn: it looks at every rule, alert or asset, which evaluation holds still for; one at a time does.
	lookTurn
)

var (
	get       = []string{http.MethodGet}
	getOrPost = []string{http.MethodGet, http.MethodPost}
)

// promRoutes is Prometheus' API, as much as there is of it here.
func promRoutes() []promRoute {
	return []promRoute{
		{getOrPost, "/query", (*API).promQuery, readTurn},
		{getOrPost, "/query_range", (*API).promQueryRange, readTurn},
		{getOrPost, "/query_exemplars", (*API).promExemplars, noTurn},
		{getOrPost, "/format_query", (*API).promFormat, noTurn},
		{getOrPost, "/series", (*API).promSeries, readTurn},
		{getOrPost, "/labels", (*API).promLabelNames, readTurn},
		{get, "/label/{name}/values", (*API).promLabelValues, readTurn},
		{get, "/metadata", (*API).promMetadata, readTurn},
		{get, "/targets", (*API).promTargets, lookTurn},
		{get, "/targets/metadata", (*API).promTargetMetadata, noTurn},
		{get, "/scrape_pools", (*API).promScrapePools, lookTurn},
		{get, "/rules", (*API).promRules, lookTurn},
		{get, "/alerts", (*API).promAlerts, lookTurn},
		{get, "/alertmanagers", (*API).promAlertmanagers, noTurn},
		{get, "/status/buildinfo", (*API).promBuildInfo, noTurn},
		{get, "/status/config", (*API).promConfig, noTurn},
		{get, "/status/flags", (*API).promFlags, noTurn},
		{get, "/status/runtimeinfo", (*API).promRuntimeInfo, noTurn},
		{get, "/status/tsdb", (*API).promTSDB, readTurn},
	}
}

// promCall is one request of Prometheus' API.
type promCall struct {
	r *http.Request
	// sight is what exists for who asks, reach which series do.
	sight sight
	reach reach
	terms *queryTerms
	// notes are warnings that come with the answer.
	notes annotations.Annotations
	// leave gives the turn at the gate to the next; it may be called more than once.
	leave func()
}

// value is a parameter, of the path's query or of the form in the body; empty when it is not there.
func (c *promCall) value(name string) string { return c.r.Form.Get(name) }

// promAnswer is what an endpoint answers.
type promAnswer struct {
	data any
	// query is the text that notes point into.
	query string
	// done gives back what data lies in.
	done func()
}

// mountPrometheus puts Prometheus' API onto mux.
func (a *API) mountPrometheus(mux *http.ServeMux) {
	for _, route := range promRoutes() {
		mux.Handle(PrometheusRoot+route.path, a.prometheus(route))
	}
	mux.HandleFunc(PrometheusRoot+"/", func(w http.ResponseWriter, r *http.Request) {
		a.promFail(w, r, promErrorf(promNotFound, "there is no %s in this API: it has query, query_range, series, labels, metadata, "+
			"targets, rules, alerts and status", r.URL.Path))
	})
}

// prometheus serves one endpoint: whose turn it is, who asks and how far they see, what they ask, and the answer in
// Prometheus' form.
func (a *API) prometheus(route promRoute) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(route.methods, r.Method) {
			w.Header().Set("Allow", strings.Join(route.methods, ", "))
			a.promFail(w, r, &promError{Status: http.StatusMethodNotAllowed, Type: promBadData,
				Err: errors.New("this is asked with " + strings.Join(route.methods, " or ") + ", not with " + r.Method)})
			return
		}
		who, err := a.authenticateQuery(r)
		if err != nil {
			a.promFail(w, r, err)
			return
		}
		terms := a.queries.terms.Load()
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(terms.Timeout))
		defer cancel()
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(time.Duration(terms.Timeout) + answerTimeout)) // see endpoint
		r = r.WithContext(ctx)
		r.Body = inTime(rc, http.MaxBytesReader(w, r.Body, formLimit), r.ContentLength)
		a.answerQuery(w, r, route, who, terms)
	})
}

// answerQuery takes a turn where one is needed, asks and writes. The turn ends when the answer is in memory, encoded and
// compressed, or, where it is too big for that, when it is written.
func (a *API) answerQuery(w http.ResponseWriter, r *http.Request, route promRoute, who fleet.Operator, terms *queryTerms) {
	if err := r.ParseForm(); err != nil {
		a.promFail(w, r, formError(err))
		return
	}
	s := a.sight(who)
	c := &promCall{r: r, sight: s, reach: reachOf(s), terms: terms, leave: func() {}}
	watch := a.queries.metrics.begin(route.path)
	defer watch.end()
	if gate := a.queries.gateOf(route.turn); gate != nil {
		leave, err := gate.enter(r.Context())
		if err != nil {
			a.promFail(w, r, err)
			return
		}
		c.leave = leave
		defer c.leave()
	}
	answer, err := route.serve(a, c)
	if answer.done != nil {
		defer answer.done()
	}
	if err != nil {
		a.promFail(w, r, err)
		return
	}
	a.promWrite(w, c, answer)
}

// authenticateQuery tells who asks: somebody who may read, or a program that may scrape. On loopback, where /metrics is open,
// whoever asks without a token sees what a scraper sees.
func (a *API) authenticateQuery(r *http.Request) (fleet.Operator, error) {
	token := bearer(r)
	if token == "" {
		_, token, _ = r.BasicAuth()
	}
	if token == "" && a.o.Loopback && fromLoopback(r) {
		return fleet.Operator{Name: "loopback", Roles: []fleet.Role{fleet.Scrape}}, nil
	}
	who, err := a.knownBy(token)
	if err != nil {
		return who, err
	}
	if !who.May(fleet.MayRead) && !who.May(fleet.MayScrape) {
		return who, forbidden(who, fleet.MayRead)
	}
	return who, nil
}

// source is where samples are read: the history; the rules' window where there is none now, and both where the history lacks
// the newest, which the answer then says. Nothing comes out of it that is not within the call's reach.
func (a *API) source(c *promCall) storage.Queryable {
	return c.reach.guard(storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		if a.o.History == nil {
			c.note(errHistoryOff)
			return a.o.Window.Querier(mint, maxt)
		}
		q, err := a.o.History.Queryable().Querier(mint, maxt)
		if errors.Is(err, history.ErrUnavailable) {
			c.note(errHistoryAway)
			return a.o.Window.Querier(mint, maxt)
		}
		if behind := a.o.History.Behind(); err == nil && behind != nil {
			c.note(fmt.Errorf("%w; the newest is of what the loaded rules look back on, and the newest value of the rest", behind))
			return a.withWindow(q, mint, maxt)
		}
		return q, err
	}))
}

// withWindow reads what q reads and the window: samples of one series and time are one.
func (a *API) withWindow(q storage.Querier, mint, maxt int64) (storage.Querier, error) {
	w, err := a.o.Window.Querier(mint, maxt)
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return storage.NewMergeQuerier([]storage.Querier{q, w}, nil, storage.ChainedSeriesMerge), nil
}

// What an answer from the window is told with.
var (
	errHistoryOff  = errors.New("history is off (history.retention: 0): this is what the loaded rules look back on, and the newest value of the rest")
	errHistoryAway = errors.New("history is not open now: this is what the loaded rules look back on, and the newest value of the rest; see the collector's log")
)

func (c *promCall) note(err error) { c.notes.Add(err) }

// reach is which series exist for who asks: those that all of must match. None is everything. Where shared is there, series
// that are asked for by a name of everybodys exist that all of shared match, in place of those.
type reach struct {
	must, shared []*labels.Matcher
}

// everybodys are the collector's own series that are about nobody and harmless to every reader: where it is reached, to which
// dashboards' links lead, and which program it is. What is not here and has no customer is for who sees all.
var everybodys = []string{"watchbill_build_info", "watchbill_web_info"}

// nothing matches no value at all, the absent label's neither.
const nothing = `[^\x{0000}-\x{10FFFF}]`

// alertSeries are the series in which alerts are kept as Prometheus keeps them: with the names and labels of rules, which are
// the house's.
const alertSeries = "ALERTS|ALERTS_FOR_STATE"

// reachOf is the reach of what somebody sees: the series of their customers, and without those about rules for who does not
// see what is internal. Programs that scrape the whole fleet see all that is sampled of it.
func reachOf(s sight) reach {
	var r reach
	if !s.all() {
		var ids []string
		for _, id := range s.ids {
			if s.customer(id) {
				ids = append(ids, id)
			}
		}
		r.must = append(r.must, labels.MustNewMatcher(labels.MatchRegexp, "customer", cmp.Or(oneOf(ids), nothing)))
		r.shared = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "customer", "")}
	}
	if !s.inside() && !s.who.May(fleet.MayScrape) {
		r.must = append(r.must, labels.MustNewMatcher(labels.MatchNotRegexp, model.MetricNameLabel, alertSeries))
	}
	return r
}
