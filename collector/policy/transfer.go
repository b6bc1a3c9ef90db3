package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Consent is the word by which gates ask for the approval of a change of who answers for what.
const Consent = "transfer"

// needsApproval is the kind of need that asks for an approval.
const needsApproval = "approval"

// Transfer is a change of who answers for what under a contract that the customer's terms want approved: its operating model,
// or the separately contracted owner of a system.
type Transfer struct {
	Customer, Contract string
	// At is where the contract stands that changes it.
	At string
	// What is "operating model" or "owner of SYSTEM"; From and To are what it was and is to be, empty for the sets' own.
	What, From, To string
	// Type is the type of request by which approval is asked for; Roles are those one of whom gives it.
	Type  string
	Roles []string
}

// String is the transfer in one line: contract, what, from, to.
func (t Transfer) String() string {
	own := "the policy set's own"
	return fmt.Sprintf("contract %s: %s from %s to %s", t.Contract, t.What, cmp.Or(t.From, own), cmp.Or(t.To, own))
}

// Transfers are what becomes of who answers for what when a customer that was one thing is declared another, as far as the
// terms that it was under want that approved: by a gate that asks for the approval "transfer". A contract is held against
// the one of its ID, or one that is new against the one that it follows. A customer without a contract transfers nothing.
func (b *Book) Transfers(was, is fleet.Customer) []Transfer {
	var out []Transfer
	for _, k := range is.Contracts {
		before, ok := before(was, k)
		if !ok {
			continue
		}
		moves := moved(before, k)
		if len(moves) == 0 {
			continue
		}
		roles, types := b.consent(was, before)
		if len(roles) == 0 {
			continue
		}
		for _, m := range moves {
			m.Customer, m.Contract, m.At, m.Roles = is.ID, k.ID, k.At, roles
			if m.Type = typeOf(m.What); !slices.Contains(types, m.Type) && len(types) > 0 {
				m.Type = types[0]
			}
			out = append(out, m)
		}
	}
	return out
}

// before is the contract of a customer that one takes the place of: that of its ID, otherwise the last that began before it.
func before(was fleet.Customer, k fleet.Contract) (found fleet.Contract, ok bool) {
	for _, one := range was.Contracts {
		switch {
		case one.ID == k.ID:
			return one, true
		case one.From <= k.From && (!ok || one.From > found.From):
			found, ok = one, true
		}
	}
	if !ok && len(was.Contracts) > 0 {
		return was.Contracts[0], true
	}
	return found, ok
}

// moved are the differences of two contracts in who answers for what.
func moved(was, is fleet.Contract) (out []Transfer) {
	if was.Model != is.Model {
		out = append(out, Transfer{What: whatModel, From: string(was.Model), To: string(is.Model)})
	}
	owners := func(k fleet.Contract) map[string]string {
		m := map[string]string{}
		for _, o := range k.Owners {
			m[o.System] = o.Owner
		}
		return m
	}
	from, to := owners(was), owners(is)
	var systems []string
	for _, o := range slices.Concat(was.Owners, is.Owners) {
		systems = append(systems, o.System)
	}
	slices.Sort(systems)
	for _, s := range slices.Compact(systems) {
		if from[s] != to[s] {
			out = append(out, Transfer{What: whatOwner + s, From: from[s], To: to[s]})
		}
	}
	return out
}

const (
	whatModel = "operating model"
	whatOwner = "owner of "
)

// typeOf is the type of request for a kind of transfer, as the shipped set calls it.
func typeOf(what string) string {
	if what == whatModel {
		return "operating-model"
	}
	return "system-owner"
}

// consent are the roles that approve transfers under a contract, and the types of request by which it is asked for; none
// where its terms ask for no such approval, or cannot be told.
func (b *Book) consent(c fleet.Customer, k fleet.Contract) (roles, types []string) {
	res, err := b.Resolve(Request{Customer: c, Contract: &k})
	if err != nil {
		return nil, nil
	}
	for _, g := range res.Ticket.Gates {
		for _, n := range g.Needs {
			if n.Kind == needsApproval && slices.Contains(n.Names, Consent) {
				roles = append(roles, n.Roles...)
				types = append(types, g.When["type"]...)
			}
		}
	}
	slices.Sort(roles)
	types = slices.DeleteFunc(types, func(y string) bool { _, known := res.Ticket.Type(y); return !known })
	return slices.Compact(roles), types
}

// Done begins the note by which a ticket says what was changed on the strength of its approval, which is used up then.
const Done = "changed as approved: "

// Note is what the ticket that approved transfers notes of them, cut to what a note may hold.
func Note(all []Transfer) string {
	var said []string
	for _, x := range all {
		said = append(said, x.String())
	}
	text := Done + strings.Join(said, "; ")
	return strings.ToValidUTF8(text[:min(len(text), ticket.MaxText)], "")
}

// Key names the transfer among its customer's: what a ticket that asks for it is reported by.
func (t Transfer) Key() string {
	return strings.Join([]string{Consent, t.Contract, t.What, t.From, t.To}, "/")
}

// Consented tells whether a ticket, with its history, carries the approval of a transfer that is not made yet: of its
// customer's, given by one of the roles, not closed and not used. One approval serves one change; that on a ticket that asked
// for what files had changed is that change's. Otherwise it says what is missing.
func (t Transfer) Consented(k ticket.Ticket, history []ticket.Event) (missing string) {
	asked := ticket.Report{Customer: k.Customer, Key: Consent + "/"}.TicketKey()
	switch {
	case k.Customer != t.Customer:
		return fmt.Sprintf("%s is not of customer %s", k.Number, t.Customer)
	case k.State == ticket.Shut:
		return fmt.Sprintf("%s is closed: what was approved with it is done", k.Number)
	case strings.HasPrefix(k.Key, asked):
		return fmt.Sprintf("%s asks for what files changed: ask anew, on another ticket", k.Number)
	case slices.ContainsFunc(history, func(e ticket.Event) bool { return e.Kind == ticket.Noted && strings.HasPrefix(e.Text, Done) }):
		return fmt.Sprintf("the approval on %s is used, what was approved with it is done: ask anew, on another ticket", k.Number)
	case !t.Approved(k):
		return fmt.Sprintf("%s approves it on %s (approve %s)", strings.Join(t.Roles, " or "), k.Number, Consent)
	}
	return ""
}

// Approved tells whether one of the roles gave the approval of a transfer on a ticket.
func (t Transfer) Approved(k ticket.Ticket) bool {
	return slices.ContainsFunc(k.Approvals, func(ap ticket.Approval) bool {
		return ap.What == Consent && slices.Contains(t.Roles, ap.Role)
	})
}
