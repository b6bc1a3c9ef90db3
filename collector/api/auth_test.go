package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// wants is which right each endpoint asks for, written down a second time so that a slip in the table is seen. Who has which
// right is fleet's table, which has a golden of its own.
var wants = map[string]fleet.Right{
	"GET /{$}": fleet.MayRead, "GET /tickets": fleet.MayRead, "POST /tickets": fleet.MayOpen, "GET /tickets/{ref}": fleet.MayRead,
	"GET /tickets/{ref}/chain": fleet.MayRead, "GET /tickets/{ref}/clocks": fleet.MayRead, "POST /tickets/{ref}/{verb}": fleet.MayRead,
	"GET /rebase": fleet.MayRebase, "GET /policies": fleet.MayRead,
	"GET /customers": fleet.MayRead, "GET /customers/{id}": fleet.MayRead, "PUT /customers/{id}": fleet.MayEditCustomers,
	"DELETE /customers/{id}": fleet.MayEditCustomers, "GET /departments": fleet.MayRead, "GET /departments/{id}": fleet.MayRead,
	"PUT /departments/{id}": fleet.MayEditCustomers, "DELETE /departments/{id}": fleet.MayEditCustomers, "GET /people": fleet.MayRead,
	"PUT /people/{id}": fleet.MayEditCustomers, "DELETE /people/{id}": fleet.MayEditCustomers, "GET /contracts": fleet.MayRead,
	"GET /contacts": fleet.MayRead, "PUT /contacts": fleet.MayAdminister,
	"GET /approved-software": fleet.MayRead, "PUT /approved-software": fleet.MayAdminister,
	"GET /contracts/{id}": fleet.MayRead, "GET /export": fleet.MayRead, "GET /oncall": fleet.MayRead, "GET /oncall/overrides": fleet.MayRead,
	"POST /oncall/overrides": fleet.MayOverrideRota, "DELETE /oncall/overrides/{id}": fleet.MayOverrideRota,
	"GET /reports/{report}": fleet.MayReport, "GET /intakes": fleet.MayRead, "POST /intakes/{name}/read": fleet.MayWork,
	"GET /assets": fleet.MayRead, "GET /assets/{name}": fleet.MayRead, "GET /alerts": fleet.MayRead, "GET /maintenance": fleet.MayRead, "GET /rules": fleet.MayRead,
	"GET /outbox": fleet.MayRead, "POST /outbox/{id}/resend": fleet.MayResend, "DELETE /outbox/{id}": fleet.MayResend,
	"GET /agents": fleet.MayRead, "POST /agents/{id}/revoke": fleet.MayAdminister, "GET /authorities": fleet.MayRead,
	"POST /authorities/rotate": fleet.MayAdminister, "POST /authorities/{fingerprint}/retire": fleet.MayAdminister,
	"GET /tokens": fleet.MayAdminister, "POST /tokens": fleet.MayAdminister, "GET /operators": fleet.MayAdminister,
	"POST /operators": fleet.MayAdminister, "DELETE /operators/{name}": fleet.MayAdminister, "GET /status": fleet.MayRead,
	"GET /backup": fleet.MayAdminister, "GET /openapi.json": fleet.MayRead, "POST /-/reload": fleet.MayAdminister,
	"GET /metrics": fleet.MayScrape, "GET /federate": fleet.MayScrape,
}

// operator is who has the token of a role.
func (h *house) operator(role fleet.Role) fleet.Operator {
	who, _ := h.fleet.Authenticate(h.tokens[role])
	return who
}

func TestEveryEndpointAsEveryRole(t *testing.T) {
	h := newHouse(t)
	h.everyRole()
	h.openTicket(1001, "web1")
	h.tokens["stranger"] = "wbo_0000000000000000000000000000000000000000000"
	for _, e := range endpoints() {
		if right, ok := wants[e.pattern]; !ok || right != e.right {
			t.Errorf("%s asks for the right to %q; the test's table says %q", e.pattern, e.right, right)
		}
	}
	for pattern, right := range wants {
		method, path := splitPattern(pattern)
		if _, under := strings.CutPrefix(path, "/-/"); !under && path != "/metrics" && path != "/federate" {
			path = Root + path
		}
		path = strings.NewReplacer("{$}", "", "{ref}", "WB-1001", "{verb}", "note", "{id}", "nobody", "{name}", "nobody", "{report}", "sla").Replace(path)
		for _, role := range append(fleet.AllRoles(), "", "stranger") {
			t.Run(pattern+" as "+string(role), func(t *testing.T) {
				h.t = t
				w := h.do(role, method, path, `{}`)
				who := h.operator(role)
				may := who.May(right) && (pattern != "POST /tickets/{ref}/{verb}" || who.May(fleet.MayWork) || who.May(fleet.MayReply))
				denied := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden
				switch {
				case role == "" || role == "stranger":
					if w.Code != http.StatusUnauthorized {
						t.Errorf("answered %d, want 401: %s", w.Code, w.Body)
					}
					if w.Header().Get("WWW-Authenticate") == "" {
						t.Error("401 without WWW-Authenticate")
					}
				case may && denied:
					t.Errorf("answered %d, but %s may: %s", w.Code, role, w.Body)
				case !may && w.Code != http.StatusForbidden:
					t.Errorf("answered %d, want 403: %s", w.Code, w.Body)
				}
				if denied && !strings.Contains(w.Body.String(), `"hint":"`) {
					t.Errorf("a refusal must say what to do: %s", w.Body)
				}
			})
		}
	}
}

