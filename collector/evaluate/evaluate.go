// Package evaluate is the edge around rules: it evaluates their groups on timers with the stock PromQL engine over the
// window, commits what changed and only then believes it.
//
//	Run ── one loop per group ── engine(window) ─► rules.Step ─► Committer ─► the states advance
//	                                   ▲               │
//	                                   └── recorded ◄──┘
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

	mu     sync.Mutex
	loaded bool
	groups []*group
	// local are the rules of groups that a review of one asset can judge by.
	local []rules.Group
	// orphans are states whose rule is not loaded. Once rules are, they end as rules.RuleGone.
	orphans map[string]*state
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
	e := &Evaluator{opts: o, changed: make(chan struct{}, 1), orphans: map[string]*state{}}
	e.engine = promql.NewEngine(promql.EngineOpts{
		Logger: o.Logger, MaxSamples: o.MaxSamples, Timeout: o.Timeout, LookbackDelta: window.StaleAfter,
		NoStepSubqueryIntervalFn: func(int64) int64 { return o.Interval.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: rules.NewParser(),
	})
	e.metrics = newMetrics(o.Registerer, e.count)
	return e
}

// Load replaces the groups, at once and together, after evaluations under way have ended. A rule that is still there by
// Origin.ID keeps its alerts; those of rules that are not end as rules.RuleGone with the next commit. The window is told
// what rules look back on.
func (e *Evaluator) Load(groups []rules.Group) {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.opts.Window.SetDemand(rules.Demand(groups))
	local := rules.Local(groups)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, s := range g.states {
			e.orphans[s.rule.Origin.ID] = s
		}
	}
	old := e.groups
	e.groups, e.loaded, e.local = nil, true, local
	for _, g := range groups {
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
	e.metrics.forget(old, e.groups)
	e.poke()
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

// Restored is an alert as it was committed last.
type Restored struct {
	Origin rules.Origin
	Alert  rules.Alert
}

// Restore puts pending and firing alerts back exactly as they were committed; others are ignored. Call it before Run,
// before or after Load. Alerts whose rule is not loaded end as rules.RuleGone.
func (e *Evaluator) Restore(alerts []Restored) {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	byRule := map[string]*state{}
	for _, g := range e.groups {
		for _, s := range g.states {
			byRule[s.rule.Origin.ID] = s
		}
	}
	for _, x := range alerts {
		if x.Alert.State != rules.Pending && x.Alert.State != rules.Firing {
			continue
		}
		id := x.Origin.ID
		s := byRule[id]
		if s == nil {
			s = e.orphans[id]
		}
		if s == nil {
			s = &state{origin: x.Origin}
			e.orphans[id] = s
		}
		s.restore(id, x.Alert)
	}
	e.poke()
}

// EvaluateOnce evaluates every group as of at, one after another in the order they were loaded, and commits what
// changed. The error joins those of rules that failed and of commits.
func (e *Evaluator) EvaluateOnce(ctx context.Context, at time.Time) error {
	e.turn.RLock()
	defer e.turn.RUnlock()
	errs := []error{e.bury(ctx, at)}
	for _, g := range e.snapshot() {
		errs = append(errs, e.evaluate(ctx, g, at))
	}
	return errors.Join(errs...)
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
	for _, id := range dead {
		e.vanish(e.orphans[id], at)
		delete(e.orphans, id)
	}
	return nil
}
