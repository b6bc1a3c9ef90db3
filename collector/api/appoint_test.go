package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// TestWhoAppointsWhom: who is bound to a department says who is of it and of its customers, and never who is of the
// operator's house, nor what decides contracts and clocks; what stands is no change; the operator says all.
func TestWhoAppointsWhom(t *testing.T) {
	h := newHouse(t)
	const (
		house = `{"role":"engineer","name":"Eve","email":"eve@house.example","receivers":["desk"]}`
		lead  = `{"role":"team-leader","name":"Lee"}`
		// what stands of the department and of its customer
		dq    = `{"name":"DQ","zone":"Europe/London","customer":true,"contacts":[` + house + `,` + lead + `]}`
		gamma = `{"name":"Gamma","department":"dq","contacts":[` + house + `]}`
	)
	h.want(http.StatusOK, "PUT", Root+"/departments/dq", dq)
	h.want(http.StatusOK, "PUT", Root+"/customers/gamma", gamma)
	bound := h.add(fleet.NewOperator{Name: "the-dqadm", Roles: []fleet.Role{fleet.Administrator}, Scope: fleet.Scope{Department: "dq"}, By: "test"})
	manager := h.add(fleet.NewOperator{Name: "the-dqacc", Roles: []fleet.Role{fleet.AccountManager}, Scope: fleet.Scope{Department: "dq"}, By: "test"})
	type attempt struct {
		who        fleet.Role
		path, body string
		says       string
		status     int
	}
	with := func(declared, more string) string { return strings.Replace(declared, `[{`, `[`+more+`,{`, 1) }
	tests := map[string]attempt{
		"a department as it stands": {bound, "/departments/dq", dq, `"changed":false`, 200},
		"a customer as it stands":   {bound, "/customers/gamma", gamma, `"changed":false`, 200},
		"by a bound manager":        {manager, "/departments/dq", with(dq, `{"role":"it-ops","name":"Own"}`), "it-ops Own would be new", 403},
		"another address":           {bound, "/departments/dq", strings.Replace(dq, "eve@house", "own@house", 1), "is declared by the operator", 403},
		"another receiver":          {bound, "/customers/gamma", strings.Replace(gamma, `"desk"`, `"mine"`, 1), "is declared by the operator", 403},
		"another order":             {bound, "/departments/dq", strings.Replace(dq, house+`,`+lead, lead+`,`+house, 1), "their order would be another", 403},
		"left out":                  {bound, "/departments/dq", strings.Replace(dq, `,`+lead, "", 1), "team-leader Lee would be gone", 403},
		"of the customer left out":  {bound, "/customers/gamma", `{"name":"Gamma","department":"dq"}`, "would be gone", 403},
		"a new customer's":          {bound, "/customers/delta", `{"name":"Delta","department":"dq","contacts":[` + house + `]}`, "would be new", 403},
		"a role of tokens":          {bound, "/departments/dq", with(dq, `{"role":"admin","name":"Own"}`), "only a token carries this role", 400},
		"no customer any more":      {bound, "/departments/dq", strings.Replace(dq, `"customer":true`, `"customer":false`, 1), "customer: it is true and would be false", 403},
		"another zone":              {bound, "/departments/dq", strings.Replace(dq, "Europe/London", "Asia/Tokyo", 1), `zone: it is \"Europe/London\" and would be \"Asia/Tokyo\"`, 403},
	}
	for _, role := range fleet.ContactRoles() {
		own, status, says := `{"role":"`+string(role)+`","name":"Own"}`, 403, string(role)+" Own would be new"
		switch role {
		case fleet.DepartmentMember, fleet.Administrator, fleet.ProductOwner, fleet.ClientOwnerUser, fleet.ITProviderUser, fleet.Developer:
			status, says = 200, `"changed":true`
		}
		tests[string(role)+" of the department"] = attempt{bound, "/departments/dq", with(dq, own), says, status}
		tests[string(role)+" of its customer"] = attempt{bound, "/customers/gamma", with(gamma, own), says, status}
		tests[string(role)+" by the operator"] = attempt{fleet.Admin, "/departments/dq", with(dq, own), `"changed":true`, 200}
	}
	tests["the operator moves the zone"] = attempt{fleet.Admin, "/departments/dq", `{"name":"DQ","zone":"Asia/Tokyo"}`, `"changed":true`, 200}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stands := h.want(http.StatusOK, "GET", Root+"/departments/dq", "") + h.want(http.StatusOK, "GET", Root+"/customers/gamma", "")
			w := h.do(tt.who, "PUT", Root+tt.path, tt.body)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("answered %d %s, want %d and %q", w.Code, w.Body, tt.status, tt.says)
			}
			is := h.want(http.StatusOK, "GET", Root+"/departments/dq", "") + h.want(http.StatusOK, "GET", Root+"/customers/gamma", "")
			if w.Code != http.StatusOK && is != stands {
				t.Errorf("refused, and changed:\n%s\n%s", stands, is)
			}
			h.want(http.StatusOK, "PUT", Root+"/departments/dq", dq)
			h.want(http.StatusOK, "PUT", Root+"/customers/gamma", gamma)
		})
	}
}
