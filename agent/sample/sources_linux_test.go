package sample

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

var update = flag.Bool("update", false, "rewrite golden files")

// fixture is a small Linux host of our own making.
func fixture() host {
	return host{Path{Procfs: "testdata/host/proc", Sysfs: "testdata/host/sys", Rootfs: "testdata/host/root"}}
}

// copyFixture is one that a test may change.
func copyFixture(t *testing.T) host {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/host")); err != nil {
		t.Fatal(err)
	}
	return host{Path{Procfs: filepath.Join(dir, "proc"), Sysfs: filepath.Join(dir, "sys"), Rootfs: filepath.Join(dir, "root")}}
}

// text writes samples as Prometheus does, labels in the order they came.
func text(samples []wire.Sample) string {
	var b strings.Builder
	for _, s := range samples {
		b.WriteString(s.Name)
		for i, l := range s.Labels {
			fmt.Fprintf(&b, "%s%s=%s", map[bool]string{true: "{", false: ","}[i == 0], l.Name, strconv.Quote(l.Value))
		}
		if len(s.Labels) > 0 {
			b.WriteByte('}')
		}
		fmt.Fprintf(&b, " %s\n", strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	return b.String()
}

// unwrapped is a source's sampler itself.
func unwrapped(s Source) Sampler { return s.Sampler.(redactedSampler).Sampler }

func readOnce(t *testing.T, s Sampler) Reading {
	t.Helper()
	r, err := s.Read(t.Context(), time.Unix(1763763400, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// figures answers statfs for the mounts of the fixture and nothing else.
func figures(path string, buf *unix.Statfs_t) error {
	root, _ := filepath.Abs("testdata/host/root")
	path, _ = filepath.Abs(path)
	switch strings.TrimPrefix(path, root) {
	case "": // the root itself
		*buf = unix.Statfs_t{Bsize: 4096, Blocks: 1000, Bfree: 100, Bavail: 50, Files: 64, Ffree: 8}
	case "/run":
		*buf = unix.Statfs_t{Bsize: 4096, Blocks: 25, Bfree: 25, Bavail: 25, Files: 10, Ffree: 9}
	case "/mnt/old", "/home":
		*buf = unix.Statfs_t{Bsize: 512, Blocks: 2000, Bfree: 20, Bavail: 20, Files: 100, Ffree: 1}
	case "/srv/share one":
		return unix.ESTALE
	default:
		return fmt.Errorf("statfs of %s, which is not a mount", path)
	}
	return nil
}

func TestSamplersOnFixture(t *testing.T) {
	c := DefaultConfig()
	c.Path = fixture().path
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/host/root/var/lib/textfile")); err != nil {
		t.Fatal(err)
	}
	written := time.Unix(1763763000, 0)
	if err := os.Chtimes(filepath.Join(dir, "backup.prom"), written, written); err != nil {
		t.Fatal(err)
	}
	c.Textfile.Directory = dir
	c.Watch = []Watch{{"nginx", `nginx`}, {"java", `^java`}, {"gone", `no such process`}}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, s := range sources {
		switch sampler := unwrapped(s).(type) {
		case *filesystemSampler:
			sampler.statfs = figures
		case timeSampler:
			s.Sampler = timeSampler{func() time.Time { return time.UnixMilli(1763763400500) }}
		case unameSampler, *selfSampler, timexSampler: // of this machine; see TestSamplersOnThisMachine
			continue
		}
		if r := readOnce(t, s.Sampler); len(r.Samples) > 0 {
			fmt.Fprintf(&got, "# %s, job %q\n%s\n", s.Name, s.Kind, strings.ReplaceAll(text(r.Samples), dir, "DIRECTORY"))
		}
	}
	golden := "testdata/host.prom"
	if *update {
		write(t, golden, got.String())
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Errorf("series of the fixture changed (-want +got); rewrite with -update if meant:\n%s", d)
	}
}

// signedMetrics may be below zero.
var signedMetrics = map[string]bool{
	"node_timex_offset_seconds": true, "node_timex_tai_offset_seconds": true, "node_timex_pps_frequency_hertz": true,
	"node_hwmon_temp_celsius": true, "node_thermal_zone_temp": true, "node_selinux_config_mode": true,
}

func TestSamplersOnThisMachine(t *testing.T) {
	c := DefaultConfig()
	c.StateDir = t.TempDir()
	c.Version = "1.2.3"
	c.Watch = []Watch{{"this test", `sample\.test`}, {"gone", `no such process \d+`}}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	value := map[string]float64{}
	for _, s := range sources {
		if s.Name == "filesystem" { // of this machine's mounts some may be out of reach; what they look like is not ours to say
			unwrapped(s).(*filesystemSampler).timeout = 10 * time.Second
		}
		r, err := s.Sampler.Read(t.Context(), time.Now())
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if len(r.Samples) > 0 && s.Kind == "" {
			t.Errorf("%s: has samples and no kind, so no job", s.Name)
		}
		for _, m := range r.Samples {
			if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.Value < 0 && !signedMetrics[m.Name] {
				t.Errorf("%s: %v is no plausible value", s.Name, m)
			}
			key := text([]wire.Sample{m})
			key = key[:strings.LastIndexByte(key, ' ')]
			if _, twice := value[key]; twice {
				t.Errorf("%s: %s comes twice", s.Name, key)
			}
			value[key] = m.Value
		}
	}
	atLeast := func(name string, low float64) {
		t.Helper()
		if v, ok := value[name]; !ok || v < low {
			t.Errorf("%s = %v (there: %t), want at least %v", name, v, ok, low)
		}
	}
	atLeast("node_boot_time_seconds", 1e9)
	atLeast("node_time_seconds", value["node_boot_time_seconds"])
	atLeast("node_memory_MemTotal_bytes", 64<<20)
	atLeast("node_memory_MemTotal_bytes", value["node_memory_MemAvailable_bytes"])
	atLeast(`node_cpu_seconds_total{cpu="0",mode="idle"}`, 1)
	atLeast("node_context_switches_total", 1)
	atLeast("node_procs_running", 1)
	atLeast("node_filefd_maximum", value["node_filefd_allocated"])
	atLeast("process_resident_memory_bytes", 1<<20)
	atLeast(`namedprocess_namegroup_num_procs{groupname="this test"}`, 1)
	atLeast(`namedprocess_namegroup_oldest_start_time_seconds{groupname="this test"}`, value["node_boot_time_seconds"])
	if v := value[`namedprocess_namegroup_num_procs{groupname="gone"}`]; v != 0 {
		t.Errorf("a process that does not exist counts %v", v)
	}
}

func TestSourcesChoose(t *testing.T) {
	tests := []struct {
		name              string
		enabled, disabled []string
		watch             []Watch
		want              []string
	}{
		{"only these", []string{"cpu", "time"}, nil, nil, []string{"cpu", "time"}},
		{"these but one", []string{"cpu", "time"}, []string{"time"}, nil, []string{"cpu"}},
		{"process only when something is watched", []string{"process"}, nil, nil, nil},
		{"process", []string{"process"}, nil, []Watch{{"a", "b"}}, []string{"process"}},
		{"textfile only with a directory", []string{"textfile"}, nil, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := DefaultConfig()
			c.Enabled, c.Disabled, c.Watch = tt.enabled, tt.disabled, tt.watch
			sources, err := Sources(c)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range sources {
				got = append(got, s.Name)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("sources %v, want %v", got, tt.want)
			}
		})
	}
	c := DefaultConfig()
	c.Watch, c.Textfile.Directory = []Watch{{"a", "b"}}, "/x"
	sources, err := Sources(c)
	if err != nil || len(sources) != len(Names) {
		t.Errorf("all sources: %d and error %v, want %d: each name a source", len(sources), err, len(Names))
	}
}

func TestSourcesRefuseBadConfig(t *testing.T) {
	c := DefaultConfig()
	c.Netdev.DeviceExclude = "("
	if _, err := Sources(c); err == nil || !strings.Contains(err.Error(), "netdev.device-exclude") {
		t.Errorf("error %v, want one that names netdev.device-exclude", err)
	}
	if _, err := Inventory(t.Context(), c); err == nil {
		t.Error("the inventory takes a bad configuration")
	}
}

// optional files are not on every host.
var optional = map[string]bool{
	"pressure/cpu": true, "net/snmp6": true, "net/stat/nf_conntrack": true, "sys/net/netfilter/nf_conntrack_count": true,
	"sys/kernel/pid_max": true,
}

// Each file missing or garbled must be an error that names the file, never a zero.
func TestSamplersFailOnBadFiles(t *testing.T) {
	tests := []struct {
		file    string // under proc, unless it begins with a slash
		sampler func(host) Sampler
		garbage string
	}{
		{"stat", func(h host) Sampler { return newCPU(h) }, "cpu  1 2\n"},
		{"stat", func(h host) Sampler { return newStat(h) }, "btime x\n"},
		{"stat", func(h host) Sampler { return newStat(h) }, "ctxt 12\n"},
		{"meminfo", func(h host) Sampler { return newMeminfo(h) }, "MemTotal: many kB\n"},
		{"meminfo", func(h host) Sampler { return newMeminfo(h) }, "MemFree: 1 kB\n"},
		{"vmstat", func(h host) Sampler { return newVmstat(h, DefaultConfig().Vmstat) }, "pswpin -\n"},
		{"vmstat", func(h host) Sampler { return newVmstat(h, DefaultConfig().Vmstat) }, "nr_free_pages 1\n"},
		{"loadavg", func(h host) Sampler { return newLoadavg(h) }, "1"},
		{"sys/fs/file-nr", func(h host) Sampler { return newFilefd(h) }, "1 2"},
		{"sys/fs/file-nr", func(h host) Sampler { return newFilefd(h) }, "1 0 x"},
		{"sys/fs/file-nr", func(h host) Sampler { return newFilefd(h) }, "x 0 1"},
		{"diskstats", func(h host) Sampler { return newDiskstats(h, DiskstatsConfig{}) }, ""},
		{"net/dev", func(h host) Sampler { return newNetdev(h, NetdevConfig{}) }, "a\nb\nc\n"},
		{"pressure/cpu", func(h host) Sampler { return newPressure(h) }, "some avg10=0.00 total=many\n"},
		{"net/netstat", func(h host) Sampler { return newNetstat(h, DefaultConfig().Netstat) }, "TcpExt: A B\nIpExt: 1 2\n"},
		{"net/netstat", func(h host) Sampler { return newNetstat(h, DefaultConfig().Netstat) }, "TcpExt: ListenDrops\nTcpExt: x\n"},
		{"net/snmp", func(h host) Sampler { return newNetstat(h, DefaultConfig().Netstat) }, "Tcp: InSegs\n"},
		{"net/snmp6", func(h host) Sampler { return newNetstat(h, DefaultConfig().Netstat) }, "Ip6InOctets x\n"},
		{"net/sockstat", func(h host) Sampler { return newSockstat(h) }, "TCP inuse 4\n"},
		{"net/sockstat", func(h host) Sampler { return newSockstat(h) }, "TCP: inuse\n"},
		{"net/softnet_stat", func(h host) Sampler { return newSoftnet(h) }, "0x 1 2\n"},
		{"net/stat/nf_conntrack", func(h host) Sampler { return newConntrack(h) }, "found drop\n00 xy\n"},
		{"sys/net/netfilter/nf_conntrack_count", func(h host) Sampler { return newConntrack(h) }, "\n"},
		{"sys/kernel/random/poolsize", func(h host) Sampler { return newEntropy(h) }, "big\n"},
		{"sys/kernel/pid_max", func(h host) Sampler { return &processesSampler{host: h} }, "?\n"},
		{"diskstats", func(h host) Sampler { return newDiskstats(h, DiskstatsConfig{}) }, "8 0 sda x\n"},
		{"diskstats", func(h host) Sampler { return newDiskstats(h, DiskstatsConfig{}) }, "8 0\n"},
		{"net/dev", func(h host) Sampler { return newNetdev(h, NetdevConfig{}) }, "a\nb\n eth0: 1 2 3\n"},
		{"self/mountinfo", func(h host) Sampler { return newFilesystem(h, FilesystemConfig{}) }, "1 2 3\n"},
		{"uptime", func(h host) Sampler { return &processesSampler{host: h} }, "x y"},
		{"sys/kernel/random/boot_id", func(h host) Sampler { return &bootSampler{host: h} }, "\n"},
	}
	for _, tt := range tests {
		for _, how := range []string{"missing", "garbled " + tt.garbage} {
			t.Run(tt.file+" "+how, func(t *testing.T) {
				h := fixture()
				h.path.Procfs = t.TempDir()
				if err := os.CopyFS(h.path.Procfs, os.DirFS("testdata/host/proc")); err != nil {
					t.Fatal(err)
				}
				path := h.proc(tt.file)
				if how == "missing" && optional[tt.file] {
					t.Skip("a host may not have it: see TestHostsWithout")
				}
				os.RemoveAll(h.proc("1/mountinfo"))
				if how == "missing" {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				} else if tt.garbage == "" {
					t.Skip("an empty file is no error: there are no such devices")
				} else {
					write(t, path, tt.garbage)
				}
				r, err := tt.sampler(h).Read(t.Context(), time.Now())
				if err == nil || !strings.Contains(err.Error(), filepath.Base(tt.file)) {
					t.Errorf("error %v (and %d samples), want one that names %s", err, len(r.Samples), tt.file)
				}
			})
		}
	}
}

func TestReadRefusesEndlessFile(t *testing.T) {
	if _, err := read("/dev/zero"); err == nil || !strings.Contains(err.Error(), "/dev/zero") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

func TestNetclassLeavesOutDeviceThatGoes(t *testing.T) {
	h := copyFixture(t)
	if err := os.Remove(h.sys("class/net/eth1/operstate")); err != nil {
		t.Fatal(err)
	}
	got := text(readOnce(t, newNetclass(h, NetclassConfig{})).Samples)
	if strings.Contains(got, "eth1") || !strings.Contains(got, "node_network_up{device=\"eth0\"} 1\n") {
		t.Errorf("want eth0 and not eth1, got\n%s", got)
	}
	if err := os.RemoveAll(h.sys("class/net")); err != nil {
		t.Fatal(err)
	}
	if _, err := newNetclass(h, NetclassConfig{}).Read(t.Context(), time.Now()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that wraps os.ErrNotExist", err)
	}
}
