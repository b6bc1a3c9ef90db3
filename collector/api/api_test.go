package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

func TestTicketFilters(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	h.openTicket(1002, "db1")
	h.want(200, "POST", Root+"/tickets/WB-1001/resolve", `{"text":"mended"}`)
	tests := []struct {
		query string
		want  string
		more  bool
	}{
		{"", "WB-1002 WB-1001", false},
		{"open=true", "WB-1002", false},
		{"open=false", "WB-1002 WB-1001", false},
		{"state=resolved", "WB-1001", false},
		{"state=in_progress", "", false},
		{"asset=db1", "WB-1002", false},
		{"customer=acme&priority=P1", "WB-1002 WB-1001", false},
		{"customer=other", "", false},
		{"limit=1", "WB-1002", true},
		{"limit=2", "WB-1002 WB-1001", false},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			h.t = t
			var list TicketList
			if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/tickets?"+tt.query, "")), &list); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, row := range list.Tickets {
				got = append(got, row.Number)
			}
			if s := strings.Join(got, " "); s != tt.want || list.Truncated != tt.more {
				t.Errorf("got %q, truncated %v; want %q, %v", s, list.Truncated, tt.want, tt.more)
			}
		})
	}
}

func TestActionsCarryThePerson(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	w := h.do(fleet.Responder, "POST", Root+"/tickets/wb-1001/ack", `{"text":"mine"}`)
	var got Ticket
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("answered %d %s (%v)", w.Code, w.Body, err)
	}
	last := got.Timeline[len(got.Timeline)-1]
	if last.Actor != (ticket.Actor{Kind: ticket.Person, Name: "the-operator"}) || last.Text != "mine" || got.AcknowledgedBy != "the-operator" {
		t.Errorf("last event %+v of %+v, want it to name the person", last, got.TicketRow)
	}
}

func TestErrors(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	tests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"no such path", "GET", Root + "/nothing", "", 404, "the JSON API stands under"},
		{"no such method", "PUT", Root + "/tickets", "", 405, "ask it with GET or HEAD or POST"},
		{"no such ticket", "POST", Root + "/tickets/WB-1/ack", `{}`, 404, "WB-1"},
		{"no such verb", "POST", Root + "/tickets/WB-1001/explode", `{}`, 404, "explode"},
		{"no such asset", "GET", Root + "/assets/nobody", "", 404, "watchbill asset list"},
		{"no such message", "POST", Root + "/outbox/nobody/resend", "", 404, "watchbill outbox list"},
		{"no such agent", "POST", Root + "/agents/nobody/revoke", "", 404, "watchbill agent list"},
		{"no such operator", "DELETE", Root + "/operators/nobody", "", 404, "watchbill operator list"},
		{"not JSON", "POST", Root + "/tickets/WB-1001/note", `text=x`, 400, "body"},
		{"two values", "POST", Root + "/tickets/WB-1001/note", `{"text":"a"}{"text":"b"}`, 400, "one JSON object"},
		{"wrong type", "POST", Root + "/tickets/WB-1001/note", `{"text":1}`, 400, "text"},
		{"too much", "POST", Root + "/tickets/WB-1001/note", `{"text":"` + strings.Repeat("x", bodyLimit) + `"}`, 413, "65536"},
		{"text longer than a ticket keeps", "POST", Root + "/tickets/WB-1001/note", `{"text":"` + strings.Repeat("x", 20000) + `"}`, 409, "shorten"},
		{"a note of nothing", "POST", Root + "/tickets/WB-1001/note", ``, 409, "what to write down"},
		{"limit", "GET", Root + "/tickets?limit=0", "", 400, "from 1 to"},
		{"open", "GET", Root + "/tickets?open=maybe", "", 400, "maybe"},
		{"parameter twice", "GET", Root + "/tickets?asset=a&asset=b", "", 400, "once"},
		{"message state", "GET", Root + "/outbox?state=sent", "", 400, "queued, buried, parked"},
		{"unknown customer", "POST", Root + "/tokens", `{"customer":"x","site":"y"}`, 404, "fleet directory"},
		{"token that lasts", "POST", Root + "/tokens", `{"customer":"acme","site":"berlin","ttl_seconds":1e12}`, 400, "ttl_seconds"},
		{"operator twice", "POST", Root + "/operators", `{"name":"the-viewer"}`, 409, "operator remove"},
		{"role", "POST", Root + "/operators", `{"name":"x","role":"king"}`, 400, `want admin, operator, viewer, scrape, sender, technical`},
		{"address without a port", "POST", Root + "/tokens", `{"customer":"acme","site":"berlin","address":"foo"}`, 400, `want HOST:PORT, got "foo"`},
		{"address with port 0", "POST", Root + "/tokens", `{"customer":"acme","site":"berlin","address":"foo:0"}`, 400, "from 1 to 65535"},
		{"too little of a message's ID", "POST", Root + "/outbox/nobod/resend", "", 404, "at least its first 6 letters"},
		{"last administrator", "DELETE", Root + "/operators/the-admin", "", 409, "last administrator"},
		{"Alertmanager's API", "GET", "/api/v2/alerts", "", 404, "reserved for Alertmanager"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.t = t
			body := h.want(tt.status, tt.method, tt.path, tt.body)
			var e struct{ Error Error }
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code == "" || e.Error.Message == "" {
				t.Fatalf("not an error object: %s (%v)", body, err)
			}
			conforms(t, "the error", errorAnswer{}, []byte(body))
			if !strings.Contains(e.Error.Error(), tt.says) {
				t.Errorf("says %q, want it to say %q", e.Error.Error(), tt.says)
			}
		})
	}
}

