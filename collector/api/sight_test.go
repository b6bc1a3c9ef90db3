package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// secretWords are of customer acme: none may reach who belongs to another customer.
var secretWords = []string{"acme", "Acme", "web1", "db1", "web2", "berlin", "paris", "WB-1001", "t-web1", "FilesystemFull", "HighLoad", "a-secret-note"}

// twoCustomers is a house in which acme has tickets, alerts, messages, an agent and links to a ticket of the shop.
func twoCustomers(t *testing.T) (h *house, scoped []fleet.Role) {
	t.Helper()
	h = newHouse(t)
	h.openTicket(1001, "web1")
	h.message("m1-of-acme", outbox.Buried)
	h.agent("a1", "db1")
	h.rules.alerts = append(h.rules.alerts, standing("web1", rules.Firing))
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-1001/note", `{"text":"a-secret-note"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"orders do not print","asset":"erp1"}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/link", `{"other":"WB-1001","relation":"related to","text":"the same line"}`)
	h.want(http.StatusOK, "PUT", Root+"/departments/sales", `{"name":"Sales"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales"}`)
	for name, n := range map[string]fleet.NewOperator{
		"client":   {Roles: []fleet.Role{fleet.ClientOwnerUser, fleet.Administrator}, Scope: fleet.Scope{Customer: "shop"}},
		"engineer": {Roles: []fleet.Role{fleet.Engineer, fleet.ITOpsManager}, Scope: fleet.Scope{Customer: "shop"}},
		"seller":   {Roles: []fleet.Role{fleet.DepartmentMember, fleet.Administrator}, Scope: fleet.Scope{Department: "sales"}},
		"boss":     {Roles: []fleet.Role{fleet.Responder}, Scope: fleet.Scope{Department: "sales"}},
	} {
		n.Name, n.By = "the-scoped-"+name, "test"
		scoped = append(scoped, h.add(n))
	}
	return h, scoped
}

// foreign is for every endpoint what stands for its parameters: something of another customer, and the same of nobody.
var foreign = map[string][2]string{
	"{ref}": {"WB-1001", "WB-7777"}, "{id}": {"acme", "nbdy"}, "{name}": {"web1", "web8"}, "{fingerprint}": {"oldest", "oldest"},
	"{report}": {"sla", "sla"}, "{verb}": {"note", "note"}, "{$}": {"", ""},
}

// TestWhatIsAnothersDoesNotExist asks every endpoint, as people whose sight is bounded, for what is another customer's: no
// word of it is in any list, and what is asked for by name is answered as if nothing had that name.
func TestWhatIsAnothersDoesNotExist(t *testing.T) {
	h, scoped := twoCustomers(t)
	for _, e := range endpoints() {
		method, path := splitPattern(e.pattern)
		theirs, nobodys := path, path
		for part := range strings.SplitSeq(path, "/") {
			if !strings.HasPrefix(part, "{") {
				continue
			}
			with, ok := foreign[part]
			if !ok {
				t.Fatalf("%s: the test does not know what stands for %s", e.pattern, part)
			}
			theirs, nobodys = strings.Replace(theirs, part, with[0], 1), strings.Replace(nobodys, part, with[1], 1)
		}
		for _, role := range scoped {
			t.Run(e.pattern+" as "+string(role), func(t *testing.T) {
				h.t = t
				got := h.do(role, method, Root+theirs, `{}`)
				if theirs != nobodys {
					want := h.do(role, method, Root+nobodys, `{}`)
					same := strings.NewReplacer("WB-1001", "WB-7777", "acme", "nbdy", "web1", "web8").Replace(got.Body.String())
					if got.Code != want.Code || same != want.Body.String() {
						t.Errorf("what is another's is answered %d %s\nwhat nobody has %d %s", got.Code, got.Body, want.Code, want.Body)
					}
					return
				}
				if e.pattern == "GET /{$}" || e.pattern == "GET /openapi.json" {
					return // they describe the interface and hold nothing of anybody
				}
				for _, word := range secretWords {
					if strings.Contains(got.Body.String(), word) {
						t.Errorf("%q of another customer is in %s", word, got.Body)
					}
				}
			})
		}
	}
}

