package sample

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// notOurs is what node_exporter 1.5 to 1.12 reports on Linux, with its default collectors, processes and systemd, and this
// agent does not, with the reason: full names, but that one which ends in _ stands for a collector, or a kind of sensor, of
// which nothing is ours. TestNotOursIsNotOurs holds it to that.
var notOurs = []absence{
	{"about the exporter's own process; the agent's is in the block self", "go_ process_ promhttp_ node_exporter_build_info"},
	{"a block says itself whether it is good, and the agent how long each took", "node_scrape_collector_"},
	{"counting reads the whole neighbour table, and no rule needs it", "node_arp_"},
	{"reads a line for every socket; drops show in node_netstat_Udp_RcvbufErrors", "node_udp_queues"},
	{"three series for each processor; node_pressure_cpu says the same in one", "node_schedstat_"},
	{"of the exporter's process; the inventory names the host's zone", "node_time_zone_offset_seconds"},
	{"is not in /proc/net/dev, which is an order cheaper than what has it", "node_network_receive_nohandler_total"},
	{"series for each processor that say how fast, not whether enough", "node_cpu_scaling_ node_cpu_frequency_ node_cpu_core_throttles_total node_cpu_package_throttles_total"},
	{"settings and facts of processors", "node_cpu_isolated node_cpu_online node_cpu_info node_cpu_flag_info node_cpu_bug_info"},
	{"settings of disks", "node_disk_ata_rotation_rate_rpm node_disk_ata_write_cache node_disk_ata_write_cache_enabled"},
	{"names that no rule joins on", "node_disk_device_mapper_info node_disk_filesystem_info node_filesystem_mount_info node_nvme_ node_dmmultipath_"},
	{"for each row and channel of memory; the kernel's messages name the module", "node_edac_csrow_correctable_errors_total " +
		"node_edac_csrow_uncorrectable_errors_total node_edac_channel_correctable_errors_total node_edac_channel_uncorrectable_errors_total"},
	{"not of Linux; 0 there", "node_filesystem_purgeable_bytes"},
	{"the event kernel_hung_task names the task", "node_kernel_hung_"},
	{"what it means is known for one board only", "node_hwmon_in_ node_hwmon_cpu_ node_hwmon_curr_ node_hwmon_voltage_ node_hwmon_intrusion_"},
	{"no rule reads it", "node_hwmon_energy_ node_hwmon_freq_ node_hwmon_power_ node_hwmon_humidity node_hwmon_humidity_"},
	{"settings", "node_hwmon_beep_ node_hwmon_pwm node_hwmon_pwm_ node_hwmon_update_interval_ node_watchdog_"},
	{"settings of a thermometer, and its history", "node_hwmon_temp_type node_hwmon_temp_enable node_hwmon_temp_beep_enabled " +
		"node_hwmon_temp_offset_celsius node_hwmon_temp_enable_celsius node_hwmon_temp_lowest_celsius node_hwmon_temp_highest_celsius " +
		"node_hwmon_temp_min_celsius node_hwmon_temp_min_hyst_celsius node_hwmon_temp_max_hyst_celsius node_hwmon_temp_crit_hyst_celsius " +
		"node_hwmon_temp_lcrit_celsius node_hwmon_temp_lcrit_hyst_celsius node_hwmon_temp_emergency_celsius " +
		"node_hwmon_temp_emergency_hyst_celsius node_hwmon_temp_rated_min_celsius node_hwmon_temp_rated_max_celsius"},
	{"alarms beside that of the critical temperature", "node_hwmon_temp_min_alarm_celsius node_hwmon_temp_max_alarm_celsius " +
		"node_hwmon_temp_lcrit_alarm_celsius node_hwmon_temp_emergency_alarm_celsius"},
	{"settings of a fan", "node_hwmon_fan_beep_enabled node_hwmon_fan_div node_hwmon_fan_enable node_hwmon_fan_manual node_hwmon_fan_output " +
		"node_hwmon_fan_pulses node_hwmon_fan_target_rpm node_hwmon_fan_tolerance"},
	{"alarms beside the fan's own", "node_hwmon_fan_min_alarm node_hwmon_fan_max_alarm"},
	{"reads a file for every thread of the host", "node_processes_threads_state"},
	{"columns of newer kernels that no rule reads", "node_softnet_cpu_collision_total node_softnet_received_rps_total " +
		"node_softnet_flow_limit_count_total node_softnet_backlog_len"},
	{"for special storage; by text file where it is needed", "node_bcache_ node_bcachefs_ node_btrfs_ node_tape_ node_zfs_"},
	{"for special networks; by text file where it is needed", "node_fibrechannel_ node_infiniband_ node_ipvs_"},
	{"a server that does not answer shows in node_filesystem_device_error", "node_nfs_"},
	{"for file servers; by text file where it is needed", "node_nfsd_"},
	{"of laptops", "node_power_supply_"},
	{"needs root and a file for each package; no rule reads it", "node_rapl_"},
	{"counters for developers of the file system", "node_xfs_"},
	{"facts; the inventory names the system", "node_systemd_version node_systemd_virtualization_info"},
	{"says degraded while any unit has failed, which node_systemd_units and _unit_state say with the name", "node_systemd_system_running"},
	{"a question over the bus for each timer; a service that did not run shows in what it should have made", "node_systemd_timer_last_trigger_seconds"},
	{"three questions over the bus for each socket", "node_systemd_socket_accepted_connections_total " +
		"node_systemd_socket_current_connections node_systemd_socket_refused_connections_total"},
}

