package main

func windows() board {
	const volumes = `volume!~"HarddiskVolume.*|_Total"`
	return board{
		uid: "watchbill-windows", title: "Watchbill: host (Windows)", from: "6h",
		leads: chosen,
		asks:  "Is this Windows host well, and if not, what is it short of?",
		chain: hosts("windows_os_info"),
		rows: []row{
			{"Is the host well?", []panel{
				one("Up for", "s", 4, "Since the last start; of several hosts the one that was started last.",
					q(`min(time() - windows_system_boot_time_timestamp{$hosts})`, ""), falling(3600, 600)...).whole(),
				one("Processors busy", "percentunit", 4, "Of all processors together, of several hosts the busiest.",
					q(`max(1 - avg by (instance) (rate(windows_cpu_time_total{$hosts,mode="idle"}[$__rate_interval])))`, ""), rising(0.8, 0.95)...).share(),
				one("Memory left", "percentunit", 4, "The share that programs could still have.",
					q(`min(windows_memory_available_bytes{$hosts} / windows_memory_physical_total_bytes)`, ""), falling(0.1, 0.03)...).share(),
				one("Memory promised", "percentunit", 4, "Of memory and page file together: at 1 programs are refused more and end with errors.",
					q(`max(windows_memory_committed_bytes{$hosts} / windows_memory_commit_limit)`, ""), rising(0.9, 0.95)...).share(),
				one("Fullest volume", "percentunit", 4, "The largest share in use of any volume.", q(`max(`+inUseWindows+`)`, ""), rising(0.9, 0.97)...).share(),
				one("Automatic services stopped", "short", 4, "Services that start by themselves and do not run.",
					q(`sum(windows_service_state{$hosts,state="stopped"} and on (instance, name) windows_service_start_mode{start_mode="auto"} == 1)`, ""), rising(1, 1)...).
					none("none"),
			}},
			{"What takes the processors?", []panel{
				ts("Processor time by mode", "percentunit", 12, "dpc and interrupt are drivers at work; much of them is a fault.",
					q(`avg by (mode) (rate(windows_cpu_time_total{$hosts,mode!="idle"}[$__rate_interval]))`, "{{mode}}")).share().stack(),
				ts("Threads that wait, per processor", "short", 12, "Ready to run, and no processor free.",
					q(`windows_system_processor_queue_length{$hosts} / on (instance) group_left () count by (instance) (windows_cpu_time_total{$hosts,mode="idle"})`, "{{instance}}")).
					above(0).at(2, 4).to(assetLink),
			}},
			{"Is there memory left?", []panel{
				ts("Memory", "bytes", 12, "What could still be given to programs, of what there is.",
					q(`windows_memory_available_bytes{$hosts}`, "{{instance}} available"),
					q(`windows_memory_physical_total_bytes{$hosts}`, "{{instance}} in all")).above(0).to(assetLink),
				ts("Page file in use", "percentunit", 6, "Share of every page file.",
					q(`1 - windows_pagefile_free_bytes{$hosts} / (windows_pagefile_limit_bytes > 0)`, "{{instance}} {{file}}")).share().at(0.8, 0.9).to(assetLink),
				ts("Pages read and written", "short", 6, "Pages per second between memory and disk: both at once, with little memory left, is thrashing.",
					q(`rate(windows_memory_swap_pages_read_total{$hosts}[$__rate_interval])`, "{{instance}} read"),
					q(`rate(windows_memory_swap_pages_written_total{$hosts}[$__rate_interval])`, "{{instance}} written")).above(0).at(500, 1000).to(assetLink),
			}},
			{"Will a disk fill, or is one slow?", []panel{
				ts("Volumes in use", "percentunit", 8, "Share in use of every volume.", q(inUseWindows, "{{instance}} {{volume}}")).share().at(0.9, 0.97).to(assetLink),
				top("Full within", "s", 4, "At the pace of the last six hours; shown are those that would be full within a week.",
					q(`bottomk(8, windows_logical_disk_free_bytes{$hosts,`+volumes+`} / (-deriv(windows_logical_disk_free_bytes{$hosts,`+volumes+`}[6h]) > 0) < 604800)`,
						"{{instance}} {{volume}}"), falling(86400, 14400)...).above(0).none("none within a week").to(assetLink),
				ts("Time for a read or write", "s", 6, "Mean over all that were completed.",
					q(`rate(windows_logical_disk_read_write_latency_seconds_total{$hosts,`+volumes+`}[$__rate_interval]) / (rate(windows_logical_disk_reads_total[$__rate_interval]) + rate(windows_logical_disk_writes_total[$__rate_interval]) > 0)`,
						"{{instance}} {{volume}}")).above(0).at(0.02, 0.05).none("nothing read or written").to(assetLink),
				ts("Disk busy", "percentunit", 6, "Share of time in which the disk was not idle.",
					q(`1 - rate(windows_logical_disk_idle_seconds_total{$hosts,`+volumes+`}[$__rate_interval])`, "{{instance}} {{volume}}")).share().at(0.8, 0.95).to(assetLink),
			}},
			{"Is its network fine?", []panel{
				ts("Traffic", "Bps", 12, "Bytes per second of every adapter.",
					q(`rate(windows_net_bytes_received_total{$hosts}[$__rate_interval])`, "{{instance}} {{nic}} in"),
					q(`rate(windows_net_bytes_sent_total{$hosts}[$__rate_interval])`, "{{instance}} {{nic}} out")).above(0).to(assetLink),
				ts("Errors and discards", "pps", 6, "Packets per second that were damaged or thrown away.",
					q(`rate(windows_net_packets_received_errors_total{$hosts}[$__rate_interval]) + rate(windows_net_packets_outbound_errors_total[$__rate_interval])`, "{{instance}} {{nic}} errors"),
					q(`rate(windows_net_packets_received_discarded_total{$hosts}[$__rate_interval]) + rate(windows_net_packets_outbound_discarded_total[$__rate_interval])`, "{{instance}} {{nic}} discards")).
					above(0).at(1, 10).to(assetLink),
				ts("Segments sent again", "percentunit", 6, "Share of TCP segments that had to be sent again.",
					q(`sum without (af) (rate(windows_tcp_segments_retransmitted_total{$hosts}[$__rate_interval])) / (sum without (af) (rate(windows_tcp_segments_sent_total{$hosts}[$__rate_interval])) > 0)`, "{{instance}}")).
					share().at(0.02, 0.05).to(assetLink),
			}},
			{"Does everything run that should, and at the right time?", []panel{
				list("Automatic services that are stopped", "short", 12, "Services that start by themselves and do not run. Some end on purpose: the rules know them, this list does not.",
					q(`windows_service_state{$hosts,state="stopped"} == 1 and on (instance, name) windows_service_start_mode{start_mode="auto"} == 1`, ""),
					column{"instance", "Asset"}, column{"name", "Service"}).to(assetCell).none("all run"),
				list("Scheduled tasks that failed", "short", 6, "Tasks whose last run did not end with success, without Windows' own.",
					q(`windows_scheduled_task_last_result{$hosts,task!~"/Microsoft/.*"} == 0`, ""), column{"instance", "Asset"}, column{"task", "Task"}).
					to(assetCell).none("none failed"),
				ts("Clock off by", "s", 6, "From its time source.", q(`windows_time_computed_time_offset_seconds{$hosts}`, "{{instance}}")).at(1, 2).to(assetLink),
			}},
		},
	}
}
