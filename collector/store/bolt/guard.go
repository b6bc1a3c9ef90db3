package bolt

import (
	"fmt"
	"runtime/debug"

	"github.com/watchbill/watchbill/collector/store"
)

// faultsPanic makes a fault in the mapped file (a page that the disk cannot read, a file cut short under us) a panic in
// this goroutine, which guard turns into an error, instead of the end of the process. The result undoes it.
func faultsPanic() (undo func()) {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}

// guard runs fn, which calls bbolt and nothing of a caller's, and turns a panic into store.ErrDamaged: bbolt panics
// when pages contradict each other.
func guard(path string, fn func() error) (err error) {
	defer faultsPanic()()
	defer func() {
		if p := recover(); p != nil {
			err = store.Damaged(path, fmt.Sprintf("pages contradict each other (%v)", p))
		}
	}()
	return fn()
}
