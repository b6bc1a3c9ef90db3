package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// Department owns customers.
type Department struct {
	fleet.Department
	// DeclaredAt is as in Customer.
	DeclaredAt string `json:"declared_at"`
	// Customers are the IDs of those that it owns.
	Customers []string `json:"customers"`
}

// DepartmentList is every department.
type DepartmentList struct {
	Departments []Department `json:"departments"`
}

// DepartmentPut is a department as it was declared.
type DepartmentPut struct {
	Department
	// Changed is as in CustomerPut.
	Changed bool `json:"changed"`
}

// PersonPut is a person as they were declared.
type PersonPut struct {
	PersonRow
	// Changed is as in CustomerPut.
	Changed bool `json:"changed"`
}

// PersonRow is somebody whom the directory names.
type PersonRow struct {
	fleet.Person
	// DeclaredAt is as in Customer.
	DeclaredAt string `json:"declared_at"`
}

// PersonList is everybody whom the directory names.
type PersonList struct {
	People []PersonRow `json:"people"`
}

func (a *API) departmentRow(s sight, d fleet.Department) Department {
	row := Department{Department: d, Customers: []string{}}
	if d.MadeBy == "" && s.inside() {
		row.DeclaredAt = d.At
	}
	for _, id := range s.ids {
		if s.deps[id] == d.ID && s.customer(id) {
			row.Customers = append(row.Customers, id)
		}
	}
	return row
}

func (a *API) listDepartments(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s, list := a.sight(who), DepartmentList{Departments: []Department{}}
	for _, d := range a.o.Fleet.Departments() {
		if s.department(d.ID) {
			list.Departments = append(list.Departments, a.departmentRow(s, d))
		}
	}
	return list, nil
}

func (a *API) findDepartment(s sight, id string) (fleet.Department, error) {
	for _, d := range a.o.Fleet.Departments() {
		if d.ID == id && s.department(id) {
			return d, nil
		}
	}
	return fleet.Department{}, refusal(http.StatusNotFound, "not_found", "`watchbill department list` lists them", "there is no department %q", id)
}

