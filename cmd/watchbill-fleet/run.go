package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

func newRun() *cobra.Command {
	var c config
	var faults []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Let a prepared fleet report",
		Long: `Lets the agents that "prepare" enrolled report, each over its own mutual TLS connection: paced by --interval, or as
fast as the collector answers with --flat-out. It ends by itself after --duration, or when it is told to; then the
agents say goodbye. At the end it says, for every start of the collector it saw, how long it took until all agents had
an answer, until a live report of each was accepted, and until each with a spool was replayed.

Faults are asked for as KIND:SHARE[@AFTER][+FOR], repeatably; no agent suffers two:
  value:0.01         1 % of the Linux hosts have a full root file system: rule FilesystemFull fires
  silence:0.1@1m+2m  after a minute 10 % of the agents make and say nothing for two minutes
  site-cut:0.05@1m   the line of 5 % of the sites, at least one, is cut; agents with a spool go on and catch up
                     once it is mended, the others keep nothing
  restart:0.2@1m     20 % of the agents start anew after a minute
  clock-step:0.1@1m  the clocks of 10 % of the hosts jump by an hour, half of them back
  hostile:0.01@1m    1 % of the agents attack: bombs, slow bodies, floods of shapes, explosions of labels, reconnects`,
		Example: `  watchbill-fleet run --dir /tmp/fleet --interval 15s --duration 5m
  watchbill-fleet run --dir /tmp/fleet --flat-out --duration 30s --collector-pid 1234
  watchbill-fleet run --dir /tmp/fleet --fault value:0.01 --fault hostile:0.02@30s --output json`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var errs []error
			for _, text := range faults {
				f, err := parseFault(text)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				c.faults = append(c.faults, f)
			}
			if err := errors.Join(append(errs, c.validate())...); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			f, err := newFleet(c)
			if err != nil {
				return err
			}
			return f.report(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	runFlags(cmd, &c, &faults)
	return cmd
}

func runFlags(cmd *cobra.Command, c *config, faults *[]string) {
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", "", "directory that prepare filled (required)")
	f.IntVar(&c.agents, "agents", 0, "how many of the prepared agents report; 0 for all")
	f.DurationVar(&c.interval, "interval", 15*time.Second, "how often each agent reports")
	f.DurationVar(&c.duration, "duration", 5*time.Minute, "how long the run lasts")
	f.DurationVar(&c.phases, "spread", 0, "over how long the first reports are spread; 0 for one interval")
	f.BoolVar(&c.flatOut, "flat-out", false, "report again as soon as the last report is acknowledged")
	f.BoolVar(&c.lifeOnly, "no-samples", false, "reports carry no samples: what connections alone cost")
	f.IntVar(&c.series, "series", 200, "series per host")
	f.Float64Var(&c.churn, "churn", 0.05, "share of the series that change a label in an hour")
	f.Float64Var(&c.events, "events", 1, "events per host and hour")
	f.StringArrayVar(faults, "fault", nil, "what goes wrong, KIND:SHARE[@AFTER][+FOR]; repeatable")
	f.Float64Var(&c.spooled, "spool", 0, "share of agents with a spool on disk, which send later what they could not send, and again what a collector asks for")
	f.IntVar(&c.sources, "sources", 0, "loopback addresses to come from; 0 for one per 100 agents")
	f.Uint64Var(&c.seed, "seed", 1, "of chance: the same seed strikes the same agents")
	f.Float64Var(&c.attacks, "hostile-rate", 20, "attacks per second of all hostile agents together")
	f.IntVar(&c.wire, "wire", 1, "version of the reports' encoding: 1, or 0 as agents of the first release speak it")
	f.BoolVar(&c.goodbye, "goodbye", true, "agents say goodbye at the end, so that their silence has a cause")
	f.StringVar(&c.collectorURL, "collector-url", "", "the collector's operators' listener, to read its /metrics")
	f.IntVar(&c.collectorPID, "collector-pid", 0, "the collector's process, to read its processor time and memory")
	f.StringVar(&c.peerURL, "remote-write", "", "send the same samples there too, by Prometheus remote write")
	f.IntVar(&c.peerPID, "remote-write-pid", 0, "that process, to read its processor time and memory")
	f.DurationVar(&c.every, "every", 5*time.Second, "how often to say how it goes")
	f.StringVarP(&c.output, "output", "o", "text", "text for people; json for programs, one object a line, the last with the summary")
	f.BoolVar(&c.allowRemote, "allow-remote", false, "report to a collector on another machine")
}
