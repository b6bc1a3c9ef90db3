package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// alertFeed is Alertmanager's API v2 under /api/v2/, but for silences: who sends alerts has a token with the right to feed, who reads one
// with the right to read, as bearer or as the password of basic authentication. On loopback reading is open, as of
// /federate. Errors are JSON strings there, as Alertmanager's are. The handler behind it finds who asks by fleet.Asking.
func (a *API) alertFeed() http.Handler {
	if a.o.Alertmanager == nil {
		return reserved("Alertmanager's HTTP API")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		right := fleet.MayRead
		if r.Method == http.MethodPost {
			right = fleet.MayFeed
		}
		if !a.open(r) {
			who, err := a.authenticateProgram(r, right)
			if err != nil {
				if right == fleet.MayFeed {
					err = senderWanted(err)
				}
				a.failString(w, err)
				return
			}
			r = r.WithContext(fleet.WithAsking(r.Context(), who))
		}
		rc := http.NewResponseController(w)
		_ = rc.SetWriteDeadline(time.Now().Add(answerTimeout + readTimeout)) // tests' recorders have none
		r.Body = inTime(rc, r.Body, r.ContentLength)
		a.o.Alertmanager.ServeHTTP(w, r)
	})
}

// open tells that a request only reads, on a loopback listener, and says nothing of who asks.
func (a *API) open(r *http.Request) bool {
	return onlyReads(r) && a.o.Loopback && fromLoopback(r) &&
		r.Header.Get("Authorization") == ""
}

// senderWanted is err with what a program that sends alerts needs, where nobody was named at all.
func senderWanted(err error) error {
	e := *explain(err)
	if e.Code != "unauthenticated" {
		return err
	}
	e.Hint = "send one as `Authorization: Bearer TOKEN` or as the password of basic authentication; an administrator makes one " +
		"with `watchbill operator add NAME --role sender`"
	return &e
}

// failString answers with err as Alertmanager tells errors.
func (a *API) failString(w http.ResponseWriter, err error) {
	e := explain(err)
	if e.Status >= http.StatusInternalServerError {
		a.o.Logger.Error("request failed", "status", e.Status, "err", err)
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="watchbill"`)
	}
	a.writeString(w, e.Status, e.Error())
}

// writeString answers an error as Alertmanager does.
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