// absence is why one has what the other has not: names, parted by blanks.
type absence struct{ why, names string }

// covers says whether a name is one of them, or begins as one that ends in _.
func (a absence) covers(name string) bool {
	for _, n := range strings.Fields(a.names) {
		if name == n || strings.HasSuffix(n, "_") && strings.HasPrefix(name, n) {
			return true
		}
	}
	return false
}

// notTheirs is what this agent reports under the kind node and one of these releases does not, or not on every kernel.
var notTheirs = []absence{
	{"every line of /proc/meminfo, of which releases from 1.9 on report those that they know", "node_memory_"},
	{"what a bounded source leaves out", "watchbill_agent_left_out"},
	{"series of text files that the wire or another source forbids", "watchbill_agent_textfile_refused_series"},
	{"from 1.8 on", "node_os_support_end_timestamp_seconds"},
	{"from 1.9 on", "node_pressure_irq_stalled_seconds_total"},
	{"from 1.10 on", "node_md_degraded node_md_raid_disks"},
}

// zeroes are names under which this agent says 0 where node_exporter has no series: what nobody is in.
var zeroes = map[string]bool{"node_processes_state": true}

// reason is why a metric of theirs is not ours, empty when nothing says so.
func reason(name string) string {
	for _, n := range notOurs {
		if n.covers(name) {
			return n.why
		}
	}
	return ""
}

