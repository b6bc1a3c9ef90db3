package policy

import (
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// TestReporterWithoutALetter: who reported something may be the client's, so a notice inside to them wants a letter.
func TestReporterWithoutALetter(t *testing.T) {
	for _, tc := range []struct {
		name, notice string
		warned       bool
	}{
		{"inside, to who reported it", "{name: n, on: [opened], to: [{person: reporter}]}", true},
		{"with a letter", "{name: n, on: [opened], to: [{person: reporter}], letter: l}", false},
		{"a message", "{name: n, on: [opened], to: [{person: reporter}], template: l}", false},
		{"to others", "{name: n, on: [opened], to: [{person: assignee}]}", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, err := Parse("mine.yml", []byte("name: mine\nversion: 1\npriorities: [P1]\nreopen_window: 24h\nclose_after: 24h\nowner: desk\nparties:\n  desk: {role: engineer}\nnotices:\n  - "+
				tc.notice+"\ntemplates: {l: Good day}\n"))
			if err != nil {
				t.Fatal(err)
			}
			warned := false
			for _, f := range shipped(t).With(set).Check(fleet.Directory{}, at("2026-11-20T09:00:00Z")) {
				warned = warned || strings.Contains(f.Text, "a reporter who is the client's") && strings.HasPrefix(f.Where, "mine.yml:10") && !f.Fault
			}
			if warned != tc.warned {
				t.Errorf("warned %v, want %v", warned, tc.warned)
			}
		})
	}
}
