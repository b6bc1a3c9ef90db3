package evaluate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/watchbill/watchbill/rules"
)

// bury commits the end of alerts whose rule is gone, and lets go of what evaluations that have ended needed.
func (e *Evaluator) bury(ctx context.Context, at time.Time) error {
	e.change.Lock()
	defer e.change.Unlock()
	defer e.narrow()
	dead, changes := e.dead(at)
	if len(changes) > 0 {
		if err := e.opts.Commit.Commit(ctx, at, changes); err != nil {
			return fmt.Errorf("commit the end of %d alerts whose rules were removed: %w", len(changes), err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resolve(changes)
	for id, ended := range dead {
		s := e.orphans[id]
		s.active = maps.Clone(s.active)
		for one := range ended {
			delete(s.active, one)
		}
		if len(s.active) > 0 { // an asset has parted with more meanwhile
			e.poke()
			continue
		}
		e.vanish(s, at)
		delete(e.orphans, id)
	}
	return nil
}

// dead are the orphans whose rule is loaded nowhere and that nobody evaluates, with the alerts they have now, and how these
// end. Others have a home, or will be asked for again when their evaluation ends.
func (e *Evaluator) dead(at time.Time) (dead map[string]rules.Active, changes []rules.Transition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	dead = map[string]rules.Active{}
	if !e.loaded {
		return dead, nil
	}
	e.settleOrphans()
	timed := map[string]bool{}
	for _, g := range e.groups {
		for _, r := range g.Rules {
			timed[r.Origin.ID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.orphans)) { // the same ones are the same decision when they are committed again
		s := e.orphans[id]
		if e.book.byID[id] == nil && !timed[id] && s.free() {
			dead[id], s.own = s.active, false
			changes = append(changes, s.ended(at)...)
		}
	}
	return dead, changes
}
