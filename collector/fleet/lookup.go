package fleet

import (
	"slices"
	"strings"
	"time"
)

// Directory is everything that files and commands declare. Do not change it.
func (g *Registry) Directory() Directory {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.directory
}

// Changed is another number after every change of what files and commands declare.
func (g *Registry) Changed() uint64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.changed
}

// Customers are the declared customers in the directory's order, departments that are customers after them, with the
// assets declared for them. Do not change them.
func (g *Registry) Customers() []Customer {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.everybody)
}

// Customer finds a declared customer.
func (g *Registry) Customer(id string) (Customer, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c, ok := g.customers[id]
	return c, ok
}

// Site finds a declared site of a customer.
func (g *Registry) Site(customer, site string) (Site, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.site(customer, site)
}

func (g *Registry) site(customer, site string) (Site, bool) {
	for _, s := range g.customers[customer].Sites {
		if s.ID == site {
			return s, true
		}
	}
	return Site{}, false
}

// People are the declared people in the directory's order.
func (g *Registry) People() []Person {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.directory.People)
}

// Person finds a declared person.
func (g *Registry) Person(id string) (Person, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	p, ok := g.people[id]
	return p, ok
}

// Departments are the declared departments in the directory's order, then those that only a customer names, by ID.
func (g *Registry) Departments() []Department {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := slices.Clone(g.directory.Departments)
	named := map[string]bool{}
	for _, d := range out {
		named[d.ID] = true
	}
	declared := len(out)
	for _, c := range g.directory.Customers {
		if c.Department != "" && !named[c.Department] {
			named[c.Department] = true
			out = append(out, Department{ID: c.Department})
		}
	}
	slices.SortFunc(out[declared:], func(a, b Department) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Department finds a declared department. One that only a customer names is not found: nothing is known of it.
func (g *Registry) Department(id string) (Department, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	d, ok := g.departments[id]
	return d, ok
}

// Contract finds a contract by its ID.
func (g *Registry) Contract(id string) (Contract, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c, ok := g.contracts[id]
	return c, ok
}

// ContractAt is the contract that a customer is under at a time: the one whose days, in its own zone, hold it. Contracts
// of one customer share no day; where two in different zones meet, the later one counts from its first moment.
func (g *Registry) ContractAt(customer string, at time.Time) (Contract, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var found Contract
	ok := false
	for _, c := range g.customers[customer].Contracts {
		day := DateOf(at, g.zone(c))
		if (c.From == "" || c.From <= day) && (c.Until == "" || day <= c.Until) && (!ok || c.From > found.From) {
			found, ok = c, true
		}
	}
	return found, ok
}

// ContractZone is the zone that a contract's days are read in: its own, otherwise its customer's, then that one's
// department's, then UTC.
func (g *Registry) ContractZone(c Contract) *time.Location {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.zone(c)
}

func (g *Registry) zone(c Contract) *time.Location {
	customer := g.customers[c.Customer]
	for _, name := range []string{c.Zone, customer.Zone, g.departments[customer.Department].Zone} {
		if l, ok := g.zones[name]; ok {
			return l
		}
	}
	return time.UTC
}

// Entitled is when a contract's support begins: the day it says, otherwise the later of order and initial payment, each
// from the first moment of the day in the contract's zone. It is not known where one of the two is missing.
func (g *Registry) Entitled(c Contract) (at time.Time, known bool) {
	day := c.Entitled
	if day == "" && c.Ordered != "" && c.Paid != "" {
		day = max(c.Ordered, c.Paid)
	}
	if !day.Valid() {
		return time.Time{}, false
	}
	return day.Start(g.ContractZone(c)), true
}

// EntitledAt tells whether a contract's support has begun: from Entitled on, and always where the contract says nothing of
// order, payment or entitlement. One that was ordered and not paid, or paid and not ordered, has not begun.
func (g *Registry) EntitledAt(c Contract, at time.Time) bool {
	if c.Entitled == "" && c.Ordered == "" && c.Paid == "" {
		return true
	}
	start, known := g.Entitled(c)
	return known && !at.Before(start)
}

// Contacts are those in a role for a customer: the customer's own, otherwise its department's, otherwise the operator's;
// in the directory's order, each with what is known of the person. For no customer (empty) they are the operator's.
func (g *Registry) Contacts(customer string, role Role) []Contact {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c := g.customers[customer]
	for _, level := range [][]Contact{c.Contacts, g.departments[c.Department].Contacts, g.directory.Contacts} {
		if found := g.inRole(level, role); len(found) > 0 {
			return found
		}
	}
	return nil
}

func (g *Registry) inRole(contacts []Contact, role Role) []Contact {
	var out []Contact
	for _, c := range contacts {
		if c.Role != role {
			continue
		}
		if p, ok := g.people[c.Person]; ok {
			c.Name, c.Email, c.Phone, c.Receivers = p.Name, p.Email, p.Phone, p.Receivers
		}
		out = append(out, c)
	}
	return out
}

// ApprovedSoftware is what the operator approved, in the directory's order.
func (g *Registry) ApprovedSoftware() []Software {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.directory.ApprovedSoftware)
}

// Approved finds the approval of a program, application or connection, whatever the case of its name's letters. Without a
// version only an approval of all versions counts.
func (g *Registry) Approved(name, version string) (Software, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range g.directory.ApprovedSoftware {
		if strings.EqualFold(s.Name, name) && s.covers(version) {
			return s, true
		}
	}
	return Software{}, false
}

func (s Software) covers(version string) bool {
	if len(s.Versions) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Versions, func(v string) bool {
		begin, any := strings.CutSuffix(v, "*")
		return v == version && version != "" || any && strings.HasPrefix(version, begin)
	})
}

// Sees tells whether a customer exists for an operator, by the department that owns it now. A customer that nobody
// declares belongs to no department.
func (g *Registry) Sees(o Operator, customer string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return o.Sees(customer, g.customers[customer].Department)
}
