package sample

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
	"github.com/prometheus/procfs/blockdevice"
	"golang.org/x/sys/unix"

	"github.com/watchbill/watchbill/agent/wire"
)

// A host need not have what these look at; then there is nothing to tell, and nothing has failed.
func TestHostsWithout(t *testing.T) {
	h := host{Path{Procfs: t.TempDir(), Sysfs: t.TempDir(), Rootfs: t.TempDir()}}
	write(t, h.proc("net/netstat"), "")
	write(t, h.proc("net/snmp"), "")
	write(t, h.proc("net/sockstat"), "")
	for name, s := range map[string]Sampler{
		"pressure": newPressure(h), "mdadm": mdadmSampler{h}, "bonding": bondingSampler{h}, "conntrack": newConntrack(h),
		"edac": edacSampler{h}, "thermal_zone": thermalSampler{h}, "hwmon": hwmonSampler{h}, "os": osSampler{h}, "dmi": dmiSampler{h},
		"clocksource": clocksourceSampler{h}, "IPv6": newNetstat(h, NetstatConfig{}), "IPv6 sockets": newSockstat(h),
	} {
		t.Run(name, func(t *testing.T) {
			if r := readOnce(t, s); len(r.Samples) != 0 {
				t.Errorf("got\n%s", text(r.Samples))
			}
		})
	}
	if got := text(readOnce(t, selinuxSampler{h}).Samples); got != "node_selinux_enabled 0\n" {
		t.Errorf("selinux: got %q", got)
	}
}

func TestTimex(t *testing.T) {
	read := func(state int, err error, fill unix.Timex) (map[string]float64, error) {
		s := timexSampler{func(x *unix.Timex) (int, error) {
			if x.Modes != 0 {
				t.Errorf("mode %#x: the clock would be changed", x.Modes)
			}
			*x = fill
			return state, err
		}}
		r, err := s.Read(t.Context(), noon)
		out := map[string]float64{}
		for _, m := range r.Samples {
			out[m.Name] = m.Value
		}
		return out, err
	}
	got, err := read(unix.TIME_OK, nil, unix.Timex{Status: unix.STA_NANO | unix.STA_PLL, Offset: -1500, Freq: 65536, Maxerror: 2e6, Tick: 10000})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"node_timex_offset_seconds": -1.5e-6, "node_timex_sync_status": 1, "node_timex_frequency_adjustment_ratio": 1.000001,
		"node_timex_maxerror_seconds": 2, "node_timex_tick_seconds": 0.01, "node_timex_status": unix.STA_NANO | unix.STA_PLL,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if got, err = read(unix.TIME_ERROR, nil, unix.Timex{Offset: -1500}); err != nil || got["node_timex_sync_status"] != 0 || got["node_timex_offset_seconds"] != -0.0015 {
		t.Errorf("not synchronised, microseconds: %v, error %v", got, err)
	}
	if _, err = read(-1, unix.EPERM, unix.Timex{}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "SystemCallFilter=adjtimex") {
		t.Errorf("error %v, want one that says what to allow", err)
	}
	if _, err = read(-1, unix.EFAULT, unix.Timex{}); !errors.Is(err, unix.EFAULT) {
		t.Errorf("error %v", err)
	}
}

// A device's files are read once a minute, and at once when it has gone up or down.
func TestNetclassReadsWhatChanged(t *testing.T) {
	h := copyFixture(t)
	s := newNetclass(h, NetclassConfig{IgnoredDevices: "^(bond0|eth1)$"})
	mtu := func(at time.Time) string {
		t.Helper()
		r, err := s.Read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(text(r.Samples), `node_network_mtu_bytes{device="eth0"} `)
		mtu, _, _ := strings.Cut(rest, "\n")
		return mtu
	}
	set := func(file, content string) { write(t, h.sys("class/net/eth0", file), content) }
	at := noon
	for _, step := range []struct {
		what, file, content string
		after               time.Duration
		want                string
	}{
		{"first", "mtu", "1500\n", 0, "1500"},
		{"changed alone", "mtu", "9000\n", 10 * time.Second, "1500"},
		{"a minute later", "mtu", "9000\n", 50 * time.Second, "9000"},
		{"unread", "mtu", "1400\n", 10 * time.Second, "9000"},
		{"went down", "operstate", "down\n", 10 * time.Second, "1400"},
		{"unread", "mtu", "1300\n", 10 * time.Second, "1400"},
		{"was down in between", "carrier_changes", "6\n", 10 * time.Second, "1300"},
	} {
		set(step.file, step.content)
		at = at.Add(step.after)
		if got := mtu(at); got != step.want {
			t.Errorf("%s: mtu %s, want %s", step.what, got, step.want)
		}
	}
}

