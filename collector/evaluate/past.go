package evaluate

import (
	"context"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// review is one asset's. Reviews.mu guards what is above the line, whoever holds Reviews.turn what is below.
type review struct {
	id     uint64
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
	w.SetLookback(rules.Lookback(groups)) // curves show series that no rule looks back on, too
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

// giveUp lets go of what was not judged.
func (v *review) giveUp(why string) {
	v.unjudged = why
	v.over()
}

// over lets go of all that judging needs.
func (v *review) over() { v.window, v.eval, v.known, v.back, v.done = nil, nil, nil, Past{}, true }

// evaluatorBytes is about what an evaluator of the shipped rules takes beside its window.
const evaluatorBytes = 48 << 10

// weigh is about what the review holds beside its queue.
func (v *review) weigh() int64 {
	n := int64(4096) + sizeOf(v.back) + 512*int64(len(v.known))
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
