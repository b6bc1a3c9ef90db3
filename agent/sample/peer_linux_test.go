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
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// notOurs is what node_exporter reports by default, on this machine or another, and this agent does not, with the reason.
// A name ending in _ stands for all that begin so.
var notOurs = map[string]string{
	"go_":                            "about the exporter's own process",
	"process_":                       "about the exporter's own process; ours is in the block self",
	"promhttp_":                      "about the exporter's own process",
	"node_exporter_build_info":       "about the exporter's own process",
	"node_scrape_collector_":         "a block says itself whether it is good, and the agent how long each took",
	"node_arp_entries":               "counting reads the whole neighbour table, and no rule needs it",
	"node_udp_queues":                "reads a line for every socket; drops show in node_netstat_Udp_RcvbufErrors",
	"node_schedstat_":                "three series for each processor; node_pressure_cpu says the same in one",
	"node_time_zone_offset_seconds":  "of the exporter's process; the inventory names the host's zone",
	"node_timex_offset_overflow":     "works around a fault of some kernels by counting it in the exporter",
	"node_network_receive_nohandler": "is not in /proc/net/dev, which is an order cheaper than what has it",
	"node_cpu_scaling_":              "series for each processor that say how fast, not whether enough",
	"node_cpu_frequency_":            "see node_cpu_scaling_",
	"node_cpu_core_throttles_total":  "series for each processor; heat shows in node_hwmon_temp_celsius",
	"node_cpu_package_throttles_":    "see node_cpu_core_throttles_total",
	"node_cpu_isolated":              "a setting",
	"node_cpu_online":                "a setting",
	"node_disk_ata_":                 "settings of the disk",
	"node_disk_device_mapper_info":   "names that no rule joins on",
	"node_disk_filesystem_info":      "names that no rule joins on",
	"node_edac_csrow_":               "for each row of memory; dmesg names the module",
	"node_filesystem_mount_info":     "names that no rule joins on",
	"node_filesystem_purgeable_":     "not of Linux",
	"node_hwmon_beep":                "a setting",
	"node_hwmon_curr":                "what it means is known for one board only",
	"node_hwmon_energy":              "no rule reads it",
	"node_hwmon_freq":                "no rule reads it",
	"node_hwmon_humidity":            "of weather stations",
	"node_hwmon_in":                  "what it means is known for one board only",
	"node_hwmon_power":               "no rule reads it",
	"node_hwmon_pwm":                 "a setting",
	"node_hwmon_temp_":               "settings other than the maximum and the critical temperature",
	"node_hwmon_fan_":                "settings other than minimum and maximum",
	"node_hwmon_update_interval_":    "a setting",
	"node_processes_threads_state":   "reads a file for every thread of the host",
	"node_softnet_":                  "columns of newer releases that no rule reads",
	"node_bcache_":                   "for special storage; by text file where it is needed",
	"node_btrfs_":                    "for special storage; by text file where it is needed",
	"node_fibrechannel_":             "for special storage; by text file where it is needed",
	"node_infiniband_":               "for special networks; by text file where it is needed",
	"node_ipvs_":                     "for special networks; by text file where it is needed",
	"node_nfs_":                      "a server that does not answer shows in node_filesystem_device_error",
	"node_nfsd_":                     "for file servers; by text file where it is needed",
	"node_nvme_info":                 "names that no rule joins on",
	"node_power_supply_":             "of laptops",
	"node_rapl_":                     "needs root and a file for each package; no rule reads it",
	"node_tape_":                     "for special storage; by text file where it is needed",
	"node_watchdog_":                 "settings",
	"node_xfs_":                      "counters for developers of the file system",
	"node_zfs_":                      "for special storage; by text file where it is needed",
	"node_cooling_device_":           "columns of newer releases",
	"node_systemd_":                  "its socket and timer counters; units are reported where systemd runs",
}

// loose are gauges that move while they are read: by how much they may differ, as a share and in their unit.
var loose = map[*regexp.Regexp][2]float64{
	regexp.MustCompile(`^node_memory_.*`):                     {0.2, 512 << 20},
	regexp.MustCompile(`^node_load`):                          {0.2, 1},
	regexp.MustCompile(`^node_procs_|^node_processes_`):       {0.5, 40},
	regexp.MustCompile(`^node_sockstat_`):                     {0.5, 4 << 20},
	regexp.MustCompile(`^node_nf_conntrack_entries$`):         {0.5, 500},
	regexp.MustCompile(`^node_netstat_Tcp_CurrEstab$`):        {0.5, 500},
	regexp.MustCompile(`^node_filefd_allocated$`):             {0.3, 500},
	regexp.MustCompile(`^node_filesystem_(free|avail)_bytes`): {0.2, 1 << 30},
	regexp.MustCompile(`^node_filesystem_files_free`):         {0.2, 1e5},
	regexp.MustCompile(`^node_disk_io_now$`):                  {0, 500},
	regexp.MustCompile(`^node_entropy_available_bits$`):       {0, 256},
	regexp.MustCompile(`^node_timex_|^node_time_seconds$`):    {0.05, 5},
	regexp.MustCompile(`^node_(hwmon|thermal_zone)_`):         {0.3, 10},
	regexp.MustCompile(`^node_cpu_seconds_total$`):            {0, 0.05}, // the kernel takes some of it back: iowait, idle
	regexp.MustCompile(`^node_boot_time_seconds$`):            {0, 1},
}

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

