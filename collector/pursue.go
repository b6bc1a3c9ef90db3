package collector

import (
	"errors"
	"fmt"
	"strings"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file carries out what a change of one ticket asks of others: package ticket says with Change what that is.

// drafted keeps the messages that rules wrote, for the owning department to send. Nobody is told of them again: those who
// can send them were told that they wait. A ticket that has as many drafts as it keeps has them in its timeline.
func (p *pipeline) drafted(tx store.Tx, t ticket.Ticket, drafts []ticket.Draft, did *outcome) error {
	for _, d := range drafts {
		c, err := t.AddDraft(d.To, d.Template, d.Text, t.UpdatedAt)
		if errors.Is(err, ticket.ErrRefused) {
			p.log.Warn("a message to a client is kept in the timeline, not as a draft", "number", t.Number, "template", d.Template, "err", err)
			c, err = t.KeepUndrafted(d.To, d.Template, d.Text, t.UpdatedAt)
		}
		c.Notices = nil
		if err := p.append(tx, c, err, did); err != nil {
			return err
		}
		t = c.Ticket
	}
	return nil
}

// pursue carries out what follows from a change: those of other tickets that belong to it, the tickets that it opens, and
// that its parent hears of its state.
func (p *pipeline) pursue(tx store.Tx, c ticket.Change, did *outcome) error {
	if c.Other != nil {
		if err := p.append(tx, *c.Other, nil, did); err != nil {
			return fmt.Errorf("with ticket %s: %w", c.Ticket.Number, err)
		}
	}
	if err := p.bear(tx, c, c.Ticket.UpdatedAt, did); err != nil {
		return err
	}
	if c.Before > 0 && c.Was != c.Ticket.State && c.Ticket.Parent != nil {
		if err := p.tellParent(tx, c.Ticket, did); err != nil {
			return err
		}
	}
	return p.askRating(tx, c, did)
}

// tellParent lets a parent hear what became of its child; one that was merged is the ticket that took it over.
func (p *pipeline) tellParent(tx store.Tx, child ticket.Ticket, did *outcome) error {
	parent, err := tx.Ticket(child.Parent.Ticket)
	if err != nil {
		return err
	}
	parent, _, err = p.mergedInto(tx, parent)
	if err != nil {
		return err
	}
	c, err := parent.ChildChanged(child, child.UpdatedAt)
	return p.append(tx, c, err, did)
}

// askRating asks who reported a ticket that was closed how likely they are to recommend the service, by a link that is
// good for one answer. What is kept of the link's token is its digest alone, and no log and nobody of the house is told it.
// Without web.external_url there is no link: the notice says so, and whoever sends messages asks by hand.
func (p *pipeline) askRating(tx store.Tx, c ticket.Change, did *outcome) error {
	if c.Was == ticket.Shut || c.Ticket.State != ticket.Shut {
		return nil
	}
	ts, err := p.agreements.of(tx, c.Ticket)
	if err != nil || !ts.Ticket.Rating {
		return err
	}
	t, err := tx.Ticket(c.Ticket.ID) // drafts may have come to it
	if err != nil || t.RatingDigest != "" {
		return err
	}
	token := newSalt()
	asked, err := t.AskRating(ticket.RatingDigestOf(token), ts.Ticket, t.UpdatedAt)
	if err != nil || asked.Empty() {
		return err
	}
	n := ticket.Notice{What: ticket.RatingAsked, Text: t.Reporter + " is asked for a rating"}
	if url := p.audience.Load().url; url != "" {
		n.Link = strings.TrimSuffix(url, "/") + "/rate/" + t.Number + "/" + token
	} else {
		n.Text += ": " + errNoLink.Error() + "; ask by hand, and record the answer with watchbill ticket rate " + t.Number
	}
	asked.Notices = append(asked.Notices, n)
	return p.append(tx, asked, nil, did)
}
