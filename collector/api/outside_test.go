package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// marked is what an engineer writes for the house.
const marked = "between-ourselves"

// TestWordsStayInside gives every verb that this ticket lets be done a text for the house: no word of it is in anything that
// the client is answered, neither in rows nor in the timeline.
func TestWordsStayInside(t *testing.T) {
	said := map[ticket.Verb]string{
		ticket.Ack: `{"text":"MARK"}`, ticket.Note: `{"text":"MARK"}`, ticket.Did: `{"text":"MARK"}`, ticket.Start: `{"text":"MARK"}`,
		ticket.Assign: `{"to":"ann","text":"MARK"}`, ticket.WaitFor: `{"what":"customer","text":"MARK"}`,
		ticket.HandOver: `{"to":"client-side","text":"MARK"}`, ticket.Agree: `{"until":"2026-11-25T12:00:00Z","to":"Pat","text":"MARK"}`,
		ticket.Resolve: `{"text":"MARK"}`, ticket.Callback: `{"text":"MARK"}`, ticket.Set: `{"facts":{"impact":"team"},"text":"MARK"}`,
		ticket.Order: `{"what":"PO-7","text":"MARK"}`, ticket.GiveEstimate: `{"price":"10 GBP","text":"MARK"}`,
		ticket.Prioritise: `{"what":"P1","text":"MARK"}`, ticket.RemoteSession: `{"what":"tool","to":"Pat","at":"2026-11-21T11:00:00Z","until":"2026-11-21T11:30:00Z","text":"MARK"}`,
		ticket.WriteDraft: `{"what":"MARK","text":"MARK"}`, ticket.Workaround: `{"what":"accepted","to":"Pat","text":"MARK"}`,
		ticket.MarkMajor: `{"text":"MARK"}`, ticket.GivePart: `{"what":"users","text":"MARK"}`,
		ticket.Update: `{"text":"MARK"}`, ticket.Charge: `{"what":"yes","text":"MARK"}`,
	}
	done := 0
	for _, verb := range slices.Sorted(func(yield func(ticket.Verb) bool) {
		for v := range said {
			if !yield(v) {
				return
			}
		}
	}) {
		h := newHouse(t)
		client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
		h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","asset":"erp1"}`)
		if w := h.do(fleet.Admin, "POST", Root+"/tickets/WB-2001/"+string(verb), strings.ReplaceAll(said[verb], "MARK", marked)); w.Code == http.StatusOK {
			done++
		} else {
			t.Logf("%s was not done: %s", verb, w.Body)
		}
		for _, path := range []string{"/tickets", "/tickets/WB-2001", "/tickets/WB-2001/clocks", "/reports/sla"} {
			if body := h.do(client, "GET", Root+path, "").Body.String(); strings.Contains(body, marked) {
				t.Errorf("%s: %s shows the client what was written for the house: %s", verb, path, body)
			}
		}
	}
	if done < len(said)-4 {
		t.Errorf("only %d of %d verbs were done", done, len(said))
	}
}

