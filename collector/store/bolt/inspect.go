package bolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"github.com/watchbill/watchbill/collector/store"
)

// inspect reads the whole file and refuses it unless every page is where and what the pages above say. bbolt itself
// trusts its file: on a damaged one it panics in goroutines of its own, or faults, and that ends the process.
// While it reads it holds the lock that readers share.
func inspect(path string, o Options) error {
	var db *bbolt.DB
	err := guard(path, func() (err error) {
		db, err = openFile(path, bbolt.Options{Timeout: o.LockTimeout, ReadOnly: true})
		return err
	})
	switch {
	case errors.Is(err, store.ErrLocked):
		return err
	case err != nil:
		// bbolt does not always say that it is the file's fault.
		return cmp.Or(inspectFile(path), err)
	}
	return errors.Join(inspectFile(path), db.Close())
}

func inspectFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := inspectPages(f, info.Size()); err != nil {
		if errors.Is(err, errPage) {
			return store.Damaged(path, err.Error())
		}
		return fmt.Errorf("read %s: %w; look at the system's log for the disk's errors", path, err)
	}
	return nil
}

// errPage marks what is wrong with the file, as opposed to with reading it.
var errPage = errors.New("page")

func wrong(page uint64, format string, args ...any) error {
	return fmt.Errorf("%w %d: %s", errPage, page, fmt.Sprintf(format, args...))
}

// The layout of bbolt's file, version 2 (go.etcd.io/bbolt, internal/common: page.go, meta.go, bucket.go), in the
// machine's byte order. A page: id 8, flags 2, count 2, overflow 4. A meta page then: magic 4, version 4, page size 4,
// flags 4, root page 8, root sequence 8, free list 8, high-water mark 8, transaction 8, FNV-1a of all that 8. A branch
// element: position 4, key size 4, child 8. A leaf element: flags 4, position 4, key size 4, value size 4. Positions
// count from the element. A bucket's value: root page 8, sequence 8, and when the root is 0 a page follows.
const (
	pageHead     = 16
	elementSize  = 16
	bucketHead   = 16
	branchFlag   = 1
	leafFlag     = 2
	metaFlag     = 4
	leafBucket   = 1
	metaSize     = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	noFreelist   = ^uint64(0)
	maxTreeDepth = 64
)

var order = binary.NativeEndian

// inspection is one walk over a file.
type inspection struct {
	file     io.ReaderAt
	pageSize uint64
	// high is the high-water mark: the first page after the last that was ever used.
	high uint64
	// seen has a bit for every page that was reached.
	seen []uint64
}

func inspectPages(file io.ReaderAt, size int64) error {
	in, root, err := readMetas(file, size)
	if err != nil {
		return err
	}
	in.seen = make([]uint64, in.high/64+1)
	return in.page(root, nil, nil, 0)
}

// meta is what counts in a meta page.
type meta struct{ root, free, high, txid uint64 }

// readMetas checks both meta pages. bbolt makes do with one, and goes back to the transaction before the last when the
// newer page is damaged; but a commit is acknowledged when its meta page is on the disk, so that would lose it. A power
// cut leaves no damaged meta page: what counts lies in one sector.
func readMetas(file io.ReaderAt, size int64) (*inspection, uint64, error) {
	head := make([]byte, pageHead+metaSize)
	if _, err := file.ReadAt(head, 0); err == io.EOF {
		return nil, 0, wrong(0, "the file has %d bytes", size)
	} else if err != nil {
		return nil, 0, err
	}
	pageSize := uint64(order.Uint32(head[pageHead+8:]))
	if pageSize < 512 || pageSize > 1<<24 || pageSize&(pageSize-1) != 0 {
		return nil, 0, wrong(0, "it gives pages of %d bytes", pageSize)
	}
	var metas [2]meta
	for i := range metas {
		if _, err := file.ReadAt(head, int64(uint64(i)*pageSize)); err == io.EOF {
			return nil, 0, wrong(uint64(i), "the file ends before it")
		} else if err != nil {
			return nil, 0, err
		}
		m, err := readMeta(uint64(i), head, pageSize)
		if err != nil {
			return nil, 0, err
		}
		metas[i] = m
	}
	newest, older := metas[0], metas[1]
	if older.txid > newest.txid {
		newest, older = older, newest
	}
	switch {
	case newest.txid != older.txid+1:
		return nil, 0, wrong(0, "the last two transactions are %d and %d", older.txid, newest.txid)
	case newest.free != noFreelist:
		return nil, 0, wrong(0, "it names a list of free pages, which this store never has")
	case newest.high < 3 || newest.high > uint64(size)/pageSize:
		return nil, 0, wrong(0, "%d pages are in use and the file has %d: it was cut short", newest.high,
			uint64(size)/pageSize)
	}
	return &inspection{file: file, pageSize: pageSize, high: newest.high}, newest.root, nil
}

