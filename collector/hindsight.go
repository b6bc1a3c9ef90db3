package collector

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// hindsight sees to it that what happened while nobody could see an asset is judged and told, once:
//
//	late report ─► gap, durable ─► review, apart from live alerts ─► one quiet ticket, and the gap is forgotten
//
// A gap is an alert state, written before the first late report is acknowledged: after a restart the reports since then
// are asked for again and count as unseen although they were acknowledged.
type hindsight struct {
	store   store.Store
	reviews *evaluate.Reviews
	window  *window.Window
	facts   *facts
	// lookback is how far back rules look.
	lookback func() time.Duration
	// tell brings what was missed to its ticket, in the transaction that also does then.
	tell func(ctx context.Context, u evaluate.Unseen, then func(store.Tx) error) error
	// started is when nobody listened before.
	started time.Time
	now     func() time.Time

	mu   sync.Mutex
	gaps map[string]gaps
}

// gaps are the times of one asset that were not told yet.
type gaps struct {
	asset window.Asset
	// since is when each began, oldest first: one for each review that is not over.
	since []time.Time
	// noted says that the last of them is the open review's, or that of the one to be opened next; opened tells the two
	// apart.
	noted, opened bool
	// restored says that the first is from before this start, closed that its review has all it needs; until is when the
	// asset was back then, zero if it was not.
	restored, closed bool
	until            time.Time
}

// restore takes back the gaps that were open when the collector stopped.
func (h *hindsight) restore(states []store.AlertState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range states {
		if !incident.IsGap(s.Origin) {
			continue
		}
		l := s.Alert.Labels
		a := window.Asset{Name: l.Get("instance"), Customer: l.Get("customer"), Site: l.Get("site")}
		g := gaps{asset: a, since: []time.Time{s.Alert.ActiveAt}, noted: true, restored: true}
		if s.Alert.FiredAt.After(s.Alert.ActiveAt) {
			g.until = s.Alert.FiredAt
		}
		h.gaps[a.Name] = g
	}
}

// wants is since when an asset's past is needed again: a restored gap with what rules look back on before it.
func (h *hindsight) wants(asset string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, ok := h.gaps[asset]
	if !ok || !g.restored || g.closed {
		return time.Time{}
	}
	return g.since[0].Add(-h.lookback())
}

// lateAfter is how old a report may be when it is received and still be news: D9 of the design.
func lateAfter(interval time.Duration) time.Duration { return max(2*interval, 30*time.Second) }

// before is called with a report before anything of it is applied: what it says must be able to be judged against what
// was known until then. An error means that the report must not be acknowledged.
func (h *hindsight) before(ctx context.Context, r ingest.Report) error {
	host, heard := h.facts.host(r.Asset.Name)
	switch late := h.late(r); {
	case late && h.unseen(r):
		h.open(r.Asset, r.MadeAt, evaluate.Past{})
		return h.note(ctx, r)
	case late || r.Replayed:
		return nil
	}
	away := !heard || r.ReceivedAt.Sub(host.Heard) > lateAfter(host.Interval)
	if away && (r.Waiting > 0 || !h.wants(r.Asset.Name).IsZero()) {
		h.open(r.Asset, r.MadeAt, past(r))
	}
	return nil
}

// late tells whether a report was too old when it came to be judged live.
func (h *hindsight) late(r ingest.Report) bool {
	host, _ := h.facts.host(r.Asset.Name)
	return r.ReceivedAt.Sub(r.MadeAt) > lateAfter(host.Interval)
}

func (h *hindsight) open(a window.Asset, since time.Time, back evaluate.Past) {
	if h.reviews.Has(a.Name) {
		return
	}
	h.mu.Lock()
	if g, ok := h.gaps[a.Name]; ok {
		g.noted, g.opened = g.noted && !g.opened, true
		h.gaps[a.Name] = g
	}
	h.mu.Unlock()
	h.reviews.Open(a, h.window.Fork(a.Name, since), since, back)
}

// unseen tells whether nobody had a report before. An agent of an earlier release does not say whether it was
// acknowledged; then only what was made since this start can be known not to have been.
func (h *hindsight) unseen(r ingest.Report) bool {
	if h.within(r) {
		return true
	}
	if r.Lane == "" {
		return r.MadeAt.After(h.started)
	}
	return r.Lane != wire.LaneReplay
}

// within tells whether a report was acknowledged before this start, and its time not told.
func (h *hindsight) within(r ingest.Report) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.gaps[r.Asset.Name]
	return g.restored && !g.closed && !r.MadeAt.Before(g.since[0]) && (g.until.IsZero() || r.MadeAt.Before(g.until))
}

