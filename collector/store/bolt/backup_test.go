package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/store"
)

// backUp makes a backup of s under a new name.
func backUp(t testing.TB, s *Store) (string, BackupInfo) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.backup")
	f, err := CreateBackup(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(context.Background(), f, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	info, err := f.Keep()
	if err != nil {
		t.Fatal(err)
	}
	return path, info
}

// names are the files in dir.
func names(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// TestBackup: a backup is the store of one moment, and opens as a store.
func TestBackup(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 3, 4, 5, time.UTC)
	s := mustOpen(t, file(t), Options{Now: func() time.Time { return at }})
	for i := range 30 {
		if err := work(s, i+1); err != nil {
			t.Fatal(err)
		}
	}
	want, err := dump(s)
	if err != nil {
		t.Fatal(err)
	}
	path, info := backUp(t, s)
	if !info.TakenAt.Equal(at) || info.Release != "v1.2.3" || info.Format != store.Format || info.TicketNumber != 1030 || !info.Sealed() {
		t.Errorf("it says %+v", info)
	}
	if err := work(s, 31); err != nil { // what comes later is not in it
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
	if n := names(t, filepath.Dir(path)); n != "a.backup" {
		t.Errorf("left behind: %s", n)
	}
	c := mustOpen(t, path, Options{})
	if got, err := dump(c); err != nil || got != want {
		t.Errorf("the copy differs, or cannot be read: %v", err)
	}
}

// TestBackupIsWorkedOn opens copies of an even and of an odd transaction, works on them and opens them again.
func TestBackupIsWorkedOn(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	for i := range 4 {
		if err := work(s, i+1); err != nil {
			t.Fatal(err)
		}
		path, _ := backUp(t, s)
		for more := range 3 {
			c, err := Open(path, Options{})
			if err != nil {
				t.Fatalf("after %d changes and %d in the copy: %v", i+1, more, err)
			}
			if err := errors.Join(work(c, 10+more), c.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestBackupUnderWay backs up while others work: everything acknowledged before it is in it, and nothing by half.
func TestBackupUnderWay(t *testing.T) {
	s := mustOpen(t, file(t), Options{Reserve: -1})
	var mu sync.Mutex
	acked, stop := map[int]bool{}, make(chan struct{})
	worked, failed := make(chan struct{}, 1), make(chan struct{}, 3)
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := g + 1; ; i += 3 {
				select {
				case <-stop:
					return
				default:
				}
				if err := work(s, i); err != nil {
					t.Error(err)
					failed <- struct{}{}
					return
				}
				mu.Lock()
				acked[i] = true
				mu.Unlock()
				select {
				case worked <- struct{}{}:
				default:
				}
			}
		})
	}
	for range rounds(5, 100) {
		select {
		case <-worked: // since the round before
		case <-failed:
			t.FailNow()
		}
		mu.Lock()
		before := map[int]bool{}
		for i := range acked {
			before[i] = true
		}
		mu.Unlock()
		path, _ := backUp(t, s)
		c, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(verify(c, before), c.Close(), os.Remove(path)); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}

// TestBackupDamage harms backups: none that is accepted as sealed differs from what was backed up.
func TestBackupDamage(t *testing.T) {
	r := dice(t)
	s := mustOpen(t, file(t), Options{})
	for i := range 40 {
		if err := work(s, i+1); err != nil {
			t.Fatal(err)
		}
	}
	path, _ := backUp(t, s)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, plain := 0, 0
	for range rounds(300, 5000) {
		bad, how := harm(bytes.Clone(good), len(good), r)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := VerifyBackup(path)
		switch {
		case errors.Is(err, store.ErrDamaged) && strings.Contains(err.Error(), path):
			refused++
		case err != nil:
			t.Errorf("%s: %v", how, err)
		case !info.Sealed():
			plain++ // the trailer is gone, the store before it is whole
		case !bytes.Equal(bad, good):
			t.Errorf("%s: accepted", how)
		}
	}
	t.Logf("%d refused, %d accepted as plain copies", refused, plain)
	if refused < 100 {
		t.Error("damage was hardly ever refused: this proved little")
	}
}

func TestCreateBackup(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateBackup(taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if _, err := CreateBackup(filepath.Join(dir, "none", "b")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
	s := mustOpen(t, file(t), Options{})
	var whole bytes.Buffer
	if _, err := s.Backup(context.Background(), &whole, ""); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"nothing": nil, "no trailer": whole.Bytes()[:whole.Len()-trailerSize],
		"cut": whole.Bytes()[:whole.Len()-1], "no store": []byte("hello")} {
		f, err := CreateBackup(filepath.Join(dir, "b"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Keep(); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: kept: %v", name, err)
		}
	}
	// Somebody else is faster.
	f, err := CreateBackup(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(whole.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Keep(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a faster one: %v", err)
	}
	f, err = CreateBackup(filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Fatal(err)
	}
	if n := names(t, dir); n != "b taken" {
		t.Errorf("left behind: %s", n)
	}
	if b, err := os.ReadFile(taken); string(b) != "precious" {
		t.Errorf("the file that was there holds %q, %v", b, err)
	}
}

func TestBackupTo(t *testing.T) {
	free := uint64(1 << 40)
	s := mustOpen(t, file(t), Options{Space: func(string) (uint64, uint64, error) { return free, 4 << 30, nil }})
	path := filepath.Join(t.TempDir(), "b")
	if info, err := s.BackupTo(context.Background(), path, "v1"); err != nil || !info.Sealed() {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := s.BackupTo(context.Background(), path, "v1"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over the first: %v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.BackupTo(ended, path+"2", "v1"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
	free = 64<<20 + 100
	if _, err := s.BackupTo(context.Background(), path+"2", "v1"); !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "backup.path") {
		t.Errorf("on a full disk: %v", err)
	}
	if n := names(t, filepath.Dir(path)); n != "b" {
		t.Errorf("left behind: %s", n)
	}
}

// TestBackupOffline backs up a store that nobody uses, and leaves it byte for byte as it was.
func TestBackupOffline(t *testing.T) {
	path, _ := backedUp(t, 7, 0)
	before := read(t, path)
	to := filepath.Join(t.TempDir(), "b")
	info, err := BackupOffline(context.Background(), path, to, "v1")
	if err != nil || info.TicketNumber != 1007 {
		t.Fatalf("%+v, %v", info, err)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the store was changed")
	}
	if _, err := BackupOffline(context.Background(), path+"x", to+"2", "v1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no store: %v", err)
	}
	if err := os.WriteFile(path, before[:20000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := BackupOffline(context.Background(), path, to+"2", "v1"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged store: %v", err)
	}
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, Options{})
	if _, err := BackupOffline(context.Background(), path, to+"2", "v1"); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a store at work: %v", err)
	}
}

func TestBackupFails(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Backup(ctx, &bytes.Buffer{}, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: %v", err)
	}
	broken := errors.New("the line broke")
	for _, after := range []int{0, 5000} {
		if _, err := s.Backup(context.Background(), &failing{left: after, err: broken}, ""); !errors.Is(err, broken) {
			t.Errorf("a writer that fails after %d bytes: %v", after, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(context.Background(), &bytes.Buffer{}, ""); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestVerifyBackup(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]error{"none": fs.ErrNotExist, ".": nil} {
		if _, err := VerifyBackup(filepath.Join(dir, name)); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	path := file(t)
	s := mustOpen(t, path, Options{LockTimeout: time.Millisecond})
	if _, err := VerifyBackup(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a store at work: %v", err)
	}
	if err := s.engine.Update(context.Background(), func(kv store.KV) error {
		return kv.Put([]byte("mformat\x00\x01"), sealed("mformat\x00\x01", "99"))
	}); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer")
	f, err := CreateBackup(newer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(context.Background(), f, "v9"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Keep(); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "format 99") || !strings.Contains(err.Error(), "v9") {
		t.Errorf("a newer one: %v", err)
	}
}

// TestMigrationBackup: what is made before a migration is found again, and a bad one is not trusted.
func TestMigrationBackup(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	path := MigrationBackup(s.engine.path, 1)
	if err := s.engine.backUpBeside(path); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.engine.backUpBeside(path); err != nil {
		t.Errorf("with a good one there: %v", err)
	}
	if again, err := os.Stat(path); err != nil || !os.SameFile(first, again) {
		t.Errorf("the good one was replaced: %v", err)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.backUpBeside(path); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "move "+path) {
		t.Errorf("with a bad one there: %v", err)
	}
}

func FuzzReadTrailer(f *testing.F) {
	good, err := BackupInfo{TakenAt: time.Unix(1, 0), Release: "v1", Size: 4096, SHA256: strings.Repeat("ab", 32)}.trailer()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Repeat([]byte(trailerHead), 40)[:trailerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		info, ok, err := readTrailer(b)
		if !ok {
			if info.Sealed() {
				t.Errorf("%+v, %v: no trailer, and yet it tells", info, err)
			}
			return
		}
		again, err := info.trailer()
		if err != nil {
			t.Fatal(err)
		}
		if back, ok, err := readTrailer(again); !ok || err != nil || fmt.Sprint(back) != fmt.Sprint(info) {
			t.Errorf("%+v became %+v, %v", info, back, err)
		}
	})
}
