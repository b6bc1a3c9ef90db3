package policy

import (
	"maps"
	"slices"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/ticket"
)

// letter finds an internal notice or rung that is for clients and has no letter for them: internal words stay inside, so
// clients would get a message that nobody worded. Who reported something may be of either side.
func (c *checker) letter(at, what, template, letter string, to []Recipient) {
	switch {
	case letter != "" && template != "":
		c.fault(at, "leave the letter out: the template is for all of them", "%s: it has a template and a letter", what)
		return
	case letter != "":
		c.word(at, what+": letter", letter, slices.Sorted(maps.Keys(c.Templates)))
		return
	case template != "":
		return
	}
	for _, r := range to {
		role := r.Role
		if p, ok := c.Parties[r.Party]; ok {
			role = p.Role
		}
		switch {
		case role == string(fleet.ClientOwnerUser):
			c.fault(r.At, "give it a template, or a letter: a template for those who are not of the house",
				"%s: %s is the client's, to whom internal words do not go", what, or(r.Party, role))
		case r.Person == "reporter":
			c.warn(r.At, "give it a letter: a template for those who are not of the house",
				"%s: a reporter who is the client's gets an empty message, for internal words do not go there", what)
		}
	}
}

// handoffs are the kinds of events of which to whom and by whom a ticket was offered is known.
var handoffs = []ticket.Kind{ticket.HandedOff, ticket.HandoffTaken, ticket.HandoffBack, ticket.HandoffWithdrawn}

// handoff finds who is told as a party of a handoff of something that is none: that would be nobody.
func (c *checker) handoff(what string, on []string, to []Recipient) {
	none := len(on) == 0 || slices.ContainsFunc(on, func(kind string) bool { return !slices.Contains(handoffs, ticket.Kind(kind)) })
	for _, r := range to {
		if none && (r.Party == route.PartyOffered || r.Party == route.PartyOffering) {
			c.fault(r.At, "tell them on handed_off, handoff_accepted, handoff_returned or handoff_withdrawn alone",
				"%s: party %s is known of handoffs alone", what, r.Party)
		}
	}
}