// TestRowOutside: what consents and waivers say of a ticket stays inside, whoever folded it.
func TestRowOutside(t *testing.T) {
	h := newHouse(t)
	tk := h.openTicket(1001, "web1")
	who := fleet.Operator{Name: "pat", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "acme"}}
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		row := ticketRow(tk, noon)
		row.Approvals = []ticket.Approval{{What: "outside-scope", By: "gm", Text: marked}, {What: "owner-of-system", By: "pat", Text: "mine"}}
		row.Promises = []ticket.Promise{{With: "Pat", Reason: marked}}
		row.Waits, row.Handoff, row.Resolution = &ticket.Wait{Reason: "client", Text: marked}, &ticket.Handoff{To: "developer", Reason: marked}, marked
		at := noon
		row.Clocks = []Clock{{Clock: "response", EndReason: marked, WaivedUntil: &at}}
		out, err := h.api.sight(who).row(tx, row)
		if err != nil {
			return err
		}
		switch {
		case out.Approvals[0].Text != "" || out.Approvals[1].Text != "mine":
			t.Errorf("approvals: %+v", out.Approvals)
		case out.Promises[0].Reason != "" || out.Promises[0].With != "Pat":
			t.Errorf("promises: %+v", out.Promises)
		case out.Waits.Text != "" || out.Waits.Reason != "client" || out.Handoff.Reason != "" || out.Handoff.To != "developer" || out.Resolution != "":
			t.Errorf("waits %+v, handoff %+v, resolution %q", out.Waits, out.Handoff, out.Resolution)
		case out.Clocks[0].EndReason != "" || out.Clocks[0].WaivedUntil != nil:
			t.Errorf("clock: %+v", out.Clocks[0])
		case row.Approvals[0].Text != marked || row.Waits.Text != marked:
			t.Error("the row of who may see it was changed")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNamesOfOthers: who declares customers for a department learns nothing of what others have but that a name is taken,
// and names nobody who does not exist for them.
func TestNamesOfOthers(t *testing.T) {
	h, _ := twoCustomers(t)
	h.want(http.StatusOK, "PUT", Root+"/people/secret-carl", `{"name":"Carl of Acme","email":"carl@acme.example"}`)
	for name, tt := range map[string]struct {
		path, body, want string
		status           int
	}{
		"customer":            {"acme", `{"name":"X","department":"sales"}`, "that name is taken: choose another", 409},
		"contract":            {"gamma", `{"name":"G","department":"sales","contracts":[{"id":"shop-2026"}]}`, "that name is taken: choose another", 409},
		"asset":               {"gamma", `{"name":"G","department":"sales","sites":[{"id":"hq","assets":[{"name":"web1"}]}]}`, "that name is taken: choose another", 409},
		"somebody else's man": {"gamma", `{"name":"G","department":"sales","contacts":[{"role":"engineer","person":"secret-carl"}]}`, `no person \"secret-carl\" is declared`, 400},
		"nobody":              {"gamma", `{"name":"G","department":"sales","contacts":[{"role":"engineer","person":"secret-carx"}]}`, `no person \"secret-carx\" is declared`, 400},
		"inline":              {"gamma", `{"name":"G","department":"sales","contacts":[{"role":"client-owner-user","name":"Gus","email":"gus@gamma.example"}]}`, `"Gus"`, 200},
	} {
		w := h.do("scoped-seller", "PUT", Root+"/customers/"+tt.path, tt.body)
		if body := w.Body.String(); w.Code != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: answered %d %s\nwant %d and %s", name, w.Code, body, tt.status, tt.want)
		} else if w.Code >= 400 {
			for _, word := range []string{"made by", "Acme", "the-admin", "shop", "Carl"} {
				if strings.Contains(body, word) && !strings.Contains(tt.body, word) {
					t.Errorf("%s: %q is in %s", name, word, body)
				}
			}
		}
	}
}

