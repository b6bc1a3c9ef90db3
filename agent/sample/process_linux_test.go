package sample

import (
	"fmt"
	"go/parser"
	"go/token"
	iofs "io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// children tells what this process has started: those that run or wait to be reaped, and what was used by those reaped.
func children(t *testing.T) string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var alive []string
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // a thread that ended
		}
		alive = append(alive, strings.Fields(string(b))...)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	// Not even a child that exits at once does so without a page fault.
	return fmt.Sprintf("alive %v, reaped children: page faults %d, switches %d", alive, u.Minflt+u.Majflt, u.Nvcsw+u.Nivcsw)
}

// A full collection, the inventory and every bundle that a collector can ask for.
func TestFullCollectionStartsNoProcess(t *testing.T) {
	b := newBus(t)
	b.set("web.service", "failed", failed("signal", 2, 9, noon))
	c := DefaultConfig()
	c.StateDir = t.TempDir()
	c.Textfile.Directory = t.TempDir()
	write(t, filepath.Join(c.Textfile.Directory, "a.prom"), "a 1\n")
	c.Watch = []Watch{{"a", "b"}}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	before := children(t)
	for range 3 {
		for _, s := range sources {
			if sd, ok := unwrapped(s).(*systemdSampler); ok { // as if systemd were here, so that its whole path runs
				sd.path.Rootfs = booted(t).path.Rootfs
			}
			if _, err := s.Sampler.Read(t.Context(), time.Now()); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
			if during := children(t); during != before {
				t.Fatalf("%s started a process: before %s, now %s", s.Name, before, during)
			}
		}
		if _, err := Inventory(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	makeEveryBundle(t, c)
	if after := children(t); after != before {
		t.Fatalf("a process was started: before %s, after %s", before, after)
	}
	// The proof must be able to fail: a child that has come and gone shows.
	if err := exec.Command("/proc/self/exe", "-test.run=^$").Run(); err != nil {
		t.Fatal(err)
	}
	if after := children(t); after == before {
		t.Errorf("a process that was started does not show in %s", after)
	}
}

// makeEveryBundle makes all there are, each with an argument where it takes one and without where it can do without, and holds
// that none of them starts a process.
func makeEveryBundle(t *testing.T, c Config) {
	t.Helper()
	small := c
	small.Path = diskHost(t).path // the same code on a tree that is looked through in no time
	arguments := map[string]string{"disk_usage": "/srv", "deleted_files": "/", "logs": "web.service"}
	made := 0
	for _, config := range []Config{c, small} {
		bundles, err := Bundles(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bundles {
			asked := []string{arguments[b.Name]}
			if b.Source != "" && !b.Needs {
				asked = append(asked, "")
			}
			if b.Source != "" && asked[0] == "" {
				t.Errorf("the bundle %s takes an argument, and this test has none for it", b.Name)
			}
			if (b.Name == "disk_usage") != (config.Path == small.Path) {
				continue
			}
			for _, argument := range asked {
				before := children(t)
				table, err := b.Make(t.Context(), time.Now(), argument)
				if err != nil || len(table.GetRows()) == 0 && table.GetNoneBecause() == "" {
					t.Errorf("bundle %s of %q: %v, error %v", b.Name, argument, table, err)
				}
				if after := children(t); after != before {
					t.Fatalf("the bundle %s of %q started a process: before %s, now %s", b.Name, argument, before, after)
				}
			}
			made++
		}
	}
	if all, err := Bundles(c); err != nil || made != len(all) || made == 0 {
		t.Errorf("%d bundles were made, there are %d (error %v)", made, len(all), err)
	}
}

// Every file of every operating system counts, whatever its build tags.
func TestAgentImportsNoExec(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); p == "os/exec" || p == "plugin" {
				t.Errorf("%s imports %s: an agent starts nothing", path, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("saw only %d files of the agent; is this test where it was?", files)
	}
}

func BenchmarkCollection(b *testing.B) {
	c := DefaultConfig()
	c.StateDir = b.TempDir()
	c.Watch = []Watch{{"shop", "^/srv/shop"}}
	sources, err := Sources(c)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, sources []Source) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var before, after syscall.Rusage
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			samples := 0
			for b.Loop() {
				for _, s := range sources {
					r, err := s.Sampler.Read(b.Context(), time.Now())
					if err != nil {
						b.Fatal(err)
					}
					samples += len(r.Samples)
				}
			}
			if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
			b.ReportMetric(float64(samples)/float64(b.N), "series")
		})
	}
	run("all", sources)
	var same []Source
	for _, s := range sources {
		run(s.Name, []Source{s})
		if s.Kind == "node" && s.Name != "systemd" && s.Name != "processes" { // not among its defaults
			same = append(same, s)
		}
	}
	run("same as node_exporter", same)
	bus := newBus(b)
	for i := range 300 {
		bus.set(fmt.Sprintf("unit%d.service", i), map[bool]string{true: "active", false: "inactive"}[i < 60], running(0, noon))
	}
	// With what the scripted peer at the other end costs.
	run("systemd with 300 services", []Source{{Sampler: newSystemd(booted(b), c.Systemd)}})
}
