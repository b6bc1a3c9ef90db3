package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedIsWhatGenMakes: the JSON beside is what this program makes, every file of it and no other.
func TestCommittedIsWhatGenMakes(t *testing.T) {
	fresh := t.TempDir()
	if err := write(fresh); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(fresh, "*.json"))
	if err != nil || len(made) != len(all()) {
		t.Fatalf("made %d files of %d dashboards, %v", len(made), len(all()), err)
	}
	committed, err := filepath.Glob("../*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(committed) != len(made) {
		t.Errorf("%d files are committed and %d made: %v: run go generate ./dashboards, and remove what is left over", len(committed), len(made), committed)
	}
	for _, name := range made {
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", filepath.Base(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what gen makes (%v): run go generate ./dashboards", filepath.Base(name), err)
		}
	}
}

// TestWriteSaysWhere: a directory that is not there is an error that names the file.
func TestWriteSaysWhere(t *testing.T) {
	if err := write(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}