// note makes a gap durable before its first report is acknowledged.
func (h *hindsight) note(ctx context.Context, r ingest.Report) error {
	h.mu.Lock()
	g := h.gaps[r.Asset.Name]
	h.mu.Unlock()
	if g.noted {
		return nil
	}
	g.asset, g.noted, g.opened, g.since = r.Asset, true, true, append(slices.Clone(g.since), r.MadeAt)
	if err := h.store.Update(ctx, "", func(tx store.Tx) error { return tx.PutAlert(h.state(g)) }); err != nil {
		return fmt.Errorf("note that %s was not seen since %s: %w", r.Asset.Name, r.MadeAt.UTC().Format(time.RFC3339), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gaps[r.Asset.Name] = g
	return nil
}

func (h *hindsight) state(g gaps) store.AlertState {
	a := incident.Gap(g.asset.Name, g.asset.Customer, g.asset.Site, g.since[0], h.now())
	return store.AlertState{Origin: incident.UnseenOrigin(), Alert: a}
}

// after is called with a report when it is applied.
func (h *hindsight) after(r ingest.Report) {
	fed, open := h.reviews.Fed(r.Asset.Name)
	if !open {
		return
	}
	if r.Replayed || h.late(r) {
		p := past(r)
		p.Unseen = h.unseen(r)
		h.reviews.Add(r.Asset.Name, p)
	}
	if h.whole(r, fed) {
		h.mu.Lock()
		if g, ok := h.gaps[r.Asset.Name]; ok {
			g.noted, g.opened, g.closed = false, false, g.restored
			h.gaps[r.Asset.Name] = g
		}
		h.mu.Unlock()
		h.reviews.Close(r.Asset.Name)
	}
}

// quietFor is how long nothing of the past must come until an agent that does not say how much waits is taken to have
// sent all.
const quietFor = 2 * time.Minute

// whole tells whether all is here that a review waits for.
func (h *hindsight) whole(r ingest.Report, fed time.Time) bool {
	wants := h.wants(r.Asset.Name)
	switch {
	case r.Waiting < 0:
		return !r.Replayed && r.ReceivedAt.Sub(fed) > quietFor
	case r.Waiting > 0:
		return false
	}
	return wants.IsZero() || !r.ReplayedSince.IsZero() && !r.ReplayedSince.After(wants)
}

// told is what reviews call when one is over.
func (h *hindsight) told(ctx context.Context, u evaluate.Unseen) error {
	h.mu.Lock()
	g, had := h.gaps[u.Asset.Name]
	h.mu.Unlock()
	switch lost := g.restored && g.closed; {
	case u.Reports == 0 && !lost:
		return nil // it was only a moment, or nothing came yet
	case u.Reports == 0:
		u.From, u.To = g.since[0], later(g.since[0], g.until)
		u.Unjudged = "the collector was started anew before it had judged them, and the agent holds them no more"
	}
	g.since = slices.Clone(g.since)
	if len(g.since) > 0 {
		g.since = g.since[1:]
	}
	err := h.tell(ctx, u, func(tx store.Tx) error {
		if len(g.since) > 0 {
			return tx.PutAlert(h.state(g))
		}
		return tx.DeleteAlert(incident.GapID(u.Asset.Name, u.Asset.Customer, u.Asset.Site))
	})
	if err != nil || !had {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.gaps[u.Asset.Name]
	now.restored, now.closed = false, false
	if now.since = now.since[1:]; len(now.since) == 0 {
		delete(h.gaps, u.Asset.Name)
		return nil
	}
	h.gaps[u.Asset.Name] = now
	return nil
}

// past is a report as a review takes it. The blocks are copied, for the window has its own word on which are late, and so
// are values that are not the report's to keep.
func past(r ingest.Report) evaluate.Past {
	p := evaluate.Past{At: r.MadeAt, Epoch: r.Epoch, Sequence: r.Sequence, Blocks: slices.Clone(r.Blocks)}
	for i := range p.Blocks {
		if b := &p.Blocks[i]; !b.Late {
			b.Values = slices.Clone(b.Values)
		}
	}
	return p
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// missedOf is what a ticket is told of a review.
func missedOf(u evaluate.Unseen) incident.Missed {
	return incident.Missed{
		Asset: u.Asset.Name, Customer: u.Asset.Customer, Site: u.Asset.Site, From: u.From, To: u.To,
		Alerts: len(u.Found) + u.More, Unjudged: u.Unjudged,
	}
}
