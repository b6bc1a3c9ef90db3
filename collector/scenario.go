package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/policy"
)

// ScenarioRun is one file of scenarios: sets, contracts and people, a timeline of what happens, and what is expected of it.
// rules/policies/README.md describes the format. Each scenario is played on a pipeline of its own: what it decides, writes
// and tells is decided, written and told by what does so in production, over a store in memory and the scenario's clock.
// Nothing is sent: whom it would be sent to is read from the outbox.
type ScenarioRun struct {
	// File names the scenarios in failures and errors.
	File    string
	Content []byte
	// Sets are the policy sets that scenarios may name, as written: name → policy.yml.
	Sets policy.SetFiles
	// Only leaves out scenarios whose name it does not take; nil takes all.
	Only func(name string) bool

	// book and parsed are Sets and Content as read, where somebody who runs them often has done that.
	book   *policy.Book
	parsed *policy.ScenarioFile
	// once ends a scenario at its first failure, where only that it fails is of interest.
	once bool
}

// ScenarioReport is what a run came to.
type ScenarioReport struct {
	// Names are the scenarios that were played, in order.
	Names []string
	// Proves is which sentences each of them says it proves, Open which it leaves open, and why.
	Proves map[string][]string
	Open   map[string]string
	// Failures are what was expected and was not so.
	Failures []ScenarioFailure
	// Warnings are of the file.
	Warnings []string
}

// ScenarioFailure is an expectation that was not met.
type ScenarioFailure struct {
	File, Scenario string
	Line           int
	At             time.Time
	// What was looked at, what was wanted of it and what it was.
	What, Want, Got string
}

// String says it in one line, the place first.
func (f ScenarioFailure) String() string {
	s := fmt.Sprintf("%s:%d: %s: ", f.File, f.Line, f.Scenario)
	if !f.At.IsZero() {
		s += f.At.Format(policy.ScenarioLayout) + ": "
	}
	if f.Want == "" && f.Got == "" {
		return s + f.What
	}
	return s + fmt.Sprintf("%s: want %s, got %s", f.What, or(f.Want, "nothing"), or(f.Got, "nothing"))
}

// Run plays the scenarios of the file. The error says that the file or a set is wrong, every fault of it at once with file
// and line, or that ctx ended.
func (r ScenarioRun) Run(ctx context.Context) (ScenarioReport, error) {
	report := ScenarioReport{Proves: map[string][]string{}, Open: map[string]string{}}
	var err error
	if r.parsed == nil {
		if r.parsed, err = policy.ParseScenarios(r.File, r.Content); err != nil {
			return report, err
		}
	}
	if r.book == nil {
		if r.book, err = r.Sets.Book(); err != nil {
			return report, err
		}
	}
	for i := range r.parsed.Scenarios {
		s := &r.parsed.Scenarios[i]
		if r.Only != nil && !r.Only(s.Name) {
			continue
		}
		report.Names = append(report.Names, s.Name)
		report.Proves[s.Name] = s.Proves
		for id, why := range s.Open {
			report.Open[id] = why
		}
		w := &world{run: r, s: s}
		report.Failures = append(report.Failures, w.play(ctx)...)
		if err := ctx.Err(); err != nil {
			return report, fmt.Errorf("%s: scenario %q: %w", r.File, s.Name, err)
		}
	}
	if len(report.Names) == 0 {
		report.Warnings = append(report.Warnings, r.File+": no scenario was played: want some under scenarios, or another name to run")
	}
	return report, nil
}
