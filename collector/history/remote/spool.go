package remote

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	segmentSuffix = ".segment"
	// rollAfter is how old the segment in use may get, so that old samples can be let go of.
	rollAfter = time.Hour
)

// position is a place in the spool: behind so many bytes of a segment.
type position struct {
	Segment int   `json:"segment"`
	Offset  int64 `json:"offset"`
}

// segment is one file of the spool.
type segment struct {
	n int
	// bytes of it are whole frames; samples are in those, and before are in all segments before it.
	bytes           int64
	samples, before uint64
	// first and last are when its first and last frames were written.
	first, last time.Time
}

// spool is the log that all targets read. One goroutine writes; several read.
type spool struct {
	dir          string
	segmentBytes int64

	mu       sync.Mutex
	opened   bool
	segments []*segment // oldest first
	// active is the last segment's file, nil when the next write begins another one, which gets the number next.
	active *os.File
	next   int
	dirty  bool
	// cut is how many bytes at segments' ends could not be read when it was opened: how many samples that were is not known.
	cut int64
	// total is how many samples were ever written, as far as this process knows.
	total uint64
	// changed is closed when there is more to read.
	changed chan struct{}
}

func newSpool(dir string) *spool { return &spool{dir: dir, changed: make(chan struct{})} }

func (s *spool) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

func (s *spool) file(n int) string {
	return filepath.Join(s.dir, fmt.Sprintf("%08d%s", n, segmentSuffix))
}

// open finds the segments that are there; what is torn at their ends is not read. New ones get numbers from first on at
// least: a cursor may be ahead of what a power cut left.
func (s *spool) open(first int) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("open remote write's spool: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments, s.next, s.cut = nil, max(first, 1), 0
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n < 1 {
			continue
		}
		g, err := s.scan(n)
		if err != nil {
			return fmt.Errorf("open remote write's spool: %w", err)
		}
		if info, err := os.Stat(s.file(n)); err == nil {
			s.cut += info.Size() - g.bytes
		}
		s.segments = append(s.segments, g)
		s.next = max(s.next, n+1)
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return a.n - b.n })
	for _, g := range s.segments {
		g.before = s.total
		s.total += g.samples
	}
	s.opened = true
	return nil
}

// scan reads the headers of a segment's frames, as far as they are whole.
func (s *spool) scan(n int) (*segment, error) {
	f, err := os.Open(s.file(n))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	g := &segment{n: n, first: info.ModTime(), last: info.ModTime()}
	magic := make([]byte, len(segmentMagic))
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != segmentMagic {
		return g, nil // nothing in it can be read
	}
	g.bytes = int64(len(segmentMagic))
	var head [headerBytes]byte
	for {
		if _, err := f.ReadAt(head[:], g.bytes); err != nil {
			break
		}
		h, err := parseHeader(head[:])
		end := g.bytes + headerBytes + int64(h.length)
		if err != nil || end > info.Size() {
			break
		}
		g.bytes = end
		g.count(int(h.samples), time.UnixMilli(h.at))
	}
	return g, nil
}

// count adds a frame.
func (g *segment) count(samples int, at time.Time) {
	if g.samples == 0 {
		g.first = at
	}
	g.samples, g.last = g.samples+uint64(samples), at
}

// begin makes sure that there is a segment to write to, with room in it; fresh tells that it is another one than before,
// which knows no series.
func (s *spool) begin(now time.Time) (fresh bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active != nil {
		g := s.segments[len(s.segments)-1]
		if g.bytes < s.segmentBytes && (g.samples == 0 || now.Sub(g.first) < rollAfter) {
			return false, nil
		}
		if err := s.seal(); err != nil {
			return true, err
		}
	}
	f, err := os.OpenFile(s.file(s.next), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return true, fmt.Errorf("begin a segment of remote write's spool: %w", err)
	}
	if _, err := f.WriteString(segmentMagic); err != nil {
		return true, errors.Join(fmt.Errorf("begin a segment of remote write's spool: %w", err), f.Close(), os.Remove(f.Name()))
	}
	s.segments = append(s.segments, &segment{n: s.next, bytes: int64(len(segmentMagic)), before: s.total, first: now, last: now})
	s.active, s.next, s.dirty = f, s.next+1, true
	return true, nil
}

// seal ends the segment in use. mu is held.
func (s *spool) seal() error {
	f := s.active
	s.active, s.dirty = nil, false
	if f == nil {
		return nil
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("end a segment of remote write's spool: %w", err)
	}
	return nil
}

// append writes frames that hold so many samples. When it fails nothing of them is read, and the next write begins another
// segment.
func (s *spool) append(frames []byte, samples int, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.segments[len(s.segments)-1]
	if _, err := s.active.WriteAt(frames, g.bytes); err != nil {
		return errors.Join(fmt.Errorf("write to remote write's spool: %w", err), s.active.Truncate(g.bytes), s.seal())
	}
	g.bytes += int64(len(frames))
	g.count(samples, now)
	s.total += uint64(samples)
	s.dirty = true
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// sync makes what was written safe from a power cut.
func (s *spool) sync() error {
	s.mu.Lock()
	f, dirty := s.active, s.dirty
	s.dirty = false
	s.mu.Unlock()
	if f == nil || !dirty {
		return nil
	}
	return f.Sync()
}

// end is where the next sample will be.
func (s *spool) end() position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		return position{Segment: s.next}
	}
	g := s.segments[len(s.segments)-1]
	return position{g.n, g.bytes}
}

// written is how many samples were ever written.
func (s *spool) written() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// size is how many bytes the segments have.
func (s *spool) size() (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		bytes += g.bytes
	}
	return bytes
}

// at is a copy of the segment n, or of the first one behind it when n is gone; false when there is none. sealed tells that
// it does not grow any more, more is closed when there is more to read.
func (s *spool) at(n int) (g segment, sealed, ok bool, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.segments, n, func(g *segment, n int) int { return g.n - n })
	if i == len(s.segments) {
		return segment{}, false, false, s.changed
	}
	return *s.segments[i], i < len(s.segments)-1 || s.active == nil, true, s.changed
}

// before is how many samples lie before the segment of a position.
func (s *spool) before(p position) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range s.segments {
		switch {
		case g.n == p.Segment && i == len(s.segments)-1 && p.Offset == g.bytes:
			return s.total
		case g.n >= p.Segment:
			return g.before
		}
	}
	return s.total
}

// loss is a segment that was dropped although a target needed it.
type loss struct {
	because string
	samples uint64
	written time.Time
}

// trim removes segments before needed, and the oldest until the rest keeps to both bounds; those that were needed it answers.
func (s *spool) trim(needed int, bytes int64, oldest time.Time) (lost []loss) {
	size := s.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.segments) > 0 {
		g := s.segments[0]
		because := ""
		switch {
		case len(s.segments) == 1 && s.active != nil:
			return lost
		case g.n < needed:
		case size > bytes:
			because = "remote_write_spool.size"
		case g.last.Before(oldest):
			because = "remote_write_spool.age"
		default:
			return lost
		}
		if err := os.Remove(s.file(g.n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return lost // Windows lets nobody remove what is read: it is tried again
		}
		if because != "" && g.samples > 0 {
			lost = append(lost, loss{because, g.samples, g.last})
		}
		size -= g.bytes
		s.segments = s.segments[1:]
	}
	return lost
}

// close ends the segment in use. The spool can be opened again.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = false
	return s.seal()
}

// remove closes the spool and removes all of it.
func (s *spool) remove() error {
	errs := []error{s.close()}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		errs = append(errs, os.Remove(s.file(g.n)))
	}
	s.segments = nil
	return errors.Join(errs...)
}
