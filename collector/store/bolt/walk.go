package bolt

import (
	"bytes"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/watchbill/watchbill/collector/store"
)

// walk is one walk over a file, from its root down. What lies below a branch is walked by as many goroutines as there are
// processors: the pages of a store with a million tickets are some gigabytes, and a collector that starts waits for it.
type walk struct {
	file io.ReaderAt
	meta
	// seen has a bit for every page that was reached.
	seen []atomic.Uint64
	// total is that of all records that were read, want the one that was written with them.
	total, want atomic.Uint64
	others      errgroup.Group
}

// inspectPages walks over a file of so many bytes and answers the number of its newest transaction. It returns a fault for
// whatever is wrong with the file itself.
func inspectPages(file io.ReaderAt, size int64) (txid uint64, err error) {
	m, err := readMetas(file, size)
	if err != nil {
		return 0, err
	}
	return m.txid, newWalk(file, m).all()
}

func newWalk(file io.ReaderAt, m meta) *walk {
	return &walk{file: file, meta: m, seen: make([]atomic.Uint64, m.high/64+1)}
}

// all walks over all there is.
func (w *walk) all() error {
	w.others.SetLimit(runtime.GOMAXPROCS(0) - 1)
	err := (&walker{walk: w}).page(w.root, span{})
	if err2 := w.others.Wait(); err == nil {
		err = err2
	}
	if err == nil && w.total.Load() != w.want.Load() {
		err = fault("some records are missing or not the newest (the total over all of them differs)")
	}
	return err
}

// span is where a page stands: the bounds of its keys, [low, high), where nil is no bound; how deep it lies; and whether
// what it holds are records.
type span struct {
	low, high []byte
	depth     int
	records   bool
}

// walker is one goroutine of a walk.
type walker struct {
	*walk
	// spare is a page's room, to be used again.
	spare []byte
}

// page checks the page and all below it.
func (w *walker) page(id uint64, at span) error {
	b, err := w.read(id, at.depth)
	if err != nil {
		return err
	}
	err = w.content(id, b, at)
	if order.Uint16(b[8:]) == leafFlag && uint64(len(b)) == w.pageSize {
		w.spare = b // nothing below it refers to its keys
	}
	return err
}

// read reads a page with what flows over from it, which no other may have.
func (w *walker) read(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= w.high {
		return nil, wrong(id, "lies outside of the %d pages in use", w.high)
	}
	if depth > maxTreeDepth {
		return nil, wrong(id, "lies %d levels deep", depth)
	}
	b := w.spare
	if w.spare = nil; b == nil {
		b = make([]byte, w.pageSize)
	}
	if _, err := w.file.ReadAt(b, int64(id*w.pageSize)); err != nil {
		return nil, err
	}
	if self := order.Uint64(b); self != id {
		return nil, wrong(id, "says it is page %d", self)
	}
	overflow := uint64(order.Uint32(b[12:]))
	if overflow >= w.high-id {
		return nil, wrong(id, "reaches over the end")
	}
	for i := id; i <= id+overflow; i++ {
		if bit := uint64(1) << (i % 64); w.seen[i/64].Or(bit)&bit != 0 {
			return nil, wrong(i, "belongs to two places")
		}
	}
	if overflow > 0 {
		b = make([]byte, (overflow+1)*w.pageSize)
		if _, err := w.file.ReadAt(b, int64(id*w.pageSize)); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// content checks the elements of a page, which may be one within a bucket's value.
func (w *walker) content(id uint64, b []byte, at span) error {
	flags, count := order.Uint16(b[8:]), uint64(order.Uint16(b[10:]))
	if flags != branchFlag && flags != leafFlag {
		return wrong(id, "is of no known kind (%#x)", flags)
	}
	if pageHead+count*elementSize > uint64(len(b)) || flags == branchFlag && count == 0 {
		return wrong(id, "cannot hold %d elements", count)
	}
	var before []byte
	var total uint64
	for i := range count {
		e := element(b, pageHead+i*elementSize, flags)
		if !e.fits {
			return wrong(id, "element %d reaches over the end", i)
		}
		if before != nil && bytes.Compare(before, e.key) >= 0 ||
			at.low != nil && bytes.Compare(e.key, at.low) < 0 || at.high != nil && bytes.Compare(e.key, at.high) >= 0 {
			return wrong(id, "element %d is out of order", i)
		}
		before = e.key
		var err error
		switch {
		case e.branch:
			err = w.branch(id, b, i, e, at)
		case at.records && e.flags == 0:
			total += share(e.key, e.value)
			err = sound(e)
		case e.flags != 0:
			err = w.bucket(id, i, e, at)
		}
		if err != nil {
			return err
		}
	}
	w.total.Add(total)
	return nil
}

// sound checks one record.
func sound(e elem) error {
	if err := store.CheckRecord(e.key, e.value); err != nil {
		return fault(err.Error())
	}
	return nil
}

// branch checks what element i of a branch page leads to: by another goroutine when one is free.
func (w *walker) branch(id uint64, b []byte, i uint64, e elem, at span) error {
	at.low = e.key
	if i+1 < uint64(order.Uint16(b[10:])) {
		next := element(b, pageHead+(i+1)*elementSize, branchFlag)
		if !next.fits {
			return wrong(id, "element %d reaches over the end", i+1)
		}
		at.high = next.key
	}
	at.depth++
	if w.others.TryGo(func() error { return (&walker{walk: w.walk}).page(e.child, at) }) {
		return nil
	}
	return w.page(e.child, at)
}

// bucket checks what element i of a leaf leads to: all records lie in one bucket, whose sequence is their total.
func (w *walker) bucket(id, i uint64, e elem, at span) error {
	if e.flags != leafBucket || len(e.value) < bucketHead || at.records {
		return wrong(id, "element %d is of no known kind (%#x)", i, e.flags)
	}
	below := span{depth: at.depth + 1, records: bytes.Equal(e.key, bucket)}
	if below.records {
		w.want.Store(order.Uint64(e.value[8:]))
	}
	if root := order.Uint64(e.value); root != 0 {
		return w.page(root, below)
	}
	inline := e.value[bucketHead:]
	if len(inline) < pageHead || order.Uint16(inline[8:]) != leafFlag {
		return wrong(id, "element %d is a bucket without a page", i)
	}
	return w.content(id, inline, below)
}
