package history

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules/window"
)

// A disk that is filled up by somebody else under the open TSDB, faster than the check for free space can see.
func TestDiskFilledUnderUs(t *testing.T) {
	if dir := os.Getenv(fullDiskEnv); dir != "" {
		fillUnderUs(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFilledUnderUs$", "-test.v")
	cmd.Env = append(os.Environ(), fullDiskEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	var refused *os.PathError
	if exit, ok := errors.AsType[*exec.ExitError](err); (ok && exit.ExitCode() == 99) || errors.As(err, &refused) {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			t.Fatalf("required here: a small file system cannot be mounted: %v\n%s", err, out)
		}
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	if err != nil {
		t.Errorf("the collector would have died of it: %v\n%s", err, out)
	}
}

func fillUnderUs(t *testing.T, dir string) {
	for _, err := range []error{
		syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("none", dir, "tmpfs", 0, "size=16m"),
	} {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
	}
	h := open(t, filepath.Join(dir, "history"), Options{})
	h.free = func(path string) (uint64, uint64, error) {
		if h.shelf.Load() != nil { // looked too early to see it
			return 1 << 30, 1 << 30, nil
		}
		return freeSpace(path)
	}
	h.o.MinFree = 1 << 20
	at := noon
	layout := &window.Layout{}
	for i := range 200 {
		layout.Series = append(layout.Series, labels.FromStrings("__name__", "load", "i", fmt.Sprint(i)))
	}
	append60 := func() error { // an hour of samples, many series, so that chunks are cut
		var batches []*batch
		for range 60 {
			at = at.Add(time.Minute)
			values := make([]float64, len(layout.Series))
			for i := range values {
				values[i] = float64(at.Unix() * int64(i) % 977)
			}
			batches = append(batches, report("web1", at, layout, values...).batch(h))
		}
		return h.write(batches)
	}
	for range 3 {
		if err := append60(); err != nil {
			t.Fatal(err)
		}
	}
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = f.Write(make([]byte, 4096)); err == nil; _, err = f.Write(make([]byte, 4096)) {
	}
	if f.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	h.upkeep(t.Context())
	failed := 0
	for range 4 {
		if append60() != nil {
			failed++
		}
		h.upkeep(t.Context())
	}
	if failed == 0 || testutil.ToFloat64(h.metrics.writeFailures) == 0 {
		t.Errorf("%d writes and %v rounds of upkeep failed: this test filled nothing", failed, testutil.ToFloat64(h.metrics.writeFailures))
	}
	t.Logf("%d writes and %v rounds of upkeep failed, %d TSDBs were given up", failed, testutil.ToFloat64(h.metrics.writeFailures), h.lost)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if h.lost >= maxLost {
		return // until the next start, as the log says
	}
	if err := append60(); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if curves, err := h.Series(t.Context(), match("i", "7"), at.Add(-time.Minute), at, 10); err != nil || len(curves) != 1 {
		t.Errorf("with space again read %v, %v", curves, err)
	}
}
