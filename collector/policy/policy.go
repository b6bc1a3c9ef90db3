// Package policy reads and checks policy sets: what a priority is, who owns a ticket, how long it stays reopenable.
// A set is data; nothing of it is in Go.
package policy

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/watchbill/watchbill/rules/policies"
)

// Set is one policy set.
type Set struct {
	Name        string `yaml:"name"`
	Version     string `yaml:"version"`
	Description string `yaml:"description"`
	// Priorities maps a rule's severity to a priority; critical, warning and info must all be there.
	Priorities map[string]string `yaml:"priorities"`
	// Owner is the party that owns a new ticket.
	Owner string `yaml:"owner"`
	// ReopenWindow is how long after its resolution a returning alert reopens a ticket.
	ReopenWindow Duration `yaml:"reopen_window"`
	// CloseAfter is how long after its resolution a ticket closes by itself.
	CloseAfter Duration `yaml:"close_after"`
}

// severities are the words a rule may use, worst first.
var severities = []string{"critical", "warning", "info"}

// Priority is the priority of a severity; a severity the house does not know counts as a warning.
func (s Set) Priority(severity string) string {
	if p, ok := s.Priorities[severity]; ok {
		return p
	}
	return s.Priorities["warning"]
}

// Validate names every fault of the set at once.
func (s Set) Validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Name == "" {
		fault("name: must not be empty")
	}
	if s.Version == "" {
		fault("version: must not be empty; a ticket keeps the version it was opened under")
	}
	if s.Owner == "" {
		fault("owner: must name the party that owns a new ticket")
	}
	for _, sev := range severities {
		if s.Priorities[sev] == "" {
			fault("priorities: %s has no priority", sev)
		}
	}
	known := map[string]bool{}
	for _, sev := range severities {
		known[sev] = true
	}
	for sev := range s.Priorities {
		if !known[sev] {
			fault("priorities: %q is not a severity; rules use critical, warning and info", sev)
		}
	}
	if s.ReopenWindow < 0 || s.CloseAfter <= 0 {
		fault("reopen_window and close_after: must be positive")
	}
	return errors.Join(errs...)
}

// Parse reads one set. An unknown key, a missing field or a bad value is an error that names file, line and field.
func Parse(file string, content []byte) (Set, error) {
	var s Set
	if err := Decode(file, content, &s); err != nil {
		return Set{}, err
	}
	if err := s.Validate(); err != nil {
		return Set{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// Default is the shipped set for customers without a contract.
func Default() (Set, error) {
	const file = "default/policy.yml"
	b, err := fs.ReadFile(policies.Files(), file)
	if err != nil {
		return Set{}, fmt.Errorf("shipped policy: %w", err)
	}
	return Parse(file, b)
}
