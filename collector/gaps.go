package collector

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// gaps are the times, by asset, that nobody saw and that were not told yet. The zero value is ready.
type gaps struct {
	mu  sync.Mutex
	all map[string]*assetGaps
}

// assetGaps are those of one asset. It stays when it is empty: an asset that was away once will be again.
type assetGaps struct {
	// turn is taken by who changes which gaps there are, from before the transaction until memory shows it. It is a
	// channel so that waiting for it ends with a context.
	turn chan struct{}
	// list belongs to gaps.mu.
	list []gap
}

// gap is one such time.
type gap struct {
	since time.Time
	// review is the number of the one that judges it; 0 when none does yet.
	review uint64
	// restored says that it is from before this start, closed that its review has all it needs; until is when the asset
	// was back then, zero if it was not.
	restored, closed bool
	until            time.Time
}

// restore takes back the gaps that were open when the collector stopped.
func (g *gaps) restore(states []store.AlertState) {
	for _, s := range states {
		if !incident.IsGap(s.Origin) {
			continue
		}
		made := gap{since: s.Alert.ActiveAt, restored: true}
		if s.Alert.FiredAt.After(s.Alert.ActiveAt) {
			made.until = s.Alert.FiredAt
		}
		g.add(s.Alert.Labels.Get("instance"), made)
	}
}

// keep writes the gaps of an asset into a transaction. There is one record for an asset: since the first of them it was
// not, or not always, seen.
func keep(tx store.Tx, a window.Asset, list []gap, now time.Time) error {
	if len(list) == 0 {
		return tx.DeleteAlert(incident.GapID(a.Name, a.Customer, a.Site))
	}
	first := list[0].since
	for _, one := range list {
		if one.since.Before(first) {
			first = one.since
		}
	}
	return tx.PutAlert(store.AlertState{
		Origin: incident.UnseenOrigin(), Alert: incident.Gap(a.Name, a.Customer, a.Site, first, now),
	})
}

// at is what is known of an asset. The caller holds mu.
func (g *gaps) at(asset string) *assetGaps {
	one := g.all[asset]
	if one == nil {
		if g.all == nil {
			g.all = map[string]*assetGaps{}
		}
		one = &assetGaps{turn: make(chan struct{}, 1)}
		g.all[asset] = one
	}
	return one
}

// enter waits for the turn to change which gaps an asset has; leave gives it back.
func (g *gaps) enter(ctx context.Context, a window.Asset) (leave func(), err error) {
	g.mu.Lock()
	turn := g.at(a.Name).turn
	g.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// of is a copy of an asset's gaps, in the order they were noted.
func (g *gaps) of(asset string) []gap {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.all[asset]; one != nil {
		return slices.Clone(one.list)
	}
	return nil
}

// add and remove belong to who has the asset's turn; before Run nobody else is there.
func (g *gaps) add(asset string, made gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.at(asset)
	one.list = append(one.list, made)
}

func (g *gaps) remove(asset string, review uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.at(asset)
	one.list = slices.DeleteFunc(one.list, func(x gap) bool { return x.review == review })
}

// find is the first of an asset's gaps of which something is true.
func (g *gaps) find(asset string, so func(gap) bool) (gap, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.all[asset]; one != nil {
		if i := slices.IndexFunc(one.list, so); i >= 0 {
			return one.list[i], true
		}
	}
	return gap{}, false
}

// change changes an asset's gaps, none is added or removed.
func (g *gaps) change(asset string, do func(*gap)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.all[asset]; one != nil {
		for i := range one.list {
			do(&one.list[i])
		}
	}
}

// has tells whether a gap is noted that a review judges.
func (g *gaps) has(asset string, review uint64) bool {
	_, ok := g.find(asset, func(x gap) bool { return x.review == review })
	return ok
}

// unjudged is since when reports of an asset are needed again that were acknowledged before this start; zero when none
// are.
func (g *gaps) unjudged(asset string) time.Time {
	x, _ := g.find(asset, func(x gap) bool { return x.restored && !x.closed })
	return x.since
}

// within tells whether a report was acknowledged before this start, and its time not told.
func (g *gaps) within(asset string, madeAt time.Time) bool {
	_, ok := g.find(asset, func(x gap) bool {
		return x.restored && !x.closed && !madeAt.Before(x.since) && (x.until.IsZero() || madeAt.Before(x.until))
	})
	return ok
}

// lost is the gap of a review that is from before this start, when all that the agent still had has come.
func (g *gaps) lost(asset string, review uint64) (gap, bool) {
	return g.find(asset, func(x gap) bool { return x.review == review && x.restored && x.closed })
}

// claim gives a review the gaps that none judges: it was before this start, or ended with nothing having come.
func (g *gaps) claim(asset string, review uint64, going func(uint64) bool) {
	g.change(asset, func(x *gap) {
		if x.review != review && !going(x.review) {
			x.review = review
		}
	})
}

// pass hands the gaps of a review that came to nothing to another; to 0 when there is none.
func (g *gaps) pass(asset string, review, to uint64) {
	g.change(asset, func(x *gap) {
		if x.review == review {
			x.review = to
		}
	})
}

// close says that the review of a gap has all it needs.
func (g *gaps) close(asset string, review uint64) {
	g.change(asset, func(x *gap) { x.closed = x.closed || x.restored && x.review == review })
}
