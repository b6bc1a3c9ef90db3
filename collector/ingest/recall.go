package ingest

import (
	"context"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// Recall is who wants reports again that this very start has acknowledged and judged, for what of them was lost since: the
// history, which drops rather than blocks. What comes again that way reaches nobody else: no window, no rule, no ticket.
//
// Agents send again what an incarnation before had, never what the present one has acknowledged. So an agent that is asked
// for that is told of an incarnation of its own, the start's with a round beside it: to the agent the collector has started
// anew, which costs it one report in full.
type Recall interface {
	// Keep is how long agents are to keep what was acknowledged, so that it can be had again.
	Keep() time.Duration
	// Wanted is since when reports of an asset are wanted; zero for none. The round is larger than that before when what was
	// acknowledged since is wanted, and stays the same until all has come; 0 is this start's own, in which nothing was
	// acknowledged yet.
	Wanted(asset string) (since time.Time, round uint32)
	// Active tells whether such reports may still come, be it that no more are asked for at this moment.
	Active(asset string) bool
	// Again is a report of the replay lane that was judged before. Its blocks are all Late, its values not the Recall's to keep.
	Again(Report)
}

// noRecall wants nothing.
type noRecall struct{}

func (noRecall) Keep() time.Duration               { return 0 }
func (noRecall) Wanted(string) (time.Time, uint32) { return time.Time{}, 0 }
func (noRecall) Active(string) bool                { return false }
func (noRecall) Again(Report)                      {}

// keepFor is how long agents are to keep what was acknowledged.
func (i *Ingest) keepFor() time.Duration { return max(i.o.KeepFor(), i.o.Recall.Keep()) }

// incarnation is what an agent knows this start by, in a round of the recall.
func (i *Ingest) incarnation(round uint32) uint64 { return wire.Round(i.o.Incarnation, round) }

// round is the one that an agent is in.
func (a *agents) round(who fleet.Agent) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one, ok := a.byID[who.ID]; ok {
		return one.round.Load()
	}
	return 0
}

// recallSince is since when the agent is asked for what it sent before, for the recall's sake; zero for not at all. The
// caller holds the agent's turn, and tells it the incarnation after this.
func (i *Ingest) recallSince(a *agent, asset string) time.Time {
	since, round := i.o.Recall.Wanted(asset)
	if !since.IsZero() && round > a.round.Load() {
		a.round.Store(round)
	}
	return since
}

// recalled tells whether a report that was judged before comes because it was asked for.
func (i *Ingest) recalled(who fleet.Agent, a *agent) bool {
	return a.sent.lane == wire.LaneReplay && i.o.Recall.Active(who.Asset)
}

// again hands on a report that was judged before.
func (i *Ingest) again(ctx context.Context, s *sorting) outcome {
	if !s.a.repeats(s.m) {
		return i.inFull(i.ackTo(s.who, wire.Ack_RESULT_NEED_SHAPES, ""))
	}
	if err := s.keepShapes(ctx); err != nil {
		return i.notKept(s.who, s.a, err, s.now)
	}
	if wait := i.askFor(ctx, s); wait != nil {
		return *wait
	}
	i.answered(s.who, s.a)
	s.events = 0 // they are known, and cost nothing
	r := s.result()
	i.o.Recall.Again(r)
	s.a.price = 0
	for _, b := range r.Blocks {
		s.a.price += len(b.Values)
	}
	return outcome{http.StatusOK, resultDuplicate, i.accepted(s.who, s.a, s.now)}
}
