package main

import "fmt"

// windowsSources is what a Windows server with two processors and two volumes reports, by windows_exporter's names. Its
// services bring it to n series.
func windowsSources(number, n int) []source {
	nic := []string{"Intel[R] 82574L Gigabit Network Connection", "vmxnet3 Ethernet Adapter", "Microsoft Hyper-V Network Adapter",
		"Amazon Elastic Network Adapter"}[number%4]
	sources := []source{
		{kind: "windows", name: "cpu", series: windowsCPU(2)},
		{kind: "windows", name: "logical_disk", comesAndGoes: "volume", series: windowsDisks("C:", "D:")},
		{kind: "windows", name: "net", comesAndGoes: "nic", series: windowsNetwork(nic)},
		{kind: "windows", name: "os", series: []series{
			one(fixed(1), "windows_os_info", "build_number", "20348", "major_version", "10", "minor_version", "0", "product",
				"Microsoft Windows Server 2022 Standard", "revision", "2402", "version", "10.0.20348"),
			one(fixed(1), "windows_os_hostname", "hostname", ownName),
		}},
		{kind: "windows", name: "pagefile", series: []series{
			one(fixed(2<<30), "windows_pagefile_limit_bytes", "file", `C:\pagefile.sys`),
			one(wanders(0.1, 1800<<20, 2000<<20, 4096), "windows_pagefile_free_bytes", "file", `C:\pagefile.sys`),
		}},
		{kind: "windows", name: "system", series: []series{
			one(motion{kind: booted}, "windows_system_boot_time_timestamp"),
			one(grows(1, 2500, 1), "windows_system_context_switches_total"),
			one(grows(0.5, 3, 1), "windows_system_exception_dispatches_total"),
			one(wanders(0.3, 90, 140, 1), "windows_system_processes"),
			one(fixed(4294967295), "windows_system_processes_limit"),
			one(wanders(0.1, 0, 3, 1), "windows_system_processor_queue_length"),
			one(grows(1, 9000, 1), "windows_system_system_calls_total"),
			one(wanders(0.6, 1100, 1500, 1), "windows_system_threads"),
		}},
		{kind: "windows", name: "time", series: []series{
			one(motion{kind: clock}, "windows_time_current_timestamp_seconds"),
			one(fixed(1), "windows_time_timezone", "timezone", "GMT Standard Time"),
		}},
		agentSelf(),
	}
	memory := windowsMemory()
	services, singles := fill(count(sources)+len(memory)-6, n, 7)
	sources = append(sources, source{kind: "windows", name: "memory", series: memory[:len(memory)-6+singles]})
	if services > 0 {
		sources = append(sources, source{kind: "windows", name: "service", comesAndGoes: "name", series: windowsServices(services)})
	}
	return sources
}

// tick is the grain of Windows' performance counters: 100 ns, which windows_exporter passes on in full.
const tick = 1e-7

func windowsCPU(cpus int) []series {
	all := []series{one(fixed(float64(cpus)), "windows_cpu_logical_processor")}
	for cpu := range cpus {
		core := fmt.Sprintf("0,%d", cpu)
		add := func(how motion, metric string, labels ...string) {
			all = append(all, one(how, "windows_cpu_"+metric, append([]string{"core", core}, labels...)...))
		}
		for _, m := range []struct {
			mode              string
			chance, perSecond float64
		}{{"idle", 1, 0.93}, {"user", 0.7, 0.04}, {"privileged", 0.7, 0.03}, {"interrupt", 0.1, 0.0005}, {"dpc", 0.1, 0.0005}} {
			add(grows(m.chance, m.perSecond, tick), "time_total", "mode", m.mode)
		}
		for _, m := range []struct {
			state             string
			chance, perSecond float64
		}{{"c1", 0.5, 0.8}, {"c2", 0, 0}, {"c3", 0, 0}} {
			add(grows(m.chance, m.perSecond, tick), "cstate_seconds_total", "state", m.state)
		}
		add(fixed(2394), "core_frequency_mhz")
		add(fixed(0), "parking_status")
		add(grows(0.6, 64, 1), "clock_interrupts_total")
		add(grows(0.4, 20, 1), "dpcs_total")
		add(grows(1, 300, 1), "interrupts_total")
		add(grows(0.6, 200, 1), "idle_break_events_total")
		add(grows(0.6, 100, 1), "processor_performance_total")
		add(grows(0.6, 6, tick), "processor_utility_total")
		add(grows(0.6, 3, tick), "processor_privileged_utility_total")
		add(grows(0.6, 8, tick), "processor_mperf_total")
		add(grows(0.6, 1e6, 1), "processor_rtc_total")
	}
	return all
}

