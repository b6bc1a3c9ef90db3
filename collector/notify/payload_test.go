package notify

import (
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/outbox"
)

func TestStatus(t *testing.T) {
	stands, ended := Alert{StartsAt: noon}, Alert{StartsAt: noon, EndsAt: noon.Add(time.Minute)}
	for name, c := range map[string]struct {
		state  string
		alerts []Alert
		want   string
	}{
		"an alert stands":                    {"new", []Alert{ended, stands}, firing},
		"an alert stands, ticket resolved":   {"resolved", []Alert{stands}, firing},
		"all ended, ticket open":             {"acknowledged", []Alert{ended}, resolved},
		"no alert, ticket open":              {"new", nil, firing},
		"no alert, ticket resolved":          {"resolved", nil, resolved},
		"no alert, ticket closed":            {"closed", nil, resolved},
		"no alert, ticket open once more":    {"reopened", nil, firing},
		"no alert, ticket waits for a party": {"waiting", nil, firing},
	} {
		t.Run(name, func(t *testing.T) {
			if got := statusOf(Notice{Ticket: Ticket{State: c.state}, Alerts: c.alerts}); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestTooManyAlertsAreCutOldAndEndedFirst(t *testing.T) {
	var n Notice
	for i := range 10 {
		a := Alert{Labels: map[string]string{"n": fmt.Sprint(i)}, StartsAt: noon.Add(time.Duration(i) * time.Minute)}
		if i%2 == 1 {
			a.EndsAt = noon.Add(time.Hour)
		}
		n.Alerts = append(n.Alerts, a)
	}
	p := payloadOf("desk", "", outbox.Message{}, n, 7)
	got := ""
	for _, a := range p.Alerts {
		got += a.Labels["n"]
	}
	if got != "8642097" || p.TruncatedAlerts != 3 {
		t.Errorf("alerts %s and %d left out, want 8642097 and 3", got, p.TruncatedAlerts)
	}
	if n.Alerts[0].Labels["n"] != "0" {
		t.Error("rendering changed the notice")
	}
}

func TestCommonIsWhatAllShare(t *testing.T) {
	alerts := []Alert{{Labels: map[string]string{"a": "1", "b": "2", "c": ""}}, {Labels: map[string]string{"a": "1", "b": "3"}}}
	got := common(alerts, func(a Alert) map[string]string { return a.Labels })
	if len(got) != 1 || got["a"] != "1" {
		t.Errorf("common labels %v, want a alone", got)
	}
	if got := common(nil, nil); got == nil || len(got) != 0 {
		t.Errorf("of no alerts: %v, want an empty object", got)
	}
}