// TestWaysAround asks for another customer's things by filters, fields and IDs that are no path.
func TestWaysAround(t *testing.T) {
	h, scoped := twoCustomers(t)
	for _, role := range scoped {
		for _, ask := range []struct{ method, path, body string }{
			{"GET", "/tickets?customer=acme", ""}, {"GET", "/tickets?asset=web1", ""}, {"GET", "/tickets?after=WB-1001", ""},
			{"GET", "/tickets?parent=WB-1001", ""}, {"GET", "/tickets?storm=WB-1001", ""}, {"GET", "/tickets/t-web1", ""}, {"GET", "/tickets/1001", ""},
			{"GET", "/tickets?order=newest", ""}, {"GET", "/alerts?resolved=true", ""}, {"GET", "/outbox?state=buried", ""},
			{"GET", "/reports/sla?customer=acme", ""}, {"GET", "/reports/availability?from=2026-11-01", ""}, {"GET", "/reports/lifecycle", ""},
			{"GET", "/reports/compliance", ""}, {"GET", "/reports/sla?format=csv", ""}, {"GET", "/contracts?customer=acme", ""},
			{"GET", "/export?customer=acme", ""}, {"GET", "/export", ""}, {"POST", "/outbox/m1-of-acme/resend", ""},
			{"POST", "/tickets", `{"customer":"acme","title":"x"}`}, {"POST", "/tickets", `{"title":"x","parent":"WB-1001"}`},
			{"POST", "/tickets", `{"customer":"shop","title":"x","asset":"web1"}`},
			{"POST", "/tickets/WB-2001/merge", `{"other":"WB-1001","text":"one"}`}, {"GET", "/tickets/WB-2001", ""}, {"GET", "/status", ""},
		} {
			w := h.do(role, ask.method, Root+ask.path, ask.body)
			body := w.Body.String()
			for _, word := range secretWords {
				if strings.Contains(ask.path+ask.body, word) && w.Code >= 400 { // an error repeats what was asked
					continue
				}
				if strings.Contains(body, word) {
					t.Errorf("%s: %s %s: %q of another customer is in %s", role, ask.method, ask.path, word, body)
				}
			}
			if ask.method == "POST" && w.Code < 400 {
				t.Errorf("%s: %s %s %s was done: %s", role, ask.method, ask.path, ask.body, body)
			}
		}
	}
}

// TestOwnTicketsOfClients: a client sees its own ticket without what is internal; an engineer of the same scope sees that too.
func TestOwnTicketsOfClients(t *testing.T) {
	h, _ := twoCustomers(t)
	for path, body := range map[string]string{
		"note": `{"text":"the client is difficult"}`, "ack": `{}`, "promise": `{"until":"2026-11-25T12:00:00Z","to":"Pat"}`,
	} {
		h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/"+path, body)
	}
	client := h.do("scoped-client", "GET", Root+"/tickets/WB-2001", "")
	engineer := h.do("scoped-engineer", "GET", Root+"/tickets/WB-2001", "")
	if client.Code != http.StatusOK || engineer.Code != http.StatusOK {
		t.Fatalf("answered %d and %d: %s", client.Code, engineer.Code, client.Body)
	}
	if strings.Contains(client.Body.String(), "difficult") || !strings.Contains(engineer.Body.String(), "difficult") {
		t.Errorf("an internal note is shown to the client, or not to the engineer:\n%s", client.Body)
	}
	for _, want := range []string{`"promised"`, `"acknowledged"`, `"abridged":true`} {
		if !strings.Contains(client.Body.String(), want) {
			t.Errorf("%s is not shown to the client: %s", want, client.Body)
		}
	}
	if w := h.do("scoped-client", "POST", Root+"/tickets/WB-2001/ack", `{}`); w.Code != http.StatusForbidden {
		t.Errorf("a client acknowledges: %d %s", w.Code, w.Body)
	}
}

// TestExpressionsStayInside: a client's own detected ticket and alert carry no rule, expression or label.
func TestExpressionsStayInside(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	h.rules.alerts = append(h.rules.alerts, standing("web1", rules.Firing))
	key := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "acme"}, By: "test"})
	for _, path := range []string{"/tickets", "/tickets/WB-1001", "/alerts", "/assets/web1", "/rules", "/reports/sla"} {
		body := h.do(key, "GET", Root+path, "").Body.String()
		for _, word := range []string{"node_", "FilesystemFull", "HighLoad", "mountpoint", "alertname", "rule linux"} {
			if strings.Contains(body, word) {
				t.Errorf("%s shows %q to a client: %s", path, word, body)
			}
		}
	}
}

// TestScopeOfDepartment: who is of a department sees the customers that it owns, and them alone.
func TestScopeOfDepartment(t *testing.T) {
	h, _ := twoCustomers(t)
	if body := h.do("scoped-seller", "GET", Root+"/customers", "").Body.String(); !strings.Contains(body, `"beta"`) || strings.Contains(body, `"shop"`) {
		t.Errorf("customers of the department: %s", body)
	}
	if w := h.do("scoped-seller", "PUT", Root+"/customers/beta", `{"name":"Beta","department":""}`); w.Code != http.StatusNotFound {
		t.Errorf("a customer is given away to nobody: %d %s", w.Code, w.Body)
	}
	if w := h.do("scoped-seller", "PUT", Root+"/customers/beta", `{"name":"Beta Two","department":"sales"}`); w.Code != http.StatusOK {
		t.Errorf("the administrator of the department changes its customer: %d %s", w.Code, w.Body)
	}
	if w := h.do("scoped-client", "PUT", Root+"/customers/shop", `{"name":"Mine"}`); w.Code != http.StatusForbidden {
		t.Errorf("a customer changes what was agreed with it: %d %s", w.Code, w.Body)
	}
}

