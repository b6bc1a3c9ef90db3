package bolt

import (
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/watchbill/watchbill/collector/store"
)

// lockStore tells whether another process has the store. The lock is not kept: Windows renames no file that is open, so
// the swap itself fails when somebody opens the store meanwhile.
func lockStore(path string, wait time.Duration) (unlock func(), err error) {
	db, err := openFile(path, bbolt.Options{Timeout: wait, ReadOnly: true})
	switch {
	case errors.Is(err, store.ErrLocked):
		return nil, err
	case err == nil:
		if err := db.Close(); err != nil {
			return nil, err
		}
	}
	return func() {}, nil
}
