package fleet

import (
	"slices"
	"time"
)

// This file keeps what was known last of a customer's contracts, so that who takes them away and declares others is held
// against those that were in force.

// KnownOf is the record of what was known last of a customer's contracts and of what they are resolved with, at is when.
func KnownOf(c Customer, at time.Time) Declared {
	known := Customer{ID: c.ID, Department: c.Department, Zone: c.Zone, Contracts: c.Contracts}
	return Declared{Kind: DeclaredFiled, ID: c.ID, Customer: &known, At: at.UTC()}
}

// keepKnown keeps the contracts of a customer; without any it leaves what was known.
func keepKnown(r Records, c Customer, at time.Time) error {
	if len(c.Contracts) == 0 {
		return nil
	}
	return r.PutDeclared(KnownOf(c, at))
}

// lastKnown is the customer as it was known with contracts last: itself where it has some, or where nothing was known.
func lastKnown(r Records, id string, c Customer) (Customer, error) {
	if len(c.Contracts) > 0 {
		return c, nil
	}
	all, err := r.Declared(DeclaredFiled)
	if err != nil {
		return Customer{}, err
	}
	i := slices.IndexFunc(all, func(d Declared) bool { return d.ID == id && d.Customer != nil && len(d.Customer.Contracts) > 0 })
	if i < 0 {
		return c, nil
	}
	return *all[i].Customer, nil
}

// allow asks whether the change of a customer may be, and keeps what is known of its contracts from then on. What is no
// customer may.
func (p *putting) allow(r Records, d Declared) error {
	if d.Customer == nil {
		return nil
	}
	if p.may != nil {
		was, err := lastKnown(r, d.ID, p.was)
		if err != nil {
			return err
		}
		if err := p.may(was, p.becomes); err != nil {
			return err
		}
	}
	if err := keepKnown(r, p.was, d.At); err != nil {
		return err
	}
	return keepKnown(r, p.becomes, d.At)
}
