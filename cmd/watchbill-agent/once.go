package main

import (
	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/agent"
)

func newOnce(f *flags) *cobra.Command {
	var tables bool
	cmd := &cobra.Command{
		Use:   "once",
		Short: "Look once and print what would be reported",
		Long: `Looks at this host once and prints the samples in Prometheus' text format. Nothing is sent or kept, and the host need
not be enrolled. A sampler that failed is a comment with the reason.`,
		Example: `  watchbill-agent once
  watchbill-agent once --tables | less
  watchbill-agent once --config.file=/etc/watchbill/agent.yml | grep filesystem`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := f.config()
			if err != nil {
				return err
			}
			log, err := logger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return agent.Once(cmd.Context(), cfg, agent.Options{Logger: log, Version: version()}, cmd.OutOrStdout(), tables)
		},
	}
	cmd.Flags().BoolVar(&tables, "tables", false, "also print the evidence: processes, sessions, failed units")
	return cmd
}
