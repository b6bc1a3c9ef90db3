package collector

import (
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// explained tells whether an alert of a rule about `up` opens and joins no ticket: its site, or everything, is known to be
// silent and has a ticket, and it says no more than that. An asset with a ticket of its own about its silence, which may
// be older than its site's, has the alert in that one. The alert itself goes on as any other.
func (p *pipeline) explained(tx store.Tx, a incident.Alert) (bool, error) {
	if a.Source == silenceSource || !a.AboutLife() {
		return false, nil
	}
	if own, open, err := tx.OpenTicket(incident.KeyOf(a).String()); err != nil || open && tellsSilence(own) {
		return false, err
	}
	for _, cause := range []incident.Key{
		{Customer: a.Customer, Scope: "site/" + a.Site, Service: incident.Availability},
		{Customer: incident.OwnCustomer, Scope: "fleet", Service: incident.Availability},
	} {
		if t, open, err := tx.OpenTicket(cause.String()); err != nil || open && tellsSilence(t) {
			return err == nil, err
		}
	}
	return false, nil
}

// silenceSource is who says that something is silent.
const silenceSource = "watchbill"

// tellsSilence tells whether an alert of silence fires in a ticket.
func tellsSilence(t ticket.Ticket) bool {
	for _, a := range t.Alerts {
		if a.Firing() && a.Source == silenceSource && a.AboutLife() {
			return true
		}
	}
	return false
}

// supersede draws the ticket of a silence into that of the broader cause that explains it now, and links the two. Without
// an open ticket of that cause, which a person may have resolved, the alert just ends.
func (p *pipeline) supersede(tx store.Tx, t ticket.Ticket, a incident.Alert, now time.Time, did *outcome) error {
	cause, open, err := tx.OpenTicket(a.Annotations[incident.SupersededBy])
	if err != nil {
		return err
	}
	if !open || cause.ID == t.ID {
		c, err := t.End(a, now)
		return p.append(tx, c, err, did)
	}
	c, err := t.GiveWay(a, cause, now)
	if err := p.append(tx, c, err, did); err != nil || c.Empty() {
		return err
	}
	c, err = cause.TakeOver(t, now)
	return p.append(tx, c, err, did)
}
