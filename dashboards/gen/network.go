package main

func network() board {
	const down = `ifOperStatus{$hosts} == 2 and ifAdminStatus == 1`
	return board{
		uid: "watchbill-network", title: "Watchbill: network and firewalls", from: "6h",
		leads: chosen,
		asks:  "Is a line, a switch, a firewall or a power supply in trouble?",
		chain: hosts(`{__name__=~"ifOperStatus|probe_icmp_duration_seconds|fortigate_cpu_usage_ratio|upsBasicBatteryStatus"}`),
		rows: []row{
			{"Does everything answer?", []panel{
				one("Devices that do not answer", "short", 6, "Devices of which the last ping was not answered.",
					q(`count(probe_success{$hosts} == 0 and ignoring (phase) probe_icmp_duration_seconds{phase="rtt"})`, ""), rising(1, 1)...).none("all answer"),
				one("Interfaces down", "short", 6, "Interfaces that are switched on and have no link.", q(`count(`+down+`)`, ""), rising(1, 5)...).none("none"),
				one("Pings lost", "percentunit", 6, "Of the last ten minutes, of the worst device.",
					q(`max(1 - avg_over_time(probe_success{$hosts}[10m]) and ignoring (phase) probe_icmp_duration_seconds{phase="rtt"})`, ""), rising(0.01, 0.05)...).share(),
				one("On battery", "short", 6, "Power supplies that run on their battery.", q(`count(upsBasicOutputStatus{$hosts} == 3)`, ""), rising(1, 1)...).none("none"),
			}},
			{"Are the lines good?", []panel{
				ts("Time there and back", "s", 12, "Of pings, by device.", q(`probe_icmp_duration_seconds{$hosts,phase="rtt"}`, "{{instance}}")).above(0).at(0.1, 0.2).to(assetLink),
				ts("Pings lost", "percentunit", 12, "Of the ten minutes before, by device.",
					q(`1 - avg_over_time(probe_success{$hosts}[10m]) and ignoring (phase) probe_icmp_duration_seconds{phase="rtt"}`, "{{instance}}")).share().at(0.01, 0.05).to(assetLink),
			}},
			{"Which interface is full, bad or down?", []panel{
				ts("Traffic in", "bps", 12, "Bits per second.", q(`8 * rate(ifHCInOctets{$hosts}[$__rate_interval])`, "{{instance}} {{ifName}}")).above(0).to(assetLink),
				ts("Traffic out", "bps", 12, "Bits per second.", q(`8 * rate(ifHCOutOctets{$hosts}[$__rate_interval])`, "{{instance}} {{ifName}}")).above(0).to(assetLink),
				top("Fullest", "percentunit", 8, "The ten interfaces that use most of their speed, in either direction.",
					q(`topk(10, (rate(ifHCInOctets{$hosts}[$__rate_interval]) > rate(ifHCOutOctets[$__rate_interval]) or rate(ifHCOutOctets{$hosts}[$__rate_interval])) * 8 / (ifHighSpeed * 1e6 > 0))`,
						"{{instance}} {{ifName}}"), rising(0.7, 0.9)...).share().to(assetLink),
				ts("Errors and discards", "pps", 8, "Packets per second that were damaged or thrown away.",
					q(`rate(ifInErrors{$hosts}[$__rate_interval]) + rate(ifOutErrors[$__rate_interval])`, "{{instance}} {{ifName}} errors"),
					q(`rate(ifOutDiscards{$hosts}[$__rate_interval])`, "{{instance}} {{ifName}} discards")).above(0).at(1, 10).to(assetLink),
				list("Interfaces that are down", "short", 8, "Switched on, and no link.", q(down, ""),
					column{"instance", "Asset"}, column{"ifName", "Interface"}, column{"ifAlias", "Called"}).to(assetCell).none("none is down"),
			}},
			{"Does a firewall or router run out of breath?", []panel{
				ts("Processors busy", "percentunit", 8, "Of firewalls (FortiGate) and of Cisco's routers and switches.",
					q(`avg by (customer, instance) (fortigate_cpu_usage_ratio{$hosts})`, "{{instance}} firewall"),
					q(`avg by (customer, instance) (cpmCPUTotal5minRev{$hosts}) / 100`, "{{instance}} router")).share().at(0.8, 0.9).to(assetLink),
				ts("Memory in use", "percentunit", 8, "Of firewalls (FortiGate) and of Cisco's routers and switches.",
					q(`fortigate_memory_usage_ratio{$hosts}`, "{{instance}}"),
					q(`ciscoMemoryPoolUsed{$hosts} / (ciscoMemoryPoolUsed + ciscoMemoryPoolFree)`, "{{instance}} {{ciscoMemoryPoolName}}")).share().at(0.85, 0.95).to(assetLink),
				list("Tunnels that are down", "short", 8, "Of firewalls (FortiGate): each is an office or a partner that is cut off.",
					q(`fortigate_ipsec_tunnel_up{$hosts} == 0`, ""), column{"instance", "Asset"}, column{"parent", "Tunnel"}, column{"name", "Phase 2"}).to(assetCell).none("all are up"),
			}},
			{"Will the power hold?", []panel{
				ts("Battery lasts", "s", 12, "What power supplies say they could still do, at this load.",
					q(`upsAdvBatteryRunTimeRemaining{$hosts} / 100`, "{{instance}}")).above(0).under(900, 300).none("no power supply").to(assetLink),
				ts("Load of power supplies", "percent", 12, "Of what they can give.", q(`upsAdvOutputLoad{$hosts}`, "{{instance}}")).between(0, 100).at(80, 90).none("no power supply").to(assetLink),
			}},
			{"Was something restarted?", []panel{
				list("Up for less than a day", "s", 24, "Devices that started within the last day.", q(`sort(sysUpTime{$hosts} / 100 < 86400)`, ""),
					column{"customer", "Customer"}, column{"site", "Site"}, column{"instance", "Asset"}, column{"Value", "Up for"}).to(assetCell).none("none").tall(6),
			}},
		},
	}
}

