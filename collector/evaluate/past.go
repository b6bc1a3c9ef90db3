package evaluate

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// MaxEpisodes bounds what is told in detail of one review.
const MaxEpisodes = 50

// Episode is one alert within the time nobody saw. An alert that came back counts as one episode.
type Episode struct {
	Origin rules.Origin
	// Alert as it stood last: FiredAt, EndedAt and End are those of its last firing; EndedAt is zero when the last report
	// of the review still had it.
	Alert rules.Alert
	// Since is when it first became active, Times how often it fired.
	Since time.Time
	Times int
	// Worst is its worst value while it fired, and WorstAt when it had it.
	Worst   rules.Value
	WorstAt time.Time
	// Curves are samples of the series it is about, from before it began to its end, as far as rules look back.
	Curves []Curve
}

// Curve is one series over some time, oldest sample first.
type Curve struct {
	Labels labels.Labels
	Points []Point
}

// Point is one sample of a curve.
type Point struct {
	T time.Time
	V float64
}

// review is one asset's. Reviews.mu guards what is above the line, whoever holds Reviews.turn what is below.
type review struct {
	asset  window.Asset
	queue  []Past
	queued int64 // bytes
	// held is what the window takes, charged what was reckoned last.
	held, charged int64
	closed        bool
	// whole says that nothing is missing between its reports and the one the asset came back with.
	whole  bool
	fed    time.Time
	served uint64
	// again is when a closed review is looked at next.
	again time.Time

	o      ReviewOptions
	opened time.Time
	back   Past
	// window, eval and what live alerts were known are nil once all is judged, or judging was given up: done. eval is made
	// when it is needed: thousands of assets may wait for their turn.
	window   *window.Window
	known    []Restored
	eval     *Evaluator
	done     bool
	last     Past
	from, to time.Time
	reports  int
	unjudged string
	episodes map[string]*Episode
	order    []string
	more     int
	// judgedAt is when all reports were judged; zero before.
	judgedAt time.Time
}

func newReview(o ReviewOptions, a window.Asset, before *window.Window, since time.Time, back Past) *review {
	if before == nil {
		before = window.New(window.Options{})
	}
	now := o.Now()
	v := &review{asset: a, o: o, opened: now, fed: now, back: back, window: before, episodes: map[string]*Episode{}}
	v.known = o.Live.activeOf(a.Name, since)
	if st, ok := before.Asset(a.Name); ok {
		v.last.At = st.Received
	}
	v.held = v.weigh()
	return v
}

// activeOf are the pending and firing alerts of an asset that were so before since.
func (e *Evaluator) activeOf(asset string, since time.Time) (out []Restored) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, s := range g.states {
			for _, a := range s.active {
				if a.ActiveAt.Before(since) && a.Labels.Get("instance") == asset {
					out = append(out, Restored{Origin: s.rule.Origin, Alert: a})
				}
			}
		}
	}
	return out
}

// apart is an evaluator with the same local rules over another window, committing elsewhere.
func (e *Evaluator) apart(w *window.Window, c Committer) *Evaluator {
	o := e.opts
	o.Window, o.Commit, o.Registerer = w, c, nil
	made := &Evaluator{opts: o.withDefaults(), engine: e.engine, changed: make(chan struct{}, 1), orphans: map[string]*state{}}
	made.metrics = newMetrics(made.opts.Registerer, made.count)
	e.mu.Lock()
	groups := e.local
	e.mu.Unlock()
	made.Load(groups)
	return made
}

// take judges the time up to p and then puts p into the window.
func (v *review) take(ctx context.Context, p Past) {
	if p.Unseen {
		if v.reports++; v.from.IsZero() || p.At.Before(v.from) {
			v.from = p.At
		}
		if p.At.After(v.to) {
			v.to = p.At
		}
	}
	if v.done {
		return
	}
	if v.eval == nil {
		v.eval = v.o.Live.apart(v.window, v)
		v.eval.Restore(v.known)
	}
	fillsIn := !p.At.After(v.last.At)
	if !fillsIn && v.last.Unseen {
		v.judge(ctx, p.At)
	}
	for i := range p.Blocks {
		p.Blocks[i].Late = fillsIn
	}
	v.window.Apply(v.asset, p.At, p.Blocks)
	if fillsIn {
		return
	}
	if v.hole(p) {
		v.window.SetCompleteSince(v.asset.Name, p.At)
	}
	p.Blocks = nil
	v.last = p
}

// hole tells whether reports may be missing between the last one and p.
func (v *review) hole(p Past) bool {
	if v.last.At.IsZero() || v.last.Epoch == p.Epoch && v.last.Sequence+1 == p.Sequence || p.Sequence == 1 {
		return false
	}
	st, _ := v.window.Asset(v.asset.Name)
	return p.At.Sub(v.last.At) > 3*st.Interval
}

