package main

func backups() board {
	const files = `file=~".*([Bb]ackup|BACKUP)[^/\\\\]*",file!~".*[Rr]estore[-_]?[Tt]est.*"`
	const tests = `file=~".*[Rr]estore[-_]?[Tt]est[^/\\\\]*"`
	ages := []query{
		q(`time() - node_textfile_mtime_seconds{$hosts,`+files+`}`, "{{instance}} {{file}}"),
		q(`time() - windows_textfile_mtime_seconds{$hosts,`+files+`}`, "{{instance}} {{file}} (Windows)"),
		q(`time() - resticprofile_backup_time_seconds{$hosts}`, "{{instance}} resticprofile {{profile}}"),
		q(`time() - max by (customer, site, instance, client_hostname, snapshot_paths) (restic_backup_timestamp{$hosts})`, "{{instance}} restic {{client_hostname}}"),
		q(`pgbackrest_backup_since_last_completion_seconds{$hosts,backup_type="incr"}`, "{{instance}} pgBackRest {{stanza}}"),
		q(`time() - pbs_snapshot_vm_last_timestamp{$hosts}`, "{{instance}} Proxmox {{vm_name}}"),
	}
	age := ts("Age of the last backup", "s", 24, "By host and job, of every kind of backup that is watched. It should fall back to zero every night; over 26 hours a night was missed.", ages...)
	failed := `max by (customer, site, instance) (node_cronjob_status{$hosts,description=~"(?i).*backup.*"} > bool 0 or resticprofile_backup_status{$hosts} == bool 0 or pgbackrest_backup_last_error_status{$hosts} == bool 1 or veeam_em_vmjobs_sessions_state{$hosts} == bool 3)`
	return board{
		uid: "watchbill-backups", title: "Watchbill: backups", from: "7d",
		leads: chosen,
		asks:  "Could everything be restored, from when, and was that tried?",
		chain: hosts(`{__name__=~"node_textfile_mtime_seconds|windows_textfile_mtime_seconds|node_cronjob_status|resticprofile_backup_status|restic_check_success|` +
			`pgbackrest_stanza_status|veeam_em_vmjobs_sessions_state|pbs_snapshot_vm_last_timestamp|pg_replication_lag_seconds|mysql_slave_status_seconds_behind_source"}`),
		rows: []row{
			{"Did every backup run, and did it end well?", []panel{
				one("Hosts whose last backup failed", "short", 6, "By cron's exit code, resticprofile, pgBackRest and Veeam.", q(`sum(`+failed+`)`, ""), rising(1, 1)...),
				one("Backups over 26 hours old", "short", 6, "Of all that say when they ran last: a night was missed.",
					q(`count(time() - (resticprofile_backup_time_seconds{$hosts} or node_textfile_mtime_seconds{$hosts,`+files+`} or windows_textfile_mtime_seconds{$hosts,`+files+`} or pbs_snapshot_vm_last_timestamp{$hosts}) > 93600)`, ""), rising(1, 1)...).none("none"),
				one("Repositories damaged", "short", 6, "Whose last check (restic, pgBackRest) found a fault.",
					q(`sum(restic_check_success{$hosts} == bool 0 or pgbackrest_stanza_status{$hosts} != bool 0)`, ""), rising(1, 1)...),
				one("Restore tests overdue", "short", 6, "Hosts whose last restore test is over 35 days ago. A host that never had one is not among them.",
					q(`count(time() - (node_textfile_mtime_seconds{$hosts,`+tests+`} or windows_textfile_mtime_seconds{$hosts,`+tests+`}) > 3024000)`, ""), rising(1, 1)...).none("none"),
			}},
			{"From when could it be restored?", []panel{age.above(0).at(26*3600, 50*3600).tall(10).to(assetLink)}},
			{"What failed?", []panel{
				list("Hosts whose last backup failed", "short", 12, "Any of the host's jobs.", q(failed+` == 1`, ""),
					column{"customer", "Customer"}, column{"site", "Site"}, column{"instance", "Asset"}).to(assetCell).none("none failed"),
				list("Backups that were never verified", "short", 12, "Snapshots of Proxmox Backup Server whose last verification failed or never ran.", q(`pbs_snapshot_vm_last_verify{$hosts} == 0`, ""),
					column{"instance", "Asset"}, column{"datastore", "Datastore"}, column{"vm_name", "Machine"}).to(assetCell).none("all were verified"),
			}},
			{"Is there something odd about a backup?", []panel{
				ts("A backup takes", "s", 8, "Of resticprofile and Veeam: twice what it used to is worth a look.",
					q(`resticprofile_backup_duration_seconds{$hosts}`, "{{instance}} {{profile}}"),
					q(`veeam_em_vmjobs_sessions_duration{$hosts}`, "{{instance}} {{jobname}} {{vmname}}")).above(0).at(4*3600, 8*3600).to(assetLink),
				ts("A backup reads", "bytes", 8, "A drop to half means that something is not in it any more.", q(`resticprofile_backup_processed_bytes{$hosts}`, "{{instance}} {{profile}}")).above(0).to(assetLink),
				ts("Snapshots", "short", 8, "In every repository.", q(`restic_snapshots_total{$hosts}`, "{{instance}} {{client_hostname}}")).above(0).whole().to(assetLink),
			}},
			{"Will the repository fill?", []panel{
				ts("Free", "percentunit", 12, "Share of Veeam's repositories and Proxmox' datastores.",
					q(`veeam_em_overview_repositories_capacity_free_bytes{$hosts} / veeam_em_overview_repositories_capacity_total_bytes`, "{{instance}} {{name}}"),
					q(`pbs_available{$hosts} / pbs_size`, "{{instance}} {{datastore}}")).share().under(0.2, 0.1).to(assetLink),
				ts("WAL archived", "short", 12, "Whether pgBackRest has the log up to now: without it nothing newer than the last backup can be restored.",
					q(`pgbackrest_wal_archive_status{$hosts}`, "{{instance}} {{stanza}}")).between(0, 1).says(yesNo).under(1, 1).to(assetLink),
			}},
			{"Are replicas up to date?", []panel{
				ts("Behind by", "s", 24, "PostgreSQL and MySQL.",
					q(`pg_replication_lag_seconds{$hosts} and pg_replication_is_replica == 1`, "{{instance}} PostgreSQL"),
					q(`mysql_slave_status_seconds_behind_source{$hosts}`, "{{instance}} MySQL"),
					q(`mysql_slave_status_seconds_behind_master{$hosts}`, "{{instance}} MySQL (older)")).above(0).at(300, 1800).none("no replica").to(assetLink),
			}},
		},
	}
}