// brokenStore fails every transaction with err.
type brokenStore struct {
	store.Store
	err error
}

func (b brokenStore) View(context.Context, func(store.Tx) error) error           { return b.err }
func (b brokenStore) Update(context.Context, string, func(store.Tx) error) error { return b.err }

func TestStoreFailures(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("x: %w", store.ErrFull), 507, "storage_full"},
		{fmt.Errorf("x: %w", store.ErrDamaged), 500, "storage_damaged"},
		{context.DeadlineExceeded, 503, "timeout"},
		{context.Canceled, 503, "stopping"},
		{fmt.Errorf("x: %w", store.ErrConflict), 409, "conflict"},
		{ticket.ErrChain, 500, "record_damaged"},
		{errors.New("secret inner words"), 500, "internal"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			h := newHouse(t, func(o *Options) { o.Store = brokenStore{o.Store, tt.err} })
			for _, path := range []string{"GET /tickets", "GET /tickets/x", "GET /alerts", "GET /outbox", "GET /agents", "GET /status", "POST /outbox/x/resend"} {
				method, path := splitPattern(path)
				body := h.want(tt.status, method, Root+path, "")
				if !strings.Contains(body, `"code":"`+tt.code+`"`) || strings.Contains(body, "secret") {
					t.Errorf("%s: %s, want code %s and nothing of the inside", path, body, tt.code)
				}
			}
		})
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Desk = nil })
	h.openTicket(1001, "web1")
	if body := h.want(500, "POST", Root+"/tickets/WB-1001/ack", `{}`); !strings.Contains(body, `"internal"`) {
		t.Errorf("a panic answered %s", body)
	}
}

func TestDamagedEvidenceIsNotServed(t *testing.T) {
	h := newHouse(t)
	tk := h.openTicket(1001, "web1")
	forged := []byte(`{"part":"time","entries":[{"text":"all was well"}]}`)
	if err := h.store.Update(t.Context(), "", func(tx store.Tx) error { return tx.PutEvidence(tk.ID, 2, forged) }); err != nil {
		t.Fatal(err)
	}
	if body := h.want(500, "GET", Root+"/tickets/WB-1001", ""); strings.Contains(body, "all was well") || !strings.Contains(body, "record_damaged") {
		t.Errorf("forged evidence was served: %s", body)
	}
	var chain Chain
	if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/tickets/WB-1001/chain", "")), &chain); err != nil {
		t.Fatal(err)
	}
	if chain.OK || !strings.Contains(chain.Error, "event 2") {
		t.Errorf("chain %+v, want it to name event 2", chain)
	}
}

