package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules"
)

func newCheckCmd() *cobra.Command {
	return group("check", "Check configuration, rules and policies before they are used",
		"Checks files as the collector would read them, and names every fault at once. Exits with 1 when there is one.",
		`  watchbill check config /etc/watchbill/watchbill.yml
  watchbill check rules rules/*.yml
  watchbill check policies`, newCheckConfigCmd(), newCheckRulesCmd(), newCheckPoliciesCmd())
}

func newCheckConfigCmd() *cobra.Command {
	return &cobra.Command{
		Use: "config FILE", Short: "Check a collector's configuration and the files it names",
		Long: `Checks a configuration file: every key, every value, and what it names: the fleet directory, rule files, policy sets with
the contracts that are under them, and the certificates and secrets of receivers and of remote-write targets, and that each
receiver which somebody is to be told by is there. Every fault is named at once, with file, line and field; a section that cannot
be read whole keeps no other from being checked.
Nothing is started and nothing is written.`,
		Example: "  watchbill check config /etc/watchbill/watchbill.yml",
		Args:    takes("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := collector.CheckConfig(args[0], time.Now())
			faults := tellFindings(cmd, found.Rules, false) + tellTerms(cmd, found.Terms)
			if err != nil {
				return sayFindings(cmd, err)
			} else if faults > 0 {
				return errSaid
			}
			fmt.Fprintf(screenOf(cmd).w, "%s is good.\n", clean(args[0]))
			return nil
		},
	}
}

// tellTerms prints what was found about policies and contracts, and counts the faults.
func tellTerms(cmd *cobra.Command, found []policy.Finding) (faults int) {
	for _, f := range found {
		word := "warning: "
		if f.Fault {
			word = ""
			faults++
		}
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, word+f.String())
	}
	return faults
}

// tellFindings prints what was found about rules, and once the words that it asks for, and counts the faults.
func tellFindings(cmd *cobra.Command, found []rules.Finding, lint bool) (faults int) {
	out := safeWriter{cmd.ErrOrStderr()}
	for _, f := range found {
		word := "warning: "
		if f.Fault || lint {
			word = ""
			faults++
		}
		fmt.Fprintln(out, word+clean(f.String()))
	}
	for _, words := range rules.Words(found) {
		fmt.Fprintln(out, clean(words))
	}
	return faults
}

func newCheckRulesCmd() *cobra.Command {
	var lint, explain bool
	reports, step := 15*time.Second, time.Duration(collector.DefaultConfig().Evaluation.Interval)
	cmd := &cobra.Command{
		Use: "rules FILE…", Short: "Check Prometheus rule files",
		Long: `Checks rule files together, as the collector would load them: syntax, expressions, templates, names. Every fault is
named with its file, line, group and rule, and within an expression with its column.

A system that is no word of the ownership map is a fault: nobody would be found to own its tickets. So is a rule that
looks back further than the window keeps: nothing would come of it. A collector that finds these at its start or on a
reload says so and goes on; all other faults it refuses. It also warns of what makes a poor ticket: a severity nobody
knows, no service, no system, no summary. With --lint these are faults too.

With --explain it says of every rule where it is evaluated: at arrival, when a report of its asset comes in, or on its
group's timer, and which part of the expression decided that.`,
		Example: `  watchbill check rules /etc/watchbill/rules/*.yml
  watchbill check rules --explain /etc/watchbill/rules/*.yml
  watchbill check rules --lint rules/packs/linux.yml`,
		Args: takesSome("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			groups, found, err := loadRules(args, rules.LoadOptions{Interval: step})
			if faults := tellFindings(cmd, found, lint); err != nil {
				return say(cmd, err)
			} else if faults > 0 {
				return errSaid
			}
			if explain {
				explainRules(screenOf(cmd), rules.Explain(groups, reports))
			}
			n := 0
			for _, g := range groups {
				n += len(g.Rules)
			}
			verb := "are"
			if n == 1 {
				verb = "is"
			}
			fmt.Fprintf(screenOf(cmd).w, "%s in %s of %s %s good.\n", count(n, "rule"), count(len(groups), "group"),
				count(len(args), "file"), verb)
			return nil
		},
	}
	cmd.Flags().BoolVar(&lint, "lint", false, "warnings are faults")
	cmd.Flags().BoolVar(&explain, "explain", false, "say of every rule where it is evaluated and why")
	cmd.Flags().DurationVar(&reports, "interval", reports, "how often assets report, for --explain")
	cmd.Flags().DurationVar(&step, "evaluation-interval", step, "the collector's evaluation.interval, for --explain: the step of subqueries without one")
	return cmd
}

// explainRules says of every rule where it is evaluated, with totals.
func explainRules(out screen, all []rules.Explanation) {
	group, arrival := "", 0
	for _, x := range all {
		if at := x.File + ": " + x.Group; at != group {
			group = at
			fmt.Fprintln(out.w, clean(group))
		}
		where, why := "timer", x.Why
		if x.Arrival {
			where = "arrival"
			arrival++
		} else {
			why += ": " + x.Expr
		}
		line := fmt.Sprintf("  %-7s  %s", where, x.Rule)
		if why != "" {
			line += "  (" + why + ")"
		}
		fmt.Fprintln(out.w, clean(line))
	}
	fmt.Fprintf(out.w, "%d at arrival, %d on a timer.\n", arrival, len(all)-arrival)
}

// loadRules reads, parses and checks rule files together; the error names every file that cannot be read and
// every fault, and the findings are about what has none.
func loadRules(files []string, o rules.LoadOptions) ([]rules.Group, []rules.Finding, error) {
	contents := map[string][]byte{}
	var errs []error
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("read rules: %w", err))
			continue
		}
		contents[file] = b
	}
	groups, err := o.Load(contents)
	return groups, rules.Check(groups, rules.CheckOptions{Files: contents}), errors.Join(append(errs, err)...)
}

// say prints every fault that was joined into an error and ends the command with 1. A fault in a rule file begins with
// file and line, as editors read it; others with the program's name.
func say(cmd *cobra.Command, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		for _, e := range joined.Unwrap() {
			if err := say(cmd, e); !errors.Is(err, errSaid) {
				return err
			}
		}
		return errSaid
	}
	text := err.Error() + "\n"
	var in *rules.Error
	if !errors.As(err, &in) {
		text = "watchbill: " + text
	}
	if _, werr := io.WriteString(safeWriter{cmd.ErrOrStderr()}, text); werr != nil {
		return werr
	}
	return errSaid
}

// count is a number of things: 1 rule, 2 rules.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
