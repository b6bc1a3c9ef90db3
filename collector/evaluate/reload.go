package evaluate

import (
	"fmt"
	"slices"
	"sync"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// Load replaces the groups, all together for whoever looks. It waits for no evaluation, only for the end of alerts of rules
// that were removed before to be committed: an evaluation under way ends by the rules it began with, and its asset or group
// has the new ones from then on. A rule that is still there by Origin.ID keeps its
// alerts; those of rules that are not end as rules.RuleGone with the next commit. The window is told what rules look back
// on.
func (e *Evaluator) Load(groups []rules.Group) {
	e.load(groups, newBook(groups))
}

func (e *Evaluator) load(groups []rules.Group, b *book) {
	e.change.Lock()
	defer e.change.Unlock()
	e.widen(rules.Demand(groups))
	e.swap(groups, b)
	e.sweep(e.everyAsset())
	e.narrow()
	e.poke()
}

// sweep has assets turn to the book. One that is being evaluated does so at its end: it is told that somebody was there.
func (e *Evaluator) sweep(assets []*asset) {
	for _, a := range assets {
		if !a.enter() {
			continue
		}
		if !a.gone {
			e.turnPage(a)
		}
		e.leave(a)
	}
}

// swap puts groups into force.
func (e *Evaluator) swap(groups []rules.Group, b *book) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, states := map[string]*group{}, map[string]*state{}
	for _, g := range e.groups {
		was[g.Name] = g
		for _, s := range g.states {
			states[s.rule.Origin.ID] = s
		}
	}
	e.part(groups)
	e.metrics.forget(e.all, groups)
	e.arrived.load(b, e.metrics)
	e.all, e.groups, e.loaded, e.book = groups, nil, true, b
	for _, g := range rules.Spread(groups) {
		if e.turns[g.Name] == nil {
			e.turns[g.Name] = &sync.Mutex{}
		}
		made := &group{Group: g, every: g.Interval, turn: e.turns[g.Name]}
		if made.every <= 0 {
			made.every = e.opts.Interval
		}
		if o := was[g.Name]; o != nil {
			made.last, made.took = o.last, o.took
		}
		for _, r := range g.Rules {
			made.states = append(made.states, e.adopt(r, states, made.turn))
		}
		e.groups = append(e.groups, made)
	}
	for id, s := range states {
		if o := e.orphans[id]; o != nil {
			s.take(o)
		}
		e.orphans[id] = s
	}
	for name := range b.named {
		e.assetLocked(name)
	}
	e.settleOrphans()
}

// part notes which groups are under way, and lets go of the turns of those that are not and have gone; the caller holds mu.
func (e *Evaluator) part(groups []rules.Group) {
	for name, turn := range e.turns {
		if !turn.TryLock() {
			e.leaving = append(e.leaving, turn)
			continue
		}
		turn.Unlock()
		if !slices.ContainsFunc(groups, func(g rules.Group) bool { return g.Name == name }) {
			delete(e.turns, name)
		}
	}
}

// adopt makes the state of a rule on a timer from what is known of it; the caller holds mu.
func (e *Evaluator) adopt(r *rules.Rule, states map[string]*state, turn *sync.Mutex) *state {
	id := r.Origin.ID
	s := states[id]
	if s != nil {
		delete(states, id)
	} else if s = e.orphans[id]; s != nil {
		delete(e.orphans, id)
	} else {
		s = &state{}
	}
	s.rule, s.origin, s.turn, s.own = r, r.Origin, turn, false
	return s
}

// turnPage gives an asset the book that is in force, and the alerts it is owed; those of rules that are not in the book
// become orphans. The caller has the asset's turn.
func (e *Evaluator) turnPage(a *asset) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a.book != e.book {
		for id, s := range a.adopt(e.book) {
			if s.recorded {
				a.ended = append(a.ended, id)
			}
			for _, al := range s.active {
				e.orphan(id, s.origin).restore(id, al)
			}
			e.unwrite(s)
		}
		if !e.book.alerts { // nobody reads them any more
			a.shown.Lock()
			for _, s := range a.states {
				if s != nil {
					e.unwrite(s)
				}
			}
			a.shown.Unlock()
		}
		a.counts = e.arrived.groups
		if a.expect(e.opts.Now().Add(e.opts.Interval)) {
			e.line(a)
		}
		if e.wide || len(e.orphans) > 0 {
			e.poke()
		}
	}
	if len(a.owed) > 0 {
		e.settleDebts(a)
	}
}

