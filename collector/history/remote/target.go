package remote

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/tsdb/record"
)

const (
	// batchesPerShard is how many requests a shard sends one after the other in one round at most.
	batchesPerShard = 4
	// readAgain is how long a target waits when the machine would not let it read.
	readAgain = 5 * time.Second
)

// target is one engine that is written to. One goroutine reads and hands out rounds.
type target struct {
	id       string
	c        Target
	external labels.Labels
	key      string // what it was made of
	client   *http.Client
	version  string
	metrics  *targetMetrics
	log      *rareLog

	reader   reader
	rules    []*relabel.Config
	builder  *labels.Builder
	encoders []*encoder
	marks    atomic.Uint64
	// again is true while what is sent may have been sent before: in the first round behind a kept cursor.
	again bool
	// notBefore is the time, in Unix nanoseconds, until which the target asked not to be written to.
	notBefore atomic.Int64
	// troubled is how many requests of a round were not taken.
	troubled atomic.Int64

	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	at    position // everything before it was taken, or given up
	seq   uint64
	state state
}

// state is what is told of a target.
type state struct {
	shards      int
	oldest      time.Time // when the oldest sample that is under way was spooled; zero when there is none
	sent        time.Time // when samples were taken last
	err         string    // what went wrong last
	errAt       time.Time
	highestSent int64 // ms
}

func newTarget(r *Remote, p *Plan, c Target, at position) *target {
	id := c.ID()
	t := &target{
		id: id, c: c, external: p.config.externalLabels(), key: keyOf(c, p.config.External), client: p.clients[id],
		version: r.o.Version, metrics: r.metrics.of(id), at: at, again: true, rules: c.rules(),
		builder: labels.NewBuilder(labels.EmptyLabels()), done: make(chan struct{}),
		log: &rareLog{log: r.o.Logger.With("target", id, "url", c.shownURL())},
	}
	t.reader = reader{
		spool: r.spool, make: t.make, at: at, reason: "spool_full", log: t.log.log.Error,
		lost: func(reason string, n uint64) { t.metrics.drop(reason, int(n)) },
	}
	t.state.shards = c.Queue.MinShards
	t.seq = r.spool.before(at)
	return t
}

// runs tells whether t is what a configuration asks for.
func (t *target) runs(c Target, external map[string]string) bool {
	return t.key == keyOf(c, external) && reflect.DeepEqual(t.c.HTTP, c.HTTP)
}

func (t *target) start(ctx context.Context) {
	ctx, t.cancel = context.WithCancel(ctx)
	go func() {
		defer close(t.done)
		t.run(ctx)
	}()
}

// stop returns when t has stopped.
func (t *target) stop() {
	t.cancel()
	<-t.done
}

// acknowledged is the position before which all is settled, and how many samples are.
func (t *target) acknowledged() (position, uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at, t.seq
}

// run sends round after round until ctx ends.
func (t *target) run(ctx context.Context) {
	defer t.reader.close()
	defer t.client.CloseIdleConnections()
	shards := t.c.Queue.MinShards
	for {
		r, ok := t.collect(ctx, shards)
		if !ok || !t.send(ctx, r) {
			return
		}
		t.again = false
		t.mu.Lock()
		t.at, t.seq, t.state.oldest = r.at, r.seq, time.Time{}
		shards = t.reshard(shards, r)
		t.state.shards = shards
		t.mu.Unlock()
	}
}

// round is samples that are sent together, by shard.
type round struct {
	shards [][]sample
	n      int
	// at and seq are where the reader is behind it.
	at  position
	seq uint64
	// waited is true when there was nothing more to read.
	waited bool
}

type sample struct {
	series *series
	t      int64
	v      float64
}

// collect reads a round: until it is full, or the first of its samples has waited for batch_send_deadline. It is false when ctx
// ended before.
func (t *target) collect(ctx context.Context, shards int) (round, bool) {
	r := round{shards: make([][]sample, shards)}
	most := shards * batchesPerShard * t.c.Queue.MaxSamplesPerSend
	var due time.Time
	for r.n < most && (due.IsZero() || time.Now().Before(due)) && ctx.Err() == nil {
		h, samples, more, ok, err := t.reader.next()
		if ok {
			if due.IsZero() {
				due = time.Now().Add(time.Duration(t.c.Queue.BatchSendDeadline))
				t.underWay(time.UnixMilli(h.at))
			}
			t.takeAll(&r, samples)
			continue
		}
		r.waited = true
		until := due
		if err != nil {
			t.failed("remote write's spool cannot be read; it is tried again", err.Error())
			more, until = nil, time.Now().Add(readAgain)
		}
		wait(ctx, more, until)
	}
	r.at, r.seq = t.reader.at, t.reader.seq
	return r, ctx.Err() == nil
}

