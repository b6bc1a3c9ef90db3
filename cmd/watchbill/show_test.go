package main

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

var update = flag.Bool("update", false, "rewrite golden files")

var eight = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// nightTicket is what somebody reads who was just woken.
func nightTicket() api.Ticket {
	at := func(d time.Duration) time.Time { return eight.Add(d) }
	acked := at(4 * time.Minute)
	curve := ticket.Series{Name: `node_filesystem_avail_bytes{mountpoint="/var"}`}
	for i := range 720 {
		v := float64(5<<30) * (1 - float64(i)/720)
		if i == 300 {
			v = math.NaN()
		}
		curve.Points = append(curve.Points, [2]float64{float64(at(-time.Hour).Unix() + int64(5*i)), v})
	}
	full := incident.Alert{ID: "a", Name: "FilesystemFull", Source: "rule linux/FilesystemFull", Severity: incident.Critical, Value: 0.4,
		ActiveAt: at(-15 * time.Second), Annotations: map[string]string{"summary": "/var of web1 is full",
			"first_checks": "du -xh --max-depth=2 /var | sort -h | tail; then journalctl --disk-usage"}}
	slow := incident.Alert{ID: "b", Name: "DiskSaturated", Source: "rule linux/DiskSaturated", Severity: incident.Warning, Value: 99,
		ActiveAt: at(-10 * time.Minute), EndedAt: at(time.Minute), Annotations: map[string]string{"summary": "sda of web1 is busy"}}
	rule := ticket.Actor{Kind: ticket.Rule, Name: "rule linux/FilesystemFull"}
	root := ticket.Actor{Kind: ticket.Person, Name: "root"}
	evidence := func(seq int, at time.Time, part ticket.Part, summary string) ticket.Event {
		return ticket.Event{Seq: seq, At: at, Kind: ticket.EvidenceAdded, Actor: ticket.Actor{Kind: ticket.House, Name: "watchbill"},
			Evidence: &ticket.Digest{Part: part, Summary: summary}}
	}
	entry := func(text, source string, d time.Duration) ticket.Entry {
		return ticket.Entry{Text: text, Source: source, At: at(d)}
	}
	return api.Ticket{
		TicketRow: api.TicketRow{ID: "t1", Number: "WB-1042", State: ticket.Acked, Severity: incident.Critical, Priority: "P1",
			Customer: "acme", Site: "berlin", Asset: "web1", Service: "filesystem", System: "os", Title: "/var of web1 is full",
			Owner: "first level", Policy: api.Policy{Name: "default", Version: "1"}, OpenedAt: eight, AcknowledgedAt: &acked,
			AcknowledgedBy: "alice", Reopened: 2, Alerts: []api.TicketAlert{{Alert: slow}, {Alert: full, Unknown: "web1 is silent since 2026-11-21 08:05:00 UTC"}},
			Links: []ticket.Link{{Relation: "recurrence of", Number: "WB-1007"}}},
		Record: ticket.Record{
			Time: ticket.PartRecord{Entries: []ticket.Entry{entry("first bad sample 2026-11-21 07:59:45 UTC (08:59:45 in Europe/Berlin)", "samples of web1", -15*time.Second)}},
			Symptom: ticket.PartRecord{Entries: []ticket.Entry{
				{Text: "FilesystemFull: node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.03; value 0.004 since 07:59:45 UTC",
					Source: "rule linux/FilesystemFull", At: eight, Times: 3},
				{Text: "the last hour of " + curve.Name, Source: "history", At: eight, Series: &curve},
				{Text: "beside it", Source: "history", At: eight, Series: &ticket.Series{Name: "node_load1", Points: [][2]float64{{float64(eight.Unix()), 1}}}}}},
			Users: ticket.PartRecord{Entries: []ticket.Entry{{Text: "2 sessions", Source: "agent on web1", At: at(-5 * time.Second),
				Table: &ticket.Table{Columns: []string{"user", "terminal", "from"}, Rows: [][]string{{"root", "pts/0", "10.0.0.7"}, {"deploy", "pts/11", ""}}}}}},
			Errors: ticket.PartRecord{Entries: []ticket.Entry{entry("rsyslog.service failed: exit status 1\nthen restarted 3 times", "agent on web1, systemd", -time.Minute)}},
			Actions: ticket.PartRecord{Entries: []ticket.Entry{entry("rotated the logs", "root, action_taken", time.Minute),
				entry("the customer was called", "root, note", 2*time.Minute)}},
		},
		Timeline: []ticket.Event{
			{Seq: 1, At: eight, Kind: ticket.Opened, Actor: rule, Text: "/var of web1 is full", Alert: &full},
			evidence(2, eight, ticket.PartTime, "first bad sample"), evidence(3, eight, ticket.PartSymptoms, "FilesystemFull"),
			evidence(4, eight, ticket.PartUsers, "2 sessions"),
			{Seq: 5, At: at(time.Minute), Kind: ticket.ActionTaken, Actor: root, Text: "rotated the logs"},
			{Seq: 6, At: at(2 * time.Minute), Kind: ticket.Reopened, Actor: rule, Text: "the first time"},
			{Seq: 7, At: at(3 * time.Minute), Kind: ticket.Reopened, Actor: rule, Text: "FilesystemFull fires again"},
			evidence(8, at(3*time.Minute), ticket.PartUsers, "3 sessions"),
			{Seq: 9, At: acked, Kind: ticket.Acknowledged, Actor: ticket.Actor{Kind: ticket.Person, Name: "alice"}, Text: "looking at the logs of rsyslog, which seem to be what grows; calling the customer in ten minutes"},
		},
	}
}

