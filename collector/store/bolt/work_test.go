package bolt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
	"github.com/watchbill/watchbill/collector/ticket"
)

// The proofs of this room run short by default; -long runs the rounds that README.md records, -seed repeats one.
var (
	long = flag.Bool("long", false, "run the proofs of crash, power cut, damage and full disk at full length")
	seed = flag.Uint64("seed", 0, "seed of the proofs; 0 takes a new one")
)

// rounds is how many times a proof runs.
func rounds(short, full int) int {
	if *long {
		return full
	}
	return short
}

// dice are this run's random numbers; a failing test tells how to get the same again.
func dice(t *testing.T) *rand.Rand {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() || *long {
			t.Logf("seed %d", n)
		}
	})
	return rand.New(rand.NewPCG(n, 1))
}

// peerMissing skips a test whose surroundings this machine does not give, or fails it where they are required.
func peerMissing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
		t.Fatalf("required by WATCHBILL_REQUIRE_PEERS: "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestMain runs the test binary as one of the programs that are to be killed, cut off or starved, when it is told to.
func TestMain(m *testing.M) {
	switch program := os.Getenv("WATCHBILL_STORE_PROGRAM"); program {
	case "":
		os.Exit(m.Run())
	case "work":
		exit(workProgram(os.Args[1], os.Args[2], os.Args[3], os.Args[4]))
	case "fill":
		exit(fillProgram(os.Args[1], os.Args[2], os.Args[3]))
	default:
		exit(fmt.Errorf("no program %q", program))
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var start = time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)

// work makes update number i of the proofs: a bit of everything, of a size that changes, so that pages split, overflow
// and become free. The ticket opened by the one before it is resolved.
func work(s store.Store, i int) error {
	made, line := storetest.Birth(i, fmt.Sprint("key ", i), start.Add(time.Duration(i)*time.Second))
	return s.Update(context.Background(), fmt.Sprint("change ", i), func(tx store.Tx) error {
		n, err := tx.NextNumber()
		errs := []error{err,
			tx.CreateTicket(made, line),
			tx.PutDeadline(made.ID, made.OpenedAt.Add(time.Hour)),
			tx.PutMessage(outbox.Message{ID: made.ID, Ticket: made.ID, State: outbox.Queued, NextAt: made.OpenedAt, Attempts: i}),
			tx.PutAsset(fleet.Asset{Name: fmt.Sprint("a", i), Users: n}),
			tx.PutEvidence(made.ID, 1, body(i)),
			tx.PutPlace(made.ID, placed(i)),
			tx.PutTerms(fmt.Sprint("terms ", i), placed(i)),
			tx.PutRecurrence(store.Recurrence{ID: fmt.Sprint("r", i), At: made.OpenedAt}),
			tx.PutSilence(store.Silence{ID: made.ID, Body: said(i)}),
			tx.PutMuted(store.Muted{ID: made.ID, Body: said(i)}),
			tx.PutFed(store.Fed{ID: made.ID, Body: said(i)}),
			resolve(tx, i-1),
		}
		if i > 5 {
			errs = append(errs, tx.PutEvidence(fmt.Sprintf("t%06d", i-5), 1, nil))
		}
		return errors.Join(errs...)
	})
}

// body is the evidence of change i: up to three pages.
func body(i int) []byte {
	return bytes.Repeat([]byte(strconv.Itoa(i)+" "), i*7919%3000)
}

// placed is where ticket i stands in the queue, in another order than by age.
func placed(i int) []byte { return []byte(strconv.Itoa(i * 7919 % 100)) }

func resolve(tx store.Tx, i int) error {
	t, err := tx.Ticket(fmt.Sprintf("t%06d", i))
	if errors.Is(err, store.ErrNotFound) {
		return nil // the one before may come later, from another goroutine
	}
	if err != nil {
		return err
	}
	next, line := storetest.Next(t, ticket.Done, t.OpenedAt.Add(time.Minute), "mended")
	return tx.AppendTicket(t.Seq, next, line)
}

// verify checks that every change of acked is in the store, whole, and that no other is there by half. It leaves the
// store as it was.
func verify(s store.Store, acked map[int]bool) error {
	ctx := context.Background()
	present := map[int]bool{}
	if err := s.View(ctx, func(tx store.Tx) error { return halves(tx, present) }); err != nil {
		return err
	}
	for i := range acked {
		if !present[i] {
			return fmt.Errorf("change %d was acknowledged and is lost", i)
		}
	}
	errAgain := errors.New("run again")
	for i := range present {
		err := s.Update(ctx, fmt.Sprint("change ", i), func(store.Tx) error { return errAgain })
		if err != nil {
			return fmt.Errorf("change %d is there and its decision is not: %w", i, err)
		}
	}
	errLook := errors.New("only looking")
	err := s.Update(ctx, "", func(tx store.Tx) error {
		if n, err := tx.NextNumber(); n != 1001+len(present) || err != nil {
			return fmt.Errorf("the next number is %d after %d changes (%w)", n, len(present), err)
		}
		return errLook
	})
	if errors.Is(err, errLook) {
		return nil
	}
	return err
}

// halves notes which changes are present and looks for those that are there by half.
func halves(tx store.Tx, present map[int]bool) error {
	assets, err := tx.Assets()
	messages, err2 := tx.Messages("", 1<<30)
	tickets, err3 := tx.Tickets(store.TicketFilter{Limit: 1 << 30})
	due, _, err4 := tx.DueDeadlines(start.AddDate(1, 0, 0), 1<<30)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	if len(messages) != len(assets) || len(tickets) != len(assets) || len(due) != len(assets) {
		return fmt.Errorf("half a change: %d assets, %d messages, %d tickets, %d deadlines", len(assets), len(messages),
			len(tickets), len(due))
	}
	for _, a := range assets {
		i, err := strconv.Atoi(a.Name[1:])
		if err != nil {
			return err
		}
		present[i] = true
	}
	if err := errors.Join(halfQueued(tx, tickets, present), halfMuted(tx, len(tickets))); err != nil {
		return err
	}
	for _, t := range tickets {
		line, err := tx.Timeline(t.ID)
		if err != nil {
			return err
		}
		if err := ticket.VerifyChain(line, t.Seq, t.Head); err != nil {
			return fmt.Errorf("ticket %s: %w", t.Number, err)
		}
	}
	return nil
}

// halfQueued looks for tickets that stand in one of the lists and not in another. The changes of format 1 have no terms
// and no recurrences.
func halfQueued(tx store.Tx, tickets []ticket.Ticket, present map[int]bool) error {
	queue, err := tx.Tickets(store.TicketFilter{Order: store.InQueue, Limit: 1 << 30})
	of, err2 := tx.Tickets(store.TicketFilter{Customer: "acme", Limit: 1 << 30})
	ofQueue, err3 := tx.Tickets(store.TicketFilter{Customer: "acme", Order: store.InQueue, Limit: 1 << 30})
	due, _, err4 := tx.DueRecurrences(start.AddDate(1, 0, 0), 1<<30)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	open := 0
	for _, t := range tickets {
		if t.State.Open() {
			open++
		}
	}
	if len(queue) != open || len(ofQueue) != open || len(of) != len(tickets) || len(due) > 0 && len(due) != len(tickets) {
		return fmt.Errorf("half a change: %d tickets, %d of them open; %d in the queue, %d and %d in the customer's lists, %d recurrences",
			len(tickets), open, len(queue), len(ofQueue), len(of), len(due))
	}
	for i := range present {
		if _, kept, err := tx.Terms(fmt.Sprint("terms ", i)); err != nil || !kept && len(due) > 0 {
			return fmt.Errorf("half a change: terms %d: %v, %w", i, kept, err)
		}
	}
	return nil
}

// halfMuted looks for changes of which one of the tables of format 3 lacks its part. The changes of older formats have none.
func halfMuted(tx store.Tx, changes int) error {
	silences, err := tx.Silences()
	muted, err2 := tx.AllMuted()
	fed, err3 := tx.Fed()
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if len(silences) != len(muted) || len(silences) != len(fed) || len(silences) > 0 && len(silences) != changes {
		return fmt.Errorf("half a change: %d tickets, %d silences, %d muted alerts, %d fed ones", changes, len(silences), len(muted), len(fed))
	}
	for j, s := range silences {
		i, err := strconv.Atoi(s.ID[1:])
		if err != nil {
			return err
		}
		for what, body := range map[string]string{"silence": string(s.Body), "muted alert": string(muted[j].Body), "fed alert": string(fed[j].Body)} {
			if body != string(said(i)) {
				return fmt.Errorf("the %s of change %d says %s", what, i, body)
			}
		}
	}
	return nil
}

// said is the body of change i's silence.
func said(i int) []byte { return fmt.Appendf(nil, `{"change":%d}`, i) }

// dump is a digest of every key and value in the store.
func dump(s *Store) (uint32, error) {
	sum := crc32.NewIEEE()
	err := s.engine.View(context.Background(), func(kv store.KV) error {
		return kv.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
			fmt.Fprintf(sum, "%d %d %s %s", len(k), len(v), k, v)
			return true, nil
		})
	})
	return sum.Sum32(), err
}

// workProgram opens the store at path and makes changes from first on, with some goroutines at once, until there are
// limit. It writes the number of every change that is acknowledged to standard output.
func workProgram(path, first, limit, goroutines string) error {
	from, err := strconv.Atoi(first)
	to, err2 := strconv.Atoi(limit)
	n, err3 := strconv.Atoi(goroutines)
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	fmt.Println("opening")
	s, err := Open(path, Options{})
	if err != nil {
		return err
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			for i := from + g; i < to && errs[g] == nil; i += n {
				if errs[g] = work(s, i); errs[g] == nil {
					_, errs[g] = os.Stdout.WriteString(strconv.Itoa(i) + "\n")
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, s.Close())...)
}

// acks reads what workProgram acknowledges, calling each for every one, until its output ends.
func acks(r io.Reader, each func(i int)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == "opening" {
			continue
		}
		i, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		each(i)
	}
	return lines.Err()
}
