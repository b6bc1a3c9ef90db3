// Package spool keeps an agent's reports on its disk until the collector has them, and after that for as long as the
// collector may want to see them again. Reports are appended to segments, files of a few MiB that are never changed but
// at their end; each record carries its own checksums, so that damage costs the record it is in and nothing else. The
// spool holds to a number of bytes: when that is reached, whole segments go, oldest first.
//
//	v2-<number>-<salt>.segment   records, see record.go; v1 of earlier releases are read
//	state-0, state-1             what is acknowledged, what was dropped; see state.go
//	lock                         held by the one process that uses the spool
package spool

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Errors a caller can act on; test with errors.Is.
var (
	// ErrFull: the disk has too little room. Nothing was written; what is in the spool is unharmed. Try again later.
	ErrFull = errors.New("disk is full")
	// ErrLocked: another process uses the spool.
	ErrLocked = errors.New("spool is in use by another process")
	// ErrNewer: the spool was written by a newer release.
	ErrNewer = errors.New("spool was written by a newer release")
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("spool is closed")
	// ErrOrder: a report does not come after the one before it by epoch and sequence.
	ErrOrder = errors.New("report is not newer than the last")
)

// Defaults of Options.
const (
	DefaultMaxBytes     = 256 << 20
	DefaultSegmentBytes = 4 << 20
	DefaultKeep         = 24 * time.Hour
	DefaultReserve      = 64 << 20
)

// maxSegmentBytes bounds what Open reads into memory at once.
const maxSegmentBytes = 64 << 20

// Options of a spool; every zero field has a default.
type Options struct {
	// MaxBytes is the most all segments take together, at least twice SegmentBytes.
	MaxBytes int64
	// SegmentBytes is where a segment ends and the next begins. No report may be larger. At most 64 MiB. Its default
	// is an eighth of MaxBytes when that is less than DefaultSegmentBytes.
	SegmentBytes int64
	// Keep is how long reports are kept after they were made although they are acknowledged. They may be kept longer:
	// they go when room is needed.
	Keep time.Duration
	// Reserve is the free space, in bytes, that the spool leaves to others on its disk; negative for none.
	Reserve int64
	// Free tells how many bytes the disk of dir has free for this process. Its default asks the operating system.
	Free func(dir string) (uint64, error)
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = min(DefaultSegmentBytes, o.MaxBytes/8)
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.Free == nil {
		o.Free = freeBytes
	}
	if o.SegmentBytes <= 0 || o.SegmentBytes > maxSegmentBytes {
		return o, fmt.Errorf("segment size: want 1 to %d bytes, got %d", maxSegmentBytes, o.SegmentBytes)
	}
	if o.MaxBytes < 2*o.SegmentBytes {
		return o, fmt.Errorf("spool size: want at least two segments (%d bytes), got %d", 2*o.SegmentBytes, o.MaxBytes)
	}
	return o, nil
}

// Item is one report as the spool holds it.
type Item struct {
	Epoch, Sequence uint64
	MadeAt          time.Time
	// Report is the caller's own copy, but for the bytes of shape IDs, which are shared. Its Shapes are empty: Spool.Shape
	// finds them.
	Report *wire.Report
}

// Spool is an open spool. It is safe for concurrent use and has no goroutines of its own.
type Spool struct {
	dir  string
	o    Options
	disk disk
	lock io.Closer

	mu       sync.Mutex
	closed   bool
	segments []*segment // ascending by number
	current  file       // the last segment's, nil when the next Append begins a new one
	base     *base      // in the last segment; nil before the first report is appended
	cached   cached
	bytes    int64
	state    state
	unsaved  int // acknowledgements that state does not hold yet
	notes    []string
}

// Open opens the spool in dir, makes it if there is none, and repairs what a crash left: an incomplete record at the
// end is cut off, damage elsewhere is stepped over; Notes says what was found. One process at a time: ErrLocked.
func Open(dir string, o Options) (*Spool, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("open spool %s: %w: stop the other agent, or give this one a directory of its own", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open spool: lock it: %w", err)
	}
	s, err := open(dir, osDisk(dir), o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), lock.Close())
	}
	s.lock = lock
	return s, nil
}

