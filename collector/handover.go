package collector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file puts what people ask about parties and ladders into the words of the ticket's own routing terms, before the
// ticket decides: to whom it is handed and whether that stays in the house, who is told of an escalation, and for which
// parties somebody stands.

// routed is what is asked of a ticket and by whom, as the routing of its terms has it. What names nobody there wraps
// ticket.ErrRefused and says who can be named.
func (p *pipeline) routed(t ticket.Ticket, ts *terms, a ticket.Action, by ticket.By, now time.Time) (ticket.Action, ticket.By, error) {
	hearers := p.hearers(ts, now)
	by.Parties = p.partiesOf(t, hearers, by, now)
	var err error
	switch {
	case !t.State.Open() || t.Handoff != nil && a.Verb == ticket.HandOver: // the ticket says what keeps it from that
	case a.Verb == ticket.HandOver:
		a, err = handedTo(t, ts, a)
	case a.Verb == ticket.Escalate:
		a, err = p.escalatedTo(t, ts, a, hearers)
	case a.Verb == ticket.Assign, a.Verb == ticket.Accept && t.Handoff != nil:
		err = p.assignable(t, ts, a, hearers, by, now)
	}
	return a, by, err
}

// partiesOf are the parties that a person stands for on a ticket; nobody else stands for any.
func (p *pipeline) partiesOf(t ticket.Ticket, hearers route.Audience, by ticket.By, now time.Time) []string {
	if by.Kind != ticket.Person {
		return nil
	}
	return hearers.StandsFor(t, p.personOf(by), by.Roles, now)
}

// StandsFor implements api.Desk.
func (p *pipeline) StandsFor(tx store.Tx, t ticket.Ticket, by ticket.By) ([]string, error) {
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return nil, err
	}
	now := p.now()
	return p.partiesOf(t, p.hearers(ts, now), by, now), nil
}

// personOf is the ID of the declared person that acts: the one that the operator is, or the one that is named so.
func (p *pipeline) personOf(by ticket.By) string {
	if by.Person != "" {
		return by.Person
	}
	for _, o := range p.fleet.Operators() {
		if o.Name == by.Name && o.Person != "" {
			return o.Person
		}
	}
	return by.Name
}

// handedTo finds the party that a ticket is handed to: by its name, or for one of the policy's reasons. Whether it stays in
// the house is the operating model's to say.
func handedTo(t ticket.Ticket, ts *terms, a ticket.Action) (ticket.Action, error) {
	a.To, a.Relation = strings.TrimSpace(a.To), ""
	facts := route.Facts(t)
	if a.To == "" || a.To == t.Owner { // the ticket refuses it
		return a, nil
	}
	ways := route.Handoffs(t.Owner, facts, ts.Route)
	i := slices.IndexFunc(ways, func(w route.Way) bool { return w.To == a.To })
	var way route.Way
	if i >= 0 {
		way = ways[i]
	} else {
		var err error
		if way, err = route.Escalate(t.Owner, a.To, facts, ts.Route); err != nil {
			return a, refuseParty(t, ts, a.To, ways, facts)
		}
	}
	if a.To = way.To; way.Internal {
		a.Relation = ticket.Internal
	}
	return a, nil
}

// refiled completes a change that files a ticket under another system: the party that the ownership map gives that to is
// offered the ticket. That user reports go to one party first is no reason any more to leave it there, and what the type
// gives an owner has that one whatever it is about.
func refiled(t ticket.Ticket, set ticket.Change, a ticket.Action, by ticket.By, ts *terms, now time.Time) (ticket.Change, error) {
	after := set.Ticket
	ty, _ := ts.Ticket.Type(after.Type)
	if _, is := set.Refiled(); !is || ty.Owner != "" {
		return set, nil
	}
	facts, owners := route.Facts(after), ts.Route
	owners.Reports = ""
	over := ticket.Action{BreakGlass: a.BreakGlass}
	over.To, _ = route.Owner(facts, owners)
	if route.Internal(after.Owner, over.To, facts, ts.Route) {
		over.Relation = ticket.Internal
	}
	return t.Refile(set, over, by, ts.Ticket, now)
}

// refuseParty names the parties that a ticket can be handed to, and the reasons that lead to one.
func refuseParty(t ticket.Ticket, ts *terms, to string, ways []route.Way, facts ticket.Facts) error {
	if len(ways) == 0 {
		return fmt.Errorf("%w: %s cannot be handed to %q: the policy %s has no party but %s; assign it to a person instead",
			ticket.ErrRefused, t.Number, to, ts.Ticket.Policy, or(t.Owner, "none"))
	}
	names := make([]string, len(ways))
	for i, w := range ways {
		if names[i] = w.To; w.Internal {
			names[i] += " (internal)"
		}
	}
	text := fmt.Sprintf("%s is no party of the policy %s: %s can be handed to %s", to, ts.Ticket.Policy, t.Number, strings.Join(names, ", "))
	if reasons := route.Reasons(t.Owner, facts, ts.Route); len(reasons) > 0 {
		text += "; or for one of these reasons: " + strings.Join(reasons, "; ")
	}
	return fmt.Errorf("%w: %s", ticket.ErrRefused, text)
}

// escalatedTo finds the rung of the ladder that a person takes, and whom they want told: those of the rung where they name
// nobody, the party that a reason of the policy leads to, or parties, rotas, roles and people by name.
func (p *pipeline) escalatedTo(t ticket.Ticket, ts *terms, a ticket.Action, hearers route.Audience) (ticket.Action, error) {
	a.To, a.What = strings.TrimSpace(a.To), strings.TrimSpace(a.What)
	facts := route.Facts(t)
	if a.What != "" {
		r, ok, err := route.RungOf(t, a.What, ts.Route)
		if err != nil {
			return a, fmt.Errorf("%w: %s: %w", ticket.ErrRefused, t.Number, err)
		}
		if ok {
			a.What = r.StepID()
			a.To = cmp.Or(a.To, route.Words(r.To))
		}
	}
	if way, err := route.Escalate(t.Owner, a.To, facts, ts.Route); err == nil {
		a.To = way.To
		return a, nil
	}
	for _, word := range route.Split(a.To) {
		if hearers.Knows(word) || slices.Contains(fleet.AllRoles(), fleet.Role(word)) {
			continue
		}
		return a, fmt.Errorf("%w: %s cannot be escalated to %q, which is no party, rota, role or person: %s", ticket.ErrRefused, t.Number, word,
			p.whoThereIs(ts, t, facts))
	}
	return a, nil
}

// whoThereIs names those whom an escalation can go to.
func (p *pipeline) whoThereIs(ts *terms, t ticket.Ticket, facts ticket.Facts) string {
	var parties, roles []string
	for _, one := range ts.Route.Parties {
		parties = append(parties, one.Name)
	}
	for _, r := range fleet.ContactRoles() {
		if len(p.directory.Contacts(t.Customer, string(r))) > 0 {
			roles = append(roles, string(r))
		}
	}
	text := "name a party (" + cmp.Or(strings.Join(parties, ", "), "there is none") + "), a role that somebody has (" +
		cmp.Or(strings.Join(roles, ", "), "nobody has any") + "), or a person by ID"
	if reasons := route.Reasons(t.Owner, facts, ts.Route); len(reasons) > 0 {
		text += "; or one of the reasons " + strings.Join(reasons, "; ")
	}
	return text
}
