package collector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// again puts types that come again into the set that acme goes by.
func (d *desk) again(types string, within ...string) {
	d.t.Helper()
	set, err := policy.Parse("erp-partner/policy.yml", []byte(`
name: erp-partner
version: 9
priorities: [P1]
clocks: {response: {met_by: [callback]}}
targets: [{clock: response, within: "`+append(within, "1h,elapsed")[0]+`"}]
owner: support
reopen_window: 24h
notices: [{name: all, on: [opened, clock_breached], to: [{party: owner}]}]
close_after: 24h
parties: {support: {role: engineer}}
types:
`+types))
	if err != nil {
		d.t.Fatal(err)
	}
	d.book = d.book.With(set)
	d.agreements.load(d.book)
	if errs := checkContracts(d.book, d.fleet); len(errs) > 0 {
		d.t.Fatal(errs)
	}
}

func (d *desk) recurrence(id string) (r store.Recurrence) {
	d.t.Helper()
	d.view(func(tx store.Tx) error {
		found, ok, err := tx.Recurrence(id)
		if r = found; !ok {
			err = errors.Join(err, store.ErrNotFound)
		}
		return err
	})
	return r
}

// titles are those of all tickets, sorted.
func (d *desk) titles() (out []string) {
	d.view(func(tx store.Tx) error {
		out = nil
		all, err := tx.Tickets(store.TicketFilter{})
		for _, t := range all {
			out = append(out, t.Title)
		}
		return err
	})
	slices.Sort(out)
	return out
}

// TestWhatCannotComeAgainKeepsNothingElse: a recurring type that cannot be opened is put off, and whatever else is due is
// done: other recurrences, deadlines, and what was held.
func TestWhatCannotComeAgainKeepsNothingElse(t *testing.T) {
	d := newDesk(t)
	d.again(`
  fine: {kind: task, title: Fine, every: 1d}
  broken: {kind: task, title: Broken ` + strings.Repeat("x", ticket.MaxTitle) + `, every: 1d}
`)
	d.pass(d.at) // plans
	d.at = deskAt.Add(24 * time.Hour)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.fire("web2", "DiskFull", "critical", rules.Firing) // the second notice within a minute is held
	d.told()
	d.pass(d.at.Add(2 * time.Minute))
	if got := d.titles(); !slices.Contains(got, "Fine") || len(got) != 3 {
		t.Errorf("tickets %q", got)
	}
	if n := testutil.ToFloat64(d.metrics.putOff.WithLabelValues(putOffRecurrence)); n != 1 {
		t.Errorf("%v put off, want 1", n)
	}
	if at := d.recurrence("acme/broken").At; !at.Equal(deskAt.Add(24*time.Hour + putOff)) {
		t.Errorf("the broken one is tried again at %s", at)
	}
	if got := d.told(); len(got) == 0 {
		t.Error("what was held was not told")
	}
}

// TestATicketThatCannotElapseKeepsNoOther: a deadline that cannot be carried out is put off and the others of its batch are
// kept, after it too.
func TestATicketThatCannotElapseKeepsNoOther(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.fire("web2", "DiskFull", "critical", rules.Firing)
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		return tx.PutDeadline("gone", deskAt.Add(time.Minute)) // a deadline of no ticket
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 13 {
		d.pass(d.at.Add(5 * time.Minute))
	}
	for _, number := range []string{"WB-1001", "WB-1002"} {
		if len(d.kinds(number, ticket.ClockBreached)) != 1 {
			t.Errorf("%s: its breach was not recorded", number)
		}
	}
	if n := testutil.ToFloat64(d.metrics.putOff.WithLabelValues(putOffDeadline)); n < 1 || n > 7 {
		t.Errorf("put off %v times in an hour, want one every ten minutes", n)
	}
}

// TestAChangedPeriodTakesEffect: a type whose period is made shorter comes a new period after it came last, not when it would
// have by the old one; made longer it comes later.
func TestAChangedPeriodTakesEffect(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		every string
		want  time.Duration
	}{
		"shorter":                    {48 * time.Hour, "7d", 7 * 24 * time.Hour},
		"shorter, overdue by it":     {10 * 24 * time.Hour, "7d", 10 * 24 * time.Hour},
		"longer":                     {48 * time.Hour, "60d", 60 * 24 * time.Hour},
		"the same":                   {48 * time.Hour, "30d", 30 * 24 * time.Hour},
		"after a release without it": {48 * time.Hour, "7d", 9 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.again("  review: {kind: task, title: Review, every: 30d}\n")
			d.pass(d.at)
			if strings.Contains(name, "without") {
				err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
					return tx.PutRecurrence(store.Recurrence{ID: "acme/review", Customer: "acme", Type: "review", At: deskAt.Add(30 * 24 * time.Hour)})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			d.again("  review: {kind: task, title: Review, every: " + c.every + "}\n")
			d.at = deskAt.Add(c.after)
			if err := d.plan(context.Background(), d.at); err != nil {
				t.Fatal(err)
			}
			if got := d.recurrence("acme/review").At; !got.Equal(deskAt.Add(c.want)) {
				t.Errorf("it comes %s, want %s", got, deskAt.Add(c.want))
			}
		})
	}
}

// TestAChangedPeriodTakesEffectAtOnce: the first look after the reload knows of it, not one ten minutes later.
func TestAChangedPeriodTakesEffectAtOnce(t *testing.T) {
	d := newDesk(t)
	d.again("  review: {kind: task, title: Review, every: 30d}\n")
	d.lookNow()
	d.at = d.at.Add(time.Second)
	d.again("  review: {kind: task, title: Review, every: 7d}\n  new: {kind: task, title: New, every: 1d}\n")
	d.lookNow()
	if got := d.recurrence("acme/review").At; !got.Equal(deskAt.Add(7 * 24 * time.Hour)) {
		t.Errorf("it comes %s, want seven days after it was planned", got)
	}
	if got := d.recurrence("acme/new").At; !got.Equal(d.at.Add(24 * time.Hour)) {
		t.Errorf("the new one comes %s", got)
	}
}

// TestADeadlineThatStaysDueIsPutOff: a deadline that is past although nothing is to be done is a fault of that ticket, which
// puts it off as any other: a look would never end otherwise.
func TestADeadlineThatStaysDueIsPutOff(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	one := d.ticket("WB-1001")
	d.at = d.at.Add(2 * time.Hour) // its response is missed, and nobody has elapsed it
	ts, err := d.agreements.at("acme", d.at)
	if err != nil {
		t.Fatal(err)
	}
	err = d.store.Update(context.Background(), "", func(tx store.Tx) error { return d.reschedule(tx, one, ts, d.at) })
	if err == nil || !strings.Contains(err.Error(), "nothing to be done") {
		t.Errorf("it was scheduled for the past: %v", err)
	}
}
