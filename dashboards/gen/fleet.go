package main

// What several dashboards ask in the same words.
const (
	inUseLinux   = `1 - node_filesystem_avail_bytes{$hosts,fstype!~"tmpfs|ramfs|squashfs|iso9660|erofs"} / node_filesystem_size_bytes`
	inUseWindows = `1 - windows_logical_disk_free_bytes{$hosts,volume!~"HarddiskVolume.*|_Total"} / windows_logical_disk_size_bytes`
	ticketAge    = `sort_desc(time() - watchbill_ticket_opened_timestamp_seconds{$tickets})`
)

// openTickets is the list from which one goes to a ticket.
func openTickets(width uint32) panel {
	return list("Open tickets, oldest first", "s", width, "Open tickets of what is chosen, and how long each has been open. Click on a number for the whole ticket.",
		q(ticketAge, ""),
		column{"number", "Ticket"}, column{"priority", "Priority"}, column{"state", "State"}, column{"customer", "Customer"},
		column{"site", "Site"}, column{"asset", "Asset"}, column{"service", "Service"}, column{"owner", "Owner"}, column{"Value", "Open for"}).
		to(ticketCell, assetCell).none("no open ticket").tall(9)
}

func fleet() board {
	return board{
		uid: "watchbill-fleet", title: "Watchbill: fleet overview", from: "6h",
		leads: chosen,
		asks:  "Is anything broken, where, and since when? The page to leave open.",
		chain: hosts("up"),
		rows: []row{
			{"Is anything broken right now?", []panel{
				one("Open tickets", "short", 4, "Tickets that want work: neither resolved nor closed.",
					q(`sum(watchbill_tickets{$customers})`, ""), rising(1, 10)...).none("none"),
				one("Clocks breached", "short", 4, "Clocks of open tickets whose target was missed.",
					q(`sum(watchbill_customer_clocks{$customers,state="breached"})`, ""), rising(1, 1)...).none("none"),
				one("Assets not heard of", "short", 4, "Assets that should report and do not: what is wrong with them is unknown, not fine.",
					q(`count(min by (customer, site, instance) (up{$hosts}) == 0)`, ""), rising(1, 3)...).none("none").to(assetList),
				one("Assets heard of", "short", 4, "Assets that report.", q(`count(max by (customer, site, instance) (up{$hosts}) == 1)`, "")).none("none").to(assetList),
				one("Alerts firing", "short", 4, "Alerts that fire in the whole fleet, whether or not they opened a ticket.",
					q(`sum(watchbill_alerts{state="firing"})`, ""), rising(1, 50)...).to(alertList),
				one("Unknown", "short", 4, "Alerts of which nobody can tell whether they still stand, in the whole fleet: their host is silent, or its sampler failed.",
					q(`sum(watchbill_alerts_unknown)`, ""), rising(1, 10)...).to(alertList),
			}},
			{"What wants work, and since when?", []panel{openTickets(24)}},
			{"Who is not heard of?", []panel{
				list("Assets not heard of", "short", 12, "Assets whose last state is down. Look at the site first: several of one site mean its line.",
					q(`up{$hosts} == 0`, ""), column{"customer", "Customer"}, column{"site", "Site"}, column{"instance", "Asset"}, column{"job", "Job"}).
					to(assetCell).none("every asset is heard of"),
				ts("Assets heard of, by customer", "short", 12, "A step down is a site that lost its line, or a host that went away.",
					q(`sum by (customer) (max by (customer, site, instance) (up{$hosts}))`, "{{customer}}")).above(0).whole().to(ticketsOf),
			}},
			{"Which hosts are closest to their limits?", []panel{
				top("Fullest file systems and volumes", "percentunit", 8, "The ten fullest of all hosts, Linux and Windows.",
					q(`topk(10, `+inUseLinux+` or `+inUseWindows+`)`, "{{instance}} {{mountpoint}}{{volume}}"), rising(0.9, 0.97)...).share().
					to(assetLink),
				top("Busiest processors", "percentunit", 8, "The ten hosts whose processors were idle least.",
					q(`topk(10, 1 - avg by (customer, site, instance) (rate(node_cpu_seconds_total{$hosts,mode="idle"}[$__rate_interval]) or rate(windows_cpu_time_total{$hosts,mode="idle"}[$__rate_interval])))`,
						"{{instance}}"), rising(0.8, 0.95)...).share().to(assetLink),
				top("Least memory left", "percentunit", 8, "The ten hosts with the smallest share of memory that programs could still have.",
					q(`bottomk(10, node_memory_MemAvailable_bytes{$hosts} / node_memory_MemTotal_bytes or windows_memory_available_bytes{$hosts} / windows_memory_physical_total_bytes)`,
						"{{instance}}"), falling(0.1, 0.03)...).share().to(assetLink),
			}},
			{"Is it getting worse?", []panel{
				ts("Open tickets by customer", "short", 12, "How much is open, by customer.",
					q(`sum by (customer) (watchbill_tickets{$customers})`, "{{customer}}")).above(0).whole().to(ticketsOf),
				ts("Tickets opened per hour", "short", 12, "How many were opened in the hour before.",
					q(`sum by (customer) (increase(watchbill_tickets_opened_total{$customers}[1h]))`, "{{customer}}")).above(0).to(ticketsOf),
			}},
		},
	}
}
