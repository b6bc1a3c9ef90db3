package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/util/compression"
)

// maxLost is how many TSDBs may be given up in one life of the process. Each keeps its memory.
const maxLost = 3

// errPanicked marks a panic inside the TSDB: it panics when it cannot write to its head's chunk files.
var errPanicked = errors.New("TSDB panicked")

// ready is what is open, after an attempt to open it when nothing is.
func (h *History) ready() (*shelf, error) {
	if s := h.shelf.Load(); s != nil {
		return s, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, fmt.Errorf("%w: it was closed", ErrUnavailable)
	case h.lost >= maxLost:
		return nil, fmt.Errorf("%w: it failed %d times; free disk space and restart the collector", ErrUnavailable, h.lost)
	}
	if err := h.takeLock(); err != nil {
		return nil, err
	}
	// Reading the log back writes chunks, in goroutines of the TSDB that panic on a full disk: more room than to write.
	if err := h.room(2); err != nil {
		return nil, err
	}
	s, err := h.openShelf()
	if err != nil && !passing(err) {
		if err = h.moveAside(err); err == nil {
			s, err = h.openShelf()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open history %s: %w", h.path(), err)
	}
	h.metrics.opened(s.metrics)
	h.shelf.Store(s)
	return s, nil
}

func (h *History) takeLock() error {
	if h.lock != nil {
		return nil
	}
	if err := os.MkdirAll(h.dir, 0o750); err != nil {
		return fmt.Errorf("make history's directory: %w", err)
	}
	// A lock file left by a crash is no news, so the locker's log goes nowhere.
	l, err := tsdbutil.NewDirLocker(h.dir, "history", slog.New(slog.DiscardHandler), nil)
	if err == nil {
		err = l.Lock()
	}
	if errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("%w: %s: stop the other collector, or give this one another directory", ErrLocked, h.dir)
	}
	if err != nil {
		return fmt.Errorf("lock history %s: %w", h.dir, err)
	}
	h.lock = l
	return nil
}

// openShelf opens the TSDB, which repairs a torn write-ahead log itself.
func (h *History) openShelf() (*shelf, error) {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = h.o.Retention.Milliseconds()
	o.MaxBytes = h.o.MaxBytes
	o.MinBlockDuration, o.MaxBlockDuration = blockRanges(h.o.Retention)
	o.WALSegmentSize = segmentOf(h.o.MaxBytes)
	o.OutOfOrderTimeWindow = h.TakesBack().Milliseconds()
	o.WALCompression = compression.Snappy
	// A thousand stripes, as this had before, are 2 MB less, and 8 % more processor time for every report from a hundred
	// thousand series on: a reference is found in a map of some ten rather than of a hundred.
	o.StripeSize = 1 << 14
	o.NoLockfile = true // ours stands beside it
	// The TSDB's own upkeep panics on a full disk, in a goroutine where nobody can catch it; Run does the upkeep instead.
	o.BlockReloadInterval = 10 * 365 * 24 * time.Hour
	s := &shelf{metrics: prometheus.NewRegistry(), stop: func() {}}
	o.NewCompactorFunc = h.newCompactor(s)
	err := guarded(func() (err error) {
		s.db, err = tsdb.Open(h.path(), slog.New(quiet{h.o.Logger.Handler()}), s.metrics, o, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.db.DisableCompactions()
	return s, nil
}

// TakesBack is how old a sample may be; what is older is dropped and counted.
func (h *History) TakesBack() time.Duration { return min(h.o.Retention, lateBy) }

// lateBy is how late samples are taken in: what agents bring after an outage may be 72 hours old, and a day more is what
// they have acknowledged and are asked for again. The window costs nothing while nothing is late. What comes late takes a
// chunk of its own for every series in memory, and at the next cut a block for every range of two hours it lies in, which is
// merged with the one that is there: a window as long as a long retention would let one sender with old samples have all
// blocks written anew.
const lateBy = 4 * 24 * time.Hour

// blockRanges are the shortest and the longest block, in ms. A short one keeps the head, which is in memory, small: it holds
// one and a half of them. Merged they are up to a tenth of the retention, as Prometheus has it, so that dropping the oldest
// drops little.
func blockRanges(retention time.Duration) (shortest, longest int64) {
	short := min(retention/4, 2*time.Hour)
	long := max(min(retention/10, 31*24*time.Hour), short)
	return short.Milliseconds(), long.Milliseconds()
}

// passing tells an error that says something of the machine from one that says something of the files.
func passing(err error) bool {
	return slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, context.Canceled},
		func(e error) bool { return errors.Is(err, e) })
}

// moveAside renames a damaged TSDB and says so. One such copy is kept.
func (h *History) moveAside(cause error) error {
	old, err := filepath.Glob(h.path() + ".damaged-*")
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the damaged history before last: %w", err)
		}
	}
	to := h.path() + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(h.path(), to); err != nil {
		return fmt.Errorf("move damaged history aside: %w", errors.Join(err, cause))
	}
	h.metrics.damaged.Inc()
	h.o.Logger.Error("history is damaged and begins anew; tickets and alerts are not touched, charts lack what was before",
		"moved_to", to, "err", cause)
	return nil
}

// room is an error wrapping syscall.ENOSPC when less than so many times MinFree is free: a full disk leaves files that
// nobody can repair, so nothing is begun that may not fit.
func (h *History) room(times uint64) error {
	free, need, err := h.leeway(times)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("%s has %d MiB free and history wants %d MiB: free some space; it goes on by itself: %w",
			h.dir, free>>20, need>>20, syscall.ENOSPC)
	}
	return nil
}

// leeway is how many bytes are free, and how many so many times MinFree are.
func (h *History) leeway(times uint64) (free, need uint64, err error) {
	free, total, err := h.free(h.dir)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for free space in %s: %w", h.dir, err)
	}
	need = h.o.MinFree
	if need == 0 {
		need = min(256<<20, total/20)
	}
	return free, need * times, nil
}

// abandon gives up s after a panic: its locks and buffers cannot be trusted, so it is not even closed.
func (h *History) abandon(s *shelf, cause error) {
	if !h.shelf.CompareAndSwap(s, nil) {
		return
	}
	h.mu.Lock()
	h.lost++
	lost := h.lost
	h.mu.Unlock()
	h.metrics.closed(s.metrics)
	h.o.Logger.Error("history failed inside its storage and is opened again", "times", lost, "limit", maxLost, "err", cause)
}

// guarded turns a panic of the TSDB into an error.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errPanicked, p)
		}
	}()
	return fn()
}

// quiet makes the TSDB's daily business a matter for debugging; its warnings and errors stay.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quieter(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func quieter(l slog.Level) slog.Level {
	if l < slog.LevelWarn {
		return slog.LevelDebug
	}
	return l
}
