package collector

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
)

// Restore puts a backup in the place of the store in a storage directory, as a new incarnation, and records that in
// RestoresName there. No collector may run on it (store.ErrLocked). What was there is kept aside. An error that wraps
// ErrNotRecorded comes with a restore that was done.
func Restore(storage, backup string) (bolt.Restored, error) {
	ledger := filepath.Join(storage, RestoresName)
	known, err := earlierRestores(ledger)
	if err != nil {
		return bolt.Restored{}, err
	}
	did, err := bolt.Restore(backup, filepath.Join(storage, StoreName), bolt.RestoreOptions{Known: known})
	if err != nil {
		return did, err
	}
	if err := record(ledger, did); err != nil {
		return did, fmt.Errorf("%w in %s; a later restore may not know of it: %w", ErrNotRecorded, ledger, err)
	}
	return did, nil
}

// ErrNotRecorded: a restore was done, and that could not be written down.
var ErrNotRecorded = errors.New("the restore is done but was not recorded")

// recorded is one line of the ledger of restores.
type recorded struct {
	store.Restore
	Aside string `json:"aside,omitempty"`
}

// maxLine bounds a line of the ledger.
const maxLine = 64 << 10

// earlierRestores are the highest numbers that earlier restores skipped to. A line that is not readable, as after a
// power cut, tells nothing.
func earlierRestores(ledger string) (known store.Facts, err error) {
	f, err := os.Open(ledger)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return known, fmt.Errorf("read what earlier restores did: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r recorded
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			known.TicketNumber = max(known.TicketNumber, r.TicketNumber)
			known.Incarnation = max(known.Incarnation, r.Incarnation)
		}
	}
	if err := lines.Err(); err != nil {
		return known, fmt.Errorf("read what earlier restores did, in %s: %w", ledger, err)
	}
	return known, nil
}

func record(ledger string, did bolt.Restored) error {
	line, err := json.Marshal(recorded{Restore: did.Restore, Aside: did.Aside})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close(), bolt.GiveToOwner(ledger))
}

// explainDamage adds to the error of a damaged store which backup is the newest good one, and the command that puts it
// in the store's place. Other errors stay as they are.
func explainDamage(err error, storage string, backups ...string) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	path, info, none := NewestBackup(append(backups, storage)...)
	if none != nil {
		return fmt.Errorf("%w\n%w\nIf there is a backup elsewhere, put it in the store's place with\n  watchbill restore BACKUP --storage.path %s",
			err, none, quoted(storage))
	}
	return fmt.Errorf("%w\nThe newest good backup holds the state of %s, up to ticket WB-%d. Put it in the store's place with\n  watchbill restore %s --storage.path %s",
		err, info.TakenAt.UTC().Format(time.RFC3339), info.TicketNumber, quoted(path), quoted(storage))
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoted is a path as a POSIX shell reads it as one word.
func quoted(path string) string {
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// askAgain is how far back agents are asked for what they sent before: what rules look back on; and for a day after a
// restore, when agents still have it, everything since the backup was written, so that what was lost with the old store
// comes back.
func askAgain(lookback time.Duration, last store.Restore, restored bool, now time.Time) time.Duration {
	if !restored || now.Sub(last.At) >= 24*time.Hour {
		return lookback
	}
	return max(lookback, now.Sub(last.TakenAt))
}
