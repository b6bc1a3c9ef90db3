package fleet

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
)

// Validate names every fault at once; it changes nothing. Identifiers are words of [a-z0-9-]; customers and contracts are
// unique, sites are unique within their customer, and asset names are unique in the whole fleet, because they become the
// `instance` label. What is referred to is declared, days exist, and contracts of one customer share no day.
func (d Directory) Validate() error { return errors.Join(d.faults()...) }

func (d Directory) faults() []error {
	v := validation{
		d: d, people: map[string]entry{}, departments: map[string]entry{},
		customers: map[string]entry{}, contracts: map[string]entry{}, assets: map[string]entry{},
	}
	for _, p := range d.People {
		v.person(p)
	}
	for _, dep := range d.Departments {
		v.department(dep)
	}
	v.contacts("the operator", entry{kind: "file", path: "the operator"}, d.Contacts)
	for _, dep := range d.Departments {
		v.contacts(fmt.Sprintf("department %q", dep.ID), entry{}.below("department", dep.At, dep.ID), dep.Contacts)
	}
	v.software(d.ApprovedSoftware)
	for _, c := range d.Customers {
		v.customer(c)
	}
	return v.errs
}

// entry is a part of the directory that can be at fault.
type entry struct {
	// kind is the word that its reader uses, at where it stands, path how to name it where that is not known.
	kind, at, path string
}

func (e entry) place() string {
	if e.at != "" {
		return e.at
	}
	return e.path
}

// below is an entry within e.
func (e entry) below(kind, at, id string) entry {
	path := fmt.Sprintf("%s %q", kind, id)
	if e.path != "" {
		path = e.path + ", " + path
	}
	return entry{kind, at, path}
}

// validation collects faults on the way through a directory. Its maps hold what was declared so far.
type validation struct {
	d                                                 Directory
	people, departments, customers, contracts, assets map[string]entry
	errs                                              []error
}

// fault adds one about a key of an entry, named by file and line where they are known, otherwise by the entry's path.
func (v *validation) fault(e entry, key, format string, args ...any) {
	at, ok := v.d.lines[place(e.kind, e.at, key)]
	if !ok {
		at = e.place()
	}
	v.errs = append(v.errs, fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...)))
}

const idHint = "must be a word of a-z, 0-9 and -, at most 63 long, that begins and ends with a letter or digit"

func (v *validation) person(p Person) {
	e := entry{}.below("person", p.At, p.ID)
	if !validID(p.ID) {
		v.fault(e, "id", "person id %q: %s", p.ID, idHint)
	} else if first, ok := v.people[p.ID]; ok {
		v.fault(e, "id", "person %q is already declared at %s", p.ID, first.place())
	} else {
		v.people[p.ID] = e
	}
	if p.Name == "" {
		v.fault(e, "name", "person %q: name: say what people call this person", p.ID)
	}
	v.reachable(e, fmt.Sprintf("person %q", p.ID), p.Name, p.Email, p.Phone, p.Receivers)
}

func (v *validation) reachable(e entry, who, name, email, phone string, receivers []string) {
	v.text(e, "name", who, name)
	v.text(e, "phone", who, phone)
	if a, err := mail.ParseAddress(email); email != "" && (err != nil || a.Address != email || len(email) > maxText) {
		v.fault(e, "email", "%s: email %q: write one bare address like anna@example.com", who, email)
	}
	v.words(e, "receivers", who, receivers)
}

func (v *validation) department(d Department) {
	e := entry{}.below("department", d.At, d.ID)
	if !validID(d.ID) {
		v.fault(e, "id", "department id %q: %s", d.ID, idHint)
	} else if first, ok := v.departments[d.ID]; ok {
		v.fault(e, "id", "department %q is already declared at %s: one department stands in one place", d.ID, first.place())
	} else {
		v.departments[d.ID] = e
	}
	who := fmt.Sprintf("department %q", d.ID)
	v.text(e, "name", who, d.Name)
	v.zone(e, who, d.Zone)
}

func (v *validation) contacts(who string, of entry, contacts []Contact) {
	type held struct {
		role         Role
		person, name string
	}
	first := map[held]string{}
	for _, c := range contacts {
		e := of.below("contact", c.At, string(c.Role))
		v.contact(e, who, c)
		h := held{c.Role, c.Person, c.Name}
		if at, ok := first[h]; ok {
			v.fault(e, "role", "%s: contact %s: the same stands at %s already", who, c.Role, at)
		} else {
			first[h] = e.place()
		}
	}
}

