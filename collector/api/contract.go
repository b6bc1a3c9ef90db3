package api

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
)

// Contract is what a customer and the operator agreed on, with what it comes to.
type Contract struct {
	fleet.Contract
	// InForce tells that it holds now.
	InForce bool `json:"in_force"`
	// Fault is why it cannot hold with the policy sets in force, empty when it can: tickets then open as without a contract.
	Fault string `json:"fault"`
	// EntitledFrom is when its support begins, null when nothing says so.
	EntitledFrom *time.Time `json:"entitled_from"`
	// Policy and PolicyVersion are its composed sets, empty for one that is not in force.
	Policy        string `json:"policy"`
	PolicyVersion string `json:"policy_version"`
	// Clocks are the targets that hold under it: of the sets, or its own.
	Clocks []ContractTarget `json:"clocks"`
	// Sources tell which set or contract gave what, by section, field and part.
	Sources map[string]string `json:"sources"`
	// Offers is what may be said to a ticket under it: its sets together. Null in lists, and for one that is not in force.
	Offers *Offers `json:"offers"`
}

// ContractTarget is a target as it stands in the terms in force.
type ContractTarget struct {
	Clock  string `json:"clock"`
	Target string `json:"target"`
	// Breaches is false where the clock only informs: so it was agreed, or there is no written agreement.
	Breaches bool `json:"breaches"`
	// When are the conditions on the ticket's facts, such as its priority.
	When   map[string][]string `json:"when"`
	Source string              `json:"source"`
}

// ContractList is every contract, by customer.
type ContractList struct {
	Contracts []Contract `json:"contracts"`
}

// contracts are those of the customers that the operator sees.
func (a *API) contracts(s sight) []fleet.Contract {
	var out []fleet.Contract
	for _, c := range a.o.Fleet.Customers() {
		if !s.customer(c.ID) {
			continue
		}
		for _, k := range c.Contracts {
			k.Customer = c.ID
			out = append(out, k)
		}
	}
	return out
}

func (a *API) contractRow(k fleet.Contract) (Contract, error) {
	row := Contract{Contract: k, Clocks: []ContractTarget{}, Sources: map[string]string{}}
	if at, known := a.o.Fleet.Entitled(k); known {
		row.EntitledFrom = &at
	}
	if c, ok := a.o.Fleet.Customer(k.Customer); ok {
		row.Fault = a.unfit(c, k)
	}
	held, ok := a.o.Fleet.ContractAt(k.Customer, a.o.Now())
	if row.InForce = ok && held.ID == k.ID; !row.InForce || row.Fault != "" {
		return row, nil
	}
	res, err := a.o.Terms.Terms(k.Customer)
	if err != nil {
		return row, fmt.Errorf("terms of contract %s: %w", k.ID, err)
	}
	row.Policy, row.PolicyVersion = res.Ticket.Policy, res.Ticket.Version
	maps.Copy(row.Sources, res.Sources)
	for _, t := range res.Ticket.Targets {
		when := map[string][]string{}
		maps.Copy(when, t.When)
		row.Clocks = append(row.Clocks, ContractTarget{Clock: t.Target.Clock, Target: t.Target.Text(), Breaches: !t.Target.Inform && !t.Beside && !res.Ticket.BestEffort, When: when, Source: t.Source})
	}
	return row, nil
}

