package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/api"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// deskTicket is a ticket on which a policy and people have done what they can; its texts come from hostile hands.
func deskTicket() api.Ticket {
	at := func(d time.Duration) *time.Time { x := eight.Add(d); return &x }
	left, over := (90 * time.Minute).Seconds(), (-5 * time.Minute).Seconds()
	t := nightTicket()
	t.State, t.Department, t.Channel, t.Reporter, t.ReceivedAt = ticket.InProgress, "sales", "telephone", "Pat\x1b[2J", eight.Add(-time.Hour)
	t.PolicySet, t.PolicyVersion = "customer-operations+it-provider", "1+1"
	t.Clocks = []api.Clock{
		{Clock: "response", Target: "1h,elapsed", Due: at(-5 * time.Minute), BreachedAt: at(-5 * time.Minute), Breaches: true, State: sla.StateBreached, RemainingSeconds: &over, Source: "contract acme-1"},
		{Clock: "resolution", Target: "4h,business", Due: at(3 * time.Hour), Breaches: true, State: sla.StateAtRisk, RemainingSeconds: &left, Source: "contract acme-1"},
		{Clock: "access", Target: "4h,business", Breaches: true, State: sla.StatePaused, WaivedUntil: at(5 * time.Hour)},
		{Clock: "callback", Target: "1h,elapsed", Due: at(0), EndedAt: at(-time.Minute), End: "met", Breaches: true, State: sla.StateMet},
	}
	t.Next = []api.Gate{{Verb: ticket.Resolve, Gate: "four-eyes", Source: "customer-operations 1", Missing: []string{"verified: nobody\u202e did", "steps: disk encrypted"}}}
	t.TicketWork = api.TicketWork{Because: "the whole business", Assignee: "ann", Major: true, Returned: 1,
		Handoff: &ticket.Handoff{From: "first-level", To: "developer", By: "ann", Reason: "code", At: eight},
		Waits:   &ticket.Wait{Reason: "client", Text: "the file", Since: eight}, Unsupported: "support ended 2025-12-31",
		Verified:   &ticket.Signature{By: "bob", At: eight},
		Approvals:  []ticket.Approval{{What: "equipment-change", By: "Dana", Role: "it-ops-manager", Dated: eight}},
		Chargeable: "yes", Estimate: &ticket.Quote{Price: "400 GBP", By: "ann"}, Quote: &ticket.Quote{Price: "420 GBP", Exceptions: "none", Terms: "30 days", ETA: "May", By: "Dana"},
		Order: "PO-1", Promises: []ticket.Promise{{Until: eight.Add(24 * time.Hour), With: "Pat"}},
		Waivers: []ticket.Waiver{{Clock: "response", By: "Dana", Role: "general-manager", Reason: "snow", Retrospective: true}},
		Drafts:  []ticket.Draft{{ID: 1, To: "pat@client.example", By: "ann", Text: "We look\ninto it\x07."}, {ID: 2, To: "pat@client.example", By: "ann", Text: "Done.", SentBy: "zoe", SentAt: eight}},
		Parent:  &ticket.Link{Relation: "child of", Number: "WB-1000"}, Rating: &ticket.Rating{Score: 9, By: "Pat", Text: "fast"},
		Children: []ticket.Child{{Number: "WB-1050", State: ticket.New, Kind: "task", Type: "deliver-version", Relation: "follow-up of"}}}
	t.Slips = 2
	t.Steps = []ticket.Item{{Item: "disk encrypted\x1b[2J", Ticked: &ticket.Signature{By: "bob", At: eight}}, {Item: "handed over"}}
	t.Checklists = []ticket.CheckedList{{Name: "device", Version: "3", Items: []ticket.Item{{Item: "serial number noted"}}}}
	t.Record, t.Timeline, t.Alerts, t.Abridged = ticket.Record{}, t.Timeline[:1], nil, true
	return t
}