// TestReportsOfTheUnsworn: who does not work on tickets starts no clock in a past that nobody can look into, and no customer
// speaks for another person.
func TestReportsOfTheUnsworn(t *testing.T) {
	h := newHouse(t)
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	open := func(role fleet.Role, more string) int {
		return h.do(role, "POST", Root+"/tickets", `{"customer":"shop","title":"x"`+more+`}`).Code
	}
	at := func(ago time.Duration) string { return `,"received_at":"` + noon.Add(-ago).Format(time.RFC3339) + `"` }
	for name, tt := range map[string]struct {
		role fleet.Role
		more string
		want int
	}{
		"now":                       {client, "", 201},
		"yesterday":                 {client, at(24 * time.Hour), 201},
		"last month":                {client, at(30 * 24 * time.Hour), 400},
		"last month, by the desk":   {fleet.Responder, at(30 * 24 * time.Hour), 201},
		"for somebody else":         {client, `,"reporter":"the boss"`, 400},
		"by name":                   {client, `,"reporter":"the-client"`, 201},
		"for somebody, by the desk": {fleet.Responder, `,"reporter":"the boss"`, 201},
	} {
		if got := open(tt.role, tt.more); got != tt.want {
			t.Errorf("%s: answered %d, want %d", name, got, tt.want)
		}
	}
	beta := `{"name":"Beta","contracts":[{"id":"beta-2","sets":["nights"],"from":"2026-11-01","entitled":"2026-11-20"}]}`
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", beta)
	other := h.add(fleet.NewOperator{Name: "the-beta", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	w := h.do(other, "POST", Root+"/tickets", `{"title":"x"`+at(4*24*time.Hour)+`}`)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "support began") {
		t.Errorf("before its support began: answered %d %s", w.Code, w.Body)
	}
}

// TestOwnParty: a client's owner acknowledges, accepts, returns and notes what their own party owns or is offered, does
// nothing else to it, and nothing to what others own.
func TestOwnParty(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"]}]}`)
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	own := func(number, owner, offered string) {
		c, err := ticket.Open(ticket.Birth{ID: "t-" + number, Number: number, Title: "who pays", Owner: owner,
			Report: &ticket.Report{By: "pat", Channel: "email", Customer: "beta"},
			Terms:  ticket.Terms{Policy: "default", Version: "1", Priorities: []string{"P1"}}}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.Update(t.Context(), "", func(tx store.Tx) error { return keep(tx, c) }); err != nil {
			t.Fatal(err)
		}
		if offered != "" {
			c, err := c.Ticket.Act(ticket.Action{Verb: ticket.HandOver, To: offered, Text: "yours"},
				ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: "ann"}}, ticket.Terms{Policy: "default"}, noon)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.store.Update(t.Context(), "", func(tx store.Tx) error { return keep(tx, c) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	own("WB-3001", "client-owner", "")
	own("WB-3002", "hosting-provider", "client-owner")
	own("WB-3003", "hosting-provider", "developer")
	for _, tt := range []struct {
		number, verb string
		want         int
	}{
		{"WB-3001", "ack", 200}, {"WB-3001", "note", 200}, {"WB-3001", "start", 403}, {"WB-3001", "resolve", 403},
		{"WB-3002", "accept", 200}, {"WB-3003", "ack", 403}, {"WB-3003", "note", 200}, {"WB-3003", "accept", 403}, {"WB-3003", "return", 403},
	} {
		if w := h.do(client, "POST", Root+"/tickets/"+tt.number+"/"+tt.verb, `{"text":"words"}`); w.Code != tt.want {
			t.Errorf("%s %s answered %d, want %d: %s", tt.verb, tt.number, w.Code, tt.want, w.Body)
		}
	}
}

// TestRemovedWithOpenTickets: a customer with open tickets stays, and they are named.
func TestRemovedWithOpenTickets(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"x"}`)
	if body := h.want(http.StatusConflict, "DELETE", Root+"/customers/beta", ""); !strings.Contains(body, "WB-2001") {
		t.Errorf("the open ticket is not named: %s", body)
	}
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/resolve", `{"text":"done"}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/close", `{}`)
	h.want(http.StatusOK, "DELETE", Root+"/customers/beta", "")
}

// TestContractsThatCannotHold: a contract with sets that are none or overlap is refused before it is kept, and one that a file
// brought in says of itself that it cannot hold.
func TestContractsThatCannotHold(t *testing.T) {
	h := newHouse(t)
	for _, sets := range []string{`["no-such-set"]`, `["erp-partner","web-host"]`} {
		body := h.want(http.StatusBadRequest, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":`+sets+`}]}`)
		if !strings.Contains(body, "beta-1") {
			t.Errorf("the contract is not named: %s", body)
		}
	}
	h.want(http.StatusNotFound, "GET", Root+"/customers/beta", "")
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-0","sets":["gone"],"until":"2025-12-31"}]}`) // it is over
	h.want(http.StatusOK, "DELETE", Root+"/customers/beta", "")
	d := h.fleet.Directory()
	d.Customers = append(d.Customers, fleet.Customer{ID: "beta", Contracts: []fleet.Contract{{ID: "beta-1", Sets: []string{"no-such-set"}}}})
	if err := h.fleet.SetDirectory(d); err != nil {
		t.Fatal(err)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/contracts/beta-1", ""); !strings.Contains(body, "no-such-set") || !strings.Contains(body, `"fault":"`) || strings.Contains(body, `"fault":""`) {
		t.Errorf("the contract does not say that it cannot hold: %s", body)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/contracts/shop-2026", ""); !strings.Contains(body, `"fault":""`) {
		t.Errorf("a good contract: %s", body)
	}
}

// TestNothingMetTookNoTime: where no target was met the report does not say that it took no time.
func TestNothingMetTookNoTime(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","impact":"business"}`)
	path := Root + "/reports/sla?from=2026-11-01&until=2026-12-01"
	if body := h.want(http.StatusOK, "GET", path, ""); !strings.Contains(body, `"median_seconds":null,"p90_seconds":null,"longest_seconds":null`) {
		t.Errorf("nothing was met: %s", body)
	}
	if csv := h.want(http.StatusOK, "GET", path+"&format=csv", ""); strings.Contains(csv, "0:00:00") || !strings.Contains(csv, ",,,\n") && !strings.Contains(csv, ",,\n") {
		t.Errorf("nothing was met: %s", csv)
	}
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/ack", `{}`)
	if body := h.want(http.StatusOK, "GET", path, ""); !strings.Contains(body, `"median_seconds":60`) {
		t.Errorf("met after a minute: %s", body)
	}
}

// speaker is a desk at which everybody stands for the same parties.
type speaker struct {
	Desk
	parties []string
}

func (s speaker) StandsFor(store.Tx, ticket.Ticket, ticket.By) ([]string, error) {
	return s.parties, nil
}

// TestWhoActs: what a token of a declared person does is that person's; who may answer for their own party may do so on what
// the party owns, and nothing else; to note, as its customer, is theirs on every ticket that they see.
func TestWhoActs(t *testing.T) {
	h := newHouse(t)
	key := h.add(fleet.NewOperator{Name: "the-second-token", Roles: []fleet.Role{fleet.TechnicalOperation}, Person: "ann", By: "test"})
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print"}`)
	if w := h.do(key, "POST", Root+"/tickets/WB-2001/ack", `{}`); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"person":"ann"`) {
		t.Errorf("the person is not kept: %d %s", w.Code, w.Body)
	}
	for name, c := range map[string]struct {
		parties   []string
		ack, rest int
	}{
		"owns it":       {[]string{"developer", "first-level"}, http.StatusOK, http.StatusForbidden},
		"owns it not":   {[]string{"developer"}, http.StatusForbidden, http.StatusForbidden},
		"is no party's": {nil, http.StatusForbidden, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.Desk = speaker{o.Desk, c.parties} })
			client := h.add(fleet.NewOperator{Name: "the-owner", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
			h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print"}`)
			for verb, want := range map[string]int{"note": http.StatusOK, "ack": c.ack, "start": c.rest, "resolve": c.rest} {
				if w := h.do(client, "POST", Root+"/tickets/WB-2001/"+verb, `{"text":"it is the same here"}`); w.Code != want {
					t.Errorf("%s answered %d, want %d: %s", verb, w.Code, want, w.Body)
				} else if verb == "note" && want == http.StatusForbidden && !strings.Contains(w.Body.String(), "does not stand for first-level, which owns WB-2001") {
					t.Errorf("the refusal does not say for whom one has to stand: %s", w.Body)
				}
			}
		})
	}
}

