// Command watchbill-agent looks at its host and reports to a Watchbill collector. See agent/README.md.
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
	fmt.Fprintln(os.Stderr, "watchbill-agent:", err)
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
	f := &flags{usualFile: usualFile()}
	root := &cobra.Command{
		Use:   "watchbill-agent",
		Short: "Looks at this host and reports to a Watchbill collector",
		Long: `Looks at this host in a steady rhythm and reports to a Watchbill collector.

It opens no port, starts no process and carries out no command: the collector can make it do nothing.`,
		Example: `  watchbill-agent enroll --token-file=/root/token
  watchbill-agent run --config.file=/etc/watchbill/agent.yml
  watchbill-agent once --tables`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	// No template of cobra's is set: a text/template that can be reached makes the linker keep every exported method of
	// every type, two megabytes of them in memory.
	f.register(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{err, cmd.CommandPath()} })
	root.AddCommand(newRun(f), newEnroll(f), newOnce(f), newCheck(f), newVersion())
	return root
}

// noArgs refuses any argument: a word that names no subcommand, with the one that was probably meant, and anything after a
// command that takes nothing.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%q is one argument too many: %s takes no arguments, only flags", args[0], cmd.CommandPath())
	if cmd.HasSubCommands() {
		err = fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w; did you mean %q?", err, near[0])
		}
	}
	return usageError{err, cmd.CommandPath()}
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
		Short: "Print the agent's version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "watchbill-agent", version())
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
