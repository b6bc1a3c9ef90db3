package main

import "strconv"

// linuxSources is what the agent reports of a Linux server with two processors: its samplers, names and labels. Makes
// differ in their devices. Systemd units, of which there are more or fewer, bring it to n series.
//
// Left out are the agent's own collection durations, which no exporter has.
func linuxSources(number, n int) []source {
	disk := []string{"sda", "vda", "nvme0n1", "xvda"}[number%4]
	nic := []string{"eth0", "ens192", "enp1s0", "eth1"}[number/2%4]
	data := []string{"/var", "/srv", "/home", "/data"}[number/4%4]
	sources := []source{
		{kind: "node", name: "cpu", series: linuxCPU(2)},
		{kind: "node", name: "loadavg", series: []series{
			one(wanders(0.5, 0.05, 1.8, 0.01), "node_load1"),
			one(wanders(0.3, 0.1, 1.4, 0.01), "node_load5"),
			one(wanders(0.2, 0.15, 1.2, 0.01), "node_load15"),
		}},
		{kind: "node", name: "vmstat", series: linuxVMStat()},
		{kind: "node", name: "filesystem", comesAndGoes: "mountpoint", series: linuxFilesystems(disk, data)},
		{kind: "node", name: "diskstats", comesAndGoes: "device", series: linuxDisk(disk)},
		{kind: "node", name: "netdev", comesAndGoes: "device", series: linuxNetwork(nic)},
		{kind: "node", name: "netclass", series: []series{one(fixed(1), "node_network_up", "device", nic)}},
		{kind: "node", name: "stat", series: []series{
			one(motion{kind: booted}, "node_boot_time_seconds"),
			one(grows(1, 800, 1), "node_intr_total"),
			one(grows(1, 1500, 1), "node_context_switches_total"),
			one(grows(0.8, 2, 1), "node_forks_total"),
			one(wanders(0.3, 1, 4, 1), "node_procs_running"),
			one(fixed(0), "node_procs_blocked"),
		}},
		{kind: "node", name: "time", series: []series{one(motion{kind: clock}, "node_time_seconds")}},
		{kind: "node", name: "filefd", series: []series{
			one(wanders(0.4, 900, 2600, 32), "node_filefd_allocated"),
			one(fixed(9.223372036854776e18), "node_filefd_maximum"),
		}},
		{kind: "node", name: "uname", series: []series{one(fixed(1), "node_uname_info", "domainname", "(none)", "machine",
			"x86_64", "nodename", ownName, "release", "6.1.0-38-amd64", "sysname", "Linux", "version",
			"#1 SMP PREEMPT_DYNAMIC Debian 6.1.147-1 (2025-08-02)")}},
		{kind: "process", name: "process", series: []series{
			one(fixed(4), "namedprocess_namegroup_num_procs", "groupname", "nginx"),
			one(motion{kind: booted}, "namedprocess_namegroup_oldest_start_time_seconds", "groupname", "nginx"),
		}},
		agentSelf(),
	}
	memory := linuxMemory()
	units, singles := fill(count(sources)+len(memory)-4, n, 5)
	sources = append(sources, source{kind: "node", name: "meminfo", series: memory[:len(memory)-4+singles]})
	if units > 0 {
		sources = append(sources, source{kind: "node", name: "systemd", comesAndGoes: "name", series: linuxUnits(units)})
	}
	return sources
}

// linuxBreakage fills the root file system.
func linuxBreakage() *breakage {
	return &breakage{source: "filesystem", series: "node_filesystem_avail_bytes", label: "mountpoint", value: "/",
		to: 40 << 20, rule: "FilesystemFull"}
}

func linuxCPU(cpus int) []series {
	modes := []struct {
		mode      string
		chance    float64
		perSecond float64
	}{{"user", 0.8, 0.06}, {"nice", 0.02, 0.0002}, {"system", 0.7, 0.02}, {"idle", 1, 0.9}, {"iowait", 0.25, 0.004},
		{"irq", 0, 0}, {"softirq", 0.2, 0.002}, {"steal", 0.05, 0.0005}}
	var all []series
	for cpu := range cpus {
		id := strconv.Itoa(cpu)
		for _, m := range modes {
			all = append(all, one(grows(m.chance, m.perSecond, 0.01), "node_cpu_seconds_total", "cpu", id, "mode", m.mode))
		}
		for _, mode := range []string{"user", "nice"} {
			all = append(all, one(fixed(0), "node_cpu_guest_seconds_total", "cpu", id, "mode", mode))
		}
	}
	return all
}

