package evaluate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// stateOf finds or makes what a rule remembers of the asset.
func (a *asset) stateOf(r *localRule) *localState {
	s := a.states[r.index]
	if s == nil {
		s = &localState{origin: r.Origin}
		a.states[r.index] = s
	}
	return s
}

// assetOf finds or makes the state of an asset.
func (e *Evaluator) assetOf(name string) *asset {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.assetLocked(name)
}

func (e *Evaluator) assetLocked(name string) *asset {
	a := e.assets[name]
	if a == nil {
		a = &asset{name: name, who: window.Asset{Name: name}, place: -1, at: never, newest: never}
		a.adopt(e.book)
		a.counts = e.arrived.groups
		a.expect(e.opts.Now().Add(e.opts.Interval))
		e.assets[name] = a
		e.line(a)
	}
	return a
}

// adopt gives the asset another book. Rules that are in both keep what is known of them, by their identity; the states of
// the others are returned, by theirs.
func (a *asset) adopt(b *book) (gone map[string]*localState) {
	old, states, begun := a.book, a.states, a.begun
	if old != nil {
		old.release(a.parts, a.bound)
	}
	a.shown.Lock()
	defer a.shown.Unlock()
	a.book, a.parts, a.bound = b, nil, nil
	a.states, a.begun = make([]*localState, len(b.rules)), slices.Repeat([]int64{never}, len(b.groups))
	gone = map[string]*localState{}
	for i, s := range states {
		if s == nil {
			continue
		}
		id := old.rules[i].Origin.ID
		s.quiet = nil // `for` may be another
		if r := b.byID[id]; r != nil {
			a.states[r.index] = s
			continue
		}
		gone[id] = s
	}
	if old == nil {
		return gone
	}
	for i, at := range begun {
		for _, g := range b.groups {
			if g.Name == old.groups[i].Name {
				a.begun[g.index] = at
			}
		}
	}
	return gone
}

// restore puts an alert back as it was committed.
func (s *localState) restore(ruleID string, al rules.Alert) {
	next := maps.Clone(s.active)
	if next == nil {
		next = rules.Active{}
	}
	next[rules.AlertID(ruleID, al.Labels)] = al
	s.active, s.quiet = next, nil
}

// faults joins what went wrong with the rules of an asset.
func (a *asset) faults(at time.Time) error {
	var errs []error
	for i, s := range a.states {
		if s != nil && s.err != nil {
			r := a.book.rules[i]
			errs = append(errs, fmt.Errorf("rule %q of group %q at %s: %s: %w", r.Name(), r.group.Name, at.UTC().Format(time.RFC3339), a.name, s.err))
		}
	}
	return errors.Join(errs...)
}
