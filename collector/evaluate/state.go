package evaluate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// state is what is known of one rule; Evaluator.mu guards what readers see of it.
type state struct {
	rule   *rules.Rule // nil for one that only Restore knows
	turn   *sync.Mutex // that of its group; nil for one that never had one
	origin rules.Origin
	active rules.Active
	// own is true while nobody else holds the map of active, so that it can be changed in place: thousands of alerts of one rule
	// are restored at a start. It never is of a rule that is loaded, whose evaluation reads the map on its own.
	own bool
	// written is what the rule wrote into the window last.
	written rules.Written
	err     error
	at      time.Time
	took    time.Duration
	// unknown says, for alerts and for results that are not alerts yet, why nothing can be said about them.
	unknown map[string]string
}

// restore puts an alert back as it was committed; the caller holds mu.
func (s *state) restore(ruleID string, a rules.Alert) {
	if !s.own {
		s.active, s.own = maps.Clone(s.active), true
		if s.active == nil {
			s.active = rules.Active{}
		}
	}
	s.active[rules.AlertID(ruleID, a.Labels)] = a
}

// ended are the transitions that end all alerts of a rule that is gone.
func (s *state) ended(at time.Time) []rules.Transition {
	var out []rules.Transition
	for _, id := range slices.Sorted(maps.Keys(s.active)) {
		a := s.active[id]
		from := a.State
		a.State, a.End, a.EndedAt = rules.Inactive, rules.RuleGone, at
		out = append(out, rules.Transition{Origin: s.from(), From: from, Alert: a})
	}
	return out
}

func (s *state) from() rules.Origin {
	if s.rule != nil {
		return s.rule.Origin
	}
	return s.origin
}

// outcome is what one evaluation of one rule leads to, once it is committed.
type outcome struct {
	active  rules.Active
	changes []rules.Transition
}

// run evaluates one rule. After an error its alerts stay as they are.
func (e *Evaluator) run(ctx context.Context, g *group, s *state, r *rules.Rule, at time.Time) (outcome, error) {
	began := e.opts.Now()
	out := outcome{active: s.active}
	unknown := map[string]string{}
	result, err := e.query(ctx, r.Expr.String(), at.Add(-r.QueryOffset))
	if err == nil {
		if r.Alerting() {
			out.active, out.changes, err = r.Step(ctx, s.active, e.input(r, at, result, unknown))
			result = r.Samples(out.active, at)
		} else {
			result, err = r.Recorded(result)
		}
	}
	if err == nil {
		s.written = e.write(s.written, result, at.Add(-r.QueryOffset))
		if !r.Alerting() {
			e.doubt(r, result, at)
		}
	}
	took := e.opts.Now().Sub(began)
	e.metrics.evaluated(g.Name, took, err)
	e.mu.Lock()
	defer e.mu.Unlock()
	s.err, s.at, s.took = err, at, took
	if err == nil {
		s.unknown = unknown
	}
	return out, err
}

func (e *Evaluator) input(r *rules.Rule, at time.Time, result promql.Vector, unknown map[string]string) rules.Input {
	return rules.Input{
		At: at, Result: result, Query: e.query, AssetOf: e.opts.AssetOf,
		ExternalLabels: e.opts.ExternalLabels, ExternalURL: e.opts.ExternalURL,
		Look: func(q rules.Sought) window.Standing {
			st := e.look(r, at, q)
			if st.State == window.Unknown {
				unknown[q.ID] = st.Reason
			}
			return st
		},
	}
}

func (e *Evaluator) look(r *rules.Rule, at time.Time, q rules.Sought) window.Standing {
	if len(r.Selectors) == 0 {
		return window.Standing{State: window.Live}
	}
	st := e.opts.Window.Look(window.Question{
		Selectors: r.Selectors, Labels: q.Labels, At: at.Add(-r.QueryOffset), Holds: q.Holds,
	})
	if st.State == window.Unknown && r.Resolves() {
		st.State, st.Reason = window.Live, ""
	}
	if instance := q.Labels.Get("instance"); st.State == window.Unknown && instance != "" && e.opts.AssetOf != nil {
		if _, ok := e.opts.AssetOf(instance); !ok {
			return window.Standing{State: window.Gone, Reason: instance + " is not in the fleet", Newest: st.Newest}
		}
	}
	return st
}

// query evaluates an expression as of t.
func (e *Evaluator) query(ctx context.Context, expr string, t time.Time) (promql.Vector, error) {
	q, err := e.engine.NewInstantQuery(ctx, e.opts.Window, nil, expr, t)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	switch res := q.Exec(ctx); v := res.Value.(type) {
	case promql.Vector:
		return slices.Clone(v), res.Err // Close gives the engine its memory back
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, res.Err
	default:
		if res.Err != nil {
			return nil, res.Err
		}
		return nil, fmt.Errorf("expression %q gives a %T, want a vector or a scalar", expr, v)
	}
}

// write puts what a rule gave into the window, where the rules after it read it, and ends what it gives no more.
func (e *Evaluator) write(was rules.Written, now promql.Vector, at time.Time) rules.Written {
	next, ended := was.Next(now, at)
	all := slices.Concat(now, ended)
	if e.opts.Recorded != nil {
		e.opts.Recorded(all)
	}
	for _, s := range all {
		if s.H == nil { // the window has no histograms
			e.opts.Window.AppendRecorded(s.Metric, timestamp.Time(s.T), s.F)
		}
	}
	return next
}

// doubt marks what a recording rule made of what is not known.
func (e *Evaluator) doubt(r *rules.Rule, made promql.Vector, at time.Time) {
	for _, smpl := range made {
		if e.doubtful(r, smpl.Metric, at) {
			e.opts.Window.DoubtRecorded(smpl.Metric, timestamp.Time(smpl.T))
		}
	}
}

// doubtful tells whether a recording rule made a series, at that time, of what is not known.
func (e *Evaluator) doubtful(r *rules.Rule, lbls labels.Labels, at time.Time) bool {
	lb := labels.NewBuilder(lbls).Del(model.MetricNameLabel)
	r.Labels.Range(func(l labels.Label) { lb.Del(l.Name) }) // the rule's, not its series'
	return e.look(r, at, rules.Sought{Labels: lb.Labels(), Holds: true}).State == window.Unknown
}

// vanish ends the series that a removed rule wrote.
func (e *Evaluator) vanish(s *state, at time.Time) {
	if s != nil {
		s.written = e.write(s.written, nil, at)
	}
}

// unwrite ends the ALERTS that a rule wrote about an asset.
func (e *Evaluator) unwrite(s *localState) {
	if len(s.written) > 0 {
		s.written = e.write(s.written, nil, e.opts.Now())
	}
}