func linuxVMStat() []series {
	return []series{
		one(grows(0.05, 0.1, 1), "node_vmstat_pgpgin"),
		one(grows(0.9, 40, 1), "node_vmstat_pgpgout"),
		one(fixed(1476), "node_vmstat_pswpin"),
		one(fixed(35045), "node_vmstat_pswpout"),
		one(grows(1, 300, 1), "node_vmstat_pgfault"),
		one(grows(0.02, 0.01, 1), "node_vmstat_pgmajfault"),
		one(fixed(0), "node_vmstat_oom_kill"),
	}
}

// linuxFilesystems are the root, one for data and a tmpfs, each with so much room that no rule minds.
func linuxFilesystems(disk, data string) []series {
	const gib, page = 1 << 30, 4096
	mounts := []struct {
		device, fstype, mountpoint string
		size, files                float64
		busy                       float64
	}{
		{"/dev/" + disk + "1", "ext4", "/", 40 * gib, 2621440, 0.4},
		{"/dev/" + disk + "2", "xfs", data, 200 * gib, 104857600, 0.3},
		{"tmpfs", "tmpfs", "/run", gib, 262144, 0.05},
	}
	all := []series{one(fixed(0), "watchbill_agent_left_out", "source", "filesystem")}
	for _, m := range mounts {
		add := func(metric string, how motion) {
			all = append(all, one(how, "node_filesystem_"+metric, "device", m.device, "fstype", m.fstype, "mountpoint", m.mountpoint))
		}
		add("size_bytes", fixed(m.size))
		add("free_bytes", motion{kind: gauge, chance: m.busy, low: m.size / 2, high: m.size * 0.7, step: 1 << 20, grain: page})
		add("avail_bytes", motion{kind: gauge, chance: m.busy, low: m.size / 2, high: m.size * 0.7, step: 1 << 20, grain: page})
		add("files", fixed(m.files))
		add("files_free", wanders(m.busy/3, m.files*0.8, m.files*0.9, 1))
		add("readonly", fixed(0))
		add("device_error", fixed(0))
	}
	return all
}

func linuxDisk(disk string) []series {
	var all []series
	for _, m := range []struct {
		metric string
		how    motion
	}{
		{"reads_completed_total", grows(0.1, 0.05, 1)},
		{"reads_merged_total", grows(0.03, 0.01, 1)},
		{"read_bytes_total", grows(0.1, 2048, 512)},
		{"read_time_seconds_total", grows(0.1, 0.0001, 0.001)},
		{"writes_completed_total", grows(0.9, 4, 1)},
		{"writes_merged_total", grows(0.8, 2, 1)},
		{"written_bytes_total", grows(0.9, 40960, 512)},
		{"write_time_seconds_total", grows(0.9, 0.01, 0.001)},
		{"io_now", fixed(0)},
		{"io_time_seconds_total", grows(0.9, 0.008, 0.001)},
		{"io_time_weighted_seconds_total", grows(0.9, 0.011, 0.001)},
		{"discards_completed_total", fixed(0)},
		{"discards_merged_total", fixed(0)},
		{"discarded_sectors_total", fixed(0)},
		{"discard_time_seconds_total", fixed(0)},
		{"flush_requests_total", grows(0.4, 0.3, 1)},
		{"flush_requests_time_seconds_total", grows(0.4, 0.0005, 0.001)},
	} {
		all = append(all, one(m.how, "node_disk_"+m.metric, "device", disk))
	}
	return all
}

func linuxNetwork(nic string) []series {
	var all []series
	for _, m := range []struct {
		device string
		pace   float64
	}{{nic, 1}, {"lo", 0.3}} {
		for _, way := range []string{"receive", "transmit"} {
			add := func(metric string, how motion) {
				all = append(all, one(how, "node_network_"+way+"_"+metric+"_total", "device", m.device))
			}
			add("bytes", grows(m.pace, 9000*m.pace, 1))
			add("packets", grows(m.pace, 30*m.pace, 1))
			for _, never := range []string{"errs", "drop", "fifo", "compressed"} {
				add(never, fixed(0))
			}
		}
		all = append(all, one(fixed(0), "node_network_receive_frame_total", "device", m.device),
			one(fixed(0), "node_network_receive_multicast_total", "device", m.device),
			one(fixed(0), "node_network_transmit_colls_total", "device", m.device),
			one(fixed(0), "node_network_transmit_carrier_total", "device", m.device))
	}
	return all
}

