package rules

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the verdicts that the real promtool gives into testdata")

// The corpus is testdata/promtool.txt: files of tests with their rules, and the verdict of the real promtool on each and
// on its mutants, one letter each: p for passed, f for failed, ? for left to chance. `go test ./rules -run Promtool -update` asks promtool again.
const corpusFile = "testdata/promtool.txt"

// item is one file of tests of the corpus.
type item struct {
	name string
	// files by name, in the order they stand there; test.yml is the tests.
	names []string
	files map[string]string
	// verdicts are of the test as it is and of its mutants.
	verdicts string
}

func readCorpus(t *testing.T) []item {
	t.Helper()
	text, err := os.ReadFile(corpusFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []item
	for _, part := range strings.Split(string(text), "\n=== ")[1:] {
		head, rest, _ := strings.Cut(part, "\n")
		name, verdicts, _ := strings.Cut(head, " => ")
		it := item{name: name, verdicts: verdicts, files: map[string]string{}}
		for _, f := range strings.Split("\n"+rest, "\n--- ")[1:] {
			file, body, _ := strings.Cut(f, "\n")
			it.names = append(it.names, file)
			it.files[file] = strings.TrimSuffix(body, "\n") + "\n"
			if strings.TrimSpace(body) == "" {
				it.files[file] = ""
			}
		}
		out = append(out, it)
	}
	return out
}

func writeCorpus(t *testing.T, items []item) {
	t.Helper()
	old, err := os.ReadFile(corpusFile)
	if err != nil {
		t.Fatal(err)
	}
	intro, _, _ := strings.Cut(string(old), "\n=== ")
	var b strings.Builder
	b.WriteString(strings.TrimSpace(intro))
	for _, it := range items {
		fmt.Fprintf(&b, "\n\n=== %s => %s", it.name, it.verdicts)
		for _, name := range it.names {
			fmt.Fprintf(&b, "\n--- %s\n%s", name, strings.TrimSuffix(it.files[name], "\n"))
		}
	}
	b.WriteString("\n")
	if err := os.WriteFile(corpusFile, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a file of the repository
		t.Fatal(err)
	}
}

// How many mutants of an item have kept verdicts, and how many are compared with a promtool that is there.
const (
	mutantsKept = 6
	mutantsLive = 80
)

var digits = regexp.MustCompile(`[0-9]+`)

// mutants are variations of an item, spread evenly over all there are: a number one higher, a line left out, a line twice.
// Most break an expectation, some break the form, some change nothing.
func (it item) mutants(most int) []item {
	type edit struct {
		file     string
		from, to int
		text     string
	}
	var all []edit
	for _, file := range it.names {
		text := it.files[file]
		for _, at := range digits.FindAllStringIndex(text, -1) {
			n := 0
			if _, err := fmt.Sscan(text[at[0]:at[1]], &n); err == nil {
				all = append(all, edit{file, at[0], at[1], fmt.Sprint(n + 1)})
			}
		}
		at := 0
		for line := range strings.SplitAfterSeq(text, "\n") {
			all = append(all, edit{file, at, at + len(line), ""}, edit{file, at, at, line})
			at += len(line)
		}
	}
	n := min(most, len(all))
	var out []item
	for i := range n {
		e := all[i*len(all)/n]
		files := maps.Clone(it.files)
		files[e.file] = files[e.file][:e.from] + e.text + files[e.file][e.to:]
		out = append(out, item{name: fmt.Sprintf("%s, mutant %d", it.name, i), files: files})
	}
	return slices.DeleteFunc(out, item.endless)
}

// endless tells that one digit made a test of minutes one of many years.
func (it item) endless() bool {
	file, err := parseTests("test.yml", []byte(it.files["test.yml"]))
	return err == nil && slices.ContainsFunc(file.Tests, func(t testGroup) bool {
		return t.last() > 3000*time.Duration(file.EvaluationInterval)
	})
}

// write puts an item's files into a directory and returns the test's path.
func (it item) write(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, body := range it.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "test.yml")
}

