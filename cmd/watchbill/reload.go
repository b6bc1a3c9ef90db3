package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

// newReloadCmd has the collector read again what it was configured with.
func newReloadCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "reload", Short: "Have the collector read its configuration, rules, policies and fleet directory again",
		Long: `Has the running collector read again what it was started with: configuration, rule files, policy sets, fleet directory and
receivers. All of it is right and takes effect, or nothing changes, every fault is named with file and line, and the exit
code is 1. What is in force and should be mended all the same is said as "watchbill check config" says it, and so is what
takes effect at the next start only. SIGHUP does the same and says it in the collector's log.`,
		Example: `  watchbill check config /etc/watchbill/watchbill.yml && watchbill reload`,
		Args:    takes(),
	}
	c := connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var out api.Reloaded
		printed, err := c.ask(cmd, http.MethodPost, "/-/reload", nil, struct{}{}, &out)
		var refused *api.Error
		if errors.As(err, &refused) && len(refused.Details) > 0 {
			fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, strings.Join(refused.Details, "\n"))
		}
		if err != nil || printed {
			return err
		}
		for _, w := range out.Warnings {
			fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, "warning: "+w)
		}
		s := screenOf(cmd)
		for _, key := range out.NextStart {
			fmt.Fprintf(s.w, "%s changed: takes effect at the next start.\n", clean(key))
		}
		fmt.Fprintln(s.w, "Reloaded.")
		return nil
	}
	return cmd
}