// linuxMemory is /proc/meminfo of a server with 8 GiB, the rarely looked at lines last.
func linuxMemory() []series {
	const mib, page = 1 << 20, 4096
	moves := func(chance, low, high float64) motion { return wanders(chance, low*mib, high*mib, page) }
	var all []series
	for _, m := range []struct {
		name string
		how  motion
	}{
		{"MemTotal_bytes", fixed(8192 * mib)}, {"MemFree_bytes", moves(0.6, 700, 1500)},
		{"MemAvailable_bytes", moves(0.6, 4000, 5600)}, {"Buffers_bytes", moves(0.2, 150, 300)},
		{"Cached_bytes", moves(0.4, 2500, 4000)}, {"SwapCached_bytes", fixed(2 * mib)},
		{"Active_bytes", moves(0.4, 2500, 3200)}, {"Inactive_bytes", moves(0.4, 2500, 3200)},
		{"Active_anon_bytes", moves(0.3, 900, 1400)}, {"Inactive_anon_bytes", moves(0.1, 100, 200)},
		{"Active_file_bytes", moves(0.3, 1200, 1800)}, {"Inactive_file_bytes", moves(0.3, 2400, 3000)},
		{"Unevictable_bytes", fixed(18 * mib)}, {"Mlocked_bytes", fixed(18 * mib)},
		{"SwapTotal_bytes", fixed(2048 * mib)}, {"SwapFree_bytes", fixed(2000 * mib)},
		{"Dirty_bytes", moves(0.6, 0, 8)}, {"Writeback_bytes", fixed(0)},
		{"AnonPages_bytes", moves(0.3, 1000, 1500)}, {"Mapped_bytes", moves(0.2, 300, 500)},
		{"Shmem_bytes", moves(0.05, 100, 200)}, {"KReclaimable_bytes", moves(0.2, 300, 400)},
		{"Slab_bytes", moves(0.3, 400, 600)}, {"SReclaimable_bytes", moves(0.2, 300, 400)},
		{"SUnreclaim_bytes", moves(0.2, 100, 200)}, {"KernelStack_bytes", moves(0.1, 5, 9)},
		{"PageTables_bytes", moves(0.1, 15, 30)}, {"NFS_Unstable_bytes", fixed(0)}, {"Bounce_bytes", fixed(0)},
		{"WritebackTmp_bytes", fixed(0)}, {"CommitLimit_bytes", fixed(6144 * mib)},
		{"Committed_AS_bytes", moves(0.3, 2500, 3500)}, {"VmallocTotal_bytes", fixed(35184372087808)},
		{"VmallocUsed_bytes", moves(0.05, 30, 60)}, {"VmallocChunk_bytes", fixed(0)}, {"Percpu_bytes", fixed(3 * mib)},
		{"HardwareCorrupted_bytes", fixed(0)}, {"AnonHugePages_bytes", fixed(400 * mib)}, {"ShmemHugePages_bytes", fixed(0)},
		{"HugePages_Total", fixed(0)}, {"HugePages_Free", fixed(0)}, {"HugePages_Rsvd", fixed(0)}, {"HugePages_Surp", fixed(0)},
		{"Hugepagesize_bytes", fixed(2 * mib)}, {"Hugetlb_bytes", fixed(0)}, {"DirectMap4k_bytes", fixed(300 * mib)},
		{"DirectMap2M_bytes", fixed(5800 * mib)}, {"DirectMap1G_bytes", fixed(4096 * mib)},
	} {
		all = append(all, one(m.how, "node_memory_"+m.name))
	}
	return all
}

// linuxUnits are systemd services that run.
func linuxUnits(n int) []series {
	known := []string{"ssh", "cron", "nginx", "postgresql", "systemd-journald", "systemd-timesyncd", "rsyslog", "dbus"}
	var all []series
	for i := range n {
		name := "app-" + strconv.Itoa(i)
		if i < len(known) {
			name = known[i]
		}
		for _, state := range []string{"activating", "active", "deactivating", "failed", "inactive"} {
			v := 0.0
			if state == "active" {
				v = 1
			}
			all = append(all, one(fixed(v), "node_systemd_unit_state", "name", name+".service", "state", state, "type", "simple"))
		}
	}
	return all
}

// agentSelf is what an agent says of itself, on every system.
func agentSelf() source {
	const own = "watchbill_agent_"
	return source{kind: "watchbill_agent", name: "agent", series: []series{
		one(grows(0.8, 0.0007, 0.01), "process_cpu_seconds_total"),
		one(wanders(0.15, 11<<20, 14<<20, 4096), "process_resident_memory_bytes"),
		one(fixed(1), own+"build_info", "version", "simulated"),
		one(wanders(0.05, 1<<20, 2<<20, 1), own+"spool_bytes"),
		one(fixed(0), own+"spool_unacknowledged_reports"),
		one(fixed(0), own+"spool_dropped_reports_total"),
		one(motion{kind: counter, chance: 1, step: 0, grain: 1, high: 1e5}, own+"reports_total"),
		one(fixed(0), own+"unspooled_reports_total"),
		one(fixed(0), own+"push_failures_total"),
		one(fixed(0.001), own+"clock_offset_seconds"),
	}}
}
