package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/ticket"
)

// stormTicket is a storm's ticket as the API answers it, with some of its tickets.
func stormTicket(tickets, open, listed int) api.Ticket {
	t := api.Ticket{TicketRow: api.TicketRow{ID: "s", Number: "WB-2000", Kind: ticket.KindStorm, State: ticket.New, Customer: "acme",
		Title: "Storm: many filesystem alerts at the same time, acme", OpenedAt: eight,
		Gathers: &api.Storm{Assets: tickets, Of: 10_000, Tickets: tickets, Standing: open, FirstAt: eight, LastAt: eight.Add(time.Minute)}}}
	for n := range listed {
		t.Members = append(t.Members, api.StormMember{Number: fmt.Sprintf("WB-%d", 2001+n), State: ticket.New,
			Asset: fmt.Sprintf("node%d", n), Title: "/ is full"})
	}
	return t
}

func TestListStorm(t *testing.T) {
	for name, tc := range map[string]struct {
		open int
		want string
	}{
		"all open": {9812, " 9812 assets "}, "some recovered": {12, " 9812 assets, 12 open "},
	} {
		var b bytes.Buffer
		printTickets(screen{w: &b, now: eight}, api.TicketList{Tickets: []api.TicketRow{stormTicket(9812, tc.open, 0).TicketRow}}, true)
		if !strings.Contains(b.String(), tc.want) {
			t.Errorf("%s: %q does not say %q", name, b.String(), tc.want)
		}
	}
}

func TestShowStorm(t *testing.T) {
	for name, tc := range map[string]struct {
		of    api.Ticket
		wants []string
		not   string
	}{
		"many": {stormTicket(9812, 12, 50), []string{"TICKETS OF THE STORM (9812, 12 open)", "9812 of 10000 assets; first 2026-11-21 08:00:00",
			"WB-2001  new  node0: / is full", "and 9762 more: watchbill ticket list --all --storm WB-2000"}, "part of"},
		"few":         {stormTicket(2, 2, 2), []string{"WB-2002  new  node1"}, "more:"},
		"one of them": {api.Ticket{TicketRow: api.TicketRow{Number: "WB-2001", Storm: "WB-2000", OpenedAt: eight}}, []string{"part of WB-2000, which tells of it"}, "TICKETS OF"},
	} {
		var b bytes.Buffer
		showTicket(screen{w: &b, now: eight.Add(time.Hour), zone: time.UTC}, tc.of)
		for _, want := range tc.wants {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: does not say %q:\n%s", name, want, b.String())
			}
		}
		if strings.Contains(b.String(), tc.not) {
			t.Errorf("%s: says %q:\n%s", name, tc.not, b.String())
		}
	}
}
