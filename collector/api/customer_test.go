package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestTransferNeedsConsent: what becomes of operating model and owners is refused until a ticket of the customer carries the
// client owner's approval; the ticket then says what was changed on its strength.
func TestTransferNeedsConsent(t *testing.T) {
	h := newHouse(t)
	declare := func(more, approval string) string {
		return `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"]` + more + `}],"approval":"` + approval + `"}`
	}
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", declare(`,"model":"separate"`, ""))
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", declare(`,"model":"separate","terms":"as we said"`, ""))
	same := declare(`,"model":"same-party","owners":[{"system":"application","owner":"it-provider"}]`, "")
	body := h.want(http.StatusConflict, "PUT", Root+"/customers/beta", same)
	for _, want := range []string{`"gate":"transfer"`, `"missing":["approval: contract beta-1: operating model from separate to same-party: the number of a ticket on which client-owner-user approved it",`,
		"operating model from separate to same-party", "owner of application from the policy set's own to it-provider", "--type operating-model", "--approval NUMBER"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"one party","kind":"request","type":"operating-model"}`)
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"shop","title":"something else"}`)
	with := func(number string) string {
		return strings.Replace(same, `"approval":""`, `"approval":"`+number+`"`, 1)
	}
	for number, want := range map[string]struct {
		status int
		text   string
	}{
		"WB-9":    {http.StatusBadRequest, `there is no ticket \"WB-9\"`},
		"WB-2001": {http.StatusConflict, "client-owner-user approves it on WB-2001 (approve transfer)"},
		"WB-2002": {http.StatusConflict, "WB-2002 is not of customer beta"},
	} {
		if body := h.want(want.status, "PUT", Root+"/customers/beta", with(number)); !strings.Contains(body, want.text) {
			t.Errorf("%s: %s", number, body)
		}
	}
	if w := h.do(client, "POST", Root+"/tickets/WB-2001/approve", `{"what":"transfer","at":"2026-11-21T11:00:00Z"}`); w.Code != http.StatusOK {
		t.Fatalf("approve: %d %s", w.Code, w.Body)
	}
	if body := h.want(http.StatusOK, "PUT", Root+"/customers/beta", with("WB-2001")); !strings.Contains(body, `"same-party"`) || !strings.Contains(body, `"changed":true`) {
		t.Errorf("approved: %s", body)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/tickets/WB-2001", ""); !strings.Contains(body, "changed as approved: contract beta-1: operating model from separate to same-party") {
		t.Errorf("the ticket does not say what was changed: %s", body)
	}
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", same) // as it is already
	for _, again := range []string{strings.Replace(with("WB-2001"), "same-party", "separate", 1), strings.Replace(with("WB-2001"), "application", "iis", 1)} {
		if body := h.want(http.StatusConflict, "PUT", Root+"/customers/beta", again); !strings.Contains(body, "the approval on WB-2001 is used, what was approved with it is done: ask anew") {
			t.Errorf("approved once, changed twice: %s", body)
		}
	}
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/resolve", `{"text":"done"}`)
	h.want(http.StatusOK, "POST", Root+"/tickets/WB-2001/close", `{}`)
	body = h.want(http.StatusConflict, "PUT", Root+"/customers/beta", strings.Replace(with("WB-2001"), "same-party", "separate", 1))
	if !strings.Contains(body, "WB-2001 is closed") {
		t.Errorf("a used approval: %s", body)
	}
}

// TestOneApprovalAtOnce: of several changes that name one approval at the same moment, one is made.
func TestOneApprovalAtOnce(t *testing.T) {
	h := newHouse(t)
	declare := func(owner, approval string) string {
		return `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"],"owners":[{"system":"` + owner + `","owner":"it-provider"}]}],"approval":"` + approval + `"}`
	}
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", declare("application", ""))
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "beta"}, By: "test"})
	h.want(http.StatusCreated, "POST", Root+"/tickets", `{"customer":"beta","title":"another owner","kind":"request","type":"system-owner"}`)
	if w := h.do(client, "POST", Root+"/tickets/WB-2001/approve", `{"what":"transfer","at":"2026-11-21T11:00:00Z"}`); w.Code != http.StatusOK {
		t.Fatalf("approve: %d %s", w.Code, w.Body)
	}
	systems := []string{"iis", "sql", "reports", "vpn"}
	codes := make(chan int, len(systems))
	for _, system := range systems {
		go func() { codes <- h.do(fleet.Admin, "PUT", Root+"/customers/beta", declare(system, "WB-2001")).Code }()
	}
	made := 0
	for range systems {
		if code := <-codes; code == http.StatusOK {
			made++
		}
	}
	if made != 1 {
		t.Errorf("%d changes were made on one approval", made)
	}
}

