package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// around is a directory for asking: two departments, of which one is a customer, and customers in several zones.
const around = `
people:
  - {id: anna, name: Anna Berg, email: anna@example.com, receivers: [mail-anna]}
  - {id: bob, name: Bob Lee, phone: "1234"}
contacts:
  - {role: technical-operation-manager, person: anna}
  - {role: engineer, person: bob}
  - {role: engineer, name: Night Desk, receivers: [page-night]}
departments:
  - {id: sas, name: SAS, zone: America/New_York, customer: true, contacts: [{role: engineer, person: anna}, {role: project-manager, person: anna}]}
  - {id: sam, name: SAM}
approved_software:
  - {name: Teams, versions: ["*"], kind: application}
  - {name: Shop, versions: ["3.1", "4.*"]}
  - {name: VPN, kind: connection}
customers:
  - id: acme
    department: sas
    contacts: [{role: project-manager, person: bob}]
    contracts:
      - {id: first, until: 2026-03-31, ordered: 2025-12-05, paid: 2025-12-01}
      - {id: second, from: 2026-04-01, until: 2026-12-31, zone: Europe/London, ordered: 2026-03-01, paid: 2026-03-02, entitled: 2026-04-15}
      - {id: third, from: 2028-01-01, ordered: 2027-12-01}
  - {id: beta, zone: Asia/Tokyo, contracts: [{id: beta-1, from: 2026-07-01}]}
  - {id: sam, sites: [{id: main}], contracts: [{id: sam-1}]}
`

func loaded(t *testing.T, body string) *site {
	t.Helper()
	s := newSite(t)
	if err := s.SetDirectory(mustLoad(t, body)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContractAt(t *testing.T) {
	s := loaded(t, around)
	for _, test := range []struct{ name, customer, at, want string }{
		{"long ago, open on this side", "acme", "1999-01-01T00:00:00Z", "first"},
		{"last second of the last day in the department's zone", "acme", "2026-03-31T22:59:59Z", "first"},
		{"the later one begins in its own zone while the first has not ended in its", "acme", "2026-03-31T23:00:00Z", "second"},
		{"last second", "acme", "2026-12-31T23:59:59.999999999Z", "second"},
		{"after it", "acme", "2027-01-01T00:00:00Z", ""},
		{"before the third, in the department's zone", "acme", "2028-01-01T04:59:59Z", ""},
		{"first moment of the third", "acme", "2028-01-01T05:00:00Z", "third"},
		{"long after, open on this side", "acme", "2100-01-01T00:00:00Z", "third"},
		{"before, in the customer's zone", "beta", "2026-06-30T14:59:59Z", ""},
		{"first moment, in the customer's zone", "beta", "2026-06-30T15:00:00Z", "beta-1"},
		{"always", "sam", "2026-06-30T15:00:00Z", "sam-1"},
		{"a customer without contracts", "sas", "2026-06-30T15:00:00Z", ""},
		{"no such customer", "nobody", "2026-06-30T15:00:00Z", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, test.at)
			if err != nil {
				t.Fatal(err)
			}
			c, ok := s.ContractAt(test.customer, at)
			if c.ID != test.want || ok != (test.want != "") {
				t.Errorf("under %q (%v), want %q", c.ID, ok, test.want)
			}
			if ok && c.Customer != test.customer {
				t.Errorf("contract of %q", c.Customer)
			}
		})
	}
}

func TestEntitled(t *testing.T) {
	s := loaded(t, around)
	for contract, want := range map[string]string{
		"first":  "2025-12-05T05:00:00Z", // the later of the two, in the department's zone
		"second": "2026-04-14T23:00:00Z", // what it says, in its own
		"third":  "",                     // ordered, not paid
		"beta-1": "",                     // nothing said
	} {
		c, ok := s.Contract(contract)
		at, known := s.Entitled(c)
		if !ok || known != (want != "") || known && at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: entitled from %v (%v), want %q", contract, at, known, want)
		}
		long := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
		switch {
		case known && (s.EntitledAt(c, at.Add(-1)) || !s.EntitledAt(c, at)):
			t.Errorf("%s: entitlement does not begin at %v", contract, at)
		case contract == "third" && s.EntitledAt(c, long):
			t.Error("one that was ordered and never paid is entitled")
		case contract == "beta-1" && !s.EntitledAt(c, time.Time{}):
			t.Error("one of which nothing is said is not entitled")
		}
	}
	for _, c := range []Contract{{Paid: "2026-01-01"}, {Ordered: "2026-01-01"}} {
		if at, known := s.Entitled(c); known {
			t.Errorf("%+v: entitled from %v", c, at)
		}
	}
}

