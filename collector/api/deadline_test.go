package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
)

// patient is an answer whose connection notes until when it is read from.
type patient struct {
	*httptest.ResponseRecorder
	until []time.Time
}

func (p *patient) SetReadDeadline(at time.Time) error {
	p.until = append(p.until, at)
	return nil
}

// TestOnlyTheBodyHasToComeInTime: a deadline that stood while the answer is made would end a backup, or a long report, as if
// the client had gone.
func TestOnlyTheBodyHasToComeInTime(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	for name, c := range map[string]struct {
		method, path, body string
		timed, whole       bool
	}{
		"no body":          {"GET", Root + "/backup", "", false, false},
		"a body":           {"POST", Root + "/tickets/WB-1001/note", `{"text":"seen"}`, true, true},
		"one that is none": {"POST", Root + "/tickets/WB-1001/note", `{"text":`, true, true},
		"too much of it":   {"POST", Root + "/tickets/WB-1001/note", `{"text":"` + strings.Repeat("x", bodyLimit) + `"}`, true, false},
		"a form":           {"POST", "/rate/WB-1001/token", "score=9", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Admin])
			if c.path[:5] == "/rate" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if c.body == "" {
				r.Body, r.ContentLength = http.NoBody, 0
			}
			w := &patient{ResponseRecorder: httptest.NewRecorder()}
			h.handler.ServeHTTP(w, r)
			if !c.timed {
				if len(w.until) != 0 {
					t.Errorf("read until %v, although nothing comes", w.until)
				}
				return
			}
			if len(w.until) == 0 || w.until[0].IsZero() || w.until[len(w.until)-1].IsZero() != c.whole {
				t.Errorf("read until %v; want a deadline, and none any more once all of the body is read: %v", w.until, c.whole)
			}
		})
	}
}
