package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// elapse does what time alone does: to the tickets that are due, to storms, to what is held and to what comes again. It
// returns when the next of it is. What fails keeps nothing else from being done: the error joins all that did.
func (p *pipeline) elapse(ctx context.Context) (next time.Time, err error) {
	now := p.now()
	errs := []error{p.unmute(ctx, now), p.tellStorms(ctx, now), p.fillIn(ctx, now), p.lineUp(ctx)}
	behind := false // more deadlines are due than were looked at
	deadlines := func(ctx context.Context, now time.Time) (time.Time, error) {
		at, err := p.deadlines(ctx, now)
		behind = !at.IsZero() && !at.After(now)
		return at, err
	}
	letGo := func(ctx context.Context, now time.Time) (time.Time, error) { return p.letGo(ctx, now, behind) }
	for _, part := range []func(context.Context, time.Time) (time.Time, error){deadlines, p.recur, letGo} {
		at, err := part(ctx, now)
		errs = append(errs, err)
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, errors.Join(errs...)
}

// deadlines looks at the tickets that are due, some at a time, and returns when the next one is; it reads the index of
// deadlines alone to find them. A ticket whose terms cannot be carried out keeps no other waiting: it is logged, counted and
// looked at again later.
func (p *pipeline) deadlines(ctx context.Context, now time.Time) (next time.Time, err error) {
	var due []store.Deadline
	err = p.store.View(ctx, func(tx store.Tx) (err error) {
		due, next, err = tx.DueDeadlines(now, deadlineBatch)
		return err
	})
	if err != nil || len(due) == 0 {
		return next, err
	}
	err = oneByOne(ctx, p, due, batch[store.Deadline]{
		looking: true,
		do:      func(tx store.Tx, d store.Deadline, did *outcome) error { return p.elapseOne(tx, d, now, did) },
		later: func(tx store.Tx, d store.Deadline) error {
			return tx.PutDeadline(d.Ticket, now.Add(putOff))
		},
		failed: func(d store.Deadline, err error) {
			p.metrics.putOff.WithLabelValues(putOffDeadline).Inc()
			p.log.Error("what is due of a ticket could not be done; trying again later", "ticket", d.Ticket, "due", d.At, "in", putOff,
				"err", err)
		},
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("do what is due of tickets: %w", err)
	}
	return next, nil
}

// elapseOne records what became true of a ticket's clocks, closes or reopens it, and tells the rungs of its ladder that are
// due. What fell due while nobody looked is dated when it fell due, and told now.
func (p *pipeline) elapseOne(tx store.Tx, d store.Deadline, now time.Time, did *outcome) error {
	t, err := tx.Ticket(d.Ticket)
	if err != nil {
		return err
	}
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return err
	}
	c, err := t.Elapse(ts.Ticket, now)
	if err := p.append(tx, c, err, did); err != nil {
		return err
	}
	if !c.Empty() {
		if t, err = tx.Ticket(d.Ticket); err != nil { // drafts and the like may have come to it
			return err
		}
	}
	climbed, err := p.climb(tx, t, ts, now, did)
	if err != nil || climbed || !c.Empty() {
		return err
	}
	return p.reschedule(tx, t, ts, now) // the deadline index was behind: set it right
}

// reschedule sets the deadline of a ticket of which nothing is due. One that is past all the same is put off: it would be
// looked at again and again.
func (p *pipeline) reschedule(tx store.Tx, t ticket.Ticket, ts *terms, now time.Time) error {
	at := t.Deadline()
	_, next, _ := route.Due(t, ts.Route, ts.Ticket.Hours(), now) // append logs what is wrong with a ladder
	if !next.IsZero() && (at.IsZero() || next.Before(at)) {
		at = next
	}
	if !at.IsZero() && !at.After(now) {
		return fmt.Errorf("%s: it is due since %s and there is nothing to be done", t.Number, at.Format(time.RFC3339))
	}
	return tx.PutDeadline(t.ID, at)
}

// climb tells the rungs of the ladder that are due and records that they were told, in one change: so each is told once.
func (p *pipeline) climb(tx store.Tx, t ticket.Ticket, ts *terms, now time.Time, did *outcome) (climbed bool, err error) {
	due, _, err := route.Due(t, ts.Route, ts.Ticket.Hours(), now)
	if err != nil {
		p.log.Error("a ladder has rungs that never come", "number", t.Number, "policy", ts.Ticket.Policy, "err", err)
	}
	if len(due) == 0 {
		return false, nil
	}
	hearers := p.hearers(ts, now)
	var told []ticket.Told
	var tellings []route.Telling
	for _, step := range due {
		these := hearers.Rung(t, step, now)
		told = append(told, step.Told(these, now))
		tellings = append(tellings, these...)
	}
	c, err := t.WereTold(told, now)
	if err := p.append(tx, c, err, did); err != nil {
		return false, err
	}
	drafts, err := p.send(tx, voice{c, rungVoice}, tellings, did)
	if err != nil {
		return true, err
	}
	return true, p.drafted(tx, c.Ticket, drafts, did)
}

// rungVoice is where what a ladder tells stands among what is told of one version of a ticket: behind all else.
const rungVoice = 90

// lineUpBatch is how many tickets are given a place at a time.
const lineUpBatch = 256

// lineUp gives tickets their places in the queue that have none: those that an older release left. It is done once after a
// start, some tickets at every look, so that no deadline waits for it.
func (p *pipeline) lineUp(ctx context.Context) error {
	if p.linedUp {
		return nil
	}
	done := true
	err := p.store.View(ctx, func(tx store.Tx) error {
		some, err := tx.Unplaced(1)
		done = len(some) == 0
		return err
	})
	if err != nil || done {
		p.linedUp = done
		return err
	}
	err = p.store.Update(ctx, "", func(tx store.Tx) error {
		some, err := tx.Unplaced(lineUpBatch)
		if err != nil {
			return err
		}
		for _, t := range some {
			ts, err := p.agreements.of(tx, t)
			if err != nil {
				return err
			}
			if err := p.schedule(tx, t, ts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give tickets their places in the queue: %w", err)
	}
	return nil
}
