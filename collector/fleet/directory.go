package fleet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Directory is what people declare about the fleet: who is watched, under which contract, and who is who.
type Directory struct {
	// People are the operator's own, and anybody who is named more than once.
	People []Person `yaml:"people,omitempty"`
	// Contacts are the operator's own roles.
	Contacts         []Contact    `yaml:"contacts,omitempty"`
	Departments      []Department `yaml:"departments,omitempty"`
	ApprovedSoftware []Software   `yaml:"approved_software,omitempty"`
	Customers        []Customer   `yaml:"customers,omitempty"`
	// lines says on which line a key stands that stands apart from its entry's beginning, by place; empty for a directory
	// made in code and for one without faults.
	lines map[string]string
}

// place names a key of an entry for Directory.lines: the entry's kind and where it stands, and the key.
func place(kind, at, key string) string { return kind + " " + at + " " + key }

// LoadDirectory reads every *.yml and *.yaml below dir (files and directories whose name begins with a dot are left
// alone) and checks the whole. The error names every fault at once, each with file and line.
func LoadDirectory(dir string) (Directory, error) {
	d := Directory{lines: map[string]string{}}
	var errs []error
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case e.IsDir() || !isYAML(path):
			return nil
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name == "." { // dir is itself a file
			name = filepath.Base(path)
		}
		errs = append(errs, d.read(name, body)...)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return Directory{}, fmt.Errorf("read fleet directory %s: it does not exist: create it and declare customers "+
			"in *.yml files there, or name another: %w", dir, err)
	}
	if err != nil {
		return Directory{}, fmt.Errorf("read fleet directory %s: %w", dir, err)
	}
	d = d.settled()
	if err := errors.Join(append(errs, d.faults()...)...); err != nil {
		return Directory{}, fmt.Errorf("fleet directory %s:\n%w", dir, err)
	}
	d.lines = nil
	return d, nil
}

// ReadDirectory reads one file of a directory strictly; name is what faults call it. What it refers to may stand elsewhere
// and is not looked for. The error names every fault at once, each with file and line.
func ReadDirectory(name string, body []byte) (Directory, error) {
	d := Directory{lines: map[string]string{}}
	if err := errors.Join(d.read(name, body)...); err != nil {
		return Directory{}, err
	}
	d.lines = nil
	return d, nil
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yml" || ext == ".yaml"
}

// Location is the customer's own time zone; UTC when none is declared for it. The zone of a valid directory always loads.
func (c Customer) Location() *time.Location {
	if l, err := LoadZone(c.Zone); err == nil {
		return l
	}
	return time.UTC
}
