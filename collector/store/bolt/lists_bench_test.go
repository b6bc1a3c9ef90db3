package bolt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
)

// years is a store as a desk has it after years: 2,000 open tickets and 20,000 closed ones of 200 customers, and with -long
// 100,000 and 1,000,000. Each open one has two clocks and a deadline, every tenth a message.
func years(b *testing.B) (s *Store, path string) {
	b.Helper()
	path = file(b)
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	open, closed := rounds(2_000, 100_000), rounds(20_000, 1_000_000)
	for from := 0; from < open+closed; from += 1000 {
		err := s.Update(context.Background(), "", func(tx store.Tx) error {
			for n := from + 1; n <= min(from+1000, open+closed); n++ {
				if err := aged(tx, n, n > closed); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s, path
}

// aged is ticket n of years.
func aged(tx store.Tx, n int, open bool) error {
	at := start.Add(time.Duration(n) * time.Minute)
	t, line := storetest.Birth(n, fmt.Sprint("customer asset/a", n, " filesystem"), at)
	t.Customer, t.Asset = fmt.Sprintf("customer%03d", n%200), fmt.Sprintf("host%05d", n%10_000)
	*line[0].Opening = t.Opening
	t, line = storetest.Sealed(t, line)
	t.Facts = ticket.Facts{"severity": "critical", "department": fmt.Sprintf("department%d", n%200%10), "contract": "c1", "criticality": "high", "kind": "incident"}
	for _, name := range []string{"response", "resolution"} {
		t.Clocks = append(t.Clocks, sla.Clock{Name: name, Target: sla.Target{Clock: name, Mode: sla.Business, Within: time.Hour},
			Start: at, Due: at.Add(time.Hour), Risk: 0.8, RiskAt: at.Add(48 * time.Minute)})
	}
	if !open {
		var more []ticket.Event
		t, more = storetest.Next(t, ticket.Shut, at.Add(time.Hour), "looked at it", "mended")
		return tx.CreateTicket(t, append(line, more...))
	}
	errs := []error{tx.CreateTicket(t, line), tx.PutPlace(t.ID, []byte(fmt.Sprintf("%03d%012d", n%7, n*7919%1_000_003))),
		tx.PutDeadline(t.ID, at.Add(48*time.Minute))}
	if n%10 == 0 {
		errs = append(errs, tx.PutMessage(outbox.Message{ID: t.ID, Ticket: t.ID, State: outbox.Queued, NextAt: at,
			Body: []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)}))
	}
	return errors.Join(errs...)
}

// BenchmarkLists are the lists of a desk, fifty tickets to a page.
func BenchmarkLists(b *testing.B) {
	s, _ := years(b)
	defer s.Close()
	const page = 50
	few := &store.Scope{Customers: []string{"customer007", "customer008"}}
	for name, f := range map[string]store.TicketFilter{
		"the queue":                 {Order: store.InQueue},
		"newest open":               {OpenOnly: true},
		"newest":                    {},
		"queue of two customers":    {Order: store.InQueue, Scope: few},
		"newest of two customers":   {Scope: few},
		"closed of a customer":      {Customer: "customer007", State: ticket.Shut},
		"queue of a department":     {Order: store.InQueue, Department: "department3"},
		"newest of a department":    {Department: "department3", OpenOnly: true},
		"of one asset":              {Asset: "host00007", OpenOnly: true},
		"of nobody, all open read":  {Order: store.InQueue, Assignee: "nobody"},
		"at risk, all open read":    {OpenOnly: true, AtRisk: true},
		"children of a ticket":      {Parent: "t000001"},
		"a customer that has none":  {Customer: "nobody"},
		"everything that is closed": {State: ticket.Shut},
	} {
		f.Limit = page
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				if err := s.View(context.Background(), func(tx store.Tx) error { _, err := tx.Tickets(f); return err }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("clocks_counted", func(b *testing.B) {
		for b.Loop() {
			if err := s.View(context.Background(), func(tx store.Tx) error { _, err := tx.CountClocks(); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStart opens such a store: all of it is read and checked.
func BenchmarkStart(b *testing.B) {
	s, path := years(b)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLongTicket reads and folds a ticket of 10,000 events, and appends one to it.
func BenchmarkLongTicket(b *testing.B) {
	s := mustOpen(b, file(b), Options{})
	t, line := storetest.Birth(1, "key", start)
	notes := make([]string, 9_999)
	for i := range notes {
		notes[i] = fmt.Sprintf("note %d: looked at the disk again and found it as before", i)
	}
	next, more := storetest.Next(t, t.State, start, notes...)
	err := s.Update(context.Background(), "", func(tx store.Tx) error {
		return errors.Join(tx.CreateTicket(t, line), tx.AppendTicket(1, next, more))
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read_and_fold", func(b *testing.B) {
		for b.Loop() {
			err := s.View(context.Background(), func(tx store.Tx) error {
				line, err := tx.Timeline(t.ID)
				if err == nil {
					_, err = ticket.Fold(line)
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			after, one := storetest.Next(next, next.State, next.UpdatedAt.Add(time.Second), "one more")
			if err := s.Update(context.Background(), "", func(tx store.Tx) error { return tx.AppendTicket(next.Seq, after, one) }); err != nil {
				b.Fatal(err)
			}
			next = after
		}
	})
}

// BenchmarkOneDeadline finds the next of many deadlines, none of which is due.
func BenchmarkOneDeadline(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("deadlines=%d", n), func(b *testing.B) {
			s := mustOpen(b, file(b), Options{})
			for from := 0; from < n; from += 1000 {
				err := s.Update(context.Background(), "", func(tx store.Tx) error {
					for i := from; i < from+1000; i++ {
						if err := tx.PutDeadline(fmt.Sprintf("t%06d", i*7919%n), start.Add(time.Duration(i)*time.Second)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				err := s.View(context.Background(), func(tx store.Tx) error {
					due, next, err := tx.DueDeadlines(start.Add(-time.Second), 1)
					if len(due) > 0 || !next.Equal(start) {
						return fmt.Errorf("%d due, next %v: %w", len(due), next, err)
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
