package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// heard are what one receiver was sent: notices that came alone, digests, and how many notices those stand for.
type heard struct{ alone, digests, digested int }

// collect takes the messages of a receiver out of the outbox.
func (h *heard) collect(d *desk, receiver string) {
	d.t.Helper()
	var taken []outbox.Message
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		taken = nil
		all, err := tx.Messages(outbox.Queued, 10_000)
		for _, m := range all {
			if m.Receiver == receiver {
				taken = append(taken, m)
			}
			err = errors.Join(err, tx.DeleteMessage(m.ID))
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range taken {
		if m.What != string(route.Digested) {
			h.alone++
			continue
		}
		var n notify.Notice
		var of int
		if err := json.Unmarshal(m.Body, &n); err != nil {
			d.t.Fatal(err)
		}
		if _, err := fmt.Sscanf(n.Text, "%d notices about", &of); err != nil {
			d.t.Fatalf("%q: %v", n.Text, err)
		}
		if lines := strings.Count(n.Text, "\n"); lines > route.MaxNamed+1 {
			d.t.Errorf("a digest of %d lines", lines)
		}
		h.digests, h.digested = h.digests+1, h.digested+of
	}
}

// heldNow is what waits in the store, the one that waits longest first.
func (d *desk) heldNow() (all []store.Held) {
	d.view(func(tx store.Tx) (err error) {
		all, _, err = tx.DueHeld(endOfTime, 100_000)
		return err
	})
	return all
}

// TestAStormWithoutEndIsDigested: a notice every 300 ms for twenty minutes is a digest a minute, of all of them: what is told
// meanwhile, urgent or not, puts off nothing that waits for its time.
func TestAStormWithoutEndIsDigested(t *testing.T) {
	const every, notices, minutes = 300 * time.Millisecond, 4000, 20
	for name, urgent := range map[string]bool{"usual": false, "urgent": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(deskAt))
				d := newDesk(t)
				d.now, d.at = time.Now, time.Now()
				tickets := d.noise(60)
				var got heard
				arrive, look := time.NewTicker(every), time.NewTicker(watchEvery)
				defer arrive.Stop()
				defer look.Stop()
				for n := 0; n < notices; {
					select {
					case <-arrive.C:
						n++
						d.gathers(tickets[n%len(tickets)], n, urgent)
					case <-look.C:
						d.lookNow()
						if n%200 == 0 {
							got.collect(d, "eve")
						}
					}
				}
				got.collect(d, "eve")
				held := d.heldNow()
				t.Logf("%+v, %d held", got, len(held))
				if mine := got.alone + got.digested + len(held); mine != notices {
					t.Errorf("%d of %d notices were told or wait", mine, notices)
				}
				if got.digests < minutes-1 || got.alone > minutes+1 || got.digests > minutes+1 {
					t.Errorf("%d alone and %d digests in %d minutes, want about one of each a minute", got.alone, got.digests, minutes)
				}
				if len(held) > 0 && time.Until(held[len(held)-1].At) > route.Window {
					t.Errorf("one waits until %v, longer than %v", held[len(held)-1].At, route.Window)
				}
				for range 70 { // the storm is over
					time.Sleep(watchEvery)
					d.lookNow()
				}
				got.collect(d, "eve")
				if left := d.heldNow(); got.alone+got.digested != notices || len(left) > 0 {
					t.Errorf("%d of %d were told in the end, %d wait for ever", got.alone+got.digested, notices, len(left))
				}
			})
		})
	}
}

// noise are tickets without clocks, for notices about them.
func (d *desk) noise(n int) (all []ticket.Ticket) {
	d.t.Helper()
	for i := range n {
		all = append(all, d.open(ticket.Birth{Title: fmt.Sprint("it broke, number ", i),
			Report: &ticket.Report{Customer: "beta", By: "Cleo", Channel: "telephone", ReceivedAt: d.at}}))
	}
	d.told()
	return all
}

