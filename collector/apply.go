package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/watchbill/watchbill/collector/history"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// sink takes in reports: what must be durable first, then what is soft.
type sink struct {
	store  store.Store
	window *window.Window
	curves curves
	// recall wants to know what came again; nil without history.
	recall *recall
	facts  *facts
	past   *hindsight
	// asks is what evidence is wanted of agents; learn brings what came to its tickets.
	asks  *asks
	learn func(ctx context.Context, asset string) error
	// arrive judges what a report brought and returns when what that changed is committed.
	arrive func(ctx context.Context, asset string) error
	// seen keeps how the host was seen, as far as it has to be durable.
	seen *remembering
	// lanes are where reports wait for their turn at what they change.
	lanes *lanes
}

// crowded is how long agents stay away, up to twice as long, when too many come at once.
const crowded = 5 * time.Second

// Apply implements ingest.Sink: events, and that a late report has to be judged, are durable before the window sees it, and
// what the rules make of it is before it returns.
func (s *sink) Apply(ctx context.Context, r ingest.Report) error {
	err := s.keepEvents(ctx, r)
	if err == nil {
		err = s.past.before(ctx, r)
	}
	if err == nil && len(r.Bundles) > 0 { // also those heard before: it may have been learn that failed then
		s.asks.hear(r)
		err = s.learn(ctx, r.Asset.Name)
	}
	if err != nil {
		return notKept(err)
	}
	var ended []history.Sample
	inTime := s.lanes.do(r.Asset.Name, func() {
		s.facts.learn(r)
		ended = endings(s.window.Apply(r.Asset, r.ReceivedAt, r.Blocks).Ended)
		s.window.SetCompleteSince(r.Asset.Name, s.facts.completeSince(r))
		s.past.after(r)
	})
	if !inTime {
		return &ingest.Later{After: crowded + rand.N(crowded), Text: "more reports come in than this collector can take " +
			"at this moment: if that lasts, give it more processors or let agents report less often"}
	}
	s.curves.Append(r.Asset, r.Blocks)
	s.curves.AppendSamples(ended)
	if s.recall != nil {
		s.recall.heard(r)
	}
	if err := s.keepSeen(ctx, r); err != nil {
		return notKept(err)
	}
	return notKept(s.arrive(ctx, r.Asset.Name))
}

// keepSeen makes a goodbye durable. That one is over is tried again with the next report: a full disk refuses none.
func (s *sink) keepSeen(ctx context.Context, r ingest.Report) error {
	err := s.seen.report(ctx, r)
	if r.Goodbye == nil && errors.Is(err, store.ErrFull) {
		return nil
	}
	return err
}

// notKept is what an agent is told when something of its report could not be made durable.
func notKept(err error) error {
	if errors.Is(err, store.ErrFull) {
		return &ingest.Later{Text: err.Error(), After: 10 * time.Second}
	}
	return err
}

// keepEvents stores the events of a report, each known for good by asset, epoch and ID.
func (s *sink) keepEvents(ctx context.Context, r ingest.Report) error {
	if len(r.Events) == 0 {
		return nil
	}
	fresh := 0
	err := s.store.Update(ctx, "", func(tx store.Tx) error {
		fresh = 0
		for _, e := range r.Events {
			isNew, err := tx.PutEvent(store.HostEvent{
				Asset: r.Asset.Name, Epoch: r.Epoch, ID: e.ID, Kind: e.Kind, At: e.At, Text: e.Text, Fields: e.Fields,
			})
			if err != nil {
				return err
			}
			if isNew {
				fresh++
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep %d events of %s: %w", len(r.Events), r.Asset.Name, err)
	}
	if r.NewEvents != nil {
		r.NewEvents(fresh)
	}
	return nil
}

func (c *Collector) newSink() *sink {
	return &sink{
		store: c.store, window: c.window, curves: c.curves(), recall: c.recall, facts: c.facts, past: c.past,
		asks: &c.pipeline.asks, learn: c.pipeline.learn, arrive: c.evaluator.Arrive,
		lanes: newLanes(), seen: c.remember,
	}
}
