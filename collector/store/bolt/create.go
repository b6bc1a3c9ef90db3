package bolt

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/watchbill/watchbill/collector/store"
)

// mapSize is how much address space is mapped at once: below it, views never hold up an update that makes the file grow.
// On Windows mapping enlarges the file itself, so there the map grows with it.
func mapSize() int {
	if runtime.GOOS == "windows" {
		return 0
	}
	return 1 << 30
}

// ensure makes the file at path if it is not there, so that a power cut leaves either no file or a complete one: it is
// made under another name, synced, and given its name when it is ready.
func ensure(path string, o Options) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory; the store is a file", path)
	case err == nil && info.Size() == 0:
		return store.Damaged(path, "the file is empty")
	case err == nil:
		return private(path, info)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := ensureDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	if err := sweep(path); err != nil {
		return fmt.Errorf("remove what an interrupted start left: %w", err)
	}
	// A name of its own: another process that starts as well must not have its half-made file linked here.
	draft := path + draftMark + "-" + rand.Text()
	if err := build(draft, o); err != nil {
		return errors.Join(fmt.Errorf("create %s: %w", path, err), discard(draft))
	}
	// A link, unlike a rename, fails when another process was faster. Where there are no links, rename has to do.
	if err := os.Link(draft, path); errors.Is(err, fs.ErrExist) {
		return discard(draft)
	} else if err != nil {
		if err := os.Rename(draft, path); err != nil {
			return errors.Join(fmt.Errorf("create %s: %w", path, err), discard(draft))
		}
	} else if err := os.Remove(draft); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// draftMark is what follows the path of a store in the names under which it is made.
const draftMark = ".new"

// isDraft tells whether a store at path was to be made under a name: one of each start's own, or the one of earlier releases.
func isDraft(path, name string) bool {
	return name == path+draftMark || strings.HasPrefix(name, path+draftMark+"-")
}

// sweep removes what starts left that were interrupted, and nothing else that lies there.
func sweep(path string) error {
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, n := range names {
		if isDraft(filepath.Base(path), n.Name()) {
			err = errors.Join(err, discard(filepath.Join(filepath.Dir(path), n.Name())))
		}
	}
	return err
}

func discard(draft string) error {
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ensureDir makes dir, but not its parents.
func ensureDir(dir string) error {
	switch err := os.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s does not exist; create it, or mount the disk that should be there", err, filepath.Dir(dir))
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// private refuses a file that others can read: the fleet's keys are in it.
func private(path string, info fs.FileInfo) error {
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read or written by others (mode %04o) and holds private keys: chmod 600 %s", path,
			info.Mode().Perm(), path)
	}
	return nil
}

// build makes a complete empty store at path, synced.
func build(path string, o Options) error {
	free, size, err := o.Space(path)
	if err == nil && free < o.reserve(size) {
		return fmt.Errorf("%w: %d bytes free, %d must stay free", store.ErrFull, free, o.reserve(size))
	}
	db, err := openFile(path, bbolt.Options{Timeout: o.LockTimeout, OpenFile: exclusively})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	return errors.Join(err, db.Close(), syncFile(path))
}

func exclusively(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag|os.O_EXCL, mode)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
