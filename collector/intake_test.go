package collector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestIntakes: one that nobody confirms to have read within a working day opens one ticket, whatever restarts, and the next
// confirmation resolves it. Those of sets that no contract in force names are not watched.
func TestIntakes(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	if _, err := d.ReadIntake(ctx, "helpdesk", person("eve")); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("a set that nobody is under: %v, want that there is none", err)
	}
	d.fleet.Customers[1].Contracts = []fleet.Contract{{ID: "beta-1", Sets: []string{"web-host"}}}
	d.restart()
	state := func() policy.IntakeState {
		t.Helper()
		all, err := d.Intakes(ctx)
		if err != nil || len(all) != 1 || all[0].Name != "helpdesk" || all[0].Set != "web-host" {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0]
	}
	open := func() (out []ticket.Ticket) {
		d.view(func(tx store.Tx) (err error) {
			out, err = tx.Tickets(store.TicketFilter{Type: "email-unread", OpenOnly: true})
			return err
		})
		return out
	}
	// deskAt is Tuesday 05:00 in New York: the day begins at 08:00, which is 13:00 UTC.
	due := time.Date(2026, 11, 25, 13, 0, 0, 0, time.UTC)
	d.pass(deskAt.Add(time.Second))
	if s := state(); s.ReadAt != nil || !s.Due.Equal(due) || s.Ticket != "" {
		t.Fatalf("at first: %+v, want it due %v", s, due)
	}
	d.pass(due.Add(-time.Second))
	d.restart()
	d.told()
	d.pass(d.at.Add(500 * time.Millisecond))
	if got := open(); len(got) != 0 {
		t.Fatalf("%d tickets before it is due", len(got))
	}
	for range 3 {
		d.pass(due.Add(time.Minute))
		d.restart()
	}
	d.at = due.AddDate(0, 0, 5)
	d.pass(due.AddDate(0, 0, 6))
	got := open()
	if len(got) != 1 || got[0].Customer != "" || got[0].Policy != "web-host" || state().Ticket != got[0].Number {
		t.Fatalf("%+v, want one ticket, of no customer, under web-host", got)
	}
	if told := d.told(); !slices.ContainsFunc(told, func(s string) bool { return strings.HasSuffix(s, " opened") }) {
		t.Errorf("told were %q, want somebody of what opened", told)
	}
	read, err := d.ReadIntake(ctx, "helpdesk", person("eve"))
	if err != nil || read.By != "eve" || read.ReadAt == nil || !read.ReadAt.Equal(d.at) || read.Ticket != "" || !read.Due.After(d.at) {
		t.Fatalf("%+v, %v", read, err)
	}
	if now := d.ticket(got[0].Number); now.State != ticket.Done {
		t.Errorf("the ticket is %s, want it resolved", now.State)
	}
	d.restart()
	if s := state(); s.By != "eve" || !s.Due.Equal(read.Due) {
		t.Errorf("after a restart: %+v, want %+v", s, read)
	}
	d.pass(read.Due)
	if got := open(); len(got) != 1 {
		t.Errorf("%d tickets open a working day after it was read, want 1", len(got))
	}
	d.fleet.Customers[1].Contracts = nil
	d.restart()
	d.pass(d.at.AddDate(0, 0, 7))
	d.view(func(tx store.Tx) error {
		_, known, err := tx.Recurrence("intake/helpdesk")
		if known {
			t.Error("it is watched although no contract names its set")
		}
		return err
	})
}
