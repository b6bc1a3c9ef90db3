package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// senderFunc makes a function a Sender.
type senderFunc func(context.Context, Message) error

func (f senderFunc) Send(ctx context.Context, m Message) error { return f(ctx, m) }

// inbox is a receiver that notes what it took.
type inbox struct {
	sync.Mutex
	took []string
}

func (b *inbox) take(m Message) {
	b.Lock()
	defer b.Unlock()
	b.took = append(b.took, m.ID)
}

func (b *inbox) all() []string {
	b.Lock()
	defer b.Unlock()
	return slices.Clone(b.took)
}

func (b *inbox) Send(_ context.Context, m Message) error {
	b.take(m)
	return nil
}

func msg(id, receiver, ticket string, created time.Time) Message {
	return Message{ID: id, Receiver: receiver, Ticket: ticket, Number: "WB-" + ticket, What: "opened",
		Body: json.RawMessage(`{}`), CreatedAt: created, State: Queued, NextAt: created}
}

// running starts a loop in the test's bubble and stops it with the test.
func running(t *testing.T, o Options) *Loop {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v, want nil", err)
		}
	})
	synctest.Wait()
	return l
}

func steady(int) time.Duration { return time.Minute }

func TestNewWantsAQueue(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a loop without a queue was made")
	}
	reg := prometheus.NewRegistry()
	for i, want := range []bool{true, false} {
		if _, err := New(Options{Queue: newFakeQueue(), Registerer: reg}); (err == nil) != want {
			t.Errorf("loop %d on one registry: %v", i, err)
		}
	}
}

func TestDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box, reg := newFakeQueue(), &inbox{}, prometheus.NewPedanticRegistry()
		q.put(msg("m1", "desk", "t1", time.Now()))
		running(t, Options{Queue: q, Senders: map[string]Sender{"desk": box}, Registerer: reg})
		if got := box.all(); !slices.Equal(got, []string{"m1"}) {
			t.Errorf("delivered %v, want m1", got)
		}
		if n := q.len(); n != 0 {
			t.Errorf("%d messages still queued", n)
		}
		want := `
# HELP watchbill_outbox_deliveries_total Attempts to deliver a message, by receiver and outcome: delivered, retried, buried.
# TYPE watchbill_outbox_deliveries_total counter
watchbill_outbox_deliveries_total{outcome="delivered",receiver="desk"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "watchbill_outbox_deliveries_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestWakeIsHeardAtOnceAndSweepFindsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		l := running(t, Options{Queue: q, Senders: map[string]Sender{"desk": box}})
		q.put(msg("woken", "desk", "t1", time.Now()))
		synctest.Wait()
		if got := box.all(); len(got) != 0 {
			t.Fatalf("delivered %v before anybody woke the loop", got)
		}
		start := time.Now()
		for range 3 { // never blocks
			l.Wake()
		}
		synctest.Wait()
		if got := box.all(); !slices.Equal(got, []string{"woken"}) || time.Since(start) != 0 {
			t.Fatalf("delivered %v after %v, want woken at once", got, time.Since(start))
		}
		q.put(msg("unsaid", "desk", "t1", time.Now()))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := box.all(); !slices.Equal(got, []string{"woken", "unsaid"}) {
			t.Errorf("delivered %v after a sweep, want both", got)
		}
	})
}

func TestHowAnAttemptEnds(t *testing.T) {
	refused := fmt.Errorf("it answered 404: %w", ErrRefused)
	down := errors.New("it answered 500")
	type attempts []error
	for name, c := range map[string]struct {
		answers attempts
		age     time.Duration
		hangs   bool
		// at is when each attempt is expected, after the start.
		at     []time.Duration
		buried string
	}{
		"taken at once":             {answers: attempts{nil}, at: []time.Duration{0}},
		"500, then ok":              {answers: attempts{down, down, nil}, at: []time.Duration{0, 1 * time.Minute, 2 * time.Minute}},
		"refused":                   {answers: attempts{refused}, at: []time.Duration{0}, buried: "refused by the receiver"},
		"refused later":             {answers: attempts{down, refused}, at: []time.Duration{0, time.Minute}, buried: "404"},
		"told to wait":              {answers: attempts{&RetryAfter{Wait: 7 * time.Minute, Err: down}, nil}, at: []time.Duration{0, 7 * time.Minute}},
		"told to wait less":         {answers: attempts{&RetryAfter{Wait: time.Second, Err: down}, nil}, at: []time.Duration{0, time.Minute}},
		"told to wait for ever":     {answers: attempts{&RetryAfter{Wait: 1e6 * time.Hour, Err: down}, nil}, at: []time.Duration{0, LookAhead}},
		"hangs, then ok":            {hangs: true, answers: attempts{nil, nil}, at: []time.Duration{0, 30*time.Second + time.Minute}},
		"too old, but tried":        {answers: attempts{nil}, age: 48 * time.Hour, at: []time.Duration{0}},
		"too old and still failing": {answers: attempts{down}, age: 48 * time.Hour, at: []time.Duration{0}, buried: "gave up"},
		"gives up when it gets old": {answers: attempts{down, down, down}, age: 24*time.Hour - 90*time.Second,
			at: []time.Duration{0, time.Minute, 2 * time.Minute}, buried: "3 attempts failed; re-send it"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newFakeQueue()
				start := time.Now()
				q.put(msg("m1", "desk", "t1", start.Add(-c.age)))
				var at []time.Duration
				running(t, Options{Queue: q, Wait: steady, Senders: map[string]Sender{
					"desk": senderFunc(func(ctx context.Context, _ Message) error {
						at = append(at, time.Since(start))
						if c.hangs && len(at) == 1 {
							<-ctx.Done()
							return ctx.Err()
						}
						return c.answers[len(at)-1]
					})}})
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				if !slices.Equal(at, c.at) {
					t.Errorf("attempts at %v, want %v", at, c.at)
				}
				got, ok := q.get("m1")
				switch {
				case c.buried == "" && ok:
					t.Errorf("still there: %+v", got)
				case c.buried != "" && (got.State != Buried || !strings.Contains(got.LastError, c.buried)):
					t.Errorf("buried with %q (state %q), want it to say %q", got.LastError, got.State, c.buried)
				}
			})
		})
	}
}

func TestUnknownReceiverIsBuriedWithWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		q.put(msg("m1", "gone", "t1", time.Now()))
		l := running(t, Options{Queue: q, Senders: map[string]Sender{"desk": &inbox{}}})
		got, _ := q.get("m1")
		if got.State != Buried || !strings.Contains(got.LastError, `no receiver named "gone"`) ||
			!strings.Contains(got.LastError, "re-send") {
			t.Fatalf("got state %q, error %q", got.State, got.LastError)
		}
		l.Configure(map[string]Sender{"gone": box})
		q.resend("m1")
		l.Wake()
		synctest.Wait()
		if got := box.all(); !slices.Equal(got, []string{"m1"}) {
			t.Errorf("after configuring it again: delivered %v, want m1", got)
		}
	})
}

func TestOneTicketsMessagesKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		start := time.Now()
		// The first has failed before, as if the loop had just been started again; the second is due, the first is not.
		first := msg("a-opened", "desk", "a", start.Add(-time.Minute))
		first.Attempts, first.NextAt = 1, start.Add(3*time.Minute)
		q.put(first, msg("a-resolved", "desk", "a", start), msg("b-opened", "desk", "b", start),
			msg("none-1", "desk", "", start), msg("none-2", "desk", "", start))
		failed := false
		running(t, Options{Queue: q, Wait: steady, PerReceiver: 10, Senders: map[string]Sender{
			"desk": senderFunc(func(_ context.Context, m Message) error {
				if m.ID == "a-opened" && !failed {
					failed = true
					return errors.New("down")
				}
				box.take(m)
				return nil
			})}})
		got := box.all()
		slices.Sort(got)
		if want := []string{"b-opened", "none-1", "none-2"}; !slices.Equal(got, want) {
			t.Fatalf("at once: delivered %v, want %v", got, want)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if got := box.all(); len(got) != 3 {
			t.Fatalf("a-opened failed again, but delivered %v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := box.all()[3:], []string{"a-opened", "a-resolved"}; !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
	})
}

func TestAHangingReceiverDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		start := time.Now()
		for i := range 50 {
			q.put(msg(fmt.Sprintf("h%02d", i), "hung", fmt.Sprint(i), start.Add(-time.Hour)))
			q.put(msg(fmt.Sprintf("d%02d", i), "desk", fmt.Sprint(i), start))
		}
		now, most := 0, 0
		var mu sync.Mutex
		running(t, Options{Queue: q, PerReceiver: 3, Senders: map[string]Sender{"desk": box,
			"hung": senderFunc(func(ctx context.Context, _ Message) error {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
				now--
				mu.Unlock()
				return ctx.Err()
			})}})
		if got := box.all(); len(got) != 50 || time.Since(start) != 0 {
			t.Errorf("%d of 50 delivered to the working receiver after %v", len(got), time.Since(start))
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if most != 3 {
			t.Errorf("%d messages at a time to one receiver, want 3", most)
		}
	})
}

func TestALongQueueIsReadToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		start := time.Now()
		for i := range 100 {
			q.put(msg(fmt.Sprintf("m%02d", i), "desk", fmt.Sprint(i), start.Add(time.Duration(i)-time.Hour)))
		}
		running(t, Options{Queue: q, Window: 8, Senders: map[string]Sender{"desk": box}})
		if got := box.all(); len(got) != 100 || time.Since(start) != 0 {
			t.Errorf("%d of 100 delivered after %v, want all at once", len(got), time.Since(start))
		}
	})
}

func TestAnOrderlyStopRepeatsNothingAndBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.put(msg("taken", "desk", "a", time.Now()), msg("cut", "slow", "b", time.Now()))
		ctx, cancel := context.WithCancel(t.Context())
		l, err := New(Options{Queue: q, Senders: map[string]Sender{
			"desk": senderFunc(func(ctx context.Context, _ Message) error { <-ctx.Done(); return nil }),
			"slow": senderFunc(func(ctx context.Context, _ Message) error { <-ctx.Done(); return ctx.Err() }),
		}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, ok := q.get("taken"); ok {
			t.Error("a message was taken while stopping and is still queued")
		}
		if m, ok := q.get("cut"); !ok || m.Attempts != 0 || m.LastError != "" {
			t.Errorf("a message cut short by stopping: %+v", m)
		}
	})
}

func TestBackoff(t *testing.T) {
	for attempts, want := range map[int][2]time.Duration{
		-1: {time.Second, 2 * time.Second}, 1: {time.Second, 2 * time.Second}, 2: {2 * time.Second, 4 * time.Second},
		5: {16 * time.Second, 32 * time.Second}, 9: {150 * time.Second, 5 * time.Minute},
		1 << 30: {150 * time.Second, 5 * time.Minute},
	} {
		seen := map[time.Duration]bool{}
		for range 200 {
			d := Backoff(attempts)
			if d < want[0] || d > want[1] {
				t.Fatalf("after %d attempts: %v, want %v to %v", attempts, d, want[0], want[1])
			}
			seen[d] = true
		}
		if len(seen) < 100 {
			t.Errorf("after %d attempts: only %d different waits of 200; jitter is missing", attempts, len(seen))
		}
	}
}
