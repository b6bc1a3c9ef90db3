package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/agent"
)

// TestLogFile: lines go to the file, it is put aside when it is full, and the oldest ones go.
func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	var fallback bytes.Buffer
	cfg := agent.DefaultConfig().Log
	cfg.File, cfg.MaxSize, cfg.Keep = filepath.Join(dir, "agent.log"), 1<<20, 2
	log, err := logger(cfg, &fallback)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(cfg.File)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("the file is made at the start: %v, %v", st, err)
	}
	line := strings.Repeat("x", 100<<10)
	for i := range 12 { // 1.2 MiB
		log.Info(line, "i", i)
	}
	found, err := filepath.Glob(filepath.Join(dir, "agent*.log"))
	if err != nil || len(found) != 2 {
		t.Fatalf("files: %v, %v", found, err)
	}
	for _, f := range found {
		if st, err := os.Stat(f); err != nil || st.Size() > 1<<20 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st, err)
		}
	}
	if fallback.Len() != 0 {
		t.Errorf("standard error got %d bytes", fallback.Len())
	}
	log.Info(strings.Repeat("y", 2<<20)) // more than the file ever takes
	if fallback.Len() < 2<<20 {
		t.Error("what the file does not take is lost")
	}
}

func TestLogFileFaults(t *testing.T) {
	if _, err := agent.OpenLogFile(filepath.Join(t.TempDir(), "none", "a.log"), 1<<20, 1, &bytes.Buffer{}); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "make its directory") {
		t.Errorf("no directory: %v", err)
	}
	if _, err := agent.OpenLogFile(t.TempDir(), 1<<20, 1, &bytes.Buffer{}); err == nil {
		t.Error("a directory was opened as a log")
	}
	broken := errors.New("broken")
	l, err := agent.OpenLogFile(filepath.Join(t.TempDir(), "a.log"), 1<<20, 1, failing{broken})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(l, strings.Repeat("y", 2<<20)); !errors.Is(err, broken) {
		t.Errorf("neither takes it: %v", err)
	}
	if _, err := fmt.Fprintln(l, "short"); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
