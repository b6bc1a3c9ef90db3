package api

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"go.yaml.in/yaml/v3"

	"github.com/watchbill/watchbill/collector/evaluate"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
)

// windowOf is a maintenance window of a matcher and of time intervals in YAML.
func windowOf(t *testing.T, name, matcher, times string) incident.Window {
	t.Helper()
	m, err := incident.ParseMatcher(matcher)
	if err != nil {
		t.Fatal(err)
	}
	w := incident.Window{Name: name, Comment: name + " is patched", Matchers: []incident.Matcher{m}}
	var all []timeinterval.TimeInterval
	if err := yaml.Unmarshal([]byte(times), &all); err != nil {
		t.Fatal(err)
	}
	w.Times = all
	return w
}

// someWindows are windows as they stand on a Saturday at noon, UTC: in the order in which they are listed.
func someWindows(t *testing.T) []incident.Window {
	once := windowOf(t, "move", `customer="acme"`, "")
	once.From, once.Until = noon.Add(48*time.Hour), noon.Add(50*time.Hour)
	over := windowOf(t, "long ago", `customer="acme"`, "")
	over.From, over.Until = noon.Add(-50*time.Hour), noon.Add(-48*time.Hour)
	return []incident.Window{
		windowOf(t, "saturdays", `instance=~"web.*"`, `[{location: Europe/Berlin, weekdays: [saturday], times: [{start_time: "12:00", end_time: "14:00"}]}]`),
		windowOf(t, "always", `alertname="Test"`, `[{years: ["2026:2050"]}]`),
		windowOf(t, "nights", `customer="acme"`, `[{location: America/New_York, times: [{start_time: "22:00", end_time: "24:00"}]}, {location: America/New_York, times: [{start_time: "00:00", end_time: "04:30"}]}]`),
		once, over,
	}
}

func maintenance(h *house, role fleet.Role, query string) MaintenanceList {
	h.t.Helper()
	var list MaintenanceList
	if err := json.Unmarshal(h.do(role, "GET", Root+"/maintenance"+query, "").Body.Bytes(), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// TestMaintenanceList: which windows hold, when the others do, in whose zone, and what has no ticket because of them.
func TestMaintenanceList(t *testing.T) {
	h := newHouse(t)
	windows := someWindows(t)
	slices.Reverse(windows)
	h.opts.Silencer.(*quiet).windows = windows
	h.rules.alerts = []evaluate.Standing{standing("web1", rules.Firing), standing("web2", rules.Pending), standing("db1", rules.Firing)}

	told := func(p *time.Time) string {
		if p == nil {
			return ""
		}
		return p.Format(time.RFC3339)
	}
	for _, tt := range []struct {
		query string
		want  [][5]string
	}{
		{"", [][5]string{
			{"saturdays", "holds", "", "2026-11-21T14:00:00+01:00", "Europe/Berlin"},
			{"always", "holds", "", "", "UTC"},
			{"nights", "", "2026-11-21T22:00:00-05:00", "2026-11-22T04:30:00-05:00", "America/New_York"},
			{"move", "", "2026-11-23T12:00:00Z", "2026-11-23T14:00:00Z", "UTC"},
			{"long ago", "", "", "", "UTC"}}},
		{"?at=2026-11-22T05:00:00Z", [][5]string{
			{"nights", "holds", "", "2026-11-22T04:30:00-05:00", "America/New_York"},
			{"always", "holds", "", "", "UTC"},
			{"move", "", "2026-11-23T12:00:00Z", "2026-11-23T14:00:00Z", "UTC"},
			{"saturdays", "", "2026-11-28T12:00:00+01:00", "2026-11-28T14:00:00+01:00", "Europe/Berlin"},
			{"long ago", "", "", "", "UTC"}}},
	} {
		list := maintenance(h, fleet.Viewer, tt.query)
		var got [][5]string
		for _, w := range list.Windows {
			holds := ""
			if w.Active {
				holds = "holds"
			}
			got = append(got, [5]string{w.Name, holds, told(w.From), told(w.Until), w.Zone})
			if want := map[string]int{"saturdays": 1}[w.Name]; w.Held != want {
				t.Errorf("%s holds back %d, want %d", w.Name, w.Held, want)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s\n got %v\nwant %v", tt.query, got, tt.want)
		}
	}
	if res := h.do(fleet.Viewer, "GET", Root+"/maintenance?at=noon", ""); res.Code != 400 {
		t.Errorf("a time that is none: %d %s", res.Code, res.Body)
	}
}

// TestMaintenanceListIsScoped: a window that may be about others does not exist for who sees one customer; a ticket that is
// open is not held back.
func TestMaintenanceListIsScoped(t *testing.T) {
	h := newHouse(t)
	h.opts.Silencer.(*quiet).windows = append(someWindows(t), windowOf(t, "shop", `customer="shop"`, ""))
	h.add(fleet.NewOperator{Name: "pat", Roles: []fleet.Role{fleet.Responder}, By: "test", Scope: fleet.Scope{Customer: "acme"}})
	var names []string
	for _, w := range maintenance(h, "pat", "").Windows {
		names = append(names, w.Name)
	}
	if want := []string{"nights", "move", "long ago"}; !slices.Equal(names, want) {
		t.Errorf("sees %v, want %v", names, want)
	}

	by := []incident.MutedBy{{Name: "saturdays"}}
	if !(Alert{MutedBy: by}).Held() || (Alert{MutedBy: by, Ticket: &TicketRef{State: "open"}}).Held() || (Alert{}).Held() {
		t.Error("held back is what has no open ticket because of something")
	}
}
