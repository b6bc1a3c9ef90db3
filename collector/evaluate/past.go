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
func (e *Evaluator) activeOf(name string, since time.Time) (out []Restored) {
	e.mu.Lock()
	a := e.assets[name]
	e.mu.Unlock()
	if a == nil {
		return nil
	}
	a.shown.Lock()
	defer a.shown.Unlock()
	for i, s := range a.states {
		if s == nil {
			continue
		}
		for _, st := range s.standing(a.book.rules[i].Origin) {
			if st.Alert.ActiveAt.Before(since) {
				out = append(out, Restored{Origin: st.Origin, Alert: st.Alert})
			}
		}
	}
	return out
}

// apart is an evaluator with the same rules about one asset over another window, committing elsewhere.
func (e *Evaluator) apart(w *window.Window, c Committer) *Evaluator {
	o := e.opts
	o.Window, o.Commit, o.Registerer = w, c, nil
	out := made(o.withDefaults())
	out.engine = e.engine
	out.metrics = newMetrics(out.opts.Registerer, out.count, out.programs)
	e.mu.Lock()
	all, b := e.all, e.book
	e.mu.Unlock()
	local := rules.Local(all)
	out.load(local, b)
	w.SetLookback(rules.Lookback(local)) // curves show series that no rule looks back on, too
	return out
}

// take puts p into the window and judges it, if nobody had seen it, and before it what time alone changed since the last
// report.
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
		v.elapse(ctx, p.At)
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
	if p.Unseen {
		v.judge(ctx)
	}
}

// hole tells whether reports may be missing between the last one and p.
func (v *review) hole(p Past) bool {
	if v.last.At.IsZero() || v.last.Epoch == p.Epoch && v.last.Sequence+1 == p.Sequence || p.Sequence == 1 {
		return false
	}
	st, _ := v.window.Asset(v.asset.Name)
	return p.At.Sub(v.last.At) > 3*st.Interval
}

// judge evaluates the rules on the last report, as live evaluation does when it arrives.
func (v *review) judge(ctx context.Context) {
	v.note(ctx, v.eval.Arrive(ctx, v.asset.Name))
}

// elapse does what time alone did to the alerts before the next report.
func (v *review) elapse(ctx context.Context, until time.Time) {
	a := v.eval.assetOf(v.asset.Name)
	for {
		t := a.deadline()
		if t == 0 || t >= until.UnixMilli() {
			return
		}
		v.note(ctx, v.eval.elapse(ctx, a, time.UnixMilli(t)))
		if a.at < t { // nothing was heard of it yet, or what was found could not be kept: the next report is to come first
			return
		}
	}
}

// note keeps how bad it was. A rule that fails leaves its alerts as they are, as live; its failures are live too.
func (v *review) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		v.o.Logger.Debug("an evaluation failed in a review", "asset", v.asset.Name, "err", err)
	}
	for _, st := range v.eval.own() {
		e := v.episodes[rules.AlertID(st.Origin.ID, st.Alert.Labels)]
		if e != nil && e.Alert.EndedAt.IsZero() && st.Alert.State == rules.Firing {
			at := time.UnixMilli(v.eval.assetOf(v.asset.Name).at).UTC()
			e.worse(v.rule(st.Origin.ID), st.Alert.Value, at)
		}
	}
}

// giveUp lets go of what was not judged.
func (v *review) giveUp(why string) {
	v.unjudged = why
	v.over()
}

// over lets go of all that judging needs, and of the programs that it has from live evaluation.
func (v *review) over() {
	if v.eval != nil {
		for _, a := range v.eval.everyAsset() {
			a.book.release(a.parts, a.bound)
		}
	}
	v.window, v.eval, v.known, v.back, v.done = nil, nil, nil, Past{}, true
}

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
