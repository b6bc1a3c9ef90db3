package collector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// partiesFleet are two customers under it-provider: where the IT provider is the hosting provider, too, and where it is not.
const partiesFleet = `
people:
- {id: eve, name: Eve Engineer, receivers: [eve]}
- {id: tom, name: Tom Operator, receivers: [tom]}
- {id: dan, name: Dan Developer, receivers: [dan]}
- {id: sue, name: Sue Owner, receivers: [sue]}
contacts:
- {role: it-provider-user, person: eve}
- {role: technical-operation, person: tom}
- {role: developer, person: dan}
- {role: client-owner-user, person: sue}
customers:
- id: acme
  contracts: [{id: acme-1, sets: [it-provider], model: same-party}]
  sites: [{id: hq, assets: [{name: web1}]}]
- id: beta
  contracts: [{id: beta-1, sets: [it-provider], model: separate}]
  sites: [{id: main, assets: [{name: db1}]}]
`

// complete gives a ticket the record that every escalation needs.
func (d *desk) complete(number string) {
	d.t.Helper()
	for _, part := range ticket.Parts {
		d.act(number, ticket.Action{Verb: ticket.GivePart, What: string(part), Text: "it is all there, as was looked up by hand"}, person("eve"))
	}
}

// TestHandoffsFollowTheOwnershipMap: a ticket is handed to a party of its policy alone, by name or for one of the policy's
// reasons, and whether that stays in the house is the operating model's to say, whatever the caller says.
func TestHandoffsFollowTheOwnershipMap(t *testing.T) {
	for name, c := range map[string]struct {
		customer, to, said string
		party              string
		internal           bool
		refused            []string
	}{
		"one party with the owner":       {customer: "acme", to: "hosting-provider", party: "hosting-provider", internal: true},
		"another party":                  {customer: "beta", to: "hosting-provider", party: "hosting-provider"},
		"external, said to be internal":  {customer: "beta", to: "developer", said: ticket.Internal, party: "developer"},
		"internal, said to be external":  {customer: "acme", to: "hosting-provider", said: "external", party: "hosting-provider", internal: true},
		"for a reason of the policy":     {customer: "beta", to: "infrastructure or platform fault", party: "hosting-provider"},
		"for a reason, inside the house": {customer: "acme", to: "infrastructure or platform fault", party: "hosting-provider", internal: true},
		"to nobody the policy knows": {customer: "acme", to: "nonsense-party",
			refused: []string{"nonsense-party", "hosting-provider (internal)", "developer", "client-owner", "infrastructure or platform fault"}},
		"to the owner": {customer: "acme", to: "it-provider", refused: []string{"owned by it-provider already"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeskOf(t, partiesFleet)
			made := d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: c.customer, Channel: "telephone"}})
			d.complete(made.Number)
			before := d.ticket(made.Number)
			after, err := d.Act(context.Background(), made.Number,
				ticket.Action{Verb: ticket.HandOver, To: c.to, Relation: c.said, Text: "the disks are theirs"}, person("eve"))
			if c.refused != nil {
				if !errors.Is(err, ticket.ErrRefused) || d.ticket(made.Number).Seq != before.Seq {
					t.Fatalf("handed over: %v", err)
				}
				for _, word := range c.refused {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("the refusal %q does not say %q", err, word)
					}
				}
				return
			}
			if err != nil || after.Handoff == nil || after.Handoff.To != c.party || after.Handoff.Internal != c.internal {
				t.Fatalf("offered %+v, %v; want %s, internal %v", after.Handoff, err, c.party, c.internal)
			}
		})
	}
}