// ours is our verdict on a file of tests, and what there is to say about it.
func ours(t *testing.T, file string) (verdict byte, said string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	report, err := TestRun{File: file, Content: content, Open: os.ReadFile, Glob: func(pattern string) ([]string, error) {
		if pattern != "" {
			pattern = filepath.Join(filepath.Dir(file), pattern)
		}
		return filepath.Glob(pattern)
	}}.Run(t.Context())
	if err != nil || len(report.Failures) > 0 {
		return 'f', fmt.Sprint(err, report.Failures)
	}
	return 'p', fmt.Sprint(report.Warnings)
}

// promtool finds a promtool of the version that this house is built with; it skips the test where there is none. Building
// it takes five minutes (README.md), so that it is no peer that has to be there.
func promtool(t *testing.T) string {
	t.Helper()
	path := os.Getenv("WATCHBILL_PROMTOOL")
	if path == "" {
		var err error
		if path, err = exec.LookPath("promtool"); err != nil {
			t.Skip("no promtool in WATCHBILL_PROMTOOL or PATH: its verdicts are those kept in testdata")
		}
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatalf("WATCHBILL_PROMTOOL: %v", err)
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/prometheus/prometheus" && (m.Version == "v0.315.0" || strings.HasPrefix(m.Version, "v3.15.")) {
			return path
		}
	}
	out, err := exec.CommandContext(t.Context(), path, "--version").CombinedOutput()
	if err == nil && bytes.Contains(out, []byte("version 3.15.")) {
		return path
	}
	t.Skipf("%s is not promtool v3.15, whose verdicts ours are: they are those kept in testdata", path)
	return ""
}

// theirs is promtool's verdict on files of tests, one letter each.
func theirs(t *testing.T, promtool string, files []string) string {
	t.Helper()
	var verdicts strings.Builder
	for chunk := range slices.Chunk(files, 400) {
		out := filepath.Join(t.TempDir(), "verdicts.xml")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		said, err := exec.CommandContext(ctx, promtool, append([]string{"test", "--junit=" + out, "rules"}, chunk...)...).CombinedOutput()
		cancel()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var xmlOut struct {
			Suites []struct {
				Name     string   `xml:"name,attr"`
				Failures []string `xml:"testcase>failure"`
				Errors   []string `xml:"testcase>error"`
			} `xml:"testsuite"`
		}
		if err := xml.Unmarshal(text, &xmlOut); err != nil || len(xmlOut.Suites) != len(chunk) {
			t.Fatalf("%d verdicts of %d, %v: %s", len(xmlOut.Suites), len(chunk), err, said)
		}
		for i, s := range xmlOut.Suites {
			switch {
			case s.Name != chunk[i]:
				t.Fatalf("verdict on %s instead of %s", s.Name, chunk[i])
			case len(s.Failures)+len(s.Errors) > 0:
				verdicts.WriteByte('f')
			default:
				verdicts.WriteByte('p')
			}
		}
	}
	return verdicts.String()
}

// keep is what verdicts are kept of: an item as it is, and its mutants.
func (it item) keep(most int) []item {
	return append([]item{it}, it.mutants(most)...)
}

// TestPromtoolVerdictsKept holds us to the verdicts that the real promtool gave.
func TestPromtoolVerdictsKept(t *testing.T) {
	if *update {
		updateCorpus(t)
	}
	for _, it := range readCorpus(t) {
		t.Run(it.name, func(t *testing.T) {
			t.Parallel()
			all := it.keep(mutantsKept)
			if len(all) != len(it.verdicts) {
				t.Fatalf("%d verdicts on %d files: run with -update and a promtool", len(it.verdicts), len(all))
			}
			for i, m := range all {
				file := m.write(t, filepath.Join(t.TempDir(), fmt.Sprint(i)))
				if v, said := ours(t, file); v != it.verdicts[i] && it.verdicts[i] != '?' {
					t.Errorf("%s: %c, promtool says %c: %s\n%s", m.name, v, it.verdicts[i], said, written(m))
				}
			}
		})
	}
}

