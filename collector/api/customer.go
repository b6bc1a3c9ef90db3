package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
)

// Customer is whose servers are watched, as it was declared.
type Customer struct {
	fleet.Customer
	// DeclaredAt is file and line of the directory that declare it, empty for one that was made by command. One that a file
	// declares is changed there.
	DeclaredAt string `json:"declared_at"`
}

// CustomerList is every customer, in the directory's order.
type CustomerList struct {
	Customers []Customer `json:"customers"`
}

func customerRow(c fleet.Customer) Customer {
	c.Sites = orEmpty(c.Sites)
	row := Customer{Customer: c}
	if c.MadeBy == "" {
		row.DeclaredAt = c.At
	}
	return row
}

// outsider leaves out of a customer what is not for people of the customer: where a file stands on this machine.
func (s sight) outsider(row Customer) Customer {
	if !s.inside() {
		row.DeclaredAt = ""
	}
	return row
}

func (a *API) listCustomers(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s, list := a.sight(who), CustomerList{Customers: []Customer{}}
	for _, c := range a.o.Fleet.Customers() {
		if s.customer(c.ID) {
			list.Customers = append(list.Customers, s.outsider(customerRow(c)))
		}
	}
	return list, nil
}

// findCustomer finds one that the operator sees.
func (a *API) findCustomer(s sight, id string) (fleet.Customer, error) {
	c, ok := a.o.Fleet.Customer(id)
	if !ok || !s.customer(id) {
		return c, noCustomer(id)
	}
	return c, nil
}

func (a *API) showCustomer(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	s := a.sight(who)
	c, err := a.findCustomer(s, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.outsider(customerRow(c)), nil
}

func (a *API) removeCustomer(r *http.Request, who fleet.Operator) (any, error) {
	id := r.PathValue("id")
	c, err := a.findCustomer(a.sight(who), id)
	if err != nil {
		return nil, err
	}
	if !who.MayEdit(id) {
		return nil, notOwn(who, id)
	}
	if c.MadeBy != "" { // what a file declares is not removed here
		if err := a.worked(r.Context(), id); err != nil {
			return nil, err
		}
	}
	return a.removeDeclared(r, who, fleet.DeclaredCustomer, id)
}

// worked refuses to let go of a customer whose tickets are open, naming the first of them.
func (a *API) worked(ctx context.Context, customer string) error {
	const most = 10
	var names []string
	err := a.o.Store.View(ctx, func(tx store.Tx) error {
		names = nil
		open, err := tx.Tickets(store.TicketFilter{Customer: customer, OpenOnly: true, Limit: most + 1})
		for _, t := range open {
			names = append(names, t.Number)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look for open tickets of customer %s: %w", customer, err)
	}
	if len(names) == 0 {
		return nil
	}
	if len(names) > most {
		names = append(names[:most], "and more")
	}
	return refusal(http.StatusConflict, "refused", "resolve and close them first, or merge them into others",
		"customer %q has open tickets: %s", customer, strings.Join(names, ", "))
}

func (a *API) removeDeclared(r *http.Request, who fleet.Operator, kind fleet.DeclaredKind, id string) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	if err := a.o.Fleet.RemoveDeclared(r.Context(), kind, id); err != nil {
		return nil, fmt.Errorf("remove %s %s: %w", kind, id, a.sight(who).withoutOthers(err))
	}
	a.o.Logger.Info("declaration removed", "kind", kind, "id", id, "by", who.Name)
	return Removed{Removed: id}, nil
}

// instantOf reads a time of a query, RFC 3339; fallback when it is not there.
func instantOf(q url.Values, name string, fallback time.Time) (time.Time, error) {
	s := q.Get(name)
	if s == "" {
		return fallback, nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return at, badRequest("write it as 2026-11-20T16:00:00Z", "%s: got %q", name, s)
	}
	return at, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
