package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errQueue = errors.New("the queue's disk is full")

// fakeQueue keeps messages in memory. before and after are asked at every call with its number, 1 for the first: an
// error from before means that nothing was done, one from after that it was done and the answer was lost.
type fakeQueue struct {
	sync.Mutex
	messages      map[string]Message
	calls         int
	before, after func(call int) error
}

func newFakeQueue() *fakeQueue { return &fakeQueue{messages: map[string]Message{}} }

func (q *fakeQueue) put(ms ...Message) {
	q.Lock()
	defer q.Unlock()
	for _, m := range ms {
		q.messages[m.ID] = m
	}
}

func (q *fakeQueue) get(id string) (Message, bool) {
	q.Lock()
	defer q.Unlock()
	m, ok := q.messages[id]
	return m, ok
}

func (q *fakeQueue) len() int {
	q.Lock()
	defer q.Unlock()
	return len(q.messages)
}

func (q *fakeQueue) resend(id string) {
	q.Lock()
	defer q.Unlock()
	m := q.messages[id]
	m.State, m.NextAt = Queued, time.Now()
	q.messages[id] = m
}

func (q *fakeQueue) do(ctx context.Context, change func()) error {
	q.Lock()
	defer q.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	q.calls++
	if q.before != nil {
		if err := q.before(q.calls); err != nil {
			return err
		}
	}
	change()
	if q.after != nil {
		return q.after(q.calls)
	}
	return nil
}

func (q *fakeQueue) Due(ctx context.Context, now time.Time, limit int) (due []Message, next time.Time, err error) {
	err = q.do(ctx, func() {
		for _, m := range q.messages {
			switch {
			case m.State != Queued:
			case !m.NextAt.After(now):
				due = append(due, m)
			case next.IsZero() || m.NextAt.Before(next):
				next = m.NextAt
			}
		}
	})
	slices.SortFunc(due, func(a, b Message) int { return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.ID, b.ID)) })
	return due[:min(limit, len(due))], next, err
}

func (q *fakeQueue) Done(ctx context.Context, id string) error {
	return q.do(ctx, func() { delete(q.messages, id) })
}

func (q *fakeQueue) Retry(ctx context.Context, id string, now, next time.Time, cause error) error {
	return q.do(ctx, func() {
		if m, ok := q.messages[id]; ok {
			m.Attempts, m.TriedAt, m.NextAt, m.LastError = m.Attempts+1, now, next, cause.Error()
			q.messages[id] = m
		}
	})
}

func (q *fakeQueue) Bury(ctx context.Context, id string, now time.Time, cause error) error {
	return q.do(ctx, func() {
		if m, ok := q.messages[id]; ok {
			m.State, m.TriedAt, m.LastError = Buried, now, cause.Error()
			q.messages[id] = m
		}
	})
}

// scene is three messages that between them take every way out of the loop.
func scene(q *fakeQueue, box *inbox) Options {
	start := time.Now()
	q.put(msg("ok", "desk", "a", start), msg("later", "desk", "b", start), msg("never", "wall", "c", start),
		msg("after", "desk", "b", start.Add(time.Millisecond)))
	refusals := 0
	return Options{Queue: q, Wait: steady, Senders: map[string]Sender{
		"desk": senderFunc(func(_ context.Context, m Message) error {
			if m.ID == "later" && refusals == 0 {
				refusals++
				return errors.New("it answered 503")
			}
			box.take(m)
			return nil
		}),
		"wall": senderFunc(func(context.Context, Message) error { return ErrRefused }),
	}}
}

// checkScene checks that all of it ended as it must, and in order.
func checkScene(t *testing.T, q *fakeQueue, box *inbox) {
	t.Helper()
	if m, ok := q.get("never"); !ok || m.State != Buried {
		t.Errorf("refused message: %+v, want it buried", m)
	}
	if n := q.len(); n != 1 {
		t.Errorf("%d messages left, want the buried one only", n)
	}
	took := box.all()
	for _, id := range []string{"ok", "later", "after"} {
		if !slices.Contains(took, id) {
			t.Errorf("%s was never delivered; delivered %v", id, took)
		}
	}
	if slices.Index(took, "after") < slices.Index(took, "later") {
		t.Errorf("delivered %v: the later message came first", took)
	}
}

// Every operation of the queue fails once, without and with its effect; the loop goes on and sends nothing twice.
func TestQueueFailsAtEveryCall(t *testing.T) {
	for call := 1; call <= 8; call++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, effect %t", call, lost), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q, box := newFakeQueue(), &inbox{}
					fail := func(n int) error {
						if n == call {
							return errQueue
						}
						return nil
					}
					if q.before = fail; lost {
						q.before, q.after = nil, fail
					}
					running(t, scene(q, box))
					time.Sleep(time.Hour)
					synctest.Wait()
					checkScene(t, q, box)
					if took := box.all(); len(took) != 3 {
						t.Errorf("delivered %v: a failing queue made the loop repeat itself", took)
					}
				})
			})
		}
	}
}

// The process dies at every call of the queue, before or after its effect, and is started again: everything is
// delivered at least once, and only what was being recorded at that moment more than once.
func TestCrashAtEveryStep(t *testing.T) {
	for call := 1; call <= 8; call++ {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, effect %t", call, lost), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q, box := newFakeQueue(), &inbox{}
					dead := func(n int) error { // nothing is recorded from here on
						if n >= call {
							return errQueue
						}
						return nil
					}
					if q.before = dead; lost {
						q.before = func(n int) error { return dead(n - 1) }
						q.after = dead
					}
					o := scene(q, box)
					l, err := New(o)
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					ended := make(chan error)
					go func() { ended <- l.Run(ctx) }()
					time.Sleep(90 * time.Second)
					cancel()
					<-ended

					q.Lock()
					q.before, q.after = nil, nil
					q.Unlock()
					running(t, o)
					time.Sleep(time.Hour)
					synctest.Wait()
					checkScene(t, q, box)
					if took := box.all(); len(took) > 3+2*4 {
						t.Errorf("delivered %v: more repeats than messages under way", took)
					}
				})
			})
		}
	}
}

func TestAQueueThatCannotBeReadIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, box := newFakeQueue(), &inbox{}
		q.put(msg("m1", "desk", "a", time.Now()))
		q.before = func(call int) error {
			if call <= 5 {
				return errQueue
			}
			return nil
		}
		running(t, Options{Queue: q, Senders: map[string]Sender{"desk": box}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := box.all(); !slices.Equal(got, []string{"m1"}) {
			t.Errorf("delivered %v, want m1 once the queue can be read", got)
		}
	})
}
