// Package policy reads, checks and composes policy sets: what a priority is, which clocks run, what has to be there
// before something is done, who owns a ticket and who is told. A set is data; nothing of it is in Go. For one customer at
// one time the sets of the contract become the terms that tickets and routes go by.
package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/rules/policies"
)

// DefaultSet is the name of the set for customers without a contract.
const DefaultSet = "default"

// setFile is the file of a set that has a directory of its own.
const setFile = "policy.yml"

// Book is every policy set that is loaded. It never changes and is safe for concurrent use.
type Book struct {
	sets map[string]Set
}

// Shipped is the book of the sets that ship. It fails only when they are faulty, which their tests rule out.
func Shipped() (*Book, error) {
	b, err := read(policies.Files(), "")
	if err != nil {
		return nil, fmt.Errorf("shipped policy sets: %w", err)
	}
	return b, nil
}

// Load is the book of the shipped sets and those of a directory: NAME/policy.yml or NAME.yml each. One of the same name
// as a shipped one replaces it. The error joins every fault of every file, each a Finding with file and line.
func Load(dir string) (*Book, error) {
	b, err := Shipped()
	if err != nil {
		return nil, err
	}
	own, err := LoadSets(dir)
	if err != nil {
		return nil, err
	}
	for _, set := range own {
		b.sets[set.Name] = set
	}
	return b, faultsOf(b.clashes())
}

// LoadSets are the sets of a directory alone, by name. The error is as Load's.
func LoadSets(dir string) ([]Set, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read policy sets: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("read policy sets: %s is no directory: name one that holds NAME/policy.yml or NAME.yml", dir)
	}
	own, err := read(os.DirFS(dir), dir)
	if err != nil {
		return nil, err
	}
	return own.Sets(), nil
}

// LoadSet is one set from its directory (which holds policy.yml) or its file, without any other. The error is as Load's.
func LoadSet(file string) (Set, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, setFile)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return Set{}, fmt.Errorf("read policy set: %w", err)
	}
	s, err := Parse(file, content)
	return s, errors.Join(err, faultsOf(s.misnamed(file)))
}

// With is the book with a further set; one of the same name is replaced.
func (b *Book) With(s Set) *Book {
	sets := maps.Clone(b.sets)
	sets[s.Name] = s
	return &Book{sets: sets}
}

// read reads all sets of a file system; dir is what their files' names are told with.
func read(files fs.FS, dir string) (*Book, error) {
	names, err := setFiles(files)
	if err != nil {
		return nil, fmt.Errorf("read policy sets: %w", err)
	}
	b := &Book{sets: map[string]Set{}}
	var errs []error
	for _, name := range names {
		content, err := fs.ReadFile(files, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read policy set: %w", err))
			continue
		}
		at := filepath.Join(dir, filepath.FromSlash(name))
		s, err := Parse(at, content)
		if err != nil {
			errs = append(errs, err)
		}
		if first, twice := b.sets[s.Name]; twice && s.Name != "" {
			errs = append(errs, Finding{Where: s.line("name"), Text: fmt.Sprintf("a set %q is in %s already", s.Name, first.At),
				Fix: "give one of them another name", Fault: true})
		}
		if err := faultsOf(s.misnamed(at)); err != nil {
			errs = append(errs, err)
		}
		b.sets[s.Name] = s
	}
	return b, errors.Join(errs...)
}

// setFiles are NAME/policy.yml and NAME.yml, sorted.
func setFiles(files fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if e.IsDir() {
			file := path.Join(e.Name(), setFile)
			if _, err := fs.Stat(files, file); err == nil {
				names = append(names, file)
			}
		} else if path.Ext(e.Name()) == ".yml" && !strings.HasSuffix(e.Name(), "_test.yml") && e.Name() != "sentences.yml" {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// nameOf is the name that a set's file gives it: that of its directory for policy.yml, wherever it is read from, otherwise
// its own.
func nameOf(file string) string {
	if filepath.Base(file) != setFile {
		return strings.TrimSuffix(filepath.Base(file), ".yml")
	}
	if full, err := filepath.Abs(file); err == nil { // "policy.yml" alone: the directory that it is read in
		file = full
	}
	return filepath.Base(filepath.Dir(file))
}

// misnamed finds a name that the set's file does not bear: read with other sets it would be refused.
func (s Set) misnamed(file string) []Finding {
	want := nameOf(file)
	if s.Name == "" || s.Name == want {
		return nil
	}
	return []Finding{{Where: s.line("name"), Text: fmt.Sprintf("the set is called %q but its file stands under %q", s.Name, want),
		Fix: "give both one name, so that it is found", Fault: true}}
}

// Parse reads one set. The error joins every fault, each a Finding that names file and line.
func Parse(file string, content []byte) (Set, error) {
	s, found := readSet(file, content)
	if s.Lines == nil {
		return s, faultsOf(found)
	}
	form := map[string]bool{}
	for _, f := range found {
		form[f.Where] = true
	}
	for _, f := range s.check() {
		if !form[f.Where] { // what cannot be read there is said; what follows from it is not
			found = append(found, f)
		}
	}
	return s, faultsOf(sorted(found))
}

// Sets are all sets, by name.
func (b *Book) Sets() []Set {
	out := make([]Set, 0, len(b.sets))
	for _, name := range b.names() {
		out = append(out, b.sets[name])
	}
	return out
}

func (b *Book) names() []string { return slices.Sorted(maps.Keys(b.sets)) }

// Set finds a set by its name.
func (b *Book) Set(name string) (Set, bool) {
	s, ok := b.sets[name]
	return s, ok
}

// line is file:line of a top-level key, the file where the set does not have it.
func (s Set) line(key string) string {
	if n := s.Lines[key]; n > 0 {
		return fmt.Sprintf("%s:%d", s.At, n)
	}
	return s.At
}
