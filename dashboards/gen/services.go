package main

func iis() board {
	return board{
		uid: "watchbill-iis", title: "Watchbill: IIS", from: "6h",
		leads: chosen,
		asks:  "Do the web sites on IIS answer, and which application pool is in trouble?",
		chain: hosts("windows_iis_worker_threads"),
		rows: []row{
			{"Does it serve?", []panel{
				one("Requests per second", "reqps", 6, "Of all web sites together.",
					q(`sum(rate(windows_iis_requests_total{$pools}[$__rate_interval]))`, "")).above(0),
				one("Failed requests", "percentunit", 6, "Share of worker processes' requests that ended in 401, 403, 404 or 500: the exporter counts no other.",
					q(`sum(rate(windows_iis_worker_request_errors_total{$hosts}[$__rate_interval])) / sum(rate(windows_iis_worker_requests_total{$hosts}[$__rate_interval]))`, ""), rising(0.02, 0.1)...).share(),
				one("Connections", "short", 6, "Open connections of all web sites.", q(`sum(windows_iis_current_connections{$pools})`, "")).whole(),
				one("Pools not running", "short", 6, "Application pools in another state than Running.",
					q(`count(windows_iis_current_application_pool_state{$hosts,state!="Running"} == 1)`, ""), rising(1, 1)...).none("none"),
			}},
			{"Which site is asked, and how does it answer?", []panel{
				ts("Requests by site", "reqps", 8, "A step down to nothing is a site that nobody reaches.",
					q(`sum by (customer, instance, site, exported_site) (rate(windows_iis_requests_total{$pools}[$__rate_interval]))`, "{{instance}} {{exported_site}} {{site}}")).above(0).to(assetLink),
				ts("Errors by status", "reqps", 8, "Requests per second that worker processes answered with an error.",
					q(`sum by (customer, instance, app, status_code) (rate(windows_iis_worker_request_errors_total{$hosts}[$__rate_interval]))`, "{{instance}} {{app}} {{status_code}}")).above(0).at(1, 10).to(assetLink),
				ts("Not found", "reqps", 8, "Requests per second for what is not there: a broken link, a missing deployment, or a scanner.",
					q(`sum by (customer, instance, site, exported_site) (rate(windows_iis_not_found_errors_total{$pools}[$__rate_interval]))`, "{{instance}} {{exported_site}} {{site}}")).above(0).to(assetLink),
			}},
			{"Is an application pool in trouble?", []panel{
				list("Pools that do not run", "short", 8, "Application pools and the state they are in.",
					q(`windows_iis_current_application_pool_state{$hosts,state!="Running"} == 1`, ""), column{"instance", "Asset"}, column{"app", "Pool"}, column{"state", "State"}).
					to(assetCell).none("all run"),
				ts("Worker processes that failed", "short", 8, "In the hour before, by pool.",
					q(`increase(windows_iis_total_worker_process_failures{$hosts}[1h])`, "{{instance}} {{app}}")).above(0).at(1, 3).to(assetLink),
				ts("Recycles", "short", 8, "In the hour before, by pool: more than a few mean a limit that is too small.",
					q(`increase(windows_iis_total_application_pool_recycles{$hosts}[1h])`, "{{instance}} {{app}}")).above(0).at(3, 5).to(assetLink),
			}},
			{"Does it keep up?", []panel{
				ts("Threads busy", "percentunit", 8, "Share of a worker process' threads that work: at 1 requests wait.",
					q(`windows_iis_worker_threads{$hosts,state="busy"} / ignoring (state) windows_iis_worker_max_threads`, "{{instance}} {{app}}")).share().at(0.7, 0.9).to(assetLink),
				ts("Requests waiting", "short", 8, "In the queue of every pool.",
					q(`windows_iis_http_requests_current_queue_size{$pools}`, "{{instance}} {{exported_site}} {{site}}")).above(0).at(100, 900).to(assetLink),
				ts("Requests refused", "reqps", 8, "Per second, for the queue of the pool was full: users saw 503.",
					q(`rate(windows_iis_http_request_total_rejected_request{$pools}[$__rate_interval])`, "{{instance}} {{exported_site}} {{site}}")).above(0).at(0.1, 1).to(assetLink),
				ts("Connections by site", "short", 24, "Open connections of every web site.",
					q(`windows_iis_current_connections{$pools}`, "{{instance}} {{exported_site}} {{site}}")).above(0).whole().to(assetLink),
			}},
		},
	}
}

