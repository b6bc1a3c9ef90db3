package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file is what the desk asks of the pipeline: people's actions, decided under the ticket's own terms and committed
// with all that follows.

// errSecond is what a person is told who would open a second ticket for one incident.
func errSecond(err error) error {
	if errors.Is(err, store.ErrOpenTwice) {
		return fmt.Errorf("%w: another ticket is open for the same incident; work on that one", ticket.ErrRefused)
	}
	return err
}

// Act does what a person asks of a ticket; ref is its ID or number. Of Action.Other, the other ticket of a link or a merge,
// only ID or Number needs to be set: it is read anew. send puts the message into the outbox, and says on the ticket by which
// ways it went, or that it is to be delivered by hand. rebase puts the ticket under the terms that its customer has now. A
// refusal by a gate is kept as an attempt and returned as *ticket.GateError.
func (p *pipeline) Act(ctx context.Context, ref string, a ticket.Action, by ticket.By) (ticket.Ticket, error) {
	now := p.now()
	var did outcome
	var after ticket.Ticket
	var refused *ticket.GateError
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did, refused = outcome{}, nil
		t, err := FindTicket(tx, ref)
		if err != nil {
			return err
		}
		asked, err := withOther(tx, a)
		if err != nil {
			return err
		}
		ts, err := p.termsFor(tx, t, asked.Verb, now)
		if err != nil {
			return err
		}
		asked, who, err := p.routed(t, ts, asked, by, now)
		if err != nil {
			return err
		}
		if err := p.kin(tx, t, asked); err != nil {
			return err
		}
		out, sends := p.letterOf(t, asked)
		if sends {
			asked.Text = out.how
		}
		c, err := p.decide(t, asked, who, ts, now)
		if err == nil {
			err = fertile(t, len(c.Births))
		}
		if err != nil && (!errors.As(err, &refused) || c.Empty()) {
			return err
		}
		if err := p.append(tx, c, nil, &did); err != nil {
			return err
		}
		if sends && refused == nil {
			if err := p.deliver(tx, c, out, &did); err != nil {
				return err
			}
		}
		after, err = tx.Ticket(t.ID)
		return err
	})
	if err != nil {
		return ticket.Ticket{}, errSecond(err)
	}
	p.done(did)
	if refused != nil {
		return after, refused
	}
	return after, nil
}

// decide is what an action changes. To acknowledge a ticket acknowledges what its ladder told, too, and may be done again for
// that when the ticket was acknowledged long ago. To file it under another system asks the ownership map anew.
func (p *pipeline) decide(t ticket.Ticket, a ticket.Action, by ticket.By, ts *terms, now time.Time) (ticket.Change, error) {
	c, err := t.Act(a, by, ts.Ticket, now)
	if err == nil && a.Verb == ticket.Set {
		return refiled(t, c, a, by, ts, now)
	}
	if a.Verb != ticket.Ack || by.Kind != ticket.Person {
		return c, err
	}
	var gate *ticket.GateError
	switch {
	case errors.As(err, &gate):
		return c, err
	case err != nil && t.State.Open():
		told := route.Acknowledge(t, ts.Route, ts.Ticket.Hours(), by.Name, now)
		if len(told) == 0 {
			return c, err
		}
		return t.AckLadder(told, by, strings.TrimSpace(a.Text), now)
	case err != nil:
		return c, err
	}
	more, err := c.Ticket.AckLadder(route.Acknowledge(c.Ticket, ts.Route, ts.Ticket.Hours(), by.Name, now), by, "", now)
	return c.Then(more), err
}

// termsFor are the terms by which an action is decided: the ticket's own, and for rebase those that its customer has now.
func (p *pipeline) termsFor(tx store.Tx, t ticket.Ticket, v ticket.Verb, now time.Time) (*terms, error) {
	if v == ticket.Rebase {
		return p.agreements.at(t.Customer, now)
	}
	return p.agreements.of(tx, t)
}

// withOther is a with the other ticket as it is now.
func withOther(tx store.Tx, a ticket.Action) (ticket.Action, error) {
	if a.Other == nil {
		return a, nil
	}
	other, err := FindTicket(tx, or(a.Other.ID, a.Other.Number))
	a.Other = &other
	return a, err
}

