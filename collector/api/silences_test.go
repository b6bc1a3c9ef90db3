package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
)

// quiet keeps silences in memory.
type quiet struct {
	all     []incident.Muting
	windows []incident.Window
}

func (q *quiet) Silences() []incident.Muting    { return q.all }
func (q *quiet) Maintenance() []incident.Window { return q.windows }
func (q *quiet) SetSilence(_ context.Context, m incident.Muting) (string, error) {
	put, err := incident.SetMuting(q.all, m, "11111111-1111-4111-8111-111111111111", noon)
	if err == nil {
		q.all = append(q.all, put[0])
		return put[0].ID, nil
	}
	return "", err
}
func (q *quiet) ExpireSilence(context.Context, string, string) error { return incident.ErrNoMuting }
func (q *quiet) MutedBy(a incident.Alert) []incident.MutedBy {
	return incident.NewMuter(q.all, q.windows, nil).By(a, noon)
}

// TestSilenceWantsJSON: a form of a page that a browser sends with what it knows of a log-in is not taken.
func TestSilenceWantsJSON(t *testing.T) {
	h := newHouse(t)
	body := `{"matchers":[{"name":"a","value":"1","isRegex":false}],"startsAt":"2026-11-21T12:00:00Z","endsAt":"2026-11-21T13:00:00Z","createdBy":"x","comment":"y"}`
	for kind, want := range map[string]int{"application/json": 200, "application/json; charset=utf-8": 200, "text/plain": 415, "": 415} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v2/silences", strings.NewReader(body))
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Authorization", "Bearer "+h.tokens[fleet.Responder])
		res := httptest.NewRecorder()
		if h.handler.ServeHTTP(res, req); res.Code != want {
			t.Errorf("%q: %d %s, want %d", kind, res.Code, res.Body, want)
		}
	}
}

func TestSigned(t *testing.T) {
	for _, c := range [][3]string{{"", "ada", "ada"}, {"ada", "ada", "ada"}, {"jane", "ada", "jane (by ada)"}, {"jane (by ada)", "ada", "jane (by ada)"},
		{"jane (by ada)", "bob", "jane (by ada) (by bob)"}} {
		if got := signed(c[0], c[1]); got != c[2] {
			t.Errorf("%q from %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// FuzzDecodeSilence: what comes is refused in Alertmanager's form, or is what was written.
func FuzzDecodeSilence(f *testing.F) {
	f.Add([]byte(`{"matchers":[{"name":"a","value":"1","isRegex":false}],"startsAt":"2026-11-21T12:00:00Z","endsAt":"2026-11-21T13:00:00.5+01:00","createdBy":"x","comment":"y"}`))
	f.Add([]byte(`{"id":"x","matchers":[{"name":"a","value":"(","isRegex":true,"isEqual":false},null],"startsAt":"","endsAt":"0","createdBy":null,"comment":""}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeSilence(body)
		if err != nil {
			var fault *amFault
			if !errors.As(err, &fault) || fault.status < 400 || fault.body == nil {
				t.Errorf("%v", err)
			}
			return
		}
		if len(m.Matchers) == 0 {
			t.Error("it asks for nothing")
		}
		_ = m.Validate()
		if m.StartsAt.Location() != time.UTC || m.EndsAt.Location() != time.UTC {
			t.Error("its times are not UTC")
		}
		sent, err := json.Marshal(silenceRow(m, noon))
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSilence(sent)
		if err != nil && !strings.Contains(err.Error(), "date-time") { // years of five digits
			t.Errorf("%s is not read again: %v", sent, err)
		}
		if err == nil && (len(again.Matchers) != len(m.Matchers) || again.Comment != m.Comment) {
			t.Errorf("%+v became %+v", m, again)
		}
	})
}
