package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck(f *flags) *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Check what the agent would read",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check.AddCommand(&cobra.Command{
		Use:   "config [FILE]",
		Short: "Check a configuration file and name every fault in it",
		Long: `Checks a configuration file, or the defaults, with the flags that are given, and names every fault at once. It touches
nothing else: whether the host is enrolled or a directory exists is not looked at.`,
		Example: `  watchbill-agent check config /etc/watchbill/agent.yml`,
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.configFile = args[0]
			}
			c, err := f.config()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: reports every %v, spools up to %s in %s\n", c.Interval, c.Spool.MaxBytes, c.DataDir)
			return err
		},
	})
	return check
}
