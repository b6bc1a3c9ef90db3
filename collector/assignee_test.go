package collector

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// assignFleet is a customer whose platform and developer are parties of their own, with people of each.
const assignFleet = `
people:
- {id: hugo, name: Hugo, receivers: [hugo]}
- {id: hanna, name: Hanna, receivers: [hanna]}
- {id: tom, name: Tom, receivers: [tom]}
- {id: dev, name: Dev, receivers: [dev]}
- {id: prod, name: Prod, receivers: [prod]}
- {id: ian, name: Ian, receivers: [ian]}
- {id: ida, name: Ida, receivers: [ida]}
- {id: far, name: Far, receivers: [far]}
contacts:
- {role: technical-operation, person: hugo}
- {role: technical-operation, person: hanna}
- {role: team-leader, person: tom}
- {role: developer, person: dev}
- {role: product-owner, person: prod}
customers:
- id: beta
  contracts: [{id: beta-1, sets: [it-provider], model: separate}]
  contacts: [{role: it-provider-user, person: ian}, {role: it-provider-user, person: ida}]
  sites: [{id: main, assets: [{name: db1}]}]
- id: far
  contracts: [{id: far-1, sets: [it-provider]}]
  contacts: [{role: it-provider-user, person: far}]
`

// TestWhoMayBeAssigned: a ticket is assigned to people of the party that owns it; another party's are for a handoff, and
// who is not known, or does not exist for who asks, is refused alike.
func TestWhoMayBeAssigned(t *testing.T) {
	const other, unknown = "does not stand for it: hand it off", "there is no person "
	bound := person("ian", "it-provider-user")
	bound.Customer = "beta"
	hugo := person("hugo", "technical-operation")
	for name, c := range map[string]struct {
		owner string
		by    ticket.By
		to    string
		want  string
	}{
		"a colleague":                    {"hosting-provider", hugo, "hanna", ""},
		"the operator's, of another job": {"hosting-provider", hugo, "tom", ""},
		"oneself":                        {"hosting-provider", hugo, "me", ""},
		"oneself, of another party":      {"it-provider", hugo, "me", other},
		"the developer":                  {"hosting-provider", hugo, "dev", other},
		"the product owner":              {"hosting-provider", hugo, "prod", other},
		"the operator's, theirs":         {"it-provider", bound, "hugo", unknown},
		"their colleague":                {"it-provider", bound, "ida", ""},
		"another customer's":             {"it-provider", bound, "far", unknown},
		"nobody":                         {"hosting-provider", hugo, "nobdy", unknown},
		"nobody, for them":               {"it-provider", bound, "nobdy", unknown},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeskOf(t, assignFleet)
			d.fire("db1", "Down", "warning", rules.Firing)
			d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: "beta", Channel: "telephone"}})
			ref := map[string]string{"hosting-provider": "WB-1001", "it-provider": "WB-1002"}[c.owner]
			before := d.ticket(ref)
			if before.Owner != c.owner {
				t.Fatalf("%s is owned by %s", ref, before.Owner)
			}
			after, err := d.Act(context.Background(), ref, ticket.Action{Verb: ticket.Assign, To: c.to}, c.by)
			switch {
			case c.want == "" && (err != nil || after.Assignee == ""):
				t.Errorf("assigned to %q: %v", after.Assignee, err)
			case c.want != "" && (!errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), c.want) || d.ticket(ref).Seq != before.Seq):
				t.Errorf("got %v, want a refusal that says %q", err, c.want)
			}
		})
	}
}

// TestAnybodyIsAssignedWhereNobodyIsDeclared: before anybody declared people a ticket is given to any name.
func TestAnybodyIsAssignedWhereNobodyIsDeclared(t *testing.T) {
	d := newDeskOf(t, "customers: [{id: beta, sites: [{id: main, assets: [{name: db1}]}]}]\n")
	d.fire("db1", "Down", "warning", rules.Firing)
	if after := d.act("WB-1001", ticket.Action{Verb: ticket.Assign, To: "somebody"}, person("ann")); after.Assignee != "somebody" {
		t.Errorf("assigned to %q", after.Assignee)
	}
}

// TestAcceptFor: who accepts a ticket gives it to people of the party that it was offered to alone.
func TestAcceptFor(t *testing.T) {
	d := newDeskOf(t, assignFleet)
	made := d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: "beta", Channel: "telephone"}})
	d.complete(made.Number)
	d.act(made.Number, ticket.Action{Verb: ticket.HandOver, To: "hosting-provider", Text: "the disks are theirs"}, person("ian", "it-provider-user"))
	hugo := person("hugo", "technical-operation")
	_, err := d.Act(context.Background(), made.Number, ticket.Action{Verb: ticket.Accept, To: "dev"}, hugo)
	if !errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), "dev does not stand for it") {
		t.Errorf("accepted for the developer: %v", err)
	}
	if after := d.act(made.Number, ticket.Action{Verb: ticket.Accept, To: "hanna"}, hugo); after.Assignee != "hanna" || after.Owner != "hosting-provider" {
		t.Errorf("%s of %s works on it", after.Assignee, after.Owner)
	}
}
