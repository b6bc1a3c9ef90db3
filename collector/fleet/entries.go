package fleet

import "go.yaml.in/yaml/v3"

// The readers of entries. Each notes where the entry stands.

func (r *reader) person(n *yaml.Node) Person {
	p := Person{At: r.at(n)}
	r.mapping(n, "person", fields{
		"id": text(r, &p.ID), "name": text(r, &p.Name), "email": text(r, &p.Email), "phone": text(r, &p.Phone),
		"receivers": r.texts(&p.Receivers),
	})
	return p
}

func (r *reader) contact(n *yaml.Node) Contact {
	c := Contact{At: r.at(n)}
	r.mapping(n, "contact", fields{
		"role": text(r, &c.Role), "person": text(r, &c.Person), "name": text(r, &c.Name), "email": text(r, &c.Email),
		"phone": text(r, &c.Phone), "receivers": r.texts(&c.Receivers),
	})
	return c
}

func (r *reader) department(n *yaml.Node) Department {
	d := Department{At: r.at(n)}
	r.mapping(n, "department", fields{
		"id": text(r, &d.ID), "name": text(r, &d.Name), "zone": text(r, &d.Zone), "customer": r.flag(&d.Customer),
		"contacts": listOf(r, &d.Contacts, r.contact),
	})
	return d
}

func (r *reader) software(n *yaml.Node) Software {
	s := Software{At: r.at(n)}
	r.mapping(n, "approved software", fields{
		"name": text(r, &s.Name), "kind": text(r, &s.Kind), "versions": r.texts(&s.Versions),
	})
	return s
}

func (r *reader) customer(n *yaml.Node) Customer {
	c := Customer{At: r.at(n)}
	r.mapping(n, "customer", fields{
		"id": text(r, &c.ID), "name": text(r, &c.Name), "department": text(r, &c.Department), "zone": text(r, &c.Zone),
		"instructions": text(r, &c.Instructions), "contacts": listOf(r, &c.Contacts, r.contact),
		"contracts": listOf(r, &c.Contracts, r.contract), "applications": listOf(r, &c.Applications, r.application),
		"sites": listOf(r, &c.Sites, r.site),
	})
	return c
}

func (r *reader) contract(n *yaml.Node) Contract {
	c := Contract{At: r.at(n)}
	r.mapping(n, "contract", fields{
		"id": text(r, &c.ID), "sets": r.texts(&c.Sets), "override": table(r, &c.Override, r.word),
		"from": text(r, &c.From), "until": text(r, &c.Until), "agreement": text(r, &c.Agreement),
		"cover": text(r, &c.Cover), "oncall": r.flag(&c.OnCall), "zone": text(r, &c.Zone), "region": text(r, &c.Region),
		"overlays": listOf(r, &c.Overlays, r.overlay), "targets": listOf(r, &c.Targets, r.target),
		"phase": text(r, &c.Phase), "ordered": text(r, &c.Ordered), "paid": text(r, &c.Paid), "entitled": text(r, &c.Entitled),
		"model": text(r, &c.Model), "owners": listOf(r, &c.Owners, r.owner), "supports": r.texts(&c.Supports),
		"terms": text(r, &c.Terms),
	})
	return c
}

func (r *reader) overlay(n *yaml.Node) Overlay {
	o := Overlay{At: r.at(n)}
	r.mapping(n, "overlay", fields{
		"name": text(r, &o.Name), "from": text(r, &o.From), "until": text(r, &o.Until),
		"hours": table(r, &o.Hours, r.spans), "holidays": r.flag(&o.Holidays),
	})
	return o
}

func (r *reader) target(n *yaml.Node) Target {
	t := Target{At: r.at(n)}
	r.mapping(n, "target", fields{
		"priority": text(r, &t.Priority), "clock": text(r, &t.Clock), "within": text(r, &t.Within),
	})
	return t
}

func (r *reader) owner(n *yaml.Node) Owner {
	o := Owner{At: r.at(n)}
	r.mapping(n, "owner", fields{
		"system": text(r, &o.System), "owner": text(r, &o.Owner), "agreement": text(r, &o.Agreement),
	})
	return o
}

func (r *reader) application(n *yaml.Node) Application {
	a := Application{At: r.at(n)}
	r.mapping(n, "application", fields{
		"name": text(r, &a.Name), "version": text(r, &a.Version), "vendor": text(r, &a.Vendor),
		"support_ends": text(r, &a.SupportEnds), "responsible": text(r, &a.Responsible), "approved": r.flag(&a.Approved),
	})
	return a
}

func (r *reader) site(n *yaml.Node) Site {
	s := Site{At: r.at(n)}
	r.mapping(n, "site", fields{
		"id": text(r, &s.ID), "name": text(r, &s.Name), "assets": listOf(r, &s.Assets, r.asset),
	})
	return s
}

func (r *reader) asset(n *yaml.Node) Asset {
	a := Asset{At: r.at(n)}
	r.mapping(n, "asset", fields{
		"name": text(r, &a.Name), "kind": text(r, &a.Kind), "role": text(r, &a.Role), "users": r.number(&a.Users),
		"criticality": text(r, &a.Criticality), "environment": text(r, &a.Environment),
		"versions": table(r, &a.Versions, r.word), "support_ends": text(r, &a.SupportEnds),
		"responsible": text(r, &a.Responsible), "supplied": text(r, &a.Supplied),
	})
	return a
}
