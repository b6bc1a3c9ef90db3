package api

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// sendHere says where other programs send, for one that sends elsewhere.
const sendHere = "alerts are sent to /api/v2/alerts, Alertmanager's and Grafana's webhooks to /api/v2/webhook, samples by remote write to /api/v1/write"

// sendPaths are the paths of sendHere.
var sendPaths = []string{"/api/v2/alerts", "/api/v2/webhook", PrometheusRoot + "/write"}

// misdirected answers a program that sends where others of its kind are sent to.
func (a *API) misdirected(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == PrometheusRoot+"/alerts" { // which is Prometheus' too, and read
		w.Header().Set("Allow", http.MethodGet)
		a.fail(w, r, refusal(http.StatusMethodNotAllowed, "method_not_allowed", sendHere, "%s is not asked with %s", r.URL.Path, r.Method))
		return
	}
	a.fail(w, r, refusal(http.StatusNotFound, "not_found", sendHere, "there is nothing at %s %s", r.Method, r.URL.Path))
}

// Refused senders are told of in the log, for they often tell nobody themselves: one line for an address and a reason in
// toldAgain, of toldMost at most at a time.
const (
	toldAgain = time.Minute
	toldMost  = 256
)

// turnedAway is what the log said of refused senders, and when.
type turnedAway struct {
	mu   sync.Mutex
	told map[[2]string]time.Time
}

// due tells whether a line is to be written now.
func (t *turnedAway) due(address, why string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{address, why}
	if at, ok := t.told[key]; ok && now.Sub(at) < toldAgain {
		return false
	}
	if len(t.told) >= toldMost {
		for k, at := range t.told {
			if now.Sub(at) >= toldAgain {
				delete(t.told, k)
			}
		}
		if len(t.told) >= toldMost {
			return false
		}
	}
	if t.told == nil {
		t.told = map[[2]string]time.Time{}
	}
	t.told[key] = now
	return true
}

// tellRefused logs that a program was not allowed to send, or sends where nothing is. The token is never told. Who may not
// read, or not silence, is no sender.
func (a *API) tellRefused(r *http.Request, status int) {
	if r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, Root+"/") || r.URL.Path == silencesPath {
		return
	}
	taken, why := slices.Contains(sendPaths, r.URL.Path), ""
	switch {
	case status == http.StatusUnauthorized && taken:
		if why = "its token is not known"; r.Header.Get("Authorization") == "" {
			why = "it sent no token"
		}
	case status == http.StatusForbidden && taken:
		if why = "its token may not send"; byOtherSite(r) {
			why = "a page of another site had a browser send it"
		}
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		why = "nothing is sent there: " + sendHere
	default:
		return
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	if a.turned.due(address, why, a.o.Now()) {
		a.o.Logger.Warn("a sender was refused", slog.String("address", address), slog.String("path", short(r.URL.Path)),
			slog.String("program", short(r.UserAgent())), slog.Int("status", status), slog.String("reason", why))
	}
}

// short bounds what a stranger can write into the log.
func short(s string) string { return s[:min(len(s), 100)] }
