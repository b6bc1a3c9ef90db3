package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules/policies"
)

func newPoliciesCmd() *cobra.Command {
	return group("policies", "Show and copy the policy sets that ship",
		`Policy sets say which priority a ticket has, which clocks run, what has to be there before something is done, who owns it
and who is told. Those that ship carry out five service documents. Copy the nearest one, edit it, check it with
"watchbill check policies", and name its directory in the collector's configuration.`,
		`  watchbill policies list
  watchbill policies copy software-group /etc/watchbill/policies`, newPoliciesListCmd(), newPoliciesShowCmd(), newPoliciesCopyCmd())
}

func newPoliciesListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the policy sets that ship",
		Long:    "Lists the policy sets that ship, with their versions.",
		Example: "  watchbill policies list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			book, err := policy.Shipped()
			if err != nil {
				return err
			}
			var rows [][]string
			for _, s := range book.Sets() {
				rows = append(rows, []string{s.Name, s.Version, strings.Join(s.Priorities, " "), s.Description})
			}
			out := screenOf(cmd)
			table(out.w, out.width, []column{{title: "NAME"}, {title: "VERSION"}, {title: "PRIORITIES"}, {title: "DESCRIPTION", stretch: true}}, rows)
			return nil
		},
	}
}

// shippedFile is the file of a shipped set.
func shippedFile(name string) ([]byte, error) {
	content, err := fs.ReadFile(policies.Files(), name+"/policy.yml")
	if err == nil {
		return content, nil
	}
	book, err := policy.Shipped()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range book.Sets() {
		names = append(names, s.Name)
	}
	return nil, usagef("there is no shipped policy set %q: there are %s", name, strings.Join(names, ", "))
}

func newPoliciesShowCmd() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Print a policy set's file",
		Long:    "Prints the file of a policy set that ships, comments and all.",
		Example: "  watchbill policies show it-provider",
		Args:    takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := shippedFile(args[0])
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(content)
			return err
		},
	}
}

func newPoliciesCopyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "copy NAME DIR", Short: "Copy a policy set to edit it",
		Long: `Copies a policy set that ships to DIR/NAME/policy.yml, and the scenarios that it ships with to DIR/NAME/` + shippedScenarios + `:
change them with the set. What is there already is not touched. A set of a shipped one's name replaces it; to have both, give
the copy's directory and its name another word, and name that in the scenarios, too.`,
		Example: "  watchbill policies copy software-group /etc/watchbill/policies",
		Args:    takes("NAME", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := shippedFile(args[0])
			if err != nil {
				return err
			}
			dir := filepath.Join(args[1], args[0])
			tested, err := copySet(args[0], dir, content)
			if err != nil {
				return fmt.Errorf("copy policy set: %w", err)
			}
			then := ""
			if tested {
				then = fmt.Sprintf(" and `watchbill test policies %s`", dir)
			}
			fmt.Fprintf(screenOf(cmd).w, "%s: edit it, then run `watchbill check policies %s`%s\n", filepath.Join(dir, "policy.yml"), args[1], then)
			return nil
		},
	}
}

// shippedScenarios is the file of scenarios that a set ships with.
const shippedScenarios = "scenarios" + policy.ScenarioSuffix

// copySet writes a shipped set and the scenarios that it ships with to a directory, and tells whether it has any. It writes
// nothing where one of them is there already.
func copySet(name, dir string, content []byte) (tested bool, err error) {
	scenarios, err := fs.ReadFile(policies.Scenarios(), name+"/"+shippedScenarios)
	if tested = err == nil; !tested && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, err
	}
	set, beside := filepath.Join(dir, "policy.yml"), filepath.Join(dir, shippedScenarios)
	if !tested {
		return false, writeNew(set, content)
	}
	if err := writeNew(beside, scenarios); err != nil {
		return false, err
	}
	if err := writeNew(set, content); err != nil {
		return false, errors.Join(err, os.Remove(beside)) // it was not there before
	}
	return true, nil
}