// Open opens what a person reports or asks for: b.Report says who and how, b.Kind and b.Type what. Of b.Parent only ID or
// Number needs to be set; number, terms, owner and what the fleet knows of customer and asset are filled in. b.Facts are what
// by says; what contract, fleet and policy give is refused there. What cannot be opened wraps ticket.ErrRefused, and an asset that is not the customer's is as one that does not exist.
func (p *pipeline) Open(ctx context.Context, b ticket.Birth, by ticket.By) (ticket.Ticket, error) {
	now := p.now()
	if b.Report == nil {
		return ticket.Ticket{}, fmt.Errorf("%w: a ticket that a person opens says who reported it and how", ticket.ErrRefused)
	}
	report := *b.Report
	report.By = or(report.By, by.Name)
	if err := p.placed(&report, b.Parent != nil); err != nil {
		return ticket.Ticket{}, err
	}
	var did outcome
	var after ticket.Ticket
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		birth := b.SaidBy(by)
		own := report
		birth.Report, birth.ID, birth.Number, birth.Terms = &own, "", "", ticket.Terms{}
		if err := p.related(tx, &birth); err != nil {
			return err
		}
		c, err := p.bring(tx, birth, "report of "+own.By, now, &did)
		if err != nil {
			return err
		}
		after, err = tx.Ticket(c.Ticket.ID)
		return err
	})
	if err != nil {
		return ticket.Ticket{}, errSecond(err)
	}
	p.done(did)
	return after, nil
}

// placed checks customer and asset of a report and fills in the asset's site.
func (p *pipeline) placed(r *ticket.Report, follows bool) error {
	if r.Customer == "" && follows {
		return nil
	}
	if _, ok := p.fleet.Customer(r.Customer); !ok {
		return fmt.Errorf("%w: there is no customer %q: name one of the fleet's", ticket.ErrRefused, r.Customer)
	}
	if r.Asset == "" {
		if _, ok := p.fleet.Site(r.Customer, r.Site); r.Site != "" && !ok {
			return fmt.Errorf("%w: %s has no site %q", ticket.ErrRefused, r.Customer, r.Site)
		}
		return nil
	}
	a, ok := p.fleet.Asset(r.Asset)
	if !ok || a.Customer != r.Customer {
		return fmt.Errorf("%w: %s has no asset %q", ticket.ErrRefused, r.Customer, r.Asset)
	}
	r.Site = a.Site
	return nil
}

// related reads the parent that a birth names, and finds the ticket of the same fault that monitoring opened.
func (p *pipeline) related(tx store.Tx, b *ticket.Birth) error {
	if b.Parent != nil {
		parent, err := FindTicket(tx, or(b.Parent.ID, b.Parent.Number))
		if err != nil {
			return err
		}
		if err := fertile(parent, 1); err != nil {
			return err
		}
		b.Parent = &parent
	}
	if b.Kind != "" && b.Kind != ticket.KindIncident || b.Report.Asset == "" {
		return nil
	}
	same, ok, err := tx.OpenTicket(b.Report.IncidentKey())
	if ok {
		b.Same = &same
	}
	return err
}

// RateByLink takes the answer of whoever holds the link that the reporter of a closed ticket was sent. A link that was
// used and one that never was, of any ticket, are refused alike.
func (p *pipeline) RateByLink(ctx context.Context, ref, token string, score int, text string) error {
	now := p.now()
	var did outcome
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		did = outcome{}
		t, err := FindTicket(tx, ref)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		c, err := t.RateByLink(token, score, text, now)
		return p.append(tx, c, err, &did)
	})
	if err == nil {
		p.done(did)
	}
	return err
}

// Policies is the book in force; Terms are what holds for a customer now, without a ticket.
func (p *pipeline) Policies() *policy.Book { return p.agreements.policies() }

// Terms are what holds for a new ticket of a customer now. Ticket is Ready.
func (p *pipeline) Terms(customer string) (policy.Resolved, error) {
	ts, err := p.agreements.at(customer, p.now())
	if err != nil {
		return policy.Resolved{}, err
	}
	return ts.Resolved, nil
}

