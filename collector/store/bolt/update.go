package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/watchbill/watchbill/collector/store"
)

// maxBatch bounds how many updates share one commit, and with it how long the first of them waits.
const maxBatch = 512

// fullPages is how full bbolt makes the pages that it divides. Most keys come in their order (by time, by ticket), where the
// first part is never added to again: half full, as is its default, would be half of what is written for nothing.
const fullPages = 0.9

// call is one Update on its way.
type call struct {
	ctx context.Context
	fn  func(store.KV) error
	// lead is closed when this caller is to commit the queue, done when err and panicked are final.
	lead, done chan struct{}
	promoted   bool
	// settled: the call has its own outcome already and shares not in the commit's. tentative: its closure saw what
	// others in the same commit had changed, so what it said holds only if that is kept.
	settled, tentative bool
	err                error
	panicked           *closurePanic
}

// closurePanic carries a closure's panic to the caller it belongs to.
type closurePanic struct {
	value any
	stack []byte
}

func (p *closurePanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.value, p.stack) }

var errAbandoned = errors.New("another update ended its goroutine while this one was in the same commit; nothing was changed")

// Update is group commit without a goroutine of its own: the first caller who finds nobody committing takes what is
// queued, in one transaction, without waiting for more; what is queued meanwhile is the next caller's to commit.
func (e *engine) Update(ctx context.Context, fn func(store.KV) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &call{ctx: ctx, fn: fn, lead: make(chan struct{}), done: make(chan struct{})}
	e.mu.Lock()
	if err := e.refusal(); err != nil {
		e.mu.Unlock()
		return err
	}
	e.queue = append(e.queue, c)
	if !e.busy {
		e.busy, c.promoted = true, true
		close(c.lead)
	}
	e.mu.Unlock()
	if !e.await(c) {
		return ctx.Err()
	}
	if c.panicked != nil {
		panic(c.panicked)
	}
	return c.err
}

// refusal says why an update cannot even be queued; the caller holds mu.
func (e *engine) refusal() error {
	if e.closed {
		return store.ErrClosed
	}
	return e.stopped
}

// await returns true when c has its outcome, and false when its context ended before its turn.
func (e *engine) await(c *call) bool {
	select {
	case <-c.done:
	case <-c.lead:
		e.commitQueue()
	case <-c.ctx.Done():
		if e.withdraw(c) {
			return false
		}
		select {
		case <-c.done:
		case <-c.lead:
			e.commitQueue()
		}
	}
	return true
}

// withdraw takes c out of the queue, unless its turn has come.
func (e *engine) withdraw(c *call) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.queue, c)
	if i < 0 || c.promoted {
		return false
	}
	e.queue = slices.Delete(e.queue, i, i+1)
	return true
}

// commitQueue commits what is queued, the caller's own update first, and hands over to the next in the queue.
func (e *engine) commitQueue() {
	e.mu.Lock()
	n := min(len(e.queue), maxBatch)
	batch := slices.Clone(e.queue[:n])
	e.queue = slices.Delete(e.queue, 0, n)
	e.mu.Unlock()
	err := errAbandoned
	defer func() {
		for _, c := range batch {
			if !c.settled || c.tentative && err != nil {
				c.err = err
			}
			close(c.done)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.queue) == 0 {
			e.busy = false
			e.idle.Broadcast()
			return
		}
		e.queue[0].promoted = true
		close(e.queue[0].lead)
	}()
	err = e.commit(batch)
}

// commit runs the batch in one transaction. A closure that fails is undone and the others go on.
func (e *engine) commit(batch []*call) error {
	if err := e.room(); err != nil {
		return err
	}
	defer faultsPanic()()
	tx, err := e.begin(true)
	if err != nil {
		return err
	}
	finished := false
	defer func() {
		if !finished {
			_ = e.guard(tx.Rollback) // what went wrong is reported already
		}
	}()
	k := &kv{engine: e, bucket: tx.Bucket(bucket), total: tx.Bucket(bucket).Sequence(), known: map[string]*entry{}}
	k.bucket.FillPercent = fullPages
	for _, c := range batch {
		apply(k, c)
	}
	if !k.changed {
		return nil
	}
	if err := k.flush(); err != nil {
		return err
	}
	err = e.guard(func() error {
		if err := k.bucket.SetSequence(k.total); err != nil {
			return err
		}
		err := tx.Commit()
		finished = true
		return err
	})
	return e.outcome(err)
}

// apply runs one closure; its error stays with its call.
func apply(k *kv, c *call) {
	if c.err = c.ctx.Err(); c.err != nil {
		c.settled = true
		return
	}
	k.undo, c.tentative = nil, k.changed
	func() {
		defer func() {
			if p := recover(); p != nil {
				c.panicked = &closurePanic{value: p, stack: debug.Stack()}
			}
		}()
		c.err = c.fn(k)
	}()
	if c.settled = c.err != nil || c.panicked != nil; c.settled {
		k.revert()
	}
}

// outcome turns bbolt's error of a commit into this house's. When the disk was full nothing was switched over and work
// may go on. After any other failure of the disk nobody knows what it holds: a sync that failed may have thrown away
// what it was to keep, and a second one would succeed without it. Then nothing more is written.
func (e *engine) outcome(err error) error {
	var onPath *fs.PathError
	var number syscall.Errno
	switch {
	case err == nil || errors.Is(err, store.ErrDamaged):
		return err
	case errors.As(err, &onPath) && diskFull(err):
		return e.full(err)
	case !errors.As(err, &number) && e.short():
		// Growing the file failed; bbolt's error does not say why, but the disk does. Nothing was written.
		return e.full(err)
	}
	err = fmt.Errorf("%w: writing %s failed: %w; whether the last change was kept cannot be known before the store is "+
		"opened again. Look at the system's log for the disk's errors, then start the collector again", store.ErrDisk, e.path, err)
	e.stop(err)
	return err
}

// reserve is how many bytes are to stay free on a file system of size bytes.
func (o Options) reserve(size uint64) uint64 {
	switch {
	case o.Reserve > 0:
		return uint64(o.Reserve)
	case o.Reserve < 0:
		return 0
	}
	return min(64<<20, size/20)
}

// room refuses with store.ErrFull while the file system has less room than is to stay free. Where it cannot be
// measured, the write itself will tell.
func (e *engine) room() error {
	free, size, err := e.o.Space(e.path)
	if err == nil && free < e.o.reserve(size) {
		return e.full(nil)
	}
	return nil
}

// short tells whether the file system has no room for one step of growth.
func (e *engine) short() bool {
	free, _, err := e.o.Space(e.path)
	return err == nil && free < uint64(max(e.db.AllocSize, 1<<20))
}

func (e *engine) full(cause error) error {
	free, size, _ := e.o.Space(e.path) // unknown reads as 0
	err := fmt.Errorf("%w: the file system of %s has %d bytes free and %d must stay free; nothing was changed, reading goes "+
		"on. Make room there; what was refused is taken when it is sent again", store.ErrFull, e.path, free, e.o.reserve(size))
	if cause != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}
