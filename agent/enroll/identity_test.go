package enroll

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func enrolled(t *testing.T) (*fake, string) {
	t.Helper()
	f := startFake(t, "127.0.0.1:0", -time.Hour, time.Hour, "127.0.0.1")
	dir := t.TempDir()
	if _, err := Enroll(t.Context(), Options{Token: f.token(), Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return f, dir
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
		is     error
		says   []string
	}{
		{"nothing there", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, keyFile))) }, ErrNotEnrolled, []string{"watchbill-agent enroll"}},
		{"key readable by others", func(t *testing.T, dir string) {
			if runtime.GOOS == "windows" {
				t.Skip("mode bits say nothing here")
			}
			must(t, os.Chmod(filepath.Join(dir, keyFile), 0o640))
		}, ErrKeyExposed, []string{"chmod 600", "0640"}},
		{"key cut off", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, keyFile), 100)) }, nil, []string{keyFile, "enrol again"}},
		{"authorities gone", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, caFile))) }, os.ErrNotExist, []string{caFile}},
		{"authorities empty", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, caFile), 0)) }, nil, []string{caFile, "no certificate"}},
		{"facts cut off", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, factsFile), 10)) }, nil, []string{factsFile}},
		{"no collector", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, factsFile), []byte(`{"collector":"nowhere"}`), 0o600))
		}, nil, []string{factsFile, "host:port"}},
	}
	_, good := enrolled(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(good)))
			for _, n := range []string{keyFile, caFile, factsFile} {
				must(t, os.Chmod(filepath.Join(dir, n), 0o600))
			}
			if _, err := Load(dir); err != nil {
				t.Fatalf("before the damage: %v", err)
			}
			tt.damage(t, dir)
			_, err := Load(dir)
			if err == nil {
				t.Fatal("loaded")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v, want one that wraps %q", err, tt.is)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error does not say %q: %v", s, err)
				}
			}
		})
	}
}

func TestRenewAtIgnoresTheTimeOfAnotherCertificate(t *testing.T) {
	_, dir := enrolled(t)
	id, err := Load(dir)
	must(t, err)
	leaf := id.Certificate.Leaf
	twoThirds := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
	for name, tt := range map[string]struct{ told, want time.Time }{
		"as told":                 {leaf.NotBefore.Add(time.Minute), leaf.NotBefore.Add(time.Minute)},
		"not told":                {time.Time{}, twoThirds},
		"of the next certificate": {leaf.NotAfter.Add(time.Minute), twoThirds},
		"of an older certificate": {leaf.NotBefore.Add(-time.Minute), twoThirds},
	} {
		t.Run(name, func(t *testing.T) {
			id.RenewAt = tt.told
			if got := id.renewAt(); !got.Equal(tt.want) {
				t.Errorf("renew at %v, want %v", got, tt.want)
			}
		})
	}
}

// A rename that fails leaves what was there.
func TestWriteFileKeepsTheOldOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	must(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o700))
	if err := writeFile(path, []byte("new")); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v, want one that names %s", err, path)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
