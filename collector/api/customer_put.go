package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// CustomerRequest declares a customer, whole.
type CustomerRequest struct {
	fleet.Customer
	// Approval is the number of the ticket on which the client owner approved what becomes of operating model and owners;
	// without such a change it is not needed.
	Approval string `json:"approval,omitempty"`
}

// CustomerPut is a customer as it was declared.
type CustomerPut struct {
	Customer
	// Changed is false where the same was declared already: nothing was written then.
	Changed bool `json:"changed"`
	// Warnings are what a check finds in its contracts, which hold all the same.
	Warnings []string `json:"warnings"`
}

// putCustomer declares a customer, or changes one that a command declared: by whom both what it was and what it is to be
// exist for.
func (a *API) putCustomer(r *http.Request, who fleet.Operator) (any, error) {
	var in CustomerRequest
	if err := decodeNamed(r, &in, &in.ID); err != nil {
		return nil, err
	}
	id, s := in.ID, a.sight(who)
	if !who.Sees(id, in.Department) {
		return nil, noCustomer(id)
	}
	if !who.MayEdit(id) {
		return a.asItStands(who, in.Customer)
	}
	if err := a.fits(s, in.Customer); err != nil {
		return nil, err
	}
	warnings, err := a.fitContracts(s, in.Customer)
	if err != nil {
		return nil, err
	}
	if in.Approval != "" { // one approval serves one change: the next finds what the one before noted
		a.approving.Lock()
		defer a.approving.Unlock()
	}
	consent, err := a.consentBy(r, who, in.Approval)
	if err != nil {
		return nil, err
	}
	out := CustomerPut{Warnings: warnings}
	err = a.o.Fleet.PutCustomer(r.Context(), in.Customer, who.Name, fleet.OnlyIf(consent.to), fleet.NoteChange(&out.Changed))
	if err != nil {
		return nil, fmt.Errorf("declare customer %s: %w", id, s.withoutOthers(err))
	}
	c, err := a.findCustomer(a.sight(who), id)
	if err != nil {
		return nil, err
	}
	out.Customer = s.outsider(customerRow(c))
	if out.Changed {
		a.o.Logger.Info("customer declared", "customer", id, "by", who.Name)
		a.transferred(r, who, consent)
	}
	return out, nil
}

// asItStands answers who may not declare a customer that they see: no change where it is put as it stands, a refusal
// otherwise.
func (a *API) asItStands(who fleet.Operator, in fleet.Customer) (any, error) {
	s := a.sight(who)
	c, ok := a.o.Fleet.Customer(in.ID)
	if !ok || !s.customer(in.ID) || !alike(fleet.Directory{Customers: []fleet.Customer{c}}, fleet.Directory{Customers: []fleet.Customer{in}}) {
		return nil, notOwn(who, in.ID)
	}
	return CustomerPut{Customer: s.outsider(customerRow(c)), Warnings: []string{}}, nil
}

// notOwn refuses to let somebody declare or take back the customer that they are themselves.
func notOwn(who fleet.Operator, id string) error {
	if who.Scope.Department != id {
		return forbidden(who, fleet.MayEditCustomers)
	}
	return refusal(http.StatusForbidden, "forbidden", "ask the operator to change it", "%s is of department %s, which is this customer itself: "+
		"what was agreed with it is declared by the operator", who.Name, id)
}

// consent is the ticket with which a change of operating model or owners was approved, and what it was used for.
type consent struct {
	a   *API
	who fleet.Operator
	// ticket is nil when none was named; history is its.
	ticket  *ticket.Ticket
	history []ticket.Event
	used    []policy.Transfer
}

// consentBy finds the ticket that is named as the approval.
func (a *API) consentBy(r *http.Request, who fleet.Operator, number string) (*consent, error) {
	c := &consent{a: a, who: who}
	if number == "" {
		return c, nil
	}
	var t ticket.Ticket
	err := a.o.Store.View(r.Context(), func(tx store.Tx) (err error) {
		if t, err = a.sight(who).ticket(tx, number); err != nil {
			return err
		}
		c.history, err = tx.Timeline(t.ID)
		return err
	})
	if e := explain(err); err != nil && e.Status == http.StatusNotFound {
		return nil, badRequest("say the number of the ticket on which it was approved", "approval: there is no ticket %q", number)
	}
	if err != nil {
		return nil, fmt.Errorf("find the approval %s: %w", number, err)
	}
	c.ticket = &t
	return c, nil
}

