// Command watchbill-fleet is a fleet that does not exist: thousands of agents in one process, each with its own key,
// certificate and identity, that report over real mutual TLS what Linux and Windows servers report, and fail, fall
// silent, restart and attack on request. It measures a collector; see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "watchbill-fleet:", err)
	os.Exit(exitCode(err))
}

// errUsage is wrapped by errors about how the command was called.
var errUsage = errors.New("usage")

// usageError says what is wrong with a command line and where to read how it is right.
type usageError struct {
	err error
	cmd string
}

func (u usageError) Error() string {
	return fmt.Sprintf("%v\nRun `%s --help` for how to call it.", u.err, u.cmd)
}

func (u usageError) Unwrap() []error { return []error{errUsage, u.err} }

// exitCode is 2 for a wrong command line, 1 for everything else.
func exitCode(err error) int {
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "watchbill-fleet",
		Short: "A simulated fleet of agents, to measure a collector with",
		Long: `Simulates a fleet of agents against a real collector: real enrolment, real certificates, real mutual TLS, made-up
servers. First the collector is told of the customers, then the agents are enrolled, then they report:

  watchbill-fleet directory --customers 20 > /etc/watchbill/fleet/simulated.yml     (and reload the collector)
  watchbill-fleet prepare --dir /tmp/fleet --agents 1000
  watchbill-fleet run --dir /tmp/fleet --interval 15s --duration 5m

It reports to collectors on this machine only, unless told otherwise.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{err, cmd.CommandPath()} })
	root.AddCommand(newDirectory(), newPrepare(), newRun(), newVersion())
	return root
}

// usageArgs makes a complaint about arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		return nil
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "watchbill-fleet", version())
			return err
		},
	}
}

// version is what the build recorded: a release's tag, or the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
