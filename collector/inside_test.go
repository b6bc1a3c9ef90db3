package collector

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// secret is a word that only the house says.
const secret = "db3-spindle"

// insider is the fleet of the test: retail is sas's customer, free is the operator's own, and rita, fred and adam are theirs.
// stan is of sas, which is a customer itself; uma is nobody's contact. Nobody of the house has most of the roles.
var insider = fleet.Directory{
	People: []fleet.Person{
		{ID: "anna", Name: "Anna", Receivers: []string{"mail-anna"}}, {ID: "dora", Name: "Dora", Receivers: []string{"mail-dora"}}, {ID: "stan", Name: "Stan", Receivers: []string{"mail-stan"}},
		{ID: "rita", Name: "Rita", Email: "rita@retail.example", Receivers: []string{"mail-rita"}}, {ID: "adam", Name: "Adam", Receivers: []string{"mail-adam"}},
		{ID: "fred", Name: "Fred", Receivers: []string{"mail-fred"}}, {ID: "uma", Name: "Uma", Receivers: []string{"mail-uma"}},
	},
	Contacts:    []fleet.Contact{{Role: fleet.ITOps, Person: "anna"}},
	Departments: []fleet.Department{{ID: "sas", Customer: true, Contacts: []fleet.Contact{{Role: fleet.DepartmentMember, Person: "dora"}}}},
	Customers: []fleet.Customer{
		{ID: "sas", Department: "sas", Contacts: []fleet.Contact{{Role: fleet.ClientOwnerUser, Person: "stan"}}},
		{ID: "retail", Department: "sas", Contacts: []fleet.Contact{{Role: fleet.ClientOwnerUser, Person: "rita"}, {Role: fleet.Administrator, Person: "adam"}}},
		{ID: "free", Contacts: []fleet.Contact{{Role: fleet.ClientOwnerUser, Person: "fred"}}},
	},
}

// clients are of the customers, and uma may be.
var clients = []string{"rita", "adam", "fred", "uma"}

// TestNobodyOfAClientHearsInternalWords: whatever the set, what happens, who reported it and whose it is, nobody of a client
// gets what is said inside, and the letters that they get show none of it.
func TestNobodyOfAClientHearsInternalWords(t *testing.T) {
	p := &pipeline{fleet: fleet.NewRegistry(nil, fleet.Options{}), zones: &zones{}, log: slog.New(slog.DiscardHandler)}
	if err := p.fleet.SetDirectory(insider); err != nil {
		t.Fatal(err)
	}
	p.audience.Store(&audience{receivers: []string{"mail-anna", "mail-dora", "mail-rita", "mail-adam", "mail-fred"}})
	book, err := policy.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for _, set := range book.Sets() {
		for _, id := range []string{"retail", "free"} {
			customer, _ := p.fleet.Customer(id)
			r, err := book.Resolve(policy.Request{Customer: customer, Contract: &fleet.Contract{ID: "k", Customer: id, Sets: []string{set.Name}}})
			if err != nil {
				t.Fatal(err)
			}
			a := route.Audience{Policy: r.Ticket, Terms: r.Route, Directory: directory{p.fleet}, Message: p.wording(nil)}
			for _, reporter := range append([]string{"", "dora", "somebody"}, clients...) {
				for _, owner := range partiesOf(r.Route) {
					tk := ticket.Ticket{Opening: ticket.Opening{Number: "WB-1", Customer: id, Title: secret, Kind: "request", Channel: "email", Reporter: reporter, Owner: owner},
						Priority: r.Ticket.Priorities[0], Work: ticket.Work{Assignee: reporter}}
					for what, told := range allTold(a, tk, now) {
						outsideOnly(t, p, set.Name+" "+what+" by "+reporter+" of "+owner, told)
					}
				}
			}
		}
	}
}

func partiesOf(terms route.Terms) (names []string) {
	for _, p := range terms.Parties {
		names = append(names, p.Name)
	}
	return names
}

// allTold is what is told of everything that the rules of an audience name, of every rung, and of an escalation to everybody.
func allTold(a route.Audience, tk ticket.Ticket, now time.Time) map[string][]route.Telling {
	out := map[string][]route.Telling{}
	tell := func(what ticket.Kind, d *ticket.Detail) {
		e := ticket.Event{Kind: what, Text: secret, Actor: ticket.Actor{Name: "anna"}, Detail: d}
		out[string(what)] = a.Tell(ticket.Change{Ticket: tk, Events: []ticket.Event{e}}, ticket.Notice{What: what, Text: secret}, now)
	}
	for _, n := range a.Terms.Notices {
		for _, what := range n.On {
			tell(ticket.Kind(what), nil)
		}
	}
	tell(ticket.Escalated, &ticket.Detail{Told: &ticket.Told{To: append([]string{"client-owner-user", "administrator", "reporter"}, clients[:3]...)}})
	for _, r := range a.Terms.Ladder {
		r.Name = secret
		out["rung "+r.Clock] = a.Rung(tk, route.Step{Rung: r, At: now, Due: now}, now)
	}
	return out
}

// outsideOnly fails where a client is told something of the inside.
func outsideOnly(t *testing.T, p *pipeline, what string, told []route.Telling) {
	t.Helper()
	for _, one := range told {
		if one.External {
			if strings.Contains(one.Text, secret) || one.Draft != nil && strings.Contains(one.Draft.Text, secret) {
				t.Errorf("%s: the letter to %s shows what is internal: %s", what, one.To(), one.Text)
			}
			continue
		}
		for _, through := range p.through(one) {
			if slices.Contains(clients, strings.TrimPrefix(through, "mail-")) && through != "mail-uma" {
				t.Errorf("%s: %s is told %q because of %s", what, through, one.Text, one.Why)
			}
		}
		if strings.Contains(one.Why, "(reporter)") && slices.Contains(clients, one.Person.ID) {
			t.Errorf("%s: %s is told %q because of %s", what, one.Person.ID, one.Text, one.Why)
		}
	}
}