// TestGateAnswers: a refusal by a gate is 409 with gate and missing beside the error, and is kept as an attempt.
func TestGateAnswers(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Desk = gated{o.Desk} })
	h.openTicket(1001, "web1")
	body := h.want(http.StatusConflict, "POST", Root+"/tickets/WB-1001/resolve", `{"text":"done"}`)
	for _, want := range []string{`"gate":"four-eyes","missing":["verified: nobody did"]}`, `"code":"gate"`, `"error":{`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	conforms(t, "a gate's refusal", Refused{}, []byte(body))
}

// gated refuses everything by a gate.
type gated struct{ Desk }

func (gated) Act(context.Context, string, ticket.Action, ticket.By) (ticket.Ticket, error) {
	return ticket.Ticket{}, &ticket.GateError{Gate: "four-eyes", Missing: []string{"verified: nobody did"}, Number: "WB-1001"}
}

// TestQueueOrder: open tickets come as the store's places say, without being asked for.
func TestQueueOrder(t *testing.T) {
	h := newHouse(t)
	first, second := h.openTicket(1001, "web1"), h.openTicket(1002, "db1")
	place := func(id, at string) {
		if err := h.store.Update(t.Context(), "", func(tx store.Tx) error { return tx.PutPlace(id, []byte(at)) }); err != nil {
			t.Fatal(err)
		}
	}
	place(first.ID, "b")
	place(second.ID, "a")
	order := func(query string) bool {
		body := h.want(http.StatusOK, "GET", Root+"/tickets"+query, "")
		return strings.Index(body, "WB-1002") < strings.Index(body, "WB-1001")
	}
	if !order("?open=true") || !order("?open=true&order=queue") || !order("?state=new") {
		t.Error("open tickets are not in the queue's order")
	}
	place(second.ID, "c")
	if order("?open=true") || !order("?open=true&order=newest") || !order("") {
		t.Error("the order is not the one that was asked for")
	}
	if body := h.want(http.StatusOK, "GET", Root+"/tickets?open=true&limit=1", ""); !strings.Contains(body, `"truncated":true`) {
		t.Errorf("one of two: %s", body)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/tickets?open=true&after=WB-1001", ""); strings.Contains(body, `"WB-1001"`) || !strings.Contains(body, "WB-1002") {
		t.Errorf("what follows WB-1001: %s", body)
	}
	h.want(http.StatusBadRequest, "GET", Root+"/tickets?state=closed&order=queue", "")
}

// A ticket stays with the department that owned its customer as it was opened, wherever the customer moves.
func TestATicketStaysWithItsDepartment(t *testing.T) {
	h := newHouse(t)
	for _, d := range []string{"sales", "works"} {
		h.want(http.StatusOK, "PUT", Root+"/departments/"+d, `{"name":"`+d+`"}`)
		h.add(fleet.NewOperator{Name: "the-" + d, Roles: []fleet.Role{fleet.Responder}, Scope: fleet.Scope{Department: d}, By: "test"})
	}
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"nobody owned it"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"sales owned it"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"works"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"works owned it"}`)
	for role, want := range map[fleet.Role][3]bool{"sales": {false, true, false}, "works": {true, false, true}, fleet.Admin: {true, true, true}} {
		for _, order := range []string{"newest", "queue"} {
			list := h.do(role, "GET", Root+"/tickets?order="+order, "").Body.String()
			for i, title := range []string{"nobody owned it", "sales owned it", "works owned it"} {
				if strings.Contains(list, title) != want[i] {
					t.Errorf("%s, %s: %q is listed %v, want %v", role, order, title, !want[i], want[i])
				}
			}
		}
		for i, ref := range []string{"WB-2001", "WB-2002", "WB-2003"} {
			for _, path := range []string{"", "/clocks", "/chain"} {
				if got := h.do(role, "GET", Root+"/tickets/"+ref+path, "").Code == http.StatusOK; got != want[i] {
					t.Errorf("%s: %s%s is there %v, want %v", role, ref, path, got, want[i])
				}
			}
		}
	}
	for _, fact := range []string{"department", "contract"} {
		w := h.do(fleet.Admin, "POST", Root+"/tickets", `{"customer":"beta","title":"x","facts":{"`+fact+`":"sales"}}`)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "facts: "+fact) {
			t.Errorf("a report says whose the customer is: %d %s", w.Code, w.Body)
		}
	}
}
