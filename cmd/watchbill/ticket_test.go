package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestResolvedAlthoughItFires: what still fires is named, as much as the ticket lists of it, and the rest is numbered.
func TestResolvedAlthoughItFires(t *testing.T) {
	for name, tc := range map[string]struct {
		listed, counted int
		want            string
	}{
		"nothing":             {0, 0, ""},
		"one":                 {1, 0, "1 alert still fires (A0): the ticket is reopened at 08:15:00 unless it ends\n"},
		"counted alone":       {0, 12, "12 alerts still fire (12 that it counts and does not list): the ticket is reopened at 08:15:00 unless they end\n"},
		"one that is counted": {0, 1, "1 alert still fires (1 that it counts and does not list): the ticket is reopened at 08:15:00 unless it ends\n"},
		"many and counted":    {7, 12, "19 alerts still fire (A0, A1, A2, A3, A4, 2 more, 12 that it counts and does not list): the ticket is reopened at 08:15:00 unless they end\n"},
	} {
		row := api.Ticket{TicketRow: api.TicketRow{Number: "WB-1", State: ticket.Done, ResolvedAt: &eight}}
		for i := range tc.listed {
			row.Alerts = append(row.Alerts, api.TicketAlert{Alert: incident.Alert{Name: fmt.Sprintf("A%d", i)}})
		}
		if tc.counted > 0 {
			row.Counted = &api.Counted{Came: 20, Firing: tc.counted}
		}
		var b bytes.Buffer
		if warnStillFiring(screen{w: &b, zone: time.UTC}, row); b.String() != tc.want {
			t.Errorf("%s: says %q, want %q", name, b.String(), tc.want)
		}
	}
}