func readMeta(i uint64, b []byte, pageSize uint64) (meta, error) {
	body := b[pageHead:]
	sum := fnv.New64a()
	sum.Write(body[:metaSize-8])
	switch {
	case order.Uint64(b) > 1 || order.Uint16(b[8:]) != metaFlag:
		return meta{}, wrong(i, "is not a meta page")
	case order.Uint32(body) != metaMagic || order.Uint32(body[4:]) != metaVersion:
		return meta{}, wrong(i, "is not of a store")
	case order.Uint64(body[metaSize-8:]) != sum.Sum64():
		return meta{}, wrong(i, "does not match its checksum")
	case uint64(order.Uint32(body[8:])) != pageSize:
		return meta{}, wrong(i, "gives another page size than page 0")
	}
	return meta{
		root: order.Uint64(body[16:]),
		free: order.Uint64(body[32:]),
		high: order.Uint64(body[40:]),
		txid: order.Uint64(body[48:]),
	}, nil
}

// page checks the page and all below it; its keys must lie in [low, high), where nil is no bound.
func (in *inspection) page(id uint64, low, high []byte, depth int) error {
	if id < 2 || id >= in.high {
		return wrong(id, "lies outside of the %d pages in use", in.high)
	}
	if depth > maxTreeDepth {
		return wrong(id, "lies %d levels deep", depth)
	}
	b := make([]byte, in.pageSize)
	if _, err := in.file.ReadAt(b, int64(id*in.pageSize)); err != nil {
		return err
	}
	if self := order.Uint64(b); self != id {
		return wrong(id, "says it is page %d", self)
	}
	overflow := uint64(order.Uint32(b[12:]))
	if overflow >= in.high-id {
		return wrong(id, "reaches over the end")
	}
	for i := id; i <= id+overflow; i++ {
		if in.seen[i/64]&(1<<(i%64)) != 0 {
			return wrong(i, "belongs to two places")
		}
		in.seen[i/64] |= 1 << (i % 64)
	}
	if overflow > 0 {
		b = make([]byte, (overflow+1)*in.pageSize)
		if _, err := in.file.ReadAt(b, int64(id*in.pageSize)); err != nil {
			return err
		}
	}
	return in.content(id, b, low, high, depth)
}

// content checks the elements of a page, which may be one within a bucket's value.
func (in *inspection) content(id uint64, b, low, high []byte, depth int) error {
	flags, count := order.Uint16(b[8:]), uint64(order.Uint16(b[10:]))
	if flags != branchFlag && flags != leafFlag {
		return wrong(id, "is of no known kind (%#x)", flags)
	}
	if pageHead+count*elementSize > uint64(len(b)) || flags == branchFlag && count == 0 {
		return wrong(id, "cannot hold %d elements", count)
	}
	var before []byte
	for i := range count {
		e := element(b, pageHead+i*elementSize, flags)
		if !e.fits {
			return wrong(id, "element %d reaches over the end", i)
		}
		if before != nil && bytes.Compare(before, e.key) >= 0 ||
			low != nil && bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return wrong(id, "element %d is out of order", i)
		}
		before = e.key
		if err := in.below(id, b, i, e, high, depth); err != nil {
			return err
		}
	}
	return nil
}

// below checks what element i of a page leads to.
func (in *inspection) below(id uint64, b []byte, i uint64, e elem, high []byte, depth int) error {
	switch {
	case e.branch:
		if i+1 < uint64(order.Uint16(b[10:])) {
			next := element(b, pageHead+(i+1)*elementSize, branchFlag)
			if !next.fits {
				return wrong(id, "element %d reaches over the end", i+1)
			}
			high = next.key
		}
		return in.page(e.child, e.key, high, depth+1)
	case e.flags == 0:
		return nil
	case e.flags != leafBucket || len(e.value) < bucketHead:
		return wrong(id, "element %d is of no known kind (%#x)", i, e.flags)
	}
	if root := order.Uint64(e.value); root != 0 {
		return in.page(root, nil, nil, depth+1)
	}
	inline := e.value[bucketHead:]
	if len(inline) < pageHead || order.Uint16(inline[8:]) != leafFlag {
		return wrong(id, "element %d is a bucket without a page", i)
	}
	return in.content(id, inline, nil, nil, depth+1)
}

// elem is one element of a branch or leaf page.
type elem struct {
	branch, fits bool
	flags        uint32
	child        uint64
	key, value   []byte
}

func element(b []byte, at uint64, flags uint16) elem {
	h := b[at:]
	e := elem{branch: flags == branchFlag}
	var pos, keySize, valueSize uint64
	if e.branch {
		pos, keySize, e.child = uint64(order.Uint32(h)), uint64(order.Uint32(h[4:])), order.Uint64(h[8:])
	} else {
		e.flags = order.Uint32(h)
		pos, keySize, valueSize = uint64(order.Uint32(h[4:])), uint64(order.Uint32(h[8:])), uint64(order.Uint32(h[12:]))
	}
	if from := at + pos; from+keySize+valueSize <= uint64(len(b)) {
		e.fits = true
		e.key, e.value = b[from:from+keySize], b[from+keySize:from+keySize+valueSize]
	}
	return e
}
