// Package bolt keeps the store in one file on this machine, with bbolt (go.etcd.io/bbolt) underneath.
//
// bbolt writes changed pages to free places, syncs, and then switches over by writing one of two small meta pages, so a
// crash leaves the old state or the new one. What it does not do is added here: a file that is created completely or
// not at all; a check of the whole file before it is trusted; a total over all records that is written with every
// transaction, so that pages which are sound but not the newest are noticed; group commit without waiting; room kept
// free on the disk; and panics and faults of damaged pages turned into errors.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/watchbill/watchbill/collector/store"
)

// Options are what Open can be told; the zero value is ready for use.
type Options struct {
	// Now is the clock that decisions age by; time.Now when nil.
	Now func() time.Time
	// LockTimeout is how long Open waits for another process to let go of the file; 2 s when zero.
	LockTimeout time.Duration
	// Reserve is how many bytes of the file system stay free: an Update that finds fewer is refused with
	// store.ErrFull. 0 means 64 MiB or 5 % of the file system, whichever is less; a negative number keeps nothing free.
	Reserve int64
	// Space measures the file system that holds path: bytes free to this process, and its size; the file system itself
	// is asked when nil.
	Space func(path string) (free, size uint64, err error)
}

func (o Options) withDefaults() Options {
	if o.LockTimeout == 0 {
		o.LockTimeout = 2 * time.Second
	}
	if o.Space == nil {
		o.Space = space
	}
	return o
}

// Store is a store.Store in one file.
type Store struct {
	store.Store
	engine *engine
}

// Open opens the store in the file at path, which it creates if it is not there (with its directory, but not that
// directory's parents: a disk that is not mounted is not mistaken for an empty store). It reads the whole file once and
// refuses one that is damaged (store.ErrDamaged), newer (store.ErrNewer), in use (store.ErrLocked) or readable by
// others. One in an older format is backed up beside it, under MigrationBackup's name, and brought to this release's.
// It starts no goroutine.
func Open(path string, o Options) (*Store, error) {
	return openStore(path, o, func(e *engine) func(from, to int) error {
		return func(from, _ int) error { return e.backUpBeside(MigrationBackup(path, from)) }
	})
}

// openStore is Open; backUp makes what is called before a migration, none when nil.
func openStore(path string, o Options, backUp func(*engine) func(from, to int) error) (*Store, error) {
	e, err := openEngine(path, o.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	so := store.Options{Now: o.Now}
	if backUp != nil {
		so.BeforeMigration = backUp(e)
	}
	s, err := store.New(e, so)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return &Store{Store: s, engine: e}, nil
}

// bucket is bbolt's bucket with all records; its sequence number holds their total.
var bucket = []byte("records")

// engine is the store.Engine.
type engine struct {
	path string
	o    Options
	db   *bbolt.DB
	// newest is the number of the newest transaction that was seen.
	newest atomic.Int64

	mu sync.Mutex
	// queue are the updates that wait; busy while one of their callers commits; idle is told when none does.
	queue []*call
	busy  bool
	idle  *sync.Cond
	// closed refuses everything; stopped refuses updates, unreadable refuses everything but Close.
	closed     bool
	stopped    error
	unreadable bool
}

func openEngine(path string, o Options) (*engine, error) {
	if err := ensure(path, o); err != nil {
		return nil, err
	}
	return openInspected(path, o, bbolt.Options{InitialMmapSize: mapSize()})
}

// openTries is how often a file is inspected that others keep changing before it can be opened.
const openTries = 3

// openInspected inspects the file at path and opens it as it was inspected.
func openInspected(path string, o Options, as bbolt.Options) (*engine, error) {
	for range openTries {
		seen, err := inspect(path, o)
		if err != nil {
			return nil, err
		}
		e := newEngine(path, o)
		if err := e.open(as); err != nil {
			return nil, err
		}
		same, err := e.is(seen)
		if err == nil && same {
			return e, nil
		}
		if err = errors.Join(err, e.Close()); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: another process (`watchbill operator add`?) changes %s whenever it is about to be opened; "+
		"see what that is, and start again", store.ErrLocked, path)
}

func (e *engine) open(as bbolt.Options) error {
	as.Timeout = e.o.LockTimeout
	return guard(e.path, func() (err error) {
		e.db, err = openFile(e.path, as)
		return err
	})
}

// is tells whether the open file and its newest transaction are those that were inspected. Between the lock that readers
// share and the writer's own, another process may have come first.
func (e *engine) is(seen inspected) (bool, error) {
	tx, err := e.begin(false)
	if err != nil {
		return false, err
	}
	same := uint64(tx.ID()) == seen.txid
	if err := e.guard(tx.Rollback); err != nil {
		return false, err
	}
	now, err := os.Stat(e.path)
	return same && err == nil && os.SameFile(now, seen.file), err
}

func newEngine(path string, o Options) *engine {
	e := &engine{path: path, o: o}
	e.idle = sync.NewCond(&e.mu)
	return e
}

// openFile opens path with the settings of this house; an error names the file and what can be done.
func openFile(path string, o bbolt.Options) (*bbolt.DB, error) {
	o.FreelistType, o.NoFreelistSync, o.NoStatistics = bbolt.FreelistMapType, true, true
	var file *os.File
	open := o.OpenFile
	if open == nil {
		open = os.OpenFile
	}
	o.OpenFile = func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = open(name, flag, mode)
		return file, err
	}
	db, err := bbolt.Open(path, 0o600, &o)
	if err == nil && !stillAt(file, path) {
		// A restore held the lock, and the file that was waited for is now the old one.
		return nil, errors.Join(fmt.Errorf("%w: %s was replaced while it was being opened; start again", store.ErrLocked, path),
			db.Close())
	}
	switch {
	case err == nil:
		// Growing the file costs a sync of its own: 256 pages at a time make that rare, and the file small.
		db.AllocSize = 1 << 20
		return db, nil
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: another collector (or `watchbill operator add`) uses %s; stop it, or give another "+
			"--storage.path", store.ErrLocked, path)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w; run as the user who owns it, or give another --storage.path", err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum):
		return nil, store.Damaged(path, fmt.Sprintf("the file's head (%v)", err))
	}
	return nil, err
}

