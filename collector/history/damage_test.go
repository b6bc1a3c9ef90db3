package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A crash leaves the lock file and a torn log behind.
func TestTornLogIsRepaired(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Options{})
	for i := range 3 {
		h.hear(one(noon.Add(time.Duration(i)*time.Second), float64(i), "__name__", "load"))
		run(t, h)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "tsdb", "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	last := segments[len(segments)-1]
	log, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	log = bytes.TrimRight(log, "\x00") // pages are filled up
	if err := os.WriteFile(last, log[:len(log)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, Options{})
	if got := values(t, again, "load"); got != "0:0 1:1" {
		t.Errorf("read %q, want all but the torn end", got)
	}
	again.hear(one(noon.Add(time.Minute), 9, "__name__", "load"))
	run(t, again)
	if got := values(t, again, "load"); got != "0:0 1:1 60:9" {
		t.Errorf("after writing on: %q", got)
	}
	if got := testutil.ToFloat64(again.metrics.damaged); got != 0 {
		t.Errorf("moved aside %v times, want it repaired", got)
	}
}

// What cannot be repaired is moved aside, and the collector goes on.
func TestDamageIsMovedAside(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, tsdb string){
		"a file in place of the directory": func(t *testing.T, tsdb string) { put(t, tsdb, "not a directory") },
		"a file in place of the log":       func(t *testing.T, tsdb string) { put(t, filepath.Join(tsdb, "wal"), "x") },
		"a block that is none": func(t *testing.T, tsdb string) {
			put(t, filepath.Join(tsdb, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "meta.json"), `{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","version":1}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			old := filepath.Join(dir, "tsdb.damaged-20200101T000000Z")
			put(t, filepath.Join(old, "x"), "the one before")
			damage(t, filepath.Join(dir, "tsdb"))
			reg := prometheus.NewRegistry()
			h := open(t, dir, Options{Registerer: reg})
			h.hear(one(noon, 1, "__name__", "load"))
			run(t, h)
			if got := values(t, h, "load"); got != "0:1" {
				t.Errorf("read %q, want what was written since", got)
			}
			aside, err := filepath.Glob(filepath.Join(dir, "tsdb.damaged-*"))
			if err != nil || len(aside) != 1 || aside[0] == old {
				t.Errorf("aside lie %v, want the newest damage alone (%v)", aside, err)
			}
			if got := testutil.ToFloat64(h.metrics.damaged); got != 1 {
				t.Errorf("counted %v, want 1", got)
			}
			if n, err := testutil.GatherAndCount(reg, "prometheus_tsdb_head_series", "watchbill_history_up"); n != 2 || err != nil {
				t.Errorf("%d metrics of two (%v)", n, err)
			}
		})
	}
}

func put(t *testing.T, name, content string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A full disk is noticed before it is written to; nothing is moved aside for it, and history goes on by itself.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir, Options{MinFree: 1})
	h.hear(one(noon, 1, "__name__", "load"))
	run(t, h)
	var free atomic.Uint64
	h.free = func(string) (uint64, uint64, error) { return free.Load(), 1 << 30, nil }
	if err := h.write([]*batch{one(noon.Add(time.Second), 2, "__name__", "load").batch(h)}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("on a full disk: %v, want ENOSPC", err)
	}
	h.upkeep(t.Context())
	if got := values(t, h, "load"); got != "0:1" {
		t.Errorf("on a full disk read %q, want what was there", got)
	}
	h.hear(one(noon.Add(2*time.Second), 3, "__name__", "load"))
	run(t, h) // one attempt at what is left when stopping
	if got := dropped(h, "write_failed"); got != 1 {
		t.Errorf("dropped %v at the end, want 1", got)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	full := newHistory(dir, h.o, h.metrics)
	full.free = h.free
	t.Cleanup(func() {
		if err := full.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := full.ready(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("opening on a full disk: %v, want ENOSPC", err)
	}
	free.Store(1 << 30)
	full.hear(one(noon.Add(3*time.Second), 4, "__name__", "load"))
	run(t, full)
	if got := values(t, full, "load"); got != "0:1 3:4" {
		t.Errorf("with space again read %q, want 0:1 3:4", got)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "tsdb.damaged-*")); len(aside) != 0 {
		t.Errorf("a full disk was taken for damage: %v", aside)
	}
}

// While it is open and nothing can be written it says so, with the reason and no path, and counts as down.
func TestFullDiskIsToldToReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := open(t, dir, Options{})
		h.hear(one(noon, 1, "__name__", "load"))
		run(t, h)
		if err := h.Behind(); err != nil || !h.Well() || testutil.ToFloat64(h.metrics.up) != 1 {
			t.Errorf("while all is well: %v", err)
		}
		h.free = func(string) (uint64, uint64, error) { return 0, 1 << 30, nil }
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx) }()
		began := time.Now()
		for range 2 { // the second is tried when the first was dropped
			h.hear(one(noon.Add(time.Second), 2, "__name__", "load"))
			time.Sleep(4 * time.Minute)
			want := "history takes no samples since " + began.UTC().Format(time.RFC3339) + ": no space left on device"
			if err := h.Behind(); err == nil || err.Error() != want || h.Well() {
				t.Errorf("on a full disk: %v, want %s", err, want)
			}
			if got := testutil.ToFloat64(h.metrics.up); got != 0 {
				t.Errorf("on a full disk up is %v", got)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.free = freeSpace
		h.keep(t.Context(), []*batch{one(noon.Add(2*time.Second), 3, "__name__", "load").batch(h)})
		if err := h.Behind(); err != nil || testutil.ToFloat64(h.metrics.up) != 1 {
			t.Errorf("with space again: %v", err)
		}
	})
}

func TestOpenWithoutADirectoryDoesNotStopTheCollector(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "history")
	put(t, dir, "a file is in the way")
	var log strings.Builder
	h := open(t, dir, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := h.Series(t.Context(), match("a", "b"), noon, noon, 10); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if !strings.Contains(log.String(), "runs without it") {
		t.Errorf("log says %q", log.String())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	h.hear(one(noon, 1, "__name__", "load"))
	run(t, h)
	if got := values(t, h, "load"); got != "0:1" {
		t.Errorf("with the file gone read %q", got)
	}
}

// The TSDB panics when it cannot write its head's chunks; that costs history, not the collector.
func TestAPanicInsideCostsHistoryAlone(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	for range maxLost {
		s, err := h.ready()
		if err != nil {
			t.Fatal(err)
		}
		err = guarded(func() error { panic(syscall.ENOSPC) })
		if !errors.Is(err, errPanicked) || !strings.Contains(err.Error(), "no space") {
			t.Fatalf("guarded: %v", err)
		}
		h.abandon(s, err)
		h.abandon(s, err)                    // once is enough
		if err := s.db.Close(); err != nil { // the test leaves nothing behind
			t.Fatal(err)
		}
	}
	if _, err := h.ready(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after %d panics: %v, want ErrUnavailable until the next start", maxLost, err)
	}
	if err := h.write([]*batch{one(noon, 1, "__name__", "load").batch(h)}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("writing: %v", err)
	}
}

func TestPassingFaultsAreNoDamage(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EACCES, syscall.EROFS, syscall.EMFILE, syscall.EIO} {
		if !passing(fmt.Errorf("open: %w", &os.PathError{Op: "open", Path: "x", Err: err})) {
			t.Errorf("%v would be taken for damage", err)
		}
	}
	if passing(errors.New("unexpected magic number")) || passing(&os.PathError{Op: "open", Path: "x", Err: syscall.ENOTDIR}) {
		t.Error("damage would be waited for for ever")
	}
}