func mssql() board {
	const instances = `mssql_instance=~"$mssql"`
	h := func(metric, more string) string { return metric + `{$hosts,` + instances + more + `}` }
	return board{
		uid: "watchbill-mssql", title: "Watchbill: SQL Server", from: "6h",
		leads: chosen,
		asks:  "Does the database answer, and what does it wait for?",
		chain: append(hosts("windows_mssql_genstats_user_connections"), choice{"mssql", "Instance", `windows_mssql_genstats_user_connections{$hosts}`, "mssql_instance"}),
		rows: []row{
			{"Does it serve?", []panel{
				one("Batches per second", "reqps", 4, "Statements that clients sent.", q(`sum(rate(`+h("windows_mssql_sqlstats_batch_requests", "")+`[$__rate_interval]))`, "")).above(0),
				one("Connections", "short", 4, "Users that are connected.", q(`sum(`+h("windows_mssql_genstats_user_connections", "")+`)`, "")).whole(),
				one("Blocked sessions", "short", 4, "Sessions that wait for what another holds.", q(`sum(`+h("windows_mssql_genstats_blocked_processes", "")+`)`, ""), rising(1, 5)...),
				one("Deadlocks", "short", 4, "Transactions that were thrown away in the last hour, for they waited for each other.",
					q(`sum(increase(`+h("windows_mssql_locks_deadlocks", `,resource!="_Total"`)+`[1h]))`, ""), rising(1, 5)...).whole(),
				one("Fullest log", "percent", 4, "Of the transaction logs of all databases: at 100 nothing can be changed.",
					q(`max(`+h("windows_mssql_databases_log_used_percent", `,database!~"_Total|mssqlsystemresource|tempdb"`)+`)`, ""), rising(90, 98)...).between(0, 100),
				one("Severe errors", "short", 4, "Errors in the last hour that ended a connection or took a database offline.",
					q(`sum(increase(`+h("windows_mssql_sql_errors_total", `,resource=~"Kill Connection Errors|DB Offline Errors"`)+`[1h]))`, ""), rising(1, 1)...).whole(),
			}},
			{"What is it asked?", []panel{
				ts("Batches", "reqps", 8, "Statements per second, by instance.", q(`rate(`+h("windows_mssql_sqlstats_batch_requests", "")+`[$__rate_interval])`, "{{instance}} {{mssql_instance}}")).above(0).to(assetLink),
				ts("Connections", "short", 8, "Users that are connected.", q(h("windows_mssql_genstats_user_connections", ""), "{{instance}} {{mssql_instance}}")).above(0).whole().to(assetLink),
				ts("Errors", "short", 8, "Errors per second that statements ended with.",
					q(`rate(`+h("windows_mssql_sql_errors_total", `,resource="User Errors"`)+`[$__rate_interval])`, "{{instance}} {{mssql_instance}}")).above(0).at(5, 50).to(assetLink),
			}},
			{"What does it wait for?", []panel{
				ts("Waiting for locks", "short", 8, "Sessions that wait for locks at any time, on average.",
					q(`sum by (customer, instance, mssql_instance) (rate(`+h("windows_mssql_locks_lock_wait_seconds", `,resource!="_Total"`)+`[$__rate_interval]))`, "{{instance}} {{mssql_instance}}")).above(0).at(2, 10).to(assetLink),
				ts("Blocked sessions", "short", 8, "Sessions that wait for what another session holds.",
					q(h("windows_mssql_genstats_blocked_processes", ""), "{{instance}} {{mssql_instance}}")).above(0).whole().at(1, 5).to(assetLink),
				ts("A write to the log takes", "ms", 8, "Mean wait of a change for its log to be written: the speed of the log's disk.",
					q(`rate(`+h("windows_mssql_waitstats_log_write_waits", `,item="Cumulative wait time (ms) per second"`)+`[$__rate_interval]) / ignoring (item) (rate(`+h("windows_mssql_waitstats_log_write_waits", `,item="Waits started per second"`)+`[$__rate_interval]) > 0)`,
						"{{instance}} {{mssql_instance}}")).above(0).at(20, 50).to(assetLink),
				ts("Oldest open transaction", "s", 8, "Neither the log nor tempdb can be emptied past it.",
					q(h("windows_mssql_transactions_longest_transaction_running_seconds", ""), "{{instance}} {{mssql_instance}}")).above(0).at(900, 3600).to(assetLink),
				ts("Statements that wait for memory", "short", 8, "Before they can begin.", q(h("windows_mssql_memmgr_pending_memory_grants", ""), "{{instance}} {{mssql_instance}}")).above(0).whole().at(1, 5).to(assetLink),
				ts("Requests that wait for a thread", "short", 8, "While there are any nobody can log on.",
					q(h("windows_mssql_waitstats_wait_for_the_worker_waits", `,item="Waits in progress"`), "{{instance}} {{mssql_instance}}")).above(0).whole().at(1, 5).to(assetLink),
			}},
			{"Has it memory enough?", []panel{
				ts("A page stays in memory for", "s", 12, "Under five minutes, with much read from disk, means too little memory.",
					q(h("windows_mssql_bufman_page_life_expectancy_seconds", ""), "{{instance}} {{mssql_instance}}")).above(0).under(600, 300).to(assetLink),
				ts("Pages found in memory", "percentunit", 6, "Share of pages that need not be read from disk.",
					q(h("windows_mssql_bufman_buffer_cache_hits", "")+` / `+h("windows_mssql_bufman_buffer_cache_lookups", ""), "{{instance}} {{mssql_instance}}")).share().under(0.95, 0.9).to(assetLink),
				ts("Pages read from disk", "short", 6, "Per second.", q(`rate(`+h("windows_mssql_bufman_page_reads", "")+`[$__rate_interval])`, "{{instance}} {{mssql_instance}}")).above(0).to(assetLink),
			}},
			{"Will a log or tempdb fill?", []panel{
				ts("Transaction logs in use", "percent", 12, "By database.",
					q(h("windows_mssql_databases_log_used_percent", `,database!~"_Total|mssqlsystemresource|tempdb"`), "{{instance}} {{database}}")).between(0, 100).at(90, 98).to(assetLink),
				ts("tempdb free", "percentunit", 6, "Share of tempdb that is free.",
					q(h("windows_mssql_transactions_tempdb_free_space_bytes", "")+` / ignoring (database) `+h("windows_mssql_databases_data_files_size_bytes", `,database="tempdb"`), "{{instance}} {{mssql_instance}}")).
					share().under(0.2, 0.1).to(assetLink),
				ts("Logs that grew", "short", 6, "How often in the hour before: each time everything waits.",
					q(`increase(`+h("windows_mssql_databases_log_growths", `,database!~"_Total|mssqlsystemresource"`)+`[1h])`, "{{instance}} {{database}}")).above(0).at(1, 5).to(assetLink),
			}},
			{"Is the second copy up to date?", []panel{
				ts("Log not sent yet", "deckbytes", 12, "Lost if this server is.", q(h("windows_mssql_dbreplica_log_send_queue", `,replica!="_Total"`), "{{instance}} {{replica}}")).
					above(0).at(10240, 102400).none("no replica").to(assetLink),
				ts("Log not applied yet", "deckbytes", 12, "At a failover it takes that long to come up.", q(h("windows_mssql_dbreplica_recovery_queue_records", `,replica!="_Total"`), "{{instance}} {{replica}}")).
					above(0).at(102400, 1048576).none("no replica").to(assetLink),
			}},
		},
	}
}
