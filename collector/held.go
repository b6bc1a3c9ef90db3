package collector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file holds what people are told while they were told something a moment ago, or while it is night: it goes out as
// one digest when its time comes. What is held lies in the store, so that a restart loses none of it. Receivers that want
// every ticket (all of the configuration, or one by its name) are told of each at once.

// heldBatch bounds one transaction of what was held; the rest follows at once. It is as large as it is because the addressees
// of a batch hear of it in one digest each.
const heldBatch = 4000

// pagesNow are when people were told last, this transaction included.
func (p *pipeline) pagesNow(did *outcome) route.Pages {
	if did.pages != nil {
		return did.pages
	}
	p.paging.Lock()
	defer p.paging.Unlock()
	return maps.Clone(p.pages)
}

// paged remembers what a transaction told, beside what others told meanwhile that it did not know of.
func (p *pipeline) paged(did outcome) {
	if did.pages == nil {
		return
	}
	now := p.now()
	p.paging.Lock()
	defer p.paging.Unlock()
	p.pages = p.pages.With(did.pages, now)
}

// gather tells a person at once, or holds it for them: what time alone brings until the end of the look that brought it, and
// what is not urgent until the next look while what is held waits for that already. So it goes out as one with it.
func (p *pipeline) gather(tx store.Tx, v voice, t route.Telling, did *outcome) error {
	now := p.now()
	if did.looking {
		return p.hold(tx, route.Round{Keep: []route.Telling{t}, Next: later(now, t.NotBefore)})
	}
	round := route.Digest([]route.Telling{t}, p.pagesNow(did), v.c.Ticket.UpdatedAt)
	if len(round.Send) > 0 && !t.Urgent {
		due, _, err := tx.DueHeld(now, 1)
		if err != nil {
			return err
		}
		if len(due) > 0 {
			did.says(channelOf(t), heldBack)
			return p.hold(tx, route.Round{Keep: []route.Telling{t}, Next: now})
		}
	}
	did.pages = round.Pages
	for range round.Keep {
		did.says(channelOf(t), heldBack)
	}
	for _, now := range round.Send {
		did.tells(now)
		if err := p.post(tx, v, now); err != nil {
			return err
		}
	}
	return p.hold(tx, round)
}

// hold keeps what a round does not send. Its ID follows from what it says, so that a closure that runs again holds it once.
func (p *pipeline) hold(tx store.Tx, round route.Round) error {
	for _, kept := range round.Keep {
		id, err := heldID(kept)
		if err != nil {
			return err
		}
		body, err := json.Marshal(kept)
		if err != nil {
			return fmt.Errorf("hold notice of %s: %w", kept.Item.Number, err)
		}
		if err := tx.PutHeld(store.Held{ID: id, At: round.Next, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// heldID is the same for a telling however long it waits.
func heldID(t route.Telling) (string, error) {
	t.Until = time.Time{}
	body, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("name what is held of %s: %w", t.Item.Number, err)
	}
	sum := sha256.Sum256(body)
	return t.Item.Ticket + "-held-" + hex.EncodeToString(sum[:8]), nil
}

// together is how long what time brought is held so that all of it goes out at once, while more of it is still read: after
// a start, mostly.
const together = time.Second

// letGo tells what was held and is due, and returns when the next is. While more deadlines are due than were looked at
// (behind), it is held up to together for them, and what goes out then begins no window that the rest would wait for.
func (p *pipeline) letGo(ctx context.Context, now time.Time, behind bool) (next time.Time, err error) {
	switch {
	case !behind:
		p.behind = time.Time{}
	case p.behind.IsZero():
		p.behind = now
	}
	if behind && now.Sub(p.behind) < together {
		return now, nil
	}
	err = p.store.View(ctx, func(tx store.Tx) (err error) {
		due, after, err := tx.DueHeld(now, 1)
		if next = after; len(due) > 0 {
			next = now
		}
		return err
	})
	if err != nil || next.IsZero() || next.After(now) {
		return next, err
	}
	var did outcome
	err = p.store.Update(ctx, "", func(tx store.Tx) (err error) {
		did = outcome{}
		next, err = p.letGoIn(tx, now, &did)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("tell what was held: %w", err)
	}
	if more := !next.IsZero() && !next.After(now); !behind && !more {
		p.paged(did)
	}
	p.metrics.desk.said(did.said)
	p.metrics.pages.count(did.paged, p.oncall, now)
	for _, err := range did.unread {
		p.metrics.putOff.WithLabelValues(putOffNotice).Inc()
		p.log.Error("what was held cannot be read; trying again later", "in", putOff, "err", err)
	}
	p.wake()
	return next, nil
}

func (p *pipeline) letGoIn(tx store.Tx, now time.Time, did *outcome) (time.Time, error) {
	due, next, err := tx.DueHeld(now, heldBatch)
	if err != nil {
		return next, err
	}
	var waiting []route.Telling
	for _, h := range due {
		var t route.Telling
		if err := json.Unmarshal(h.Body, &t); err != nil {
			did.unread = append(did.unread, fmt.Errorf("held notice %s: %w", h.ID, err))
			h.At = now.Add(putOff) // it stays, and keeps no other waiting
			if err := tx.PutHeld(h); err != nil {
				return next, err
			}
			continue
		}
		if err := tx.DeleteHeld(h.ID); err != nil {
			return next, err
		}
		stale, err := overtaken(tx, t)
		if err != nil {
			return next, err
		}
		if !stale {
			waiting = append(waiting, t)
		}
	}
	round := route.Digest(waiting, p.pagesNow(did), now)
	did.pages = round.Pages
	for _, t := range round.Send {
		did.tells(t)
		if err := p.letOut(tx, t, now); err != nil {
			return next, err
		}
	}
	if err := p.hold(tx, round); err != nil {
		return next, err
	}
	if !round.Next.IsZero() && (next.IsZero() || round.Next.Before(next)) {
		next = round.Next
	}
	return next, nil
}

// overtaken tells whether a telling says that a clock is at risk that was missed since: that it was is told instead.
func overtaken(tx store.Tx, t route.Telling) (bool, error) {
	if t.What != ticket.ClockAtRisk {
		return false, nil
	}
	about, err := tx.Ticket(t.Item.Ticket)
	if err != nil {
		return false, err
	}
	c, ok := about.Clock(t.Clock)
	return ok && !c.BreachedAt.IsZero(), nil
}

// letOut puts one telling that was held into the outbox: about its ticket as it is now, in the words of then.
func (p *pipeline) letOut(tx store.Tx, t route.Telling, now time.Time) error {
	id, err := heldID(t)
	if err != nil {
		return err
	}
	about, err := tx.Ticket(t.Item.Ticket)
	if err != nil {
		return err
	}
	n := p.noticeOf(ticket.Change{Ticket: about}, t)
	n.At = now
	if n.Letter = t.What == route.Digested; n.Letter {
		n.Alerts = nil
	}
	body, err := n.Encode()
	if err != nil {
		return err
	}
	for i, r := range p.through(t) {
		m := outbox.Message{
			ID: fmt.Sprintf("%s-%02d", id, i), Receiver: r, Ticket: about.ID, Number: about.Number, What: string(t.What),
			Body: body, CreatedAt: now, NextAt: now, State: outbox.Queued,
		}
		if err := tx.PutMessage(m); err != nil {
			return err
		}
	}
	return nil
}
