package sample

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// kept is a small file of the kernel that is read again and again. It stays open, since to look up and open one of /proc
// costs more than to read it. Only for files that stay what they are while the host runs: what is replaced by another of
// the same name would go unseen. It is closed when it is no longer reachable.
type kept struct {
	path string
	file *os.File
	buf  []byte
}

func keep(path string) *kept { return &kept{path: path} }

// read returns the content as of now, which is valid until the next read.
func (k *kept) read() ([]byte, error) {
	if k.file != nil {
		if b, err := k.again(); err == nil {
			return b, nil
		}
		k.file.Close() // what it belonged to may have gone and come back
		k.file = nil
	}
	fd, err := open(k.path, 0)
	if err != nil {
		return nil, err
	}
	k.file = os.NewFile(uintptr(fd), k.path) //nolint:gosec // a descriptor
	b, err := k.again()
	if err != nil {
		k.file.Close()
		k.file = nil
	}
	return b, err
}

func (k *kept) again() ([]byte, error) {
	if k.buf == nil {
		k.buf = make([]byte, 4096) // most are smaller
	}
	n := 0
	for {
		m, err := k.file.ReadAt(k.buf[n:], int64(n))
		n += m
		switch {
		case errors.Is(err, io.EOF):
			return k.buf[:n], nil
		case err != nil:
			return nil, err
		case n > maxFile:
			return nil, tooLarge(k.path)
		}
		k.buf = append(k.buf, make([]byte, len(k.buf))...)
	}
}

// open opens for reading without registering the file with the runtime's poller, which os.Open tries for every file.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
		if err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// slurp is read into a buffer of the caller's, for the many small files that are not worth keeping open: it returns the
// content, which may lie in buf. It does not wait for the other end of a pipe.
func slurp(path string, buf []byte) ([]byte, error) {
	fd, err := open(path, unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf = buf[:cap(buf)]
	if len(buf) == 0 {
		buf = make([]byte, 512)
	}
	n := 0
	for {
		m, err := unix.Read(fd, buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		case m == 0:
			return buf[:n], nil
		}
		if n += m; n > maxFile {
			return nil, tooLarge(path)
		}
		if n == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

func tooLarge(path string) error {
	return fmt.Errorf("%s: larger than %d bytes, which no file of the kernel should be", path, maxFile)
}

// line cuts the first line off content, without its end.
func line(content []byte) (first, rest []byte) {
	if i := bytes.IndexByte(content, '\n'); i >= 0 {
		return content[:i], content[i+1:]
	}
	return content, nil
}

// word cuts the first word off a line; words are parted by blanks.
func word(s []byte) (first, rest []byte) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i++
	}
	j := i
	for j < len(s) && s[j] != ' ' && s[j] != '\t' && s[j] != '\n' {
		j++
	}
	return s[i:j], s[j:]
}

// decimal reads a whole number, of at most 19 digits or what else fits 64 bits.
func decimal(s []byte) (uint64, bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	var v uint64
	for _, c := range s {
		d := uint64(c - '0')
		if c < '0' || c > '9' || v > (1<<64-1-d)/10 {
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// signed is decimal with an optional minus.
func signed(s []byte) (float64, bool) {
	if rest, ok := bytes.CutPrefix(s, []byte("-")); ok {
		v, ok := decimal(rest)
		return -float64(v), ok
	}
	v, ok := decimal(s)
	return float64(v), ok
}

// whole is a decimal of a named file, with an error that says where it stood.
func whole(path, what string, s []byte) (float64, error) {
	v, ok := decimal(s)
	if !ok {
		return 0, fmt.Errorf("%s: %s: want a number, got %q", path, what, short(s))
	}
	return float64(v), nil
}

// short is as much of s as an error shows.
func short(s []byte) []byte { return s[:min(len(s), 80)] }

// value is the number in a file that holds nothing else, and whether there is such a file. Files of devices that are
// going away, or of drivers that do not know, count as not there.
func value(path string) (float64, bool, error) {
	var buf [64]byte
	content, err := slurp(path, buf[:])
	if absent(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	w, _ := word(content)
	v, ok := signed(w)
	if !ok {
		return 0, false, fmt.Errorf("%s: want a number, got %q", path, short(content))
	}
	return v, true, nil
}

// absent says whether err means that there is nothing to read: no such file, or a driver that does not tell.
func absent(err error) bool {
	for _, e := range []error{
		unix.ENOENT, unix.ENOTDIR, unix.ENODEV, unix.ENXIO, unix.EINVAL, unix.EOPNOTSUPP, unix.ENODATA, unix.EAGAIN, unix.EIO,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