// stillAt tells whether an open file is the one that has this name.
func stillAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	named, err2 := os.Stat(path)
	return err == nil && err2 == nil && os.SameFile(opened, named)
}

func (e *engine) Name() string { return e.path }

// Close waits for updates under way, refuses what comes later, and lets go of the file.
func (e *engine) Close() error {
	e.mu.Lock()
	e.closed = true
	for e.busy {
		e.idle.Wait()
	}
	unreadable := e.unreadable
	db := e.db
	e.mu.Unlock()
	if unreadable || db == nil {
		// bbolt panicked with its locks held; to close it would wait for ever. The process is about to end.
		return nil
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close store %s: %w", e.path, err)
	}
	return nil
}

// View runs fn on one consistent state.
func (e *engine) View(ctx context.Context, fn func(store.KV) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer faultsPanic()()
	tx, err := e.begin(false)
	if err != nil {
		return err
	}
	k := &kv{engine: e, bucket: tx.Bucket(bucket)}
	defer func() { _ = e.guard(tx.Rollback) }() // nothing was changed
	return fn(k)
}

// begin starts a transaction. bbolt reads the meta pages in it with its locks held: if that panics, it can never be
// asked again.
func (e *engine) begin(write bool) (*bbolt.Tx, error) {
	e.mu.Lock()
	unreadable, stopped := e.unreadable, e.stopped
	e.mu.Unlock()
	if unreadable || write && stopped != nil {
		return nil, stopped
	}
	seen := e.newest.Load()
	var tx *bbolt.Tx
	began := false
	err := e.guard(func() (err error) {
		tx, err = e.db.Begin(write)
		began = true
		return err
	})
	if !began {
		e.mu.Lock()
		e.unreadable = true
		e.mu.Unlock()
	}
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return nil, store.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	err = e.guard(func() error {
		if err := e.follows(tx, seen); err != nil {
			return err
		}
		if tx.Bucket(bucket) == nil {
			return store.Damaged(e.path, "the list of records is missing")
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, e.guard(tx.Rollback))
	}
	return tx, nil
}

// follows tells whether a transaction stands on the newest one that was seen before it began, or on a newer one: what others
// committed since then it need not know. When the newer meta page is damaged while the file is open, bbolt goes back to the
// other and what it had before.
func (e *engine) follows(tx *bbolt.Tx, seen int64) error {
	base := int64(tx.ID())
	if tx.Writable() {
		base-- // its own number is the next
	}
	if base < seen {
		return store.Damaged(e.path, fmt.Sprintf("the head fell back from transaction %d to %d", seen, base))
	}
	for newest := seen; newest < base && !e.newest.CompareAndSwap(newest, base); {
		newest = e.newest.Load()
	}
	return nil
}

// stop refuses updates from now on: cause says why.
func (e *engine) stop(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped == nil {
		e.stopped = cause
	}
}

// guard runs fn, which calls bbolt, and turns a panic into store.ErrDamaged; then nothing is written any more.
func (e *engine) guard(fn func() error) error {
	err := guard(e.path, fn)
	if errors.Is(err, store.ErrDamaged) {
		e.stop(err)
	}
	return err
}
