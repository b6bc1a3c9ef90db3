package collector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file says who may be assigned to a ticket: people who stand for the party that owns it. To give it to another party is
// a handoff, which asks for the record and is accepted or returned.

// outsiders are the roles of those who are not the operator's own people.
var outsiders = append(fleet.OutsideRoles(), fleet.BusinessPartner, fleet.Scrape)

// assignable refuses to assign, or to accept a ticket for, somebody who is not known or who stands for another party than the
// one that owns it, or will. Where the fleet declares nobody any name is taken.
func (p *pipeline) assignable(t ticket.Ticket, ts *terms, a ticket.Action, hearers route.Audience, by ticket.By, now time.Time) error {
	if by.Kind != ticket.Person || len(p.fleet.People()) == 0 {
		return nil
	}
	who, roles := strings.TrimSpace(a.To), by.Roles
	self := who == "" || who == "me" || who == by.Name || who == by.Person && who != ""
	if self {
		who = p.personOf(by)
	} else if roles = p.rolesOf(who); !p.knows(who, t, by) {
		return fmt.Errorf("%w: there is no person %q: name one that is declared (`watchbill person list` lists them), or declare them first "+
			"(people in the fleet's directory, or `watchbill person apply FILE`)", ticket.ErrRefused, who)
	}
	party, of := t.Owner, "owned by"
	if a.Verb == ticket.Accept {
		if self || t.Handoff == nil { // whether they may accept for the party the ticket says
			return nil
		}
		party, of = t.Handoff.To, "offered to"
	}
	if slices.Contains(hearers.StandsFor(t, who, roles, now), party) || inside(party, ts) && p.ownPeople(t.Customer, who, roles) {
		return nil
	}
	return fmt.Errorf("%w: %s is %s %s, and %s does not stand for it: hand it off to their party (handoff), or assign it to somebody of %s",
		ticket.ErrRefused, t.Number, of, or(party, "nobody"), who, or(party, "the operator"))
}

// inside tells whether a party is the operator's own; one that the policy says no role of is.
func inside(party string, ts *terms) bool {
	i := slices.IndexFunc(ts.Route.Parties, func(q route.Party) bool { return q.Name == party })
	return i < 0 || !slices.Contains(outsiders, fleet.Role(ts.Route.Parties[i].Role))
}

// ownPeople tells whether somebody has a role of the operator's own people, by token or as a contact.
func (p *pipeline) ownPeople(customer, person string, roles []string) bool {
	for _, r := range fleet.AllRoles() {
		if slices.Contains(outsiders, r) {
			continue
		}
		named := func(customer string) bool {
			return slices.ContainsFunc(p.fleet.Contacts(customer, r), func(c fleet.Contact) bool { return c.Person == person })
		}
		if slices.Contains(roles, string(r)) || named("") || named(customer) {
			return true
		}
	}
	return false
}

// rolesOf are the roles of the tokens that are somebody's.
func (p *pipeline) rolesOf(who string) (roles []string) {
	for _, o := range p.fleet.Operators() {
		if o.Person != who && o.Name != who {
			continue
		}
		for _, r := range o.Held() {
			roles = append(roles, string(r))
		}
	}
	return roles
}

// knows tells whether somebody exists for who acts: a declared person or the holder of a token, and for those who are bound to
// a department or a customer only whom that ticket's customer, or the department that owns it, names.
func (p *pipeline) knows(who string, t ticket.Ticket, by ticket.By) bool {
	if by.Department == "" && by.Customer == "" {
		_, declared := p.fleet.Person(who)
		return declared || slices.ContainsFunc(p.fleet.Operators(), func(o fleet.Operator) bool { return o.Name == who })
	}
	c, _ := p.fleet.Customer(t.Customer)
	named := func(all []fleet.Contact) bool {
		return slices.ContainsFunc(all, func(k fleet.Contact) bool { return k.Person == who })
	}
	return named(c.Contacts) || slices.ContainsFunc(p.fleet.Departments(), func(d fleet.Department) bool {
		return d.ID == c.Department && (by.Department == "" || by.Department == d.ID) && named(d.Contacts)
	})
}
