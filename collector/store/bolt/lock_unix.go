//go:build unix

package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/collector/store"
)

// lockStore takes the lock that bbolt takes (flock(2), exclusive), on a file that may be damaged or not be there; the
// result lets go of it. store.ErrLocked when somebody else has it and keeps it for longer than wait.
func lockStore(path string, wait time.Duration) (unlock func(), err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	const step = 50 * time.Millisecond
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor is small
		if err == nil {
			return func() { _ = f.Close() }, nil // which lets go of the lock
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(&os.PathError{Op: "flock", Path: path, Err: err}, f.Close())
		}
		if wait -= step; wait < 0 {
			return nil, errors.Join(fmt.Errorf("%w: a collector uses %s; stop it first", store.ErrLocked, path), f.Close())
		}
		time.Sleep(step)
	}
}
