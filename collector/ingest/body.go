package ingest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// A body of the past is read first and takes a slot then, for as long as it is worked on and no longer: a line that is
// slow, or an agent that is made to wait, keeps nobody else from telling of the past. What is in memory meanwhile is
// bounded by Backlog.BodyBytes as it came, and by the slots once it is decoded.
const (
	// readyPerSlot is how many bodies may wait for each slot; past that they are sent away unread.
	readyPerSlot = 8
	// slotPatience is how long one waits: its agent has nothing else to say meanwhile, not even what is live.
	slotPatience = time.Second
)

const crowdedText = "other reports of the past are being worked on; raise backlog.at_once if this takes too long"

// admit says whether a report of the past may be read now; nil when it may. The caller holds the agent's turn.
func (i *Ingest) admit(ctx context.Context, who fleet.Agent, a *agent, now time.Time) *outcome {
	switch {
	case !a.sent.past():
		return nil
	case a.credits == 0:
		tarpit(ctx, &a.pastAt, retrySink, now)
		out := i.later(who, reasonCredit, retrySink, "reports of the past wait until the collector has room for them: it says "+
			"with an answer to a live report how many it takes; raise backlog.samples_per_second if this takes too long")
		return &out
	case i.past.ready.Load() >= int64(readyPerSlot*i.past.o.Load().AtOnce):
		out := i.crowdedPast(ctx, who, a, now, crowdedText)
		return &out
	}
	return nil
}

// crowdedPast sends a report of the past away for a moment; its agent keeps its credits.
func (i *Ingest) crowdedPast(ctx context.Context, who fleet.Agent, a *agent, now time.Time, text string) outcome {
	tarpit(ctx, &a.pastAt, time.Second, now)
	out := i.later(who, reasonBacklog, time.Second, text)
	out.ack.Credits = uint32(a.credits) //nolint:gosec // Backlog.Credits at most
	return out
}

// ofThePast takes in a body of one or many reports of the past: reads it, waits for a slot, and has it worked on. The
// caller holds the agent's turn.
func (i *Ingest) ofThePast(w http.ResponseWriter, r *http.Request, who fleet.Agent, a *agent, now time.Time) outcome {
	size := 2 * i.o.Limits.BodyBytes // what a buffer that grows may take
	if r.ContentLength >= 0 {
		size = min(r.ContentLength, i.o.Limits.BodyBytes)
	}
	if !i.past.hold(a.customer, size) {
		return i.crowdedPast(r.Context(), who, a, now, "as many bodies of reports of the past as fit are on their way in; raise backlog.body_bytes "+
			"if this takes too long")
	}
	defer i.past.let(a.customer, size)
	var raw bytes.Buffer
	n, err := i.body(w, r, i.o.Limits, func(in io.Reader, _ string) error {
		raw.Grow(int(min(size, i.o.Limits.BodyBytes)) + bytes.MinRead)
		_, err := raw.ReadFrom(io.LimitReader(in, i.o.Limits.BodyBytes+1)) // one too many says that it is too long
		return err
	})
	a.spend(n, now)
	if err != nil {
		return i.notRead(who, a, err, now)
	}
	done, ok := i.past.slot(r.Context())
	if !ok {
		return i.crowdedPast(r.Context(), who, a, now, crowdedText)
	}
	defer done()
	a.credits--
	from := func(decode func(io.Reader, string) error) (int, error) {
		return 0, decode(&raw, r.Header.Get(wire.HeaderCoding)) // its bytes are counted
	}
	if mediaOf(r) == wire.TypeBulkV1 {
		out := i.bulk(r.Context(), from, who, a, now)
		i.grant(who, a, out.ack, now)
		return out
	}
	return i.one(r, from, who, a, now)
}

// hold takes room for a body of a customer's agent; false when there is none.
func (p *past) hold(c *customer, size int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held+size > int64(p.o.Load().BodyBytes) || c.held+size > int64(p.o.Load().BodyBytes)/2 {
		return false
	}
	p.held, c.held = p.held+size, c.held+size
	return true
}

// let gives it back.
func (p *past) let(c *customer, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, c.held = p.held-size, c.held-size
}

// slot waits for one, a moment at most; done gives it back.
func (p *past) slot(ctx context.Context) (done func(), ok bool) {
	slots := p.slots.Load().free
	done = func() { <-slots }
	select {
	case slots <- struct{}{}:
		return done, true
	default:
	}
	p.ready.Add(1)
	defer p.ready.Add(-1)
	t := time.NewTimer(slotPatience)
	defer t.Stop()
	select {
	case slots <- struct{}{}:
		return done, true
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, false
}