// TestEveryVerbAsEveryRole: each verb has a right of its own, and who lacks it is refused it on a ticket that they see.
func TestEveryVerbAsEveryRole(t *testing.T) {
	h := newHouse(t)
	h.everyRole()
	h.openTicket(1001, "web1")
	for _, verb := range ticket.Verbs {
		use, ok := verbUses[verb]
		if !ok {
			t.Errorf("nobody may %q: add it to the table of verbs", verb)
		}
		for _, role := range fleet.AllRoles() {
			w := h.do(role, "POST", Root+"/tickets/WB-1001/"+string(verb), `{"txt":"no such field: nothing happens"}`)
			want := http.StatusBadRequest
			if who := h.operator(role); !who.May(fleet.MayRead) || !who.May(use.Right) {
				want = http.StatusForbidden
				if verb == ticket.Note && who.May(fleet.MayReply) {
					want = http.StatusBadRequest
				}
			}
			if w.Code != want {
				t.Errorf("%s as %s answered %d, want %d: %s", verb, role, w.Code, want, w.Body)
			}
		}
	}
	for verb := range verbUses {
		if !slices.Contains(ticket.Verbs, verb) {
			t.Errorf("%q is in the table of verbs and no ticket knows it", verb)
		}
	}
}

func TestOpenPathsNeedNoToken(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		if w := h.do("", "GET", path, ""); w.Code != http.StatusOK {
			t.Errorf("%s answered %d without a token, want 200", path, w.Code)
		}
	}
}

func TestScrapeOnLoopback(t *testing.T) {
	tests := []struct {
		name     string
		loopback bool
		host     string
		header   [2]string
		want     int
	}{
		{"loopback address", true, "127.0.0.1:9720", [2]string{}, 200},
		{"another loopback address", true, "127.8.8.8:9720", [2]string{}, 200},
		{"localhost", true, "LocalHost:9720", [2]string{}, 200},
		{"IPv6 loopback", true, "[::1]:9720", [2]string{}, 200},
		{"IPv6 loopback without port", true, "[::1]", [2]string{}, 200},
		{"a name that was rebound to loopback", true, "evil.example:9720", [2]string{}, 401},
		{"a name that begins like localhost", true, "localhost.evil.example", [2]string{}, 401},
		{"an address from outside", true, "192.0.2.1:9720", [2]string{}, 401},
		{"no host", true, "", [2]string{}, 401},
		{"passed on by a proxy", true, "127.0.0.1:9720", [2]string{"X-Forwarded-For", "192.0.2.1"}, 401},
		{"listener open to the network", false, "127.0.0.1:9720", [2]string{}, 401},
		{"bearer", false, "mon.example", [2]string{"Authorization", "Bearer TOKEN"}, 200},
		{"bearer in small letters", false, "mon.example", [2]string{"Authorization", "bearer TOKEN"}, 200},
		{"wrong bearer", false, "mon.example", [2]string{"Authorization", "Bearer wbo_no"}, 401},
		{"basic password", false, "mon.example", [2]string{"Authorization", "Basic BASIC"}, 200},
	}
	for _, path := range []string{"/metrics", "/federate"} {
		for _, tt := range tests {
			t.Run(path+" "+tt.name, func(t *testing.T) {
				h := newHouse(t, func(o *Options) { o.Loopback = tt.loopback })
				token := h.tokens[fleet.Scrape]
				r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
				r.Host = tt.host
				if tt.header[0] != "" {
					basic := base64.StdEncoding.EncodeToString([]byte("anyone:" + token))
					r.Header.Set(tt.header[0], strings.NewReplacer("TOKEN", token, "BASIC", basic).Replace(tt.header[1]))
				}
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, r)
				if w.Code != tt.want {
					t.Errorf("answered %d, want %d: %s", w.Code, tt.want, w.Body)
				}
			})
		}
	}
}

