package collector

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

const (
	// maxTogether is how many transitions share a transaction, and bytesTogether how many bytes of evidence: they bound
	// how long the first of them waits, and what a transaction holds in memory. What one caller brings is never divided.
	maxTogether   = 1000
	bytesTogether = 16 << 20
)

// commit is what one caller wants made durable.
type commit struct {
	// decision names it for good.
	decision string
	changes  []change
	// also is written in the same transaction; nil when there is nothing else.
	also  func(store.Tx) error
	bytes int
	// lead is closed when this caller is to write for all that wait, done when err is final.
	lead, done chan struct{}
	promoted   bool
	err        error
}

// change is a transition with all that was read for it.
type change struct {
	rules.Transition
	// state is the alert as it is kept, prepared; not set when it is to be forgotten.
	state    store.AlertState
	alert    incident.Alert
	evidence []ticket.Evidence
	// lean evidence lacks what has to be read from the disk; it is added later.
	lean bool
	// late is set when it was muted and is brought to its ticket now.
	late *mutedAlert
}

// fires tells whether an alert begins to fire.
func (c change) fires() bool { return c.Alert.State == rules.Firing && c.From != rules.Firing }

// committer lets those who commit at the same time share a transaction.
//
//	Commit ─┐
//	Commit ─┼► queue ─► the first who finds nobody writing writes what waits, then hands over to the next that came
//	Commit ─┘
//
// Nobody waits for others to come: one commit alone is one transaction at once, and while that is being synced the next
// ones gather. What fails fails alone. The zero value is ready.
type committer struct {
	mu    sync.Mutex
	queue []*commit
	busy  bool

	// loose are the flips of the last minute that belong to no storm, by incident; recalled once they were read from the
	// store after a start. They belong to whoever writes.
	loose    map[string]incident.Flip
	recalled bool
}

// do has c written, by this goroutine or another's. It returns false when ctx ended while c still waited: then c has no
// effect. Once it is being written its outcome is waited for.
func (q *committer) do(ctx context.Context, c *commit, write func([]*commit)) bool {
	c.lead, c.done = make(chan struct{}), make(chan struct{})
	q.mu.Lock()
	q.queue = append(q.queue, c)
	if !q.busy {
		q.busy = true
		q.promote(c)
	}
	q.mu.Unlock()
	select {
	case <-c.done:
		return true
	case <-c.lead:
	case <-ctx.Done():
		if q.withdraw(c) {
			return false
		}
		select {
		case <-c.done:
			return true
		case <-c.lead:
		}
	}
	batch := q.take()
	defer q.handOver(batch)
	write(batch)
	return true
}

func (q *committer) promote(c *commit) {
	c.promoted = true
	close(c.lead)
}

// withdraw takes c out of the queue, unless its turn has come.
func (q *committer) withdraw(c *commit) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.queue, c)
	if i < 0 || c.promoted {
		return false
	}
	q.queue = slices.Delete(q.queue, i, i+1)
	return true
}

// take is what is written together now, in the order it came: at least the first of the queue.
func (q *committer) take() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, changes, bytes := 0, 0, 0
	for _, c := range q.queue {
		changes, bytes = changes+len(c.changes), bytes+c.bytes
		if n > 0 && (changes > maxTogether || bytes > bytesTogether) {
			break
		}
		n++
	}
	batch := slices.Clone(q.queue[:n])
	q.queue = slices.Delete(q.queue, 0, n)
	return batch
}

// handOver tells those who were written for, and the next in the queue that it is their turn.
func (q *committer) handOver(batch []*commit) {
	for _, c := range batch {
		close(c.done)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy = len(q.queue) > 0; q.busy {
		q.promote(q.queue[0])
	}
}

// idle tells whether nobody commits.
func (q *committer) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.busy
}

// Commit makes alert transitions durable with everything they cause: tickets opened, attached, reopened or resolved,
// their evidence, and the messages to send. What commits at the same time shares a transaction and a sync; an error is
// of this commit alone, unless the store takes nothing at all (store.ErrFull). When ctx ends before its turn has come
// nothing of it is kept. A commit whose outcome the caller could not learn may be repeated: the same one takes effect
// once.
func (p *pipeline) Commit(ctx context.Context, at time.Time, ts []rules.Transition) error {
	return p.commitWith(ctx, at, ts, nil)
}

// commitWith is Commit, with something else that is written in the same transaction.
func (p *pipeline) commitWith(ctx context.Context, at time.Time, ts []rules.Transition, also func(store.Tx) error) error {
	if len(ts) == 0 {
		return nil
	}
	now := p.now()
	c, err := p.prepare(ctx, at, ts, now)
	if err != nil {
		return err
	}
	c.also = also
	began := time.Now()
	if !p.commits.do(ctx, c, p.writeAll) {
		return fmt.Errorf("commit %d alert transitions: %w", len(ts), ctx.Err())
	}
	if c.err != nil {
		return fmt.Errorf("commit %d alert transitions: %w", len(ts), c.err)
	}
	p.metrics.commit.Observe(time.Since(began).Seconds())
	p.wantAll(ctx, ts, now)
	return nil
}