// TestTransferInTwoSteps: who takes contracts away, or the customer whole, and declares others is held against those that
// went, over however many steps; who declares them as they were is not.
func TestTransferInTwoSteps(t *testing.T) {
	const separate = `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"],"model":"separate"}]}`
	same := strings.Replace(strings.Replace(separate, "separate", "same-party", 1), "beta-1", "beta-2", 1)
	for name, first := range map[string][]string{
		"no contracts":         {"PUT"},
		"no contracts, twice":  {"PUT", "PUT"},
		"removed":              {"DELETE"},
		"emptied and removed":  {"PUT", "DELETE"},
		"removed and emptied":  {"DELETE", "PUT"},
		"removed, by a former": {"former", "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.want(http.StatusOK, "PUT", Root+"/customers/beta", separate)
			for i, method := range first {
				if method == "former" { // what was declared before anything was kept of it
					forgetKnown(t, h)
					continue
				}
				h.want(http.StatusOK, method, Root+"/customers/beta", map[string]string{"PUT": `{"name":"Beta` + strings.Repeat("!", i) + `"}`}[method])
			}
			body := h.want(http.StatusConflict, "PUT", Root+"/customers/beta", same)
			if !strings.Contains(body, `"gate":"transfer"`) || !strings.Contains(body, "contract beta-2: operating model from separate to same-party") {
				t.Errorf("refused with %s", body)
			}
			h.want(http.StatusOK, "PUT", Root+"/customers/beta", separate)
		})
	}
}

