package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/rules"
)

func newTestCmd() *cobra.Command {
	return group("test", "Test rules, policy sets, the alert feed's mappings and receivers", "Runs tests. Exits with 1 when one fails.",
		"  watchbill test rules rules/packs/*_test.yml\n  watchbill test policies\n  watchbill test feed feed_test.yml\n  watchbill test receiver on-call --config.file watchbill.yml",
		newTestRulesCmd(), newTestPoliciesCmd(), newTestFeedCmd(), newTestReceiverCmd())
}

func newTestRulesCmd() *cobra.Command {
	var t ruleTests
	var only []string
	var junit string
	cmd := &cobra.Command{
		Use: "rules FILE…", Short: "Run unit tests of rules: of their alerts, and of the tickets they open",
		Long: `Runs unit tests in the format of "promtool test rules": series are written down, rules run over them, and the alerts
and results at given times are compared. Paths of rule files in a test are relative to it, and may be patterns.

The verdicts are promtool's: every rule is evaluated at each evaluation_interval. A group's own interval, and that the
collector evaluates a rule whose range holds more than 200 samples only once in a 200th of that range, are not simulated.

A file whose name ends in ` + collector.TicketTestSuffix + ` says which tickets the rules open, attach to, resolve and reopen instead. It
runs the collector's own evaluation, where rules with long ranges are evaluated as seldom as in production.`,
		Example: `  watchbill test rules rules/packs/*_test.yml
  watchbill test rules --run 'full disk' rules/packs/linux_ticket_test.yml
  watchbill test rules --junit verdicts.xml rules/packs/*_test.yml`,
		Args: takesSome("FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if t.only, err = anyOf(only); err != nil {
				return usagef("--run: %v", err)
			}
			var verdicts junitFile
			good := true
			for _, file := range args {
				report, err := t.run(cmd.Context(), file)
				verdicts.add(file, report, err)
				good = t.tell(cmd, file, report, err) && good
			}
			return verdicts.close(junit, good)
		},
	}
	cmd.Flags().StringArrayVar(&only, "run", nil, "run only tests whose name matches this regular expression; can be given several times")
	cmd.Flags().StringVar(&junit, "junit", "", "write the verdicts to this file too, as JUnit XML")
	cmd.Flags().BoolVar(&t.ignoreUnknown, "ignore-unknown-fields", false, "take rule files with keys that Prometheus does not know")
	return cmd
}

// anyOf tells whether a name matches one of the expressions; nil when there are none.
func anyOf(expressions []string) (func(string) bool, error) {
	var all []*regexp.Regexp
	for _, x := range expressions {
		re, err := regexp.Compile(x)
		if err != nil {
			return nil, err
		}
		all = append(all, re)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return func(name string) bool {
		return slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}, nil
}

// ruleTests runs files of tests.
type ruleTests struct {
	only          func(name string) bool
	ignoreUnknown bool
}

func (t ruleTests) run(ctx context.Context, file string) (rules.TestReport, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return rules.TestReport{}, fmt.Errorf("read the test: %w", err)
	}
	glob := func(pattern string) ([]string, error) {
		if pattern != "" && !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(file), pattern)
		}
		return filepath.Glob(pattern)
	}
	if strings.HasSuffix(file, collector.TicketTestSuffix) {
		return collector.TicketRun{File: file, Content: content, Open: os.ReadFile, Glob: glob, Only: t.only}.Run(ctx)
	}
	return rules.TestRun{
		File: file, Content: content, Open: os.ReadFile, Glob: glob, Only: t.only, IgnoreUnknownFields: t.ignoreUnknown,
	}.Run(ctx)
}

// tell prints what a file came to and reports whether it passed.
func (t ruleTests) tell(cmd *cobra.Command, file string, report rules.TestReport, err error) bool {
	out := screenOf(cmd)
	for _, w := range report.Warnings {
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, "warning: "+w)
	}
	for _, f := range report.Failures {
		fmt.Fprintln(out.w, f)
	}
	switch {
	case err != nil:
		_ = say(cmd, err)
	case len(report.Failures) == 0:
		fmt.Fprintf(out.w, "%s: passed (%s)\n", clean(file), count(len(report.Tests), "test"))
		return true
	}
	return false
}

// junitFile is the verdicts as machines read them, one suite for each file and one case for each test.
type junitFile struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name     string   `xml:"name,attr"`
	Failures []string `xml:"failure,omitempty"`
	Error    string   `xml:"error,omitempty"`
}

func (j *junitFile) add(file string, report rules.TestReport, err error) {
	s := junitSuite{Name: file, Tests: len(report.Tests), Failures: len(report.Failures)}
	for _, name := range report.Tests {
		s.Cases = append(s.Cases, junitCase{Name: name})
	}
	for _, f := range report.Failures {
		i := slices.IndexFunc(s.Cases, func(c junitCase) bool { return c.Name == f.Test })
		if i < 0 {
			i, s.Cases = len(s.Cases), append(s.Cases, junitCase{Name: f.Test})
		}
		s.Cases[i].Failures = append(s.Cases[i].Failures, f.String())
	}
	if err != nil {
		s.Errors, s.Cases = 1, append(s.Cases, junitCase{Name: "the file", Error: err.Error()})
	}
	j.Suites = append(j.Suites, s)
}

// close writes the verdicts to a file, if one is named, and says by errSaid when they are not good.
func (j *junitFile) close(file string, good bool) error {
	if file != "" {
		if err := j.write(file); err != nil {
			return err
		}
	}
	if !good {
		return errSaid
	}
	return nil
}

func (j *junitFile) write(file string) error {
	text, err := xml.MarshalIndent(j, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644) //nolint:gosec // for others to read
	}
	if err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}