func TestResend(t *testing.T) {
	h := newHouse(t)
	h.message("m1", outbox.Buried)
	h.want(200, "POST", Root+"/outbox/m1/resend", "")
	if h.resent != 1 {
		t.Error("the outbox was not woken")
	}
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		due, _, err := tx.DueMessages(noon, 10)
		if len(due) != 1 || due[0].ID != "m1" || due[0].State != outbox.Queued {
			t.Errorf("due are %+v, want m1", due)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A message whose receiver is gone goes another way, to one that is there and takes what it carries.
func TestResendToAnotherReceiver(t *testing.T) {
	h := newHouse(t)
	h.message("m1", outbox.Buried)
	for to, says := range map[string]string{"nobody": "none is named", "am": "does not take what message m1 carries"} {
		if body := h.want(400, "POST", Root+"/outbox/m1/resend", `{"receiver":"`+to+`"}`); !strings.Contains(body, says) {
			t.Errorf("to %s: %s", to, body)
		}
	}
	if body := h.want(200, "POST", Root+"/outbox/m1/resend", `{"receiver":"mail"}`); !strings.Contains(body, `"receiver":"mail"`) {
		t.Errorf("answered %s", body)
	}
	err := h.store.View(t.Context(), func(tx store.Tx) error {
		m, err := tx.Message("m1")
		if m.Receiver != "mail" || m.State != outbox.Queued {
			t.Errorf("it is %+v", m)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestResendByHowTheIDBegins(t *testing.T) {
	h := newHouse(t)
	h.message("3f9a0b1c2d4e-000002-00-aaaa", outbox.Buried)
	h.message("3f9a0b1c2d4e-000002-00-bbbb", outbox.Buried)
	h.message("77777777-000002-00-aaaa", outbox.Queued)
	for _, tt := range []struct {
		ref    string
		status int
		says   string
	}{
		{"3f9a0b1c2d4e-000002-00-bbbb", 200, `"id":"3f9a0b1c2d4e-000002-00-bbbb"`},
		{"3f9a0b1c2d4e-000002-00-a", 200, `"id":"3f9a0b1c2d4e-000002-00-aaaa"`},
		{"777777", 200, `"id":"77777777-000002-00-aaaa"`},
		{"77777", 404, "there is no message"},
		{"777778", 404, "there is no message"},
		{"3f9a0b", 409, "the IDs of 2 messages begin with"},
	} {
		t.Run(tt.ref, func(t *testing.T) {
			h.t = t
			if body := h.want(tt.status, "POST", Root+"/outbox/"+tt.ref+"/resend", ""); !strings.Contains(body, tt.says) {
				t.Errorf("says %s, want %q", body, tt.says)
			}
		})
	}
}

func TestTicketByBareNumber(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	for _, ref := range []string{"WB-1001", "wb-1001", "1001", "t-web1"} {
		if body := h.want(200, "GET", Root+"/tickets/"+ref, ""); !strings.Contains(body, `"number":"WB-1001"`) {
			t.Errorf("%s shows %s", ref, body)
		}
	}
	h.want(404, "GET", Root+"/tickets/1002", "")
}

// An alert fires on although its ticket was resolved by hand; another's ticket was resolved when it ended.
func TestAlertsNameResolvedTickets(t *testing.T) {
	h := newHouse(t)
	load := standing("web1", rules.Firing)
	id := rules.AlertID(load.Origin.ID, load.Alert.Labels)
	h.rules.alerts = []evaluate.Standing{load}
	of := func() *TicketRef {
		t.Helper()
		var list AlertList
		if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/alerts", "")), &list); err != nil || len(list.Alerts) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list.Alerts[0].Ticket
	}
	if got := of(); got != nil {
		t.Errorf("without a ticket: %+v", got)
	}
	h.openTicketFor(1001, "web1", id)
	if got := of(); got == nil || *got != (TicketRef{"t-web1", "WB-1001", ticket.New}) {
		t.Errorf("with an open one: %+v", got)
	}
	h.want(200, "POST", Root+"/tickets/WB-1001/resolve", `{"text":"mended"}`)
	if got := of(); got == nil || *got != (TicketRef{"t-web1", "WB-1001", ticket.Done}) {
		t.Errorf("resolved by hand: %+v", got)
	}
}

// TestAlertsSeverity: an alert counts in lists as what its ticket has it for, whatever its rule calls that, and so it is held back.
func TestAlertsSeverity(t *testing.T) {
	h := newHouse(t)
	h.opts.Silencer.(*quiet).windows = []incident.Window{windowOf(t, "warnings", `severity="warning"`, "- weekdays: [saturday]")}
	for word, want := range map[string]struct {
		severity incident.Severity
		held     bool
	}{"page": {incident.Critical, false}, "": {incident.Warning, true}, "none": {incident.Info, false}, "warning": {incident.Warning, true}} {
		one := standing("web1", rules.Firing)
		one.Alert.Labels = labels.NewBuilder(one.Alert.Labels).Set("severity", word).Labels()
		h.rules.alerts = []evaluate.Standing{one}
		var list AlertList
		if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/alerts", "")), &list); err != nil || len(list.Alerts) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		got := list.Alerts[0]
		if got.Severity != want.severity || got.Held() != want.held || got.Labels["severity"] != word {
			t.Errorf("%q is %q, held back: %v, labels %v; want %+v", word, got.Severity, got.Held(), got.Labels, want)
		}
	}
}

// TestAlertsServiceAndCustomer: what a rule does not say is in lists what its ticket has, so that they tell what holds it back.
func TestAlertsServiceAndCustomer(t *testing.T) {
	for _, holds := range []string{`service="node"`, `customer="operator"`} {
		h := newHouse(t)
		h.opts.Silencer.(*quiet).windows = []incident.Window{windowOf(t, "here", holds, "- weekdays: [saturday]")}
		one := standing("web1", rules.Firing)
		one.Alert.Labels = labels.NewBuilder(one.Alert.Labels).Del("service", "customer").Set("job", "node").Labels()
		h.rules.alerts = []evaluate.Standing{one}
		var list AlertList
		if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/alerts", "")), &list); err != nil || len(list.Alerts) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if got := list.Alerts[0]; got.Service != "node" || !got.Held() {
			t.Errorf("%s: service %q, held back: %v", holds, got.Service, got.Held())
		}
	}
}

func TestTicketTellsOfFrozenAlerts(t *testing.T) {
	h := newHouse(t)
	load := standing("web1", rules.Firing)
	h.openTicketFor(1001, "web1", rules.AlertID(load.Origin.ID, load.Alert.Labels))
	for _, why := range []string{"", "web1 is silent since 12:00:00"} {
		load.Unknown = why
		h.rules.alerts = []evaluate.Standing{load}
		var got Ticket
		if err := json.Unmarshal([]byte(h.want(200, "GET", Root+"/tickets/WB-1001", "")), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Alerts) != 1 || got.Alerts[0].Unknown != why || got.Alerts[0].Name != "FilesystemFull" {
			t.Errorf("alerts %+v, want one that is unknown: %q", got.Alerts, why)
		}
	}
}

func TestReadyAndReload(t *testing.T) {
	h := newHouse(t)
	h.ready = []string{"windows are being rebuilt"}
	if w := h.do("", "GET", "/-/ready", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "windows are being rebuilt") {
		t.Errorf("answered %d %q, want 503 with the reason", w.Code, w.Body)
	}
	if body := h.want(200, "POST", "/-/reload", ""); body != "{\"reloaded\":true,\"next_start\":[],\"warnings\":[]}\n" {
		t.Errorf("reload answered %s", body)
	}
	h.nextStart, h.warnings = []string{"storage.path"}, []string{"a.yml:7: unknown"}
	if body := h.want(200, "POST", "/-/reload", ""); body != "{\"reloaded\":true,\"next_start\":[\"storage.path\"],\"warnings\":[\"a.yml:7: unknown\"]}\n" {
		t.Errorf("reload answered %s", body)
	}
	h.reload = errors.Join(errors.New("a.yml:1: one"), fmt.Errorf("rules: %w", errors.Join(errors.New("b.yml:2: two"))))
	body := h.want(422, "POST", "/-/reload", "")
	for _, want := range []string{"a.yml:1: one", "b.yml:2: two", "nothing was reloaded"} {
		if !strings.Contains(body, want) {
			t.Errorf("reload answered %s, want it to say %q", body, want)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{Root + "/status", "/metrics", "/federate", "/-/healthy", "/nowhere"} {
		w := h.do(fleet.Admin, "GET", path, "")
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

func TestGauges(t *testing.T) {
	now := noon
	h := newHouse(t, func(o *Options) { o.Now = func() time.Time { return now } })
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(h.api.Collector())
	h.openTicket(1001, "web1")
	h.message("m1", outbox.Buried)
	h.report("web1", noon, window.OK, map[string]float64{`node_load1`: 1})
	flapping := 0
	expect := func(requests, tickets string) {
		t.Helper()
		want := fmt.Sprintf(`# HELP watchbill_api_requests_total Requests on the operators' listener, by the HTTP status of the answer.
# TYPE watchbill_api_requests_total counter
%s# HELP watchbill_assets Assets of the fleet, by whether they report (reporting, silent, never).
# TYPE watchbill_assets gauge
watchbill_assets{state="never"} 3
watchbill_assets{state="reporting"} 1
watchbill_assets{state="silent"} 0
# HELP watchbill_build_info Always 1; the labels say which program this is.
# TYPE watchbill_build_info gauge
watchbill_build_info{goversion="go1.26",platform="linux/amd64",revision="0123abc",version="v0.1.0"} 1
# HELP watchbill_outbox_messages Messages not delivered yet, by state (queued, buried, parked).
# TYPE watchbill_outbox_messages gauge
watchbill_outbox_messages{state="buried"} 1
watchbill_outbox_messages{state="parked"} 0
watchbill_outbox_messages{state="queued"} 0
# HELP watchbill_tickets Open tickets.
# TYPE watchbill_tickets gauge
%s# HELP watchbill_tickets_flapping Open tickets whose alerts go up and down, told once and counted since.
# TYPE watchbill_tickets_flapping gauge
watchbill_tickets_flapping %d
`, requests, tickets, flapping)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	h.do("", "GET", Root+"/tickets", "")
	refused := "watchbill_api_requests_total{code=\"401\"} 1\n"
	expect(refused, "watchbill_tickets{customer=\"acme\",priority=\"P1\",state=\"new\"} 1\n")
	h.want(200, "POST", Root+"/tickets/WB-1001/ack", `{}`)
	both := "watchbill_api_requests_total{code=\"200\"} 1\n" + refused
	now = now.Add(900 * time.Millisecond)
	expect(both, "watchbill_tickets{customer=\"acme\",priority=\"P1\",state=\"new\"} 1\n") // within the second: as read before
	now = now.Add(200 * time.Millisecond)
	expect(both, "watchbill_tickets{customer=\"acme\",priority=\"P1\",state=\"acknowledged\"} 1\n")
	h.flap("WB-1002", "web2", 9, 0)
	h.flap("WB-1003", "db1", 10, time.Hour) // settled, and fires
	now, flapping = now.Add(time.Second), 1
	expect(both, "watchbill_tickets{customer=\"acme\",priority=\"P1\",state=\"acknowledged\"} 1\n"+
		"watchbill_tickets{customer=\"acme\",priority=\"P1\",state=\"reopened\"} 2\n")
}

func TestGaugesOfABrokenStore(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHouse(t, func(o *Options) {
		o.Store = brokenStore{o.Store, store.ErrDamaged}
		o.Gatherer = reg
	})
	reg.MustRegister(h.api.Collector())
	w := h.do(fleet.Scrape, "GET", "/metrics", "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "watchbill_build_info") || strings.Contains(w.Body.String(), "watchbill_tickets{") {
		t.Errorf("answered %d:\n%s\nwant what can be read, and no count that cannot", w.Code, w.Body)
	}
}