// TestTransferOfWhatWasAnothers: a name that was another's customer is taken for who did not see it, and nothing is said of
// what that was.
func TestTransferOfWhatWasAnothers(t *testing.T) {
	h, _ := twoCustomers(t)
	h.want(http.StatusOK, "PUT", Root+"/customers/delta", `{"name":"Delta","contracts":[{"id":"delta-1","sets":["it-provider"],"model":"separate"}]}`)
	h.want(http.StatusOK, "DELETE", Root+"/customers/delta", "")
	w := h.do("scoped-seller", "PUT", Root+"/customers/delta", `{"name":"Delta","department":"sales","contracts":[{"id":"delta-1","sets":["it-provider"],"model":"same-party"}]}`)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "that name is taken") || strings.Contains(w.Body.String(), "separate") {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

// forgetKnown has the store as it was left before what is known of contracts was kept for what commands declare.
func forgetKnown(t *testing.T, h *house) {
	t.Helper()
	if err := h.store.Update(t.Context(), "", func(tx store.Tx) error { return tx.DeleteDeclared(fleet.DeclaredFiled, "beta") }); err != nil {
		t.Fatal(err)
	}
}

// TestConsentOfOthers: who is bound to a department learns nothing of a ticket of others by naming it as the approval.
func TestConsentOfOthers(t *testing.T) {
	h, _ := twoCustomers(t)
	body := func(number string) string {
		return `{"name":"Beta","department":"sales","contracts":[{"id":"beta-1","sets":["it-provider"]}],"approval":"` + number + `"}`
	}
	there, not := h.do("scoped-seller", "PUT", Root+"/customers/beta", body("WB-1001")), h.do("scoped-seller", "PUT", Root+"/customers/beta", body("WB-7777"))
	if there.Code != http.StatusBadRequest || strings.ReplaceAll(there.Body.String(), "WB-1001", "WB-7777") != not.Body.String() {
		t.Errorf("another's ticket answers %d %s\none that is not: %d %s", there.Code, there.Body, not.Code, not.Body)
	}
}

// TestPutWhatIsExported: what is put as it is answers so and writes no other maker.
func TestPutWhatIsExported(t *testing.T) {
	h := newHouse(t)
	put := func(path, body string) (answer struct {
		Changed bool
		MadeBy  string `json:"made_by"`
	}) {
		t.Helper()
		if err := json.Unmarshal([]byte(h.want(http.StatusOK, "PUT", Root+path, body)), &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for _, tt := range []struct{ path, body, other string }{
		{"/customers/beta", `{"name":"Beta"}`, `{"name":"Beta Two"}`}, {"/departments/sales", `{"name":"Sales"}`, `{"name":"Sellers"}`},
		{"/people/zed", `{"name":"Zed"}`, `{"name":"Zed Two"}`}, {"/contacts", `{"contacts":[{"role":"engineer","person":"ann"}]}`, `{"contacts":[]}`},
		{"/approved-software", `{"approved_software":[{"name":"Word"}]}`, `{"approved_software":[]}`},
	} {
		for i, want := range []bool{true, false} {
			if got := put(tt.path, tt.body); got.Changed != want {
				t.Errorf("%s, time %d: changed %v", tt.path, i+1, got.Changed)
			}
		}
		if got := put(tt.path, tt.other); !got.Changed {
			t.Errorf("%s: another is no change", tt.path)
		}
	}
	var acme Customer
	if err := json.Unmarshal([]byte(h.want(http.StatusOK, "GET", Root+"/customers/acme", "")), &acme); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(acme.Customer)
	if err != nil {
		t.Fatal(err)
	}
	if got := put("/customers/acme", string(raw)); got.Changed || got.MadeBy != "" {
		t.Errorf("a file's customer, put as it is: %+v", got)
	}
	h.want(http.StatusConflict, "PUT", Root+"/customers/acme", strings.Replace(string(raw), "Acme Ltd", "Acme Inc", 1))
}

// TestOperatorsOwnBySight: the operator's contacts exist for who sees the whole fleet; what is approved is for everybody.
func TestOperatorsOwnBySight(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/contacts", `{"contacts":[{"role":"engineer","person":"ann"}]}`)
	h.want(http.StatusOK, "PUT", Root+"/approved-software", `{"approved_software":[{"name":"Word"}]}`)
	client := h.add(fleet.NewOperator{Name: "the-client", Roles: []fleet.Role{fleet.ClientOwnerUser}, Scope: fleet.Scope{Customer: "shop"}, By: "test"})
	if body := h.do(client, "GET", Root+"/contacts", "").Body.String(); strings.Contains(body, "ann") || !strings.Contains(body, `"contacts":[]`) {
		t.Errorf("contacts for a client: %s", body)
	}
	if body := h.do(client, "GET", Root+"/approved-software", "").Body.String(); !strings.Contains(body, "Word") || strings.Contains(body, "made by") {
		t.Errorf("approved for a client: %s", body)
	}
	if body := h.want(http.StatusOK, "GET", Root+"/contacts", ""); !strings.Contains(body, "made by the-admin") {
		t.Errorf("contacts: %s", body)
	}
	for _, path := range []string{"/contacts", "/approved-software"} {
		if body := h.want(http.StatusBadRequest, "PUT", Root+path, `{}`); !strings.Contains(body, "must be given") {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// TestPutAnswersWarnings: a contract that holds and is worth a look is declared, and says what a check finds in it.
func TestPutAnswersWarnings(t *testing.T) {
	h := newHouse(t)
	var got CustomerPut
	body := h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":["erp-partner"]}]}`)
	if err := json.Unmarshal([]byte(body), &got); err != nil || !got.Changed || !strings.Contains(strings.Join(got.Warnings, "\n"), `contract beta-1: support (role engineer) can own tickets and nobody can be reached for it`) {
		t.Errorf("warnings %q, %v", got.Warnings, err)
	}
	for _, w := range got.Warnings {
		if strings.Count(w, "contract beta-1") != 1 {
			t.Errorf("warning %q does not name its contract once", w)
		}
	}
}

// TestGreatCustomer: a customer with a thousand assets is declared, and a ticket's text stays bounded.
func TestGreatCustomer(t *testing.T) {
	h := newHouse(t)
	c := fleet.Customer{Name: "Great", Sites: []fleet.Site{{ID: "all"}}}
	for i := range 1000 {
		c.Sites[0].Assets = append(c.Sites[0].Assets, fleet.Asset{Name: "great-" + strings.Repeat("a", i%20) + ".example" + strings.Repeat("b", i/20), Role: "one of a thousand"})
	}
	raw, err := json.Marshal(c)
	if err != nil || len(raw) < bodyLimit {
		t.Fatal(len(raw), err)
	}
	h.want(http.StatusOK, "PUT", Root+"/customers/great", string(raw))
	h.openTicket(1001, "web1")
	h.want(http.StatusRequestEntityTooLarge, "POST", Root+"/tickets/WB-1001/"+string(ticket.Note), `{"text":"`+strings.Repeat("x", bodyLimit)+`"}`)
}

// TestBoundPutsWhatIsThere: who is bound to a department applies what they exported, people and all; who would change a
// person is refused as before.
func TestBoundPutsWhatIsThere(t *testing.T) {
	h, _ := twoCustomers(t)
	h.want(http.StatusOK, "PUT", Root+"/people/zed", `{"name":"Zed","email":"zed@beta.example","receivers":["desk"]}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","department":"sales","contacts":[{"role":"engineer","person":"zed"}]}`)
	for _, tt := range []struct {
		path, body string
		status     int
	}{
		{"/people/zed", `{"name":"Zed","email":"zed@beta.example"}`, 200}, // as it is exported for them
		{"/people/zed", `{"name":"Zed Two","email":"zed@beta.example"}`, 403},
		{"/people/ann", `{"name":"Ann","receivers":["ann-phone"]}`, 404}, // who does not exist for them
		{"/departments/sales", `{"name":"Sales"}`, 200},
		{"/customers/beta", `{"name":"Beta","department":"sales","contacts":[{"role":"engineer","person":"zed"}]}`, 200},
	} {
		w := h.do("scoped-seller", "PUT", Root+tt.path, tt.body)
		if w.Code != tt.status || w.Code == http.StatusOK && !strings.Contains(w.Body.String(), `"changed":false`) {
			t.Errorf("%s %s answered %d, want %d: %s", tt.path, tt.body, w.Code, tt.status, w.Body)
		}
	}
}

// TestNobodyWritesTheirOwnContract: who is bound to a department that is a customer at once declares its customers, and not
// what the operator agreed with the department itself; neither do people of a customer.
func TestNobodyWritesTheirOwnContract(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/departments/dx", `{"name":"DX"}`)
	h.want(http.StatusOK, "PUT", Root+"/customers/dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["nights"]}]}`)
	h.want(http.StatusOK, "PUT", Root+"/departments/dy", `{"name":"DY"}`)
	dxadm := h.add(fleet.NewOperator{Name: "the-dxadm", Roles: []fleet.Role{fleet.Administrator}, Scope: fleet.Scope{Department: "dx"}, By: "test"})
	dyadm := h.add(fleet.NewOperator{Name: "the-dyadm", Roles: []fleet.Role{fleet.Administrator}, Scope: fleet.Scope{Department: "dy"}, By: "test"})
	stands := h.want(http.StatusOK, "GET", Root+"/customers/dx", "")
	for name, tt := range map[string]struct {
		who          fleet.Role
		method, path string
		body, says   string
		status       int
	}{
		"cover":              {dxadm, "PUT", "dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["nights"],"cover":"24x7","agreement":"A"}]}`, "declared by the operator", 403},
		"supports":           {dxadm, "PUT", "dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["nights"],"supports":["hosting"]}]}`, "declared by the operator", 403},
		"targets":            {dxadm, "PUT", "dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["nights"],"targets":[{"priority":"P1","clock":"response","within":"1m,elapsed"}]}]}`, "declared by the operator", 403},
		"sets":               {dxadm, "PUT", "dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["web-host"]}]}`, "declared by the operator", 403},
		"out of its hand":    {dxadm, "PUT", "dx", `{"name":"DX"}`, "declared by the operator", 403},
		"as it stands":       {dxadm, "PUT", "dx", `{"name":"DX","department":"dx","contracts":[{"id":"dx-1","sets":["nights"]}]}`, `"changed":false`, 200},
		"taken back":         {dxadm, "DELETE", "dx", "", "declared by the operator", 403},
		"made by itself":     {dyadm, "PUT", "dy", `{"name":"DY","contracts":[{"id":"dy-1","sets":["nights"],"cover":"24x7"}]}`, "declared by the operator", 403},
		"its own customer's": {dxadm, "PUT", "gamma", `{"name":"Gamma","department":"dx"}`, `"changed":true`, 200},
	} {
		w := h.do(tt.who, tt.method, Root+"/customers/"+tt.path, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: answered %d %s, want %d and %q", name, w.Code, w.Body, tt.status, tt.says)
		}
	}
	if is := h.want(http.StatusOK, "GET", Root+"/customers/dx", ""); is != stands {
		t.Errorf("it was changed:\n%s\n%s", stands, is)
	}
	h.want(http.StatusNotFound, "GET", Root+"/customers/dy", "")
	h.want(http.StatusOK, "PUT", Root+"/customers/dx", `{"name":"DX Ltd","department":"dx","contracts":[{"id":"dx-1","sets":["nights"],"supports":["hosting"]}]}`)
}

// TestPutRefusesWhatACheckRefuses: what a check calls a fault of a contract is not declared, in the check's words; what is
// declared already is no change and no reason to refuse.
func TestPutRefusesWhatACheckRefuses(t *testing.T) {
	h := newHouse(t)
	for name, tt := range map[string]struct{ contract, says string }{
		"cover without an agreement": {`{"id":"beta-1","sets":["it-provider"],"cover":"24x7"}`, "agreement"},
		"no targets":                 {`{"id":"beta-1","sets":["customer-operations"],"agreement":"A-1"}`, "target"},
	} {
		var got struct{ Error Error }
		body := h.want(http.StatusBadRequest, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[`+tt.contract+`]}`)
		decodeInto(t, body, &got)
		if len(got.Error.Details) == 0 || !strings.Contains(got.Error.Details[0], tt.says) || !strings.Contains(got.Error.Message, `customer "beta" was not changed`) {
			t.Errorf("%s: %s", name, body)
		}
		h.want(http.StatusNotFound, "GET", Root+"/customers/beta", "")
	}
	c := fleet.Customer{ID: "beta", Name: "Beta", Contracts: []fleet.Contract{{ID: "beta-1", Sets: []string{"it-provider"}, Cover: "24x7"}}}
	if err := h.fleet.PutCustomer(t.Context(), c, "an earlier release"); err != nil {
		t.Fatal(err)
	}
	var same CustomerPut
	decodeInto(t, h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"],"cover":"24x7"}]}`), &same)
	if same.Changed || !strings.Contains(strings.Join(same.Warnings, "\n"), "agreement") {
		t.Errorf("as it stands: changed %v, warnings %q", same.Changed, same.Warnings)
	}
}

// TestContractSaysWhatInforms: a target that was agreed for information only says so in its contract.
func TestContractSaysWhatInforms(t *testing.T) {
	h := newHouse(t)
	h.want(http.StatusOK, "PUT", Root+"/customers/beta", `{"name":"Beta","contracts":[{"id":"beta-1","sets":["it-provider"],"agreement":"A-1","targets":[
		{"priority":"P1","clock":"response","within":"1h,elapsed"},{"priority":"P2","clock":"response","within":"4h,elapsed,inform"}]}]}`)
	var k Contract
	decodeInto(t, h.want(http.StatusOK, "GET", Root+"/contracts/beta-1", ""), &k)
	got := map[string]bool{}
	for _, c := range k.Clocks {
		got[c.Target] = c.Breaches
	}
	if len(got) != 2 || !got["1h,elapsed"] || got["4h,elapsed,inform"] {
		t.Errorf("breaches: %v", got)
	}
}
