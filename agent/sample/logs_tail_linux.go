package sample

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tailAtOnce bounds what is read of one file at a time; the next reading goes on there.
	tailAtOnce = 1 << 20
	// tailBehind is from where on reading on is given up and only the newest tailAtOnce is read.
	tailBehind = 8 << 20
	// tailLine is the longest line that is looked at whole; of a longer one the rest is not looked at.
	tailLine = 16 << 10
	// tailHead is how much of a file's beginning tells it from another one.
	tailHead = 256
	// tailRotated is how long a file that was rotated away is still read: its writer may not have noticed.
	tailRotated = time.Minute
	// tailOld bounds the files that were rotated away and are still read, of one name.
	tailOld = 4
)

// errNotRegular is no file to be followed.
var errNotRegular = errors.New("not a regular file")

// logFile is a file below a directory that the operator named. What the name leads to never leaves dir, whatever links
// there are below it (os.Root); dir itself may be reached through links, for it is the operator's.
type logFile struct{ dir, name string }

func (l logFile) String() string { return path.Join(l.dir, l.name) }

// stat says what the name leads to now.
func (l logFile) stat(h host) (os.FileInfo, error) {
	root, err := os.OpenRoot(h.root(l.dir))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Stat(l.name)
}

// open opens a regular file and nothing else: opening a pipe would wait for its writer.
func (l logFile) open(h host) (*os.File, os.FileInfo, error) {
	root, err := os.OpenRoot(h.root(l.dir))
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(l.name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", l, errNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// tailPosition is how far a file was read, and which file that was.
type tailPosition struct {
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Offset is the beginning of the next line; Long says that it lies within a line too long to be looked at.
	Offset int64 `json:"offset"`
	Long   bool  `json:"long,omitempty"`
	// Head is a hash of the first HeadBytes.
	Head      uint64 `json:"head"`
	HeadBytes int64  `json:"head_bytes"`
}

// tailPlace is what of a tail must survive a restart: how far the file that has the name was read, and those that had it
// before and are not done with.
type tailPlace struct {
	tailPosition
	Old []tailPosition `json:"old,omitempty"`
}

func (p tailPlace) equal(other tailPlace) bool {
	return p.tailPosition == other.tailPosition && slices.Equal(p.Old, other.Old)
}

// tailOpen is an open file that is read on.
type tailOpen struct {
	f    *os.File
	at   tailPosition
	size int64 // when it was last read; -1: not yet
	more bool  // there is more than one reading takes
}

// tail follows one name through rotations: renamed and made anew, or copied and truncated.
type tail struct {
	host
	file logFile
	now  *tailOpen
	// old are the files that had the name before, the oldest first.
	old []rotated
	// gone is since when nothing has the name.
	gone time.Time
	// skipped counts bytes that were not looked at because there was too much.
	skipped int64
}

// rotated is a file that is read until it is done with, and not before a time: its writer may not have noticed.
type rotated struct {
	*tailOpen
	until time.Time
}

func identity(info os.FileInfo) (device, inode uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev, st.Ino
	}
	return 0, 0
}

// openTail begins at the end of the file, or at its beginning.
func openTail(h host, file logFile, fromStart bool) (*tail, error) {
	f, info, err := file.open(h)
	if err != nil {
		return nil, err
	}
	t := &tail{host: h, file: file, now: newTailOpen(f, info)}
	if !fromStart {
		// In the middle of a line, perhaps; what is left of it is not a line.
		t.now.at.Offset = info.Size()
		t.now.at.Long = info.Size() > 0 && !endsInNewline(f, info.Size())
	}
	return t, nil
}

func endsInNewline(f *os.File, size int64) bool {
	var b [1]byte
	n, err := f.ReadAt(b[:], size-1)
	return n == 1 && (err == nil || errors.Is(err, io.EOF)) && b[0] == '\n'
}

// resumeTail begins where p says: in the file of that name, and in those that have been renamed since. Where nothing has
// the name for the moment, the one that had it is read on.
func resumeTail(h host, file logFile, p tailPlace, now time.Time) (*tail, error) {
	t := &tail{host: h, file: file}
	f, info, err := file.open(h)
	if err != nil {
		if !noSuchFile(err) {
			return nil, err
		}
		if t.now = findRenamed(h, file, p.tailPosition); t.now == nil {
			return nil, err
		}
		t.gone = now
	} else {
		t.now = newTailOpen(f, info)
		dev, ino := identity(info)
		if dev == p.Device && ino == p.Inode {
			t.now.at = p.tailPosition
		} else {
			p.Old = append(slices.Clone(p.Old), p.tailPosition)
		}
	}
	for _, at := range p.Old {
		if o := findRenamed(h, file, at); o != nil {
			t.putAside(o, now)
		}
	}
	return t, nil
}

// putAside reads on in a file that has lost its name.
func (t *tail) putAside(o *tailOpen, now time.Time) {
	if len(t.old) == tailOld {
		t.old[0].f.Close()
		t.old = slices.Delete(t.old, 0, 1)
	}
	t.old = append(t.old, rotated{o, now.Add(tailRotated)})
}

// place is where a restart has to go on.
func (t *tail) place() tailPlace {
	p := tailPlace{tailPosition: t.now.at}
	for _, o := range t.old {
		p.Old = append(p.Old, o.at)
	}
	return p
}

func newTailOpen(f *os.File, info os.FileInfo) *tailOpen {
	o := &tailOpen{f: f, size: -1}
	o.at.Device, o.at.Inode = identity(info)
	return o
}

// findRenamed looks for the file of p beside the one that has its name now: log.1, log-20261121.
func findRenamed(h host, file logFile, p tailPosition) *tailOpen {
	dir, base := path.Split(file.name)
	names, _, err := readNames(h, logFile{file.dir, path.Clean(dir)}, maxLogNames)
	if err != nil {
		return nil
	}
	for _, n := range names {
		if n == base || !strings.HasPrefix(n, strings.TrimSuffix(base, path.Ext(base))) {
			continue
		}
		f, info, err := logFile{file.dir, path.Join(dir, n)}.open(h)
		if err != nil {
			continue
		}
		if dev, ino := identity(info); dev == p.Device && ino == p.Inode {
			return &tailOpen{f: f, at: p, size: -1}
		}
		f.Close()
	}
	return nil
}

// read gives every whole line that is new to line, without its end. It returns fs.ErrNotExist when nothing has had the
// name for tailRotated; until then a file is missed only by its name.
func (t *tail) read(now time.Time, line func(string)) error {
	t.old = slices.DeleteFunc(t.old, func(o rotated) bool {
		err := t.readOn(o.tailOpen, line)
		done := err != nil || !now.Before(o.until) && !o.more
		if done {
			o.f.Close()
		}
		return done
	})
	if err := t.readOn(t.now, line); err != nil || t.now.more {
		return err
	}
	info, err := t.file.stat(t.host)
	if err != nil {
		return t.missing(now, err)
	}
	t.gone = time.Time{}
	if dev, ino := identity(info); dev == t.now.at.Device && ino == t.now.at.Inode {
		return nil
	}
	f, info, err := t.file.open(t.host)
	if err != nil {
		return t.missing(now, err)
	}
	t.putAside(t.now, now)
	t.now = newTailOpen(f, info)
	return t.readOn(t.now, line)
}

// missing bears for a while that there is no file of that name: a rotation takes a moment.
func (t *tail) missing(now time.Time, err error) error {
	if !noSuchFile(err) {
		return err
	}
	if t.gone.IsZero() {
		t.gone = now
	}
	if now.Sub(t.gone) < tailRotated {
		return nil
	}
	return err
}

func (t *tail) close() {
	t.now.f.Close()
	for _, o := range t.old {
		o.f.Close()
	}
}

// readOn reads what has been added to a file, at most tailAtOnce.
func (t *tail) readOn(o *tailOpen, line func(string)) error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size == o.size && !o.more {
		return nil // nothing new; a line without an end waits for it
	}
	if same, err := o.same(size); err != nil {
		return err
	} else if !same { // truncated, or written over
		o.at.Offset, o.at.Long, o.at.HeadBytes = 0, false, 0
	}
	if behind := size - o.at.Offset; behind > tailBehind {
		t.skipped += behind - tailAtOnce
		o.at.Offset, o.at.Long = size-tailAtOnce, true
	}
	b := make([]byte, min(size-o.at.Offset, tailAtOnce))
	n, err := o.f.ReadAt(b, o.at.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	o.lines(b[:n], line)
	o.size, o.more = size, n == tailAtOnce
	return o.remember(size)
}

// same says whether the file still is the one that was read: no shorter, and with the same beginning.
func (o *tailOpen) same(size int64) (bool, error) {
	if size < o.at.Offset {
		return false, nil
	}
	if o.at.HeadBytes == 0 {
		return true, nil
	}
	head, n, err := headOf(o.f, o.at.HeadBytes)
	return head == o.at.Head && n == o.at.HeadBytes, err
}

// remember takes note of the file's beginning as soon as it is there.
func (o *tailOpen) remember(size int64) (err error) {
	if o.at.HeadBytes < min(size, tailHead) {
		o.at.Head, o.at.HeadBytes, err = headOf(o.f, min(size, tailHead))
	}
	return err
}

func headOf(f *os.File, n int64) (uint64, int64, error) {
	b := make([]byte, n)
	got, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	h := fnv.New64a()
	h.Write(b[:got])
	return h.Sum64(), int64(got), nil
}

// lines gives the whole lines of b, which begins at the offset, and moves it behind them.
func (o *tailOpen) lines(b []byte, line func(string)) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			if len(b) < tailLine && !o.at.Long {
				return // its end is not written yet
			}
			if !o.at.Long {
				line(string(b[:tailLine]))
			}
			o.at.Offset, o.at.Long = o.at.Offset+int64(len(b)), true
			return
		}
		if !o.at.Long {
			line(string(b[:min(end, tailLine)]))
		}
		o.at.Offset, o.at.Long, b = o.at.Offset+int64(end)+1, false, b[end+1:]
	}
}
