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
	was, err := p.countedBy(tx, t, a)
	if err != nil {
		return ticket.Change{}, err
	}
	if !t.Counts(a, was) {
		return t.Fire(a, ts.Ticket, ev, now)
	}
	did.counted = append(did.counted, a.ID)
	if err := keepCounted(tx, t, a); err != nil {
		return ticket.Change{}, err
	}
	return t.Count(a, was, ts.Ticket, now)
}

// leave is what the end of an alert makes of the ticket that it belongs to.
func (p *pipeline) leave(tx store.Tx, t ticket.Ticket, a incident.Alert, now time.Time) (ticket.Change, error) {
	was, err := p.countedBy(tx, t, a)
	if err != nil {
		return ticket.Change{}, err
	}
	if was.Alert == "" || !t.Counts(a, was) {
		return t.End(a, now)
	}
	if err := keepCounted(tx, t, a); err != nil {
		return ticket.Change{}, err
	}
	return t.EndCounted(a, was, now)
}

// countedBy is what is kept of an alert that a ticket counts, or one that was merged into it; the zero value for none.
func (p *pipeline) countedBy(tx store.Tx, t ticket.Ticket, a incident.Alert) (ticket.Counted, error) {
	was, ok, err := tx.Counted(a.ID)
	if err != nil || !ok || was.Ticket == t.ID {
		return was, err
	}
	of, err := tx.Ticket(was.Ticket)
	if err != nil {
		return ticket.Counted{}, err
	}
	if into, _, err := p.mergedInto(tx, of); err != nil || into.ID != t.ID {
		return ticket.Counted{}, err
	}
	return was, nil
}

// keepCounted keeps of an alert what the ticket that counts it has to know later.
func keepCounted(tx store.Tx, t ticket.Ticket, a incident.Alert) error {
	if !a.Firing() && a.End == incident.Recovered {
		return tx.DropCounted(a.ID)
	}
	return tx.PutCounted(ticket.Counted{Alert: a.ID, Ticket: t.ID, End: a.End})
}
