package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// never is before all times.
const never = math.MinInt64

// Arrive evaluates the rules about one asset on what the window has of it now, as of its newest sample (or, where only a
// source that is behind the others said something new, a millisecond after the last evaluation), and returns when what changed
// is committed: whoever brought the samples may then be told that they are taken in. Without news since the last time it
// does nothing. The error is that of the commit: nothing has changed then, and the next call finds the
// same again. Rules that fail are counted and shown; they stop nothing.
func (e *Evaluator) Arrive(ctx context.Context, name string) error {
	a := e.hold(name)
	defer e.leave(a)
	newest, news := int64(never), uint64(0)
	e.opts.Window.View(name, func(v window.View) { newest, news = v.Newest() })
	if news == a.news && newest <= a.newest || newest == never {
		return nil
	}
	if err := e.judge(ctx, a, a.after(newest), nil); err != nil {
		e.later(a, e.opts.Now().Add(retryCommit))
		return err
	}
	a.newest, a.news = newest, news
	e.wait(a)
	return nil
}

// retryCommit is when a commit that failed is tried again although nothing arrives.
const retryCommit = 5 * time.Second

// judge evaluates the groups of an asset that are due at t, or just those of only when it is not nil, and commits. The
// caller has the asset's turn.
func (e *Evaluator) judge(ctx context.Context, a *asset, t int64, only []bool) error {
	a.stirred.Store(false)
	w := e.workers.Get().(*turn)
	defer e.workers.Put(w)
	w.begin(a, t, only)
	for _, id := range a.ended {
		e.opts.Window.Unrecord(a.name, id, time.UnixMilli(t))
	}
	a.ended = nil
	began := e.opts.Now()
	for i := 0; i < len(a.book.rules); {
		var rec *recording
		heard := e.opts.Window.View(a.name, func(v window.View) {
			a.shown.Lock()
			defer a.shown.Unlock()
			a.rebind(v)
			i, rec = w.judge(a, v, i, t)
		})
		if !heard {
			w.unheard(a, t)
			break
		}
		if rec != nil {
			e.record(a, rec, w.values, t)
		}
	}
	err := e.settle(ctx, a, w, t)
	e.metrics.took(e.opts.Now().Sub(began))
	a.shown.Lock()
	defer a.shown.Unlock()
	if err != nil {
		a.tried = t
		for _, s := range w.spaced {
			s.state.at = s.was
		}
		return err
	}
	a.at, a.tried = t, 0
	for i, n := range w.ran {
		if n > 0 {
			a.counts[i].evaluated(n, t)
			a.begun[i] = t
		}
	}
	return nil
}

// after is t, or just after what was evaluated already. The same evaluation again is at the same time, so that it is the same
// decision.
func (a *asset) after(t int64) int64 {
	t = max(t, a.at+1)
	if t < a.tried {
		return a.tried + 1
	}
	return t
}

// begin readies a worker for an asset: only says which groups are asked for, nil those that are due at t.
func (w *turn) begin(a *asset, t int64, only []bool) {
	w.open, w.ran, w.due, w.spaced = w.open[:0], w.ran[:0], w.due[:0], w.spaced[:0]
	for i, g := range a.book.groups {
		w.ran = append(w.ran, 0)
		w.due = append(w.due, only != nil && only[i] || only == nil && a.due(g, t))
	}
}

// due tells whether a group is due at t: one without an interval always, another at or after each multiple of it.
func (a *asset) due(g *localGroup, t int64) bool {
	every := g.Interval.Milliseconds()
	return every == 0 || t/every > a.begun[g.index]/every
}

// record writes what a recording rule made.
func (e *Evaluator) record(a *asset, rec *recording, values []float64, t int64) {
	at := time.UnixMilli(t - rec.rule.QueryOffset.Milliseconds())
	if rec.use == nil {
		e.opts.Window.Unrecord(a.name, rec.rule.Origin.ID, at)
		return
	}
	doubted := slices.ContainsFunc(rec.lanes, func(lane int32) bool {
		return e.doubtful(rec.rule.Rule, a.who.Labels(rec.use.prog.Labels(int(lane))), time.UnixMilli(t))
	})
	e.opts.Window.Record(a.name, rec.rule.Origin.ID, rec.use.layout, at, values, doubted)
	if e.opts.Recorded != nil {
		made := make([]promql.Sample, len(values))
		for i, v := range values {
			made[i] = promql.Sample{Metric: a.who.Labels(rec.use.layout.Series[i]), T: at.UnixMilli(), F: v}
		}
		e.opts.Recorded(made)
	}
}

// advance is where one rule stands after an evaluation, once it is committed.
type advance struct {
	opened
	active  rules.Active
	unknown map[string]string
}

// settle steps the alerts of what is open, commits what changed and then believes it.
func (e *Evaluator) settle(ctx context.Context, a *asset, w *turn, t int64) error {
	var changes []rules.Transition
	steps := make([]advance, 0, len(w.open))
	at := time.UnixMilli(t).UTC()
	for _, o := range w.open {
		next := advance{opened: o}
		if o.rule.Alerting() {
			var cs []rules.Transition
			next, cs = e.step(ctx, a, o, at)
			changes = append(changes, cs...)
		}
		if next.err != nil {
			a.counts[o.rule.group.index].failures.Inc()
		}
		steps = append(steps, next)
	}
	if len(changes) > 0 {
		if err := e.opts.Commit.Commit(ctx, at, changes); err != nil {
			err = fmt.Errorf("commit %d transitions of %s at %s: %w", len(changes), a.name, at.Format(time.RFC3339), err)
			e.kept(a, err, nil, at)
			return err
		}
	}
	for _, s := range steps {
		e.believe(ctx, a, s, at)
	}
	if len(steps) > 0 || a.err != nil {
		e.kept(a, nil, changes, at)
	}
	if a.book.alerts {
		e.writeAlerts(a, at)
	}
	return nil
}

