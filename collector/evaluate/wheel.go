package evaluate

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// wheel knows when an asset is to be looked at although nothing of it arrives: deadlines of `for` and keep_firing_for,
// samples that are too old to stand for their series, rules that read the clock. Nothing is scanned: an asset is looked at
// when its time has come.
type wheel struct {
	mu   sync.Mutex
	line line
	wake chan struct{}
}

// line is a heap of assets by when they are looked at.
type line []*asset

func (l line) Len() int           { return len(l) }
func (l line) Less(i, j int) bool { return l[i].queued.Before(l[j].queued) }
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}
func (l *line) Push(x any) {
	a := x.(*asset)
	a.place = len(*l)
	*l = append(*l, a)
}
func (l *line) Pop() any {
	old := *l
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*l, a.place = old[:len(old)-1], -1
	return a
}

// set sees to it that an asset is looked at at that time at the latest.
func (w *wheel) set(a *asset, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case a.place < 0:
		a.queued = at
		heap.Push(&w.line, a)
	case at.Before(a.queued):
		a.queued = at
		heap.Fix(&w.line, a.place)
	default:
		return // it looks then, and sees that it is too early
	}
	if a.place == 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// pop takes the next asset whose time has come; else it says when the next one's will.
func (w *wheel) pop(now time.Time) (a *asset, next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.line) == 0 {
		return nil, time.Time{}
	}
	if first := w.line[0]; first.queued.After(now) {
		return nil, first.queued
	}
	return heap.Pop(&w.line).(*asset), time.Time{}
}

// wait notes when the asset is to be looked at next; the caller holds a.mu.
func (e *Evaluator) wait(a *asset) {
	beat := max(e.opts.Interval, a.every).Milliseconds()
	a.next = 0
	soon := func(t int64) {
		if a.next == 0 || t < a.next {
			a.next = t
		}
	}
	for i, s := range a.states {
		if s == nil || len(s.active) == 0 {
			continue
		}
		soon(a.at + idleBeats*beat)
		r := a.book.rules[i]
		for _, al := range s.active {
			switch t := r.deadline(al); {
			case t > a.at:
				soon(t)
			case t > 0: // it waits for news
				soon(a.at + beat)
			}
		}
	}
	if a.newest == never && a.named() {
		soon(a.at + beat)
	}
	if expires := a.newest + window.StaleAfter.Milliseconds(); a.newest != never {
		if a.at < expires {
			soon(expires)
		} else if t := a.owing(expires); t > a.at {
			soon(t)
		}
		if a.at < a.moves(expires) {
			soon(a.at + beat + beat/2) // the next arrival should be first
		}
	}
	e.line(a)
}

// line puts an asset on the wheel for when it is looked at next.
func (e *Evaluator) line(a *asset) {
	if a.next != 0 {
		e.later(a, time.UnixMilli(a.next))
	} else {
		e.later(a, e.opts.Now().Add(round))
	}
}

// round is how often an asset is looked at for which nothing else is to be done: the window may have forgotten it.
const round = 10 * time.Minute

// idleBeats is after how many intervals without an arrival the alerts of an asset are looked at: it may have left the fleet.
const idleBeats = 4

// deadline is when time alone changes an alert, in milliseconds, at the group's next beat if it has one; 0 for never.
func (r *localRule) deadline(al rules.Alert) int64 {
	var t int64
	switch { // both are exact: Step compares with >=
	case al.State == rules.Pending:
		t = al.ActiveAt.Add(r.For).UnixMilli()
	case !al.KeepFiringSince.IsZero():
		t = al.KeepFiringSince.Add(r.KeepFiringFor).UnixMilli()
	}
	if every := r.group.Interval.Milliseconds(); every > 0 {
		t = (t + every - 1) / every * every
	}
	return t
}

func (e *Evaluator) later(a *asset, at time.Time) { e.wheel.set(a, at) }

// abreast is how many assets time alone has evaluated at once. Most of them wait for their commit, which costs a goroutine
// little and lets one transaction take what all of them changed; and one that hangs delays no other.
const abreast = 256

// spin looks at assets when their time has come, until ctx ends and all it began has ended.
func (e *Evaluator) spin(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	places := make(chan struct{}, abreast)
	for {
		select {
		case <-ctx.Done():
			return
		case places <- struct{}{}:
		}
		a := e.next(ctx)
		if a == nil {
			return
		}
		under.Go(func() {
			defer func() { <-places }()
			if err := e.visit(ctx, a); err != nil && ctx.Err() == nil {
				e.opts.Logger.Error("what time alone changed could not be kept; trying again", "asset", a.name, "err", err)
			}
		})
	}
}

