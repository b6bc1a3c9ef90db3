package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// elapse does what time alone does to the tickets that are due and returns when the next one is.
func (p *pipeline) elapse(ctx context.Context) (time.Time, error) {
	now := p.now()
	if err := p.tellStorms(ctx, now); err != nil {
		return time.Time{}, err
	}
	if err := p.fillIn(ctx, now); err != nil {
		return time.Time{}, err
	}
	var did outcome
	var next time.Time
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		var due []store.Deadline
		due, next, err = tx.DueDeadlines(now, 1)
		if len(due) > 0 {
			next = now
		}
		return err
	})
	if err != nil || next.IsZero() || next.After(now) {
		return next, err
	}
	err = p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		var due []store.Deadline
		var err error
		if due, next, err = tx.DueDeadlines(now, deadlineBatch); err != nil {
			return err
		}
		for _, d := range due {
			if err := p.elapseOne(tx, d, now, &did); err != nil {
				return fmt.Errorf("deadline of ticket %s: %w", d.Ticket, err)
			}
		}
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	p.done(did)
	return next, nil
}

func (p *pipeline) elapseOne(tx store.Tx, d store.Deadline, now time.Time, did *outcome) error {
	t, err := tx.Ticket(d.Ticket)
	if err != nil {
		return err
	}
	c, err := t.Elapse(now)
	if err != nil {
		return err
	}
	if c.Empty() { // the deadline index was behind: set it right
		return tx.PutDeadline(t.ID, t.Deadline())
	}
	return p.append(tx, c, nil, did)
}