func TestShowTicket(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	for name, width := range map[string]int{"show_wide": 0, "show_80": 80} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			showTicket(screen{w: &b, width: width, now: eight.Add(12 * time.Minute), zone: zone}, nightTicket())
			compareText(t, name, b.Bytes())
		})
	}
}

// What another program sent comes without a value, and none is made up for it.
func TestShowAFedAlertWithoutAValue(t *testing.T) {
	a := incident.Alert{ID: "feed/0123456789abcdef/x", Name: "DBThing", Source: "prometheus via edge", Severity: incident.Warning, ActiveAt: eight,
		Annotations: map[string]string{"summary": "db1 is odd"}}
	var b bytes.Buffer
	s := screen{w: &b, now: eight, zone: time.UTC}
	showAlerts(s, api.Ticket{TicketRow: api.TicketRow{Alerts: []api.TicketAlert{{Alert: a}}}})
	said := b.String() + eventText(ticket.Event{Kind: ticket.Opened, Alert: &a})
	if strings.Contains(said, "=") || !strings.Contains(said, "warning DBThing, since 2026-11-21 08:00:00") {
		t.Errorf("says\n%s", said)
	}
}

// Alerts without a summary are told apart by their own labels.
func TestShowAnAlertWithoutASummary(t *testing.T) {
	for _, tt := range []struct {
		labels map[string]string
		want   string
	}{
		{map[string]string{"alertname": "PodDown", "severity": "warning", "pod": "p7", "namespace": "shop"}, `+00:00: namespace="shop" pod="p7"`},
		{map[string]string{"alertname": "PodDown", "severity": "warning"}, "+00:00\n"},
	} {
		var b bytes.Buffer
		showAlerts(screen{w: &b, now: eight, zone: time.UTC}, api.Ticket{TicketRow: api.TicketRow{Alerts: []api.TicketAlert{{
			Alert: incident.Alert{ID: "feed/0123456789abcdef/x", Name: "PodDown", Severity: incident.Warning, ActiveAt: eight, Labels: tt.labels},
		}}}})
		if !strings.Contains(b.String(), tt.want) {
			t.Errorf("want %q in\n%s", tt.want, b.String())
		}
	}
}

func compareText(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (run with -update when that is meant):\n%s", file, got)
	}
}

func TestBars(t *testing.T) {
	line := func(values ...float64) [][2]float64 {
		var out [][2]float64
		for i, v := range values {
			out = append(out, [2]float64{float64(i), v})
		}
		return out
	}
	for _, tt := range []struct {
		name      string
		points    [][2]float64
		low, high float64
		cells     int
		want      string
	}{
		{"rising", line(0, 1, 2, 3, 4, 5, 6, 7), 0, 7, 8, "▁▂▃▄▅▆▇█"},
		{"flat", line(3, 3, 3), 3, 3, 60, "▄▄▄"},
		{"a dip in many points is seen", line(9, 9, 9, 0, 9, 9, 9, 9), 0, 9, 2, "▁█"},
		{"a gap", [][2]float64{{0, 1}, {1, 2}, {9, 2}}, 1, 2, 3, "▁ █"},
		{"fewer letters than points that fall on them unevenly", line(1, 2, 3, 4, 5, 6, 7), 1, 7, 5, "▁▃▅▆█"},
		{"unsteady points, no gap", [][2]float64{{0, 1}, {1, 1}, {2, 1}, {2.1, 1}, {4, 2}, {5, 2}, {6, 2}}, 1, 2, 60, "▁▁▁▁███"},
		{"one point missing is no gap", [][2]float64{{0, 1}, {1, 1}, {3, 2}, {4, 2}}, 1, 2, 4, "▁▁▁█"},
		{"two missing are", [][2]float64{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {6, 2}, {7, 2}, {8, 2}}, 1, 2, 7, "▁▁▁  ██"},
		{"all at one moment", [][2]float64{{5, 1}, {5, 2}}, 1, 2, 10, "▁ "},
		{"as great as can be", line(-math.MaxFloat64, math.MaxFloat64), -math.MaxFloat64, math.MaxFloat64, 10, "▁█"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := bars(tt.points, tt.low, tt.high, tt.cells); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestChartOfNothing(t *testing.T) {
	var b bytes.Buffer
	screen{w: &b}.chart("", ticket.Series{Name: "m", Points: [][2]float64{{1, math.NaN()}}})
	if b.String() != "(no values)\n" {
		t.Errorf("got %q", b.String())
	}
}

func TestPartOfNothing(t *testing.T) {
	for none, want := range map[string]string{
		"": "  none, because nothing was gathered\n", "no reboot is known": "  none, because no reboot is known\n", "none at all": "  none at all\n",
	} {
		var b bytes.Buffer
		screen{w: &b}.part(ticket.PartRecord{None: none})
		if b.String() != want {
			t.Errorf("%q: got %q, want %q", none, b.String(), want)
		}
	}
}
