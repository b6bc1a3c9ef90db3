package collector

import (
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
)

// This file tells responsible managers ahead of each end of support: one ticket for each asset or application and its last
// day, whatever is restarted or reloaded. A recurrence that was opened is kept until the support is over, so that it is not
// planned again; from then on tickets of the asset are marked as unsupported (policy.KnownOf).

// aboutSupport is how the About of what is foretold begins.
const aboutSupport = "support/"

// foretold are the ends of a customer's support that are to be told, of those that are not over.
func foretold(ts *terms, c fleet.Customer, now time.Time) (out []store.Recurrence) {
	for _, f := range ts.Foretold(c) {
		if now.Before(f.Over) {
			out = append(out, store.Recurrence{ID: c.ID + "/" + f.ID, Customer: c.ID, Type: ts.Lifecycle.Type, Site: f.Site, At: f.At, About: f.ID})
		}
	}
	return out
}

// moved tells that what was not told yet is to be told at another time than was planned: the set says so now.
func moved(was, now store.Recurrence) bool {
	return strings.HasPrefix(was.About, aboutSupport) && was.Last == "" && !was.At.Equal(now.At)
}

// recurAbout does what is due of a single thing.
func (p *pipeline) recurAbout(tx store.Tx, r store.Recurrence, now time.Time, did *outcome) error {
	if strings.HasPrefix(r.About, aboutIntake) {
		return p.recurIntake(tx, r, now, did)
	}
	f, ok, err := p.stillForetold(r, now)
	switch {
	case err != nil:
		return err
	case !ok, r.Last != "":
		return tx.DeleteRecurrence(r.ID)
	case f.At.After(now): // planned otherwise since
		r.At = f.At
		return tx.PutRecurrence(r)
	}
	c, err := p.bring(tx, f.Birth(), r.ID, now, did)
	if err != nil {
		return err
	}
	if err := p.assignForetold(tx, f, c.Ticket.ID, now, did); err != nil {
		return err
	}
	r.Last, r.At = c.Ticket.ID, f.Over
	if !now.Before(f.Over) { // nothing ran until it was over: it was told late, and is not planned again
		return tx.DeleteRecurrence(r.ID)
	}
	return tx.PutRecurrence(r)
}

// stillForetold is what a recurrence foretells, false when its customer, its terms or what it is about are so no more.
func (p *pipeline) stillForetold(r store.Recurrence, now time.Time) (policy.Foretold, bool, error) {
	c, known := p.fleet.Customer(r.Customer)
	if !known {
		return policy.Foretold{}, false, nil
	}
	ts, err := p.agreements.at(r.Customer, now)
	if err != nil {
		return policy.Foretold{}, false, err
	}
	all := ts.Foretold(c)
	i := slices.IndexFunc(all, func(f policy.Foretold) bool { return f.ID == r.About })
	if i < 0 {
		return policy.Foretold{}, false, nil
	}
	return all[i], true, nil
}

// assignForetold hands the ticket to who is responsible, which tells them as the set says.
func (p *pipeline) assignForetold(tx store.Tx, f policy.Foretold, id string, now time.Time, did *outcome) error {
	a, by, ok := f.Assign()
	if !ok {
		return nil
	}
	t, err := tx.Ticket(id)
	if err != nil {
		return err
	}
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return err
	}
	c, err := t.Act(a, by, ts.Ticket, now)
	return p.append(tx, c, err, did)
}
