package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/store/storetest"
)

func put(ctx context.Context, s store.Store, name string) error {
	return s.Update(ctx, "", func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: name}) })
}

func assets(t *testing.T, s store.Store) string {
	t.Helper()
	var names []string
	err := s.View(context.Background(), func(tx store.Tx) error {
		all, err := tx.Assets()
		for _, a := range all {
			names = append(names, a.Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

// held is an update that has begun to commit and waits to be released, with others queued behind it.
type held struct {
	begun, release chan struct{}
	done           chan error
}

func hold(s store.Store, fn func(store.Tx) error) held {
	h := held{make(chan struct{}), make(chan struct{}), make(chan error, 1)}
	go func() {
		var once sync.Once
		h.done <- s.Update(context.Background(), "", func(tx store.Tx) error {
			once.Do(func() { close(h.begun) })
			<-h.release
			return fn(tx)
		})
	}()
	<-h.begun
	return h
}

// queued waits until n updates are queued.
func queued(s *Store, n int) {
	for {
		s.engine.mu.Lock()
		got := len(s.engine.queue)
		s.engine.mu.Unlock()
		if got == n {
			return
		}
		runtime.Gosched()
	}
}

func nothing(store.Tx) error { return nil }

// TestGroupCommit: what waits while one update commits is committed together.
func TestGroupCommit(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := Open(file(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := hold(s, nothing)
	const n = 50
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- put(context.Background(), s, fmt.Sprint("a", i)) }()
	}
	queued(s, n)
	before := s.engine.newest.Load()
	close(h.release)
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := len(strings.Fields(assets(t, s))); got != n {
		t.Errorf("%d of %d updates took effect", got, n)
	}
	if commits := s.engine.newest.Load() - before; commits != 1 {
		t.Errorf("%d updates that waited together took %d commits, want 1 (and none for the one that changed nothing)", n, commits)
	}
	if err := errors.Join(<-h.done, s.Close()); err != nil {
		t.Error(err)
	}
}

// TestASlowReaderIsNoDamage: a reader that began before others committed is behind them, and the file is as good as it was;
// one that begins behind what was seen before it reads a file whose newer head is gone.
func TestASlowReaderIsNoDamage(t *testing.T) {
	ctx := context.Background()
	s, err := Open(file(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	e := s.engine
	seen := e.newest.Load()
	slow, err := e.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(ctx, s, "a"), put(ctx, s, "b")); err != nil {
		t.Fatal(err)
	}
	newest := e.newest.Load()
	if newest <= seen {
		t.Fatalf("two updates took the store from transaction %d to %d", seen, newest)
	}
	if err := e.follows(slow, seen); err != nil {
		t.Errorf("a reader that was overtaken: %v", err)
	}
	if got := e.newest.Load(); got != newest {
		t.Errorf("it took what is newest from transaction %d back to %d", newest, got)
	}
	if err := e.follows(slow, newest); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a reader that began behind what was seen: %v, want damage", err)
	}
	if err := errors.Join(slow.Rollback(), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestGiveUp: an update whose context ends while it waits returns at once and has no effect; the others go on.
func TestGiveUp(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, err := Open(file(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := hold(s, nothing)
	ctx, cancel := context.WithCancel(context.Background())
	given, kept := make(chan error, 1), make(chan error, 1)
	go func() { given <- put(ctx, s, "given-up") }()
	queued(s, 1)
	go func() { kept <- put(context.Background(), s, "kept") }()
	queued(s, 2)
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("given up while waiting: %v", err)
	}
	close(h.release)
	if err := errors.Join(<-kept, <-h.done); err != nil {
		t.Error(err)
	}
	if got := assets(t, s); got != "kept" {
		t.Errorf("assets: %q, want only the kept one", got)
	}
	// One that ends while its closure runs has the real outcome.
	ctx, cancel = context.WithCancel(context.Background())
	err = s.Update(ctx, "", func(tx store.Tx) error {
		cancel()
		return tx.PutAsset(fleet.Asset{Name: "late"})
	})
	if got := assets(t, s); (err == nil) != strings.Contains(got, "late") {
		t.Errorf("context ended while committing: error %v, assets %q", err, got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestTentative: what a closure said about a state that was then not kept does not stand.
func TestTentative(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	made, line := storetest.Birth(1, "key", start)
	other, otherLine := storetest.Birth(2, "key", start)
	h := hold(s, nothing)
	errs := make(chan error, 2)
	go func() {
		errs <- s.Update(context.Background(), "", func(tx store.Tx) error {
			s.engine.db.MaxSize = 1 // so the commit fails: there is no room for what follows
			return errors.Join(tx.CreateTicket(made, line), tx.PutEvidence(made.ID, 1, make([]byte, 8<<20)))
		})
	}()
	queued(s, 1)
	go func() {
		errs <- s.Update(context.Background(), "", func(tx store.Tx) error { return tx.CreateTicket(other, otherLine) })
	}()
	queued(s, 2)
	close(h.release)
	for range 2 {
		if err := <-errs; err == nil || errors.Is(err, store.ErrOpenTwice) {
			t.Errorf("got %v, want the failure of the commit", err)
		}
	}
	if err := <-h.done; err != nil {
		t.Error(err)
	}
}

// TestGoexit: a closure that ends its goroutine, as t.FailNow does, takes nobody with it.
func TestGoexit(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = s.Update(context.Background(), "", func(tx store.Tx) error {
			if err := tx.PutAsset(fleet.Asset{Name: "half"}); err != nil {
				t.Error(err)
			}
			runtime.Goexit()
			return nil
		})
	}()
	<-gone
	if err := put(context.Background(), s, "after"); err != nil {
		t.Error(err)
	}
	if got := assets(t, s); got != "after" {
		t.Errorf("assets: %q", got)
	}
}

// TestClosing: Close waits for the update that is committing and refuses those after it.
func TestClosing(t *testing.T) {
	path := file(t)
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := hold(s, func(tx store.Tx) error { return tx.PutAsset(fleet.Asset{Name: "a"}) })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for begun := false; !begun; { // until Close has begun
		s.engine.mu.Lock()
		begun = s.engine.closed
		s.engine.mu.Unlock()
		runtime.Gosched()
	}
	if err := put(context.Background(), s, "b"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("an update after Close: %v", err)
	}
	select {
	case err := <-closed:
		t.Errorf("Close did not wait: %v", err)
	default:
	}
	close(h.release)
	if err := errors.Join(<-h.done, <-closed); err != nil {
		t.Error(err)
	}
	if got := assets(t, mustOpen(t, path, Options{})); got != "a" {
		t.Errorf("assets: %q", got)
	}
}

// TestDiskFails: after a sync that failed every update is refused until the store is opened again; reading goes on.
func TestDiskFails(t *testing.T) {
	s := mustOpen(t, file(t), Options{})
	if err := put(context.Background(), s, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.outcome(syscall.EIO); !errors.Is(err, store.ErrDisk) || !errors.Is(err, syscall.EIO) ||
		!strings.Contains(err.Error(), s.engine.path) || !strings.Contains(err.Error(), "start the collector again") {
		t.Errorf("a sync that failed: %v", err)
	}
	if err := put(context.Background(), s, "b"); !errors.Is(err, store.ErrDisk) {
		t.Errorf("an update after it: %v", err)
	}
	if got := assets(t, s); got != "a" {
		t.Errorf("assets: %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open.db")
	if err := errors.Join(os.WriteFile(open, []byte("keys"), 0o644), os.Chmod(open, 0o644)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	garbage, empty := filepath.Join(dir, "garbage.db"), filepath.Join(dir, "empty.db")
	if err := errors.Join(os.WriteFile(garbage, bytes.Repeat([]byte("no store "), 5000), 0o600), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		o    Options
		want error
		says string
	}{
		"a directory":        {dir, Options{}, nil, "is a directory"},
		"no parent":          {filepath.Join(dir, "not", "mounted", "watchbill.db"), Options{}, fs.ErrNotExist, "mount the disk"},
		"readable by others": {open, Options{}, nil, "chmod 600"},
		"something else":     {garbage, Options{}, store.ErrDamaged, "backup"},
		"emptied":            {empty, Options{}, store.ErrDamaged, "backup"},
		"no room": {filepath.Join(dir, "new.db"), Options{Space: func(string) (uint64, uint64, error) { return 1 << 20, 8 << 30, nil }},
			store.ErrFull, "bytes free"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && name == "readable by others" {
				t.Skip("Windows has other permissions")
			}
			s, err := Open(c.path, c.o)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v, want %v, naming %s and saying %q", err, c.want, c.path, c.says)
			}
		})
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*"+draftMark+"*")); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestCreation: the file is private, what interrupted starts left is swept away, and what others put there stays.
func TestCreation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	path := filepath.Join(dir, "watchbill.db")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{".new", ".new-TORN", ".old", ".kept.new", ".newest"} {
		if err := os.WriteFile(path+end, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, path, Options{})
	names, err := filepath.Glob(path + "*")
	if want := []string{path, path + ".kept.new", path + ".newest", path + ".old"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("%s holds %v, %v; want %v", dir, names, err, want)
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v, %v; want mode 0600", info.Mode(), err)
	}
}

// TestTogether: many that open a new store at once end up with one store, and one of them has it.
func TestTogether(t *testing.T) {
	path := file(t)
	var wg sync.WaitGroup
	stores, errs := make([]*Store, 4), make([]error, 4)
	for i := range stores {
		wg.Go(func() { stores[i], errs[i] = Open(path, Options{LockTimeout: 100 * time.Millisecond}) })
	}
	wg.Wait()
	have := 0
	for i, s := range stores {
		if s != nil {
			have++
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(errs[i], store.ErrLocked) && !errors.Is(errs[i], fs.ErrExist) && !errors.Is(errs[i], fs.ErrNotExist) {
			t.Error(errs[i])
		}
	}
	if have > 1 {
		t.Errorf("%d of them have the store", have)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) > 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
