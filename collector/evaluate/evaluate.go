// Package evaluate is the edge around rules. Rules about one asset run as programs when a report of it arrives; the others
// on their group's timer with the stock PromQL engine. Both read the same window, and what changed is committed before it
// is believed.
//
//	Arrive ── one asset ── programs(window) ─┐
//	wheel ─── what no arrival will ──────────┼─► rules.Step ─► Committer ─► the states advance
//	Run ───── one loop per group ── engine ──┘        │
//	                      ▲                           │
//	                      └──────── recorded ◄────────┘
package evaluate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// Committer makes transitions durable, all or none. After nil they are; after an error the same alerts will be found
// to have changed again at the next evaluation, so a commit whose outcome is not known may be repeated with later times.
type Committer interface {
	Commit(ctx context.Context, at time.Time, ts []rules.Transition) error
}

// Options configure an Evaluator. Window and Commit are required; the others have defaults.
type Options struct {
	Window *window.Window
	Commit Committer
	// Interval is that of groups without one (15 s).
	Interval time.Duration
	// Timeout bounds one expression (30 s), MaxSamples the samples it holds in memory at once (5,000,000).
	Timeout    time.Duration
	MaxSamples int
	// AssetOf finds an instance in the fleet. An alert on an instance that is not in the fleet any more ends as
	// series gone. Nil: every instance is taken to be there.
	AssetOf func(instance string) (window.Asset, bool)
	// Others are alerts that stand beside those of rules; Alerts and the metrics show them too. Nil: there are none.
	Others func() []Standing
	// Recorded is told what recording rules made, and stale markers where they make a series no more; also ALERTS that rules
	// read. Samples are the caller's again when it returns, labels stay. Nil: nobody wants to know.
	Recorded func([]promql.Sample)
	// ExternalLabels and ExternalURL are for templates.
	ExternalLabels map[string]string
	ExternalURL    *url.URL
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
	Now            func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Interval <= 0 {
		o.Interval = 15 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxSamples <= 0 {
		o.MaxSamples = 5_000_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Evaluator keeps the states of all alerts. Its methods may be called concurrently.
type Evaluator struct {
	opts    Options
	engine  *promql.Engine
	metrics metrics
	changed chan struct{} // Run has to look at the groups

	// change lets one Load or bury run at a time; evaluations go on meanwhile. It guards demand, what the window is asked to
	// keep, and wanted, what the loaded rules need of that.
	change         sync.Mutex
	demand, wanted []window.Selector

	workers sync.Pool // of *turn
	wheel   wheel
	arrived arrived

	mu     sync.Mutex
	loaded bool
	// all are the groups as they were loaded; groups has what of them is evaluated on timers, book what at arrival.
	all    []rules.Group
	groups []*group
	book   *book
	// wide says that the window is asked to keep what only rules of before need; leaving are the turns of groups of
	// before that are being evaluated.
	wide    bool
	leaving []*sync.Mutex
	// turns are those of groups, by name: one that is loaded again has the turn of the one that may be under way yet.
	turns  map[string]*sync.Mutex
	assets map[string]*asset
	// noted are the assets with something to show: alerts, and what is unknown.
	noted    map[*asset]bool
	resolved resolved
	// orphans are states whose rule is not loaded. Once rules are, they end as rules.RuleGone.
	orphans map[string]*state
	// failing are the rules of the book that fail, by their identity, and for which assets.
	failing map[string]map[string]error
}

// group is one loaded group.
type group struct {
	rules.Group
	every  time.Duration
	states []*state
	// turn lets one evaluation of the group run at a time, of the group of that name that was loaded before, too.
	turn *sync.Mutex
	last time.Time
	took time.Duration
	err  error // of the last commit
}

// New makes an Evaluator that has no rules yet and does nothing.
func New(o Options) *Evaluator {
	o = o.withDefaults()
	e := made(o)
	e.engine = promql.NewEngine(promql.EngineOpts{
		Logger: o.Logger, MaxSamples: o.MaxSamples, Timeout: o.Timeout, LookbackDelta: window.StaleAfter,
		NoStepSubqueryIntervalFn: func(int64) int64 { return o.Interval.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true,
		Parser: affordable{rules.NewParser(), o.Interval, o.MaxSamples},
	})
	e.metrics = newMetrics(o.Registerer, e.count, e.programs)
	return e
}

// affordable parses what the engine can hold: rules, and the queries of their templates, whose texts are made as they are asked.
type affordable struct {
	parser.Parser
	every time.Duration
	most  int
}

// ParseExpr implements parser.Parser.
func (p affordable) ParseExpr(text string) (parser.Expr, error) {
	e, err := p.Parser.ParseExpr(text)
	if err != nil {
		return nil, err
	}
	return e, rules.CheckSubqueries(e, time.Time{}, time.Time{}, p.every, p.most)
}

func made(o Options) *Evaluator {
	return &Evaluator{
		opts: o, changed: make(chan struct{}, 1), orphans: map[string]*state{}, book: newBook(nil), assets: map[string]*asset{}, turns: map[string]*sync.Mutex{},
		noted: map[*asset]bool{}, failing: map[string]map[string]error{}, workers: sync.Pool{New: func() any { return &turn{} }},
		wheel: wheel{wake: make(chan struct{}, 1)},
	}
}

func (e *Evaluator) poke() {
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// EvaluateOnce evaluates every rule as of at: those about one asset for every asset, then the other groups one after
// another in the order they were loaded, and commits what changed. The error joins those of rules that failed and of
// commits.
func (e *Evaluator) EvaluateOnce(ctx context.Context, at time.Time) error {
	errs := []error{e.bury(ctx, at)}
	for _, st := range e.opts.Window.Assets() {
		e.assetOf(st.Name)
	}
	for _, a := range e.everyAsset() {
		errs = append(errs, e.evaluateAsset(ctx, a.name, at))
	}
	for _, g := range e.snapshot() {
		errs = append(errs, e.evaluate(ctx, g, at))
	}
	return errors.Join(errs...)
}

// evaluateAsset evaluates all groups of one asset as of at.
func (e *Evaluator) evaluateAsset(ctx context.Context, name string, at time.Time) error {
	a := e.hold(name)
	defer e.leave(a)
	t := at.UnixMilli()
	if t <= a.at {
		return nil
	}
	if err := e.judge(ctx, a, t, a.everything()); err != nil {
		return err
	}
	e.wait(a)
	return a.faults(at)
}

func (e *Evaluator) snapshot() []*group {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.groups)
}

// evaluate is one turn of one group, as it is loaded when its turn comes. What is loaded meanwhile waits for its end.
func (e *Evaluator) evaluate(ctx context.Context, g *group, at time.Time) error {
	g.turn.Lock()
	defer e.quit(g.turn)
	if g = e.present(g); g == nil {
		return nil
	}
	began := e.opts.Now()
	var errs []error
	var changes []rules.Transition
	next := make([]rules.Active, len(g.states))
	for i, s := range g.states {
		r := g.Rules[i] // s.rule is that of whoever loads next
		out, err := e.run(ctx, g, s, r, at)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %q of group %q at %s: %w", r.Name(), g.Name, at.UTC().Format(time.RFC3339), err))
		}
		next[i] = out.active
		changes = append(changes, out.changes...)
	}
	commit := error(nil)
	if len(changes) > 0 {
		commit = e.opts.Commit.Commit(ctx, at, changes)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	g.last, g.took, g.err = at, e.opts.Now().Sub(began), nil
	if commit != nil {
		g.err = fmt.Errorf("commit %d transitions of group %q at %s: %w", len(changes), g.Name, at.UTC().Format(time.RFC3339), commit)
		return errors.Join(append(errs, g.err)...)
	}
	for i, s := range g.states {
		s.active, s.own = next[i], false
	}
	e.resolve(changes)
	return errors.Join(errs...)
}