// kept notes how a commit of the asset went.
func (e *Evaluator) kept(a *asset, err error, changes []rules.Transition, at time.Time) {
	a.shown.Lock()
	a.err = err
	a.shown.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.noted[a] = true
	e.resolve(changes)
}

// step finds what a result means for a rule's alerts.
func (e *Evaluator) step(ctx context.Context, a *asset, o opened, at time.Time) (advance, []rules.Transition) {
	out := advance{opened: o, unknown: map[string]string{}}
	s := a.states[o.rule.index]
	if s != nil {
		out.active = e.current(ctx, a, o.rule.index)
	}
	if o.err != nil {
		if s != nil {
			out.unknown = s.unknown
		}
		return out, nil
	}
	in := e.input(o.rule.Rule, at, e.vector(a, o, at), out.unknown)
	if o.doubted {
		in.Look = doubting(in.Look, out.unknown)
	}
	var changes []rules.Transition
	out.active, changes, out.err = o.rule.Step(ctx, out.active, in)
	return out, changes
}

// doubting is look for a result that was made of something doubted.
func doubting(look func(rules.Sought) window.Standing, unknown map[string]string) func(rules.Sought) window.Standing {
	return func(q rules.Sought) window.Standing {
		st := look(q)
		if st.State == window.Live {
			st.State, st.Reason = window.Unknown, "a recorded series that it reads was made of what was not known"
			unknown[q.ID] = st.Reason
		}
		return st
	}
}

// vector is a result as the rules know it.
func (e *Evaluator) vector(a *asset, o opened, at time.Time) promql.Vector {
	if len(o.samples) == 0 {
		return nil
	}
	out := make(promql.Vector, len(o.samples))
	for i, x := range o.samples {
		out[i] = promql.Sample{
			Metric: a.who.Labels(o.use.prog.Labels(int(x.Lane))), F: x.V, T: at.Add(-o.rule.QueryOffset).UnixMilli(),
		}
	}
	return out
}

// believe takes what is committed for true.
func (e *Evaluator) believe(ctx context.Context, a *asset, x advance, at time.Time) {
	var ids []string
	if x.rule.Alerting() && x.err == nil && len(x.unknown) == 0 && len(x.active) == len(x.samples) {
		ids = e.identify(ctx, a, x, at)
	}
	if failed := a.states[x.rule.index] != nil && a.states[x.rule.index].err != nil; failed || x.err != nil {
		e.fail(a, x)
	}
	a.shown.Lock()
	defer a.shown.Unlock()
	s := a.stateOf(x.rule)
	s.err = x.err
	if !x.rule.Alerting() {
		return
	}
	s.active, s.unknown = x.active, x.unknown
	s.quiet, s.until = nil, math.MaxInt64
	if a.bound[x.rule.index].use == x.use { // else lanes are others
		s.hush(x, ids)
	}
	if s.empty() && s.at == 0 {
		a.states[x.rule.index] = nil
	}
}

// identify are the alerts of the samples, in their order; nil when they cannot be told before a rule's labels are expanded.
func (e *Evaluator) identify(ctx context.Context, a *asset, x advance, at time.Time) []string {
	return x.rule.IDs(ctx, e.input(x.rule.Rule, at, e.vector(a, x.opened, at), nil))
}

// hush notes which lanes the alerts are, and until when only their values can change.
func (s *localState) hush(x advance, ids []string) {
	if len(ids) == 0 {
		return
	}
	quiet := make([]held, len(ids))
	for i, id := range ids {
		al, ok := s.active[id]
		if !ok || !al.KeepFiringSince.IsZero() {
			return
		}
		if al.State == rules.Pending {
			s.until = min(s.until, al.ActiveAt.Add(x.rule.For).UnixMilli())
		}
		quiet[i] = held{lane: x.samples[i].Lane, id: id, value: x.samples[i].V}
	}
	s.quiet = quiet
}

// writeAlerts writes ALERTS, which some rule on a timer reads.
func (e *Evaluator) writeAlerts(a *asset, at time.Time) {
	a.shown.Lock()
	defer a.shown.Unlock()
	for i, s := range a.states {
		r := a.book.rules[i]
		if s != nil && r.Alerting() && (len(s.active) > 0 || len(s.written) > 0) {
			s.written = e.write(s.written, r.Samples(s.active, at), at.Add(-r.QueryOffset))
		}
	}
}

// fail keeps which assets a rule fails for.
func (e *Evaluator) fail(a *asset, x advance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.book.byID[x.rule.Origin.ID] == nil {
		return // it was loaded no more when this ended
	}
	if x.err == nil {
		delete(e.failing[x.rule.Origin.ID], a.name)
		return
	}
	if e.failing[x.rule.Origin.ID] == nil {
		e.failing[x.rule.Origin.ID] = map[string]error{}
	}
	if old := e.failing[x.rule.Origin.ID][a.name]; old == nil || old.Error() != x.err.Error() {
		e.opts.Logger.Warn("a rule fails for an asset; its alerts stay as they are", "rule", x.rule.Name(), "group", x.rule.group.Name,
			"asset", a.name, "err", x.err)
	}
	e.failing[x.rule.Origin.ID][a.name] = x.err
}
