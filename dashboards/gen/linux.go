package main

func linux() board {
	const fs = `fstype!~"tmpfs|ramfs|squashfs|iso9660|erofs"`
	return board{
		uid: "watchbill-linux", title: "Watchbill: host (Linux)", from: "6h",
		leads: chosen,
		asks:  "Is this Linux host well, and if not, what is it short of?",
		chain: hosts("node_uname_info"),
		rows: []row{
			{"Is the host well?", []panel{
				one("Heard of", "short", 3, "Whether the host reports.", q(`min(max by (instance) (up{$hosts}) and on (instance) node_uname_info)`, ""), falling(1, 1)...).says(yesNo),
				one("Up for", "s", 3, "Since the last start of the host; of several the one that was started last.",
					q(`min(time() - node_boot_time_seconds{$hosts})`, ""), falling(3600, 600)...).whole(),
				one("Processors busy", "percentunit", 3, "Of all processors together, of several hosts the busiest.",
					q(`max(1 - avg by (instance) (rate(node_cpu_seconds_total{$hosts,mode="idle"}[$__rate_interval])))`, ""), rising(0.8, 0.95)...).share(),
				one("Load per processor", "short", 3, "Processes that run or wait, over five minutes, for each processor: above 1 some wait.",
					q(`max(node_load5{$hosts} / on (instance) group_left () count by (instance) (node_cpu_seconds_total{$hosts,mode="idle"}))`, ""), rising(1, 4)...),
				one("Memory left", "percentunit", 3, "The share that programs could still have.",
					q(`min(node_memory_MemAvailable_bytes{$hosts} / node_memory_MemTotal_bytes)`, ""), falling(0.1, 0.03)...).share(),
				one("Fullest file system", "percentunit", 3, "The largest share in use of any file system.",
					q(`max(`+inUseLinux+`)`, ""), rising(0.9, 0.97)...).share(),
				one("Failed units", "short", 3, "Units of systemd that failed.", q(`sum(node_systemd_units{$hosts,state="failed"})`, ""), rising(1, 1)...).
					none("no systemd"),
				one("Killed for memory", "short", 3, "Processes that the kernel killed in the last day, for there was no memory left.",
					q(`sum(increase(node_vmstat_oom_kill{$hosts}[1d]))`, ""), rising(1, 1)...).whole(),
			}},
			{"What takes the processors?", []panel{
				ts("Processor time by mode", "percentunit", 12, "What share of all processors' time went where. iowait is waiting for disks, steal is what the hypervisor gave to others.",
					q(`avg by (mode) (rate(node_cpu_seconds_total{$hosts,mode!="idle"}[$__rate_interval]))`, "{{mode}}")).share().stack(),
				ts("Load", "short", 6, "Processes that run or wait, over one and fifteen minutes.",
					q(`node_load1{$hosts}`, "{{instance}} 1 min"), q(`node_load15{$hosts}`, "{{instance}} 15 min")).above(0).to(assetLink),
				ts("Time in which something waited", "percentunit", 6, "Pressure: the share of time in which at least one process waited for processor, memory or disk.",
					q(`rate(node_pressure_cpu_waiting_seconds_total{$hosts}[$__rate_interval])`, "{{instance}} processor"),
					q(`rate(node_pressure_memory_waiting_seconds_total{$hosts}[$__rate_interval])`, "{{instance}} memory"),
					q(`rate(node_pressure_io_waiting_seconds_total{$hosts}[$__rate_interval])`, "{{instance}} disk")).share().at(0.2, 0.5).to(assetLink),
			}},
			{"Is there memory left?", []panel{
				ts("Memory", "bytes", 12, "What could still be given to programs, of what there is.",
					q(`node_memory_MemAvailable_bytes{$hosts}`, "{{instance}} available"),
					q(`node_memory_MemTotal_bytes{$hosts}`, "{{instance}} in all")).above(0).to(assetLink),
				ts("Swapped in and out", "short", 6, "Pages per second that were written to swap and read back: both at once is thrashing.",
					q(`rate(node_vmstat_pswpin{$hosts}[$__rate_interval])`, "{{instance}} in"),
					q(`rate(node_vmstat_pswpout{$hosts}[$__rate_interval])`, "{{instance}} out")).above(0).at(256, 1024).to(assetLink),
				ts("Swap in use", "percentunit", 6, "Share of swap that holds something.",
					q(`1 - node_memory_SwapFree_bytes{$hosts} / (node_memory_SwapTotal_bytes > 0)`, "{{instance}}")).share().at(0.5, 0.9).
					none("no swap").to(assetLink),
			}},
			{"Will a disk fill, or is one slow?", []panel{
				ts("File systems in use", "percentunit", 8, "Share in use of every file system.",
					q(inUseLinux, "{{instance}} {{mountpoint}}")).share().at(0.9, 0.97).to(assetLink),
				top("Full within", "s", 4, "At the pace of the last six hours; shown are those that would be full within a week.",
					q(`bottomk(8, node_filesystem_avail_bytes{$hosts,`+fs+`} / (-deriv(node_filesystem_avail_bytes{$hosts,`+fs+`}[6h]) > 0) < 604800)`,
						"{{instance}} {{mountpoint}}"), falling(86400, 14400)...).above(0).none("none within a week").to(assetLink),
				ts("Disk busy", "percentunit", 6, "Share of time in which the disk had something to do.",
					q(`rate(node_disk_io_time_seconds_total{$hosts}[$__rate_interval])`, "{{instance}} {{device}}")).share().at(0.8, 0.95).to(assetLink),
				ts("Time for a read or write", "s", 6, "Mean over all that were completed.",
					q(`rate(node_disk_read_time_seconds_total{$hosts}[$__rate_interval]) / (rate(node_disk_reads_completed_total{$hosts}[$__rate_interval]) > 0)`, "{{instance}} {{device}} read"),
					q(`rate(node_disk_write_time_seconds_total{$hosts}[$__rate_interval]) / (rate(node_disk_writes_completed_total{$hosts}[$__rate_interval]) > 0)`, "{{instance}} {{device}} write")).
					above(0).at(0.02, 0.1).none("nothing read or written").to(assetLink),
				ts("Inodes in use", "percentunit", 12, "Files that a file system can still hold are a limit of their own.",
					q(`1 - node_filesystem_files_free{$hosts,`+fs+`} / (node_filesystem_files > 0)`, "{{instance}} {{mountpoint}}")).share().at(0.9, 0.97).to(assetLink),
				ts("Read and written", "Bps", 12, "Bytes per second of every disk; reads above.",
					q(`rate(node_disk_read_bytes_total{$hosts}[$__rate_interval])`, "{{instance}} {{device}} read"),
					q(`rate(node_disk_written_bytes_total{$hosts}[$__rate_interval])`, "{{instance}} {{device}} written")).above(0).to(assetLink),
			}},
			{"Is its network fine?", []panel{
				ts("Traffic", "Bps", 12, "Bytes per second of every interface but the loopback.",
					q(`rate(node_network_receive_bytes_total{$hosts,device!="lo"}[$__rate_interval])`, "{{instance}} {{device}} in"),
					q(`rate(node_network_transmit_bytes_total{$hosts,device!="lo"}[$__rate_interval])`, "{{instance}} {{device}} out")).above(0).to(assetLink),
				ts("Errors and drops", "pps", 6, "Packets per second that were damaged or thrown away.",
					q(`rate(node_network_receive_errs_total{$hosts,device!="lo"}[$__rate_interval]) + rate(node_network_transmit_errs_total[$__rate_interval])`, "{{instance}} {{device}} errors"),
					q(`rate(node_network_receive_drop_total{$hosts,device!="lo"}[$__rate_interval]) + rate(node_network_transmit_drop_total[$__rate_interval])`, "{{instance}} {{device}} drops")).
					above(0).at(1, 10).to(assetLink),
				ts("Segments sent again", "percentunit", 6, "Share of TCP segments that had to be sent again: packets are lost on the way.",
					q(`rate(node_netstat_Tcp_RetransSegs{$hosts}[$__rate_interval]) / (rate(node_netstat_Tcp_OutSegs{$hosts}[$__rate_interval]) > 0)`, "{{instance}}")).
					share().at(0.02, 0.05).to(assetLink),
			}},
			{"Does everything run that should, and at the right time?", []panel{
				list("Failed units", "short", 8, "Units of systemd in the state failed.",
					q(`node_systemd_unit_state{$hosts,state="failed"} == 1`, ""), column{"instance", "Asset"}, column{"name", "Unit"}).
					to(assetCell).none("no unit failed"),
				ts("Watched processes", "short", 8, "How many there are of what the agent's watch names.",
					q(`namedprocess_namegroup_num_procs{$hosts}`, "{{instance}} {{groupname}}")).above(0).whole().none("nothing is watched").to(assetLink),
				ts("Clock off by", "s", 8, "What the kernel thinks its clock is off.",
					q(`node_timex_offset_seconds{$hosts}`, "{{instance}}")).at(0.05, 1).to(assetLink),
			}},
		},
	}
}
