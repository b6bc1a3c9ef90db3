package evaluate

import "github.com/watchbill/watchbill/rules"

func (e *Evaluator) orphan(id string, from rules.Origin) *state {
	s := e.orphans[id]
	if s == nil {
		s = &state{origin: from}
		e.orphans[id] = s
	}
	return s
}

// settleOrphans gives assets the alerts of rules of the book that wait for them.
func (e *Evaluator) settleOrphans() {
	for id, s := range e.orphans {
		r := e.book.byID[id]
		if r == nil {
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

// give puts an alert back to its asset; the caller holds mu.
func (e *Evaluator) give(r *localRule, al rules.Alert) {
	name := al.Labels.Get("instance")
	if named := r.Arrival.Instances(); name == "" && len(named) > 0 { // all its selectors name the one asset
		name = named[0]
	}
	a := e.assetLocked(name)
	a.shown.Lock()
	defer a.shown.Unlock()
	s := a.stateOf(r)
	s.restore(r.Origin.ID, al)
	e.noted[a] = true
	e.later(a, e.opts.Now().Add(idleBeats*e.opts.Interval))
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
		if r := e.book.byID[id]; r != nil {
			e.give(r, x.Alert)
			continue
		}
		s := byRule[id]
		if s == nil {
			s = e.orphan(id, x.Origin)
		}
		s.restore(id, x.Alert)
	}
	e.poke()
}
