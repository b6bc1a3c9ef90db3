package main

// customers is the chain of dashboards about tickets: the assets are those of the fleet.
func customers() []choice { return hosts("up") }

func tickets() board {
	p := func(name, quantile string) query {
		return q(`histogram_quantile(`+quantile+`, sum by (customer, le) (increase(`+name+`_bucket{$customers}[$__range])))`, "{{customer}}")
	}
	return board{
		uid: "watchbill-tickets", title: "Watchbill: tickets and SLA", from: "7d",
		leads: ticketList,
		asks:  "What is open, what will breach, and do we keep what we promise, by customer?",
		chain: customers(),
		rows: []row{
			{"What is open?", []panel{
				one("Open", "short", 4, "Tickets that want work.", q(`sum(watchbill_tickets{$customers})`, "")).none("none").to(openList),
				one("Not acknowledged", "short", 4, "Nobody has said that they have seen them.", q(`sum(watchbill_tickets{$customers,state=~"new|reopened"})`, ""), rising(1, 5)...).none("none").to(openList),
				one("At risk", "short", 4, "Clocks that will be missed soon.", q(`sum(watchbill_customer_clocks{$customers,state="at_risk"})`, ""), rising(1, 3)...).none("none").to(riskList),
				one("Breached", "short", 4, "Clocks of open tickets whose target was missed.", q(`sum(watchbill_customer_clocks{$customers,state="breached"})`, ""), rising(1, 1)...).none("none").to(openBreached),
				one("Oldest", "s", 4, "How long the oldest has been open.", q(`max(time() - watchbill_ticket_opened_timestamp_seconds{$tickets})`, ""), rising(86400, 7*86400)...).none("none").to(openList),
				one("Not listed", "short", 4, "Open tickets of the whole fleet that the lists and annotations here leave out: they know the first thousand of the queue.",
					q(`sum(watchbill_tickets_left_out)`, ""), rising(1, 1)...).to(openList),
			}},
			{"Which are they, and whose?", []panel{
				openTickets(16),
				top("Open by priority", "short", 4, "By the words of each customer's policy.", q(`sort_desc(sum by (priority) (watchbill_tickets{$customers}))`, "{{priority}}")).whole().tall(9).none("none").to(priorityList),
				top("Open by owner", "short", 4, "By the party that owns the fault.", q(`sort_desc(sum by (owner) (watchbill_tickets_by_owner{$customers}))`, "{{owner}}")).whole().tall(9).none("none").to(ownerList),
			}},
			{"What will breach, and what did?", []panel{
				ts("Clocks at risk and breached", "short", 8, "Of open tickets, by customer.",
					q(`sum by (customer, state) (watchbill_customer_clocks{$customers,state=~"at_risk|breached"})`, "{{customer}} {{state}}")).above(0).whole().none("none").to(ticketsOf),
				ts("Clocks by state", "short", 8, "Of open tickets: running, paused, at risk, breached, met.", q(`sum by (state) (watchbill_customer_clocks{$customers})`, "{{state}}")).above(0).whole().stack().to(openList),
				ts("Breaches per day", "short", 8, "Targets missed in the day before, by customer and clock.",
					q(`sum by (customer, clock) (increase(watchbill_customer_breaches_total{$customers}[1d]))`, "{{customer}} {{clock}}")).above(0).at(1, 5).to(ticketsOf),
			}},
			{"Do we keep what we promise?", []panel{
				top("Targets kept", "percentunit", 8, "Of the clocks that were met or breached in the time shown, the share that was not breached.",
					q(`sort(1 - sum by (customer) (increase(watchbill_customer_breaches_total{$customers}[$__range])) / (sum by (customer) (increase(watchbill_customer_breaches_total{$customers}[$__range]) + increase(watchbill_customer_met_in_time_total{$customers}[$__range])) > 0))`,
						"{{customer}}"), falling(0.98, 0.9)...).share().to(ticketsOf),
				top("Why targets were missed", "short", 8, "How tickets stood when a target of theirs was missed, in the time shown, of the whole fleet.",
					q(`sort_desc(sum by (reason) (increase(watchbill_sla_breaches_total[$__range])))`, "{{reason}}")).above(0).to(breachedList),
				top("First to know", "percentunit", 8, "Of the incidents of the time shown, the share that monitoring knew of before any person reported it.",
					q(`sort(sum by (customer) (increase(watchbill_customer_first_to_know_total{$customers,who="monitoring"}[$__range])) / sum by (customer) (increase(watchbill_customer_first_to_know_total{$customers}[$__range])))`,
						"{{customer}}"), falling(0.9, 0.7)...).share().to(ticketsOf),
			}},
			{"How fast do we answer and repair?", []panel{
				top("Half are answered within", "s", 6, "Median time from receipt to the first acknowledgement by a person, by the clock on the wall.", p("watchbill_customer_response_seconds", "0.5")).above(0).to(ticketsOf),
				top("95 % are answered within", "s", 6, "95th percentile, by the clock on the wall.", p("watchbill_customer_response_seconds", "0.95"), rising(3600, 4*3600)...).above(0).to(ticketsOf),
				top("Half are resolved within", "s", 6, "Median time from receipt to resolution, by the clock on the wall.", p("watchbill_customer_resolution_seconds", "0.5")).above(0).to(ticketsOf),
				top("95 % are resolved within", "s", 6, "95th percentile, by the clock on the wall.", p("watchbill_customer_resolution_seconds", "0.95"), rising(86400, 3*86400)...).above(0).to(ticketsOf),
			}},
			{"How much work comes in, and does it go out?", []panel{
				ts("Opened and resolved per hour", "short", 12, "Of all that is chosen.",
					q(`sum(increase(watchbill_tickets_opened_total{$customers}[1h]))`, "opened"),
					q(`sum(increase(watchbill_tickets_resolved_total{$customers}[1h]))`, "resolved")).above(0),
				ts("Open by customer", "short", 12, "It should come back to where it was.", q(`sum by (customer) (watchbill_tickets{$customers})`, "{{customer}}")).above(0).whole().stack().to(ticketsOf),
				ts("Resolved by themselves", "percentunit", 12, "Share of resolutions by a rule that saw everything recover, in the day before: noise, or luck.",
					q(`sum(increase(watchbill_tickets_resolved_total{$customers,by="rule"}[1d])) / sum(increase(watchbill_tickets_resolved_total{$customers}[1d]))`, "by a rule")).share(),
				ts("Flapping", "short", 12, "Open tickets of the whole fleet whose alerts go up and down.", q(`sum(watchbill_tickets_flapping)`, "flapping")).above(0).whole().to(openList),
			}},
		},
	}
}