// startNodeExporter runs the real one, told to leave out what c leaves out, with more flags.
func startNodeExporter(t testing.TB, c Config, more ...string) exporter {
	t.Helper()
	binary := peer(t, "prometheus-node-exporter", "node_exporter")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cmd := exec.Command(binary, "--web.listen-address="+address, "--log.level=error",
		"--collector.filesystem.mount-points-exclude="+c.Filesystem.MountPointsExclude,
		"--collector.filesystem.fs-types-exclude="+c.Filesystem.FSTypesExclude,
		"--collector.diskstats.device-exclude="+c.Diskstats.DeviceExclude,
		"--collector.netdev.device-exclude="+c.Netdev.DeviceExclude,
		"--collector.netclass.ignored-devices="+c.Netclass.IgnoredDevices, "--collector.netclass.ignore-invalid-speed",
		"--collector.netstat.fields="+c.Netstat.Fields, "--collector.vmstat.fields="+c.Vmstat.Fields,
		"--collector.textfile.directory="+c.Textfile.Directory, "--no-collector.systemd")
	cmd.Args = append(cmd.Args, more...)
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

// collection reads all sources of kind node, by series.
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
			out[seriesKey(m)] = m
		}
	}
	return out
}

func TestAgainstNodeExporter(t *testing.T) {
	c := DefaultConfig()
	c.Textfile.Directory = t.TempDir()
	write(t, filepath.Join(c.Textfile.Directory, "jobs.prom"), "# TYPE backup_age_seconds gauge\nbackup_age_seconds{plan=\"a\\\\b\\n\"} 12.5\n")
	c.Disabled = []string{"systemd"}
	sources, err := Sources(c)
	if err != nil {
		t.Fatal(err)
	}
	peer := startNodeExporter(t, c, "--collector.processes")
	before := collection(t, sources)
	theirs := peer.scrape()
	after := collection(t, sources)

	ours := map[string]bool{}
	for _, s := range before {
		ours[s.Name] = true
	}
	shared, missing := map[string]bool{}, map[string]bool{}
	for _, s := range theirs {
		if !ours[s.Name] {
			missing[s.Name] = true
			continue
		}
		shared[s.Name] = true
		key := seriesKey(s)
		a, okA := before[key]
		b, okB := after[key]
		if !okA && !okB {
			t.Errorf("node_exporter has %s, we do not; of that name we have\n%s", key, ofName(before, s.Name))
			continue
		}
		if okA && okB && !near(s, a.Value, b.Value) {
			t.Errorf("%s: node_exporter says %v; we said %v before and %v after", key, s.Value, a.Value, b.Value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if reason(name) == "" {
			t.Errorf("node_exporter has %s, we do not, and notOurs gives no reason", name)
		}
	}
	for name := range ours {
		if notOurs[name] != "" {
			t.Errorf("notOurs says why we do not report %s, but we do", name)
		}
	}
	t.Logf("%d of our %d series, %d names shared, %d names of theirs left out", len(before), len(theirs), len(shared), len(missing))
	if len(shared) < 150 {
		t.Errorf("only %d names are shared: is this node_exporter?", len(shared))
	}
}

// near says whether node_exporter's value lies between ours before and after, or near enough where it moves.
func near(s wire.Sample, before, after float64) bool {
	low, high := min(before, after), max(before, after)
	high, low = high+1e-12*high, low-1e-12*low // they may divide in another order
	for name, by := range loose {
		if name.MatchString(s.Name) {
			slack := by[0]*max(-low, high) + by[1]
			low, high = low-slack, high+slack
		}
	}
	return low <= s.Value && s.Value <= high
}

// reason is why a metric of theirs is not ours.
func reason(name string) string {
	for n, why := range notOurs {
		if name == n || strings.HasSuffix(n, "_") && strings.HasPrefix(name, n) || strings.HasPrefix(name, n+"_") {
			return why
		}
	}
	return ""
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
		e := startNodeExporter(b, c)
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
