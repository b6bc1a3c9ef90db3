package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SetIntervals keeps how often agents report, by their IDs, in one transaction. IDs that no agent has are left out; an
// agent whose interval is the one that is kept already costs nothing.
func (g *Registry) SetIntervals(ctx context.Context, intervals map[string]time.Duration) error {
	g.change.Lock()
	defer g.change.Unlock()
	var done []Agent
	err := g.update(ctx, "interval", func(r Records) error {
		done = nil // it may run more than once
		for _, id := range slices.Sorted(maps.Keys(intervals)) {
			a, ok, err := r.Agent(id)
			if err != nil {
				return err
			}
			if !ok || a.Interval == intervals[id] {
				continue
			}
			a.Interval = intervals[id]
			if err := r.PutAgent(a); err != nil {
				return err
			}
			done = append(done, a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep how often %d agents report: %w", len(intervals), err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range done {
		g.agents[a.ID] = a
	}
	return nil
}
