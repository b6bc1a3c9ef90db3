package sample

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// peer finds a binary to test against. Without it the test skips, or fails where peers are required.
func peer(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	what := fmt.Sprintf("%s is not installed (Debian: apt-get install prometheus-node-exporter)", names[0])
	if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}

// exporter is a node_exporter that runs.
type exporter struct {
	t   testing.TB
	pid int
	get func() (string, error)
}

// scrape returns what it says.
func (e exporter) scrape() []wire.Sample {
	e.t.Helper()
	body, err := e.get()
	if err != nil {
		e.t.Fatal(err)
	}
	samples, err := parseExposition(body)
	if err != nil {
		e.t.Fatalf("what node_exporter says is not taken by our parser: %v", err)
	}
	return samples
}

// leavingOut are the flags that tell node_exporter to leave out what c leaves out.
func leavingOut(c Config) []string {
	return []string{
		"--collector.filesystem.mount-points-exclude=" + c.Filesystem.MountPointsExclude,
		"--collector.filesystem.fs-types-exclude=" + c.Filesystem.FSTypesExclude,
		"--collector.diskstats.device-exclude=" + c.Diskstats.DeviceExclude,
		"--collector.netdev.device-exclude=" + c.Netdev.DeviceExclude,
		"--collector.netclass.ignored-devices=" + c.Netclass.IgnoredDevices, "--collector.netclass.ignore-invalid-speed",
		"--collector.netstat.fields=" + c.Netstat.Fields, "--collector.vmstat.fields=" + c.Vmstat.Fields,
		"--collector.textfile.directory=" + c.Textfile.Directory,
	}
}

