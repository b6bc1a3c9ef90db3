package api

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// QueryLimits bound what queries may take from the collector, whose work is to detect and to acknowledge.
type QueryLimits struct {
	// Timeout is how long a query may take, waiting for its turn included.
	Timeout policy.Duration `yaml:"timeout"`
	// MaxSamples is how many samples one query may hold in memory; 16 bytes each.
	MaxSamples int `yaml:"max_samples"`
	// MaxConcurrency is how many queries are answered at a time, 0 for half the processors; MaxQueued how many may wait.
	MaxConcurrency int `yaml:"max_concurrency"`
	MaxQueued      int `yaml:"max_queued"`
	// MaxLookback is how far before the time it is asked for an expression may reach; 0 for as far as there is history.
	MaxLookback policy.Duration `yaml:"max_lookback"`
}

// DefaultQueryLimits let one query have 80 MB and a dashboard's worth of them wait for a hundred people.
func DefaultQueryLimits() QueryLimits {
	return QueryLimits{Timeout: policy.Duration(30 * time.Second), MaxSamples: 5_000_000, MaxQueued: 2000}
}

// Bounds of the bounds.
const (
	maxQueryTimeout = 10 * time.Minute
	maxQueued       = 100_000
)

// Validate names every fault at once.
func (q QueryLimits) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if t := time.Duration(q.Timeout); t < time.Second || t > maxQueryTimeout {
		fault("query.timeout: must be 1s to %v, got %v", maxQueryTimeout, t)
	}
	if q.MaxSamples < 1000 {
		fault("query.max_samples: must be at least 1000, got %d", q.MaxSamples)
	}
	if q.MaxConcurrency < 0 {
		fault("query.max_concurrency: must be 0 (half the processors) or more, got %d", q.MaxConcurrency)
	}
	if q.MaxQueued < 0 || q.MaxQueued > maxQueued {
		fault("query.max_queued: must be 0 (nobody waits) to %d, got %d", maxQueued, q.MaxQueued)
	}
	if b := time.Duration(q.MaxLookback); b != 0 && b < window.StaleAfter {
		fault("query.max_lookback: must be 0 (no bound) or at least %v, which every selector looks back, got %v", window.StaleAfter, b)
	}
	return errors.Join(errs...)
}

// atOnce is how many queries are answered at a time. Half of the processors stay with agents and rules, whatever is asked.
func (q QueryLimits) atOnce() int {
	if q.MaxConcurrency > 0 {
		return q.MaxConcurrency
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}

// queries is what answers expressions.
type queries struct {
	terms atomic.Pointer[queryTerms]
	// gate is for what reads samples, looks for what looks at rules and assets.
	gate, looks *gate
	metrics     *queryMetrics
	packing     packing
	// every is the step of subqueries that name none.
	every time.Duration
}

// queryTerms are the limits in force with the engine that keeps them.
type queryTerms struct {
	QueryLimits
	engine *promql.Engine
	parsed *parsed
}

func newQueries(every time.Duration) *queries {
	m := newQueryMetrics()
	return &queries{gate: newGate(m.running, m.waiting), looks: newGate(nil, nil), metrics: m, every: every}
}

// gateOf is the gate of a kind of turn; nil for none.
func (q *queries) gateOf(t turn) *gate {
	switch t {
	case readTurn:
		return q.gate
	case lookTurn:
		return q.looks
	}
	return nil
}

// set puts limits into force for what is asked from now on.
func (q *queries) set(l QueryLimits) {
	handed := &parsed{Parser: rules.NewParser()}
	q.terms.Store(&queryTerms{QueryLimits: l, parsed: handed, engine: promql.NewEngine(promql.EngineOpts{
		MaxSamples: l.MaxSamples, Timeout: time.Duration(l.Timeout), LookbackDelta: window.StaleAfter,
		NoStepSubqueryIntervalFn: func(int64) int64 { return q.every.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: handed,
	})})
	q.gate.set(l.atOnce(), l.MaxQueued)
	q.looks.set(1, l.MaxQueued)
}

// SetQueryLimits puts limits into force for queries from now on.
func (a *API) SetQueryLimits(l QueryLimits) { a.queries.set(l) }

// parsed hands expressions to the engine as they were parsed, bounded and narrowed here: the engine takes text alone and
// parses it itself.
type parsed struct {
	parser.Parser
	next  atomic.Uint64
	ready sync.Map
}

// hand puts e down and gives the text under which the engine picks it up, once.
func (p *parsed) hand(e parser.Expr) string {
	key := strconv.FormatUint(p.next.Add(1), 10)
	p.ready.Store(key, e)
	return key
}

// ParseExpr implements parser.Parser.
func (p *parsed) ParseExpr(key string) (parser.Expr, error) {
	e, ok := p.ready.LoadAndDelete(key)
	if !ok {
		return nil, fmt.Errorf("expression %q was not handed over", key)
	}
	return e.(parser.Expr), nil
}

// queryMetrics show what is asked, and what was not answered.
type queryMetrics struct {
	took             *prometheus.HistogramVec
	running, waiting prometheus.Gauge
	refused          *prometheus.CounterVec
	narrowed         prometheus.Counter
}

// refusals are the reasons for which queries are not answered.
var refusals = []string{"crowded", "timeout", "canceled", "too_many_samples", "expression_too_big", "storage"}

func newQueryMetrics() *queryMetrics {
	m := &queryMetrics{
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "watchbill_query_duration_seconds",
			Help:    "Time that requests of Prometheus' API took, waiting for their turn included, by endpoint.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 30}}, []string{"endpoint"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_query_in_flight", Help: "Queries that are being answered."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "watchbill_query_waiting", Help: "Queries that wait for their turn (query.max_concurrency)."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_query_refused_total",
			Help: "Queries that were not answered, by reason: crowded, timeout, canceled, too_many_samples, expression_too_big, storage."}, []string{"reason"}),
		narrowed: prometheus.NewCounter(prometheus.CounterOpts{Name: "watchbill_query_narrowed_total",
			Help: "Expressions and selectors that were narrowed to what exists for who asked."}),
	}
	for _, r := range refusals {
		m.refused.WithLabelValues(r)
	}
	return m
}

// QueryMetrics are the figures of Prometheus' API. Register them once with the registry behind Options.Gatherer.
func (a *API) QueryMetrics() []prometheus.Collector {
	m := a.queries.metrics
	return []prometheus.Collector{m.took, m.running, m.waiting, m.refused, m.narrowed}
}

// count counts what was narrowed to a reach.
func (m *queryMetrics) count(r reach) {
	if len(r.must) > 0 {
		m.narrowed.Inc()
	}
}

// stopwatch takes the time of one request.
type stopwatch struct {
	took  prometheus.Observer
	began time.Time
}

func (m *queryMetrics) begin(endpoint string) stopwatch {
	return stopwatch{m.took.WithLabelValues(endpoint), time.Now()}
}

func (s stopwatch) end() { s.took.Observe(time.Since(s.began).Seconds()) }
