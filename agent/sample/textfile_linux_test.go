package sample

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// textfiles reads a directory of these files, with their directory's name taken out.
func textfiles(t *testing.T, s *textfileSampler) string {
	t.Helper()
	return strings.ReplaceAll(text(readOnce(t, s).Samples), s.dir+"/", "")
}

func newTextfiles(t *testing.T, files map[string]string) *textfileSampler {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content)
	}
	return newTextfile(TextfileConfig{Directory: dir}, taken(Names))
}

func TestTextfileBrokenFileFailsOnlyItself(t *testing.T) {
	for _, tt := range []struct {
		name   string
		make   func(path string) error
		reason string
	}{
		{"damaged", func(p string) error { return os.WriteFile(p, []byte("ok 1\nbad{\n"), 0o644) }, `line 2: bad: want a label`},
		{"torn", func(p string) error { return os.WriteFile(p, []byte("ok 1"), 0o644) }, `the last line has no end`},
		{"too large", func(p string) error { return os.WriteFile(p, make([]byte, maxTextfileBytes+1), 0o644) }, `at most 262144 are read`},
		{"link to a secret", func(p string) error { return os.Symlink("/etc/shadow", p) }, `symbolic link`},
		{"pipe", func(p string) error { return unix.Mkfifo(p, 0o644) }, `no plain file`},
		{"directory", func(p string) error { return os.Mkdir(p, 0o755) }, `no plain file`},
		{"of another file's series", func(p string) error { return os.WriteFile(p, []byte("new 1\ngood 2\n"), 0o644) }, `the series good is in a.prom too`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTextfiles(t, map[string]string{"a.prom": "good 1\n", "c.prom": "also 3\n", "no.txt": "x"})
			if err := tt.make(filepath.Join(s.dir, "b.prom")); err != nil {
				t.Fatal(err)
			}
			got := textfiles(t, s)
			for _, want := range []string{
				"good 1\n", "also 3\n", "node_textfile_scrape_error 1\n", `watchbill_agent_textfile_broken{file="b.prom",reason="`, tt.reason,
				`node_textfile_mtime_seconds{file="a.prom"}`,
			} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			for _, not := range []string{"\nok ", "\nnew ", `mtime_seconds{file="b.prom"}`, "root:"} {
				if strings.Contains("\n"+got, not) {
					t.Errorf("%q in\n%s", not, got)
				}
			}
			if err := os.Remove(filepath.Join(s.dir, "b.prom")); err != nil {
				t.Fatal(err)
			}
			if got := textfiles(t, s); !strings.Contains(got, "node_textfile_scrape_error 0\n") || strings.Contains(got, "broken") {
				t.Errorf("still broken when the file is gone:\n%s", got)
			}
		})
	}
}

func TestTextfileRefusesWhatIsNotItsOwn(t *testing.T) {
	s := newTextfiles(t, map[string]string{"a.prom": "mine{room=\"1\"} 1\nmine{customer=\"other\"} 1\nup_too{__address__=\"x\"} 1\n" +
		"node_load1 99\nnode_memory_MemFree_bytes 1\nwatchbill_agent_spool_bytes 1\nnode_loads 5\n"})
	got := textfiles(t, s)
	for _, want := range []string{
		"mine{room=\"1\"} 1\n", "node_loads 5\n", `watchbill_agent_textfile_refused_series{reason="reserved_label"} 2`,
		`watchbill_agent_textfile_refused_series{reason="name_taken"} 3`, "node_textfile_scrape_error 0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"customer", "__address__", "node_load1 ", "MemFree", "spool"} {
		if strings.Contains(got, not) {
			t.Errorf("%q in\n%s", not, got)
		}
	}
}

// A source that is switched off leaves its names to others.
func TestTextfileMayStandInForADisabledSource(t *testing.T) {
	if taken([]string{"cpu"})("node_load1") || !taken([]string{"loadavg"})("node_load1") {
		t.Error("node_load1 belongs to loadavg, when it is read")
	}
	for _, name := range Names {
		if len(families[name]) == 0 && !slices.Contains([]string{"boot", "sessions", "kmsg", "logs", "packages", "ports"}, name) {
			t.Errorf("families does not say what metrics %s makes", name)
		}
	}
}

func TestFamiliesNameEveryMetric(t *testing.T) {
	c := DefaultConfig()
	c.Path = fixture().path
	c.Watch = []Watch{{"a", "b"}}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		own := taken([]string{s.Name, "self"})
		for _, m := range readOnce(t, s.Sampler).Samples {
			if !own(m.Name) {
				t.Errorf("families[%q] does not name %s", s.Name, m.Name)
			}
		}
	}
}

func TestTextfileReadsWhatChanged(t *testing.T) {
	s := newTextfiles(t, map[string]string{"a.prom": "a 1\n"})
	path := filepath.Join(s.dir, "a.prom")
	long := time.Unix(1763763000, 0)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
	textfiles(t, s)
	was := s.files["a.prom"]
	textfiles(t, s)
	if s.files["a.prom"] != was {
		t.Error("a file that did not change was read again")
	}
	write(t, path, "a 2\n")
	if got := textfiles(t, s); !strings.Contains(got, "a 2\n") {
		t.Errorf("want the new value, got\n%s", got)
	}
	// Replaced by one of the same size and time, as a careful writer may do.
	write(t, path+".new", "a 3\n")
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path+".new", stat.ModTime(), stat.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	if got := textfiles(t, s); !strings.Contains(got, "a 3\n") {
		t.Errorf("want the value of the file that took its place, got\n%s", got)
	}
}

func TestTextfileIsBounded(t *testing.T) {
	series := func(name string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s{i=\"%d\"} 1\n", name, i)
		}
		return b.String()
	}
	s := newTextfiles(t, map[string]string{"a.prom": series("a", 10), "b.prom": series("b", maxTextfile), "c.prom": series("c", maxTextfile-10)})
	got := textfiles(t, s)
	if strings.Contains(got, "b{") || !strings.Contains(got, "c{") ||
		!strings.Contains(got, fmt.Sprintf(`watchbill_agent_left_out{source="textfile"} %d`, maxTextfile)) {
		t.Error("want the files that fit, and the series of the one that does not counted")
	}
	for i := range maxTextfiles {
		write(t, filepath.Join(s.dir, fmt.Sprintf("0%03d.prom", i)), "")
	}
	if got := textfiles(t, s); !strings.Contains(got, `watchbill_agent_left_out{source="textfile"} 3`) {
		t.Errorf("want three files left out, got\n%s", got)
	}
}

func TestTextfileDirectoryMissing(t *testing.T) {
	s := newTextfile(TextfileConfig{Directory: filepath.Join(t.TempDir(), "none")}, taken(nil))
	if _, err := s.Read(t.Context(), noon); err == nil || !strings.Contains(err.Error(), "textfile.directory") {
		t.Errorf("error %v, want one that names the setting", err)
	}
}
