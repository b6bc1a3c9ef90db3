package collector

import (
	"fmt"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file keeps the family of a ticket a tree: a ticket knows its parent and its children alone, and what lies further up
// only the store does.

// maxAncestors bounds how many parents stand one above the other.
const maxAncestors = 32

// kin refuses what would make a ticket its own ancestor, however far up.
func (p *pipeline) kin(tx store.Tx, t ticket.Ticket, a ticket.Action) error {
	if a.Other == nil {
		return nil
	}
	above, below := *a.Other, t
	switch {
	case a.Verb == ticket.MarkMajor, a.Verb == ticket.LinkTo && a.Relation == ticket.ParentOf:
		above, below = t, *a.Other
	case a.Verb == ticket.LinkTo && a.Relation == ticket.ChildOf, a.Verb == ticket.Merge:
	default:
		return nil
	}
	if above.ID == below.ID { // the ticket refuses that itself
		return nil
	}
	return p.ancestry(tx, above, below)
}

// ancestry looks through all above a ticket for one that is to come below it. A parent that was merged is the ticket that it
// was merged into.
func (p *pipeline) ancestry(tx store.Tx, above, below ticket.Ticket) error {
	one := above
	for range maxAncestors {
		if one.Parent == nil {
			return nil
		}
		up, err := tx.Ticket(one.Parent.Ticket)
		if err != nil {
			return err
		}
		if up.ID == below.ID {
			return fmt.Errorf("%w: %s stands above %s already, by way of %s: it would be its own ancestor; link them as %q", ticket.ErrRefused,
				below.Number, above.Number, one.Number, ticket.RelatedTo)
		}
		if one, _, err = p.mergedInto(tx, up); err != nil {
			return err
		}
		if one.ID == below.ID {
			return fmt.Errorf("%w: %s stands above %s already, for %s was merged into it: it would be its own ancestor; link them as %q",
				ticket.ErrRefused, below.Number, above.Number, up.Number, ticket.RelatedTo)
		}
	}
	return fmt.Errorf("%w: %s has %d parents one above the other, which is as many as there may be: link it to one further up", ticket.ErrRefused,
		above.Number, maxAncestors)
}

// fertile refuses to open more tickets below one than it keeps the state of: its gates would not know of them.
func fertile(parent ticket.Ticket, more int) error {
	if more > 0 && len(parent.Children)+more > ticket.MaxChildren {
		return fmt.Errorf("%w: %s has %d children, and a ticket has no more than %d: open it below one that stands for some of them",
			ticket.ErrRefused, parent.Number, len(parent.Children), ticket.MaxChildren)
	}
	return nil
}