func oncall() board {
	return board{
		uid: "watchbill-oncall", title: "Watchbill: on-call load", from: "7d",
		leads: rotaList,
		asks:  "Who is on call, how often are they woken, and is that fair?",
		marks: `watchbill_ticket_opened_timestamp_seconds`,
		chain: []choice{{"rota", "Rota", "watchbill_oncall_covered", "rota"}, {"person", "Person", `watchbill_pages_total{rota=~"$rota"}`, "person"}},
		rows: []row{
			{"Who is on call?", []panel{
				list("On call now", "short", 12, "Everybody who is on call at this moment.", q(`watchbill_oncall{rota=~"$rota"} == 1`, ""), column{"rota", "Rota"}, column{"person", "Person"}).none("nobody is on call"),
				one("Rotas with nobody", "short", 6, "Rotas that should have somebody on call now and do not: pages go to those who stand in.",
					q(`sum(1 - watchbill_oncall_covered{rota=~"$rota"})`, ""), rising(1, 1)...).none("no rota").tall(8),
				ts("Covered", "short", 6, "Whether somebody was on call whenever somebody should be.", q(`watchbill_oncall_covered{rota=~"$rota"}`, "{{rota}}")).between(0, 1).whole().says(yesNo),
			}},
			{"How often are they told, and how often at once?", []panel{
				one("Told", "short", 6, "Notices to people in the time shown.", q(`sum(increase(watchbill_pages_total{rota=~"$rota",person=~"$person"}[$__range]))`, "")).whole(),
				one("Urgent", "short", 6, "Of those, notices that waited for no digest and no quiet hours.",
					q(`sum(increase(watchbill_pages_total{rota=~"$rota",person=~"$person",urgent="yes"}[$__range]))`, "")).whole(),
				one("At night", "percentunit", 6, "Share of the notices of the time shown that came between 22 and 6 o'clock UTC, of all rotas.",
					q(`sum(increase(watchbill_pages_by_hour_total{rota=~"$rota",hour=~"22|23|0[0-5]"}[$__range])) / sum(increase(watchbill_pages_by_hour_total{rota=~"$rota"}[$__range]))`, ""), rising(0.2, 0.4)...).share(),
				one("Acknowledged", "short", 6, "First acknowledgements by a person, of the whole fleet, in the time shown.", q(`sum(increase(watchbill_acknowledgements_total[$__range]))`, "")).whole().to(ticketList),
				ts("Notices per hour", "short", 12, "By rota; none is a notice to somebody who was not on call.",
					q(`sum by (rota) (increase(watchbill_pages_total{rota=~"$rota",person=~"$person"}[1h]))`, "{{rota}}")).above(0),
				ts("Notices to one person per hour", "short", 12, "More than a few in an hour cannot be worked on.",
					q(`sum by (person) (increase(watchbill_pages_total{rota=~"$rota",person=~"$person"}[1h]))`, "{{person}}")).above(0).at(5, 15),
			}},
			{"Is the load fair?", []panel{
				top("Notices by person", "short", 8, "In the time shown.", q(`sort_desc(sum by (person) (increase(watchbill_pages_total{rota=~"$rota",person=~"$person"}[$__range])))`, "{{person}}")).above(0).whole(),
				top("Acknowledged by", "short", 8, "First acknowledgements in the time shown, by who gave them.", q(`sort_desc(sum by (person) (increase(watchbill_acknowledgements_total[$__range])))`, "{{person}}")).above(0).whole().to(ticketList),
				list("Notices by hour of the day", "short", 8, "In the time shown, hours in UTC.", q(`sum by (hour) (increase(watchbill_pages_by_hour_total{rota=~"$rota"}[$__range]))`, ""),
					column{"hour", "Hour (UTC)"}, column{"Value", "Notices"}).whole().by("Hour (UTC)"),
			}},
			{"When, and how fast, is it acknowledged?", []panel{
				list("Acknowledged by hour of the day", "short", 12, "In the time shown, hours in UTC.", q(`sum by (hour) (increase(watchbill_acknowledgements_by_hour_total[$__range]))`, ""),
					column{"hour", "Hour (UTC)"}, column{"Value", "Acknowledged"}).whole().by("Hour (UTC)").tall(12).to(ticketList),
				ts("Time to acknowledge", "s", 12, "From a ticket's opening to its first acknowledgement, of those of the day before, of the whole fleet.",
					q(`histogram_quantile(0.5, sum by (le) (increase(watchbill_ticket_acknowledge_seconds_bucket[1d])))`, "half within"),
					q(`histogram_quantile(0.95, sum by (le) (increase(watchbill_ticket_acknowledge_seconds_bucket[1d])))`, "95 % within")).above(0).at(900, 3600).tall(12).to(ticketList),
			}},
			{"Does what is sent arrive?", []panel{
				ts("Notices not delivered", "short", 12, "Queued, parked (held back on purpose) and buried (refused for good).", q(`sum by (state) (watchbill_outbox_messages)`, "{{state}}")).above(0).whole().at(10, 100).to(messageList),
				ts("Notices by channel", "short", 12, "In the hour before.", q(`sum by (channel, outcome) (increase(watchbill_notices_total[1h]))`, "{{channel}} {{outcome}}")).above(0).to(messageList),
			}},
		},
	}
}

