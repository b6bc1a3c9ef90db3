package outbox

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LookAhead is how far beyond the clock the loop reads the queue. A failed message never waits longer than this, so a
// later one about the same ticket is always seen to stand behind it.
const LookAhead = time.Hour

// Options says how a Loop works. Queue is required; the zero value of everything else is a default.
type Options struct {
	Queue Queue
	// Senders by receiver's name. A message to a name that is not in it is buried.
	Senders map[string]Sender
	// Logger is told about failures; nil discards.
	Logger *slog.Logger
	// Registerer takes the metrics; nil leaves them unregistered.
	Registerer prometheus.Registerer
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Wait is how long to wait after a number of failed attempts (1, 2, 3 …); Backoff by default.
	Wait func(attempts int) time.Duration
	// Timeout bounds one attempt; 30 s by default. A sender may have a shorter one of its own.
	Timeout time.Duration
	// GiveUpAfter is the age at which a message that fails again is buried, so that nothing is retried for ever
	// unseen; 24 h by default. A message is tried at least once however old it is.
	GiveUpAfter time.Duration
	// PerReceiver is how many messages go to one receiver at a time, each about another ticket; 4 by default.
	PerReceiver int
	// Sweep is how often the queue is read although nobody called Wake; 10 s by default.
	Sweep time.Duration
	// Window is how many messages are held in memory, with their bodies; 10000 by default. When more than these wait
	// for receivers that are down, messages to others may have to wait too; that is logged.
	Window int
}

func (o Options) withDefaults() Options {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = Backoff
	}
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.GiveUpAfter = cmp.Or(o.GiveUpAfter, 24*time.Hour)
	o.PerReceiver = cmp.Or(o.PerReceiver, 4)
	o.Sweep = cmp.Or(o.Sweep, 10*time.Second)
	o.Window = cmp.Or(o.Window, 10_000)
	return o
}

// Loop takes messages out of the queue and hands them to their receivers' senders. Messages about one ticket reach a
// receiver in the order of their creation, one at a time: a failed one holds back those behind it. Receivers do not
// wait for each other.
type Loop struct {
	o       Options
	senders atomic.Pointer[map[string]Sender]
	wake    chan struct{}
	metrics *metrics
}

// New makes a loop and starts nothing.
func New(o Options) (*Loop, error) {
	if o.Queue == nil {
		return nil, errors.New("outbox: no queue to take messages from")
	}
	o = o.withDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	l := &Loop{o: o, wake: make(chan struct{}, 1), metrics: m}
	l.Configure(o.Senders)
	return l, nil
}

// Configure replaces the senders, as after a reload. Deliveries under way end with the sender they began with.
func (l *Loop) Configure(senders map[string]Sender) {
	senders = maps.Clone(senders)
	l.senders.Store(&senders)
	l.Wake()
}

