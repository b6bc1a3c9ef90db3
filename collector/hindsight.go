package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules/window"
)

// hindsight sees to it that what happened while nobody could see an asset is judged and told, once:
//
//	late report ─► gap, durable ─► review, apart from live alerts ─► one quiet ticket, and the gap is forgotten
//
// A gap is an alert state, written before the first late report is acknowledged: after a restart the reports since then
// are asked for again and count as unseen although they were acknowledged. gaps.go keeps them.
type hindsight struct {
	gaps    gaps
	store   store.Store
	reviews *evaluate.Reviews
	window  *window.Window
	facts   *facts
	// lookback is how far back rules look.
	lookback func() time.Duration
	// gather reads what is to be told of a review, which takes a while; what it returns brings that to its ticket, in the
	// transaction that also does then.
	gather func(ctx context.Context, u evaluate.Unseen) (tell func(ctx context.Context, then func(store.Tx) error) error, err error)
	// started is when nobody listened before.
	started time.Time
	now     func() time.Time
}

// wants is since when an asset's past is needed again: a restored gap with what rules look back on before it.
func (h *hindsight) wants(asset string) time.Time {
	since := h.gaps.unjudged(asset)
	if since.IsZero() {
		return since
	}
	return since.Add(-h.lookback())
}

// before is called with a report before anything of it is applied: what it says must be able to be judged against what
// was known until then. An error means that the report must not be acknowledged.
func (h *hindsight) before(ctx context.Context, r ingest.Report) error {
	host, heard := h.facts.host(r.Asset.Name)
	switch late := h.late(r); {
	case late && h.unseen(r):
		return h.note(ctx, r, h.open(r.Asset, r.MadeAt, evaluate.Past{}))
	case late || r.Replayed:
		return nil
	}
	away := !heard || r.ReceivedAt.Sub(host.Heard) > ingest.LateAfter(host.Interval)
	if away && (r.Waiting > 0 || !h.wants(r.Asset.Name).IsZero()) {
		since := r.MadeAt
		if gap := h.gaps.unjudged(r.Asset.Name); !gap.IsZero() && gap.Before(since) { // the window may have it from the last stop
			since = gap
		}
		h.open(r.Asset, since, past(r))
	}
	return nil
}

// late tells whether a report was too old when it came to be judged live: by the pace of its host, for live rules are
// evaluated on what a host said last. Whether a block of it is late is another question, asked with the block's own
// interval: one that a sampler makes once an hour is news for longer.
func (h *hindsight) late(r ingest.Report) bool {
	host, _ := h.facts.host(r.Asset.Name)
	return r.ReceivedAt.Sub(r.MadeAt) > ingest.LateAfter(host.Interval)
}

// open sees to it that a review of an asset is open, gives it the gaps that nobody else judges, and returns its number.
func (h *hindsight) open(a window.Asset, since time.Time, back evaluate.Past) uint64 {
	id := h.reviews.Open(a, since, back, func() *window.Window { return h.window.Fork(a.Name, since) })
	h.gaps.claim(a.Name, id, h.reviews.Going)
	return id
}

// unseen tells whether nobody had a report before. An agent of an earlier release does not say whether it was
// acknowledged; then only what was made since this start can be known not to have been.
func (h *hindsight) unseen(r ingest.Report) bool {
	if h.gaps.within(r.Asset.Name, r.MadeAt) {
		return true
	}
	if r.Lane == "" {
		return r.MadeAt.After(h.started)
	}
	return r.Lane != wire.LaneReplay
}

// note makes a gap durable before its first report is acknowledged. It and told change an asset's gaps one after the
// other, each from the beginning of its transaction until memory shows it.
func (h *hindsight) note(ctx context.Context, r ingest.Report, review uint64) error {
	if h.gaps.has(r.Asset.Name, review) {
		return nil
	}
	fail := func(err error) error {
		return fmt.Errorf("note that %s was not seen since %s: %w", r.Asset.Name, r.MadeAt.UTC().Format(time.RFC3339), err)
	}
	leave, err := h.gaps.enter(ctx, r.Asset)
	if err != nil {
		return fail(err)
	}
	defer leave()
	if h.gaps.has(r.Asset.Name, review) { // in the turn before this one
		return nil
	}
	made := gap{since: r.MadeAt, review: review}
	all := append(h.gaps.of(r.Asset.Name), made)
	if err := h.store.Update(ctx, "", func(tx store.Tx) error { return keep(tx, r.Asset, all, h.now()) }); err != nil {
		return fail(err)
	}
	h.gaps.add(r.Asset.Name, made)
	return nil
}

// after is called with a report when it is applied.
func (h *hindsight) after(r ingest.Report) {
	late := h.late(r)
	review, fed, open := h.reviews.Fed(r.Asset.Name)
	if !open && late && h.unseen(r) { // its review has ended since before
		review, fed, open = h.open(r.Asset, r.MadeAt, evaluate.Past{}), r.ReceivedAt, true
	}
	if !open {
		return
	}
	if r.Replayed || late {
		p := past(r)
		p.Unseen = h.unseen(r)
		h.reviews.Add(r.Asset.Name, p)
	}
	if h.whole(r, fed) {
		h.gaps.close(r.Asset.Name, review)
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
	lost, isLost := h.gaps.lost(u.Asset.Name, u.Review)
	switch {
	case u.Reports == 0 && !isLost: // it was only a moment, or nothing came yet: then its gap is for the next
		h.gaps.pass(u.Asset.Name, u.Review, h.reviews.Another(u.Asset.Name, u.Review))
		return nil
	case u.Reports == 0:
		u.From, u.To = lost.since, lost.since
		if lost.until.After(lost.since) {
			u.To = lost.until
		}
		u.Unjudged = "the collector was started anew before it had judged them, and the agent holds them no more"
	}
	tell, err := h.gather(ctx, u)
	if err != nil {
		return err
	}
	leave, err := h.gaps.enter(ctx, u.Asset)
	if err != nil {
		return fmt.Errorf("tell what happened to %s while nobody could see it: %w", u.Asset.Name, err)
	}
	defer leave()
	rest := slices.DeleteFunc(h.gaps.of(u.Asset.Name), func(g gap) bool { return g.review == u.Review })
	if err := tell(ctx, func(tx store.Tx) error { return keep(tx, u.Asset, rest, h.now()) }); err != nil {
		return err
	}
	h.gaps.remove(u.Asset.Name, u.Review)
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