// TestWhoStandsForAParty: by a role of the token, as a contact, in a rota, and by being one with such a party.
func TestWhoStandsForAParty(t *testing.T) {
	d := newDeskOf(t, partiesFleet)
	for name, c := range map[string]struct {
		customer string
		by       ticket.By
		want     []string
	}{
		"role of the token":  {"beta", person("x", "developer"), []string{"developer"}},
		"contact":            {"beta", person("tom"), []string{"hosting-provider"}},
		"one with the other": {"acme", person("tom"), []string{"hosting-provider", "it-provider"}},
		"declared person":    {"beta", ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "token of sue"}, Person: "sue"}, []string{"client-owner"}},
		"nobody":             {"acme", person("zoe", "general-manager"), nil},
		"several roles":      {"beta", person("x", "client-owner-user", "it-provider-user"), []string{"client-owner", "it-provider"}},
	} {
		t.Run(name, func(t *testing.T) {
			made := d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: c.customer, Channel: "telephone"}})
			ts, err := d.agreements.at(c.customer, d.at)
			if err != nil {
				t.Fatal(err)
			}
			_, by, err := d.routed(made, ts, ticket.Action{Verb: ticket.Note}, c.by, d.at)
			if err != nil || !slices.Equal(by.Parties, c.want) {
				t.Errorf("stands for %q, %v; want %q", by.Parties, err, c.want)
			}
			if err := d.store.View(t.Context(), func(tx store.Tx) error {
				asked, err := d.StandsFor(tx, made, c.by)
				if !slices.Equal(asked, c.want) {
					t.Errorf("asked before it acts it stands for %q; want %q", asked, c.want)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEscalationByHand: whom a person escalates to is told, although no rule of the policy says so, and the rung that was
// taken is not told again by the ladder; who is nobody is refused with those that there are.
func TestEscalationByHand(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.told()
	d.act("WB-1001", ticket.Action{Verb: ticket.Escalate, To: "dan", Text: "the client is angry"}, person("eve"))
	d.hears("dan escalated")
	d.at = d.at.Add(2 * time.Minute) // beyond what is gathered for one person
	d.act("WB-1001", ticket.Action{Verb: ticket.Escalate, To: "service-director, tom", Text: "still angry"}, person("eve"))
	d.hears("dan escalated", "tom escalated")
	d.at = d.at.Add(2 * time.Minute)
	d.act("WB-1001", ticket.Action{Verb: ticket.Escalate, What: "response at risk", Text: "it will not be met"}, person("eve"))
	d.hears("sue escalated")
	told := d.ticket("WB-1001").Told
	if last := told[len(told)-1]; last.Step != "response/response at risk" {
		t.Errorf("step %q", last.Step)
	}
	d.pass(deskAt.Add(50 * time.Minute)) // the rung at 48 minutes was taken
	d.hears("eve clock_at_risk", "tom clock_at_risk")
	for what, a := range map[string]ticket.Action{
		"service-director": {Verb: ticket.Escalate, To: "the boss", Text: "x"},
		"response at risk": {Verb: ticket.Escalate, To: "dan", What: "clock/name", Text: "x"},
	} {
		before := d.ticket("WB-1001").Seq
		_, err := d.Act(context.Background(), "WB-1001", a, person("eve"))
		if !errors.Is(err, ticket.ErrRefused) || !strings.Contains(err.Error(), what) || d.ticket("WB-1001").Seq != before {
			t.Errorf("escalated %q to %q: %v, want a refusal that names %q", a.What, a.To, err, what)
		}
	}
}

// TestEscalationReachesSomebody: a role that nobody has leads on along its fallbacks, and at the end to every receiver.
func TestEscalationReachesSomebody(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.told()
	d.at = d.at.Add(2 * time.Minute)
	d.act("WB-1001", ticket.Action{Verb: ticket.Escalate, To: "business-partner", Text: "it is theirs"}, person("eve"))
	d.hears("dan escalated", "desk escalated", "eve escalated", "sue escalated", "tom escalated")
}

// TestAnotherSystemIsAnothersTicket: a ticket that is filed under another system is offered to the party that owns that by
// the map, with the complete record that every handoff needs; until it is accepted the owner answers for its clocks.
func TestAnotherSystemIsAnothersTicket(t *testing.T) {
	set := func(system string) ticket.Action {
		return ticket.Action{Verb: ticket.Set, Facts: ticket.Facts{"system": system}, Text: "it is another"}
	}
	for name, c := range map[string]struct {
		asset, system string
		offered       string // to whom of the house, or empty
		internal      bool
		refused       string
	}{
		"another owner":           {asset: "db1", system: "application", offered: "developer"},
		"the client's own":        {asset: "db1", system: "vpn", offered: "it-provider"},
		"one party":               {asset: "web1", system: "vpn", offered: "it-provider", internal: true},
		"the same owner":          {asset: "db1", system: "sql"},
		"evidence is missing":     {asset: "db1", system: "mail-gateway", refused: "mail-evidence-system"},
		"the same owner, no need": {asset: "db1", system: "smtp"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeskOf(t, partiesFleet)
			d.fire(c.asset, "DiskFull", "critical", rules.Firing) // of a server: the hosting provider's
			d.complete("WB-1001")
			before := d.ticket("WB-1001")
			d.told()
			d.at = d.at.Add(time.Minute)
			after, err := d.Act(context.Background(), "WB-1001", set(c.system), person("tom"))
			var gate *ticket.GateError
			if got := errors.As(err, &gate); got != (c.refused != "") || got && gate.Gate != c.refused {
				t.Fatalf("answered with %v", err)
			}
			if c.refused != "" {
				if after.System != "server" || after.Handoff != nil || len(d.kinds("WB-1001", ticket.Refused)) != 1 || after.Seq != before.Seq+1 {
					t.Errorf("a refused one changed it: %s, %+v, %d events", after.System, after.Handoff, after.Seq-before.Seq)
				}
				return
			}
			if err != nil || after.System != c.system || after.Owner != "hosting-provider" {
				t.Fatalf("%v: %s owns %s", err, after.Owner, after.System)
			}
			switch h := after.Handoff; {
			case c.offered == "" && h != nil:
				t.Errorf("offered: %+v", h)
			case c.offered != "" && (h == nil || h.To != c.offered || h.Internal != c.internal || h.By != "tom"):
				t.Errorf("offered %+v, want it to be to %s", h, c.offered)
			}
			if diff := cmp.Diff(before.Clocks, after.Clocks); diff != "" {
				t.Errorf("its clocks changed: %s", diff)
			}
		})
	}
}

// TestAnotherSystemWithdrawsAnOffer: what stood to a third party is withdrawn, which counts as no return; an offer to the
// owner of the new system stands. What a person reported is no longer the first party's when it is known what it is.
func TestAnotherSystemWithdrawsAnOffer(t *testing.T) {
	d := newDeskOf(t, partiesFleet)
	d.open(ticket.Birth{Title: "it is slow", Report: &ticket.Report{Customer: "beta", By: "Cleo", Channel: "telephone", System: "vpn"}})
	d.complete("WB-1001")
	d.act("WB-1001", ticket.Action{Verb: ticket.HandOver, To: "developer", Text: "a defect"}, person("eve"))
	d.pass(d.at.Add(2 * time.Minute))
	d.told()
	after := d.act("WB-1001", ticket.Action{Verb: ticket.Set, Facts: ticket.Facts{"system": "sql"}, Text: "the database"}, person("eve"))
	if after.Owner != "it-provider" || after.Handoff == nil || after.Handoff.To != "hosting-provider" || after.Returned != 0 {
		t.Fatalf("%s owns it, returned %d times, offered %+v", after.Owner, after.Returned, after.Handoff)
	}
	if n := len(d.kinds("WB-1001", ticket.HandoffWithdrawn)); n != 1 {
		t.Errorf("%d offers withdrawn, want 1", n)
	}
	d.hears("dan handoff_withdrawn", "eve handed_off", "tom handed_off") // who was offered it, whose it is, to whom it is offered
	after = d.act("WB-1001", ticket.Action{Verb: ticket.Set, Facts: ticket.Facts{"system": "iis"}, Text: "or the web server"}, person("eve"))
	if n := len(d.kinds("WB-1001", ticket.HandedOff)); n != 2 || after.Handoff == nil || after.Handoff.To != "hosting-provider" {
		t.Errorf("offered %d times, %+v", n, after.Handoff)
	}
	after = d.act("WB-1001", ticket.Action{Verb: ticket.Accept}, person("tom"))
	if after.Owner != "hosting-provider" {
		t.Errorf("%s owns it", after.Owner)
	}
}
