package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// queueTimeout bounds one write to the queue. It also lets what a receiver took be recorded although the loop is being
// stopped, so that an orderly stop repeats nothing.
const queueTimeout = 5 * time.Second

// result is how a delivery ended. again is set when the message is still queued and message holds when for.
type result struct {
	message Message
	again   bool
}

// deliver makes one attempt and records how it ended. It returns when that is durable, or with ctx.
func (l *Loop) deliver(ctx context.Context, to Sender, m Message) result {
	err := errNoReceiver(m)
	if to != nil {
		attempt, cancel := context.WithTimeout(ctx, l.o.Timeout)
		err = to.Send(attempt, m)
		cancel()
	}
	now := l.o.Now()
	switch {
	case err == nil:
		if l.record(ctx, "done", m, func(c context.Context) error { return l.o.Queue.Done(c, m.ID) }) {
			l.metrics.end(m, delivered)
			l.metrics.seconds.WithLabelValues(m.Receiver).Observe(now.Sub(m.CreatedAt).Seconds())
		}
		return result{message: m}
	case errors.Is(err, ErrRefused):
		return l.bury(ctx, m, now, fmt.Errorf("send %s to %s: %w", m.ID, m.Receiver, err))
	case ctx.Err() != nil: // being stopped says nothing about the receiver
		return result{message: m}
	case now.Sub(m.CreatedAt) >= l.o.GiveUpAfter:
		return l.bury(ctx, m, now, fmt.Errorf("send %s to %s: gave up %v after it was written, %d attempts failed; "+
			"re-send it when the receiver works again; the last failure: %w",
			m.ID, m.Receiver, now.Sub(m.CreatedAt).Round(time.Second), m.Attempts+1, err))
	}
	return l.retry(ctx, m, now, fmt.Errorf("send %s to %s: %w", m.ID, m.Receiver, err))
}

// errNoReceiver is why a message without a sender is buried.
func errNoReceiver(m Message) error {
	return fmt.Errorf("%w: no receiver named %q is configured; put it back into the configuration, reload, and re-send "+
		"the message, or leave it buried", ErrRefused, m.Receiver)
}

func (l *Loop) bury(ctx context.Context, m Message, now time.Time, cause error) result {
	if l.record(ctx, "bury", m, func(c context.Context) error { return l.o.Queue.Bury(c, m.ID, now, cause) }) {
		l.metrics.end(m, buried)
		l.o.Logger.Error("message buried: nobody will hear of it until it is re-sent", "message", m.ID,
			"receiver", m.Receiver, "ticket", m.Number, "what", m.What, "attempts", m.Attempts+1, "err", cause)
	}
	return result{message: m}
}

func (l *Loop) retry(ctx context.Context, m Message, now time.Time, cause error) result {
	wait := l.o.Wait(m.Attempts + 1)
	var told *RetryAfter
	if errors.As(cause, &told) {
		wait = max(wait, told.Wait)
	}
	next := now.Add(min(wait, LookAhead))
	if !l.record(ctx, "retry", m, func(c context.Context) error {
		return l.o.Queue.Retry(c, m.ID, now, next, cause)
	}) {
		return result{message: m}
	}
	l.metrics.deliveries.WithLabelValues(m.Receiver, retried).Inc()
	log := l.o.Logger.Debug
	if m.Attempts == 0 { // once per message; the rest is in the message itself
		log = l.o.Logger.Warn
	}
	log("message not delivered; it will be tried again", "message", m.ID, "receiver", m.Receiver, "ticket", m.Number,
		"attempts", m.Attempts+1, "next_at", next, "err", cause)
	m.Attempts, m.TriedAt, m.NextAt, m.LastError = m.Attempts+1, now, next, cause.Error()
	return result{message: m, again: true}
}

// record writes to the queue until that succeeds or ctx ends; it makes at least one attempt, and tells whether it
// succeeded. While it cannot write, the message holds its place: sending it again would only make repeats.
func (l *Loop) record(ctx context.Context, op string, m Message, write func(context.Context) error) bool {
	for n := 1; ; n++ {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTimeout)
		err := write(c)
		cancel()
		if err == nil {
			return true
		}
		l.metrics.queueErrors.WithLabelValues(op).Inc()
		l.o.Logger.Error("outbox cannot be written; the receiver may get a message twice", "operation", op,
			"message", m.ID, "receiver", m.Receiver, "err", err)
		t := time.NewTimer(queueWait(n))
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
	}
}

// Backoff is how long a message waits after a number of failed attempts (1, 2, 3 …): an even draw from the upper half
// of min(2 s × 2^(attempts−1), 5 min). So the first wait is 1 to 2 s, and no wait is longer than 5 min.
func Backoff(attempts int) time.Duration { return backoff(attempts, 2*time.Second, 5*time.Minute) }

// queueWait is Backoff for the queue itself: 0.5 to 1 s at first, 30 s at most.
func queueWait(failures int) time.Duration { return backoff(failures, time.Second, 30*time.Second) }

func backoff(n int, first, most time.Duration) time.Duration {
	d := most
	if shift := max(n, 1) - 1; shift < 20 {
		d = min(first<<shift, most)
	}
	return d/2 + rand.N(d/2+1)
}
