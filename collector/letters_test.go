package collector

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestSendingADraft: what is sent goes through the outbox to whom it is to, or says that it is to be delivered by hand.
func TestSendingADraft(t *testing.T) {
	const hand = "marked as sent by hand: deliver it yourself"
	for _, tt := range []struct {
		name, to string
		mail     bool
		want     []string // RECEIVER ADDRESS of each message
		how      string
	}{
		{"a person with a receiver", "tom", true, []string{"tom "}, "sent through tom"},
		{"a contact by name", "Pat Client", true, []string{"mail pat@client.example"}, "sent through mail pat@client.example"},
		{"an address", "Joe <joe@client.example>", true, []string{"mail joe@client.example"}, "sent through mail joe@client.example"},
		{"the address of somebody with a receiver", "Cleo <cleo@client.example>", true, []string{"desk "}, "sent through desk"},
		{"an address, and no mail", "joe@client.example", false, nil, hand},
		{"a receiver that is no more, and an address", "Rae", true, []string{"mail rae@client.example"}, "sent through mail rae@client.example"},
		{"nobody knows", "Moe", true, nil, hand},
		{"a comma in a name", "Miller, Pat <joe@client.example>", true, []string{"mail joe@client.example"}, "sent through mail joe@client.example"},
		{"a comma in quotes", `"Miller, Pat" <joe@client.example>`, true, []string{"mail joe@client.example"}, "sent through mail joe@client.example"},
		{"a comma, and somebody before", "tom, Miller, Pat <joe@client.example>", true, []string{"tom ", "mail joe@client.example"}, "sent through tom, mail joe@client.example"},
		{"a known name with a comma", "Stone, Ida", true, []string{"mail ida@client.example"}, "sent through mail ida@client.example"},
		{"two with commas", `"Stone, Ida" <ida@client.example>, Miller, Pat <joe@client.example>`, true, []string{"mail ida@client.example", "mail joe@client.example"},
			"sent through mail ida@client.example, mail joe@client.example"},
		{"two whom nobody knows", "Moe, Joe", true, nil, hand},
		{"some of them", "tom, Moe", true, []string{"tom "}, "sent through tom; for Moe " + hand},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.fleet.Customers[0].Contacts = []fleet.Contact{
				{Role: "client-owner-user", Name: "Pat Client", Email: "pat@client.example"},
				{Role: "client-owner-user", Name: "Cleo", Email: "cleo@client.example", Receivers: []string{"desk"}},
				{Role: "client-owner-user", Name: "Stone, Ida", Email: "ida@client.example"},
				{Role: "client-owner-user", Name: "Rae", Email: "rae@client.example", Receivers: []string{"gone"}},
			}
			d.restart()
			if tt.mail {
				a := *d.audience.Load()
				a.receivers, a.mail = append(slices.Clone(a.receivers), "mail"), "mail"
				d.audience.Store(&a)
			}
			made := d.open(ticket.Birth{Title: "cannot print", Report: &ticket.Report{Customer: "acme", Channel: "telephone"}})
			d.act(made.Number, ticket.Action{Verb: ticket.WriteDraft, To: tt.to, Text: "A new cable is on its way."}, person("sue", "department-member"))
			member := person("sue", "department-member")
			member.Department = "sas"
			after := d.act(made.Number, ticket.Action{Verb: ticket.SendDraft, What: "1", Text: "by pigeon"}, member)
			if how := after.Drafts[0].How; how != tt.how {
				t.Errorf("the answer says %q, want %q", how, tt.how)
			}
			if sent := d.kinds(made.Number, ticket.Sent); len(sent) != 1 || !strings.HasSuffix(sent[0].Text, tt.how) {
				t.Errorf("the timeline says %+v", sent)
			}
			if got := d.letters(); !slices.Equal(got, tt.want) {
				t.Errorf("letters %q, want %q", got, tt.want)
			}
		})
	}
}

// letters are the queued letters to clients, as RECEIVER ADDRESS.
func (d *desk) letters() (out []string) {
	d.t.Helper()
	d.view(func(tx store.Tx) error {
		out = nil
		all, err := tx.Messages(outbox.Queued, 100)
		for _, m := range all {
			var n notify.Notice
			if err := json.Unmarshal(m.Body, &n); err != nil {
				return err
			}
			if n.What != string(ticket.Sent) || !n.Letter {
				continue
			}
			if n.Text != "A new cable is on its way." || n.Ticket.Title != "news of "+n.Ticket.Number {
				d.t.Errorf("the letter is %+v", n)
			}
			out = append(out, m.Receiver+" "+strings.Join(n.To, ","))
		}
		return err
	})
	return out
}

// TestWhoSendsWithoutADepartment: where no department owns the customer the operator's people send its drafts; where one does
// they cannot, whatever else they may.
func TestWhoSendsWithoutADepartment(t *testing.T) {
	for name, c := range map[string]struct {
		customer string
		refused  bool
	}{"nobody owns it": {"beta", false}, "a department owns it": {"acme", true}} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			number := d.open(ticket.Birth{Title: "x", Report: &ticket.Report{Customer: c.customer, By: "Cleo", Channel: "telephone"}}).Number
			d.act(number, ticket.Action{Verb: ticket.WriteDraft, To: "client", Text: "it works again"}, person("eve", "engineer"))
			after, err := d.Act(context.Background(), number, ticket.Action{Verb: ticket.SendDraft, What: "1"}, person("eve", "engineer"))
			var gate *ticket.GateError
			if errors.As(err, &gate) != c.refused || !c.refused && (err != nil || after.Drafts[0].SentBy != "eve") {
				t.Errorf("answered with %v, drafts %+v", err, after.Drafts)
			}
		})
	}
}
