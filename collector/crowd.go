package collector

import (
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file brings many alerts to one ticket: those of a commit that follow each other are one change of it, and those
// beyond what it lists are counted.

// run is what the alerts of one incident that follow each other in a commit make of its ticket: it is read once and written
// once, however many they are.
type run struct {
	key    string
	change ticket.Change
}

// pass ends the run of another incident than an alert's, and of any before an alert that looks at other tickets.
func (p *pipeline) pass(tx store.Tx, a incident.Alert, did *outcome) error {
	if did.run == nil || did.run.key == incident.KeyOf(a).String() && !a.AboutLife() {
		return nil
	}
	return p.endRun(tx, did)
}

// endRun writes what a run made of its ticket.
func (p *pipeline) endRun(tx store.Tx, did *outcome) error {
	if did.run == nil {
		return nil
	}
	c := did.run.change
	did.run = nil
	return p.append(tx, c, nil, did)
}

// extend makes a change of a ticket part of a run, or begins one; where no run is kept it is written.
func (p *pipeline) extend(tx store.Tx, key string, c ticket.Change, err error, did *outcome) error {
	switch {
	case err != nil || c.Empty():
		return err
	case !did.running:
		return p.append(tx, c, nil, did)
	case did.run == nil:
		did.run = &run{key, c}
	default:
		did.run.change = did.run.change.Then(c)
	}
	return nil
}

// come is what an alert that fires makes of the ticket that it belongs to.
func (p *pipeline) come(tx store.Tx, t ticket.Ticket, a incident.Alert, ev []ticket.Evidence, now time.Time, did *outcome) (ticket.Change, error) {
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return ticket.Change{}, err
	}
	was, _, err := tx.Counted(t.ID, a.ID)
	if err != nil {
		return ticket.Change{}, err
	}
	if !t.Counts(a, was) {
		return t.Fire(a, ts.Ticket, ev, now)
	}
	did.counted = append(did.counted, a.ID)
	if err := keepCounted(tx, t, a, was); err != nil {
		return ticket.Change{}, err
	}
	return t.Count(a, was, ts.Ticket, now)
}

// leave is what the end of an alert makes of the ticket that it belongs to.
func (p *pipeline) leave(tx store.Tx, t ticket.Ticket, a incident.Alert, now time.Time) (ticket.Change, error) {
	was, _, err := tx.Counted(t.ID, a.ID)
	if err != nil {
		return ticket.Change{}, err
	}
	if was.Alert == "" || !t.Counts(a, was) {
		return t.End(a, now)
	}
	if err := keepCounted(tx, t, a, was); err != nil {
		return ticket.Change{}, err
	}
	return t.EndCounted(a, was, now)
}

// keepCounted keeps of an alert what the ticket that counts it has to know later; was is what was kept of it.
func keepCounted(tx store.Tx, t ticket.Ticket, a incident.Alert, was ticket.Counted) error {
	kept, ok := t.Keeps(a, was)
	if !ok {
		return tx.DropCounted(t.ID, a.ID)
	}
	return tx.PutCounted(kept)
}

// disband lets what is kept of the alerts that a ticket counts end with the ticket, or go on in the one that took it over.
func disband(tx store.Tx, c ticket.Change) error {
	if c.Ticket.State != ticket.Shut || c.Was == ticket.Shut || c.Ticket.Crowd.Came == 0 {
		return nil
	}
	all, err := tx.CountedOf(c.Ticket.ID)
	if err != nil {
		return err
	}
	for _, one := range all {
		if err := tx.DropCounted(one.Ticket, one.Alert); err != nil {
			return err
		}
		if c.Ticket.Merged == nil {
			continue
		}
		one.Ticket = c.Ticket.Merged.Ticket
		if err := tx.PutCounted(one); err != nil {
			return err
		}
	}
	return nil
}