// gathers has eve hear of a ticket, in a transaction of its own; n tells its notices apart.
func (d *desk) gathers(about ticket.Ticket, n int, urgent bool) {
	d.t.Helper()
	d.at = d.now()
	about.Seq, about.UpdatedAt = n, d.at
	var did outcome
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		did = outcome{}
		return d.gather(tx, voice{ticket.Change{Ticket: about}, 0}, route.Telling{
			What: ticket.Opened, Text: fmt.Sprint("it broke again: ", n), At: d.at, Urgent: urgent, Receivers: []string{"eve"},
			Person: route.Person{ID: "eve", Name: "Eve Engineer", Receivers: []string{"eve"}},
			Item:   route.Item{Ticket: about.ID, Number: about.Number, Priority: "P1", Title: about.Title, OpenedAt: about.OpenedAt},
		}, &did)
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.done(did)
}

// lookNow is what watch does once a second.
func (d *desk) lookNow() {
	d.t.Helper()
	d.at = d.now()
	for {
		next, err := d.elapse(context.Background())
		if err != nil {
			d.t.Fatal(err)
		}
		if next.IsZero() || next.After(d.at) {
			return
		}
	}
}

// TestAHeldNoticeThatCannotBeReadKeepsNoOther: it is put off and stays; the others go out.
func TestAHeldNoticeThatCannotBeReadKeepsNoOther(t *testing.T) {
	d := newDesk(t)
	tickets := d.noise(1)
	d.gathers(tickets[0], 1, false)
	d.gathers(tickets[0], 2, false)
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		return tx.PutHeld(store.Held{ID: "a-broken-one", At: deskAt, Body: []byte("[]")})
	})
	if err != nil {
		t.Fatal(err)
	}
	d.hears("eve opened")
	d.at = deskAt.Add(route.Window)
	d.lookNow()
	d.hears("eve opened")
	if left := d.heldNow(); len(left) != 1 || left[0].ID != "a-broken-one" || !left[0].At.Equal(d.at.Add(putOff)) {
		t.Errorf("held: %+v", left)
	}
	if n := testutil.ToFloat64(d.metrics.putOff.WithLabelValues(putOffNotice)); n != 1 {
		t.Errorf("%v put off, want 1", n)
	}
}

// TestToldAtTheSameTime: of two transactions that knew nothing of each other neither forgets whom the other told.
func TestToldAtTheSameTime(t *testing.T) {
	d := newDesk(t)
	a := outcome{pages: route.Pages{"person:eve": {Told: deskAt}}}
	b := outcome{pages: route.Pages{"person:tom": {Told: deskAt, Urgent: deskAt}, "person:eve": {Told: deskAt.Add(-time.Second)}}}
	d.paged(a)
	d.paged(b)
	got := d.pagesNow(&outcome{})
	if want := (route.Pages{"person:eve": {Told: deskAt}, "person:tom": {Told: deskAt, Urgent: deskAt}}); !maps.Equal(got, want) {
		t.Errorf("remembers %v, want %v", got, want)
	}
	d.at = deskAt.Add(route.Window)
	if d.paged(outcome{pages: route.Pages{}}); len(d.pagesNow(&outcome{})) > 0 {
		t.Errorf("remembers %v for ever", d.pagesNow(&outcome{}))
	}
}

// TestManyAreToldAtOnce: whoever commits at the same time, all that was told is remembered; run with -race.
func TestManyAreToldAtOnce(t *testing.T) {
	d := newDesk(t)
	var g sync.WaitGroup
	const people = 64
	for i := range people {
		g.Go(func() {
			did := outcome{}
			did.pages = d.pagesNow(&did).With(route.Pages{fmt.Sprint("person:", i): {Told: deskAt}}, deskAt)
			d.paged(did)
		})
	}
	g.Wait()
	if n := len(d.pagesNow(&outcome{})); n != people {
		t.Errorf("%d of %d are remembered", n, people)
	}
}
