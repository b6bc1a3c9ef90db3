package bolt

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
)

// ticketAndMessage is the smallest change that matters: a new ticket and the message about it.
func ticketAndMessage(tx store.Tx, n int) error {
	made, line := storetest.Birth(n, fmt.Sprint("acme asset/a", n, " filesystem"), start.Add(time.Duration(n)*time.Millisecond))
	if err := tx.CreateTicket(made, line); err != nil {
		return err
	}
	if err := tx.PutDeadline(made.ID, made.OpenedAt.Add(time.Hour)); err != nil {
		return err
	}
	return tx.PutMessage(outbox.Message{ID: made.ID, Ticket: made.ID, State: outbox.Queued, NextAt: made.OpenedAt,
		Body: []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)})
}

// BenchmarkUpdate is one change after the other: each waits for its own commit.
func BenchmarkUpdate(b *testing.B) {
	s := mustOpen(b, file(b), Options{})
	n := 0
	for b.Loop() {
		n++
		err := s.Update(context.Background(), fmt.Sprint("d", n), func(tx store.Tx) error { return ticketAndMessage(tx, n) })
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdateTogether is 1,000 callers at once, who share commits.
func BenchmarkUpdateTogether(b *testing.B) {
	s := mustOpen(b, file(b), Options{})
	var n atomic.Int64
	before := s.engine.newest.Load()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			for i := int(n.Add(1)); i <= b.N; i = int(n.Add(1)) {
				err := s.Update(context.Background(), fmt.Sprint("d", i), func(tx store.Tx) error { return ticketAndMessage(tx, i) })
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
	b.ReportMetric(float64(b.N)/float64(s.engine.newest.Load()-before), "updates/commit")
}

// crowd makes a store with many open tickets, each with a deadline and a message: 10,000, and 100,000 with -long.
func crowd(b *testing.B, path string) (s *Store, n int) {
	b.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	n = rounds(10_000, 100_000)
	for i := 0; i < n; i += 1000 {
		err := s.Update(context.Background(), "", func(tx store.Tx) error {
			for j := i; j < i+1000; j++ {
				if err := ticketAndMessage(tx, j+1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s, n
}

// BenchmarkDueDeadlines asks for a hundred due deadlines in the crowd.
func BenchmarkDueDeadlines(b *testing.B) {
	s, n := crowd(b, file(b))
	for b.Loop() {
		err := s.View(context.Background(), func(tx store.Tx) error {
			due, next, err := tx.DueDeadlines(start.Add(2*time.Hour), 100)
			if len(due) != 100 || next.IsZero() {
				b.Errorf("%d due, next %v", len(due), next)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "deadlines")
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkOpen opens a store with the crowd in it: the whole file is read and checked.
func BenchmarkOpen(b *testing.B) {
	path := file(b)
	s, n := crowd(b, path)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
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
	b.ReportMetric(float64(n), "tickets")
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB")
}
