package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

func newVersionCmd() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print which release this is",
		Long: "Prints version, commit, Go release and platform of this program.",
		Example: `  watchbill version
  watchbill version --output json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := api.ReadBuild()
			switch output {
			case "json":
				raw, err := json.Marshal(b)
				if err != nil {
					return fmt.Errorf("encode version: %w", err)
				}
				return printJSON(cmd.OutOrStdout(), raw)
			case "text":
				fmt.Fprintln(screenOf(cmd).w, versionLine(b))
				return nil
			}
			return usagef("--output: want text or json, got %q", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text for people, json for programs")
	return cmd
}

func versionLine(b api.Build) string {
	commit := b.Revision
	if commit == "" {
		commit = "unknown commit"
	}
	if b.Modified {
		commit += ", modified"
	}
	return fmt.Sprintf("watchbill %s (%s) %s %s", b.Version, commit, b.GoVersion, b.Platform)
}
