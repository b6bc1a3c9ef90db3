package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (v *validation) customer(c Customer) {
	e, who := entry{}.below("customer", c.At, c.ID), fmt.Sprintf("customer %q", c.ID)
	if !validID(c.ID) {
		v.fault(e, "id", "customer id %q: %s", c.ID, idHint)
	} else if first, ok := v.customers[c.ID]; ok {
		v.fault(e, "id", "customer %q is already declared at %s: one customer stands in one place, put its sites there",
			c.ID, first.place())
	} else {
		v.customers[c.ID] = e
	}
	v.owner(e, c)
	v.zone(e, who, c.Zone)
	v.text(e, "name", who, c.Name)
	v.prose(e, "instructions", who, c.Instructions)
	v.contacts(who, e, c.Contacts)
	for i, k := range c.Contracts {
		v.contract(e, c.Contracts[:i], k)
	}
	first := map[string]string{}
	for _, a := range c.Applications {
		v.application(e, who, a, first)
	}
	sites := map[string]entry{}
	for _, s := range c.Sites {
		v.site(e, c, s, sites)
	}
}

// owner checks whose customer it is. Where files declare no department at all, naming one is as good as declaring it.
func (v *validation) owner(e entry, c Customer) {
	_, declared := v.departments[c.Department]
	_, namesake := v.departments[c.ID]
	filed := slices.ContainsFunc(v.d.Departments, func(d Department) bool { return d.MadeBy == "" })
	switch {
	case c.Department != "" && !validID(c.Department):
		v.fault(e, "department", "customer %q: department %q: %s", c.ID, c.Department, idHint)
	case namesake && c.Department != c.ID:
		v.fault(e, "department", "customer %q bears the id of the department at %s and therefore belongs to it, not to %q: "+
			"leave its department out, or give it another id", c.ID, v.departments[c.ID].place(), c.Department)
	case c.Department != "" && !declared && filed:
		v.fault(e, "department", "customer %q: no department %q is declared: add it to departments, or correct the id",
			c.ID, c.Department)
	}
}

func (v *validation) contract(of entry, before []Contract, c Contract) {
	e, who := of.below("contract", c.At, c.ID), fmt.Sprintf("contract %q", c.ID)
	if !validID(c.ID) {
		v.fault(e, "id", "contract id %q: %s", c.ID, idHint)
	} else if first, ok := v.contracts[c.ID]; ok {
		v.fault(e, "id", "contract %q is already declared at %s: contracts are unique in the whole fleet", c.ID, first.place())
	} else {
		v.contracts[c.ID] = e
	}
	v.span(e, who, c.From, c.Until)
	for _, b := range before {
		if from, until, ok := c.shares(b); ok {
			v.fault(e, "from", "%s and %q at %s share days, %s: a customer is under one contract at a time: "+
				"let the earlier one end the day before the later one begins", who, b.ID, of.below("contract", b.At, b.ID).place(),
				spanText(from, until))
		}
	}
	v.words(e, "sets", who, c.Sets)
	for _, what := range slices.Sorted(maps.Keys(c.Override)) {
		if set := c.Override[what]; what == "" || !validText(what) || !slices.Contains(c.Sets, set) {
			v.fault(e, "override", "%s: override: %s: %q is not among its sets (%s)", who, what, set, oneLine(c.Sets))
		}
	}
	v.text(e, "agreement", who, c.Agreement)
	v.text(e, "cover", who, c.Cover)
	v.text(e, "region", who, c.Region)
	if c.Zone != "" {
		v.zone(e, who, c.Zone)
	}
	oneOf(v, e, "phase", who, c.Phase, Phases())
	oneOf(v, e, "model", who, c.Model, Models())
	v.date(e, "ordered", who, c.Ordered)
	v.date(e, "paid", who, c.Paid)
	v.date(e, "entitled", who, c.Entitled)
	v.words(e, "supports", who, c.Supports)
	v.prose(e, "terms", who, c.Terms)
	v.terms(e, who, c)
}

// terms checks what a contract says instead of its sets.
func (v *validation) terms(of entry, who string, c Contract) {
	overlays, targets, owners := map[string]string{}, map[string]string{}, map[string]string{}
	for _, o := range c.Overlays {
		e := of.below("overlay", o.At, o.Name)
		v.once(e, "name", who+": overlay", o.Name, overlays)
		v.overlay(e, fmt.Sprintf("%s: overlay %q", who, o.Name), o)
	}
	for _, t := range c.Targets {
		e, what := of.below("target", t.At, t.Priority+" "+t.Clock), fmt.Sprintf("%s: target %s %s", who, t.Priority, t.Clock)
		v.given(e, "priority", who+": target", t.Priority)
		v.given(e, "clock", what, t.Clock)
		v.given(e, "within", what, t.Within)
		v.once(e, "priority", who+": target", t.Priority+" "+t.Clock, targets)
	}
	for _, o := range c.Owners {
		e, what := of.below("owner", o.At, o.System), fmt.Sprintf("%s: owner of %q", who, o.System)
		v.given(e, "system", who+": owner", o.System)
		v.given(e, "owner", what, o.Owner)
		v.text(e, "agreement", what, o.Agreement)
		v.once(e, "system", who+": owner of", o.System, owners)
	}
}

