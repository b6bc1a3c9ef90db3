package fleet

import (
	"slices"
	"strings"
)

// with is d with what commands declared, each behind the file's own. What a file declares stays as it is there.
func (d Directory) with(made madeRecords) Directory {
	d = d.settled()
	for _, m := range made.of(DeclaredPerson) {
		if m.Person != nil && d.standsAt(m.Kind, m.ID) == "" {
			d.People = append(d.People, *m.settled().Person)
		}
	}
	for _, m := range made.of(DeclaredContacts) {
		if d.standsAt(m.Kind, m.ID) == "" {
			d.Contacts = m.settled().Contacts
		}
	}
	for _, m := range made.of(DeclaredSoftware) {
		if d.standsAt(m.Kind, m.ID) == "" {
			d.ApprovedSoftware = m.settled().Software
		}
	}
	for _, m := range made.of(DeclaredDepartment) {
		if m.Department != nil && d.standsAt(m.Kind, m.ID) == "" {
			d.Departments = append(d.Departments, *m.settled().Department)
		}
	}
	for _, m := range made.of(DeclaredCustomer) {
		if m.Customer != nil && d.standsAt(m.Kind, m.ID) == "" {
			d.Customers = append(d.Customers, *m.settled().Customer)
		}
	}
	d.own()
	return d
}

// standsAt is where the directory declares one of a kind; empty when it does not.
func (d Directory) standsAt(kind DeclaredKind, id string) string {
	at := func(s string) string {
		if s == "" {
			return "the directory"
		}
		return s
	}
	switch kind {
	case DeclaredPerson:
		if i := slices.IndexFunc(d.People, func(p Person) bool { return p.ID == id }); i >= 0 {
			return at(d.People[i].At)
		}
	case DeclaredDepartment:
		if i := slices.IndexFunc(d.Departments, func(p Department) bool { return p.ID == id }); i >= 0 {
			return at(d.Departments[i].At)
		}
	case DeclaredCustomer:
		if i := slices.IndexFunc(d.Customers, func(p Customer) bool { return p.ID == id }); i >= 0 {
			return at(d.Customers[i].At)
		}
	case DeclaredContacts:
		if len(d.Contacts) > 0 {
			return at(d.Contacts[0].At)
		}
	case DeclaredSoftware:
		if len(d.ApprovedSoftware) > 0 {
			return at(d.ApprovedSoftware[0].At)
		}
	}
	return ""
}

// having is d with one entry in place of what it has of that kind and ID. It shares no list with d that it changes.
func (d Directory) having(one Declared) Directory {
	switch one.Kind {
	case DeclaredPerson:
		d.People = replaced(d.People, *one.Person, func(p Person) bool { return p.ID == one.ID })
	case DeclaredDepartment:
		d.Departments = replaced(d.Departments, *one.Department, func(p Department) bool { return p.ID == one.ID })
	case DeclaredCustomer:
		d.Customers = replaced(d.Customers, *one.Customer, func(p Customer) bool { return p.ID == one.ID })
	case DeclaredContacts:
		d.Contacts = one.Contacts
	case DeclaredSoftware:
		d.ApprovedSoftware = one.Software
	}
	return d.settled()
}

// replaced is all with one in place of the first that is it, or behind all.
func replaced[T any](all []T, one T, is func(T) bool) []T {
	out := slices.Clone(all)
	if i := slices.IndexFunc(out, is); i >= 0 {
		out[i] = one
		return out
	}
	return append(out, one)
}

// customer is the one with an ID, the zero value when it is not declared.
func (d Directory) customer(id string) Customer {
	if i := slices.IndexFunc(d.Customers, func(c Customer) bool { return c.ID == id }); i >= 0 {
		return d.Customers[i]
	}
	return Customer{}
}

// entryText is one entry as export writes it, so that what means the same is the same; empty when it is not there.
func (d Directory) entryText(kind DeclaredKind, id string) (string, error) {
	var one Directory
	switch kind {
	case DeclaredPerson:
		one.People = slices.DeleteFunc(slices.Clone(d.People), func(p Person) bool { return p.ID != id })
	case DeclaredDepartment:
		one.Departments = slices.DeleteFunc(slices.Clone(d.Departments), func(p Department) bool { return p.ID != id })
	case DeclaredCustomer:
		one.Customers = slices.DeleteFunc(slices.Clone(d.Customers), func(p Customer) bool { return p.ID != id })
	case DeclaredContacts:
		one.Contacts = d.Contacts
	case DeclaredSoftware:
		one.ApprovedSoftware = d.ApprovedSoftware
	}
	if len(one.People)+len(one.Departments)+len(one.Customers)+len(one.Contacts)+len(one.ApprovedSoftware) == 0 {
		return "", nil
	}
	var b strings.Builder
	err := one.Export(&b)
	return b.String(), err
}

// settled is a copy of d in which every part knows what it belongs to and what is not said is what it means. It shares
// no list with d that it changes.
func (d Directory) settled() Directory {
	d.People, d.Departments = slices.Clone(d.People), slices.Clone(d.Departments)
	d.ApprovedSoftware = slices.Clone(d.ApprovedSoftware)
	for i := range d.ApprovedSoftware {
		if d.ApprovedSoftware[i].Kind == "" {
			d.ApprovedSoftware[i].Kind = KindSoftware
		}
	}
	d.Customers = slices.Clone(d.Customers)
	for i, c := range d.Customers {
		d.Customers[i] = c.settled()
	}
	d.own()
	return d
}

// own gives a customer that bears a department's ID to that department.
func (d Directory) own() {
	departments := map[string]bool{}
	for _, dep := range d.Departments {
		departments[dep.ID] = true
	}
	for i, c := range d.Customers {
		if c.Department == "" && departments[c.ID] {
			d.Customers[i].Department = c.ID
		}
	}
}

// settled is as Directory.settled.
func (c Customer) settled() Customer {
	c.Contacts, c.Applications = slices.Clone(c.Contacts), slices.Clone(c.Applications)
	c.Contracts, c.Sites = slices.Clone(c.Contracts), slices.Clone(c.Sites)
	for i := range c.Contracts {
		k := &c.Contracts[i]
		k.Customer = c.ID
		k.Overlays, k.Targets, k.Owners = slices.Clone(k.Overlays), slices.Clone(k.Targets), slices.Clone(k.Owners)
	}
	for i, s := range c.Sites {
		s.Assets = slices.Clone(s.Assets)
		for j := range s.Assets {
			a := &s.Assets[j]
			a.Customer, a.Site, a.Declared, a.Agent = c.ID, s.ID, true, ""
			if a.Kind == "" {
				a.Kind = Host
			}
		}
		c.Sites[i] = s
	}
	return c
}

// allCustomers are the declared customers, then the departments that are customers and are not declared as such.
func (d Directory) allCustomers() []Customer {
	out, there := slices.Clone(d.Customers), map[string]bool{}
	for _, c := range d.Customers {
		there[c.ID] = true
	}
	for _, dep := range d.Departments {
		if dep.Customer && !there[dep.ID] {
			out = append(out, Customer{ID: dep.ID, Name: dep.Name, Department: dep.ID, Zone: dep.Zone, At: dep.At})
		}
	}
	return out
}