// next waits for an asset whose time has come; nil when ctx ended.
func (e *Evaluator) next(ctx context.Context) *asset {
	for {
		now := e.opts.Now()
		a, next := e.wheel.pop(now)
		if a != nil {
			return a
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = next.Sub(now)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-e.wheel.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// visit looks at an asset whose time has come. One that is being evaluated is not waited for: whoever does that puts it back
// on the wheel.
func (e *Evaluator) visit(ctx context.Context, a *asset) error {
	if !a.enter() {
		return nil
	}
	defer e.leave(a)
	if a.gone {
		return nil
	}
	return e.pass(ctx, a, e.opts.Now())
}

// enter takes the turn at an asset if it is free; else whoever has it is told that somebody was there.
func (a *asset) enter() bool {
	if !a.mu.TryLock() {
		a.passed.Store(true)
		if !a.mu.TryLock() { // it was given up meanwhile, and perhaps nobody was told
			return false
		}
	}
	a.passed.Store(false)
	return true
}

// leave gives up the turn at an asset, and has it looked at if somebody found it taken.
func (e *Evaluator) leave(a *asset) {
	a.mu.Unlock()
	if a.passed.Swap(false) {
		e.later(a, e.opts.Now())
	}
}

// elapse looks at one asset at a time when nothing of it arrived.
func (e *Evaluator) elapse(ctx context.Context, a *asset, now time.Time) error {
	a.mu.Lock()
	defer e.leave(a)
	return e.pass(ctx, a, now)
}

// pass does to an asset what time did; the caller has its turn.
func (e *Evaluator) pass(ctx context.Context, a *asset, now time.Time) error {
	e.turnPage(a)
	if e.forget(a) {
		return nil
	}
	t := now.UnixMilli()
	if a.err == nil && !a.stirred.Load() && (a.next == 0 || t < a.next) {
		e.line(a)
		return nil
	}
	if err := e.judge(ctx, a, a.after(t), a.moved(t)); err != nil {
		e.later(a, now.Add(retryCommit))
		return err
	}
	e.wait(a)
	return nil
}

// Stir says that the window knows something new about an asset that no report brought: that it is down. Its rules are
// evaluated at once.
func (e *Evaluator) Stir(name string) {
	e.mu.Lock()
	a := e.assetLocked(name)
	a.stirred.Store(true)
	e.mu.Unlock()
	e.later(a, e.opts.Now())
}

// forget lets go of an asset that the window does not know any more, with its programs, once nothing of it stands or is
// owed; what is left then are faults of rules that nobody can mend. The caller has its turn; it is over then.
func (e *Evaluator) forget(a *asset) bool {
	if a.named() || e.opts.Window.View(a.name, func(window.View) {}) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a.shown.Lock()
	defer a.shown.Unlock()
	stands := slices.ContainsFunc(a.states, func(s *localState) bool { return s != nil && (len(s.active) > 0 || len(s.written) > 0) })
	if stands || len(a.owed) > 0 || a.err != nil || a.stirred.Load() {
		return false
	}
	a.gone = true
	a.book.release(a.parts, a.bound)
	a.parts, a.bound = nil, nil
	delete(e.assets, a.name)
	delete(e.noted, a)
	for id, failing := range e.failing {
		if delete(failing, a.name); len(failing) == 0 {
			delete(e.failing, id)
		}
	}
	return true
}

// everything are all groups.
func (a *asset) everything() []bool {
	out := make([]bool, len(a.book.groups))
	for i := range out {
		out[i] = true
	}
	return out
}

// moved are the groups that time alone may have changed, of those that are due.
func (a *asset) moved(t int64) []bool {
	if a.stirred.Load() || a.err != nil {
		return a.everything()
	}
	expired := t >= a.newest+window.StaleAfter.Milliseconds()
	out := make([]bool, len(a.book.groups))
	for i, r := range a.book.rules {
		s := a.states[i]
		if expired || r.timed || r.slides > 0 || s != nil && len(s.active) > 0 {
			out[r.group.index] = a.due(r.group, t)
		}
	}
	return out
}

// deadline is when time alone changes an alert of the asset next, in milliseconds; 0 for never.
func (a *asset) deadline() int64 {
	var next int64
	for i, s := range a.states {
		if s == nil {
			continue
		}
		for _, al := range s.active {
			if t := a.book.rules[i].deadline(al); t > a.at && (next == 0 || t < next) {
				next = t
			}
		}
	}
	return next
}

// moves is until when time alone changes what some rule that has a program for the asset finds, given when its newest samples
// are too old: those that read the clock until then, those with a range until it is empty. Rules that freeze know nothing of
// a silent asset, whatever leaves their range.
func (a *asset) moves(expires int64) (until int64) {
	until = never
	for i, x := range a.bound {
		if x.use == nil {
			continue
		}
		r := a.book.rules[i]
		if r.timed {
			until = max(until, expires)
		}
		if r.slides > 0 {
			until = max(until, expires, a.newest+r.slides.Milliseconds())
		}
	}
	return until
}

// owing is when a group is due that was not evaluated since the asset's samples are too old, because its interval did not
// let it; 0 when there is none.
func (a *asset) owing(expires int64) (next int64) {
	for i, r := range a.book.rules {
		last, every := a.begun[r.group.index], r.group.Interval.Milliseconds()
		if every == 0 || last >= expires || a.bound[i].use == nil && a.states[i].empty() {
			continue
		}
		if t := max(expires, boundary(last, every)); next == 0 || t < next {
			next = t
		}
	}
	return next
}

// boundary is the first multiple of every after t.
func boundary(t, every int64) int64 { return (t/every + 1) * every }