// TermsOf are what a ticket goes by, to the last that was re-based onto. Ticket is Ready.
func (p *pipeline) TermsOf(tx store.Tx, t ticket.Ticket) (policy.Resolved, error) {
	ts, err := p.agreements.of(tx, t)
	if err != nil {
		return policy.Resolved{}, err
	}
	return ts.Resolved, nil
}

// Moves are the open tickets that the policies and calendars in force would move: those of which another clock, due time
// or priority would follow, first in the queue first. Nothing is changed: a person re-bases them, one by one.
func (p *pipeline) Moves(ctx context.Context, f store.TicketFilter) (out []ticket.Move, err error) {
	now := p.now()
	f.Order = store.InQueue
	err = p.store.View(ctx, func(tx store.Tx) error {
		out = nil
		all, err := tx.Tickets(f)
		if err != nil {
			return err
		}
		for _, t := range all {
			ts, err := p.agreements.at(t.Customer, now)
			if err != nil {
				return err
			}
			if ts.Ticket.Digest == t.Terms {
				continue
			}
			if m, moves := t.Moved(ts.Ticket, now); moves {
				out = append(out, m)
			}
		}
		return nil
	})
	return out, err
}

// Rotas are who is on call, with the overrides that people made.
func (p *pipeline) Rotas() route.Rotas { return p.oncall.at(p.now()) }

// Overrides are those that people made of on-call rotas, by ID.
func (p *pipeline) Overrides() []route.Override {
	p.oncall.mu.Lock()
	defer p.oncall.mu.Unlock()
	return slices.Clone(p.oncall.overrides)
}

// Override puts somebody else on call for a while, and returns the override with its ID. What is wrong with it wraps
// ticket.ErrRefused.
func (p *pipeline) Override(ctx context.Context, o route.Override, by ticket.By) (route.Override, error) {
	now := p.now()
	o.By, o.At = by.Name, now.UTC().Truncate(time.Millisecond)
	o.ID = fmt.Sprintf("%s-%s", strings.ToLower(o.At.Format("20060102t150405.000")), newSalt()[:6])
	if err := p.overridable(o, now); err != nil {
		return o, fmt.Errorf("%w: %w", ticket.ErrRefused, err)
	}
	err := p.store.Update(ctx, "", func(tx store.Tx) error {
		return errors.Join(prune(tx, now), tx.PutOverride(store.Override{ID: o.ID, Rota: o.Rota, Person: o.Person, From: o.From,
			Until: o.Until, By: o.By, At: o.At, Reason: o.Reason}))
	})
	if err != nil {
		return o, fmt.Errorf("override rota %s: %w", o.Rota, err)
	}
	return o, p.oncall.load(ctx, p.store)
}

func (p *pipeline) overridable(o route.Override, now time.Time) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if _, ok := p.oncall.at(now)[o.Rota]; !ok {
		return fmt.Errorf("there is no rota %q; there are: %s", o.Rota, strings.Join(p.rotaNames(), ", "))
	}
	person, ok := p.fleet.Person(o.Person)
	switch {
	case !ok:
		return fmt.Errorf("there is no person %q: name one of the fleet's by ID", o.Person)
	case p.fleet.Side(person.ID, "", "") == fleet.Client:
		return fmt.Errorf("%s is of a client, and only people of the house are on call: name one of the operator's or of a department's", o.Person)
	case len(person.Receivers) == 0:
		return fmt.Errorf("%s has no receivers and could not be told: give them some first", o.Person)
	case !o.Until.After(now):
		return fmt.Errorf("it would have ended at %s: give an end that is to come", o.Until.Format(time.RFC3339))
	}
	return nil
}

func (p *pipeline) rotaNames() []string {
	var names []string
	for _, r := range p.agreements.policies().Rotas() {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// DropOverride takes an override back. store.ErrNotFound when there is none of that ID.
func (p *pipeline) DropOverride(ctx context.Context, id string) error {
	if !slices.ContainsFunc(p.Overrides(), func(o route.Override) bool { return o.ID == id }) {
		return fmt.Errorf("override %q: %w", id, store.ErrNotFound)
	}
	if err := p.store.Update(ctx, "", func(tx store.Tx) error { return tx.DeleteOverride(id) }); err != nil {
		return fmt.Errorf("drop override %s: %w", id, err)
	}
	return p.oncall.load(ctx, p.store)
}