// settleDebts gives an asset the alerts it is owed; the caller holds mu and has the asset's turn. What it has itself was
// committed later.
func (e *Evaluator) settleDebts(a *asset) {
	a.shown.Lock()
	defer a.shown.Unlock()
	for _, x := range a.owed {
		id := x.Origin.ID
		r := a.book.byID[id]
		if r == nil {
			e.orphan(id, x.Origin).restore(id, x.Alert)
			e.poke()
			continue
		}
		s := a.stateOf(r)
		if _, known := s.active[rules.AlertID(id, x.Alert.Labels)]; !known {
			s.restore(id, x.Alert)
		}
	}
	a.owed = nil
	// Until a report comes it may be as it was, for as long as samples stand.
	first := e.opts.Now().Add(max(window.StaleAfter, idleBeats*e.opts.Interval))
	if a.next == 0 || first.UnixMilli() < a.next {
		a.next = first.UnixMilli()
	}
	e.later(a, first)
}

// hold takes the turn at an asset, which has the book in force then. leave gives it up.
func (e *Evaluator) hold(name string) *asset {
	for {
		a := e.assetOf(name)
		a.mu.Lock()
		if !a.gone {
			e.turnPage(a)
			return a
		}
		a.mu.Unlock()
	}
}

// present is a group as it is loaded now, with what was known of its rules elsewhere; nil when it is not. The caller has its
// turn.
func (e *Evaluator) present(g *group) *group {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.IndexFunc(e.groups, func(o *group) bool { return o.turn == g.turn })
	if i < 0 {
		return nil
	}
	g = e.groups[i]
	for _, s := range g.states {
		if o := e.orphans[s.rule.Origin.ID]; o != nil {
			s.take(o)
			delete(e.orphans, s.rule.Origin.ID)
		}
	}
	return g
}

// quit is the end of a group's turn. What waits for that can go on: the end of rules that were replaced meanwhile.
func (e *Evaluator) quit(turn *sync.Mutex) {
	turn.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.leaving)
	e.leaving = slices.DeleteFunc(e.leaving, func(t *sync.Mutex) bool { return t == turn })
	if len(e.leaving) < n || len(e.orphans) > 0 {
		e.poke()
	}
}

// widen asks the window for what the next rules look back on, beside what those do that may be under way: nothing may be
// judged by what was dropped already or is not kept yet. The caller holds change.
func (e *Evaluator) widen(next []window.Selector) {
	e.wanted = slices.DeleteFunc(next, func(s window.Selector) bool { return s.Lookback <= 0 })
	less := beyond(e.demand, e.wanted)
	if !e.loaded || len(beyond(e.wanted, e.demand)) > 0 {
		e.ask(slices.Concat(e.wanted, less))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wide = len(less) > 0
}

// narrow drops what no rule looks back on any more, once nobody is under way by rules of before. The caller holds change.
func (e *Evaluator) narrow() {
	e.mu.Lock()
	ready := e.wide && len(e.leaving) == 0
	if ready {
		for _, a := range e.assets {
			if a.book != e.book {
				ready = false
				break
			}
		}
	}
	if ready {
		e.wide = false
	}
	e.mu.Unlock()
	if ready {
		e.ask(e.wanted)
	}
}

func (e *Evaluator) ask(sels []window.Selector) {
	e.demand = sels
	e.opts.Window.SetDemand(sels)
}

// beyond are the selectors that do not ask for what others do.
func beyond(all, others []window.Selector) []window.Selector {
	known := make(map[string]bool, len(others))
	for _, s := range others {
		known[asked(s)] = true
	}
	var out []window.Selector
	for _, s := range all {
		if !known[asked(s)] {
			out = append(out, s)
		}
	}
	return out
}

// asked is what a selector asks of the window.
func asked(s window.Selector) string { return fmt.Sprintf("%d %s", s.Lookback, s.Matchers) }