// TestBasicPasswordReadsAlone: a browser sends a password by itself, with what any page has it send. So it opens nothing
// that changes something, and not what only an administrator may have.
func TestBasicPasswordReadsAlone(t *testing.T) {
	h := newHouse(t)
	for _, e := range endpoints() {
		method, path := splitPattern(e.pattern)
		path = Root + strings.NewReplacer("{$}", "", "{ref}", "WB-1", "{verb}", "ack", "{id}", "x", "{name}", "web1", "{report}", "sla",
			"{fingerprint}", "x").Replace(path)
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.SetBasicAuth("the-admin", h.tokens[fleet.Admin])
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if open := w.Code != http.StatusUnauthorized; open != (method == "GET" && e.right == fleet.MayRead) {
			t.Errorf("%s %s: answered %d", method, path, w.Code)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		r := httptest.NewRequestWithContext(t.Context(), method, Root+"/tickets/WB-1/ack", strings.NewReader("{}"))
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if strings.Contains(strings.Join(w.Header().Values("WWW-Authenticate"), ""), "Basic") {
			t.Errorf("%s: a password is asked for that opens nothing", method)
		}
	}
}

// TestBrowserFollowsLink: it asks without a password, is told that it could have one, and gets in with it.
func TestBrowserFollowsLink(t *testing.T) {
	h := newHouse(t)
	const accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
	ask := func(path, accept, password string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", Root+path, nil)
		r.Header.Set("Accept", accept)
		if password != "" {
			r.SetBasicAuth("anybody", password)
		}
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		path, accept, password string
		status                 int
		basic                  bool
	}{
		{"/assets/web1", accept, "", 401, true},
		{"/assets/web1", accept, "wbo_no", 401, true},
		{"/assets/web1", accept, h.tokens[fleet.Viewer], 200, false},
		{"/assets/web1", accept, h.tokens[fleet.Sender], 403, false},
		{"/assets/web1", "application/json", "", 401, false},
		{"/backup", accept, "", 401, false},
	} {
		w := ask(c.path, c.accept, c.password)
		offers := strings.Join(w.Header().Values("WWW-Authenticate"), "; ")
		if w.Code != c.status || strings.Contains(offers, "Basic ") != c.basic || strings.Contains(offers, "Bearer ") != (c.status == 401) {
			t.Errorf("%+v: %d, challenges %q: %s", c, w.Code, offers, w.Body)
		}
	}
}

// TestOtherSitesPageSendsNothing: a page of another site cannot use a password that a browser knows to silence or to feed
// alerts or samples; programs, and pages of the same site, can. A token that a program names itself is no such password.
func TestOtherSitesPageSendsNothing(t *testing.T) {
	took := 0
	h := newHouse(t, func(o *Options) {
		take := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { took++ })
		o.Alertmanager, o.RemoteWrite = take, take
	})
	send := func(path string, header [2]string, want int, authorize func(*http.Request)) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(`{"matchers":[{"name":"a","value":"1","isRegex":false}],`+
			`"startsAt":"2026-11-21T12:00:00Z","endsAt":"2026-11-21T13:00:00Z","createdBy":"x","comment":"y"}`))
		authorize(r)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set(header[0], header[1])
		w := httptest.NewRecorder()
		if h.handler.ServeHTTP(w, r); w.Code != want || want == 403 && !strings.Contains(w.Body.String(), "a page of another site") {
			t.Errorf("%s with %v: %d %s, want %d", path, header, w.Code, w.Body, want)
		}
	}
	paths := []string{"/api/v2/alerts", "/api/v2/silences", "/api/v1/write"}
	for header, want := range map[[2]string]int{
		{"Sec-Fetch-Site", "cross-site"}: 403, {"Sec-Fetch-Site", "same-site"}: 403, {"Origin", "https://evil.example"}: 403, {"Origin", "null"}: 403,
		{"Sec-Fetch-Site", "same-origin"}: 200, {"User-Agent", "amtool"}: 200,
	} {
		for _, path := range paths {
			send(path, header, want, func(r *http.Request) { r.SetBasicAuth("the-admin", h.tokens[fleet.Admin]) })
		}
	}
	for _, path := range paths {
		send(path, [2]string{"Origin", "https://console.example"}, 200, func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Admin])
		})
	}
	if took != 6 {
		t.Errorf("%d requests with alerts or samples came through, want 6", took)
	}
}

func TestNoOperatorYet(t *testing.T) {
	h := newHouse(t, func(o *Options) { o.Fleet = emptyFleet{o.Fleet} })
	w := h.do("", "GET", Root+"/tickets", "")
	if w.Code != 401 || !strings.Contains(w.Body.String(), `"no_operators"`) || !strings.Contains(w.Body.String(), "watchbill operator add") {
		t.Errorf("answered %d %s, want 401 that says how to make the first operator", w.Code, w.Body)
	}
}

type emptyFleet struct{ Fleet }

func (emptyFleet) Operators() []fleet.Operator { return nil }
