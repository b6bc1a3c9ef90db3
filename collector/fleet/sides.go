package fleet

import (
	"cmp"
	"slices"
)

// Side is where somebody stands: what is said inside of the house is for nobody of a client.
type Side int

// The sides. Of the house are the operator's contacts, the departments' and all who are somebody's contact in a role of the
// house; where a department itself is the customer that one's contacts are its members, and so of the house too. A client is
// who is a contact as client owner, or as a customer's administrator, and nothing else. Unplaced is nobody's contact.
const (
	Unplaced Side = iota
	House
	Client
)

// Side is where a person stands, by ID; somebody who has none is known by address, or else by name.
func (g *Registry) Side(id, email, name string) Side {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.sides[cmp.Or(id, email, name)]
}

// Outward tells whether a receiver reaches clients and nobody of the house, so that nothing internal may go through it.
func (g *Registry) Outward(receiver string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.outward[receiver]
}

// key tells contacts apart as Side does.
func (c Contact) key() string { return cmp.Or(c.Person, c.Email, c.Name) }

// Side is where a person stands by a directory that is only read, by ID.
func (d Directory) Side(person string) Side { return d.sides()[person] }

// sides are where everybody stands, by Contact.key. Who is of the house in one role is of the house in all.
func (d Directory) sides() map[string]Side {
	sides := map[string]Side{}
	place := func(list []Contact, client func(Role) bool) {
		for _, c := range list {
			switch {
			case !client(c.Role):
				sides[c.key()] = House
			case sides[c.key()] == Unplaced:
				sides[c.key()] = Client
			}
		}
	}
	owner := func(r Role) bool { return r == ClientOwnerUser }
	place(d.Contacts, owner)
	members := map[string]bool{} // departments that are customers
	for _, dep := range d.Departments {
		place(dep.Contacts, owner)
		members[dep.ID] = dep.Customer
	}
	for _, c := range d.allCustomers() {
		client := func(r Role) bool { return r == ClientOwnerUser || r == Administrator }
		if members[c.ID] {
			client = func(Role) bool { return false }
		}
		place(c.Contacts, client)
	}
	return sides
}

// takeSides keeps where everybody stands, and the receivers that reach clients.
func (p *picture) takeSides() {
	p.sides, p.outward = p.directory.sides(), map[string]bool{}
	all := slices.Clone(p.directory.Contacts)
	for _, d := range p.directory.Departments {
		all = append(all, d.Contacts...)
	}
	for _, c := range p.everybody {
		all = append(all, c.Contacts...)
	}
	p.takeReceivers(all)
}

// takeReceivers finds the receivers that reach clients and nobody else.
func (p *picture) takeReceivers(contacts []Contact) {
	inside := map[string]bool{}
	reach := func(key string, receivers []string) {
		for _, r := range receivers {
			if p.sides[key] == Client {
				p.outward[r] = true
			} else {
				inside[r] = true
			}
		}
	}
	for _, one := range p.directory.People {
		reach(one.ID, one.Receivers)
	}
	for _, c := range contacts {
		if _, declared := p.people[c.Person]; !declared {
			reach(c.key(), c.Receivers)
		}
	}
	for r := range inside {
		delete(p.outward, r)
	}
}