func (v *validation) contact(e entry, who string, c Contact) {
	who = fmt.Sprintf("%s: contact %q", who, c.Role)
	switch {
	case slices.Contains(Roles(), c.Role):
		v.fault(e, "role", "%s: only a token carries this role: one of %s", who, oneLine(ContactRoles()))
	case !c.Role.isContact():
		v.fault(e, "role", "%s: unknown role: one of %s", who, oneLine(ContactRoles()))
	}
	described := c.Name != "" || c.Email != "" || c.Phone != "" || len(c.Receivers) > 0
	switch {
	case c.Person != "" && described:
		v.fault(e, "person", "%s: give a person or a name, not both: what is known of %q stands with people", who, c.Person)
	case c.Person != "":
		v.someone(e, "person", who, c.Person)
	case c.Name == "":
		v.fault(e, "name", "%s: say who it is: a person's id, or a name with email or phone", who)
	}
	v.reachable(e, who, c.Name, c.Email, c.Phone, c.Receivers)
}

// someone checks a reference to a person.
func (v *validation) someone(e entry, key, who, id string) {
	if _, ok := v.people[id]; id != "" && !ok {
		v.fault(e, key, "%s: %s: no person %q is declared: add one to people, or correct the id", who, key, id)
	}
}

func (v *validation) software(all []Software) {
	type known struct {
		kind SoftwareKind
		name string
	}
	first := map[known]string{}
	for _, s := range all {
		e := entry{}.below("approved software", s.At, s.Name)
		who := fmt.Sprintf("approved software %q", s.Name)
		if s.Name == "" {
			v.fault(e, "name", "approved software: name: say what is approved")
		}
		v.text(e, "name", who, s.Name)
		oneOf(v, e, "kind", who, s.Kind, SoftwareKinds())
		v.words(e, "versions", who, s.Versions)
		for _, version := range s.Versions {
			if i := strings.IndexByte(version, '*'); i >= 0 && i != len(version)-1 {
				v.fault(e, "versions", "%s: versions: %q: a * stands at the end only", who, version)
			}
		}
		k := known{s.Kind, strings.ToLower(s.Name)}
		if at, ok := first[k]; ok {
			v.fault(e, "name", "%s is already approved at %s: put its versions there", who, at)
		} else {
			first[k] = e.place()
		}
	}
}

// text checks one line for people.
func (v *validation) text(e entry, key, who, s string) {
	if !validText(s) {
		v.fault(e, key, "%s: %s: must be one line of printable text, at most %d bytes", who, key, maxText)
	}
}

// prose checks lines for people.
func (v *validation) prose(e entry, key, who string, s Prose) {
	if !validProse(string(s)) {
		v.fault(e, key, "%s: %s: must be printable text of at most %d bytes", who, key, maxProse)
	}
}

// words checks a list of which each entry says something, and none twice.
func (v *validation) words(e entry, key, who string, words []string) {
	for i, w := range words {
		switch {
		case w == "" || !validText(w):
			v.fault(e, key, "%s: %s: %q: must be one line of printable text, at most %d bytes", who, key, w, maxText)
		case slices.Contains(words[:i], w):
			v.fault(e, key, "%s: %s: %q stands twice", who, key, w)
		}
	}
}

func (v *validation) zone(e entry, who, zone string) {
	if _, err := LoadZone(zone); err != nil {
		v.fault(e, "zone", "%s: zone %q is no IANA time zone: write one like Europe/London or a fixed offset like UTC-05:00, or "+
			"leave it out for UTC", who, zone)
	}
}

// date checks a day that may be left out.
func (v *validation) date(e entry, key, who string, d Date) {
	if d != "" && !d.Valid() {
		v.fault(e, key, "%s: %s: %q is no day of the calendar: write it as YYYY-MM-DD", who, key, d)
	}
}

// span checks a first and a last day.
func (v *validation) span(e entry, who string, from, until Date) {
	v.date(e, "from", who, from)
	v.date(e, "until", who, until)
	if from.Valid() && until.Valid() && until < from {
		v.fault(e, "until", "%s: its last day, %s, is before its first, %s", who, until, from)
	}
}

// oneOf checks a word that may be left out.
func oneOf[T ~string](v *validation, e entry, key, who string, word T, known []T) {
	if word != "" && !slices.Contains(known, word) {
		v.fault(e, key, "%s: %s %q is unknown: one of %s", who, key, word, oneLine(known))
	}
}

func oneLine[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}
