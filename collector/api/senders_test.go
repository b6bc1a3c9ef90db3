package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// TestMisdirectedSenders: a program that sends where others of its kind are sent to is told where to send, and so is the log,
// once a minute, without its token.
func TestMisdirectedSenders(t *testing.T) {
	var log bytes.Buffer
	now := noon
	h := newHouse(t, func(o *Options) {
		o.Logger, o.Now = slog.New(slog.NewTextHandler(&log, nil)), func() time.Time { return now }
		o.Alertmanager = http.NotFoundHandler() // which is not reached
	})
	handler := h.api.Handler()
	post := func(path, token string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", path, strings.NewReader("[]"))
		r.Header.Set("User-Agent", "Prometheus/2.42.0")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/alertmanager/api/v2/alerts", "/webhook", "/write", "/api/v1/push", "/api/v1/alerts", "/api/v1/receive"} {
		w := post(path, "")
		for _, want := range []string{"/api/v2/alerts", "/api/v2/webhook", "/api/v1/write"} {
			if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: %d %s, want 404 or 405 and %s", path, w.Code, w.Body, want)
			}
		}
	}
	if n := strings.Count(log.String(), "a sender was refused"); n != 1 || !strings.Contains(log.String(), "address=192.0.2.1 path=/alertmanager/api/v2/alerts program=Prometheus/2.42.0 status=404") {
		t.Errorf("%d lines, want one:\n%s", n, &log)
	}
	now = now.Add(toldAgain)
	post("/webhook", "")
	post("/api/v2/alerts", "wbo_nobodys")
	post("/api/v2/webhook", "")
	post("/api/v2/alerts", h.tokens[fleet.Viewer])
	if n := strings.Count(log.String(), "a sender was refused"); n != 5 || strings.Contains(log.String(), "wbo_nobodys") ||
		!strings.Contains(log.String(), `status=401 reason="its token is not known"`) || !strings.Contains(log.String(), `status=401 reason="it sent no token"`) ||
		!strings.Contains(log.String(), `status=403 reason="its token may not send"`) {
		t.Errorf("%d lines, want five, none with a token:\n%s", n, &log)
	}
	log.Reset()
	r := httptest.NewRequest("POST", "/api/v2/alerts", strings.NewReader("[]"))
	r.SetBasicAuth("any", h.tokens[fleet.Admin])
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if !strings.Contains(log.String(), `status=403 reason="a page of another site had a browser send it"`) {
		t.Errorf("of another site's page the log says %s", &log)
	}
	log.Reset()
	for i := range 2 * toldMost {
		h.api.turned.due(strings.Repeat("x", i), "no", now)
	}
	if n := len(h.api.turned.told); n > toldMost {
		t.Errorf("%d addresses are kept, want %d at most", n, toldMost)
	}
}

// TestReadersAreNoSenders: who asks something that is asked with POST, and may not, is no sender that the log has to tell of.
func TestReadersAreNoSenders(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	silence := `{"id":"22222222-2222-4222-8222-222222222222","matchers":[{"name":"a","value":"1","isRegex":false}],
		"startsAt":"2026-11-21T12:00:00Z","endsAt":"2026-11-21T13:00:00Z","createdBy":"x","comment":"y"}`
	for _, c := range []struct {
		path string
		who  fleet.Role
		want int
	}{
		{"/api/v1/query", "", 401}, {"/api/v1/query", fleet.Sender, 403}, {"/api/v2/silences", "", 401}, {"/api/v2/silences", fleet.Viewer, 403},
		{"/api/v2/silences", fleet.Responder, 404}, {"/-/reload", "", 401}, {"/-/reload", fleet.Viewer, 403},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader(silence))
		r.Header.Set("Content-Type", "application/json")
		if c.who != "" {
			r.Header.Set("Authorization", "Bearer "+h.tokens[c.who])
		}
		w := httptest.NewRecorder()
		if h.handler.ServeHTTP(w, r); w.Code != c.want || strings.Contains(log.String(), "a sender was refused") {
			t.Errorf("%s of %q: %d %s, want %d and no line:\n%s", c.path, c.who, w.Code, w.Body, c.want, &log)
		}
		log.Reset()
	}
}