// wait returns when more is closed, at until when it is not zero, or when ctx ends.
func wait(ctx context.Context, more <-chan struct{}, until time.Time) {
	var at <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		at = timer.C
	}
	select {
	case <-ctx.Done():
	case <-more:
	case <-at:
	}
}

// takeAll gives each sample of a frame to its series' shard, or drops it.
func (t *target) takeAll(r *round, samples []record.RefSample) {
	oldest, old, filtered, damaged := t.oldest(), 0, 0, 0
	for _, x := range samples {
		if int(x.Ref) >= len(t.reader.dict) {
			damaged++
			continue
		}
		s := t.reader.dict[x.Ref]
		switch {
		case s == nil:
			filtered++
		case x.T < oldest:
			old++
		default:
			i := s.hash % uint64(len(r.shards))
			r.shards[i] = append(r.shards[i], sample{s, x.T, x.V})
			r.n++
		}
	}
	t.metrics.drop("filtered", filtered)
	t.metrics.drop("too_old", old)
	t.metrics.drop("damaged", damaged)
}

// oldest is the time, in ms, before which samples are not sent any more.
func (t *target) oldest() int64 {
	if t.c.Queue.SampleAgeLimit == 0 {
		return math.MinInt64
	}
	return time.Now().Add(-time.Duration(t.c.Queue.SampleAgeLimit)).UnixMilli()
}

// make is a series as the target gets it: with external labels, relabelled; nil when it is not wanted.
func (t *target) make(ls labels.Labels) *series {
	b := t.builder
	b.Reset(ls)
	t.external.Range(func(l labels.Label) {
		if ls.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	})
	if !relabel.ProcessBuilder(b, t.rules...) {
		return nil
	}
	ls = b.Labels()
	if ls.IsEmpty() {
		return nil
	}
	return &series{labels: ls, hash: ls.Hash()}
}

// reshard is how many shards the next round has: more while there is a backlog that the target takes, fewer when there is not
// enough for as many.
func (t *target) reshard(n int, r round) int {
	q := t.c.Queue
	switch {
	case t.troubled.Swap(0) > 0: // more requests at once help nobody in trouble
	case !r.waited:
		n *= 2
	case r.n < n*q.MaxSamplesPerSend:
		n /= 2
	}
	return min(max(n, q.MinShards), q.MaxShards)
}

// send has every shard send its part; it is false when ctx ended before all was settled.
func (t *target) send(ctx context.Context, r round) bool {
	for len(t.encoders) < len(r.shards) {
		t.encoders = append(t.encoders, newEncoder(t.c.Message, &t.marks))
	}
	var cut atomic.Bool
	var wg sync.WaitGroup
	for i, samples := range r.shards {
		if len(samples) == 0 {
			continue
		}
		wg.Go(func() {
			for batch := range slices.Chunk(samples, t.c.Queue.MaxSamplesPerSend) {
				if !t.deliver(ctx, t.encoders[i], batch) {
					cut.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	return !cut.Load()
}

func (t *target) underWay(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.oldest = since
}

// failed notes what went wrong, and logs it when that was not done lately.
func (t *target) failed(what, why string) {
	t.mu.Lock()
	t.state.err, t.state.errAt = what+": "+why, time.Now()
	t.mu.Unlock()
	t.log.warn(what, why)
}

// rareLog logs what comes again and again after a minute, then after two, and so on up to an hour.
type rareLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]saying
}

// saying is when something was said last, and for how long it is not said again.
type saying struct {
	at    time.Time
	quiet time.Duration
}

func (l *rareLog) warn(what, why string) {
	now := time.Now()
	l.mu.Lock()
	if l.said == nil {
		l.said = map[string]saying{}
	}
	last := l.said[what]
	again := now.Sub(last.at) < last.quiet
	switch {
	case again:
	case now.Sub(last.at) > 2*last.quiet:
		l.said[what] = saying{now, time.Minute}
	default:
		l.said[what] = saying{now, min(2*last.quiet, time.Hour)}
	}
	l.mu.Unlock()
	if !again {
		l.log.Warn(what, "err", why)
	}
}