// prepare reads and encodes what can be read and encoded before it is this commit's turn.
func (p *pipeline) prepare(ctx context.Context, at time.Time, ts []rules.Transition, now time.Time) (*commit, error) {
	c := &commit{decision: decisionID(at, ts), changes: make([]change, len(ts))}
	for i, t := range ts {
		c.changes[i] = change{Transition: t, alert: p.alertOf(t)}
		if t.Alert.State == rules.Inactive {
			continue
		}
		var err error
		if c.changes[i].state, err = (store.AlertState{Origin: t.Origin, Alert: t.Alert}).Prepared(); err != nil {
			return nil, fmt.Errorf("commit alert: %w", err)
		}
	}
	p.gatherAll(ctx, c.changes, now)
	for i := range c.changes {
		for j, ev := range c.changes[i].evidence {
			done, err := ev.Prepared()
			if err != nil {
				return nil, fmt.Errorf("commit alert %s: %w", c.changes[i].ID(), err)
			}
			c.changes[i].evidence[j] = done
			c.bytes += done.Size()
		}
	}
	return c, nil
}

// writeAll writes commits in one transaction. One that fails is written alone, so that its error is its own, between
// those that came before it and those that came after: the order of an asset's commits is kept.
func (p *pipeline) writeAll(batch []*commit) {
	p.recall()
	for len(batch) > 0 {
		culprit, err := p.write(batch)
		if culprit < 0 || len(batch) == 1 {
			for _, c := range batch {
				c.err = err
			}
			return
		}
		p.metrics.apart.Inc()
		if culprit > 0 {
			p.writeAll(batch[:culprit])
		}
		_, batch[culprit].err = p.write(batch[culprit : culprit+1])
		batch = batch[culprit+1:]
	}
}

// write is one transaction. culprit is the index of the commit that made it fail, -1 when it did not fail or it was none's
// fault.
func (p *pipeline) write(batch []*commit) (culprit int, err error) {
	n := 0
	for _, c := range batch {
		n += len(c.changes)
	}
	for {
		var did outcome
		err = p.store.Update(context.Background(), "", func(tx store.Tx) (err error) {
			// The closure may run more than once. A change is large: of thousands the list does not grow by copying.
			did = outcome{together: true, muter: p.mutes.muter.Load(), changes: make([]ticket.Change, 0, n)}
			culprit, err = p.apply(tx, batch, &did)
			return err
		})
		if err != nil && culprit < 0 && len(p.commits.loose) > 0 && did.binding {
			// A ticket of before stands in the way of a storm: none is missed for it.
			p.log.Error("tickets that opened just before a storm could not be bound to it; they go on by themselves", "err", err)
			clear(p.commits.loose)
			continue
		}
		if err == nil {
			p.metrics.together.Observe(float64(len(batch)))
			p.commits.remember(did, p.now())
			p.done(did)
		}
		return culprit, err
	}
}

// apply is what one transaction does: every commit that was not taken in before, with the storms that they make.
func (p *pipeline) apply(tx store.Tx, batch []*commit, did *outcome) (culprit int, err error) {
	now := p.now()
	var fresh []*commit
	met := map[string]bool{}
	for i, c := range batch {
		known, err := tx.Decided(c.decision)
		if err == nil && !known && !met[c.decision] { // a repeat may have caught up with what it repeats
			met[c.decision] = true
			fresh = append(fresh, c)
			err = p.foresee(tx, c, now, did)
		}
		if err != nil {
			return i, err
		}
	}
	did.binding = true
	if err := p.correlate(tx, now, did); err != nil {
		return -1, fmt.Errorf("correlate: %w", err)
	}
	did.binding = false
	for _, c := range fresh {
		if err := p.applyOne(tx, c, now, did); err != nil {
			return slices.Index(batch, c), err
		}
	}
	if err := p.postAlerts(tx, now, did); err != nil {
		return -1, err
	}
	return -1, p.keepStorms(tx, now, did)
}

func (p *pipeline) applyOne(tx store.Tx, c *commit, now time.Time, did *outcome) error {
	did.running = true
	for _, t := range c.changes {
		err := p.pass(tx, t.alert, did)
		if err == nil {
			err = p.transition(tx, t, now, did)
		}
		if err == nil {
			err = p.passOn(tx, t, now, did)
		}
		if err == nil && t.lean && !slices.Contains(did.muted, t.alert.ID) && !slices.Contains(did.counted, t.alert.ID) {
			did.owed = append(did.owed, t.alert)
			err = tx.PutOwed(t.ID())
		}
		if err != nil {
			return fmt.Errorf("alert %s: %w", t.ID(), err)
		}
	}
	if err := p.endRun(tx, did); err != nil {
		return err
	}
	did.running = false
	if c.also != nil {
		if err := c.also(tx); err != nil {
			return err
		}
	}
	return tx.Decide(c.decision)
}
