package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// RestoreOptions is what Restore can be told; the zero value is ready for use.
type RestoreOptions struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Known are the highest numbers known from elsewhere, such as an earlier restore.
	Known store.Facts
	// LockTimeout is how long to wait for another process to let go of the store; 2 s when zero.
	LockTimeout time.Duration
	// Space is that of Options.
	Space func(path string) (free, size uint64, err error)
}

// Restored is what Restore did.
type Restored struct {
	store.Restore
	Info BackupInfo
	// Aside is where the store that was there before is now; empty when there was none.
	Aside string
}

// Restore puts a backup in the place of the store at path, as a new incarnation (store.Tx.Reincarnate). The backup is
// verified first and stays as it is; the store that was there is kept aside, however damaged. Whatever fails and
// whenever the power goes, there is the old store or the new one, complete. It wraps store.ErrLocked while a collector
// has the store.
func Restore(backup, path string, o RestoreOptions) (Restored, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	so := Options{Now: o.Now, LockTimeout: o.LockTimeout, Space: o.Space}.withDefaults()
	out, err := restore(backup, path, o, so)
	if err != nil {
		return Restored{}, fmt.Errorf("restore %s to %s; nothing was changed: %w", backup, path, err)
	}
	return out, nil
}

func restore(backup, path string, o RestoreOptions, so Options) (out Restored, err error) {
	if err := otherFile(backup, path); err != nil {
		return out, err
	}
	if out.Info, err = VerifyBackup(backup); err != nil {
		return out, err
	}
	if err := ensureDir(filepath.Dir(path)); err != nil {
		return out, err
	}
	known := o.Known
	// A damaged store may not tell; then the numbers that are skipped have to do.
	old, err := peek(path, so)
	if errors.Is(err, store.ErrLocked) {
		return out, err
	}
	if err == nil {
		known.TicketNumber = max(known.TicketNumber, old.TicketNumber)
		known.Incarnation = max(known.Incarnation, old.Incarnation)
	}
	unlock, err := lockStore(path, so.LockTimeout)
	if err != nil {
		return out, err
	}
	defer unlock()
	draft := path + ".restore"
	if err := copyStore(backup, draft, out.Info, so); err != nil {
		return out, errors.Join(err, discard(draft))
	}
	out.Restore, err = reincarnate(draft, so, store.Reincarnation{
		Backup: filepath.Base(backup), TakenAt: out.Info.TakenAt, At: o.Now(),
		Incarnation: known.Incarnation, TicketNumber: known.TicketNumber,
	})
	if err != nil {
		return out, errors.Join(err, discard(draft))
	}
	if err := GiveToOwner(draft); err != nil {
		return out, errors.Join(err, discard(draft))
	}
	if out.Aside, err = swap(draft, path, o.Now()); err != nil {
		return out, errors.Join(err, discard(draft))
	}
	return out, nil
}

// otherFile refuses to restore a store from itself: it would be moved aside first.
func otherFile(backup, path string) error {
	a, err := os.Stat(backup)
	if err != nil {
		return err
	}
	if b, err := os.Stat(path); err == nil && os.SameFile(a, b) {
		return errors.New("the backup is the store itself; name a backup")
	}
	return nil
}

// copyStore copies the store within a backup to draft, synced, and sees that it is what was verified.
func copyStore(backup, draft string, info BackupInfo, o Options) error {
	free, size, err := o.Space(draft)
	if need := o.reserve(size) + uint64(max(info.Size, 0)); err == nil && free < need {
		return fmt.Errorf("%w: %d bytes free, %d are needed; make room", store.ErrFull, free, need)
	}
	if err := discard(draft); err != nil {
		return fmt.Errorf("remove what an interrupted restore left: %w", err)
	}
	from, err := os.Open(backup)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := exclusively(draft, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(to, from, info.Size)
	return errors.Join(err, to.Sync(), to.Close())
}

// reincarnate brings the copy to this release's format and makes it a new incarnation. Opening it verifies it once more.
func reincarnate(draft string, o Options, r store.Reincarnation) (did store.Restore, err error) {
	s, err := openStore(draft, o, nil) // the backup is the backup
	if err != nil {
		return did, err
	}
	err = s.Update(context.Background(), "", func(tx store.Tx) (err error) {
		did, err = tx.Reincarnate(r)
		return err
	})
	return did, errors.Join(err, s.Close())
}

// swap puts draft in the place of path and gives what was there another name, such that path is there all the time: a
// collector that starts meanwhile must not find nothing and begin anew.
func swap(draft, path string, now time.Time) (aside string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", place(draft, path)
	}
	aside = path + ".replaced-" + now.UTC().Format("20060102T150405.000Z")
	linked := os.Link(path, aside)
	if linked != nil { // no links here: a moment without has to do
		if err := os.Rename(path, aside); err != nil {
			return "", err
		}
	}
	if err := os.Rename(draft, path); err != nil {
		if linked == nil {
			return "", errors.Join(err, os.Remove(aside))
		}
		return "", errors.Join(err, os.Rename(aside, path))
	}
	return aside, syncDir(filepath.Dir(path))
}