func (v *validation) overlay(e entry, who string, o Overlay) {
	v.given(e, "name", who, o.Name)
	v.span(e, who, o.From, o.Until)
	if len(o.Hours) == 0 {
		v.fault(e, "hours", "%s: hours: say which, like {mon-fri: 07:00-22:00}", who)
	}
	for _, days := range slices.Sorted(maps.Keys(o.Hours)) {
		if days == "" || !validText(days) || len(o.Hours[days]) == 0 {
			v.fault(e, "hours", "%s: hours: %q: give days with one or more spans, like mon-fri: 07:00-22:00", who, days)
		}
		v.words(e, "hours", who, o.Hours[days])
	}
}

// given checks one line that must say something.
func (v *validation) given(e entry, key, who, s string) {
	if s == "" {
		v.fault(e, key, "%s: %s: must be given", who, key)
	}
	v.text(e, key, who, s)
}

// once finds a second one of a name; first holds where each stands.
func (v *validation) once(e entry, key, what, name string, first map[string]string) {
	if at, ok := first[name]; ok && strings.TrimSpace(name) != "" {
		v.fault(e, key, "%s %q is already declared at %s", what, name, at)
		return
	}
	first[name] = e.place()
}

// shares are the first and last day that both contracts hold; false when there is none, or a day does not exist.
func (c Contract) shares(other Contract) (from, until Date, ok bool) {
	for _, d := range []Date{c.From, c.Until, other.From, other.Until} {
		if d != "" && !d.Valid() {
			return "", "", false
		}
	}
	from = max(c.From, other.From) // empty is the smallest
	switch {
	case c.Until == "":
		until = other.Until
	case other.Until == "":
		until = c.Until
	default:
		until = min(c.Until, other.Until)
	}
	return from, until, from == "" || until == "" || from <= until
}

func spanText(from, until Date) string {
	switch {
	case from == "" && until == "":
		return "all of them"
	case from == "":
		return fmt.Sprintf("all until %s", until)
	case until == "":
		return fmt.Sprintf("all from %s", from)
	}
	return fmt.Sprintf("%s to %s", from, until)
}

func (v *validation) application(of entry, customer string, a Application, first map[string]string) {
	e, who := of.below("application", a.At, a.Name), fmt.Sprintf("%s: application %q", customer, a.Name)
	v.given(e, "name", customer+": application", a.Name)
	v.once(e, "name", customer+": application", strings.TrimSpace(strings.ToLower(a.Name)+" "+a.Version), first)
	v.text(e, "version", who, a.Version)
	v.text(e, "vendor", who, a.Vendor)
	v.date(e, "support_ends", who, a.SupportEnds)
	v.someone(e, "responsible", who, a.Responsible)
}

func (v *validation) site(of entry, c Customer, s Site, sites map[string]entry) {
	e := of.below("site", s.At, s.ID)
	if !validID(s.ID) {
		v.fault(e, "id", "customer %q: site id %q: %s", c.ID, s.ID, idHint)
	} else if first, ok := sites[s.ID]; ok {
		v.fault(e, "id", "customer %q: site %q is already declared at %s", c.ID, s.ID, first.place())
	} else {
		sites[s.ID] = e
	}
	v.text(e, "name", fmt.Sprintf("site %q", s.ID), s.Name)
	for _, a := range s.Assets {
		v.asset(e, a)
	}
}

func (v *validation) asset(of entry, a Asset) {
	e, who := of.below("asset", a.At, a.Name), fmt.Sprintf("asset %q", a.Name)
	if !validName(a.Name) {
		v.fault(e, "name", "asset name %q: must be of a-z, 0-9, '.', '_', ':' and '-', at most %d long, and begin and end with "+
			"a letter or digit", a.Name, maxName)
	} else if first, ok := v.assets[a.Name]; ok {
		v.fault(e, "name", "asset %q is already declared at %s: names are unique in the whole fleet, because they become the "+
			"label `instance`; call one of them by its full host name", a.Name, first.place())
	} else {
		v.assets[a.Name] = e
	}
	if a.Kind != "" && a.Kind != Host && a.Kind != Device {
		v.fault(e, "kind", "asset %q: kind %q: must be %s or %s", a.Name, a.Kind, Host, Device)
	}
	if a.Users < 0 {
		v.fault(e, "users", "asset %q: users: must not be negative, got %d", a.Name, a.Users)
	}
	v.text(e, "role", who, a.Role)
	oneOf(v, e, "criticality", who, a.Criticality, Criticalities())
	oneOf(v, e, "environment", who, a.Environment, Environments())
	oneOf(v, e, "supplied", who, a.Supplied, Suppliers())
	for _, of := range slices.Sorted(maps.Keys(a.Versions)) {
		if !validName(of) {
			v.fault(e, "versions", "asset %q: versions: name %q: must be of a-z, 0-9, '.', '_', ':' and '-'", a.Name, of)
		}
		v.text(e, "versions", who+": "+of, a.Versions[of])
	}
	v.date(e, "support_ends", who, a.SupportEnds)
	v.someone(e, "responsible", who, a.Responsible)
}
