package route

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the binaries embed it; the tests must not depend on the machine's

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/ticket"
)

// t0 is a Friday afternoon in London.
var t0 = time.Date(2026, 3, 27, 15, 30, 0, 0, time.UTC)

// people is a directory: contacts by customer and role ("/role" is the operator's), people by ID.
type people map[string][]Person

func (p people) Contacts(customer, role string) []Person {
	if own := p[customer+"/"+role]; len(own) > 0 {
		return own
	}
	return p["/"+role]
}

func (p people) Person(id string) (Person, bool) {
	for _, list := range p {
		for _, person := range list {
			if person.ID == id {
				return person, true
			}
		}
	}
	return Person{}, false
}

// Side implements Directory: client owners are clients, who has no role is nobody's, and all others are of the house.
func (p people) Side(one Person) Side {
	side := Unplaced
	for key, list := range p {
		if !slices.ContainsFunc(list, func(other Person) bool { return other.key() == one.key() }) {
			continue
		}
		if !strings.HasSuffix(key, "/client-owner-user") && key != "/nobody" {
			return House
		}
		if key != "/nobody" {
			side = Client
		}
	}
	return side
}

// someone is a person with a receiver of their own.
func someone(id string) Person {
	return Person{ID: id, Name: strings.ToUpper(id[:1]) + id[1:], Receivers: []string{"mail-" + id}}
}

func desk() people {
	return people{
		"/team-leader":           {someone("tess")},
		"/support-manager":       {someone("sam")},
		"/it-ops":                {someone("ivy"), someone("ian")},
		"/administrator":         {someone("ada")},
		"acme/delivery-manager":  {someone("dora")},
		"acme/product-owner":     {someone("paul")},
		"acme/it-provider-user":  {someone("ingo")},
		"acme/client-owner-user": {{ID: "clive", Name: "Clive Owen", Email: "clive@acme.example"}},
		"acme/department-member": {someone("dana"), someone("dirk")},
	}
}

// boundary is the ownership map and the handoffs of it-provider, as far as these tests need them.
func boundary() Terms {
	one := ticket.When{"model": {"same-party"}}
	return Terms{
		Owners: []OwnerRule{
			{Systems: []string{"application", "reports"}, When: ticket.When{"owner-of-application": {"it-provider"}}, Owner: "it-provider", Source: "contract acme-2026"},
			{Systems: []string{"client-device", "vpn", "mail-gateway"}, Owner: "it-provider", Source: "it-provider 1"},
			{Systems: []string{"iis", "sql", "backup"}, When: one, Owner: "it-provider", Source: "it-provider 1"},
			{Systems: []string{"iis", "sql", "backup"}, Owner: "hosting-provider", Source: "it-provider 1"},
			{Systems: []string{"application", "reports"}, Owner: "developer", Source: "it-provider 1"},
			{Systems: []string{"contract"}, Owner: "client-owner", Source: "it-provider 1"},
		},
		Default: "first-level", Reports: "it-provider",
		Parties: []Party{
			{Name: "first-level", Role: "it-ops"}, {Name: "it-provider", Role: "it-provider-user"},
			{Name: "hosting-provider", Role: "it-ops", Same: "it-provider", When: one},
			{Name: "developer", Role: "developer"}, {Name: "client-owner", Role: "client-owner-user"},
		},
		Escalations: []Escalation{
			{Reason: "infrastructure", To: "hosting-provider"}, {Reason: "application", To: "developer"},
			{Reason: "risk", To: "client-owner"},
		},
	}
}

