package sample

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeptReadsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	k := keep(path)
	if _, err := k.read(); !os.IsNotExist(err) {
		t.Fatalf("before the file is there: error %v", err)
	}
	for _, content := range []string{"a", "", strings.Repeat("long ", 5000), "short", strings.Repeat("x", 4096)} {
		write(t, path, content)
		got, err := k.read()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != content {
			t.Errorf("got %d bytes, want %d", len(got), len(content))
		}
	}
}

func TestKeptOpensOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	write(t, path, "first")
	k := keep(path)
	if _, err := k.read(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := k.read(); err != nil || string(got) != "first" {
		t.Errorf("got %q and error %v: it was opened again", got, err)
	}
	// What cannot be read any more is looked up again.
	k.file.Close()
	write(t, path, "second")
	if got, err := k.read(); err != nil || string(got) != "second" {
		t.Errorf("got %q and error %v, want the file that took its place", got, err)
	}
	k.file.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := k.read(); !os.IsNotExist(err) {
		t.Errorf("error %v, want that it is gone", err)
	}
}

func TestKeptRefusesEndlessFile(t *testing.T) {
	if _, err := keep("/dev/zero").read(); err == nil || !strings.Contains(err.Error(), "/dev/zero") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestSlurpDoesNotWaitForAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := slurp(path, nil); err != nil || len(got) != 0 {
		t.Errorf("got %q and error %v", got, err)
	}
}

func TestDecimal(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want uint64
		ok   bool
	}{
		{"0", 0, true}, {"18446744073709551615", 1<<64 - 1, true}, {"18446744073709551616", 0, false}, {"", 0, false},
		{"99999999999999999999", 0, false}, {"184467440737095516150", 0, false}, {"1x", 0, false}, {"-1", 0, false}, {"007", 7, true},
	} {
		if got, ok := decimal([]byte(tt.in)); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %d, %t; want %d, %t", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}
