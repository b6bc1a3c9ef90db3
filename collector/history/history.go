// Package history keeps the recent samples on disk, in Prometheus' TSDB, as the source of graphs and of the charts in a
// ticket's evidence. Rules never read it, and nothing here ever stops the collector: when the disk is full or the files
// are damaged there is less history, and a metric, a log line and ErrUnavailable say so.
//
//	Append ─► queue ─► Run: known series by reference, new ones by their labels ─► one commit for all that waits
//
// In steady state a sample is written by the reference of its series: no label set is made, hashed or looked up. On 2
// shared cores, noisy, a thousand samples take 0.3 ms CPU so; figures with what is before it are in collector/README.md.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// Errors a caller can act on; test with errors.Is.
var (
	// ErrLocked: another process has the directory.
	ErrLocked = errors.New("history is in use by another process")
	// ErrUnavailable: there is no history to read now. Run opens it as soon as it can.
	ErrUnavailable = errors.New("history is not available")
	// ErrTooMany: the matchers select more than MaxCurves series.
	ErrTooMany = errors.New("too many series")
)

// Unbounded is an Options.MaxBytes.
const Unbounded = -1

// Options says how a History works; the zero value of everything is a default.
type Options struct {
	// Retention is how long samples are kept at least; 15 days by default, 30 min at least. As late, up to four days, they
	// may come.
	Retention time.Duration
	// MaxBytes bounds what is on disk, oldest dropped first; 4 GiB by default, Unbounded for as much as Retention takes.
	MaxBytes int64
	// MinFree is the free space, in bytes, below which nothing is written, and twice that below which nothing is opened;
	// the smaller of 256 MiB and a twentieth of the file system by default.
	MinFree uint64
	// OpenAfter is how long Run waits before it reads back what is there; Open reads it when this is zero. Two million
	// series take half a minute of both processors of a small machine, which a fleet that comes back needs more. Until
	// then samples wait in the queue, and reading gives ErrUnavailable.
	OpenAfter time.Duration
	// Queue is how many samples may wait to be written; four million by default, which take 32 MB.
	Queue int
	// Lost is told of samples of reports that were taken from Append and not written: whose, of which time, how many. It must
	// not block, and may be called by several goroutines at once.
	Lost       func(asset string, from, to time.Time, samples int)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	o.Retention = max(cmp.Or(o.Retention, 15*24*time.Hour), 30*time.Minute)
	o.MaxBytes = cmp.Or(o.MaxBytes, 4<<30)
	o.Queue = cmp.Or(o.Queue, 4<<20)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// History is the recent samples on disk. Its methods may be called from several goroutines.
type History struct {
	o       Options
	dir     string
	metrics *metrics
	queue   chan *batch
	// waiting is how many samples are in queue.
	waiting atomic.Int64
	// unwritten is how many samples were taken and are neither written nor dropped; failing is what is wrong when the last
	// attempt at it failed, else nil.
	unwritten atomic.Int64
	failing   atomic.Pointer[failure]
	// spare are batches that are not in use. Their room stays with them: a report is queued without an allocation.
	spare sync.Pool
	// known belongs to the goroutine that writes.
	known references

	// over says that more is on disk than may be. It belongs to whoever does the upkeep.
	over bool

	// shelf is what is open, nil when nothing is.
	shelf atomic.Pointer[shelf]

	// mu guards opening and closing.
	mu     sync.Mutex
	lock   *tsdbutil.DirLocker
	closed bool
	lost   int
	// free is how much may be written: free and total bytes of the file system that holds a path.
	free func(path string) (free, total uint64, err error)
}

// shelf is one opened TSDB. Readers hold a read lock, so that it is not unmapped under them.
type shelf struct {
	db      *tsdb.DB
	metrics *prometheus.Registry
	readers sync.RWMutex
	// stop ends a merge of blocks that goes on; none is begun after it.
	stop context.CancelFunc
}

// Open opens the history in dir, making it when there is none. What is damaged is repaired, or moved aside to
// dir/tsdb.damaged-TIME for an empty one; what cannot be opened now, on a full disk for one, is opened by Run later: only
// ErrLocked and a mistake in the options are errors. The TSDB's own goroutines run from here to Close, the one thing
// in this house that a constructor starts.
func Open(dir string, o Options) (*History, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	m.bound.Set(float64(max(o.MaxBytes, 0)))
	h := newHistory(dir, o, m)
	first := h.begin
	if o.OpenAfter > 0 {
		first = h.claim
	}
	if err := first(); errors.Is(err, ErrLocked) {
		return nil, err
	} else if err != nil {
		h.cannotOpen(err)
	}
	return h, nil
}

// failure is why nothing is written, and since when.
type failure struct {
	since time.Time
	err   error
}

// Well tells whether what is appended now will be written soon.
func (h *History) Well() bool { return h.shelf.Load() != nil && h.Behind() == nil }

// Behind says why the newest samples cannot be read although the history may be open: it could not be written last time, or
// much waits to be. The text names no path: it is told to who queries. Nil where all is well.
func (h *History) Behind() error {
	if f := h.failing.Load(); f != nil {
		why := "see the collector's log"
		if errno, ok := errors.AsType[syscall.Errno](f.err); ok {
			why = errno.Error()
		}
		return fmt.Errorf("history takes no samples since %s: %s", f.since.UTC().Format(time.RFC3339), why)
	}
	if n := h.waiting.Load(); n >= int64(h.o.Queue)/2 || len(h.queue) >= cap(h.queue)/2 {
		return fmt.Errorf("history is behind: %d samples wait to be written", n)
	}
	return nil
}

// Settled tells whether nothing waits to be written.
func (h *History) Settled() bool { return h.unwritten.Load() == 0 }

// begin opens what is there.
func (h *History) begin() error {
	_, err := h.ready()
	return err
}

// claim takes the directory, so that no other process can, and opens nothing.
func (h *History) claim() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takeLock()
}

func (h *History) cannotOpen(err error) {
	h.o.Logger.Error("history cannot be opened; the collector runs without it and tries again", "dir", h.dir, "err", err)
}

func newHistory(dir string, o Options, m *metrics) *History {
	return &History{o: o, dir: dir, metrics: m, queue: make(chan *batch, maxBatches), free: freeSpace}
}

// Close closes the files, when Run has returned and those who read are done. A History that was closed stays closed.
func (h *History) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	if s := h.shelf.Swap(nil); s != nil {
		errs = append(errs, h.shut(s))
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Release())
		h.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close history %s: %w", h.dir, err)
	}
	return nil
}

// shut closes s when its readers are gone.
func (h *History) shut(s *shelf) error {
	s.stop()
	s.readers.Lock()
	defer s.readers.Unlock()
	h.metrics.closed(s.metrics)
	return guarded(s.db.Close)
}

// path is where the TSDB lies; the lock lies beside it, so that a damaged one can be moved away under the lock.
func (h *History) path() string { return filepath.Join(h.dir, "tsdb") }
