package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// What a gate, type, checklist or exception asks for has to be a priority of the set that gives the targets.
func TestPrioritiesThatTheContractHasNot(t *testing.T) {
	const blockers = "types: {deliver-version: {kind: task}}\ngates: {versions: {before: [start], needs: [{kind: version%s}]}}\n"
	for _, tc := range []struct{ name, more, want string }{
		{"a gate", "gates: {eyes: {before: [close], when: {priority: P1}, needs: [{kind: verified}]}}\n", `gate eyes names the priority "P1", which erp-partner+other has not: its priorities are system-down, high`},
		{"a gate, by what it leaves out", "gates: {eyes: {before: [close], when: {priority: \"!P1\"}, needs: [{kind: verified}]}}\n", `gate eyes names the priority "P1"`},
		{"a need", "gates: {eyes: {before: [close], needs: [{kind: verified, when: {priority: P1}}]}}\n", `gate eyes names the priority "P1"`},
		{"a type's priority", "priorities: [P1]\ntypes: {job: {kind: task, priority: P1}}\n", `priority "P1"`},
		{"a type's condition", "types: {job: {kind: task, when: {priority: P1}}}\n", `type job names the priority "P1"`},
		{"a checklist", "checklists: {list: {version: 1, items: [one], when: {priority: P1}}}\n", `checklist list names the priority "P1"`},
		{"a blocker that nobody is", fmt.Sprintf(blockers, ""), "names the priority \"blocker\", which erp-partner+other has not"},
		{"what is excepted by name", fmt.Sprintf(blockers, ", names: [P1]"), `"P1": is no priority`},
		{"the worst, whatever it is called", fmt.Sprintf(blockers, ", names: [worst]"), ""},
		{"its own words", "gates: {eyes: {before: [close], when: {priority: [high, \"!query\"]}, needs: [{kind: verified}]}}\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			other, err := Parse("other.yml", []byte("name: other\nversion: 1\n"+tc.more))
			if err != nil && !strings.Contains(err.Error(), "priorit") && !strings.Contains(err.Error(), "reopen_window") {
				t.Fatal(err)
			}
			k := agreed("erp-partner,other")
			k.Override = map[string]string{}
			if len(other.Priorities) > 0 {
				k.Override["targets"] = "erp-partner"
			}
			d := fleet.Directory{Customers: []fleet.Customer{{ID: "acme", Contracts: []fleet.Contract{k}}}}
			for _, role := range fleet.ContactRoles() { // nobody is unreachable: then nothing else would be found
				d.Contacts = append(d.Contacts, fleet.Contact{Role: role, Email: "anna@example.com"})
			}
			var said []string
			for _, f := range shipped(t).With(other).Check(d, at("2026-11-20T09:00:00Z")) {
				if f.Fault && strings.Contains(f.Text, "priorit") {
					said = append(said, f.String())
				}
			}
			if all := strings.Join(said, "\n"); (tc.want == "") != (all == "") || !strings.Contains(all, tc.want) {
				t.Errorf("%s\nwant %q", all, tc.want)
			}
		})
	}
}
