package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ticket"
)

// A ticket that flaps is seen to, in the list and when it is read; one that has settled is as any other.
func TestFlappingIsSeen(t *testing.T) {
	flaps := api.Flap{State: api.Flapping, Since: eight.Add(time.Minute), LastAt: eight.Add(50 * time.Minute), Count: 57, SettlesAt: eight.Add(65 * time.Minute)}
	one := flaps
	one.Count = 1
	for name, tc := range map[string]struct {
		flap       *api.Flap
		list, show []string
		not        string
	}{
		"flapping": {&flaps, []string{" reopened, flapping "}, []string{"P1  critical  REOPENED, FLAPPING",
			"Flapping      since 2026-11-21 08:01:00 +00:00, 57 changes, the newest 2026-11-21 08:50:00 +00:00, 10m ago; told once, over at 2026-11-21 09:05:00 +00:00"}, "57 change,"},
		"one change": {&one, nil, []string{", 1 change, "}, "1 changes"},
		"settled":    {nil, []string{" reopened "}, []string{"P1  critical  REOPENED"}, "lapping"},
	} {
		t.Run(name, func(t *testing.T) {
			tk := nightTicket()
			tk.State, tk.Flap = ticket.Again, tc.flap
			var list, show bytes.Buffer
			printTickets(screen{w: &list, now: eight}, api.TicketList{Tickets: []api.TicketRow{tk.TicketRow}}, true)
			showTicket(screen{w: &show, now: eight.Add(time.Hour), zone: time.UTC}, tk)
			for _, x := range []struct {
				got   string
				wants []string
			}{{list.String(), tc.list}, {show.String(), tc.show}} {
				for _, want := range x.wants {
					if !strings.Contains(x.got, want) {
						t.Errorf("does not say %q:\n%s", want, x.got)
					}
				}
				if strings.Contains(x.got, tc.not) {
					t.Errorf("says %q:\n%s", tc.not, x.got)
				}
			}
		})
	}
}
