package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchbill/watchbill/collector"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/rules/policies"
)

func newTestPoliciesCmd() *cobra.Command {
	var t policyTests
	var only []string
	var junit string
	cmd := &cobra.Command{
		Use: "policies [FILE|DIR…]", Short: "Run scenarios of policy sets: what tickets under them do",
		Long: `Runs scenarios: a timeline of reports, alerts and what people do, and at each moment what is expected of the tickets
under a policy set: state, owner, priority, clocks, gates, who is told. A file of scenarios ends in ` + policy.ScenarioSuffix + `; of a
directory, of one set or of several, all below it are run, and the sets in it are used in place of shipped ones of the same name. Without a file the
shipped scenarios are run: with --sets they tell what an edited set no longer does.

Tickets are opened, changed and told of by the collector's own pipeline, over a store in memory; nothing is sent and nothing is
written.`,
		Example: `  watchbill test policies /etc/watchbill/policies
  watchbill test policies /etc/watchbill/policies/software-group
  watchbill test policies --sets /etc/watchbill/policies
  watchbill test policies --run 'bank holiday' rules/policies/erp-partner`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if t.only, err = anyOf(only); err != nil {
				return usagef("--run: %v", err)
			}
			files, err := t.gather(args)
			if err != nil {
				return say(cmd, err)
			}
			var verdicts junitFile
			good := true
			for _, f := range files {
				report, err := collector.ScenarioRun{File: f.name, Content: f.content, Sets: t.sets, Only: t.only}.Run(cmd.Context())
				verdicts.Suites = append(verdicts.Suites, scenarioSuite(f.name, report, err))
				good = tellScenarios(cmd, f.name, report, err) && good
			}
			return verdicts.close(junit, good)
		},
	}
	cmd.Flags().StringArrayVar(&only, "run", nil, "run only scenarios whose name matches this regular expression; can be given several times")
	cmd.Flags().StringVar(&junit, "junit", "", "write the verdicts to this file too, as JUnit XML")
	cmd.Flags().StringVar(&t.dir, "sets", "", "directory of policy sets to use in place of shipped ones of the same name")
	return cmd
}

// policyTests is what scenarios are run with.
type policyTests struct {
	only func(name string) bool
	dir  string
	sets policy.SetFiles
}

// scenarioText is a file of scenarios.
type scenarioText struct {
	name    string
	content []byte
}

// gather reads the scenarios that are meant, and the sets they run over.
func (t *policyTests) gather(args []string) ([]scenarioText, error) {
	var err error
	if t.sets, err = policy.ReadSetFiles(policies.Files()); err != nil {
		return nil, err
	}
	if t.dir != "" {
		if err := t.use(t.dir); err != nil {
			return nil, fmt.Errorf("--sets: %w", err)
		}
	}
	if len(args) == 0 {
		return scenariosBelow(policies.Scenarios(), "")
	}
	var all []scenarioText
	for _, arg := range args {
		some, err := t.of(arg)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// of are the scenarios of a file or below a directory, whose sets are used.
func (t *policyTests) of(arg string) ([]scenarioText, error) {
	info, err := os.Stat(arg)
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	if !info.IsDir() {
		content, err := os.ReadFile(arg)
		if err != nil {
			return nil, fmt.Errorf("read scenarios: %w", err)
		}
		return []scenarioText{{arg, content}}, nil
	}
	if err := t.use(arg); err != nil {
		return nil, err
	}
	found, err := scenariosBelow(os.DirFS(arg), arg)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s: there is no file of scenarios in it: want names that end in %s", arg, policy.ScenarioSuffix)
	}
	return found, err
}

// use takes a directory's sets in place of shipped ones.
func (t *policyTests) use(dir string) error {
	if info, err := os.Stat(dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is no directory: want one with NAME/policy.yml or NAME.yml in it", dir)
	}
	sets, err := policy.ReadSetFiles(os.DirFS(dir))
	if err == nil && isSet(dir) {
		sets, err = oneSet(dir)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	maps.Copy(t.sets, sets)
	return nil
}

// oneSet is the set whose own directory is named, by that directory's name.
func oneSet(dir string) (policy.SetFiles, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(dir, "policy.yml"))
	return policy.SetFiles{filepath.Base(whole): content}, err
}

// scenariosBelow are all scenarios of a file system, in the order of their names.
func scenariosBelow(fsys fs.FS, dir string) ([]scenarioText, error) {
	var all []scenarioText
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, policy.ScenarioSuffix) {
			return err
		}
		content, err := fs.ReadFile(fsys, name)
		all = append(all, scenarioText{filepath.Join(dir, filepath.FromSlash(name)), content})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	slices.SortFunc(all, func(a, b scenarioText) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// tellScenarios prints what a file came to and reports whether it passed.
func tellScenarios(cmd *cobra.Command, file string, report collector.ScenarioReport, err error) bool {
	out := screenOf(cmd)
	for _, w := range report.Warnings {
		fmt.Fprintln(safeWriter{cmd.ErrOrStderr()}, "warning: "+w)
	}
	for _, f := range report.Failures {
		fmt.Fprintln(out.w, clean(f.String()))
	}
	switch {
	case err != nil:
		_ = say(cmd, err)
	case len(report.Failures) == 0:
		fmt.Fprintf(out.w, "%s: passed (%s)\n", clean(file), count(len(report.Names), "scenario"))
		return true
	}
	return false
}

// scenarioSuite is a file's verdicts as machines read them.
func scenarioSuite(file string, report collector.ScenarioReport, err error) junitSuite {
	s := junitSuite{Name: file, Tests: len(report.Names), Failures: len(report.Failures)}
	for _, name := range report.Names {
		c := junitCase{Name: name}
		for _, f := range report.Failures {
			if f.Scenario == name {
				c.Failures = append(c.Failures, f.String())
			}
		}
		s.Cases = append(s.Cases, c)
	}
	if err != nil {
		s.Errors, s.Cases = 1, append(s.Cases, junitCase{Name: "the file", Error: err.Error()})
	}
	return s
}