func TestOwner(t *testing.T) {
	for _, tt := range []struct {
		name  string
		facts ticket.Facts
		want  string
		why   string
	}{
		{"client side", ticket.Facts{"system": "vpn", "model": "separate"}, "it-provider", "vpn (it-provider 1)"},
		{"platform, separate", ticket.Facts{"system": "iis", "model": "separate"}, "hosting-provider", "iis (it-provider 1)"},
		{"platform, one party", ticket.Facts{"system": "iis", "model": "same-party"}, "it-provider", "iis where model is same-party (it-provider 1)"},
		{"code, one party", ticket.Facts{"system": "reports", "model": "same-party"}, "developer", "reports (it-provider 1)"},
		{"code, separately contracted", ticket.Facts{"system": "reports", "owner-of-application": "it-provider"}, "it-provider", "reports where owner-of-application is it-provider (contract acme-2026)"},
		{"a user's report of the platform", ticket.Facts{"system": "iis", "reported": "true"}, "it-provider", "user reports go to it-provider first"},
		{"reported, but monitoring was first", ticket.Facts{"system": "sql", "reported": "true", "detected": "true"}, "hosting-provider", "sql (it-provider 1)"},
		{"a word no row has", ticket.Facts{"system": "smtp"}, "first-level", "no row of the ownership map holds for smtp"},
		{"nothing known", nil, "first-level", "no row of the ownership map holds, and no system is known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			party, why := Owner(tt.facts, boundary())
			if party != tt.want || why != tt.why {
				t.Errorf("owner is %s: %s\nwant %s: %s", party, why, tt.want, tt.why)
			}
		})
	}
}

func TestOwnerWithoutReports(t *testing.T) {
	terms := boundary()
	terms.Reports = ""
	if party, _ := Owner(ticket.Facts{"system": "iis", "reported": "true"}, terms); party != "hosting-provider" {
		t.Errorf("a report is owned by %s, want what a detected fault would be: hosting-provider", party)
	}
}

