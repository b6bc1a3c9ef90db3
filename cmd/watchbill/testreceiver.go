package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/notify"
)

// tryFor bounds a test of a receiver: its own time-out is shorter, unless it was set longer.
const tryFor = 2 * time.Minute

func newTestReceiverCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "receiver NAME", Short: "Send a test to a receiver, and print what it answers",
		Long: `Sends a test to a receiver of the configuration, at once and from this very process: the collector need not run. It says
that it is a test. PagerDuty is paged with severity info and the page resolved at once; an Alertmanager gets an alert that is over.
Run it on the collector's host as its user, who can read the secrets. Exits with 1 when the receiver does not take it.`,
		Example: "  watchbill test receiver on-call --config.file /etc/watchbill/watchbill.yml",
		Args:    takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usagef("--config.file: name the configuration that has the receiver")
			}
			return tryReceiver(cmd, file, args[0])
		},
	}
	cmd.Flags().StringVar(&file, "config.file", "", "the collector's configuration (YAML)")
	return cmd
}

func tryReceiver(cmd *cobra.Command, file, name string) error {
	cfg, err := collector.LoadConfig(file)
	if err != nil {
		return say(cmd, err)
	}
	i := slices.IndexFunc(cfg.Receivers, func(r notify.Receiver) bool { return r.Name == name })
	if i < 0 {
		have := []string{"none"}
		for i, r := range cfg.Receivers {
			have = append(have[:i], r.Name)
		}
		return say(cmd, fmt.Errorf("%s: receivers: there is no %q; it has %s", file, name, strings.Join(have, ", ")))
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), tryFor)
	defer cancel()
	err = notify.Try(ctx, cfg.Receivers[i], notify.Options{
		ExternalURL: cfg.Web.ExternalURL, Version: api.ReadBuild().Version, Source: cfg.Source(),
	})
	if err != nil {
		return say(cmd, err)
	}
	fmt.Fprintf(screenOf(cmd).w, "Receiver %s took the test.\n", clean(name))
	return nil
}
