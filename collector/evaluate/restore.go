package evaluate

import (
	"maps"

	"github.com/watchbill/watchbill/rules"
)

func (e *Evaluator) orphan(id string, from rules.Origin) *state {
	s := e.orphans[id]
	if s == nil {
		s = &state{origin: from}
		e.orphans[id] = s
	}
	return s
}

// take takes over the alerts of another state of the same rule; what it has itself was committed later.
func (s *state) take(o *state) {
	if o == s {
		return
	}
	next := maps.Clone(o.active)
	if next == nil {
		next = rules.Active{}
	}
	maps.Copy(next, s.active)
	s.active, s.own = next, false
}

// free tells whether no evaluation of the state's group is under way.
func (s *state) free() bool {
	if s.turn == nil {
		return true
	}
	if !s.turn.TryLock() {
		return false
	}
	s.turn.Unlock() // its rule is in no group that is loaded: no other evaluation of it will begin
	return true
}

// settleOrphans gives assets the alerts of rules of the book that wait for them; the caller holds mu.
func (e *Evaluator) settleOrphans() {
	for id, s := range e.orphans {
		r := e.book.byID[id]
		if r == nil || !s.free() {
			continue
		}
		delete(e.orphans, id)
		for _, al := range s.active {
			e.give(r, al)
		}
	}
	for id := range e.failing {
		if e.book.byID[id] == nil {
			delete(e.failing, id)
		}
	}
}

// give puts an alert back to its asset, which takes it with its next turn; the caller holds mu.
func (e *Evaluator) give(r *localRule, al rules.Alert) *asset {
	name := al.Labels.Get("instance")
	if named := r.Arrival.Instances(); name == "" && len(named) > 0 { // all its selectors name the one asset
		name = named[0]
	}
	a := e.assetLocked(name)
	a.shown.Lock()
	defer a.shown.Unlock()
	a.owed = append(a.owed, Restored{Origin: r.Origin, Alert: al})
	e.noted[a] = true
	e.later(a, e.opts.Now())
	return a
}

// Restored is an alert as it was committed last.
type Restored struct {
	Origin rules.Origin
	Alert  rules.Alert
}

// Restore puts pending and firing alerts back exactly as they were committed; others are ignored. Call it before Run,
// before or after Load. Alerts whose rule is not loaded end as rules.RuleGone.
func (e *Evaluator) Restore(alerts []Restored) {
	e.sweep(e.restore(alerts))
	e.poke()
}

// restore returns the assets that are owed something.
func (e *Evaluator) restore(alerts []Restored) (owed []*asset) {
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
		if r := e.book.byID[id]; r != nil {
			owed = append(owed, e.give(r, x.Alert))
			continue
		}
		s := byRule[id]
		if s == nil {
			s = e.orphan(id, x.Origin)
		}
		s.restore(id, x.Alert)
	}
	for _, s := range byRule {
		s.own = false
	}
	return owed
}
