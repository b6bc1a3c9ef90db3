package fleet

import "testing"

// TestSides: who is of the house, who of a client, and which receivers lead out of the house alone.
func TestSides(t *testing.T) {
	s := loaded(t, `
people:
  - {id: anna, name: Anna, receivers: [mail-anna, shared]}
  - {id: rita, name: Rita, receivers: [mail-rita, shared]}
  - {id: both, name: Both, receivers: [mail-both]}
  - {id: stan, name: Stan, receivers: [mail-stan]}
  - {id: adam, name: Adam, receivers: [mail-adam]}
  - {id: ada, name: Ada, receivers: [mail-ada]}
  - {id: loose, name: Loose, receivers: [mail-loose]}
contacts:
  - {role: it-ops, person: anna}
  - {role: administrator, person: ada}
departments:
  - {id: sas, customer: true, contacts: [{role: department-member, person: both}]}
customers:
  - id: sas
    department: sas
    contacts: [{role: client-owner-user, person: stan}]
  - id: retail
    department: sas
    contacts:
      - {role: client-owner-user, person: rita}
      - {role: client-owner-user, person: both}
      - {role: administrator, person: adam}
      - {role: client-owner-user, name: Clive, email: clive@retail.example, receivers: [mail-clive]}
      - {role: it-provider-user, name: Ian, receivers: [mail-ian]}
`)
	for _, test := range []struct {
		name            string
		id, email, says string
		want            Side
	}{
		{"the operator's", "anna", "", "", House},
		{"the operator's administrator", "ada", "", "", House},
		{"a client owner", "rita", "", "", Client},
		{"a client owner without an ID", "", "clive@retail.example", "Clive", Client},
		{"a customer's administrator", "adam", "", "", Client},
		{"of a department, and a client owner too", "both", "", "", House},
		{"of a department that is the customer", "stan", "", "", House},
		{"of a party", "", "", "Ian", House},
		{"nobody's contact", "loose", "", "", Unplaced},
		{"nobody knows", "who", "", "", Unplaced},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := s.Side(test.id, test.email, test.says); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if got := s.directory.Side(test.id); test.id != "" && got != test.want {
				t.Errorf("by the directory %v, want %v", got, test.want)
			}
		})
	}
	for receiver, want := range map[string]bool{"mail-rita": true, "mail-clive": true, "mail-adam": true, "mail-anna": false,
		"shared": false, "mail-both": false, "mail-stan": false, "mail-loose": false, "mail-ian": false, "unknown": false} {
		if got := s.Outward(receiver); got != want {
			t.Errorf("%s leads out of the house alone: %v, want %v", receiver, got, want)
		}
	}
}
