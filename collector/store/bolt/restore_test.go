package bolt

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
)

// backedUp is a store with a backup after some changes and some changes more, closed.
func backedUp(t *testing.T, before, after int) (path, backup string) {
	t.Helper()
	path = file(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range before + after {
		if i == before {
			backup, _ = backUp(t, s)
		}
		if err := work(s, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if backup == "" {
		backup, _ = backUp(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, backup
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nextNumber opens the store at path, says what it needs to and takes a ticket number.
func nextNumber(t *testing.T, path string) (n int, incarnation uint64) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(context.Background(), "", func(tx store.Tx) error {
		var err, err2 error
		n, err = tx.NextNumber()
		incarnation, err2 = tx.NextIncarnation()
		return errors.Join(err, err2)
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return n, incarnation
}

// TestRestore: what the backup had is there, what came later is kept aside, numbers go on beyond both, and nothing is
// sent.
func TestRestore(t *testing.T) {
	path, backup := backedUp(t, 20, 15)
	old, copied := read(t, path), read(t, backup)
	did, err := Restore(backup, path, RestoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, did.Aside), old) || !bytes.Equal(read(t, backup), copied) {
		t.Error("the old store or the backup was changed")
	}
	if n := names(t, filepath.Dir(path)); n != "watchbill.db "+filepath.Base(did.Aside) {
		t.Errorf("files: %s", n)
	}
	if did.LastTicketNumber != 1020 || did.TicketNumber != 3000 || did.Parked != 20 || did.Info.TicketNumber != 1020 {
		t.Errorf("did %+v", did)
	}
	s := mustOpen(t, path, Options{})
	err = s.View(context.Background(), func(tx store.Tx) error {
		due, _, err := tx.DueMessages(start.AddDate(1, 0, 0), 0)
		parked, err2 := tx.Messages(outbox.Parked, 0)
		last, ok, err3 := tx.LastRestore()
		tickets, err4 := tx.Tickets(store.TicketFilter{})
		if len(due) != 0 || len(parked) != 20 || !ok || last != did.Restore || len(tickets) != 20 {
			t.Errorf("%d messages due, %d parked, %d tickets, restore %+v", len(due), len(parked), len(tickets), last)
		}
		return errors.Join(err, err2, err3, err4)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRestoreReissuesNoNumber restores the same backup again and again, the old store whole, damaged or gone: no ticket
// number is ever given twice. Where it is gone, what earlier restores did is known from elsewhere.
func TestRestoreReissuesNoNumber(t *testing.T) {
	path, backup := backedUp(t, 5, 5)
	given, inca := map[int]bool{}, map[uint64]bool{}
	for n := 1001; n <= 1010; n++ {
		given[n] = true
	}
	var known store.Facts
	for round := range 9 {
		switch round % 3 {
		case 1: // the first page is gone, and with it all that leads on
			b := read(t, path)
			clear(b[:8192])
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		did, err := Restore(backup, path, RestoreOptions{Known: known})
		if err != nil {
			t.Fatal(err)
		}
		known = store.Facts{TicketNumber: did.TicketNumber, Incarnation: did.Incarnation}
		for range 3 {
			n, i := nextNumber(t, path)
			if given[n] || inca[i] {
				t.Fatalf("round %d: ticket number %d or incarnation %d is given again", round, n, i)
			}
			given[n], inca[i] = true, true
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	path, backup := backedUp(t, 3, 0)
	bad := filepath.Join(t.TempDir(), "bad")
	b := read(t, backup)
	b[5000] ^= 1
	if err := os.WriteFile(bad, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		backup, path string
		o            RestoreOptions
		want         error
		says         string
	}{
		"a damaged backup": {bad, path, RestoreOptions{}, store.ErrDamaged, bad},
		"no backup":        {filepath.Join(t.TempDir(), "none"), path, RestoreOptions{}, os.ErrNotExist, "none"},
		"itself":           {path, path, RestoreOptions{}, nil, "name a backup"},
		"a full disk": {backup, path, RestoreOptions{Space: func(string) (uint64, uint64, error) { return 1 << 20, 4 << 30, nil }},
			store.ErrFull, "make room"},
		"no such directory": {backup, filepath.Join(t.TempDir(), "a", "b", "s.db"), RestoreOptions{}, os.ErrNotExist, "mount"},
	} {
		t.Run(name, func(t *testing.T) {
			before := read(t, path)
			_, err := Restore(c.backup, c.path, c.o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) ||
				!strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("got %v, want %v that says %q", err, c.want, c.says)
			}
			if !bytes.Equal(before, read(t, path)) || names(t, filepath.Dir(path)) != "watchbill.db" {
				t.Errorf("something was changed; files: %s", names(t, filepath.Dir(path)))
			}
		})
	}
	s := mustOpen(t, path, Options{})
	if _, err := Restore(backup, path, RestoreOptions{LockTimeout: time.Millisecond}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("with a collector at work: %v", err)
	}
	if err := work(s, 50); err != nil {
		t.Errorf("the collector cannot go on: %v", err)
	}
}

// TestRestoreInterrupted: what a restore left when the power went does not stand in the way of the next, nor of the store.
func TestRestoreInterrupted(t *testing.T) {
	path, backup := backedUp(t, 3, 2)
	if err := os.WriteFile(path+".restore", []byte("half a copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, _ := nextNumber(t, path); n != 1006 {
		t.Errorf("the old store goes on with %d", n)
	}
	if _, err := Restore(backup, path, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if n, _ := nextNumber(t, path); n != 3001 {
		t.Errorf("the new store goes on with %d", n)
	}
}

// TestRestoreByRoot: root restores, the service's user reads.
func TestRestoreByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	path, backup := backedUp(t, 2, 0)
	if err := os.Chown(filepath.Dir(path), 1234, 1235); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(backup, path, RestoreOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := ownerOf(t, path); got != "1234:1235" {
		t.Errorf("the store belongs to %s", got)
	}
}

// TestReplacedWhileWaiting: who waited for the lock of a store that was then replaced must not work on the old one.
func TestReplacedWhileWaiting(t *testing.T) {
	path, backup := backedUp(t, 2, 0)
	unlock, err := lockStore(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	opened, result := make(chan struct{}), make(chan error)
	go func() {
		db, err := openFile(path, bbolt.Options{Timeout: time.Minute, OpenFile: func(n string, flag int, m os.FileMode) (*os.File, error) {
			defer close(opened)
			return os.OpenFile(n, flag, m)
		}})
		if err == nil {
			err = db.Close()
		}
		result <- err
	}()
	<-opened
	if err := os.Rename(backup, path); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-result; !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("got %v, want store.ErrLocked", err)
	}
}

// fixtureChanges is how many changes of the proofs every fixture holds; TestFormats writes the newest.
const fixtureChanges = 12

// TestFixtures opens the stores of every released format: they are backed up, brought to this release's and hold what
// they held.
func TestFixtures(t *testing.T) {
	found, err := filepath.Glob("testdata/format-*.db.gz")
	if err != nil || len(found) != store.Format {
		t.Fatalf("fixtures %v, %v; want one for each of %d formats (-update writes the newest, before its first release)", found, err,
			store.Format)
	}
	for _, name := range found {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var format int
			if _, err := fmt.Sscanf(filepath.Base(name), "format-%d.db.gz", &format); err != nil {
				t.Fatal(err)
			}
			path := unpack(t, name)
			s := mustOpen(t, path, Options{})
			all := map[int]bool{}
			for i := range fixtureChanges {
				all[i+1] = true
			}
			// Decisions are a day old at most, so they are not asked for.
			if err := readable(s, all); err != nil && !strings.Contains(err.Error(), "decision") {
				t.Error(err)
			}
			facts, err := s.engine.facts()
			if err != nil || facts.Format != store.Format || facts.TicketNumber != 1000+fixtureChanges {
				t.Errorf("%+v, %v", facts, err)
			}
			_, err = VerifyBackup(MigrationBackup(path, format))
			if older := format < store.Format; older != (err == nil) {
				t.Errorf("backup before migration from format %d: %v", format, err)
			}
		})
	}
}

func unpack(t *testing.T, name string) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(read(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := file(t)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