// open reads what is on d; o has its defaults.
func open(dir string, d disk, o Options) (*Spool, error) {
	s := &Spool{dir: dir, o: o, disk: d}
	if err := s.loadState(); err != nil {
		return nil, err
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	if err := s.loadSegments(); err != nil {
		return nil, err
	}
	s.applyState()
	return s, nil
}

// Append adds r to the spool; when it returns nil, r survives a power cut. shapes finds the shapes that r's ok blocks
// refer to (wire.Builder.Shape); the spool keeps them with r, once per segment. r must come after the report before it
// (see Last), and is neither kept nor changed.
//
// Errors wrap ErrFull when the disk has no room, ErrOrder when r is not newer. After an error r is not in the spool, or
// is there as if Append had succeeded; it may be appended again.
func (s *Spool) Append(r *wire.Report, shapes func(id []byte) (*wire.Shape, bool)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append(r, shapes); err != nil {
		return fmt.Errorf("spool report %d of epoch %d: %w", r.GetSequence(), r.GetEpoch(), err)
	}
	return nil
}

func (s *Spool) append(r *wire.Report, shapes func(id []byte) (*wire.Shape, bool)) error {
	if s.closed {
		return ErrClosed
	}
	epoch, sequence := s.last()
	if r.GetEpoch() < epoch || r.GetEpoch() == epoch && r.GetSequence() <= sequence {
		return fmt.Errorf("%w, which was %d of epoch %d: begin a new, larger epoch", ErrOrder, sequence, epoch)
	}
	rec, err := s.recordOf(r, shapes, s.current == nil)
	if err != nil {
		return err
	}
	if s.current != nil && s.tail().size+int64(rec.size()) > s.o.SegmentBytes {
		s.seal()
		if rec, err = s.recordOf(r, shapes, true); err != nil {
			return err
		}
	}
	need := int64(rec.size())
	if need > s.o.SegmentBytes {
		return fmt.Errorf("it takes %d bytes and a segment holds %d: report less at once, or raise the segment size", need,
			s.o.SegmentBytes)
	}
	if err := s.makeRoom(need, r.GetMadeAtMs()); err != nil {
		return err
	}
	if s.current == nil {
		if err := s.begin(); err != nil {
			return noRoom(err)
		}
	}
	return noRoom(s.write(rec))
}

// begin creates the next segment.
func (s *Spool) begin() error {
	seg := newSegment(segmentVersion)
	seg.number, seg.salt = s.state.LastSegment+1, rand.Uint64()
	if t := s.tail(); t != nil {
		seg.number = max(seg.number, t.number+1)
	}
	f, err := s.disk.Open(seg.name(), true)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	if err := s.disk.Sync(); err != nil {
		return errors.Join(fmt.Errorf("create segment: %w", err), f.Close(), s.disk.Remove(seg.name()))
	}
	s.current = f
	s.segments = append(s.segments, seg)
	return nil
}

// write puts rec at the end of the last segment. On failure the segment ends where it did before, and is not written
// to again: after a failed fsync nobody knows what is on the disk (a retry can report success and be wrong).
func (s *Spool) write(rec record) error {
	seg := s.tail()
	_, err := s.current.WriteAt(rec.encode(seg.salt, seg.size), seg.size)
	if err == nil {
		err = s.current.Sync()
	}
	if err != nil {
		err = errors.Join(err, s.current.Truncate(seg.size))
		s.seal()
		if seg.size == 0 && s.disk.Remove(seg.name()) == nil {
			s.segments = s.segments[:len(s.segments)-1]
		}
		return err
	}
	offset := seg.size
	seg.add(rec, offset, rec.size())
	s.bytes += int64(rec.size())
	if rec.frame != nil {
		s.base = &base{frame: rec.frame, offset: offset, name: rec.name}
		s.cached = cached{seg.number, offset, rec.frame}
		return nil
	}
	s.base.leaned++
	return nil
}

// seal ends the last segment: the next Append begins a new one.
func (s *Spool) seal() {
	if s.current != nil {
		// Every record in it was synced when it was written: nothing depends on this.
		_ = s.current.Close()
		s.current = nil
	}
}

// noRoom makes the system's word for a full disk ours.
func noRoom(err error) error {
	if err == nil || !isFull(err) {
		return err
	}
	return fmt.Errorf("%w: %w: make room on the spool's disk; the agent goes on by itself", ErrFull, err)
}

// tail is the last segment, nil when there is none.
func (s *Spool) tail() *segment {
	if len(s.segments) == 0 {
		return nil
	}
	return s.segments[len(s.segments)-1]
}

// Last names the newest report ever appended, so that the next can come after it; zeros when there was none.
func (s *Spool) Last() (epoch, sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last()
}

func (s *Spool) last() (epoch, sequence uint64) {
	epoch, sequence = s.state.LastEpoch, s.state.LastSequence
	for i := len(s.segments) - 1; i >= 0; i-- {
		if e, ok := s.segments[i].newest(); ok {
			if e.epoch > epoch || e.epoch == epoch && e.sequence > sequence {
				return e.epoch, e.sequence
			}
			break
		}
	}
	return epoch, sequence
}

// SetKeep changes Options.Keep: the collector tells on Ack how far back its rules look.
func (s *Spool) SetKeep(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Keep = max(d, 0)
}

// Notes says, for a log, what was repaired or found damaged since Open, oldest first.
func (s *Spool) Notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.notes...)
}

func (s *Spool) note(format string, args ...any) {
	const enough = 100 // a disk that rots does not get to fill the memory as well
	if len(s.notes) < enough {
		s.notes = append(s.notes, fmt.Sprintf(format, args...))
	}
}

// Close writes down what is acknowledged and lets go of the spool. Closing twice is allowed.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.unsaved > 0 {
		errs = append(errs, s.saveState())
	}
	s.seal()
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close spool %s: %w", s.dir, err)
	}
	return nil
}