// Wake makes the loop look into the queue now. Call it after a commit that put messages; it never blocks.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run delivers until ctx ends; then attempts under way are cut short, their messages stay queued, and Run returns nil
// when all has stopped. One Run at a time. A queue that fails is logged and asked again: Run does not end for it.
func (l *Loop) Run(ctx context.Context) error {
	r := &round{Loop: l, lanes: map[string]*lane{}, results: make(chan result)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	look := true
	for ctx.Err() == nil {
		if look || !l.o.Now().Before(r.lookAt) {
			r.look(ctx)
		}
		look = false
		timer.Reset(max(0, r.start(ctx).Sub(l.o.Now())))
		select {
		case <-ctx.Done():
		case <-l.wake:
			look = true
		case res := <-r.results:
			r.settle(res)
		case <-timer.C:
		}
	}
	for ; r.underWay > 0; r.underWay-- {
		<-r.results
	}
	return nil
}

// round is what one Run holds in memory, touched by its goroutine alone. The queue knows it all; this is a copy.
type round struct {
	*Loop
	lanes    map[string]*lane
	results  chan result
	underWay int

	// lookAt is when the queue is read next; failures counts readings failed in a row.
	lookAt   time.Time
	failures int
	// more says that the last reading did not reach the end of the queue.
	more bool
}

// lane is what one receiver has to get.
type lane struct {
	// pending is sorted by creation and holds nothing that is in flight.
	pending []Message
	// flying are the messages being delivered; lines the tickets they are about.
	flying map[string]bool
	lines  map[string]bool
}

// look reads the queue and replaces what was pending.
func (r *round) look(ctx context.Context) {
	now := r.o.Now()
	r.lookAt = now.Add(r.o.Sweep)
	all, _, err := r.o.Queue.Due(ctx, now.Add(LookAhead), r.o.Window)
	if err != nil {
		r.failures++
		r.lookAt = now.Add(queueWait(r.failures))
		if ctx.Err() == nil {
			r.metrics.queueErrors.WithLabelValues("due").Inc()
			r.o.Logger.Error("outbox cannot be read; messages wait", "retry_at", r.lookAt, "err", err)
		}
		return
	}
	r.failures = 0
	if more := len(all) == r.o.Window; more != r.more {
		r.more = more
		if more {
			r.o.Logger.Warn("outbox is longer than its window; messages behind it wait until receivers take some",
				"window", r.o.Window)
		}
	}
	for _, ln := range r.lanes {
		ln.pending = ln.pending[:0]
	}
	for _, m := range all {
		if ln := r.lane(m.Receiver); !ln.flying[m.ID] {
			ln.pending = append(ln.pending, m)
		}
	}
	for name, ln := range r.lanes {
		if len(ln.pending) == 0 && len(ln.flying) == 0 {
			delete(r.lanes, name)
			r.metrics.waiting.DeleteLabelValues(name)
			continue
		}
		slices.SortFunc(ln.pending, byCreation)
		r.count(name, ln)
	}
}

func (r *round) lane(receiver string) *lane {
	ln := r.lanes[receiver]
	if ln == nil {
		ln = &lane{flying: map[string]bool{}, lines: map[string]bool{}}
		r.lanes[receiver] = ln
	}
	return ln
}

// start sends off all that may go now and returns when there is something to do next.
func (r *round) start(ctx context.Context) time.Time {
	now := r.o.Now()
	next := r.lookAt
	for name, ln := range r.lanes {
		for _, m := range ln.take(now, r.o.PerReceiver, &next) {
			r.underWay++
			sender := (*r.senders.Load())[m.Receiver]
			go func() { r.results <- r.deliver(ctx, sender, m) }()
		}
		r.count(name, ln)
	}
	return next
}

// take moves from pending to flying what may go now, at most up to limit at a time; it lowers next to when the first
// of the others falls due.
func (ln *lane) take(now time.Time, limit int, next *time.Time) []Message {
	if len(ln.flying) >= limit {
		return nil
	}
	var taken []Message
	held := maps.Clone(ln.lines)
	keep := ln.pending[:0]
	for _, m := range ln.pending {
		line := m.line()
		switch {
		case held[line]: // behind another about the same ticket
		case m.NextAt.After(now):
			if m.NextAt.Before(*next) {
				*next = m.NextAt
			}
		case len(ln.flying) < limit:
			ln.flying[m.ID], ln.lines[line] = true, true
			taken = append(taken, m)
		}
		held[line] = true
		if !ln.flying[m.ID] {
			keep = append(keep, m)
		}
	}
	clear(ln.pending[len(keep):])
	ln.pending = keep
	return taken
}

// settle takes in how a delivery ended.
func (r *round) settle(res result) {
	r.underWay--
	ln := r.lane(res.message.Receiver)
	delete(ln.flying, res.message.ID)
	delete(ln.lines, res.message.line())
	if res.again {
		i, _ := slices.BinarySearchFunc(ln.pending, res.message, byCreation)
		ln.pending = slices.Insert(ln.pending, i, res.message)
	}
	held := 0
	for _, ln := range r.lanes {
		held += len(ln.pending) + len(ln.flying)
	}
	if r.more && held < r.o.Window/2 {
		r.lookAt = r.o.Now()
	}
}

func (r *round) count(receiver string, ln *lane) {
	r.metrics.waiting.WithLabelValues(receiver).Set(float64(len(ln.pending) + len(ln.flying)))
}

// line is what keeps messages in order: the ticket, or a line that the message names. Any other stands in no line.
func (m Message) line() string {
	switch {
	case m.Ticket != "":
		return "ticket " + m.Ticket
	case m.Line != "":
		return "line " + m.Line
	}
	return "message " + m.ID
}

func byCreation(a, b Message) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}
