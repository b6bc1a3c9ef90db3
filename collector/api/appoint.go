package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
)

// This file says whom and what those declare who are bound to a department: the roles of the operator's house, and what
// decides contracts and clocks of the department itself, are the operator's.

// appoints refuses, for who does not see the whole fleet, contacts in roles of the operator's house that are not those which
// stand already, as they stand; what is the name of what they belong to.
func (s sight) appoints(what string, was, becomes []fleet.Contact) error {
	old, now := ofHouse(was), ofHouse(becomes)
	if s.all() || slices.Equal(old, now) {
		return nil
	}
	var said []string
	for _, c := range now {
		if !slices.Contains(old, c) {
			said = append(said, c+" would be new")
		}
	}
	for _, c := range old {
		if !slices.Contains(now, c) {
			said = append(said, c+" would be gone")
		}
	}
	return refusal(http.StatusForbidden, "forbidden", "leave the contacts in other roles as they stand, and ask the operator to change them: you declare who is "+
		oneOfRoles(fleet.OutsideRoles()), "%s was not changed: contacts: %s: who has a role of the operator's house is declared by the operator",
		what, cmp.Or(strings.Join(said, "; "), "their order would be another"))
}

// ofHouse are those in roles of the operator's house, each in words that tell it from all others.
func ofHouse(contacts []fleet.Contact) []string {
	var out []string
	for _, c := range contacts {
		if slices.Contains(fleet.OutsideRoles(), c.Role) {
			continue
		}
		words := []string{string(c.Role)}
		for _, word := range append([]string{c.Person, c.Name, c.Email, c.Phone}, c.Receivers...) {
			if word != "" {
				words = append(words, word)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func oneOfRoles(roles []fleet.Role) string {
	words := make([]string, 0, len(roles))
	for _, r := range roles {
		words = append(words, string(r))
	}
	return strings.Join(words, ", ")
}

// keepsTerms refuses, for who does not see the whole fleet, to change what of a department decides contracts and clocks:
// whether it is a customer itself, and the zone that its customers' days and hours are in where they name none.
func (s sight) keepsTerms(was, becomes fleet.Department) error {
	var said []string
	if was.Customer != becomes.Customer {
		said = append(said, fmt.Sprintf("customer: it is %v and would be %v", was.Customer, becomes.Customer))
	}
	if was.Zone != becomes.Zone {
		said = append(said, fmt.Sprintf("zone: it is %q and would be %q", was.Zone, becomes.Zone))
	}
	if s.all() || len(said) == 0 {
		return nil
	}
	return refusal(http.StatusForbidden, "forbidden", "leave them as they stand, and ask the operator to change them",
		"department %q was not changed: %s: contracts and clocks go by that, and the operator declares it", becomes.ID, strings.Join(said, "; "))
}
