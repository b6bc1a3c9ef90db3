package policy

import (
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Receivers that are not configured are found wherever they are named, if the check knows which there are.
func TestReceiversThatAreNotThere(t *testing.T) {
	mine := own(t, "mine", targetsX+routingX+`clocks: {response: {met_by: [ack]}}
agreement: contract
notices:
  - {name: everybody, on: ["*"], to: [{receiver: all}, {receiver: chat}, {receiver: pagr}]}
ladder: [{name: late, clock: response, share: 80%, to: [{receiver: gone-1}]}]
`)
	d := fleet.Directory{
		People:      []fleet.Person{{ID: "anna", Receivers: []string{"pager", "gone-2"}, At: "people.yml:3"}},
		Contacts:    []fleet.Contact{{Role: fleet.Engineer, Receivers: []string{"gone-3"}}},
		Departments: []fleet.Department{{ID: "sas", Contacts: []fleet.Contact{{Role: fleet.DepartmentMember, Receivers: []string{"gone-4"}}}}},
		Customers:   []fleet.Customer{{ID: "acme", Contacts: []fleet.Contact{{Role: fleet.ClientOwnerUser, Receivers: []string{"gone-5"}}}}},
	}
	about := func(found []Finding) []string {
		var out []string
		for _, f := range found {
			if strings.Contains(f.Text, "receiver") {
				out = append(out, f.String())
			}
		}
		return out
	}
	b := shipped(t).With(mine)
	now := at("2026-11-20T09:00:00Z")
	if got := about(b.Check(d, now)); len(got) > 0 {
		t.Errorf("without knowing which there are: %v", got)
	}
	got := about(b.Check(d, now, WithReceivers([]string{"chat", "pager"})))
	for _, want := range []string{
		`mine.yml:`, `notices: "everybody": receiver "pagr" is not in the configuration, which has chat, pager: add it to receivers there, or correct the name`, `ladder: "late": receiver "gone-1"`,
		`people.yml:3: person anna: receiver "gone-2"`, `contact engineer of the operator: receiver "gone-3"`,
		`contact department-member of department sas: receiver "gone-4"`, `contact client-owner-user of customer acme: receiver "gone-5"`,
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s\nlacks %q", strings.Join(got, "\n"), want)
		}
	}
	if len(got) != 6 {
		t.Errorf("%d findings, want 6: %v", len(got), got)
	}
}
