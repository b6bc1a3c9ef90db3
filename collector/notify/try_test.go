package notify

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/outbox"
)

// A test reaches every kind of receiver, says that it is one, and takes back a page.
func TestTry(t *testing.T) {
	calls := map[string]int32{"slack": 1, "teams": 1, "webhook": 1, "alertmanager": 1, "pagerduty": 2}
	for kind, want := range calls {
		code := http.StatusOK
		d := newDesk(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		r := Receiver{Name: "x"}
		switch kind {
		case "webhook":
			r.Webhook = &WebhookConfig{URL: d.URL}
		case "alertmanager":
			r.Alertmanager = &AlertmanagerConfig{URLs: []string{d.URL}}
		default:
			r = outputs[kind](d.URL)
		}
		if err := Try(t.Context(), r, Options{}); err != nil || d.calls.Load() != want {
			t.Errorf("%s: %v after %d calls, want %d", kind, err, d.calls.Load(), want)
		}
		body := string(d.last.Load().body)
		if kind == "pagerduty" && !strings.Contains(body, `"resolve"`) || kind != "pagerduty" && !strings.Contains(body, "This is a test") {
			t.Errorf("%s: the last call is %s", kind, body)
		}
		code = http.StatusForbidden
		if err := Try(t.Context(), r, Options{}); !errors.Is(err, outbox.ErrRefused) || !strings.Contains(err.Error(), "403") ||
			!strings.Contains(err.Error(), kind) {
			t.Errorf("%s: %v, want the answer", kind, err)
		}
	}
	if err := Try(t.Context(), Receiver{Name: "x"}, Options{}); err == nil {
		t.Error("a receiver that is none was tried")
	}
}
