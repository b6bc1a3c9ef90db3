package sample

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// maxLogFiles bounds the files that are followed.
	maxLogFiles = 64
	// maxLogNames bounds the names of one directory that are compared with a pattern.
	maxLogNames = 2000
	// maxLogDirs bounds the directories that one pattern leads into.
	maxLogDirs = 100
)

// finding is what patterns lead to.
type finding struct {
	files []logFile
	// closed is why what a pattern leads to cannot be looked at, by path.
	closed map[string]error
	// more is how many files more there are than are followed.
	more int
}

// findLogs looks for the files that patterns name; what exclude matches is left out. A pattern without * ? [ is a name,
// whether the file is there or not.
func findLogs(h host, patterns []string, exclude func(string) bool) finding {
	f := finding{closed: map[string]error{}}
	for _, p := range patterns {
		dir, elements := splitPattern(p)
		matches := []string{""}
		for i, e := range elements {
			matches = f.expand(h, dir, matches, e, i == len(elements)-1)
		}
		for _, name := range matches {
			file := logFile{dir, name}
			if exclude(file.String()) || slices.Contains(f.files, file) {
				continue
			}
			if len(f.files) >= maxLogFiles {
				f.more++
				continue
			}
			f.files = append(f.files, file)
		}
	}
	return f
}

// splitPattern cuts a pattern behind the last directory that it names without a wildcard.
func splitPattern(p string) (dir string, elements []string) {
	all := strings.Split(strings.TrimPrefix(path.Clean(p), "/"), "/")
	n := slices.IndexFunc(all, hasWildcard)
	if n < 0 {
		n = len(all) - 1
	}
	return "/" + strings.Join(all[:n], "/"), all[n:]
}

func hasWildcard(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// expand goes one element deeper from each of the names below dir.
func (f *finding) expand(h host, dir string, names []string, element string, last bool) []string {
	var out []string
	for i, n := range names {
		if i == maxLogDirs {
			break
		}
		if !hasWildcard(element) {
			out = append(out, path.Join(n, element))
			continue
		}
		entries, kinds, err := readNames(h, logFile{dir, path.Join(".", n)}, maxLogNames)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
				f.closed[path.Join(dir, n)] = err
			}
			continue
		}
		for j, e := range entries {
			// What is a link decides itself when it is opened.
			fits := last && !kinds[j].IsDir() || !last && (kinds[j].IsDir() || kinds[j]&fs.ModeSymlink != 0)
			if ok, err := path.Match(element, e); ok && err == nil && fits {
				out = append(out, path.Join(n, e))
			}
		}
	}
	return out
}

// readNames lists a directory below another, sorted, up to so many of its names.
func readNames(h host, dir logFile, most int) (names []string, kinds []fs.FileMode, err error) {
	root, err := os.OpenRoot(h.root(dir.dir))
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(dir.name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		names, kinds = append(names, e.Name()), append(kinds, e.Type())
	}
	return names, kinds, nil
}

// either matches what any of the expressions does; nothing when there are none.
func either(exprs []string) func(string) bool {
	if len(exprs) == 0 {
		return func(string) bool { return false }
	}
	return regexp.MustCompile("(?:" + strings.Join(exprs, ")|(?:") + ")").MatchString
}
