package policy

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// TestTransfers: what of a contract's changes is the client owner's to approve under it-provider, and under no other set.
func TestTransfers(t *testing.T) {
	b := shipped(t)
	contract := func(id, set string, say ...string) fleet.Contract {
		k := agreed(set, say...)
		k.ID = id
		return k
	}
	owned := func(k fleet.Contract, pairs ...string) fleet.Contract {
		for i := 0; i < len(pairs); i += 2 {
			k.Owners = append(k.Owners, fleet.Owner{System: pairs[i], Owner: pairs[i+1]})
		}
		return k
	}
	first := contract("a-1", "it-provider", "model=separate")
	next := contract("a-2", "it-provider", "model=same-party")
	next.From = "2027-01-01"
	for _, tt := range []struct {
		name    string
		was, is []fleet.Contract
		want    []string
	}{
		{"the same", []fleet.Contract{first}, []fleet.Contract{first}, nil},
		{"another target", []fleet.Contract{first}, []fleet.Contract{contract("a-1", "it-provider", "model=separate", "target.P1.response=2h,elapsed,inform")}, nil},
		{"operating model", []fleet.Contract{first}, []fleet.Contract{contract("a-1", "it-provider", "model=same-party")},
			[]string{"operating-model: contract a-1: operating model from separate to same-party"}},
		{"model taken out", []fleet.Contract{first}, []fleet.Contract{contract("a-1", "it-provider")},
			[]string{"operating-model: contract a-1: operating model from separate to the policy set's own"}},
		{"owners", []fleet.Contract{owned(first, "application", "it-provider", "iis", "developer")}, []fleet.Contract{owned(first, "iis", "it-provider", "sql", "developer")},
			[]string{"system-owner: contract a-1: owner of application from it-provider to the policy set's own",
				"system-owner: contract a-1: owner of iis from developer to it-provider",
				"system-owner: contract a-1: owner of sql from the policy set's own to developer"}},
		{"the contract that follows", []fleet.Contract{first}, []fleet.Contract{first, next},
			[]string{"operating-model: contract a-2: operating model from separate to same-party"}},
		{"under another ID", []fleet.Contract{first}, []fleet.Contract{contract("b-1", "it-provider", "model=same-party")},
			[]string{"operating-model: contract b-1: operating model from separate to same-party"}},
		{"the first", nil, []fleet.Contract{first}, nil},
		{"of a set that asks for no approval", []fleet.Contract{contract("a-1", "erp-partner", "model=separate")}, []fleet.Contract{contract("a-1", "erp-partner", "model=same-party")}, nil},
		{"and the set leaves with it", []fleet.Contract{first}, []fleet.Contract{contract("a-1", "erp-partner", "model=same-party")},
			[]string{"operating-model: contract a-1: operating model from separate to same-party"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, x := range b.Transfers(fleet.Customer{ID: "acme", Contracts: tt.was}, fleet.Customer{ID: "acme", Contracts: tt.is}) {
				got = append(got, x.Type+": "+x.String())
				if x.Customer != "acme" || x.At != "acme.yml:7" || !slices.Equal(x.Roles, []string{"client-owner-user"}) {
					t.Errorf("%+v", x)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestConsented: which tickets carry the approval.
func TestConsented(t *testing.T) {
	x := Transfer{Customer: "acme", Contract: "a-1", Roles: []string{"client-owner-user"}}
	with := func(edit func(*ticket.Ticket)) ticket.Ticket {
		k := ticket.Ticket{State: ticket.New}
		k.Number, k.Customer = "WB-7", "acme"
		k.Approvals = []ticket.Approval{{What: Consent, Role: "client-owner-user", By: "cleo"}}
		edit(&k)
		return k
	}
	for _, tt := range []struct {
		name, want string
		ticket     ticket.Ticket
		note       string
	}{
		{"approved", "", with(func(*ticket.Ticket) {}), "looked at it"},
		{"used", "the approval on WB-7 is used", with(func(*ticket.Ticket) {}), Note([]Transfer{x})},
		{"used for another", "the approval on WB-7 is used", with(func(*ticket.Ticket) {}), Note([]Transfer{{Contract: "a-2"}})},
		{"of what files changed", "WB-7 asks for what files changed", with(func(k *ticket.Ticket) { k.Key = ticket.Report{Customer: "acme", Key: x.Key()}.TicketKey() }), ""},
		{"of another report", "", with(func(k *ticket.Ticket) { k.Key = "report/acme/review" }), ""},
		{"resolved", "", with(func(k *ticket.Ticket) { k.State = ticket.Done }), ""},
		{"closed", "WB-7 is closed", with(func(k *ticket.Ticket) { k.State = ticket.Shut }), ""},
		{"another's", "not of customer acme", with(func(k *ticket.Ticket) { k.Customer = "beta" }), ""},
		{"by another role", "client-owner-user approves it on WB-7", with(func(k *ticket.Ticket) { k.Approvals[0].Role = "management" }), ""},
		{"of another thing", "client-owner-user approves it on WB-7", with(func(k *ticket.Ticket) { k.Approvals[0].What = "outside-scope" }), ""},
		{"not yet", "(approve transfer)", with(func(k *ticket.Ticket) { k.Approvals = nil }), ""},
	} {
		if got := x.Consented(tt.ticket, []ticket.Event{{Kind: ticket.Opened}, {Kind: ticket.Noted, Text: tt.note}}); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: missing %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestNoteFits: whatever was changed, the ticket can note it.
func TestNoteFits(t *testing.T) {
	text := Note(slices.Repeat([]Transfer{{Contract: "é", What: "owner of é", From: "x", To: "y"}}, 1000))
	if len(text) > ticket.MaxText || len(text) < ticket.MaxText-4 || !strings.HasPrefix(text, Done) || !utf8.ValidString(text) {
		t.Errorf("%d bytes: %.80q", len(text), text)
	}
}
