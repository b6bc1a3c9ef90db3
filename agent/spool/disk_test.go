package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

var errPower = errors.New("power is cut")

// powerDisk is a disk in memory that keeps apart what was written and what was synced. It can fail any operation, and
// be cut off at any operation: then of what was not synced some is there, some is not, and some is torn.
type powerDisk struct {
	mu      sync.Mutex
	names   map[string]*inode // as the running system sees them
	durable map[string]*inode // as they are after a power cut for sure
	// left is the number of changing operations until the power goes; negative: never.
	left int
	// fail is asked before every operation; it may be nil.
	fail func(op, name string) error
}

// inode is a file's content; pending are the changes since the last sync, each a content in whole.
type inode struct {
	data    []byte
	safe    []byte
	pending []change
}

type change struct {
	offset int64
	data   []byte // nil: truncate to offset
}

func newPowerDisk() *powerDisk {
	return &powerDisk{names: map[string]*inode{}, durable: map[string]*inode{}, left: -1}
}

// step accounts for one operation; d.mu is held.
func (d *powerDisk) step(op, name string, changes bool) error {
	if d.left == 0 {
		return errPower
	}
	if d.fail != nil {
		if err := d.fail(op, name); err != nil {
			return err
		}
	}
	if changes && d.left > 0 {
		d.left--
	}
	return nil
}

// cut is the power failing and coming back.
func (d *powerDisk) cut(r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	after := maps.Clone(d.durable)
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if d.durable[name] == nil && r.IntN(2) == 0 {
			after[name] = d.names[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		if d.names[name] == nil && r.IntN(2) == 0 {
			delete(after, name)
		}
	}
	for _, n := range after {
		for _, c := range n.pending {
			n.safe = c.survive(n.safe, r)
		}
		n.data, n.pending = bytes.Clone(n.safe), nil
	}
	d.names, d.durable, d.left = after, maps.Clone(after), -1
}

// survive is what a change left of itself: all, nothing, or some of its sectors, in any order.
func (c change) survive(b []byte, r *rand.Rand) []byte {
	switch r.IntN(4) {
	case 0:
		return b
	case 1:
		return c.apply(b)
	}
	if c.data == nil {
		return b
	}
	const sector = 64 // small, as the records of these tests are
	for from := 0; from < len(c.data); from += sector {
		to := min(from+sector, len(c.data))
		if r.IntN(2) == 0 {
			b = change{c.offset + int64(from), c.data[from:to]}.apply(b)
		}
	}
	return b
}

func (c change) apply(b []byte) []byte {
	b = bytes.Clone(b)
	if c.data == nil {
		if int64(len(b)) > c.offset {
			b = b[:c.offset]
		}
		return b
	}
	if grow := c.offset + int64(len(c.data)) - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[c.offset:], c.data)
	return b
}

func (d *powerDisk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.names)), d.step("list", "", false)
}

func (d *powerDisk) Open(name string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("open", name, create); err != nil {
		return nil, err
	}
	n := d.names[name]
	switch {
	case create && n != nil:
		return nil, fs.ErrExist
	case !create && n == nil:
		return nil, fs.ErrNotExist
	case create:
		n = &inode{}
		d.names[name] = n
	}
	return &powerFile{d: d, n: n, name: name}, nil
}

func (d *powerDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("remove", name, true); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.names, name)
	return nil
}

func (d *powerDisk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step("syncdir", "", true); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	return nil
}

// snapshot is a copy of the disk as the running system sees it, all of it durable.
func (d *powerDisk) snapshot() *powerDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newPowerDisk()
	for name, n := range d.names {
		c.names[name] = &inode{data: bytes.Clone(n.data), safe: bytes.Clone(n.data)}
	}
	c.durable = maps.Clone(c.names)
	return c
}

type powerFile struct {
	d    *powerDisk
	n    *inode
	name string
}

func (f *powerFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step("read", f.name, false); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt that fails has written half.
func (f *powerFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.step("write", f.name, true)
	if errors.Is(err, errPower) {
		return 0, err
	}
	if err != nil {
		p = p[:len(p)/2]
	}
	f.change(change{off, bytes.Clone(p)})
	return len(p), err
}

func (f *powerFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step("truncate", f.name, true); err != nil {
		return err
	}
	f.change(change{offset: size})
	return nil
}

func (f *powerFile) change(c change) {
	f.n.data = c.apply(f.n.data)
	f.n.pending = append(f.n.pending, c)
}

func (f *powerFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.step("sync", f.name, true); err != nil {
		return err
	}
	f.n.safe, f.n.pending = bytes.Clone(f.n.data), nil
	return nil
}

func (f *powerFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), f.d.step("stat", f.name, false)
}

func (f *powerFile) Close() error { return nil }
