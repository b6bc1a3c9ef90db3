package collector

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// This file opens tickets: under which terms, with what is known of asset and customer, and whose they are.

// open opens the ticket of an incident that an alert begins.
func (p *pipeline) open(tx store.Tx, a incident.Alert, ev []ticket.Evidence, recurs *ticket.Ticket, now time.Time, did *outcome) error {
	key := incident.KeyOf(a).String()
	var past []ticket.Ticket
	if last, err := did.newest(tx, key); err != nil {
		return err
	} else if last.ok {
		if past, err = tx.TicketsByKey(key, maxPast); err != nil {
			return err
		}
	}
	b := ticket.Birth{
		Title: a.Title(), Alert: a, Evidence: withHistory(ev, past), Recurs: recurs, Quiet: incident.Quiet(a), Storm: did.into[key],
		Held: did.late != "" && did.late == a.ID,
	}
	if same, ok, err := tx.ReportedTicket(key); err != nil {
		return err
	} else if ok {
		b.Same = &same
	}
	c, err := p.bring(tx, b, key, now, did)
	if err != nil || recurs == nil {
		return err
	}
	old, err := recurs.Recurred(c.Ticket, now)
	return p.append(tx, old, err, did)
}

// bring opens a ticket: it gets its number, its terms unless it has some, what is known of its asset, and its owner. name
// makes its ID, together with the number.
func (p *pipeline) bring(tx store.Tx, b ticket.Birth, name string, now time.Time, did *outcome) (ticket.Change, error) {
	if b.ID == "" {
		n, err := tx.NextNumber()
		if err != nil {
			return ticket.Change{}, err
		}
		b.ID, b.Number = ticketID(name, n), fmt.Sprintf("WB-%d", n)
	}
	customer, asset := subjectOf(b)
	var ts *terms
	var err error
	if b.Terms.Policy == "" {
		ts, err = p.agreements.at(customer, now)
	} else {
		ts, err = p.agreements.of(tx, ticket.Ticket{Opening: ticket.Opening{Customer: customer, Number: b.Number}, Work: ticket.Work{Terms: b.Terms.Digest}})
	}
	if err != nil {
		return ticket.Change{}, err
	}
	b.Terms = ts.forOpening(p.audience.Load().flapping)
	b.Facts = policy.KnownOf(p.fleet, customer, asset, b.Facts, now)
	b = b.SeenAs(b.Alert.Labels[rules.TypeLabel])
	if b.Owner == "" {
		b.Owner = policy.OwnerOf(b, ts.Resolved)
	}
	c, err := ticket.Open(b, now)
	if err != nil {
		return ticket.Change{}, err
	}
	if err := tallyChange(tx, c); err != nil {
		return ticket.Change{}, err
	}
	if err := tx.CreateTicket(c.Ticket, c.Events); err != nil {
		return ticket.Change{}, err
	}
	return c, p.follow(tx, c, did)
}

// subjectOf is whom and what a ticket will be about.
func subjectOf(b ticket.Birth) (customer, asset string) {
	switch {
	case b.Report != nil && (b.Report.Customer != "" || b.Parent == nil):
		return b.Report.Customer, b.Report.Asset
	case b.Report == nil && b.Alert.Name != "":
		return b.Alert.Customer, b.Alert.Asset
	case b.Parent != nil:
		return b.Parent.Customer, b.Parent.Asset
	}
	return "", ""
}

// bear opens the tickets that a change brings with it, each bound to the one that it came of.
func (p *pipeline) bear(tx store.Tx, c ticket.Change, now time.Time, did *outcome) error {
	for i, b := range c.Births {
		parent, err := tx.Ticket(c.Ticket.ID) // as the one before left it
		if err != nil {
			return err
		}
		b.Parent = &parent
		if _, err := p.bring(tx, b, fmt.Sprintf("birth %d of %s at %d", i, parent.ID, c.Ticket.Seq), now, did); err != nil {
			return fmt.Errorf("open %s of %s: %w", or(b.Type, b.Kind), parent.Number, err)
		}
	}
	return nil
}
