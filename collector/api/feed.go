package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// alertFeed is Alertmanager's API v2 under /api/v2/: who sends alerts has a token with the right to feed, who reads one
// with the right to read, as bearer or as the password of basic authentication. On loopback reading is open, as of
// /federate. Errors are JSON strings there, as Alertmanager's are. The handlers behind it find who asks by fleet.Asking;
// those of silences decide themselves who may change one.
func (a *API) alertFeed() http.Handler {
	if a.o.Alertmanager == nil {
		return reserved("Alertmanager's HTTP API")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next, right := a.o.Alertmanager, fleet.MayRead
		switch of := strings.TrimPrefix(r.URL.Path, "/api/v2/"); {
		case a.o.Silences != nil && (of == "silences" || strings.HasPrefix(of, "silence/")):
			next = a.o.Silences
		case r.Method == http.MethodPost:
			right = fleet.MayFeed
		}
		open := (r.Method == http.MethodGet || r.Method == http.MethodHead) && a.o.Loopback && fromLoopback(r)
		if !open || r.Header.Get("Authorization") != "" {
			who, err := a.authenticatePeer(r, right)
			if err != nil {
				e := explain(err)
				if e.Status == http.StatusUnauthorized {
					w.Header().Set("WWW-Authenticate", `Basic realm="watchbill"`)
				}
				a.writeString(w, e.Status, e.Error())
				return
			}
			r = r.WithContext(fleet.WithAsking(r.Context(), who))
		}
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(answerTimeout + readTimeout)) // tests' recorders have none
		r.Body = inTime(rc, r.Body, r.ContentLength)
		next.ServeHTTP(w, r)
	})
}

// authenticatePeer is authenticate for programs of others, which know basic authentication alone, or both.
func (a *API) authenticatePeer(r *http.Request, right fleet.Right) (fleet.Operator, error) {
	if _, token, ok := r.BasicAuth(); ok {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return a.authenticate(r, right)
}

func (a *API) writeString(w http.ResponseWriter, status int, text string) {
	b, err := json.Marshal(text)
	if err != nil { // a string is always encoded
		b = []byte(`""`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		a.o.Logger.Debug("an answer was not taken", "err", err)
	}
}
