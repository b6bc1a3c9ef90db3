package evaluate

import (
	"context"
	"slices"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// finish judges the end: the report the asset came back with, and whether what still fires is now a live alert. ok is
// false while the live rules have not said.
func (v *review) finish(ctx context.Context, now time.Time) (out Unseen, ok bool) {
	if v.judgedAt.IsZero() {
		v.judgedAt = now
		if !v.done {
			v.judgeEnd(ctx)
		}
	}
	out = Unseen{Review: v.id, Asset: v.asset, From: v.from, To: v.to, Reports: v.reports, More: v.more, Unjudged: v.unjudged}
	for _, id := range v.order {
		e := *v.episodes[id]
		if !e.Alert.EndedAt.IsZero() {
			out.Found = append(out.Found, e)
			continue
		}
		switch v.o.Live.verdict(v.asset.Name, e.Origin.ID, id, v.seenAgain()) {
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
		v.judge(ctx) // the last word is judged as well: what it ended is over
	}
	for _, id := range v.order {
		if e := v.episodes[id]; e.Alert.EndedAt.IsZero() {
			e.Curves = v.curves(rules.Transition{Origin: e.Origin, Alert: e.Alert})
		}
	}
	v.over()
}

// seenAgain is when the live rules had the asset's reports again: from then on they can say what fires.
func (v *review) seenAgain() time.Time {
	if v.last.At.After(v.opened) {
		return v.last.At
	}
	return v.opened
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

// verdict looks an alert of an asset up among the live ones, as evaluated at since or later.
func (e *Evaluator) verdict(asset, ruleID, alertID string, since time.Time) verdict {
	e.mu.Lock()
	a, loaded := e.assets[asset], e.book.byID[ruleID] != nil
	e.mu.Unlock()
	switch {
	case !loaded:
		return isOver // its rule is gone
	case a == nil:
		return notSaid
	}
	a.shown.Lock()
	defer a.shown.Unlock()
	r := a.book.byID[ruleID]
	if r == nil { // it was loaded just now
		return notSaid
	}
	said := a.begun[r.group.index] >= since.UnixMilli() && a.err == nil
	s := a.states[r.index]
	if s == nil {
		s = &localState{}
	}
	al, active := s.active[alertID]
	_, unknown := s.unknown[alertID]
	switch {
	case active && al.State == rules.Firing:
		return isLive
	case active, unknown, !said, s.err != nil:
		return notSaid
	}
	return isOver
}