// unfit is why a contract of a customer cannot be put into force with the policy sets that are; empty when it can.
func (a *API) unfit(c fleet.Customer, k fleet.Contract) string {
	res, err := a.o.Terms.Policies().Resolve(policy.Request{Customer: c, Contract: &k})
	if err == nil {
		_, err = res.Ticket.Ready()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// fitContracts refuses a customer of whose contracts a check finds one at fault, in its words, and answers what else it finds
// in them, to who sees how the house works. That nobody can be reached for a party warns only: people and contacts come and
// go without the contract. What is declared already to the last word is warned of, and not refused.
func (a *API) fitContracts(s sight, c fleet.Customer) (warnings []string, err error) {
	was, declared := a.o.Fleet.Customer(c.ID)
	same := declared && alike(fleet.Directory{Customers: []fleet.Customer{was}}, fleet.Directory{Customers: []fleet.Customer{c}})
	c.Contracts = slices.Clone(c.Contracts)
	for i := range c.Contracts {
		c.Contracts[i].Customer = c.ID
	}
	var faults []string
	warnings = []string{}
	for _, f := range a.o.Terms.Policies().CheckCustomer(a.o.Fleet.Directory(), c, a.o.Now()) {
		switch {
		case f.Fault && !f.Reach && !same:
			faults = append(faults, f.String())
		case s.inside():
			warnings = append(warnings, f.String())
		}
	}
	for _, k := range c.Contracts {
		if why := a.unfit(c, k); why != "" && len(faults) == 0 && !same && !policy.Over(k, a.o.Now()) {
			faults = append(faults, why)
		}
	}
	if len(faults) == 0 {
		return warnings, nil
	}
	e := badRequest("`watchbill policies list` shows the sets that ship, GET /policies those in force",
		"customer %q was not changed:\n%s", c.ID, strings.Join(faults, "\n"))
	e.Details = faults
	return nil, e
}

func (a *API) listContracts(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "customer")
	if err != nil {
		return nil, err
	}
	list := ContractList{Contracts: []Contract{}}
	s := a.sight(who)
	for _, k := range a.contracts(s) {
		if c := q.Get("customer"); c != "" && k.Customer != c {
			continue
		}
		row, err := a.contractRow(k)
		if err != nil {
			return nil, err
		}
		if !s.inside() {
			row.Fault = ""
		}
		list.Contracts = append(list.Contracts, row)
	}
	return list, nil
}

func (a *API) showContract(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	id, s := r.PathValue("id"), a.sight(who)
	for _, k := range a.contracts(s) {
		if k.ID == id {
			row, err := a.contractRow(k)
			if !s.inside() {
				row.Fault = ""
			}
			if err != nil || row.Policy == "" {
				return row, err
			}
			res, err := a.o.Terms.Terms(k.Customer)
			if err != nil {
				return nil, fmt.Errorf("terms of contract %s: %w", k.ID, err)
			}
			offers := offersOf(s, res)
			row.Offers = &offers
			return row, nil
		}
	}
	return nil, refusal(http.StatusNotFound, "not_found", "`watchbill contract list` lists them", "there is no contract %q", id)
}

// MediaYAML is the media type of an exported directory.
const MediaYAML = "application/yaml"

// exportDirectory writes what is declared and exists for the operator as YAML from which the same is read back. What is
// narrower than the whole fleet names people whom it does not hold: those of its contacts are in it.
func (a *API) exportDirectory(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "customer")
	if err != nil {
		return nil, err
	}
	s := a.sight(who)
	d, err := a.directory(s, q)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := d.Export(&b); err != nil {
		return nil, fmt.Errorf("export the directory: %w", err)
	}
	return Download{Name: "fleet.yml", Size: int64(b.Len()), Media: MediaYAML, Body: io.NopCloser(&b)}, nil
}

// directory is the part of the fleet's that exists for the operator, or what of it one customer needs.
func (a *API) directory(s sight, q url.Values) (fleet.Directory, error) {
	all, only := a.o.Fleet.Directory(), q.Get("customer")
	if s.all() && only == "" {
		return all, nil
	}
	if only != "" {
		if _, err := a.findCustomer(s, only); err != nil {
			return fleet.Directory{}, err
		}
	}
	var out fleet.Directory
	named := map[string]bool{}
	note := func(contacts []fleet.Contact) {
		for _, c := range contacts {
			named[c.Person] = true
		}
	}
	departments := map[string]bool{}
	for _, c := range all.Customers {
		if !s.customer(c.ID) || only != "" && c.ID != only {
			continue
		}
		out.Customers = append(out.Customers, c)
		departments[c.Department] = true
		note(c.Contacts)
		for name := range responsible(c) {
			named[name] = true
		}
	}
	for _, d := range all.Departments {
		if departments[d.ID] || d.ID == only || only == "" && s.who.Scope.Department == d.ID {
			out.Departments = append(out.Departments, d)
			note(d.Contacts)
		}
	}
	for _, p := range all.People {
		if named[p.ID] {
			out.People = append(out.People, personRow(s, p).Person)
		}
	}
	return out, nil
}

// responsible are the people who manage a customer's devices and applications.
func responsible(c fleet.Customer) map[string]bool {
	out := map[string]bool{}
	for _, ap := range c.Applications {
		out[ap.Responsible] = true
	}
	for _, site := range c.Sites {
		for _, as := range site.Assets {
			out[as.Responsible] = true
		}
	}
	delete(out, "")
	return out
}
