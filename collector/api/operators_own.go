package api

import (
	"fmt"
	"net/http"

	"github.com/watchbill/watchbill/collector/fleet"
)

// ContactList is the operator's own contacts: whom roles mean where neither customer nor department has somebody.
type ContactList struct {
	Contacts []fleet.Contact `json:"contacts"`
	// DeclaredAt is file and line of the directory that declare the first of them, or who declared them by command; empty
	// when there are none.
	DeclaredAt string `json:"declared_at"`
}

// ContactPut is the operator's contacts as they were declared.
type ContactPut struct {
	ContactList
	// Changed is as in CustomerPut.
	Changed bool `json:"changed"`
}

// ContactRequest declares the operator's contacts, all of them; none takes back what a command declared.
type ContactRequest struct {
	Contacts []fleet.Contact `json:"contacts"`
}

// SoftwareList is the software, applications and connections that the operator approved.
type SoftwareList struct {
	ApprovedSoftware []fleet.Software `json:"approved_software"`
	// DeclaredAt is as in ContactList.
	DeclaredAt string `json:"declared_at"`
}

// SoftwarePut is the approved software as it was declared.
type SoftwarePut struct {
	SoftwareList
	// Changed is as in CustomerPut.
	Changed bool `json:"changed"`
}

// SoftwareRequest declares the approved software, all of it; none takes back what a command declared.
type SoftwareRequest struct {
	ApprovedSoftware []fleet.Software `json:"approved_software"`
}

// listContacts shows the operator's contacts to who sees the whole fleet: for others only those of their own exist.
func (a *API) listContacts(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return a.contacts(a.sight(who)), nil
}

func (a *API) contacts(s sight) ContactList {
	out := ContactList{Contacts: []fleet.Contact{}}
	if all := a.o.Fleet.Directory().Contacts; s.all() && len(all) > 0 {
		out.Contacts, out.DeclaredAt = all, all[0].At
	}
	return out
}

func (a *API) putContacts(r *http.Request, who fleet.Operator) (any, error) {
	var in ContactRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if in.Contacts == nil {
		return nil, badRequest(`send {"contacts": [...]}; an empty list takes them back`, "body: contacts: must be given")
	}
	var out ContactPut
	if err := a.o.Fleet.PutContacts(r.Context(), in.Contacts, who.Name, fleet.NoteChange(&out.Changed)); err != nil {
		return nil, fmt.Errorf("declare the operator's contacts: %w", err)
	}
	if out.Changed {
		a.o.Logger.Info("operator's contacts declared", "contacts", len(in.Contacts), "by", who.Name)
	}
	out.ContactList = a.contacts(a.sight(who))
	return out, nil
}

// listSoftware shows what is approved to everybody who may read: who asks for something looks there.
func (a *API) listSoftware(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	return a.software(a.sight(who)), nil
}

func (a *API) software(s sight) SoftwareList {
	out := SoftwareList{ApprovedSoftware: []fleet.Software{}}
	if all := a.o.Fleet.Directory().ApprovedSoftware; len(all) > 0 {
		if out.ApprovedSoftware = all; s.inside() {
			out.DeclaredAt = all[0].At
		}
	}
	return out
}

func (a *API) putSoftware(r *http.Request, who fleet.Operator) (any, error) {
	var in SoftwareRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if in.ApprovedSoftware == nil {
		return nil, badRequest(`send {"approved_software": [...]}; an empty list takes it back`, "body: approved_software: must be given")
	}
	var out SoftwarePut
	if err := a.o.Fleet.PutApprovedSoftware(r.Context(), in.ApprovedSoftware, who.Name, fleet.NoteChange(&out.Changed)); err != nil {
		return nil, fmt.Errorf("declare the approved software: %w", err)
	}
	if out.Changed {
		a.o.Logger.Info("approved software declared", "entries", len(in.ApprovedSoftware), "by", who.Name)
	}
	out.SoftwareList = a.software(a.sight(who))
	return out, nil
}