// TestRefusedOpening: everything that a new ticket lacks is named by the field that gives it.
func TestRefusedOpening(t *testing.T) {
	h := newHouse(t)
	for body, wants := range map[string][]string{
		`{"customer":"shop","title":"1.4","kind":"delivery"}`:                                                                     {"refused: a delivery cannot be opened: say environment, version", `"facts.environment: it is not said"`, `"facts.version: it is not said"`},
		`{"customer":"shop","title":"x","kind":"announcement"}`:                                                                   {"an announcement cannot be opened", `"type: say its type`, `"service: say which service`},
		`{"customer":"shop","title":"x","facts":{"change-at":"tomorrow"}}`:                                                        {`"facts.change-at: change-at is \"tomorrow\": say a time with its zone, like 2026-11-20T16:00:00Z"`},
		`{"customer":"shop","title":"x","facts":{"change-until":"2026-11-20"}}`:                                                   {`"facts.change-until: change-until is \"2026-11-20\": say a time with its zone`},
		`{"customer":"shop","title":"x","facts":{"change-at":"2026-11-20T16:00:00Z","change-until":"2026-11-20T16:00:00+01:00"}}`: {`"facts.change-until: change-until is`, "the change begins at 2026-11-20T16:00:00Z"},
		`{"title":"x"}`: {`"customer: say whose ticket it is"`},
	} {
		w := h.do(fleet.Admin, "POST", Root+"/tickets", body)
		for _, want := range wants {
			if w.Code < 400 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s answered %d %s, want %q", body, w.Code, w.Body, want)
			}
		}
	}
}

