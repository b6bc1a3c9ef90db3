package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestTheCustomerAnswers: people of the customer and of its department note on a ticket that they see, others who see it as
// its customer read that, and waiting is over; notes of the house stay inside, and no other verb is theirs.
func TestTheCustomerAnswers(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/departments/sales", `{"name":"Sales"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales","contracts":[{"id":"beta-1","sets":["erp-partner"]}]}`)
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	other := h.add(fleet.NewOperator{Name: "the-other", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	seller := h.add(fleet.NewOperator{Name: "the-seller", Roles: []fleet.Role{fleet.DepartmentMember}, Scope: fleet.Scope{Department: "sales"}, By: "test"})
	stranger := h.add(fleet.NewOperator{Name: "the-stranger", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	looker := h.add(fleet.NewOperator{Name: "the-looker", Roles: []fleet.Role{fleet.Viewer}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"cannot print"}`)
	at := Root + "/tickets/WB-2001/"
	h.want(http.StatusOK, "POST", at+"ack", `{}`)
	h.want(http.StatusOK, "POST", at+"note", `{"text":"a word of the house"}`)
	for who, text := range map[fleet.Role]string{client: "it is the red printer", seller: "they mean the one in hall 2"} {
		h.want(http.StatusOK, "POST", at+"wait", `{"what":"customer","text":"which printer?"}`)
		w := h.do(who, "POST", at+"note", `{"text":"`+text+`"}`)
		var got Ticket
		decodeInto(t, w.Body.String(), &got)
		if w.Code != http.StatusOK || got.State == ticket.Waiting || got.Waits != nil {
			t.Errorf("%s: answered %d, the ticket is %s: %s", who, w.Code, got.State, w.Body)
		}
		if body := h.do(other, "GET", Root+"/tickets/WB-2001", "").Body.String(); !strings.Contains(body, text) || strings.Contains(body, "a word of the house") {
			t.Errorf("another of the customer reads: %s", body)
		}
	}
	if w := h.do(stranger, "POST", at+"note", `{"text":"x"}`); w.Code != http.StatusNotFound {
		t.Errorf("another customer: %d %s", w.Code, w.Body)
	}
	if w := h.do(looker, "POST", at+"note", `{"text":"x"}`); w.Code != http.StatusForbidden {
		t.Errorf("who only looks: %d %s", w.Code, w.Body)
	}
	for _, verb := range []ticket.Verb{ticket.Did, ticket.Resolve, ticket.Close, ticket.WaitFor, ticket.Resume, ticket.Ack, ticket.Set} {
		if w := h.do(client, "POST", at+string(verb), `{"text":"x"}`); w.Code != http.StatusForbidden {
			t.Errorf("%s became the customer's: %d %s", verb, w.Code, w.Body)
		}
	}
}

// TestTheHouseSends: every role of the house that may send sends a draft to a customer that no department owns.
func TestTheHouseSends(t *testing.T) {
	h := newHouse(t)
	h.everyRole()
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"cannot print"}`)
	n := 0
	for _, role := range fleet.AllRoles() {
		if !fleet.Allows(role, fleet.MaySend) || !fleet.Allows(role, fleet.MaySeeInternal) {
			continue
		}
		n++
		h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/draft", `{"to":"pat@shop.example","text":"we look into it"}`)
		if w := h.do(role, "POST", Root+"/tickets/WB-2001/send", fmt.Sprintf(`{"what":"%d"}`, n)); w.Code != http.StatusOK {
			t.Errorf("%s: answered %d %s", role, w.Code, w.Body)
		}
	}
	if n < 10 {
		t.Errorf("only %d roles of the house send", n)
	}
}
