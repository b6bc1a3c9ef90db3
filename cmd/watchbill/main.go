// Command watchbill is the collector and the operator's way to it: it runs the collector (up, serve), works on tickets,
// and checks rules and configuration. `watchbill help` tells more.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/api"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is a command line that cannot be understood: exit code 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid ends a command with exit code 1 that has already said why.
var errSaid = errors.New("")

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCmd()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = unknownWord(cmd)
	}
	var usage usageError
	var gate *api.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(safeWriter{stderr}, "watchbill: %v\nSee `%s --help`.\n", err, cmd.CommandPath())
		return exitUsage
	case errors.As(err, &gate) && gate.Gate != "":
		sayGate(safeWriter{stderr}, gate)
		return exitFailed
	}
	fmt.Fprintf(safeWriter{stderr}, "watchbill: %v\n", err)
	return exitFailed
}

// newRootCmd is the whole command line.
func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "watchbill",
		Short: "Watches servers and opens the ticket itself when something breaks",
		Long: `Watchbill watches servers and opens the ticket itself when something breaks: with priority, customer, asset and a
record of what happened, gathered when it happened.

The collector runs with "watchbill up" (this machine, nothing to configure) or "watchbill serve" (with a
configuration). The other commands talk to a running collector.`,
		Example: `  watchbill up                                # collector and agent for this machine
  watchbill ticket list                       # what is open
  watchbill ticket show WB-1001               # the whole record
  watchbill ticket ack WB-1001                # take it
  watchbill ticket resolve WB-1001 -m "log rotation was off; turned on, 12 GiB freed"`,
		Version:       versionLine(api.ReadBuild()),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newUpCmd(), newServeCmd(),
		newTicketCmd(), newAlertCmd(), newSilenceCmd(), newMaintenanceCmd(), newQueryCmd(), newAssetCmd(),
		newCustomerCmd(), newContractCmd(), newDepartmentCmd(), newPersonCmd(), newContactCmd(), newSoftwareCmd(), newOnCallCmd(), newIntakeCmd(), newReportCmd(),
		newAgentCmd(), newCACmd(), newTokenCmd(), newOperatorCmd(), newOutboxCmd(),
		newBackupCmd(), newRestoreCmd(),
		newReloadCmd(), newCheckCmd(), newTestCmd(), newPoliciesCmd(), newSLACmd(), newVersionCmd(),
	)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(newHelpCmd())
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if unknownWord(cmd) == nil { // run complains of it otherwise
			help(cmd, args)
		}
	})
	return root
}

func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about any command",
		Long:    "Shows what a command does, its flags and examples; the same as COMMAND --help.",
		Example: "  watchbill help ticket resolve",
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			switch {
			case topic == nil:
				return usageError{err}
			case topic.HasSubCommands() && len(rest) > 0:
				return subcommand(topic, rest)
			case err != nil:
				return usageError{err}
			}
			topic.InitDefaultHelpFlag()
			topic.InitDefaultVersionFlag()
			return topic.Help()
		},
	}
}

// unknownWord is the fault of a command line that asks a group for help with a word that names none of its commands.
func unknownWord(cmd *cobra.Command) error {
	if !cmd.HasSubCommands() || !cmd.Flags().Parsed() {
		return nil
	}
	return subcommand(cmd, cmd.Flags().Args())
}

// group is a command that only holds others.
func group(use, short, long, example string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(subs...)
	return c
}

// subcommand refuses a word that names no subcommand.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%s has no command %q; did you mean %q?", cmd.CommandPath(), args[0], near[0])
	}
	return usagef("%s has no command %q", cmd.CommandPath(), args[0])
}

// takes wants exactly the named arguments.
func takes(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usagef("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usagef("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// takesSome wants one argument or more.
func takesSome(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s is missing", name)
		}
		return nil
	}
}
