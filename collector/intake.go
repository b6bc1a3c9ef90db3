package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file watches intakes: what comes in beside the desk and that somebody, or some program, confirms to have read. Since
// when one is unread lies in the store as a recurrence, so that its ticket opens once, whatever is restarted meanwhile.

// intakes are those of the sets that a contract in force names, by name.
func (p *pipeline) intakes(now time.Time) ([]policy.IntakeDuty, error) {
	used := policy.SetsInForce(p.fleet.Customers(), func(customer string) (fleet.Contract, bool) {
		return p.fleet.ContractAt(customer, now)
	})
	return p.agreements.policies().Intakes(used, func(set string) (policy.Resolved, error) {
		ts, err := p.agreements.ofSet(set)
		if err != nil {
			return policy.Resolved{}, err
		}
		return ts.Resolved, nil
	})
}

// intake finds one by its name, false when no set in force has it.
func (p *pipeline) intake(name string, now time.Time) (policy.IntakeDuty, bool, error) {
	all, err := p.intakes(now)
	i := slices.IndexFunc(all, func(d policy.IntakeDuty) bool { return d.Name == name })
	if err != nil || i < 0 {
		return policy.IntakeDuty{}, false, err
	}
	return all[i], true, nil
}

// unreadIntakes are the intakes as they are planned at first: nobody confirmed anything yet.
func (p *pipeline) unreadIntakes(now time.Time) (out []store.Recurrence, err error) {
	all, err := p.intakes(now)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		due, err := d.Due(now)
		if err != nil {
			p.log.Error("an intake is not watched", "intake", d.Name, "set", d.Set, "err", err)
			continue
		}
		out = append(out, store.Recurrence{ID: d.Key(), Type: d.Type.Name, At: due, About: d.Key(), Since: now.UTC()})
	}
	return out, nil
}

// recurIntake opens the ticket of an intake that was not confirmed read in time, unless one is open. It is looked at again
// after the same time, since whoever closed that ticket by hand did not confirm anything.
func (p *pipeline) recurIntake(tx store.Tx, r store.Recurrence, now time.Time, did *outcome) error {
	d, ok, err := p.intake(r.ID[len(aboutIntake):], now)
	if err != nil {
		return err
	}
	if !ok {
		return tx.DeleteRecurrence(r.ID)
	}
	due, err := d.Due(r.Since)
	if err != nil {
		return err
	}
	if due.After(now) { // the set says otherwise since
		r.At = due
		return tx.PutRecurrence(r)
	}
	b := d.Birth(r.Since)
	_, open, err := tx.OpenTicket(b.Report.TicketKey())
	if err != nil {
		return err
	}
	if !open {
		c, err := p.bring(tx, b, r.ID, now, did)
		if err != nil {
			return err
		}
		r.Last = c.Ticket.ID
	}
	if r.At, err = d.Due(now); err != nil {
		return err
	}
	return tx.PutRecurrence(r)
}

// aboutIntake is how the About of an intake begins.
const aboutIntake = "intake/"

// Intakes are how the intakes in force stand, by name.
func (p *pipeline) Intakes(ctx context.Context) ([]policy.IntakeState, error) {
	now := p.now()
	all, err := p.intakes(now)
	if err != nil {
		return nil, err
	}
	var out []policy.IntakeState
	err = p.store.View(ctx, func(tx store.Tx) error {
		out = nil
		for _, d := range all {
			s, err := intakeState(tx, d, now)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		return nil
	})
	return out, err
}

// intakeState is how one stands; one that is not planned yet counts from now.
func intakeState(tx store.Tx, d policy.IntakeDuty, now time.Time) (policy.IntakeState, error) {
	s := policy.IntakeState{Name: d.Name, Set: d.Set, Within: d.Within.Text(), Type: d.Type.Name}
	r, known, err := tx.Recurrence(d.Key())
	if err != nil {
		return s, err
	}
	since := now
	if known {
		since = r.Since
	}
	if r.By != "" {
		s.ReadAt, s.By = &since, r.By
	}
	if s.Due, err = d.Due(since); err != nil {
		return s, err
	}
	t, open, err := tx.OpenTicket(ticket.Report{Key: d.Key()}.TicketKey())
	if open {
		s.Ticket = t.Number
	}
	return s, err
}

// ReadIntake keeps that an intake was read now, and resolves the ticket about it. It fails with store.ErrNotFound when no
// set in force has it. Where a gate keeps the ticket open the confirmation counts all the same.
func (p *pipeline) ReadIntake(ctx context.Context, name string, by ticket.By) (policy.IntakeState, error) {
	now := p.now()
	d, ok, err := p.intake(name, now)
	if err != nil {
		return policy.IntakeState{}, err
	}
	if !ok {
		return policy.IntakeState{}, fmt.Errorf("intake %q: %w", name, store.ErrNotFound)
	}
	due, err := d.Due(now)
	if err != nil {
		return policy.IntakeState{}, err
	}
	var did outcome
	var state policy.IntakeState
	err = p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		r := store.Recurrence{ID: d.Key(), Type: d.Type.Name, At: due, About: d.Key(), Since: now.UTC(), By: by.Name}
		if err := tx.PutRecurrence(r); err != nil {
			return err
		}
		t, open, err := tx.OpenTicket(ticket.Report{Key: d.Key()}.TicketKey())
		if err == nil && open {
			err = p.intakeWasRead(tx, t, d, by, now, &did)
		}
		if err == nil {
			state, err = intakeState(tx, d, now)
		}
		return err
	})
	if err != nil {
		return policy.IntakeState{}, fmt.Errorf("confirm that intake %s was read: %w", name, err)
	}
	p.done(did)
	return state, nil
}

// intakeWasRead resolves the ticket of an intake.
func (p *pipeline) intakeWasRead(tx store.Tx, t ticket.Ticket, d policy.IntakeDuty, by ticket.By, now time.Time, did *outcome) error {
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return err
	}
	c, err := t.Act(d.Read(), by, ts.Ticket, now)
	if errors.Is(err, ticket.ErrRefused) {
		err = nil // an attempt at a gate is kept; everything else leaves the ticket as it is
	}
	return p.append(tx, c, err, did)
}