func windowsDisks(volumes ...string) []series {
	const gib = 1 << 30
	var all []series
	for i, volume := range volumes {
		busy := 1 / float64(1+3*i) // the second is for data that rest
		add := func(how motion, metric string) {
			all = append(all, one(how, "windows_logical_disk_"+metric, "volume", volume))
		}
		add(fixed(100*gib), "size_bytes")
		add(motion{kind: gauge, chance: 0.3 * busy, low: 45 * gib, high: 60 * gib, step: 1 << 20, grain: 4096}, "free_bytes")
		add(fixed(0), "readonly")
		add(fixed(0), "requests_queued")
		add(grows(0.1*busy, 0.001, tick), "avg_read_requests_queued")
		add(grows(0.3*busy, 0.002, tick), "avg_write_requests_queued")
		add(grows(1, 0.99, tick), "idle_seconds_total")
		add(grows(0.1*busy, 4000, 512), "read_bytes_total")
		add(grows(0.1*busy, 0.0003, tick), "read_latency_seconds_total")
		add(grows(0.1*busy, 0.0002, tick), "read_seconds_total")
		add(grows(0.3*busy, 0.004, tick), "read_write_latency_seconds_total")
		add(grows(0.1*busy, 0.2, 1), "reads_total")
		add(grows(0.05*busy, 0.02, 1), "split_ios_total")
		add(grows(0.5*busy, 30000, 512), "write_bytes_total")
		add(grows(0.5*busy, 0.003, tick), "write_latency_seconds_total")
		add(grows(0.5*busy, 0.002, tick), "write_seconds_total")
		add(grows(0.5*busy, 3, 1), "writes_total")
	}
	return all
}

func windowsNetwork(nic string) []series {
	var all []series
	for _, m := range []struct {
		metric string
		how    motion
	}{
		{"bytes_total", grows(1, 12000, 1)}, {"bytes_received_total", grows(1, 8000, 1)}, {"bytes_sent_total", grows(1, 4000, 1)},
		{"packets_total", grows(1, 50, 1)}, {"packets_received_total", grows(1, 30, 1)}, {"packets_sent_total", grows(1, 20, 1)},
		{"packets_received_unknown_total", grows(0.05, 0.01, 1)}, {"packets_received_discarded_total", fixed(0)},
		{"packets_received_errors_total", fixed(0)}, {"packets_outbound_discarded_total", fixed(0)},
		{"packets_outbound_errors_total", fixed(0)}, {"output_queue_length_packets", fixed(0)},
		{"current_bandwidth_bytes", fixed(125000000)},
	} {
		all = append(all, one(m.how, "windows_net_"+m.metric, "nic", nic))
	}
	return all
}

// windowsMemory is the memory object of a server with 16 GiB, the rarely looked at counters last.
func windowsMemory() []series {
	const mib, page = 1 << 20, 4096
	moves := func(chance, low, high float64) motion { return wanders(chance, low*mib, high*mib, page) }
	var all []series
	for _, m := range []struct {
		name string
		how  motion
	}{
		{"physical_total_bytes", fixed(16384 * mib)}, {"physical_free_bytes", moves(0.5, 7000, 9000)},
		{"available_bytes", moves(0.5, 7000, 9000)}, {"committed_bytes", moves(0.5, 7000, 9000)},
		{"commit_limit", fixed(18432 * mib)}, {"page_faults_total", grows(1, 800, 1)},
		{"demand_zero_faults_total", grows(0.8, 400, 1)}, {"cache_faults_total", grows(0.3, 20, 1)},
		{"transition_faults_total", grows(0.4, 90, 1)}, {"write_copies_total", grows(0.1, 2, 1)},
		{"swap_page_operations_total", grows(0.1, 1, 1)}, {"swap_page_reads_total", grows(0.1, 0.5, 1)},
		{"swap_pages_read_total", grows(0.1, 1, 1)}, {"swap_page_writes_total", fixed(0)},
		{"swap_pages_written_total", fixed(0)}, {"cache_bytes", moves(0.2, 150, 250)}, {"cache_bytes_peak", fixed(300 * mib)},
		{"pool_paged_bytes", moves(0.1, 300, 400)}, {"pool_paged_allocs_total", fixed(412345)},
		{"pool_paged_resident_bytes", moves(0.1, 250, 350)}, {"pool_nonpaged_bytes", moves(0.1, 150, 250)},
		{"pool_nonpaged_allocs_total", fixed(298765)}, {"modified_page_list_bytes", moves(0.2, 40, 90)},
		{"standby_cache_core_bytes", moves(0.05, 300, 400)}, {"standby_cache_normal_priority_bytes", moves(0.2, 2000, 3000)},
		{"standby_cache_reserve_bytes", moves(0.05, 900, 1500)}, {"free_and_zero_page_list_bytes", moves(0.3, 3000, 4000)},
		{"free_system_page_table_entries", fixed(12347562)}, {"system_cache_resident_bytes", moves(0.1, 150, 250)},
		{"system_code_resident_bytes", fixed(0)}, {"system_code_total_bytes", fixed(0)},
		{"system_driver_resident_bytes", fixed(14 * mib)}, {"system_driver_total_bytes", fixed(15 * mib)},
		{"transition_pages_repurposed_total", fixed(0)}, {"process_memory_limit_bytes", fixed(140737488224256)},
	} {
		all = append(all, one(m.how, "windows_memory_"+m.name))
	}
	return all
}

// windowsServices are services that run.
func windowsServices(n int) []series {
	known := []string{"w3svc", "was", "mssqlserver", "sqlserveragent", "winrm", "eventlog", "lanmanserver", "w32time"}
	var all []series
	for i := range n {
		name := fmt.Sprintf("app%d", i)
		if i < len(known) {
			name = known[i]
		}
		for _, state := range []string{"continue pending", "pause pending", "paused", "running", "start pending", "stop pending", "stopped"} {
			v := 0.0
			if state == "running" {
				v = 1
			}
			all = append(all, one(fixed(v), "windows_service_state", "name", name, "state", state))
		}
	}
	return all
}
