package collector

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
)

const (
	// seenEvery is how often it is looked at whether agents report otherwise than is kept, and seenAtOnce how many are
	// written in one transaction: a fleet that is new is 10,000.
	seenEvery  = time.Minute
	seenAtOnce = 1000
	// heardEvery is how old the last report that is kept of an agent may be while it reports.
	heardEvery = 10 * time.Minute
)

// remembering keeps with the fleet how hosts were seen: what a collector that starts anew has to go by. Goodbyes, and that
// they are over, are kept before their reports are acknowledged; those that come together share a transaction. The rest,
// how often hosts report, from where and when they last did, is looked at now and then. What is written is what is known
// at that moment, so that what was known before never replaces it.
type remembering struct {
	facts *facts
	fleet *fleet.Registry
	now   func() time.Time

	// writing is held while something is written. next, of mu, are those that wait for that and will be written together.
	writing sync.Mutex
	mu      sync.Mutex
	next    *remembered
}

// remembered are agents that are written together, by their IDs with their assets; err is set when done is closed.
type remembered struct {
	agents map[string]string
	done   chan struct{}
	err    error
}

// report keeps what of a live report has to be durable when it is acknowledged.
func (k *remembering) report(ctx context.Context, r ingest.Report) error {
	if r.Replayed || r.Goodbye == nil && r.Agent.Goodbye == "" {
		return nil
	}
	return k.keep(ctx, r.Agent.ID, r.Asset.Name)
}

// keep keeps how one agent is seen now. Who comes while nobody waits writes for all who come until its turn; a caller that
// goes away leaves what it brought to be written.
func (k *remembering) keep(ctx context.Context, agent, asset string) error {
	k.mu.Lock()
	b := k.next
	first := b == nil
	if first {
		b = &remembered{agents: map[string]string{}, done: make(chan struct{})}
		k.next = b
	}
	b.agents[agent] = asset
	k.mu.Unlock()
	if first {
		k.writing.Lock()
		k.mu.Lock()
		k.next = nil
		k.mu.Unlock()
		b.err = k.write(context.WithoutCancel(ctx), b.agents)
		k.writing.Unlock()
		close(b.done)
		return b.err
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write writes how agents are seen now. The caller holds writing.
func (k *remembering) write(ctx context.Context, agents map[string]string) error {
	seen := make(map[string]fleet.Seen, len(agents))
	for id, asset := range agents {
		if h, heard := k.facts.host(asset); heard {
			seen[id] = h.seen()
		}
	}
	return k.fleet.KeepSeen(ctx, seen)
}

// seen is what is kept of a host.
func (h hostFacts) seen() fleet.Seen {
	return fleet.Seen{Interval: h.Interval, HeardAt: h.Heard.UTC().Round(0), Address: h.From, Goodbye: h.Goodbye}
}

// all keeps how agents are seen, of those where that is worth a word, and of all when it is the last time. What is not
// kept, for want of a minute's time, makes the next start more patient and its tickets less precise, nothing else.
func (k *remembering) all(ctx context.Context, last bool) error {
	var due []fleet.Agent
	now := k.now()
	for _, a := range k.fleet.Agents() {
		if h, heard := k.facts.host(a.Asset); heard && a.RevokedAt.IsZero() && (last || worthKeeping(h, a.Seen, now)) {
			due = append(due, a)
		}
	}
	// By ID they lie beside each other in the store.
	slices.SortFunc(due, func(a, b fleet.Agent) int { return cmp.Compare(a.ID, b.ID) })
	for some := range slices.Chunk(due, seenAtOnce) {
		agents := make(map[string]string, len(some))
		for _, a := range some {
			agents[a.ID] = a.Asset
		}
		k.writing.Lock()
		err := k.write(ctx, agents)
		k.writing.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// worthKeeping tells whether a host is seen otherwise than is kept of it. Of one that reports as ever one of the last
// heardEvery will do; of one that missed some, the last one is kept.
func worthKeeping(h hostFacts, kept fleet.Seen, now time.Time) bool {
	is := h.seen()
	since := is.HeardAt.Sub(kept.HeardAt).Abs()
	is.HeardAt = kept.HeardAt
	return is != kept || since >= heardEvery || since > 0 && now.Sub(h.Heard) > max(missed*h.Interval, seenEvery)
}