func TestRaidStates(t *testing.T) {
	for _, tt := range []struct {
		name, state, action, completed, want string
		synced                               float64
	}{
		{"idle", "clean", "idle", "none", "active", 1000},
		{"without redundancy", "clean", "", "", "active", 1000},
		{"writing", "active", "idle", "none", "active", 1000},
		{"stopped", "inactive", "", "", "inactive", 1000},
		{"rebuilt", "active", "recover", "500 / 2000", "recovering", 250},
		{"reshaped", "clean", "reshape", "500 / 2000", "recovering", 250},
		{"after a crash", "active", "resync", "500 / 2000", "resync", 250},
		{"checked", "clean", "check", "2000 / 2000", "check", 1000},
		{"repaired", "clean", "repair", "none", "check", 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := host{Path{Sysfs: t.TempDir()}}
			dir := h.sys("block/md5")
			write(t, dir+"/size", "2000\n")
			write(t, dir+"/md/array_state", tt.state+"\n")
			write(t, dir+"/md/raid_disks", "5 (4)\n")
			if tt.action != "" {
				write(t, dir+"/md/sync_action", tt.action+"\n")
				write(t, dir+"/md/sync_completed", tt.completed+"\n")
			}
			got := text(readOnce(t, mdadmSampler{h}).Samples)
			for _, want := range []string{
				fmt.Sprintf(`node_md_state{device="md5",state=%q} 1`, tt.want), fmt.Sprintf(`node_md_blocks_synced{device="md5"} %v`, tt.synced),
				`node_md_disks_required{device="md5"} 5`, `node_md_blocks{device="md5"} 1000`,
			} {
				if !strings.Contains(got, want+"\n") {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
			if strings.Count(got, "node_md_state") != len(mdStates) || strings.Count(got, `"} 1`+"\n") != 1 {
				t.Errorf("want one state to hold, got\n%s", got)
			}
		})
	}
}

func TestHwmonNamesChips(t *testing.T) {
	h := host{Path{Sysfs: t.TempDir()}}
	write(t, h.sys("class/hwmon/hwmon3/name"), "Odd Name-1\n")
	write(t, h.sys("class/hwmon/hwmon3/temp2_input"), "-5500\n")
	write(t, h.sys("class/hwmon/hwmon3/temp2_label"), "\n")
	write(t, h.sys("class/hwmon/hwmon3/temp3_input"), "none\n") // a sensor that is broken costs no other
	write(t, h.sys("class/hwmon/hwmon4/fan1_input"), "0\n")
	got := text(readOnce(t, hwmonSampler{h}).Samples)
	want := `node_hwmon_chip_names{chip="odd_name_1",chip_name="odd_name_1"} 1
node_hwmon_temp_celsius{chip="odd_name_1",sensor="temp2"} -5.5
node_hwmon_fan_rpm{chip="hwmon4",sensor="fan1"} 0
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestOSRelease(t *testing.T) {
	h := host{Path{Rootfs: t.TempDir()}}
	write(t, h.root("etc/os-release"), "# remark\nID=debian\nNAME=\"A \\\"B\\\" \\$1\"\nVERSION_ID='22.04.3'\nSUPPORT_END=2031-05-12\nodd\nX=\"\n")
	got := text(readOnce(t, osSampler{h}).Samples)
	for _, want := range []string{
		`node_os_version{id="debian",id_like="",name="A \"B\" $1"} 22.04` + "\n", `version_id="22.04.3"`,
		"node_os_support_end_timestamp_seconds 1.9363104e+09\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for version, want := range map[string]float64{"12": 12, "9.4": 9.4, "": 0, "rolling": 0, "2023.1.2": 2023.1} {
		if got := majorMinor(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}

func TestProcStat(t *testing.T) {
	h := copyFixture(t)
	write(t, h.proc("13/stat"), "13 (a) b (c) Z 1 1 1 0 -1 0 0 0 0 0 7 8 0 0 20 0 6 0 99 1 5 0 0\n")
	got, err := h.stat(13, nil)
	want := procStat{command: "a) b (c", state: 'Z', used: 15, threads: 6, start: 99, residentPage: 5}
	if err != nil || got != want {
		t.Errorf("got %+v and error %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "13 nginx S 1", "13 (a) S 1 2 3\n", "13 )a( S\n"} {
		write(t, h.proc("13/stat"), bad)
		if _, err := h.stat(13, nil); err == nil || !strings.Contains(err.Error(), "13/stat") {
			t.Errorf("%q: error %v, want one that names the file", bad, err)
		}
	}
}

func TestProcessCounts(t *testing.T) {
	h := copyFixture(t)
	write(t, h.proc("13/stat"), "13 (a) Z 1 1 1 0 -1 0 0 0 0 0 7 8 0 0 20 0 6 0 99 1 5 0 0\n")
	write(t, h.proc("14/stat"), "14 (a) t 1 1 1 0 -1 0 0 0 0 0 7 8 0 0 20 0 1 0 99 1 5 0 0\n")
	got := text(readOnce(t, &processesSampler{host: h}).Samples)
	for _, want := range []string{
		`node_processes_state{state="Z"} 1`, `node_processes_state{state="t"} 1`, `node_processes_state{state="D"} 0`,
		`node_processes_pids 9`, `node_processes_threads 14`, `node_processes_max_threads 7801`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// Prometheus' procfs library reads the same files; on this machine's both must say the same.
func TestAgainstProcfs(t *testing.T) {
	h := host{DefaultConfig().Path}
	pfs, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	p, err := pfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	st, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := h.stat(os.Getpid(), nil)
	if err != nil || ours.command != st.Comm || ours.start != st.Starttime || ours.threads == 0 || ours.residentPage == 0 {
		t.Errorf("own process: we read %+v (error %v), procfs %+v", ours, err, st)
	}
	devices, err := pfs.NetDev()
	if err != nil {
		t.Fatal(err)
	}
	if got := text(readOnce(t, newNetdev(h, NetdevConfig{})).Samples); strings.Count(got, "receive_bytes_total{") != min(len(devices), maxNetdevs) {
		t.Errorf("procfs sees %d network devices, we\n%s", len(devices), got)
	}
	blocks, err := blockdevice.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	disks, err := blocks.ProcDiskstats()
	if err != nil {
		t.Fatal(err)
	}
	if got := text(readOnce(t, newDiskstats(h, DiskstatsConfig{})).Samples); strings.Count(got, "node_disk_io_now{") != min(len(disks), maxDisks) {
		t.Errorf("procfs sees %d disks, we\n%s", len(disks), got)
	}
	stat, err := pfs.Stat()
	if err != nil {
		t.Fatal(err)
	}
	cpus := map[string]bool{}
	for _, m := range readOnce(t, newCPU(h)).Samples {
		if m.Name == "node_cpu_seconds_total" {
			cpus[m.Labels[0].Value] = true
		}
	}
	if len(cpus) != min(len(stat.CPU), maxCPUs) {
		t.Errorf("procfs sees %d processors, we %d", len(stat.CPU), len(cpus))
	}
}

// These start processes, ask WMI or read what we read better; see README.md.
func TestAgentCallsNoSlowLibraryFunctions(t *testing.T) {
	forbidden := map[string][]string{
		"github.com/shirou/gopsutil/v3/host": {
			"Info", "InfoWithContext", "PlatformInformation", "PlatformInformationWithContext", "HostID", "HostIDWithContext",
			"KernelVersion", "KernelVersionWithContext", "Virtualization", "VirtualizationWithContext",
		},
		"github.com/shirou/gopsutil/v3/cpu":  {"Info", "InfoWithContext"},
		"github.com/shirou/gopsutil/v3/disk": {"Partitions", "PartitionsWithContext"},
		"os/user":                            {"LookupId", "Lookup", "LookupGroup", "LookupGroupId"},
	}
	calls := func(path string, source any) (found []string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string][]string{}
		for _, i := range f.Imports {
			p, _ := strconv.Unquote(i.Path.Value)
			name := filepath.Base(p)
			if i.Name != nil {
				name = i.Name.Name
			}
			names[name] = forbidden[p]
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					for _, f := range names[x.Name] {
						if f == s.Sel.Name {
							found = append(found, x.Name+"."+f)
						}
					}
				}
			}
			return true
		})
		return found
	}
	err := filepath.WalkDir("..", func(path string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		for _, f := range calls(path, nil) {
			t.Errorf("%s uses %s", path, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const sinner = `package a; import gopsutil "github.com/shirou/gopsutil/v3/host"; var _, _ = gopsutil.Info()`
	if len(calls("sinner.go", sinner)) != 1 {
		t.Error("a call of host.Info does not show")
	}
}

// A sampler that keeps its label sets lets the builder see at a glance that nothing but values changed.
func TestSteadyReadingsKeepTheirShape(t *testing.T) {
	c := DefaultConfig()
	c.Path = fixture().path
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	builder := wire.NewBuilder(wire.DefaultLimits())
	for _, s := range sources {
		var id []byte
		for range 3 {
			r := readOnce(t, s.Sampler)
			if len(r.Samples) == 0 {
				continue
			}
			block, err := builder.Block("node", s.Name, noon, time.Minute, r.Samples)
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			if id != nil && string(id) != string(block.ShapeId) {
				t.Errorf("%s: another shape although nothing changed", s.Name)
			}
			id = block.ShapeId
		}
	}
}