// TestShowWork: clocks with due, remaining, at risk and breached in words and local time, owner, handoff, waiting, consents,
// gates before what comes next, children and messages; nothing of it acts on a terminal.
func TestShowWork(t *testing.T) {
	var b bytes.Buffer
	showTicket(screen{w: safeWriter{&b}, width: 100, now: eight, zone: time.FixedZone("CET", 3600)}, deskTicket())
	if bad := acts(b.Bytes()); bad != "" {
		t.Errorf("%+q reached the terminal", bad)
	}
	compareText(t, "show_work", b.Bytes())
}

// TestShowWords: how a report came is said only where it was said, and a ticket without targets says why.
func TestShowWords(t *testing.T) {
	base := func(change func(*api.Ticket)) api.Ticket {
		tk := nightTicket()
		tk.Reporter, tk.Clocks, tk.State, tk.Timeline = "Pat", nil, ticket.New, nil
		change(&tk)
		return tk
	}
	for name, tt := range map[string]struct {
		t     api.Ticket
		wants string
		never string
	}{
		"no channel":  {base(func(*api.Ticket) {}), "Reported      by Pat, received", "in person"},
		"a channel":   {base(func(t *api.Ticket) { t.Channel = "email" }), "Reported      email by Pat", ""},
		"no date yet": {base(func(*api.Ticket) {}), "Expected      to be scheduled", "No targets"},
		"not entitled": {base(func(t *api.Ticket) {
			from := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
			t.EntitledFrom = &from
		}), "No targets    support is not yet entitled (from 2027-03-01 00:00:00 +00:00)", "Expected"},
		"entitled, unknown when": {base(func(t *api.Ticket) { t.Facts = ticket.Facts{ticket.FactEntitled: "no"} }),
			"No targets    support is not yet entitled\n", "Expected"},
		"nobody's": {base(func(t *api.Ticket) { t.Owner = "" }), "Owner         nobody\n", ""},
		"rejected": {base(func(t *api.Ticket) {
			t.Timeline = []ticket.Event{{Seq: 1, Kind: ticket.Rejected, Actor: ticket.Actor{Kind: ticket.Person, Name: "quinn"}, Text: "the installer fails"}}
		}), "Rejected      by quinn because the installer fails", ""},
	} {
		var b bytes.Buffer
		showTicket(screen{w: safeWriter{&b}, width: 100, now: eight, zone: time.UTC}, tt.t)
		if got := b.String(); !strings.Contains(got, tt.wants) || tt.never != "" && strings.Contains(got, tt.never) {
			t.Errorf("%s: want %q and never %q in\n%s", name, tt.wants, tt.never, got)
		}
	}
}

// TestSayDone: what a verb did is said, not only in which state it left the ticket.
func TestSayDone(t *testing.T) {
	tk := api.Ticket{TicketRow: api.TicketRow{Number: "WB-1042", State: ticket.New, Title: "orders do not print"}}
	tk.Timeline = []ticket.Event{
		{Seq: 1, Kind: ticket.Opened, Actor: ticket.Actor{Kind: ticket.Person, Name: "Pat"}, Text: "orders do not print"},
		{Seq: 2, Kind: ticket.Ordered, Actor: ticket.Actor{Kind: ticket.Person, Name: "ann"}, Text: "order number PO-1\x1b[2J"},
		{Seq: 3, Kind: ticket.ClockMet, Actor: ticket.Actor{Kind: ticket.House, Name: "watchbill"}, Text: "response met"},
	}
	for verb, want := range map[ticket.Verb]string{
		ticket.Order: "WB-1042, new: ordered: order number PO-1", ticket.Ack: "WB-1042 is new: orders do not print", ticket.Note: "noted on WB-1042",
	} {
		var b bytes.Buffer
		sayDone(screen{w: safeWriter{&b}, now: eight, zone: time.UTC}, verb, tk)
		if got := b.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "\x1b") {
			t.Errorf("%s says %q, want %q", verb, got, want)
		}
	}
}