func TestContacts(t *testing.T) {
	s := loaded(t, around)
	anna := Contact{Person: "anna", Name: "Anna Berg", Email: "anna@example.com", Receivers: []string{"mail-anna"}}
	bob := Contact{Person: "bob", Name: "Bob Lee", Phone: "1234"}
	as := func(c Contact, r Role) Contact { c.Role = r; return c }
	night := Contact{Role: Engineer, Name: "Night Desk", Receivers: []string{"page-night"}}
	for _, test := range []struct {
		name, customer string
		role           Role
		want           []Contact
	}{
		{"the customer's own, although its department has one", "acme", ProjectManager, []Contact{as(bob, ProjectManager)}},
		{"the department's", "acme", Engineer, []Contact{as(anna, Engineer)}},
		{"the operator's", "acme", TechnicalOperationManager, []Contact{as(anna, TechnicalOperationManager)}},
		{"a department that is a customer", "sas", Engineer, []Contact{as(anna, Engineer)}},
		{"a customer without department", "beta", Engineer, []Contact{as(bob, Engineer), night}},
		{"no customer", "", Engineer, []Contact{as(bob, Engineer), night}},
		{"nobody", "acme", Developer, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := s.Contacts(test.customer, test.role)
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Contact{}, "At")); diff != "" {
				t.Errorf("contacts (-want +got):\n%s", diff)
			}
		})
	}
	if !night.Reachable() || !anna.Reachable() || bob.Reachable() {
		t.Error("who can be told something by machine is wrong")
	}
}

func TestDepartments(t *testing.T) {
	s := loaded(t, around)
	sas, ok := s.Customer("sas")
	if !ok || sas.Department != "sas" || sas.Name != "SAS" || sas.Location().String() != "America/New_York" {
		t.Errorf("the department that is a customer: %+v, %v", sas, ok)
	}
	sam, ok := s.Customer("sam")
	if !ok || sam.Department != "sam" || len(sam.Sites) != 1 {
		t.Errorf("the customer that bears a department's id: %+v, %v", sam, ok)
	}
	ids := func() (out []string) {
		for _, c := range s.Customers() {
			out = append(out, c.ID)
		}
		for _, d := range s.Departments() {
			out = append(out, "department "+d.ID)
		}
		return out
	}
	if diff := cmp.Diff([]string{"acme", "beta", "sam", "sas", "department sas", "department sam"}, ids()); diff != "" {
		t.Errorf("customers and departments:\n%s", diff)
	}
	if d, ok := s.Department("sas"); !ok || d.Name != "SAS" {
		t.Errorf("department %+v, %v", d, ok)
	}
	if p, ok := s.Person("anna"); !ok || p.Name != "Anna Berg" || len(s.People()) != 2 {
		t.Errorf("person %+v, %v, of %v", p, ok, s.People())
	}
	s = loaded(t, "customers: [{id: a, department: zeta}, {id: b, department: eta}, {id: c, department: zeta}]")
	if diff := cmp.Diff([]string{"a", "b", "c", "department eta", "department zeta"}, ids()); diff != "" {
		t.Errorf("departments that are only named:\n%s", diff)
	}
	if _, ok := s.Department("eta"); ok {
		t.Error("a department of which nothing is known is found")
	}
}

func TestApproved(t *testing.T) {
	s := loaded(t, around)
	for _, test := range []struct {
		name, version string
		want          bool
	}{
		{"Teams", "24.1", true}, {"teams", "", true}, {"Shop", "3.1", true}, {"SHOP", "4.0.2", true}, {"Shop", "3.10", false},
		{"Shop", "5.0", false}, {"Shop", "", false}, {"VPN", "9", true}, {"VPN", "", true}, {"Zoom", "1", false}, {"", "", false},
	} {
		if got, ok := s.Approved(test.name, test.version); ok != test.want {
			t.Errorf("%s %q: %+v, %v, want %v", test.name, test.version, got, ok, test.want)
		}
	}
	if len(s.ApprovedSoftware()) != 3 {
		t.Errorf("approved: %v", s.ApprovedSoftware())
	}
}

func TestRegistrySees(t *testing.T) {
	s := loaded(t, around)
	for _, test := range []struct {
		scope Scope
		want  string // of acme, beta, sam, sas and one that nobody declares
	}{
		{Scope{}, "acme beta sam sas gone"}, {Scope{Department: "sas"}, "acme sas"}, {Scope{Department: "sam"}, "sam"},
		{Scope{Customer: "beta"}, "beta"}, {Scope{Customer: "gone"}, "gone"}, {Scope{Department: "none"}, ""},
	} {
		var got []string
		for _, c := range []string{"acme", "beta", "sam", "sas", "gone"} {
			if s.Sees(Operator{Roles: []Role{Viewer}, Scope: test.scope}, c) {
				got = append(got, c)
			}
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%+v sees:\n%s", test.scope, diff)
		}
	}
}
