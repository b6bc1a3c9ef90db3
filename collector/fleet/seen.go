package fleet

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Seen is how an agent was last seen, as far as it is kept. It is what a collector that starts anew has to go by until it
// hears from the agent.
type Seen struct {
	// Interval is how often it reported, in nanoseconds where it is kept; zero while that is not known.
	Interval time.Duration `json:"interval,omitempty"`
	// HeardAt is when a report of it was received: the last one when it said goodbye with that or is not heard any more,
	// else one that is not much older. Zero while none is known of.
	HeardAt time.Time `json:"heard_at,omitzero"`
	// Address is where its reports came from; not valid while that is not known.
	Address netip.Addr `json:"address,omitzero"`
	// Goodbye is the reason it gave for stopping, with the report of HeardAt; empty when it did not say goodbye.
	Goodbye string `json:"goodbye,omitempty"`
}

// Equal tells whether both say the same.
func (s Seen) Equal(o Seen) bool {
	at, other := s.HeardAt, o.HeardAt
	s.HeardAt, o.HeardAt = time.Time{}, time.Time{}
	return s == o && at.Equal(other)
}

// Seen is how the agent that reports for an asset was last seen, as far as it is kept; false when there is none.
func (g *Registry) Seen(asset string) (Seen, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	a, ok := g.agents[g.assets[asset].Agent]
	return a.Seen, ok
}

// KeepSeen keeps how agents were seen, by their IDs, in one transaction. IDs that no agent has are left out; an agent of
// which the same is kept already costs nothing, and when that is so of all there is no transaction.
func (g *Registry) KeepSeen(ctx context.Context, seen map[string]Seen) error {
	g.change.Lock()
	defer g.change.Unlock()
	if !g.stale && g.knows(seen) {
		return nil
	}
	var done []Agent
	err := g.update(ctx, "seen", func(r Records) error {
		done = nil // it may run more than once
		for _, id := range slices.Sorted(maps.Keys(seen)) {
			a, ok, err := r.Agent(id)
			if err != nil {
				return err
			}
			if !ok || a.Seen.Equal(seen[id]) {
				continue
			}
			a.Seen = seen[id]
			if err := r.PutAgent(a); err != nil {
				return err
			}
			done = append(done, a)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep how %d agents were seen: %w", len(seen), err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range done {
		g.agents[a.ID] = a
	}
	return nil
}

// knows tells whether memory says the same of all of them.
func (g *Registry) knows(seen map[string]Seen) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for id, s := range seen {
		if a, ok := g.agents[id]; ok && !a.Seen.Equal(s) {
			return false
		}
	}
	return true
}
