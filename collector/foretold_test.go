package collector

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// notices are the tickets by which somebody was told ahead of an end of support, as TITLE (STATE).
func (d *desk) notices() (out []string) {
	d.view(func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{Type: "lifecycle-notice"})
		out = nil
		for _, t := range all {
			out = append(out, fmt.Sprintf("%s (%s)", t.Title, t.State))
		}
		slices.Sort(out)
		return err
	})
	return out
}

// TestEndsOfSupportAreToldAhead: once for each asset or application and last day, to who is responsible, whatever restarts
// and is reloaded meanwhile.
func TestEndsOfSupportAreToldAhead(t *testing.T) {
	d := newDesk(t)
	beta := &d.fleet.Customers[1]
	beta.Contracts = []fleet.Contract{{ID: "beta-1", Sets: []string{"software-group"}}}
	beta.Sites[0].Assets[0].SupportEnds, beta.Sites[0].Assets[0].Responsible = "2027-03-31", "dan"
	beta.Applications = []fleet.Application{{Name: "Ledger", SupportEnds: "2026-12-24", Responsible: "eve"}, {Name: "Old", SupportEnds: "2026-01-01"}}
	want := func(when string, titles ...string) {
		t.Helper()
		if got := d.notices(); !slices.Equal(got, titles) {
			t.Fatalf("%s: %q, want %q", when, got, titles)
		}
	}
	const db1, ledger = "support of host db1 ends on 2027-03-31 (new)", "support of application Ledger ends on 2026-12-24 (new)"
	d.restart()
	d.told()
	d.pass(deskAt.Add(time.Second)) // less than ninety days before the one, more before the other
	want("at once", ledger)
	if told := d.told(); !slices.Contains(told, "eve assigned") {
		t.Errorf("told were %q, want eve of what was assigned", told)
	}
	due := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) // ninety days before the end of 31 March
	for range 2 {
		d.restart()
		d.pass(due.Add(-time.Second))
		want("before", ledger)
	}
	for range 3 {
		d.restart()
		d.pass(due)
		want("when it is time, after restarts", ledger, db1)
	}
	owned := d.noticeOf("db1")
	if owned.Assignee != "dan" || owned.Owner != "it-ops" || owned.Facts["responsible"] != "dan" {
		t.Errorf("owned by %q, assigned to %q, responsible %q", owned.Owner, owned.Assignee, owned.Facts["responsible"])
	}
	if _, err := d.Act(t.Context(), owned.ID, ticket.Action{Verb: ticket.Resolve, Text: "ordered"}, person("dan")); err != nil {
		t.Fatal(err)
	}
	d.pass(due.AddDate(0, 0, 10))
	d.restart()
	d.pass(due.AddDate(0, 0, 20))
	want("when it is closed", ledger, "support of host db1 ends on 2027-03-31 (closed)")

	beta.Sites[0].Assets[0].SupportEnds = "2027-04-30" // the maker goes on for a month: told again, for it is another end
	d.restart()
	d.pass(due.AddDate(0, 0, 60))
	want("when the day is another", ledger, "support of host db1 ends on 2027-03-31 (closed)", "support of host db1 ends on 2027-04-30 (new)")

	d.at = time.Date(2027, 5, 1, 0, 0, 0, 0, time.UTC)
	d.restart()
	d.pass(d.at.Add(time.Hour))
	d.view(func(tx store.Tx) error {
		all, err := tx.Recurrences()
		if i := slices.IndexFunc(all, func(r store.Recurrence) bool { return r.About != "" && r.Customer == "beta" }); i >= 0 {
			t.Errorf("%+v is kept although the support is over", all[i])
		}
		return err
	})
	d.fire("db1", "DiskFull", "critical", rules.Firing)
	d.view(func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{Asset: "db1", OpenOnly: true})
		for _, x := range all {
			if x.Kind == ticket.KindIncident && x.Unsupported == "" {
				t.Errorf("%s is not marked as unsupported", x.Number)
			}
		}
		return err
	})
}

// noticeOf is the first ticket by which somebody was told ahead of an asset.
func (d *desk) noticeOf(asset string) (found ticket.Ticket) {
	d.view(func(tx store.Tx) error {
		all, err := tx.Tickets(store.TicketFilter{Type: "lifecycle-notice"})
		if i := slices.IndexFunc(all, func(t ticket.Ticket) bool { return t.Asset == asset }); i >= 0 {
			found = all[i]
		}
		return err
	})
	return found
}

// TestWhatIsForetoldFollowsTheFleet: what is planned and not told yet goes with its asset, and moves with its set.
func TestWhatIsForetoldFollowsTheFleet(t *testing.T) {
	d := newDesk(t)
	beta := &d.fleet.Customers[1]
	beta.Contracts = []fleet.Contract{{ID: "beta-1", Sets: []string{"software-group"}}}
	beta.Sites[0].Assets[0].SupportEnds = "2027-03-31"
	d.restart()
	d.pass(deskAt.Add(time.Second))
	planned := func() (at time.Time) {
		d.view(func(tx store.Tx) error {
			r, _, err := tx.Recurrence("beta/support/asset/db1/2027-03-31")
			at = r.At
			return err
		})
		return at
	}
	first := planned()
	set, _ := d.book.Set("software-group")
	lifecycle := *set.Lifecycle
	lifecycle.Ahead += lifecycle.Ahead / 9 // a hundred days
	set.Lifecycle = &lifecycle
	d.book = d.book.With(set)
	d.restart()
	d.pass(deskAt.Add(time.Minute))
	if got := first.Sub(planned()); got != 10*24*time.Hour {
		t.Errorf("it moved by %v, want ten days", got)
	}
	beta.Sites[0].Assets[0].SupportEnds = ""
	d.restart()
	d.pass(deskAt.AddDate(1, 0, 0))
	if got := d.notices(); len(got) != 0 || !planned().IsZero() {
		t.Errorf("%q opened of what is declared no more, planned %v", got, planned())
	}
}