// mine are the series of a collector's own process, and not those of agents, which have the same names.
const mine = ` and on (job, instance) watchbill_build_info`

func self() board {
	p99 := func(name string) query {
		return q(`histogram_quantile(0.99, sum by (le) (rate(`+name+`_bucket[$__rate_interval])))`, "99 % within")
	}
	p50 := func(name string) query {
		return q(`histogram_quantile(0.5, sum by (le) (rate(`+name+`_bucket[$__rate_interval])))`, "half within")
	}
	return board{
		uid: "watchbill-self", title: "Watchbill: Watchbill itself", from: "6h",
		leads: statusPage,
		asks:  "Does Watchbill see, decide, remember and tell as it should?",
		chain: hosts("watchbill_agent_build_info"),
		rows: []row{
			{"Does it work?", []panel{
				one("Assets reporting", "short", 4, "Of the whole fleet.", q(`sum(watchbill_assets{state="reporting"})`, "")).to(assetList),
				one("Assets silent", "short", 4, "They reported once and do not now.", q(`sum(watchbill_assets{state="silent"})`, ""), rising(1, 5)...).to(assetList),
				one("Configuration loaded", "short", 4, "Whether the last attempt to load configuration, rules and fleet was good.", q(`min(watchbill_config_last_reload_successful)`, ""), falling(1, 1)...).says(yesNo),
				one("History writes", "short", 4, "Whether curves are being kept; detection goes on without.", q(`min(watchbill_history_up)`, ""), falling(1, 1)...).says(yesNo).none("no history"),
				one("Last backup", "s", 4, "Since the store was last backed up.", q(`max(time() - watchbill_backup_last_success_timestamp_seconds)`, ""), rising(26*3600, 50*3600)...),
				one("Notices given up", "short", 4, "Messages that were refused for good and lie buried.", q(`sum(watchbill_outbox_messages{state="buried"})`, ""), rising(1, 10)...).to(messageList),
			}},
			{"Does it see everything?", []panel{
				ts("Reports", "reqps", 8, "Per second, by what became of them.", q(`sum by (result) (rate(watchbill_ingest_reports_total[$__rate_interval]))`, "{{result}}")).above(0),
				ts("Samples", "short", 4, "Per second.", q(`sum(rate(watchbill_ingest_samples_total[$__rate_interval]))`, "samples")).above(0),
				ts("A report is applied in", "s", 6, "From its arrival, of live reports.", p50("watchbill_ingest_duration_seconds"), p99("watchbill_ingest_duration_seconds")).above(0).at(0.5, 2),
				ts("Turned away", "reqps", 6, "Connections per second that were turned away, by reason.", q(`sum by (reason) (rate(watchbill_ingest_turned_away_total[$__rate_interval]))`, "{{reason}}")).above(0).at(1, 10),
				ts("Silent hosts by cause", "short", 12, "What keeps them silent, as far as is known.", q(`sum by (cause) (watchbill_silent_hosts)`, "{{cause}}")).above(0).whole().stack().to(assetList),
				ts("Reviews of what was missed", "short", 12, "Assets whose time without a line is being judged.", q(`sum(watchbill_reviews_open)`, "open")).above(0).whole().to(assetList),
			}},
			{"Does it decide, and fast?", []panel{
				ts("From bad sample to durable ticket", "s", 6, "For alerts without a waiting time.", p50("watchbill_alert_sample_to_commit_seconds"), p99("watchbill_alert_sample_to_commit_seconds")).above(0).at(15, 30).none("no alert began").to(ticketList),
				ts("From others' alert to durable ticket", "s", 6, "Of requests by which an alert of another program began or ended, by request.",
					q(`histogram_quantile(0.5, sum by (request, le) (rate(watchbill_feed_request_duration_seconds_bucket{result="changed"}[$__rate_interval])))`, "{{request}}: half within"),
					q(`histogram_quantile(0.99, sum by (request, le) (rate(watchbill_feed_request_duration_seconds_bucket{result="changed"}[$__rate_interval])))`, "{{request}}: 99 % within")).above(0).at(1, 10).none("nobody sends alerts").to(ticketList),
				ts("Rules judged", "short", 6, "Evaluations per second, and those that failed.",
					q(`sum(rate(watchbill_rule_evaluations_total[$__rate_interval]))`, "judged"),
					q(`sum(rate(watchbill_rule_evaluation_failures_total[$__rate_interval]))`, "failed"),
					q(`sum(rate(watchbill_rule_group_missed_total[$__rate_interval]))`, "groups missed")).above(0).to(ruleList),
				ts("Alerts", "short", 6, "Pending, firing, and of unknown state.",
					q(`sum by (state) (watchbill_alerts)`, "{{state}}"), q(`sum(watchbill_alerts_unknown)`, "unknown")).above(0).whole().to(alertList),
			}},
			{"Does it remember?", []panel{
				ts("A commit takes", "s", 8, "Until it is durable.", p50("watchbill_commit_duration_seconds"), p99("watchbill_commit_duration_seconds")).above(0).at(0.1, 1),
				ts("History", "short", 8, "Samples per second that are kept, and writes that failed.",
					q(`sum(rate(watchbill_history_samples_total[$__rate_interval]))`, "kept"),
					q(`sum(rate(watchbill_history_write_failures_total[$__rate_interval]))`, "writes failed")).above(0),
				ts("Backups", "short", 8, "In the day before, by result.", q(`sum by (result) (increase(watchbill_backups_total[1d]))`, "{{result}}")).above(0),
			}},
			{"Does it tell people?", []panel{
				ts("Deliveries", "reqps", 8, "Attempts per second, by receiver and outcome.", q(`sum by (receiver, outcome) (rate(watchbill_outbox_deliveries_total[$__rate_interval]))`, "{{receiver}} {{outcome}}")).above(0).none("nothing was sent").to(messageList),
				ts("A delivery takes", "s", 8, "From the moment it is due until it is delivered.", p50("watchbill_outbox_delivery_seconds"), p99("watchbill_outbox_delivery_seconds")).above(0).at(10, 60).none("nothing was sent").to(messageList),
				ts("Waiting", "short", 8, "Messages that are not delivered yet.", q(`sum by (state) (watchbill_outbox_messages)`, "{{state}}")).above(0).whole().at(10, 100).to(messageList),
			}},
			{"What does it cost?", []panel{
				ts("Memory of the collector", "bytes", 8, "Resident, and Go's heap.",
					q(`process_resident_memory_bytes`+mine, "resident"), q(`go_memstats_heap_inuse_bytes`+mine, "heap")).above(0),
				ts("Processors of the collector", "short", 8, "How many it keeps busy.", q(`rate(process_cpu_seconds_total[$__rate_interval])`+mine, "processors")).above(0),
				ts("Requests of operators", "reqps", 8, "Answers per second on the operators' listener, by status.", q(`sum by (code) (rate(watchbill_api_requests_total[$__rate_interval]))`, "{{code}}")).above(0),
			}},
			{"How are the agents?", []panel{
				ts("Memory of agents", "bytes", 8, "Resident memory.", q(`process_resident_memory_bytes{$hosts} and on (job, instance) watchbill_agent_build_info`, "{{instance}}")).above(0).to(assetLink),
				ts("Reports not acknowledged", "short", 8, "In agents' spools: more than a few means that the line or the collector is slow.", q(`watchbill_agent_spool_unacknowledged_reports{$hosts}`, "{{instance}}")).above(0).whole().at(10, 1000).to(assetLink),
				ts("Clock of hosts off by", "s", 8, "As agents know it from the collector; what they report is corrected.", q(`watchbill_agent_clock_offset_seconds{$hosts}`, "{{instance}}")).at(1, 30).to(assetLink),
				top("Slowest samplers", "s", 12, "Time that the last reading of a source took.", q(`topk(10, watchbill_agent_collection_duration_seconds{$hosts})`, "{{instance}} {{source}}"), rising(0.5, 2)...).above(0).to(assetLink),
				ts("Reports lost", "short", 12, "In the hour before, that agents had to drop or could not spool.",
					q(`increase(watchbill_agent_lost_reports_total{$hosts}[1h])`, "{{instance}} lost"),
					q(`increase(watchbill_agent_spool_dropped_reports_total{$hosts}[1h])`, "{{instance}} dropped")).above(0).at(1, 10).to(assetLink),
			}},
		},
	}
}
