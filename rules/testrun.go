package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// TestRun is one file of rule unit tests in promtool's format.
type TestRun struct {
	// File names the tests in failures and errors.
	File    string
	Content []byte
	// Open reads a file that rule_files names, as it is written there or as Glob gave it.
	Open func(name string) ([]byte, error)
	// Glob finds the files that an entry of rule_files means; none is a warning, as in promtool. Nil: entries are opened as
	// they are written, and patterns refused.
	Glob func(pattern string) ([]string, error)
	// Only says which tests run, by name; nil runs all.
	Only func(name string) bool
	// IgnoreUnknownFields takes rule files with keys that Prometheus does not know.
	IgnoreUnknownFields bool
	// Evaluation makes what evaluates the rules' expressions in one test; nil is both Prometheus' engine and AtArrival: a
	// test passes when both give what is expected.
	Evaluation func(TestBed) Evaluation
}

// Evaluation evaluates the expression of a rule as of at, which is the evaluation's time less the group's query offset.
// Every way to evaluate rules has to give the same verdicts.
type Evaluation interface {
	Evaluate(ctx context.Context, r *Rule, at time.Time) (promql.Vector, error)
}

// TestBed is what an Evaluation of one test reads.
type TestBed struct {
	// Groups are evaluated in this order, their rules one after another.
	Groups []Group
	// Interval is the time between two evaluations.
	Interval time.Duration
	// Series are those of the test and of its rules. They grow: at an evaluation there is nothing later than it.
	Series storage.Queryable
	// Query is Prometheus' engine over Series.
	Query func(ctx context.Context, expr string, at time.Time) (promql.Vector, error)
}

// TestReport is what a file of tests came to. It passed when there are no Failures.
type TestReport struct {
	// Tests are the names of those that ran, in order.
	Tests    []string
	Failures []Failure
	// Warnings are what passes, as it does in promtool, and is hardly meant.
	Warnings []string
}

// RunTests runs a file of rule unit tests in promtool's format: series notation and engine are Prometheus' own, the
// states of alerts are Step's, with all data known. Failures are expectations that were not met; the error says that
// the tests could not be run as they are written.
func RunTests(ctx context.Context, name string, content []byte, open func(name string) ([]byte, error)) ([]Failure, error) {
	report, err := TestRun{File: name, Content: content, Open: open}.Run(ctx)
	return report.Failures, err
}

// Run is RunTests with all that can be chosen. It gives the verdicts of promtool v0.315.0, but for what README.md lists.
func (r TestRun) Run(ctx context.Context) (TestReport, error) {
	var report TestReport
	file, err := parseTests(r.File, r.Content)
	if err != nil {
		return report, err
	}
	files := RuleFiles{Test: r.File, Open: r.Open, Glob: r.Glob}
	names, err := files.Find(file.RuleFiles)
	if err != nil {
		return report, err
	}
	report.Warnings = files.Warnings
	var groups []Group
	for i := range file.Tests {
		t := &file.Tests[i]
		if r.Only != nil && !r.Only(t.Name) {
			continue
		}
		if len(report.Tests) == 0 { // as in promtool, rules that no test needs may be wrong
			if groups, err = r.load(&files, names, &file); err != nil {
				return report, err
			}
			report.Warnings = files.Warnings
		}
		report.Failures = append(report.Failures, r.perform(ctx, &file, t, groups)...)
		report.Tests = append(report.Tests, t.title())
		report.Warnings = append(report.Warnings, t.traps(r.File)...)
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("%s: test %q: %w", r.File, t.title(), err)
		}
	}
	if len(report.Tests) == 0 {
		report.Warnings = append(report.Warnings, r.File+": no test was run: want some under tests, or another name to run")
	}
	return report, nil
}

// perform runs one test in every way in which its rules are evaluated.
func (r TestRun) perform(ctx context.Context, file *testFile, t *testGroup, groups []Group) []Failure {
	b := bench{run: r, file: file, test: t, groups: groups}
	failures := b.perform(ctx)
	if r.Evaluation != nil || len(Local(groups)) == 0 {
		return failures
	}
	r.Evaluation = AtArrival
	b = bench{run: r, file: file, test: t, groups: groups}
	for _, f := range b.perform(ctx) {
		if !slices.ContainsFunc(failures, func(x Failure) bool { return x.String() == f.String() }) {
			f.What = "at arrival: " + f.What
			failures = append(failures, f)
		}
	}
	return failures
}

// load reads the rules and puts their groups into the order of evaluation. Groups that the file does not name are evaluated
// with its first, as in promtool, but one after another as they stand in their files.
func (r TestRun) load(files *RuleFiles, names []string, file *testFile) ([]Group, error) {
	contents, err := files.Read(names)
	if err != nil {
		return nil, err
	}
	groups, err := LoadOptions{Interval: time.Duration(file.EvaluationInterval)}.Load(contents)
	if err != nil {
		var taken error
		if groups, taken = tolerate(contents, r.IgnoreUnknownFields); taken != nil {
			return nil, err
		}
		files.warn("the collector would refuse these rules: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	} else {
		files.doubt(Check(groups, CheckOptions{Files: contents}))
	}
	place := func(g Group) int { return max(0, slices.Index(file.GroupEvalOrder, g.Name)) }
	slices.SortStableFunc(groups, func(a, b Group) int { return place(a) - place(b) })
	return groups, nil
}

// RuleFiles finds and reads the rule files that a test names.
type RuleFiles struct {
	// Test is the test's file; Open and Glob are as in TestRun.
	Test string
	Open func(name string) ([]byte, error)
	Glob func(pattern string) ([]string, error)
	// Warnings are what was found odd.
	Warnings []string
}

// Find gives the names of the files that rule_files means, each once.
func (f *RuleFiles) Find(patterns []string) ([]string, error) {
	found := map[string]bool{}
	var errs []error
	for _, pattern := range patterns {
		names := []string{pattern}
		switch {
		case f.Glob != nil:
			var err error
			if names, err = f.Glob(pattern); err != nil {
				errs = append(errs, fmt.Errorf("%s: rule_files: %q: %w", f.Test, pattern, err))
			} else if len(names) == 0 {
				f.warn("rule_files: no file is named %q: its rules are not tested", pattern)
			}
		case strings.ContainsAny(pattern, "*?["):
			errs = append(errs, fmt.Errorf("%s: rule_files: %q is a pattern: name each file", f.Test, pattern))
		}
		for _, n := range names {
			found[n] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), errors.Join(errs...)
}

// Read opens files; the error names each that cannot be read.
func (f *RuleFiles) Read(names []string) (map[string][]byte, error) {
	contents := map[string][]byte{}
	var errs []error
	for _, name := range names {
		content, err := f.Open(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: rule_files: open %s: %w", f.Test, name, err))
			continue
		}
		contents[name] = content
	}
	return contents, errors.Join(errs...)
}

// doubt warns of rules that pass a test, as they do in promtool, and would not do in a collector what they do in it.
func (f *RuleFiles) doubt(found []Finding) {
	found = slices.DeleteFunc(found, func(x Finding) bool { return !x.Fault })
	for _, x := range found {
		if x.Refused {
			f.warn("the collector would refuse these rules: %s", x)
		} else {
			f.warn("a check of these rules fails: %s", x)
		}
	}
	for _, words := range Words(found) {
		f.warn("%s", words)
	}
}

func (f *RuleFiles) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, f.Test+": "+fmt.Sprintf(format, args...))
}