// judge evaluates each group at its first boundary from the last report on, and, where an alert only waits for its `for`,
// at the last boundary before the next report, too.
func (v *review) judge(ctx context.Context, next time.Time) {
	for _, g := range v.eval.snapshot() {
		at := ceil(v.last.At, g.every)
		if !at.Before(next) || !at.After(g.last) {
			continue
		}
		v.evaluate(ctx, g, at)
		before := ceil(next, g.every).Add(-g.every)
		if before.After(at) && waits(g) {
			v.evaluate(ctx, g, before)
		}
	}
}

// ceil is the first multiple of every at or after t.
func ceil(t time.Time, every time.Duration) time.Time {
	if down := t.Truncate(every); !down.Equal(t) {
		return down.Add(every)
	}
	return t
}

func waits(g *group) bool {
	for _, s := range g.states {
		for _, a := range s.active {
			if a.State == rules.Pending || !a.KeepFiringSince.IsZero() {
				return true
			}
		}
	}
	return false
}

// evaluate is one turn of one group. A rule that fails leaves its alerts as they are, as live; its failures are live too.
func (v *review) evaluate(ctx context.Context, g *group, at time.Time) {
	if err := v.eval.evaluate(ctx, g, at); err != nil && ctx.Err() == nil {
		v.o.Logger.Debug("a rule failed in a review", "asset", v.asset.Name, "group", g.Name, "err", err)
	}
	for _, s := range g.states {
		for id, a := range s.active {
			if e := v.episodes[id]; e != nil && e.Alert.EndedAt.IsZero() && a.State == rules.Firing {
				e.worse(s.rule, a.Value, at)
			}
		}
	}
}

func (e *Episode) worse(r *rules.Rule, v rules.Value, at time.Time) {
	if e.WorstAt.IsZero() || r != nil && r.Below() && v < e.Worst || (r == nil || !r.Below()) && v > e.Worst {
		e.Worst, e.WorstAt = v, at
	}
}

// Commit notes what changed, as the Committer of the review's own evaluator.
func (v *review) Commit(_ context.Context, at time.Time, ts []rules.Transition) error {
	for _, t := range ts {
		id := t.ID()
		e := v.episodes[id]
		switch {
		case t.Alert.Labels.Get("instance") != v.asset.Name:
		case t.Alert.State == rules.Firing && t.From != rules.Firing:
			if e == nil {
				if e = v.episode(id, t); e == nil {
					continue
				}
			}
			e.Times++
			e.Origin, e.Alert = t.Origin, t.Alert
			e.worse(v.rule(t.Origin.ID), t.Alert.Value, at)
		case e != nil && t.From == rules.Firing:
			e.Alert = t.Alert
			if t.Alert.State == rules.Inactive {
				e.Curves = v.curves(t)
			}
		}
	}
	return nil
}

func (v *review) episode(id string, t rules.Transition) *Episode {
	if len(v.episodes) >= MaxEpisodes {
		v.more++
		return nil
	}
	e := &Episode{Since: t.Alert.ActiveAt}
	v.episodes[id], v.order = e, append(v.order, id)
	return e
}

func (v *review) rule(id string) *rules.Rule {
	for _, g := range v.eval.snapshot() {
		for _, s := range g.states {
			if s.rule.Origin.ID == id {
				return s.rule
			}
		}
	}
	return nil
}

// giveUp lets go of what was not judged.
func (v *review) giveUp(why string) {
	v.unjudged = why
	v.over()
}

// over lets go of all that judging needs.
func (v *review) over() { v.window, v.eval, v.known, v.done = nil, nil, nil, true }

// evaluatorBytes is about what an evaluator of the shipped rules takes beside its window.
const evaluatorBytes = 48 << 10

// weigh is about what the review holds beside its queue.
func (v *review) weigh() int64 {
	n := int64(4096)
	if v.window != nil {
		n += v.window.Stats().Bytes
	}
	if v.eval != nil {
		n += evaluatorBytes
	}
	for _, e := range v.episodes {
		for _, c := range e.Curves {
			n += 64 + 40*int64(len(c.Points))
		}
	}
	return n
}

