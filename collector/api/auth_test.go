package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
)

// mayCall is who may call what, written down a second time so that a slip in the table is seen.
var mayCall = map[string][]fleet.Role{
	"GET /{$}":                               {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /tickets":                           {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /tickets/{ref}":                     {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /tickets/{ref}/chain":               {fleet.Admin, fleet.Responder, fleet.Viewer},
	"POST /tickets/{ref}/{verb}":             {fleet.Admin, fleet.Responder},
	"GET /assets":                            {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /assets/{name}":                     {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /alerts":                            {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /rules":                             {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /outbox":                            {fleet.Admin, fleet.Responder, fleet.Viewer},
	"POST /outbox/{id}/resend":               {fleet.Admin, fleet.Responder},
	"DELETE /outbox/{id}":                    {fleet.Admin, fleet.Responder},
	"GET /agents":                            {fleet.Admin, fleet.Responder, fleet.Viewer},
	"POST /agents/{id}/revoke":               {fleet.Admin},
	"GET /authorities":                       {fleet.Admin, fleet.Responder, fleet.Viewer},
	"POST /authorities/rotate":               {fleet.Admin},
	"POST /authorities/{fingerprint}/retire": {fleet.Admin},
	"GET /tokens":                            {fleet.Admin},
	"POST /tokens":                           {fleet.Admin},
	"GET /operators":                         {fleet.Admin},
	"POST /operators":                        {fleet.Admin},
	"DELETE /operators/{name}":               {fleet.Admin},
	"GET /status":                            {fleet.Admin, fleet.Responder, fleet.Viewer},
	"GET /backup":                            {fleet.Admin},
	"GET /openapi.json":                      {fleet.Admin, fleet.Responder, fleet.Viewer},
	"POST /-/reload":                         {fleet.Admin},
	"GET /metrics":                           {fleet.Admin, fleet.Responder, fleet.Viewer, fleet.Scrape},
	"GET /federate":                          {fleet.Admin, fleet.Responder, fleet.Viewer, fleet.Scrape},
}

func TestEveryEndpointAsEveryRole(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	for _, e := range endpoints() {
		if _, ok := mayCall[e.pattern]; !ok {
			t.Errorf("%s is not in the test's table of who may call what", e.pattern)
		}
	}
	for pattern, roles := range mayCall {
		method, path := splitPattern(pattern)
		if _, under := strings.CutPrefix(path, "/-/"); !under && path != "/metrics" && path != "/federate" {
			path = Root + path
		}
		path = strings.NewReplacer("{$}", "", "{ref}", "WB-1001", "{verb}", "note", "{id}", "nobody", "{name}", "nobody").Replace(path)
		for _, role := range append(fleet.Roles(), "", "stranger") {
			t.Run(pattern+" as "+string(role), func(t *testing.T) {
				h.t = t
				h.tokens["stranger"] = "wbo_0000000000000000000000000000000000000000000"
				w := h.do(role, method, path, `{}`)
				denied := w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden
				switch {
				case role == "" || role == "stranger":
					if w.Code != http.StatusUnauthorized {
						t.Errorf("answered %d, want 401: %s", w.Code, w.Body)
					}
					if w.Header().Get("WWW-Authenticate") == "" {
						t.Error("401 without WWW-Authenticate")
					}
				case slices.Contains(roles, role) && denied:
					t.Errorf("answered %d, but %s may: %s", w.Code, role, w.Body)
				case !slices.Contains(roles, role) && w.Code != http.StatusForbidden:
					t.Errorf("answered %d, want 403: %s", w.Code, w.Body)
				}
				if denied && !strings.Contains(w.Body.String(), `"hint":"`) {
					t.Errorf("a refusal must say what to do: %s", w.Body)
				}
			})
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

func TestBasicPasswordOpensNothingButScraping(t *testing.T) {
	h := newHouse(t)
	r := httptest.NewRequestWithContext(t.Context(), "GET", Root+"/tickets", nil)
	r.SetBasicAuth("the-admin", h.tokens[fleet.Admin])
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("answered %d, want 401: a browser would send a password by itself", w.Code)
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