func written(it item) string {
	var b strings.Builder
	for name, body := range it.files {
		fmt.Fprintf(&b, "--- %s\n%s", name, body)
	}
	return b.String()
}

// settled is a verdict that promtool gives every time; ? is for one that it leaves to chance, as with groups whose order
// nobody gives.
func settled(verdicts string) byte {
	if strings.Trim(verdicts, verdicts[:1]) != "" {
		return '?'
	}
	return verdicts[0]
}

func updateCorpus(t *testing.T) {
	t.Helper()
	path := promtool(t)
	items := readCorpus(t)
	for i := range items {
		var files []string
		for j, m := range items[i].keep(mutantsKept) {
			files = append(files, m.write(t, filepath.Join(t.TempDir(), fmt.Sprint(j))))
		}
		items[i].verdicts = ""
		for _, file := range files {
			items[i].verdicts += string(settled(theirs(t, path, slices.Repeat([]string{file}, 3))))
		}
	}
	writeCorpus(t, items)
}

// TestPromtoolAgrees compares our verdicts with those of a real promtool on the corpus, on promtool's own test data, on the
// tests of the shipped packs, and on mutants of all of them.
func TestPromtoolAgrees(t *testing.T) {
	path := promtool(t)
	items := append(readCorpus(t), promtoolsOwn(t)...)
	items = append(items, packTests(t)...)
	agreed, failed, chance := 0, 0, 0
	for _, it := range items {
		t.Run(it.name, func(t *testing.T) {
			if it.endless() {
				t.Skip("more evaluations than a test needs")
			}
			var files []string
			all := it.keep(mutantsLive)
			for i, m := range all {
				files = append(files, m.write(t, filepath.Join(t.TempDir(), fmt.Sprint(i))))
			}
			verdicts := theirs(t, path, files)
			failed += strings.Count(verdicts, "f")
			for i, m := range all {
				switch v, said := ours(t, files[i]); {
				case v == verdicts[i]:
					agreed++
				case settled(theirs(t, path, slices.Repeat(files[i:i+1], 20))) == '?':
					chance++
				default:
					t.Errorf("%s: %c, promtool says %c: %s\n%s", m.name, v, verdicts[i], said, written(m))
				}
			}
		})
	}
	t.Logf("%d verdicts agree, %d of them that a test fails; %d promtool leaves to chance", agreed, failed, chance)
}

// promtoolsOwn are the files of tests that promtool is tested with, from where Go keeps the module.
func promtoolsOwn(t *testing.T) []item {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatalf("where Prometheus' module lies: %v", err)
	}
	return together(t, os.DirFS(filepath.Join(strings.TrimSpace(string(dir)), "cmd/promtool/testdata")), "*.yml")
}

func packTests(t *testing.T) []item {
	t.Helper()
	return together(t, os.DirFS("packs"), "*_test.yml")
}

// together makes an item of every file that matches, with all YAML files beside it. Files of another kind are items too:
// they fail.
func together(t *testing.T, dir fs.FS, pattern string) []item {
	t.Helper()
	beside := map[string]string{}
	all, err := fs.Glob(dir, "*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		body, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		beside[name] = string(body)
	}
	var out []item
	tests, err := fs.Glob(dir, pattern)
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests named %s: %v", pattern, err)
	}
	for _, name := range tests {
		if strings.HasSuffix(name, "_ticket_test.yml") {
			continue
		}
		it := item{name: name, names: []string{"test.yml"}, files: map[string]string{"test.yml": beside[name]}}
		for other, body := range beside {
			if strings.Contains(beside[name], other) || strings.Contains(beside[name], "*") {
				it.files[other] = body
			}
		}
		out = append(out, it)
	}
	return out
}
