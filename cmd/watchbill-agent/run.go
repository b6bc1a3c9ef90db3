package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/agent"
)

func newRun(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Look at this host and report until stopped",
		Long: `Looks at this host and reports until stopped by SIGTERM or SIGINT, then says goodbye to the collector, so that the
silence that follows has a cause. What cannot be delivered waits in the spool.

The host must be enrolled first, see "watchbill-agent enroll". Under systemd with Type=notify it tells when the first
report was made, and answers the watchdog with every report.`,
		Example: `  watchbill-agent run --config.file=/etc/watchbill/agent.yml
  watchbill-agent run --storage.path=/tmp/agent --interval=5s --log.level=debug`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			agent.Frugal()
			cfg, err := f.config()
			if err != nil {
				return err
			}
			log, err := logger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			sign := &lifeSign{log: log, notify: func(state string) error {
				_, err := daemon.SdNotify(false, state)
				return err
			}}
			a, err := agent.New(cfg, agent.Options{
				Logger: log, Version: version(), OnReport: sign.report, Memory: agent.SetMemoryLimit(cfg.MemoryLimit),
			})
			if err != nil {
				return explainStart(cfg, err)
			}
			log.Info("agent starts", "version", version(), "interval", cfg.Interval, "data_dir", cfg.DataDir)
			defer sign.stopping()
			if err := a.Run(cmd.Context()); err != nil {
				return explainStart(cfg, err)
			}
			log.Info("agent stopped", "version", version())
			return nil
		},
	}
}

// explainStart adds what helps when the directory belongs to somebody else, the most usual reason not to start.
func explainStart(cfg agent.Config, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run as the user who owns %s, or name another directory with --storage.path", err, cfg.DataDir)
	}
	return err
}

// lifeSign tells the service manager that the agent lives (sd_notify(3)); it does nothing where there is none.
type lifeSign struct {
	log    *slog.Logger
	notify func(state string) error
	ready  bool
	failed bool
}

// report is told of every report: the first makes the service ready, every one answers the watchdog.
func (l *lifeSign) report() {
	state := daemon.SdNotifyWatchdog
	if !l.ready {
		l.ready = true
		state = daemon.SdNotifyReady + "\n" + state
	}
	l.send(state)
}

func (l *lifeSign) stopping() { l.send(daemon.SdNotifyStopping) }

func (l *lifeSign) send(state string) {
	if err := l.notify(state); err != nil && !l.failed {
		l.failed = true
		l.log.Warn("the service manager was not told", "state", state, "error", err)
	}
}
