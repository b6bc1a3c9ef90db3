package collector

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/bolt"
	"github.com/watchbill/watchbill/collector/ticket"
)

// backupsOf is a schedule over a fresh store.
func backupsOf(t *testing.T, every time.Duration, keep int) *backups {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(filepath.Join(dir, StoreName), bolt.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return newBackups(backups{store: s, dir: filepath.Join(dir, BackupsName), every: every, keep: keep, release: "v1",
		now: time.Now, log: slog.New(slog.DiscardHandler)}, prometheus.NewRegistry())
}

// hours are the times of the scheduled backups, newest first.
func (b *backups) hours() string {
	var out []string
	for _, f := range b.scheduledOnes() {
		out = append(out, f.at.Format("02T15:04"))
	}
	return strings.Join(out, " ")
}

func TestBackupSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backupsOf(t, 6*time.Hour, 3)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		want := "01T00:00" // a bubble's clock begins there
		if got := b.hours(); got != want {
			t.Errorf("at the start: %s, want %s", got, want)
		}
		time.Sleep(18*time.Hour + time.Second)
		synctest.Wait()
		if got, want := b.hours(), "01T18:00 01T12:00 01T06:00"; got != want {
			t.Errorf("after 18 h: %s, want %s", got, want)
		}
		// The disk is taken away: tried again soon, the old ones stay; and when it is back it goes on.
		away := b.dir + ".away"
		if err := errors.Join(os.Rename(b.dir, away), os.WriteFile(b.dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6*time.Hour + 25*time.Minute)
		synctest.Wait()
		if n := testutil.ToFloat64(b.made.WithLabelValues("failed")); n != 3 {
			t.Errorf("%v failures, want 3: at 00:00, 00:10 and 00:20", n)
		}
		if err := errors.Join(os.Remove(b.dir), os.Rename(away, b.dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got, want := b.hours(), "02T00:30 01T18:00 01T12:00"; got != want {
			t.Errorf("after the failures: %s, want %s", got, want)
		}
		if got := testutil.ToFloat64(b.last); got != float64(time.Date(2000, 1, 2, 0, 30, 0, 0, time.UTC).Unix()) {
			t.Errorf("the metric of the last success says %v", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestBackupScheduleGoesOn: a start does not make a backup before the last one is old enough.
func TestBackupScheduleGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		last time.Duration // before the start
		want string
	}{
		"young":             {2 * time.Hour, "01T04:00 31T22:00"},
		"old":               {9 * time.Hour, "01T00:00 31T15:00"},
		"from the future":   {-72 * time.Hour, "04T00:00 01T06:00"},
		"of this very hour": {0, "01T06:00 01T00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := backupsOf(t, 6*time.Hour, 8)
				b.now = func() time.Time { return time.Now().UTC().Add(-c.last) }
				if err := b.schedule(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.now = func() time.Time { return time.Now().UTC() }
				ctx, stop := context.WithTimeout(t.Context(), 6*time.Hour+time.Minute-max(c.last-5*time.Hour, 0))
				defer stop()
				if err := b.Run(ctx); err != nil {
					t.Error(err)
				}
				if got := b.hours(); got != c.want {
					t.Errorf("backups of %s, want %s", got, c.want)
				}
			})
		})
	}
}

func TestBackupSweep(t *testing.T) {
	b := backupsOf(t, time.Hour, 1)
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * abandoned)
	for name, at := range map[string]time.Time{
		"download-1.backup.part": old, "watchbill-1.backup.part123": old, // of a process that ended
		"download-2.backup.part": time.Now(), "precious.backup.part": old, "notes.txt": old,
	} {
		path := filepath.Join(b.dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if len(left) != 4 || left[0] != "download-2.backup.part" || left[1] != "notes.txt" || left[2] != "precious.backup.part" {
		t.Errorf("left: %v", left)
	}
}

func TestDownload(t *testing.T) {
	b := backupsOf(t, time.Hour, 1)
	d, err := b.Download(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to, err := bolt.CreateBackup(filepath.Join(t.TempDir(), d.Name))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(to, d.Body)
	if err != nil || n != d.Size {
		t.Errorf("%d bytes of %d, %v", n, d.Size, err)
	}
	if _, err := to.Keep(); err != nil {
		t.Error(err)
	}
	if err := d.Body.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(b.dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	// One at a time; who does not want to wait does not.
	b.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Download(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("while another is made: %v", err)
	}
}

// TestNewestBackup: the newest that is good, wherever it is, and what is wrong with the others when none is.
func TestNewestBackup(t *testing.T) {
	b := backupsOf(t, time.Hour, 9)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		b.now = func() time.Time { return noon.Add(time.Duration(i) * time.Hour) }
		if err := b.schedule(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	storage := filepath.Dir(b.dir)
	spoil := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil("watchbill-20260301T140000Z.backup")
	path, info, err := NewestBackup(b.dir, b.dir, storage)
	if err != nil || filepath.Base(path) != "watchbill-20260301T130000Z.backup" || info.Release != "v1" {
		t.Errorf("got %s %+v, %v", path, info, err)
	}
	spoil("watchbill-20260301T130000Z.backup")
	spoil("watchbill-20260301T120000Z.backup")
	if _, _, err := NewestBackup(b.dir, storage); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, store.ErrDamaged) ||
		!strings.Contains(err.Error(), "130000Z") {
		t.Errorf("all spoiled: %v", err)
	}
	beside := bolt.MigrationBackup(filepath.Join(storage, StoreName), 1)
	if _, err := b.store.BackupTo(t.Context(), beside, "v0"); err != nil {
		t.Fatal(err)
	}
	if path, _, err := NewestBackup(b.dir, storage); err != nil || path != beside {
		t.Errorf("a migration's: %s, %v", path, err)
	}
	if _, _, err := NewestBackup(filepath.Join(storage, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// TestDamagedStoreIsRestored breaks a collector's store and does what its error says: what was there when the backup was
// made is there again, no number comes twice, nothing is sent by itself, and new messages are no repeats of old ones.
func TestDamagedStoreIsRestored(t *testing.T) {
	cfg := testConfig(t, diskRules)
	s := newStage(t, cfg)
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 5) // a ticket and its message
	if err := s.backups.schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbers := map[string]bool{s.only().Number: true}
	before := s.only()
	s.report("web2", 10*time.Second, 5) // comes after the backup
	if _, err := s.pipeline.Act(t.Context(), before.ID, ticket.Action{Verb: ticket.Ack}, ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "ada"}}); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	s.view(func(tx store.Tx) error {
		ms, err := tx.Messages("", 0)
		for _, m := range ms {
			used[m.ID] = true
		}
		return err
	})
	for _, tk := range s.tickets() {
		numbers[tk.Number] = true
	}
	s.Close()
	path := filepath.Join(cfg.Storage.Path, StoreName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 3; i < len(b); i += 512 {
		b[i] ^= 1
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}

	_, err = New(t.Context(), cfg, Options{Directory: testFleet})
	if !errors.Is(err, store.ErrDamaged) {
		t.Fatalf("got %v, want store.ErrDamaged", err)
	}
	_, command, _ := strings.Cut(err.Error(), "\n  watchbill restore ")
	backup, storage, ok := strings.Cut(command, " --storage.path ")
	if !ok || storage != quoted(cfg.Storage.Path) {
		t.Fatalf("the error names no command: %v", err)
	}
	did, err := Restore(cfg.Storage.Path, strings.Trim(backup, "'"))
	if err != nil {
		t.Fatal(err)
	}
	if did.Parked != 1 || did.LastTicketNumber != 1001 {
		t.Errorf("did %+v", did)
	}
	again := newStage(t, cfg)
	if got := again.only(); got.Number != before.Number || got.State != before.State || again.incarnation <= 1 {
		t.Errorf("after the restore: %+v, incarnation %d", got, again.incarnation)
	}
	again.report("web2", time.Minute, 5)
	if _, err := again.pipeline.Act(t.Context(), before.ID, ticket.Action{Verb: ticket.Ack}, ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "ada"}}); err != nil {
		t.Fatal(err)
	}
	again.view(func(tx store.Tx) error {
		parked, err := tx.Messages(outbox.Parked, 0)
		queued, err2 := tx.Messages(outbox.Queued, 0)
		if len(parked) != 1 || len(queued) < 2 {
			t.Errorf("%d parked and %d queued messages", len(parked), len(queued))
		}
		for _, m := range queued {
			if used[m.ID] {
				t.Errorf("message %s has the ID of one that was sent before the restore", m.ID)
			}
		}
		return errors.Join(err, err2)
	})
	for _, tk := range again.tickets() {
		if tk.ID != before.ID && numbers[tk.Number] {
			t.Errorf("ticket number %s is given again", tk.Number)
		}
	}
}

func TestDamagedStoreWithoutBackup(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.Storage.Path = filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(cfg.Storage.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Storage.Path, StoreName), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), cfg, Options{Directory: testFleet})
	for _, want := range []string{"no good backup in", "watchbill restore BACKUP --storage.path", `it'\''s here'`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// TestRestoresAreRecorded: what an earlier restore skipped to is known although the store it made is gone.
func TestRestoresAreRecorded(t *testing.T) {
	b := backupsOf(t, time.Hour, 1)
	if err := b.schedule(t.Context()); err != nil {
		t.Fatal(err)
	}
	backup, storage := b.scheduledOnes()[0].path, t.TempDir()
	var last int
	for range 3 {
		did, err := Restore(storage, backup)
		if err != nil {
			t.Fatal(err)
		}
		if did.TicketNumber <= last {
			t.Errorf("numbers after %d, and after %d the restore before", did.TicketNumber, last)
		}
		last = did.TicketNumber
		ledger := filepath.Join(storage, RestoresName)
		f, err := os.OpenFile(ledger, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString("{\"ticket_number\": tor\n") // a torn line
		if err := errors.Join(err, f.Close(), os.Remove(filepath.Join(storage, StoreName))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAskAgain(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := store.Restore{TakenAt: noon.Add(-8 * time.Hour), At: noon}
	for name, c := range map[string]struct {
		restored bool
		now      time.Time
		want     time.Duration
	}{
		"never restored":   {false, noon, time.Hour},
		"just restored":    {true, noon, 8 * time.Hour},
		"some hours ago":   {true, noon.Add(5 * time.Hour), 13 * time.Hour},
		"a day ago":        {true, noon.Add(24 * time.Hour), time.Hour},
		"the clock is set": {true, noon.Add(-9 * time.Hour), time.Hour},
	} {
		if got := askAgain(time.Hour, r, c.restored, c.now); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