// ourNames are the names of kind node that this agent is known to report: of the fixture, of the tables of files it reads,
// of this machine.
func ourNames(t *testing.T) []string {
	t.Helper()
	golden, err := os.ReadFile("testdata/host.prom")
	if err != nil {
		t.Fatal(err)
	}
	// The golden file has a section for each source, with its job.
	var out []string
	node := false
	for l := range strings.Lines(string(golden)) {
		switch {
		case strings.HasPrefix(l, "# "):
			node = strings.Contains(l, `job "node"`)
		case node && strings.TrimSpace(l) != "":
			out = append(out, l[:strings.IndexAny(l, "{ ")])
		}
	}
	for _, f := range hwmonFiles {
		out = append(out, f.name)
	}
	for _, name := range conntrackStats {
		out = append(out, name)
	}
	out = append(out, diskNames()...)
	out = append(out, netdevFields[:]...)
	out = append(out, softnetFields[:]...)
	for _, f := range netclassFiles {
		out = append(out, f.name)
	}
	sources, err := Sources(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	newBus(t).set("a.service", "active", running(0, noon))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, s := range sources {
		if sd, ok := unwrapped(s).(*systemdSampler); ok {
			sd.path.Rootfs = booted(t).path.Rootfs
		}
		if s.Kind != "node" {
			continue
		}
		r, err := s.Sampler.Read(ctx, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		for _, m := range r.Samples {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func diskNames() (out []string) {
	for _, f := range diskFields {
		out = append(out, f.name)
	}
	return out
}

// A reason that covers what we do report would hide that it vanished.
func TestNotOursIsNotOurs(t *testing.T) {
	ours := ourNames(t)
	for _, name := range ours {
		if why := reason(name); why != "" {
			t.Errorf("we report %s, and notOurs says why we do not: %s", name, why)
		}
	}
	if len(ours) < 250 || !slices.Contains(ours, "node_systemd_unit_state") || !slices.Contains(ours, "node_hwmon_fan_rpm") {
		t.Errorf("only %d names of ours are known to this test", len(ours))
	}
	for source, names := range families {
		if source == "self" {
			continue // of another job
		}
		for _, ours := range names {
			for _, n := range notOurs {
				for _, theirs := range strings.Fields(n.names) {
					if strings.HasSuffix(theirs, "_") && strings.HasPrefix(ours, theirs) {
						t.Errorf("%s of notOurs covers %s of our source %s", theirs, ours, source)
					}
				}
			}
		}
	}
}

// loose are series that move while they are read: by how much they may differ, as a share and in their unit.
var loose = map[*regexp.Regexp][2]float64{
	regexp.MustCompile(`^node_memory_.*`):                            {0.2, 512 << 20},
	regexp.MustCompile(`^node_load`):                                 {0.2, 1},
	regexp.MustCompile(`^node_procs_|^node_processes_`):              {0.5, 40},
	regexp.MustCompile(`^node_sockstat_`):                            {0.5, 4 << 20},
	regexp.MustCompile(`^node_nf_conntrack_entries$`):                {0.5, 500},
	regexp.MustCompile(`^node_netstat_Tcp_CurrEstab$`):               {0.5, 500},
	regexp.MustCompile(`^node_filefd_allocated$`):                    {0.3, 500},
	regexp.MustCompile(`^node_filesystem_(free|avail)_bytes,`):       {0.2, 1 << 30},
	regexp.MustCompile(`^node_filesystem_files_free,`):               {0.2, 1e5},
	regexp.MustCompile(`^node_disk_io_now,`):                         {0, 500},
	regexp.MustCompile(`^node_entropy_available_bits$`):              {0, 256},
	regexp.MustCompile(`^node_timex_|^node_time_seconds$`):           {0.05, 5},
	regexp.MustCompile(`^node_(hwmon|thermal_zone)_`):                {0.3, 10},
	regexp.MustCompile(`^node_cpu_seconds_total,.*"(idle|iowait)"$`): {0, 0.05}, // each keeps the highest that it saw itself
	regexp.MustCompile(`^node_boot_time_seconds$`):                   {0, 1},
}

// since are labels that came with a release of node_exporter, or got their meaning with it: of the name, the label, and the
// release 1.x. Beside an older one they are not compared.
var since = []struct {
	name  *regexp.Regexp
	label string
	minor int
}{
	{regexp.MustCompile(`^node_network_info$`), "adminstate", 6},
	{regexp.MustCompile(`^node_filesystem_`), "device_error", 8},
	{regexp.MustCompile(`^node_disk_info$`), "serial", 10},
	{regexp.MustCompile(`^node_disk_info$`), "rotational", 12}, // from 1.9 on, but 0 on kernels that lack any of 30 other files
}

// mended are values that releases before this 1.x have wrong.
var mended = map[string]int{
	"node_filesystem_readonly": 12, // 1.10 and 1.11 join the options without commas, and find ro only where it stands alone
}