func (a *API) showDepartment(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s := a.sight(who)
	d, err := a.findDepartment(s, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return a.departmentRow(s, d), nil
}

func (a *API) putDepartment(r *http.Request, who fleet.Operator) (any, error) {
	var in fleet.Department
	if err := decodeNamed(r, &in, &in.ID); err != nil {
		return nil, err
	}
	id, s := in.ID, a.sight(who)
	if !s.all() && who.Scope.Department != id {
		d, err := a.findDepartment(s, id)
		if err != nil {
			return nil, err
		}
		if row := a.departmentRow(s, d); alike(fleet.Directory{Departments: []fleet.Department{d}}, fleet.Directory{Departments: []fleet.Department{in}}) {
			return DepartmentPut{Department: row}, nil
		}
		return nil, forbidden(who, fleet.MayEditCustomers)
	}
	if err := a.fitsDepartment(s, in); err != nil {
		return nil, err
	}
	var out DepartmentPut
	if err := a.o.Fleet.PutDepartment(r.Context(), in, who.Name, fleet.NoteChange(&out.Changed)); err != nil {
		return nil, fmt.Errorf("declare department %s: %w", id, s.withoutOthers(err))
	}
	d, err := a.findDepartment(a.sight(who), id)
	if err != nil {
		return nil, err
	}
	out.Department = a.departmentRow(a.sight(who), d)
	return out, nil
}

// fitsDepartment is fits for a department, whose terms stay as they are.
func (a *API) fitsDepartment(s sight, d fleet.Department) error {
	if s.all() {
		return nil
	}
	known := fleet.Directory{People: a.people(s), Departments: []fleet.Department{d}}
	for i := range known.People {
		known.People[i].At = ""
	}
	if err := known.Validate(); err != nil {
		return badRequest("", "department %q was not changed:\n%v", d.ID, err)
	}
	var was fleet.Department
	for _, one := range a.o.Fleet.Departments() {
		if one.ID == d.ID {
			was = one
		}
	}
	if err := s.keepsTerms(was, d); err != nil {
		return err
	}
	return s.appoints(fmt.Sprintf("department %q", d.ID), was.Contacts, d.Contacts)
}

func (a *API) removeDepartment(r *http.Request, who fleet.Operator) (any, error) {
	id, s := r.PathValue("id"), a.sight(who)
	if _, err := a.findDepartment(s, id); err != nil {
		return nil, err
	}
	if !s.all() {
		return nil, forbidden(who, fleet.MayEditCustomers)
	}
	return a.removeDeclared(r, who, fleet.DeclaredDepartment, id)
}

// people are those that exist for the operator: who sees only some customers sees those whom these customers, and the
// departments that own them, name as contacts or as responsible for something.
func (a *API) people(s sight) []fleet.Person {
	all := a.o.Fleet.People()
	if s.all() {
		return all
	}
	named := map[string]bool{}
	name := func(contacts []fleet.Contact) {
		for _, c := range contacts {
			named[c.Person] = true
		}
	}
	for _, c := range a.o.Fleet.Customers() {
		if s.customer(c.ID) {
			name(c.Contacts)
			for id := range responsible(c) {
				named[id] = true
			}
		}
	}
	for _, d := range a.o.Fleet.Departments() {
		if s.department(d.ID) {
			name(d.Contacts)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p fleet.Person) bool { return !named[p.ID] && p.ID != s.who.Person })
}

func personRow(s sight, p fleet.Person) PersonRow {
	row := PersonRow{Person: p}
	if p.MadeBy == "" && s.inside() {
		row.DeclaredAt = p.At
	}
	if !s.inside() {
		row.Receivers = nil
	}
	return row
}

func (a *API) listPeople(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s, list := a.sight(who), PersonList{People: []PersonRow{}}
	for _, p := range a.people(s) {
		list.People = append(list.People, personRow(s, p))
	}
	return list, nil
}

func (a *API) findPerson(s sight, id string) (fleet.Person, error) {
	for _, p := range a.people(s) {
		if p.ID == id {
			return p, nil
		}
	}
	return fleet.Person{}, refusal(http.StatusNotFound, "not_found", "`watchbill person list` lists them", "there is no person %q", id)
}

func (a *API) putPerson(r *http.Request, who fleet.Operator) (any, error) {
	var in fleet.Person
	if err := decodeNamed(r, &in, &in.ID); err != nil {
		return nil, err
	}
	id, s := in.ID, a.sight(who)
	if !s.all() { // people are the operator's: who is on call may be among them
		p, err := a.findPerson(s, id)
		if err != nil {
			return nil, err
		}
		if row := personRow(s, p); alike(fleet.Directory{People: []fleet.Person{row.Person}}, fleet.Directory{People: []fleet.Person{in}}) {
			return PersonPut{PersonRow: row}, nil
		}
		return nil, forbidden(who, fleet.MayEditCustomers)
	}
	var out PersonPut
	if err := a.o.Fleet.PutPerson(r.Context(), in, who.Name, fleet.NoteChange(&out.Changed)); err != nil {
		return nil, fmt.Errorf("declare person %s: %w", id, err)
	}
	p, err := a.findPerson(a.sight(who), id)
	if err != nil {
		return nil, err
	}
	out.PersonRow = personRow(s, p)
	return out, nil
}

func (a *API) removePerson(r *http.Request, who fleet.Operator) (any, error) {
	id, s := r.PathValue("id"), a.sight(who)
	if _, err := a.findPerson(s, id); err != nil {
		return nil, err
	}
	if !s.all() {
		return nil, forbidden(who, fleet.MayEditCustomers)
	}
	return a.removeDeclared(r, who, fleet.DeclaredPerson, id)
}

// alike tells that both are exported the same.
func alike(x, y fleet.Directory) bool {
	var a, b strings.Builder
	return x.Export(&a) == nil && y.Export(&b) == nil && a.String() == b.String()
}