// notPings leaves out checks by ping: the dashboard of networks shows them.
const notPings = ` unless ignoring (phase) probe_icmp_duration_seconds`

func web() board {
	return board{
		uid: "watchbill-web", title: "Watchbill: web and certificates", from: "6h",
		leads: chosen,
		asks:  "Do web sites and name servers answer as they should, and which certificate ends next?",
		chain: append(hosts("probe_success"), choice{"target", "Target", `probe_success{$hosts}`, "target"}),
		rows: []row{
			{"Does everything answer?", []panel{
				one("Checks that fail", "short", 6, "Checks that failed when they were made last.", q(`count(probe_success{$targets} == 0`+notPings+`)`, ""), rising(1, 1)...).none("none"),
				one("Availability", "percentunit", 6, "Mean of all checks over the time shown.", q(`avg(avg_over_time(probe_success{$targets}[$__range])`+notPings+`)`, ""), falling(0.999, 0.99)...).share(),
				one("First certificate ends in", "s", 6, "Until the first certificate of any chain ends.", q(`min(probe_ssl_earliest_cert_expiry{$targets} - time())`, ""), falling(21*86400, 7*86400)...),
				one("Slowest check", "s", 6, "The check that took longest.", q(`max(probe_duration_seconds{$targets}`+notPings+`)`, ""), rising(2, 5)...),
			}},
			{"What fails, and why?", []panel{
				list("Checks that fail", "short", 12, "With the status that they answered last, where they answered.",
					q(`probe_success{$targets} == 0`+notPings, ""), column{"customer", "Customer"}, column{"instance", "Asset"}, column{"target", "Target"}).to(assetCell).none("none fails"),
				list("Answered with an error", "short", 12, "Status 400 and above, and pages that lack what they should say.",
					q(`probe_http_status_code{$targets} >= 400 or probe_failed_due_to_regex{$targets} == 1`, ""),
					column{"customer", "Customer"}, column{"instance", "Asset"}, column{"target", "Target"}, column{"Value", "Status (1: words missing)"}).to(assetCell).none("none"),
				ts("Availability", "percentunit", 24, "Of the hour before, by check.", q(`avg_over_time(probe_success{$targets}[1h])`+notPings, "{{instance}} {{target}}")).share().under(0.999, 0.99).to(assetLink),
			}},
			{"Are they fast?", []panel{
				ts("A check takes", "s", 12, "From the look-up of the name to the last byte.", q(`probe_duration_seconds{$targets}`+notPings, "{{instance}} {{target}}")).above(0).at(2, 5).to(assetLink),
				ts("Where the time goes", "s", 12, "Mean of all that are chosen, by part: resolve, connect, tls, processing (the server thinks) and transfer.",
					q(`avg by (phase) (probe_http_duration_seconds{$targets})`, "{{phase}}")).above(0).stack(),
				ts("Names are looked up in", "s", 12, "By check.", q(`probe_dns_lookup_time_seconds{$targets}`+notPings, "{{instance}} {{target}}")).above(0).at(0.5, 1).to(assetLink),
				ts("Status", "short", 12, "HTTP status of the last answer; 0 is none.", q(`probe_http_status_code{$targets}`, "{{instance}} {{target}}")).above(0).whole().at(400, 500).to(assetLink),
			}},
			{"Which certificate ends next?", []panel{
				list("Certificates by end", "s", 16, "Until the first certificate of the chain ends, soonest first.", q(`sort(probe_ssl_earliest_cert_expiry{$targets} - time())`, ""),
					column{"customer", "Customer"}, column{"instance", "Asset"}, column{"target", "Target"}, column{"Value", "Ends in"}).under(21*86400, 7*86400).to(assetCell).none("no certificate"),
				list("Outdated protocols", "short", 8, "Servers that speak TLS 1.0 or 1.1.", q(`probe_tls_version_info{$targets,version=~"TLS 1.[01]"}`, ""),
					column{"instance", "Asset"}, column{"target", "Target"}, column{"version", "Version"}).to(assetCell).none("none"),
			}},
		},
	}
}
