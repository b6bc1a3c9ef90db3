package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file asks the client owner for what files changed without: a file is in force when it is read, so what becomes of
// operating model or owners is asked for afterwards, on a ticket.

// heedFiles asks for what files changed of operating model and owners since they were known last, before is what was in force
// then, and keeps what they say now. It answers what was changed and where it is to be approved. What commands declare waited
// for its approval.
func (c *Collector) heedFiles(ctx context.Context, policies *policy.Book, before fleet.Directory) (said []string, err error) {
	kept := map[string]fleet.Customer{}
	if err := c.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Declared(fleet.DeclaredFiled)
		for _, d := range all {
			if d.Customer != nil {
				kept[d.ID] = *d.Customer
			}
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("read what was declared last: %w", err)
	}
	prior := map[string]fleet.Customer{}
	for _, was := range before.Customers {
		prior[was.ID] = was
	}
	var anew []fleet.Declared
	var transfers []policy.Transfer
	for _, is := range c.fleet.Directory().Customers {
		if is.MadeBy != "" {
			continue
		}
		was, known := kept[is.ID]
		if !known {
			was = prior[is.ID]
		}
		transfers = append(transfers, policies.Transfers(was, is)...)
		now := fleet.KnownOf(is, c.now())
		if len(is.Contracts) == 0 && len(was.Contracts) > 0 {
			now = fleet.KnownOf(was, c.now()) // contracts that come back are held against those that went
		}
		same, err := alike(was, *now.Customer)
		if err != nil {
			return nil, fmt.Errorf("compare what files declare of %s: %w", is.ID, err)
		}
		if !known || !same {
			anew = append(anew, now)
		}
	}
	said = c.askConsents(ctx, transfers) // before it is forgotten what was; asked again, an open ticket is the same
	if len(anew) == 0 {
		return said, nil
	}
	err = c.store.Update(ctx, "", func(tx store.Tx) error {
		var errs []error
		for _, d := range anew {
			errs = append(errs, tx.PutDeclared(d))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return said, fmt.Errorf("keep what files declare: %w", err)
	}
	return said, nil
}

// consents is heedFiles for who goes on whatever comes of it: what cannot be read or kept is logged and told, and looked at
// again at the next reload or start.
func (c *Collector) consents(ctx context.Context, policies *policy.Book, before fleet.Directory) []string {
	said, err := c.heedFiles(ctx, policies, before)
	if err != nil {
		c.log.Error("whether files changed operating model or owners is not known until the next reload or start", "err", err)
		said = append(said, "whether files changed operating model or owners is not known: reload again: "+err.Error())
	}
	return said
}

// alike tells that two are kept the same.
func alike(a, b fleet.Customer) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return bytes.Equal(x, y), err
}

// askConsents opens a ticket for every transfer, and says to who reloads what was changed and where it is to be approved.
func (c *Collector) askConsents(ctx context.Context, all []policy.Transfer) (said []string) {
	for _, x := range all {
		number, err := c.pipeline.askConsent(ctx, x)
		text := fmt.Sprintf("%s: %s: %s has to approve it: ", x.At, x, strings.Join(x.Roles, " or "))
		if err != nil {
			text += fmt.Sprintf("no ticket could be opened for that (%v): open one of type %s, or take it back in the file", err, x.Type)
		} else {
			text += fmt.Sprintf("%s asks for it; take the change back in the file when they do not", number)
		}
		c.log.Warn("files changed operating model or owners without the client owner's approval", "found", text)
		said = append(said, text)
	}
	return said
}

// askConsent opens the ticket on which a transfer is to be approved, and answers its number; that of the one that is open for
// it already where there is one. What was approved on that one was the change as it was made before: it is asked anew then.
func (p *pipeline) askConsent(ctx context.Context, x policy.Transfer) (number string, err error) {
	report := ticket.Report{By: "watchbill", Customer: x.Customer, Key: x.Key()}
	for {
		t, err := p.Open(ctx, ticket.Birth{Kind: ticket.KindRequest, Type: x.Type, Title: "Approve: " + x.String(), Report: &report},
			ticket.By{Actor: ticket.Actor{Kind: ticket.House, Name: "watchbill"}})
		if !errors.Is(err, ticket.ErrRefused) {
			return t.Number, err
		}
		there := false
		viewErr := p.store.View(ctx, func(tx store.Tx) (err error) {
			t, there, err = tx.OpenTicket(report.TicketKey())
			return err
		})
		if viewErr != nil || !there {
			return "", errors.Join(err, viewErr)
		}
		if !x.Approved(t) {
			return t.Number, nil
		}
		report.Key = x.Key() + "/" + t.Number // each used one leads to the next
	}
}
