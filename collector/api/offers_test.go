package api

import (
	"net/http"
	"slices"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// checked is a set with a type of every kind of duty.
const checked = `
name: duties
version: "2"
calendar: {zone: Europe/London, hours: {mon-fri: "09:00-17:30"}, region: GB-ENG}
agreement: standard
priorities: [P1]
classify: [{priority: P1, because: all}]
clocks: {response: {met_by: [ack]}}
targets: [{clock: response, within: "1h,business"}]
waits: {customer: {for: an answer of the customer, stops: [response]}}
types:
  laptop: {kind: request, title: A laptop, asks: [model-wanted], steps: [bought, set up], chargeable: ask}
  backups: {kind: task, title: Review of back-ups, every: 7d, evidence: [report]}
checklists:
  device: {version: "3", when: {type: laptop}, items: [serial noted]}
owner: desk
parties: {desk: {role: engineer}}
notices: [{name: all, on: ["*"], to: [{receiver: all}]}]
templates: {hello: "About {{number}}."}
reopen_window: 24h
close_after: 24h
`

func dutiful(t *testing.T) *house {
	t.Helper()
	set, err := policy.Parse("duties.yml", []byte(checked))
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(o *Options) {
		d := o.Desk.(desk)
		d.book = d.book.With(set)
		o.Desk, o.Terms, o.OnCall = d, d, d
	})
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":["duties"]}]}`)
	return h
}

// TestOffers: a set, and a contract under it, say what a ticket may be told: types with what they ask, reasons for waiting,
// parties, systems, templates.
func TestOffers(t *testing.T) {
	h := dutiful(t)
	var list PolicyList
	decodeInto(t, h.want(http.StatusOK, "GET", Root+"/policies?set=duties", ""), &list)
	var k Contract
	decodeInto(t, h.want(http.StatusOK, "GET", Root+"/contracts/beta-1", ""), &k)
	if len(list.Policies) != 1 || k.Offers == nil {
		t.Fatalf("%+v, %+v", list, k)
	}
	for name, o := range map[string]Offers{"set": list.Policies[0].Offers, "contract": *k.Offers} {
		if len(o.TypeDetails) != 2 || o.TypeDetails[0].Name != "backups" || o.TypeDetails[0].EverySeconds != 7*86400 || !slices.Equal(o.TypeDetails[0].Evidence, []string{"report"}) {
			t.Fatalf("%s: types %+v", name, o.TypeDetails)
		}
		laptop := o.TypeDetails[1]
		if laptop.Kind != "request" || laptop.Chargeable != "ask" || !slices.Equal(laptop.Asks, []string{"model-wanted"}) || !slices.Equal(laptop.Steps, []string{"bought", "set up"}) {
			t.Errorf("%s: %+v", name, laptop)
		}
		if len(o.Waits) != 1 || o.Waits[0].For != "an answer of the customer" || !slices.Equal(o.Waits[0].Stops, []string{"response"}) ||
			len(o.Parties) != 1 || o.Parties[0] != (PolicyParty{"desk", "engineer"}) || !slices.Contains(o.Systems, "backup") {
			t.Errorf("%s: waits %+v, parties %+v, systems %v", name, o.Waits, o.Parties, o.Systems)
		}
		if len(o.Templates) != 1 || o.Templates[0] != (PolicyTemplate{"hello", "About {{number}}."}) {
			t.Errorf("%s: templates %+v", name, o.Templates)
		}
	}
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	decodeInto(t, h.do(client, "GET", Root+"/contracts/beta-1", "").Body.String(), &k)
	if k.Offers == nil || len(k.Offers.Templates) != 0 || len(k.Offers.TypeDetails) != 2 {
		t.Errorf("for the client: %+v", k.Offers)
	}
}

// TestTicketSaysWhatIsTicked: steps and checklists stand on the ticket with who ticked them and when, and slips with the dates.
func TestTicketSaysWhatIsTicked(t *testing.T) {
	h := dutiful(t)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"a laptop","type":"laptop","facts":{"model-wanted":"any"}}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/ack", `{}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/tick", `{"what":"bought"}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/promise", `{"until":"2026-12-01T12:00:00Z","to":"Pat"}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/promise", `{"until":"2026-12-02T12:00:00Z","to":"Pat","text":"parts are late"}`)
	var got Ticket
	decodeInto(t, h.want(http.StatusOK, "GET", Root+"/tickets/WB-2001", ""), &got)
	if len(got.Steps) != 2 || got.Steps[0].Item != "bought" || got.Steps[0].Ticked == nil || got.Steps[0].Ticked.By != "the-admin" ||
		got.Steps[0].Ticked.At.IsZero() || got.Steps[1].Ticked != nil {
		t.Errorf("steps %+v", got.Steps)
	}
	if len(got.Checklists) != 1 || got.Checklists[0].Version != "3" || len(got.Checklists[0].Items) != 1 || got.Checklists[0].Items[0].Ticked != nil {
		t.Errorf("checklists %+v", got.Checklists)
	}
	if got.Slips != 1 {
		t.Errorf("%d slips, want 1", got.Slips)
	}
}