// TestReportedUsers: whom a report says to be affected is in the record from the beginning.
func TestReportedUsers(t *testing.T) {
	h := newHouse(t)
	var made Ticket
	decodeInto(t, h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","users":"all of accounting, 12"}`), &made)
	if got := made.Record.Users.Entries; len(got) != 1 || got[0].Text != "all of accounting, 12" {
		t.Errorf("affected users: %+v", made.Record.Users)
	}
}

// TestWhatClientsSay: neither a client nor the desk opens a ticket with facts that contract or house give, and whether it is
// charged for is marked by who works on it.
func TestWhatClientsSay(t *testing.T) {
	h := newHouse(t)
	client := h.add(fleet.NewOperator{Name: "the-owner", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	h.want(http.StatusOK, "PUT", Root+"/departments/sales", `{"name":"Sales"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales"}`)
	member := h.add(fleet.NewOperator{Name: "a-member", Roles: []fleet.Role{fleet.DepartmentMember}, Scope: fleet.Scope{Department: "sales"}, By: "test"})
	for fact, words := range map[string][2]string{
		"oncall":     {`"facts.oncall: oncall cannot be said at opening: the customer's contract gives it`, `"facts.oncall: oncall cannot be said at opening`},
		"state":      {`"facts.state: state cannot be said at opening: it is what becomes of the ticket`, `"facts.state: state cannot be said`},
		"chargeable": {"does not mark whether a ticket is chargeable", ""},
	} {
		body := `{"customer":"shop","title":"x","facts":{"` + fact + `":"no"}}`
		w := h.do(client, "POST", Root+"/tickets", body)
		if w.Code < 400 || !strings.Contains(w.Body.String(), words[0]) {
			t.Errorf("a client says %s: %d %s", fact, w.Code, w.Body)
		}
		w = h.do(fleet.Admin, "POST", Root+"/tickets", body)
		if (w.Code < 400) != (words[1] == "") || !strings.Contains(w.Body.String(), words[1]) {
			t.Errorf("the desk says %s: %d %s", fact, w.Code, w.Body)
		}
	}
	if w := h.do(member, "POST", Root+"/tickets", `{"customer":"beta","title":"x","facts":{"chargeable":"no"}}`); w.Code < 400 || !strings.Contains(w.Body.String(), "a-member does not mark") {
		t.Errorf("a member of a department marks what is charged for: %d %s", w.Code, w.Body)
	}
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"y","impact":"team"}`)
}