// writeNew writes a file that must not be there yet.
func writeNew(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: remove it or name another directory", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// policyCheck is what the flags of `check policies` say.
type policyCheck struct {
	customers string
	receivers []string
	choices   bool
}

func newCheckPoliciesCmd() *cobra.Command {
	var c policyCheck
	cmd := &cobra.Command{
		Use: "policies [DIR|FILE|NAME…]", Short: "Check policy sets, and what contracts make of them",
		Long: `Checks policy sets: every key and word, conditions that nothing meets, rows and rungs that are never reached, clocks that
nobody can meet, priorities that no ticket gets, owners whom nobody stands for, on-call rotas with gaps within the next
eight weeks. DIR holds policy.yml, or NAME/policy.yml and NAME.yml for each set; without an argument the sets that ship
are checked.

With --customers the contracts of a fleet directory that are in force or to come are put together with their sets: what is
given twice, what the sets demand and the contract does not bring, what may not be promised without an agreement, owners
whom nobody can reach. With --receivers, the names of those that the configuration has, receivers that sets and people
name and nobody configured are found, too; "watchbill check config" looks at all of this with the receivers it knows.

With --choices every place is listed that is the operator's to choose, because the document that a set carries out does not
state it.`,
		Example: `  watchbill check policies
  watchbill check policies /etc/watchbill/policies --customers /etc/watchbill/fleet
  watchbill check policies --choices software-group`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	cmd.Flags().StringVar(&c.customers, "customers", "", "fleet directory whose contracts are checked with the sets")
	cmd.Flags().StringSliceVar(&c.receivers, "receivers", nil, "names of the configured receivers, by commas; others are found then")
	cmd.Flags().BoolVar(&c.choices, "choices", false, "list what is the operator's to choose")
	return cmd
}

func (c policyCheck) run(cmd *cobra.Command, args []string) error {
	book, named, err := booksOf(args)
	errs := []error{err}
	var d fleet.Directory
	if c.customers != "" {
		var err error
		d, err = fleet.LoadDirectory(c.customers)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		var usage usageError
		if errors.As(err, &usage) {
			return usage
		}
		return sayFindings(cmd, err)
	}
	var o []policy.CheckOption
	if len(c.receivers) > 0 {
		o = append(o, policy.WithReceivers(c.receivers))
	}
	if faults := tellTerms(cmd, book.Check(d, time.Now(), o...)); faults > 0 {
		return errSaid
	}
	out := screenOf(cmd)
	for _, name := range named {
		s, _ := book.Set(name)
		if !c.choices {
			continue
		}
		for _, choice := range s.Choices {
			fmt.Fprintf(out.w, "%s: %s\n", choice.At, choice.What)
		}
	}
	verb := "are"
	if len(named) == 1 {
		verb = "is"
	}
	fmt.Fprintf(out.w, "%s %s good.\n", count(len(named), "policy set"), verb)
	return nil
}

// sayFindings prints every fault of sets that cannot be loaded, each as editors read it.
func sayFindings(cmd *cobra.Command, err error) error {
	var f policy.Finding
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			_ = sayFindings(cmd, e)
		}
		return errSaid
	}
	if errors.As(err, &f) {
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, f.String())
		return errSaid
	}
	return say(cmd, err)
}

// booksOf is the book of what arguments name, with the names of those sets; without any it is the shipped one.
func booksOf(args []string) (*policy.Book, []string, error) {
	book, err := policy.Shipped()
	if err != nil {
		return nil, nil, err
	}
	var named []string
	if len(args) == 0 {
		for _, s := range book.Sets() {
			named = append(named, s.Name)
		}
	}
	var errs []error
	for _, arg := range args {
		info, err := os.Stat(arg)
		if _, shipped := book.Set(arg); shipped && err != nil {
			named = append(named, arg)
			continue
		}
		if err == nil && info.IsDir() && !isSet(arg) {
			own, err := policy.LoadSets(arg)
			if err == nil && len(own) == 0 {
				err = usagef("%s holds no policy set: NAME/policy.yml or NAME.yml are looked for", arg)
			}
			errs = append(errs, err)
			for _, set := range own {
				book, named = book.With(set), append(named, set.Name)
			}
			continue
		}
		more, name, err := withSet(book, arg)
		errs = append(errs, err)
		if err == nil {
			book, named = more, append(named, name)
		}
	}
	return book, named, errors.Join(errs...)
}

// isSet tells a directory that is one set from one that holds several.
func isSet(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "policy.yml"))
	return err == nil
}