// to refuses what the client owner has to approve and did not.
func (c *consent) to(was, becomes fleet.Customer) error {
	c.used = c.a.o.Terms.Policies().Transfers(was, becomes)
	if len(c.used) > 0 && !c.who.Sees(was.ID, was.Department) {
		return errTaken() // somebody else's, taken back since
	}
	var what, missing []string
	for _, x := range c.used {
		what = append(what, x.String())
		switch {
		case c.ticket == nil:
			missing = append(missing, fmt.Sprintf("approval: %s: the number of a ticket on which %s approved it", x, strings.Join(x.Roles, " or ")))
		default:
			if lacks := x.Consented(*c.ticket, c.history); lacks != "" {
				missing = append(missing, fmt.Sprintf("approval: %s: %s", x, lacks))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	x := c.used[0]
	e := refusal(http.StatusConflict, "refused", fmt.Sprintf("open a request for it (`watchbill ticket open \"%s\" --kind request --type %s --customer %s`), "+
		"let %s approve it (`watchbill ticket approve NUMBER %s`), and name it: the field approval, or `watchbill customer apply FILE --approval NUMBER`",
		x.What, x.Type, x.Customer, strings.Join(x.Roles, " or "), policy.Consent),
		"customer %q was not changed: %s", x.Customer, strings.Join(what, "; "))
	e.Gate, e.Missing = policy.Consent, missing
	return e
}

// transferred writes onto the approval's ticket what was changed on its strength, which uses it up: also when who asked for it
// no longer waits. The change stands whatever becomes of that.
func (a *API) transferred(r *http.Request, who fleet.Operator, c *consent) {
	if c.ticket == nil || len(c.used) == 0 {
		return
	}
	_, err := a.o.Desk.Act(context.WithoutCancel(r.Context()), c.ticket.ID, ticket.Action{Verb: ticket.Note, Text: policy.Note(c.used)}, actor(who))
	if err != nil {
		a.o.Logger.Warn("a change of operating model or owners could not be noted on the ticket that approved it: close that ticket, or it approves another",
			"ticket", c.ticket.Number, "customer", c.ticket.Customer, "err", err)
	}
}

// fits refuses, for who does not see the whole fleet, a customer that is wrong by itself bears a name of somebody
// else's, or names people for the operator's house. It goes by what exists for them: a refusal says nothing of anybody else.
func (a *API) fits(s sight, c fleet.Customer) error {
	if s.all() {
		return nil
	}
	was, there := a.o.Fleet.Customer(c.ID)
	if there && !s.customer(c.ID) {
		return errTaken()
	}
	known := fleet.Directory{People: a.people(s), Customers: []fleet.Customer{c}}
	for _, d := range a.o.Fleet.Departments() {
		if d.ID == c.ID && c.Department == "" {
			known.Customers[0].Department = c.ID // a customer of a department's ID is that department's
		}
		if s.department(d.ID) {
			d.Contacts = nil
			known.Departments = append(known.Departments, d)
		}
	}
	for i := range known.People {
		known.People[i].At = "" // where a file stands on this machine
	}
	if err := known.Validate(); err != nil {
		return badRequest("", "customer %q was not changed:\n%v", c.ID, err)
	}
	return s.appoints(fmt.Sprintf("customer %q", c.ID), was.Contacts, c.Contacts)
}

// errTaken is all that somebody learns of a name that is another's.
func errTaken() *Error {
	return refusal(http.StatusConflict, "refused", "", "that name is taken: choose another")
}

// withoutOthers is a refusal of the fleet as who does not see all of it may read it: what was wrong by itself was said by
// fits, what is left is a name in it that somebody else has, or a file that is the operator's.
func (s sight) withoutOthers(err error) error {
	var no *fleet.Refusal
	switch {
	case s.all() || !errors.As(err, &no):
		return err
	case errors.Is(no, fleet.ErrDeclared):
		return refusal(http.StatusConflict, "refused", "", "it is declared in the operator's files: ask who runs this collector to change it there")
	case errors.Is(no, fleet.ErrInvalid), errors.Is(no, fleet.ErrTaken):
		return errTaken()
	}
	return err
}
