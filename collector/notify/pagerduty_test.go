package notify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/watchbill/watchbill/collector/outbox"
)

func pager(t testing.TB, severities map[string]string) *PagerDuty {
	t.Helper()
	p, err := NewPagerDuty("pager", PagerDutyConfig{RoutingKey: "k", Severities: severities}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What PagerDuty is asked for follows where the ticket stands: nobody is paged for one that is over.
func TestPagerDutyActions(t *testing.T) {
	for _, c := range []struct{ what, state, want string }{
		{"opened", "new", "trigger"}, {"acknowledged", "acknowledged", "acknowledge"}, {"priority_changed", "in progress", "trigger"},
		{"clock_breached", "waiting", "trigger"}, {"resolved", "resolved", "resolve"}, {"note", "resolved", "resolve"},
		{"closed", "closed", "resolve"}, {"reopened", "reopened", "trigger"}, {"acknowledged", "resolved", "resolve"},
	} {
		n := notice()
		n.What, n.Ticket.State = c.what, c.state
		e := pager(t, nil).event(outbox.Message{ID: "m-7"}, n)
		if e.Action != c.want || e.Key != "4f1c" || (e.Payload != nil) != (c.want == "trigger") {
			t.Errorf("%s of a ticket that is %s: %s with key %s, want %s", c.what, c.state, e.Action, e.Key, c.want)
		}
	}
	n := notice()
	n.Letter, n.Ticket.State = true, "closed"
	if e := pager(t, nil).event(outbox.Message{ID: "m-7"}, n); e.Action != "trigger" || e.Key != "m-7" || e.Payload.Severity != "info" {
		t.Errorf("a digest is %+v, want an event of its own", e)
	}
}

func TestPagerDutySeverities(t *testing.T) {
	own := map[string]string{"P1": "critical", "warning": "info"}
	for _, c := range []struct {
		priority, severity string
		severities         map[string]string
		want               string
	}{
		{"P1", "critical", nil, "critical"}, {"P3", "warning", nil, "warning"}, {"P4", "info", nil, "info"}, {"P2", "", nil, "error"},
		{"P1", "warning", own, "critical"}, {"P2", "warning", own, "info"}, {"P2", "critical", own, "critical"},
	} {
		n := notice()
		n.Ticket.Priority, n.Ticket.Severity = c.priority, c.severity
		if got := pager(t, c.severities).severity(n); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.priority, c.severity, got, c.want)
		}
	}
}

// inertAtPagerDuty checks an event's bounds and texts.
func inertAtPagerDuty(t testing.TB, n Notice) {
	t.Helper()
	e := pager(t, nil).event(outbox.Message{ID: "m-7"}, n)
	b, err := e.fit()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > maxPagerDuty || len(e.Key) > 255 || e.Key == "" {
		t.Errorf("%d bytes, key %q", len(b), e.Key)
	}
	for path, all := range texts(t, b) {
		for _, s := range all {
			own := strings.HasPrefix(path, ".links.href") || path == ".client_url"
			if unprintable(s) || !own && strings.Contains(s, "://") {
				t.Errorf("%s is not inert: %q", path, s)
			}
		}
	}
	if e.Payload == nil {
		return
	}
	if utf8.RuneCountInString(e.Payload.Summary) > pagerDutySummary || e.Payload.Summary == "" || e.Payload.Source == "" ||
		!slices.Contains(pagerDutySeverities, e.Payload.Severity) {
		t.Errorf("payload %+v", e.Payload)
	}
}

func TestPagerDutyIsInertAndInBounds(t *testing.T) {
	for _, text := range append(hostile, strings.Repeat("\u2211", 20_000), "") {
		n := hostileNotice(text)
		inertAtPagerDuty(t, n)
		n.Letter = true
		inertAtPagerDuty(t, n)
	}
	n := notice()
	for range 200 {
		n.Record = append(n.Record, RecordPart{"time" + strings.Repeat("x", len(n.Record)%30), strings.Repeat(strings.Repeat("\u2211", 299)+"\n", 60)})
	}
	inertAtPagerDuty(t, n)
	b, err := pager(t, nil).event(outbox.Message{ID: "m-7"}, n).fit()
	if err != nil || !json.Valid(b) || !strings.Contains(string(b), "too large for PagerDuty") {
		t.Errorf("%d bytes do not say that the record was left out (%v)", len(b), err)
	}
}

func FuzzPagerDuty(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, letter bool) {
		n := hostileNotice(text)
		n.Letter = letter
		inertAtPagerDuty(t, n)
	})
}
