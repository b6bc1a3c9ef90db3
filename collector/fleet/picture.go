package fleet

import "time"

// picture is a directory made ready for being asked. It never changes: another takes its place.
type picture struct {
	directory   Directory
	everybody   []Customer // departments that are customers among them
	people      map[string]Person
	departments map[string]Department
	customers   map[string]Customer
	contracts   map[string]Contract
	declared    map[string]Asset
	// zones are those that the directory names, read once.
	zones map[string]*time.Location
	// sides are where people stand, by Contact.key; outward are the receivers that reach nobody but clients.
	sides   map[string]Side
	outward map[string]bool
}

// newPicture makes the picture of a directory. Of what is declared twice, which only contradiction after a start leaves,
// the first counts: that is what files declare.
func newPicture(d Directory) picture {
	p := picture{
		directory: d, everybody: d.allCustomers(), people: map[string]Person{}, departments: map[string]Department{},
		customers: map[string]Customer{}, contracts: map[string]Contract{}, declared: map[string]Asset{},
		zones: map[string]*time.Location{},
	}
	for _, one := range d.People {
		p.people[one.ID] = one
	}
	for _, dep := range d.Departments {
		p.departments[dep.ID] = dep
		p.readZone(dep.Zone)
	}
	for _, c := range p.everybody {
		p.customers[c.ID] = c
		p.readZone(c.Zone)
		for _, k := range c.Contracts {
			p.readZone(k.Zone)
			keepFirst(p.contracts, k.ID, k)
		}
		for _, s := range c.Sites {
			for _, a := range s.Assets {
				keepFirst(p.declared, a.Name, a)
			}
		}
	}
	p.takeSides()
	return p
}

// readZone keeps a zone that can be read.
func (p *picture) readZone(name string) {
	if _, known := p.zones[name]; name == "" || known {
		return
	}
	if l, err := LoadZone(name); err == nil {
		p.zones[name] = l
	}
}

func keepFirst[T any](m map[string]T, key string, v T) {
	if _, ok := m[key]; !ok {
		m[key] = v
	}
}