// startNodeExporter runs the real one.
func startNodeExporter(t testing.TB, flags ...string) exporter {
	t.Helper()
	binary := peer(t, "prometheus-node-exporter", "node_exporter")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(binary, append([]string{"--web.listen-address=" + address, "--log.level=error"}, flags...)...)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	get := func() (string, error) {
		res, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, err := get(); err != nil; _, err = get() {
		select {
		case <-ctx.Done():
			t.Fatalf("node_exporter does not answer: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return exporter{t, cmd.Process.Pid, get}
}

// collection reads all sources of kind node, by series. What comes twice is a fault.
func collection(t testing.TB, sources []Source) map[string]wire.Sample {
	t.Helper()
	out := map[string]wire.Sample{}
	for _, s := range sources {
		if s.Kind != "node" {
			continue
		}
		r, err := s.Sampler.Read(t.Context(), time.Now())
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		for _, m := range r.Samples {
			key := seriesKey(m)
			if _, twice := out[key]; twice {
				t.Errorf("%s: we have %s twice", s.Name, key)
			}
			out[key] = m
		}
	}
	return out
}

func TestAgainstNodeExporter(t *testing.T) {
	c := DefaultConfig()
	c.Textfile.Directory = t.TempDir()
	write(t, filepath.Join(c.Textfile.Directory, "jobs.prom"), "# TYPE backup_age_seconds gauge\nbackup_age_seconds{plan=\"a\\\\b\\n\"} 12.5\n")
	c.Disabled = []string{"systemd"} // see TestSystemdAgainstNodeExporter
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	peer := startNodeExporter(t, append(leavingOut(c), "--collector.processes", "--no-collector.systemd")...)
	if shared := compare(t, sources, peer); shared < 150 {
		t.Errorf("only %d names are shared: is this node_exporter?", shared)
	}
}

// compare reads ours, theirs and ours again, and holds them to each other both ways: what either has under a name that both
// have, the other has, with a value that fits; what only one has, it has for a reason. It returns how many names are shared.
func compare(t *testing.T, sources []Source, peer exporter) int {
	t.Helper()
	before := collection(t, sources)
	scraped := peer.scrape()
	after := collection(t, sources)
	minor := release(t, scraped)
	before, after = atRelease(t, minor, before), atRelease(t, minor, after)
	byKey := map[string]wire.Sample{}
	for _, s := range scraped {
		byKey[seriesKey(s)] = s
	}
	theirs := atRelease(t, minor, byKey)
	ourNames, theirNames := namesOf(before, after), namesOf(theirs)
	for key, s := range theirs {
		a, okA := before[key]
		b, okB := after[key]
		switch {
		case !ourNames[s.Name]:
		case !okA && !okB:
			t.Errorf("node_exporter has %s, we do not; of that name we have\n%s", key, ofName(before, s.Name))
		case okA && okB && !near(key, s.Value, a.Value, b.Value) && minor >= mended[s.Name]:
			t.Errorf("%s: node_exporter says %v; we said %v before and %v after", key, s.Value, a.Value, b.Value)
		}
	}
	for key, s := range before {
		later, still := after[key]
		_, has := theirs[key]
		if still && !has && theirNames[s.Name] && !(zeroes[s.Name] && near(key, 0, s.Value, later.Value)) {
			t.Errorf("we have %s, node_exporter does not; of that name it has\n%s", key, ofName(theirs, s.Name))
		}
	}
	left := 0
	for _, name := range slices.Sorted(maps.Keys(theirNames)) {
		if ourNames[name] {
			continue
		}
		if left++; reason(name) == "" {
			t.Errorf("node_exporter has %s, we do not, and notOurs gives no reason", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ourNames)) {
		if !theirNames[name] && !slices.ContainsFunc(notTheirs, func(n absence) bool { return n.covers(name) }) {
			t.Errorf("we have %s, node_exporter 1.%d does not, and notTheirs gives no reason", name, minor)
		}
	}
	shared := len(theirNames) - left
	t.Logf("node_exporter 1.%d: %d series of ours, %d of theirs; %d names shared, %d of theirs left out", minor, len(before), len(theirs), shared, left)
	return shared
}

// release is x of their release 1.x.
func release(t *testing.T, theirs []wire.Sample) int {
	t.Helper()
	for _, s := range theirs {
		for _, l := range s.Labels {
			if s.Name != "node_exporter_build_info" || l.Name != "version" {
				continue
			}
			var minor int
			if _, err := fmt.Sscanf(l.Value, "1.%d.", &minor); err != nil {
				t.Fatalf("node_exporter is of version %q, want one of 1.x", l.Value)
			}
			return minor
		}
	}
	t.Fatal("node_exporter does not say its version")
	return 0
}

// atRelease takes away the labels that release 1.minor does not have. Two series must not become one.
func atRelease(t *testing.T, minor int, all map[string]wire.Sample) map[string]wire.Sample {
	t.Helper()
	out := make(map[string]wire.Sample, len(all))
	for _, s := range all {
		for _, l := range since {
			if minor < l.minor && l.name.MatchString(s.Name) {
				s.Labels = slices.DeleteFunc(slices.Clone(s.Labels), func(x wire.Label) bool { return x.Name == l.label })
			}
		}
		key := seriesKey(s)
		if _, twice := out[key]; twice {
			t.Errorf("%s is there twice", key)
		}
		out[key] = s
	}
	return out
}

func namesOf(readings ...map[string]wire.Sample) map[string]bool {
	out := map[string]bool{}
	for _, r := range readings {
		for _, s := range r {
			out[s.Name] = true
		}
	}
	return out
}

// near says whether node_exporter's value lies between ours before and after, or near enough where it moves.
func near(key string, theirs, before, after float64) bool {
	low, high := min(before, after), max(before, after)
	high, low = high+1e-12*high, low-1e-12*low // they may divide in another order
	for series, by := range loose {
		if series.MatchString(key) {
			slack := by[0]*max(-low, high) + by[1]
			low, high = low-slack, high+slack
		}
	}
	return low <= theirs && theirs <= high
}

func ofName(all map[string]wire.Sample, name string) string {
	var out []string
	for key, s := range all {
		if s.Name == name {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return strings.Join(out[:min(len(out), 20)], "\n")
}

// BenchmarkBesideNodeExporter measures the processor time of a scrape of node_exporter with its default collectors, and
// of reading the same sources here.
func BenchmarkBesideNodeExporter(b *testing.B) {
	c := DefaultConfig()
	c.Disabled = []string{"systemd", "processes"}
	sources, err := Sources(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("node_exporter", func(b *testing.B) {
		e := startNodeExporter(b, append(leavingOut(c), "--no-collector.systemd")...)
		h := host{c.Path}
		before, err := h.stat(e.pid, nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := e.get(); err != nil {
				b.Fatal(err)
			}
		}
		after, err := h.stat(e.pid, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(after.used-before.used)/ticks*1e9/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(len(e.scrape())), "series")
	})
	b.Run("here", func(b *testing.B) {
		var before, after syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
			b.Fatal(err)
		}
		series := 0
		for b.Loop() {
			series = 0
			for _, s := range sources {
				if s.Kind != "node" {
					continue
				}
				r, err := s.Sampler.Read(b.Context(), time.Now())
				if err != nil {
					b.Fatal(err)
				}
				series += len(r.Samples)
			}
		}
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
			b.Fatal(err)
		}
		used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
		b.ReportMetric(float64(series), "series")
	})
}
