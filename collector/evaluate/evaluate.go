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

	// turn is held for reading by evaluations, for writing by what swaps groups: no state changes hands in between.
	turn sync.RWMutex
	// burial lets one bury run at a time.
	burial sync.Mutex

	workers sync.Pool // of *turn
	wheel   wheel
	arrived arrived

	mu     sync.Mutex
	loaded bool
	// all are the groups as they were loaded; groups has what of them is evaluated on timers, book what at arrival.
	all    []rules.Group
	groups []*group
	book   *book
	assets map[string]*asset
	// noted are the assets with something to show: alerts, and what is unknown.
	noted map[*asset]bool
	// resolved are alerts that fired and ended, oldest first, for resolvedFor.
	resolved []Standing
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
	// turn lets one evaluation of the group run at a time.
	turn sync.Mutex
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
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: rules.NewParser(),
	})
	e.metrics = newMetrics(o.Registerer, e.count, e.programs)
	return e
}

func made(o Options) *Evaluator {
	return &Evaluator{
		opts: o, changed: make(chan struct{}, 1), orphans: map[string]*state{}, book: newBook(nil), assets: map[string]*asset{},
		noted: map[*asset]bool{}, failing: map[string]map[string]error{}, workers: sync.Pool{New: func() any { return &turn{} }},
		wheel: wheel{wake: make(chan struct{}, 1)},
	}
}

// Load replaces the groups, at once and together, after evaluations under way have ended. A rule that is still there by
// Origin.ID keeps its alerts; those of rules that are not end as rules.RuleGone with the next commit. The window is told
// what rules look back on.
func (e *Evaluator) Load(groups []rules.Group) {
	e.load(groups, newBook(groups))
}

func (e *Evaluator) load(groups []rules.Group, b *book) {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.opts.Window.SetDemand(rules.Demand(groups))
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, s := range g.states {
			e.orphans[s.rule.Origin.ID] = s
		}
	}
	old := e.groups
	was := e.all
	e.all, e.groups, e.loaded, e.book = groups, nil, true, b
	for _, g := range rules.Spread(groups) {
		made := &group{Group: g, every: g.Interval}
		if made.every <= 0 {
			made.every = e.opts.Interval
		}
		for _, r := range g.Rules {
			made.states = append(made.states, e.adopt(r))
		}
		for _, o := range old {
			if o.Name == g.Name {
				made.last, made.took = o.last, o.took
			}
		}
		e.groups = append(e.groups, made)
	}
	e.metrics.forget(was, groups)
	e.arrived.load(b, e.metrics)
	for _, a := range e.assets {
		e.turnPage(a)
	}
	e.settleOrphans()
	e.poke()
}

// turnPage gives an asset the book; the states of rules that are not in it become orphans.
func (e *Evaluator) turnPage(a *asset) {
	for id, s := range a.adopt(e.book) {
		if s.recorded {
			a.ended = append(a.ended, id)
		}
		for _, al := range s.active {
			e.orphan(id, s.origin).restore(id, al)
		}
	}
}

// adopt makes a rule's state from what is known of it.
func (e *Evaluator) adopt(r *rules.Rule) *state {
	s := e.orphans[r.Origin.ID]
	if s == nil {
		return &state{rule: r}
	}
	delete(e.orphans, r.Origin.ID)
	s.rule, s.origin = r, r.Origin
	return s
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
	e.turn.RLock()
	defer e.turn.RUnlock()
	errs := []error{e.bury(ctx, at)}
	for _, st := range e.opts.Window.Assets() {
		e.assetOf(st.Name)
	}
	for _, a := range e.everyAsset() {
		errs = append(errs, e.evaluateAsset(ctx, a, at))
	}
	for _, g := range e.snapshot() {
		errs = append(errs, e.evaluate(ctx, g, at))
	}
	return errors.Join(errs...)
}

// evaluateAsset evaluates all groups of one asset as of at.
func (e *Evaluator) evaluateAsset(ctx context.Context, a *asset, at time.Time) error {
	a.mu.Lock()
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

// evaluate is one turn of one group; the caller holds e.turn for reading.
func (e *Evaluator) evaluate(ctx context.Context, g *group, at time.Time) error {
	g.turn.Lock()
	defer g.turn.Unlock()
	began := e.opts.Now()
	var errs []error
	var changes []rules.Transition
	next := make([]rules.Active, len(g.states))
	for i, s := range g.states {
		out, err := e.run(ctx, g, s, at)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %q of group %q at %s: %w", s.rule.Name(), g.Name, at.UTC().Format(time.RFC3339), err))
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
		s.active = next[i]
	}
	e.resolve(changes, at)
	return errors.Join(errs...)
}

// bury commits the end of alerts whose rule is gone; the caller holds e.turn for reading.
func (e *Evaluator) bury(ctx context.Context, at time.Time) error {
	e.burial.Lock()
	defer e.burial.Unlock()
	e.mu.Lock()
	var dead []string
	var changes []rules.Transition
	if e.loaded {
		for id, s := range e.orphans {
			dead = append(dead, id)
			changes = append(changes, s.ended(at)...)
		}
	}
	e.mu.Unlock()
	if len(changes) > 0 {
		if err := e.opts.Commit.Commit(ctx, at, changes); err != nil {
			return fmt.Errorf("commit the end of %d alerts whose rules were removed: %w", len(changes), err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resolve(changes, at)
	for _, id := range dead {
		e.vanish(e.orphans[id], at)
		delete(e.orphans, id)
	}
	return nil
}