// finish judges the end: the report the asset came back with, and whether what still fires is now a live alert. ok is
// false while the live rules have not said.
func (v *review) finish(ctx context.Context, now time.Time) (out Unseen, ok bool) {
	if v.judgedAt.IsZero() {
		v.judgedAt = now
		if !v.done {
			v.judgeEnd(ctx)
		}
	}
	out = Unseen{Asset: v.asset, From: v.from, To: v.to, Reports: v.reports, More: v.more, Unjudged: v.unjudged}
	for _, id := range v.order {
		e := *v.episodes[id]
		if !e.Alert.EndedAt.IsZero() {
			out.Found = append(out.Found, e)
			continue
		}
		switch v.o.Live.verdict(e.Origin.ID, id, later(v.last.At, v.opened)) {
		case isLive:
			out.Live = append(out.Live, e)
		case isOver:
			out.Found = append(out.Found, e)
		default:
			if now.Sub(v.judgedAt) < v.patience(e) {
				return Unseen{}, false
			}
			out.Found = append(out.Found, e)
		}
	}
	slices.SortStableFunc(out.Found, func(a, b Episode) int { return a.Since.Compare(b.Since) })
	return out, true
}

// judgeEnd judges the report the asset came back with and lets go of the window.
func (v *review) judgeEnd(ctx context.Context) {
	if v.whole && v.back.At.After(v.last.At) {
		seen := v.back
		seen.Blocks = slices.Clone(seen.Blocks)
		v.take(ctx, seen)
	}
	if v.reports > 0 && v.eval != nil {
		for _, g := range v.eval.snapshot() { // the last word is judged as well: what it ended is over
			if at := ceil(v.last.At, g.every); at.After(g.last) {
				v.evaluate(ctx, g, at)
			}
		}
	}
	for _, id := range v.order {
		if e := v.episodes[id]; e.Alert.EndedAt.IsZero() {
			e.Curves = v.curves(rules.Transition{Origin: e.Origin, Alert: e.Alert})
		}
	}
	v.over()
}

// patience is how long the live rules may take to say whether an alert is theirs: its `for`, and what it looks back on,
// an hour at most. After that it is told rather than lost.
func (v *review) patience(e Episode) time.Duration {
	d := e.Origin.For + 5*time.Minute
	return min(d, time.Hour)
}

// verdict is what live evaluation says of an alert.
type verdict int

const (
	notSaid verdict = iota // the rule was not evaluated since, or does not know, or the alert is pending
	isLive                 // it fires
	isOver                 // the rule was evaluated, knows, and there is no such alert
)

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// verdict looks an alert up among the live ones, as evaluated at since or later.
func (e *Evaluator) verdict(ruleID, alertID string, since time.Time) verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, s := range g.states {
			if s.rule.Origin.ID != ruleID {
				continue
			}
			a, active := s.active[alertID]
			_, unknown := s.unknown[alertID]
			// Of the group, not of the rule: its time is set together with its alerts.
			said := !g.last.Before(since) && g.err == nil && s.err == nil
			switch {
			case active && a.State == rules.Firing:
				return isLive
			case active, unknown, !said:
				return notSaid
			}
			return isOver
		}
	}
	return isOver // its rule is gone
}

const (
	maxCurves   = 3
	curveBefore = 30 * time.Minute
)

// curves are the samples behind an alert, from half an hour before it began to its end.
func (v *review) curves(t rules.Transition) []Curve {
	r := v.rule(t.Origin.ID)
	end := t.Alert.EndedAt
	if end.IsZero() {
		end = v.last.At
	}
	q, err := v.window.Querier(t.Alert.ActiveAt.Add(-curveBefore).UnixMilli(), end.UnixMilli())
	if r == nil || err != nil {
		return nil
	}
	var out []Curve
	seen := map[string]bool{}
	for _, sel := range r.Selectors {
		set := q.Select(context.Background(), true, nil, sel.Matchers...)
		for set.Next() && len(out) < maxCurves {
			l := set.At().Labels()
			key := string(l.Bytes(nil))
			if seen[key] || l.Get("instance") != v.asset.Name || !matchesAlert(l, t.Alert.Labels) {
				continue
			}
			seen[key] = true
			if points := pointsOf(set.At()); len(points) > 1 {
				out = append(out, Curve{Labels: l, Points: points})
			}
		}
	}
	return out
}

// matchesAlert tells whether a series can be behind an alert: no label that both have differs.
func matchesAlert(series, alert labels.Labels) bool {
	same := true
	series.Range(func(l labels.Label) {
		if v := alert.Get(l.Name); v != "" && v != l.Value && l.Name != model.MetricNameLabel && l.Name != labels.AlertName {
			same = false
		}
	})
	return same
}

// pointsOf are the values of a series that a chart can show.
func pointsOf(s storage.Series) []Point {
	var out []Point
	it := s.Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		if t, v := it.At(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, Point{T: time.UnixMilli(t).UTC(), V: v})
		}
	}
	return out
}
