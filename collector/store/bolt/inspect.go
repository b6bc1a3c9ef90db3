package bolt

import (
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

// inspected is a file that was found sound: which it was, and its newest transaction then.
type inspected struct {
	file os.FileInfo
	txid uint64
}

// inspect reads the whole file once and refuses it unless every page is where and what the pages above say, every record
// is as it was written, and none is missing or old. bbolt itself trusts its file: on a damaged one it panics in
// goroutines of its own, or faults, and that ends the process. While it reads it holds the lock that readers share.
func inspect(path string, o Options) (inspected, error) {
	var db *bbolt.DB
	err := guard(path, func() (err error) {
		db, err = openFile(path, bbolt.Options{Timeout: o.LockTimeout, ReadOnly: true})
		return err
	})
	if errors.Is(err, store.ErrLocked) {
		return inspected{}, err
	}
	seen, own := inspectFile(path)
	if err != nil {
		// bbolt does not always say that it is the file's fault.
		return inspected{}, cmp.Or(own, err)
	}
	return seen, errors.Join(own, db.Close())
}

func inspectFile(path string) (inspected, error) {
	f, err := os.Open(path)
	if err != nil {
		return inspected{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return inspected{}, err
	}
	txid, err := inspectPages(f, info.Size())
	var found fault
	switch {
	case errors.As(err, &found):
		return inspected{}, store.Damaged(path, string(found))
	case err != nil:
		return inspected{}, fmt.Errorf("read %s: %w; look at the system's log for the disk's errors", path, err)
	}
	return inspected{file: info, txid: txid}, nil
}

// fault is what is wrong with the file, as opposed to with reading it.
type fault string

func (f fault) Error() string { return string(f) }

func wrong(page uint64, format string, args ...any) error {
	return fault(fmt.Sprintf("page %d: ", page) + fmt.Sprintf(format, args...))
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

// meta is what counts in a meta page; high is the first page after the last that was ever used.
type meta struct{ pageSize, root, free, high, txid uint64 }

// readMetas checks both meta pages. bbolt makes do with one, and goes back to the transaction before the last when the
// newer page is damaged; but a commit is acknowledged when its meta page is on the disk, so that would lose it. A power
// cut leaves no damaged meta page: what counts lies in one sector.
func readMetas(file io.ReaderAt, size int64) (meta, error) {
	head := make([]byte, pageHead+metaSize)
	if _, err := file.ReadAt(head, 0); err == io.EOF {
		return meta{}, wrong(0, "the file has %d bytes", size)
	} else if err != nil {
		return meta{}, err
	}
	pageSize := uint64(order.Uint32(head[pageHead+8:]))
	if pageSize < 512 || pageSize > 1<<24 || pageSize&(pageSize-1) != 0 {
		return meta{}, wrong(0, "it gives pages of %d bytes", pageSize)
	}
	var metas [2]meta
	for i := range metas {
		if _, err := file.ReadAt(head, int64(uint64(i)*pageSize)); err == io.EOF {
			return meta{}, wrong(uint64(i), "the file ends before it")
		} else if err != nil {
			return meta{}, err
		}
		m, err := readMeta(uint64(i), head, pageSize)
		if err != nil {
			return meta{}, err
		}
		metas[i] = m
	}
	newest, older := metas[0], metas[1]
	if older.txid > newest.txid {
		newest, older = older, newest
	}
	switch {
	case newest.txid != older.txid+1:
		return meta{}, wrong(0, "the last two transactions are %d and %d", older.txid, newest.txid)
	case newest.free != noFreelist:
		return meta{}, wrong(0, "it names a list of free pages, which this store never has")
	case newest.high < 3 || newest.high > uint64(size)/pageSize:
		return meta{}, wrong(0, "%d pages are in use and the file has %d: it was cut short", newest.high,
			uint64(size)/pageSize)
	}
	return newest, nil
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
		pageSize: pageSize,

		root: order.Uint64(body[16:]),
		free: order.Uint64(body[32:]),
		high: order.Uint64(body[40:]),
		txid: order.Uint64(body[48:]),
	}, nil
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
