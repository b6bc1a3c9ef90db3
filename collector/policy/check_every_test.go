package policy

import (
	"strings"
	"testing"
)

// A type that comes again opens by itself: it asks nobody, and goes by what the contract says.
func TestRecurringTypesCanOpen(t *testing.T) {
	for name, tt := range map[string]struct{ typ, want string }{
		"asks somebody":             {"{kind: task, title: T, every: 1d, asks: [colour]}", "nobody is there to say colour"},
		"on a fact of a ticket":     {"{kind: task, title: T, every: 1d, when: {severity: critical}}", "nothing is known of severity"},
		"on what the contract says": {"{kind: task, title: T, every: 1d, when: {model: same-party, supports-hosting: yes}}", ""},
		"asked of who opens it":     {"{kind: task, title: T, asks: [colour]}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("s/policy.yml", []byte("name: s\nversion: 1\ntypes:\n  again: "+tt.typ+"\n"))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "policy.yml:4")):
				t.Errorf("%v, want %q with its line", err, tt.want)
			}
		})
	}
}