func TestSystemsAreOneVocabulary(t *testing.T) {
	seen := map[string]string{}
	for place, words := range Systems() {
		for _, w := range words {
			if seen[w] != "" {
				t.Errorf("%s lies in %s and in %s", w, seen[w], place)
			}
			seen[w] = place
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d words, the closed list has 25", len(seen))
	}
}

func TestWords(t *testing.T) {
	got := words(ticket.When{"phase": {"!live"}, "model": {"separate", "none"}, "site": {"*"}, "oncall": {""}})
	if want := "model is separate or none, oncall is unknown, phase is not live, site is known"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFacts(t *testing.T) {
	var tk ticket.Ticket
	tk.Kind, tk.System, tk.Customer, tk.Reporter, tk.Priority, tk.State = "incident", "iis", "acme", "clive", "P2", ticket.New
	tk.Facts = ticket.Facts{"system": "sql", "priority": "P9", "impact": "team"}
	want := ticket.Facts{"kind": "incident", "type": "", "priority": "P2", "severity": "", "owner": "", "state": "new", "major": "",
		"system": "sql", "service": "", "customer": "acme", "channel": "", "detected": "", "reported": "yes", "impact": "team"}
	if d := cmp.Diff(want, Facts(tk)); d != "" {
		t.Error(d)
	}
	if len(tk.Facts) != 3 {
		t.Errorf("the ticket's own facts were changed: %v", tk.Facts)
	}
}

func TestHandoffs(t *testing.T) {
	separate, one := ticket.Facts{"model": "separate"}, ticket.Facts{"model": "same-party"}
	for _, tt := range []struct {
		name  string
		owner string
		facts ticket.Facts
		want  []Way
	}{
		{"two parties", "it-provider", separate, []Way{{To: "first-level"}, {To: "hosting-provider"}, {To: "developer"}, {To: "client-owner"}}},
		{"one party", "it-provider", one, []Way{{To: "first-level"}, {To: "hosting-provider", Internal: true}, {To: "developer"}, {To: "client-owner"}}},
		{"the other way", "hosting-provider", one, []Way{{To: "first-level"}, {To: "it-provider", Internal: true}, {To: "developer"}, {To: "client-owner"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, Handoffs(tt.owner, tt.facts, boundary())); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestInternalOverOthers(t *testing.T) {
	terms := Terms{Parties: []Party{{Name: "a", Same: "b"}, {Name: "b"}, {Name: "c", Same: "b"}, {Name: "d"}}}
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"a", "c", true}, {"c", "a", true}, {"a", "a", true}, {"a", "d", false}, {"nobody", "a", false}} {
		if got := Internal(tt.a, tt.b, nil, terms); got != tt.want {
			t.Errorf("internal from %s to %s: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestEscalate(t *testing.T) {
	for _, tt := range []struct {
		name, owner, reason string
		facts               ticket.Facts
		want                Way
		err                 string
	}{
		{"to the platform", "it-provider", "infrastructure", nil, Way{To: "hosting-provider", Because: "infrastructure"}, ""},
		{"to the own team", "it-provider", "infrastructure", ticket.Facts{"model": "same-party"}, Way{To: "hosting-provider", Internal: true, Because: "infrastructure"}, ""},
		{"always outside", "it-provider", "risk", ticket.Facts{"model": "same-party"}, Way{To: "client-owner", Because: "risk"}, ""},
		{"to itself", "developer", "application", nil, Way{}, "expected one of infrastructure, risk"},
		{"no such reason", "developer", "weather", nil, Way{}, "expected one of infrastructure, risk"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Escalate(tt.owner, tt.reason, tt.facts, boundary())
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	if _, err := Escalate("x", "risk", nil, Terms{}); err == nil || !strings.Contains(err.Error(), "hand the ticket to a party by name") {
		t.Errorf("without escalations: %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := boundary().Validate(nil); err != nil {
		t.Fatalf("the terms of these tests are faulty: %v", err)
	}
	bad := Terms{
		Default: "nobody", Reports: "no-one",
		Parties:     []Party{{Name: "a", Rota: "night", Same: "a"}, {Name: "a"}, {Name: "owner"}},
		Owners:      []OwnerRule{{Systems: []string{"toaster"}, Owner: "z"}},
		Escalations: []Escalation{{To: "z"}},
		Notices:     []NoticeRule{{Name: "n", To: []Target{{}, {Role: "r", Party: "a"}, {Party: "z"}, {Rota: "day"}, {Receiver: "all"}}, Template: "t"}, {Name: "m", On: []string{"*"}}},
		Ladder: []Rung{{Name: "r", Clock: "response", Share: 0.5, To: []Target{{Role: "x"}}}, {Name: "r", Clock: "response", Share: 11, To: []Target{{Role: "x"}}},
			{AckFor: time.Second, To: []Target{{Role: "x"}}}},
		Quiet:    &QuietHours{Zone: "Mars", From: "7", To: "24:00"},
		Fallback: map[string]string{"a": "b", "b": "a"},
	}
	err := bad.Validate([]string{"night"})
	if err == nil {
		t.Fatal("no fault was found")
	}
	for _, want := range []string{
		`default: "nobody"`, `reports: "no-one"`, `parties[0]: same: "a"`, "parties[1]: a is there twice", "parties[2]: name",
		`owners[0]: owner "z"`, `owners[0]: "toaster"`, "escalations[0]", "notices[0] (n): on", "notices[0] (n): to[0]", "notices[0] (n): to[1]",
		`notices[0] (n): to[2]: party "z"`, `notices[0] (n): to[3]: rota "day"`, `template "t"`, "every receiver: name to whom", "notices[1] (m): to:",
		"ladder[1] (r): share: 11", "ladder[1] (r): cannot be reached", "ladder[2] (): expected a name", "ladder[2] (): ack_for", "ladder[2] (): share: 0",
		`zone "Mars"`, `from: "7"`, `to: "24:00"`, "priorities: expected", "fallback: a leads back", "fallback: b leads back",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in:\n%v", want, err)
		}
	}
	urgent := boundary()
	urgent.Urgent, urgent.Quiet = []string{"P1"}, &QuietHours{Zone: "UTC", From: "22:00", To: "07:00", Priorities: []string{"P1", "P3"}}
	if err := urgent.Validate(nil); err == nil || !strings.Contains(err.Error(), "P1 is urgent") {
		t.Errorf("urgent and quiet at once: %v", err)
	}
}

func TestFallbacksEnd(t *testing.T) {
	for role := range Fallbacks() {
		var seen []string
		for r := role; r != ""; r = (Terms{}).fallback(r) {
			if slices.Contains(seen, r) {
				t.Fatalf("%s leads back to %s", role, r)
			}
			seen = append(seen, r)
		}
		if last := seen[len(seen)-1]; last != "administrator" {
			t.Errorf("the line of %s ends with %s, want administrator, whom every operator has", role, last)
		}
	}
}
