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
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// This file opens what comes again and again: the types of a customer's terms that say how often (Type.Every), for each of
// its assets where they say so (Type.Per). When the next one opens lies in the store, so that it opens once, whatever is
// restarted meanwhile; periods that went by while nothing ran are one.

const (
	// planEvery is how often the customers' terms are looked through for what is to come again, beside every reload,
	// planAtOnce how many customers at a time, so that no deadline waits for it.
	planEvery  = 10 * time.Minute
	planAtOnce = 64
	// recurBatch bounds one transaction of what opens; the rest follows at once.
	recurBatch = 64
)

// planning is how far the customers were looked through, and under which policies; it belongs to elapse.
type planning struct {
	began time.Time
	left  []string
	book  *policy.Book
}

// recur plans what is to come again and opens what is due. It returns when the next is. One that cannot be opened keeps no
// other from it: it is logged, counted and tried again later.
func (p *pipeline) recur(ctx context.Context, now time.Time) (next time.Time, err error) {
	planErr := p.plan(ctx, now)
	var due []store.Recurrence
	err = p.store.View(ctx, func(tx store.Tx) (err error) {
		due, next, err = tx.DueRecurrences(now, recurBatch)
		return err
	})
	if err != nil || len(due) == 0 {
		return next, errors.Join(planErr, err)
	}
	err = oneByOne(ctx, p, due, batch[store.Recurrence]{
		do: func(tx store.Tx, r store.Recurrence, did *outcome) error { return p.recurOne(tx, r, now, did) },
		later: func(tx store.Tx, r store.Recurrence) error {
			r.At = now.Add(putOff)
			return tx.PutRecurrence(r)
		},
		failed: func(r store.Recurrence, err error) {
			p.metrics.putOff.WithLabelValues(putOffRecurrence).Inc()
			p.log.Error("what comes again could not be opened; trying again later", "type", r.Type, "customer", r.Customer,
				"asset", r.Asset, "in", putOff, "err", err)
		},
	})
	if err != nil {
		return time.Time{}, errors.Join(planErr, fmt.Errorf("open what comes again: %w", err))
	}
	return next, planErr
}

// recurOne opens the next ticket of a recurrence and says when the one after it opens. While the last one is still open no
// other opens: two would ask for the same.
func (p *pipeline) recurOne(tx store.Tx, r store.Recurrence, now time.Time, did *outcome) error {
	if r.About != "" {
		return p.recurAbout(tx, r, now, did)
	}
	ty, ok, err := p.recurs(r, now)
	if err != nil {
		return err
	}
	if !ok {
		return tx.DeleteRecurrence(r.ID)
	}
	report := ticket.Report{Customer: r.Customer, Site: r.Site, Asset: r.Asset, Key: strings.TrimPrefix(r.ID, r.Customer+"/")}
	_, open, err := tx.OpenTicket(report.TicketKey())
	if err != nil {
		return err
	}
	if !open {
		title := or(ty.Title, ty.Name)
		if r.Asset != "" {
			title += ": " + r.Asset
		}
		c, err := p.bring(tx, ticket.Birth{Kind: ty.Kind, Type: ty.Name, Title: title, Report: &report}, r.ID, now, did)
		if err != nil {
			return err
		}
		r.Last = c.Ticket.ID
	}
	r.At, r.Every = ty.Next(r.At, now), ty.Every
	return tx.PutRecurrence(r)
}

// recurs is the type of a recurrence, false when its customer has none such any more, or no such asset.
func (p *pipeline) recurs(r store.Recurrence, now time.Time) (ticket.Type, bool, error) {
	ts, err := p.agreements.at(r.Customer, now)
	if err != nil {
		return ticket.Type{}, false, err
	}
	ty, ok := ts.Ticket.Type(r.Type)
	if a, there := p.fleet.Asset(r.Asset); r.Asset != "" && (!there || a.Customer != r.Customer) {
		ok = false
	}
	return ty, ok && ty.Every > 0 && (ty.Per == ticket.PerAsset) == (r.Asset != "") && ty.When.Holds(ts.Ticket.Facts), nil
}

// plan looks through some customers for what is to come again that is not known to yet: it opens for the first time one
// period from now.
func (p *pipeline) plan(ctx context.Context, now time.Time) error {
	if book := p.agreements.policies(); book != p.planned.book { // a reload says otherwise, at once
		p.planned = planning{book: book}
	}
	if len(p.planned.left) == 0 {
		if age := now.Sub(p.planned.began); !p.planned.began.IsZero() && age >= 0 && age < planEvery {
			return nil
		}
		p.planned.began = now
		for _, c := range p.fleet.Customers() {
			p.planned.left = append(p.planned.left, c.ID)
		}
	}
	some := p.planned.left[:min(planAtOnce, len(p.planned.left))]
	var want []store.Recurrence
	var errs []error
	if p.planned.began.Equal(now) { // a round begins
		var err error
		if want, err = p.unreadIntakes(now); err != nil {
			errs = append(errs, fmt.Errorf("plan what tells of mail that nobody reads: %w", err))
		}
	}
	for _, customer := range some {
		found, err := p.recurrences(customer, now)
		if err != nil {
			errs = append(errs, fmt.Errorf("plan what comes again for %s: %w", customer, err))
		}
		want = append(want, found...)
	}
	if len(want) > 0 {
		if err := p.store.Update(ctx, "", func(tx store.Tx) error { return plant(tx, want, now) }); err != nil {
			return fmt.Errorf("plan what comes again: %w", err)
		}
	}
	p.planned.left = slices.Clone(p.planned.left[len(some):])
	return errors.Join(errs...)
}

// plant keeps the recurrences that are not there yet, and those that moved. One whose period was changed comes a new period
// after the last one came, and not before now.
func plant(tx store.Tx, want []store.Recurrence, now time.Time) error {
	for _, r := range want {
		old, known, err := tx.Recurrence(r.ID)
		switch {
		case err != nil:
			return err
		case !known || moved(old, r):
			err = tx.PutRecurrence(r)
		case old.Every == r.Every:
			continue
		default:
			if old.Every == 0 { // an older release kept none: it may not be later than one that is new
				old.At = earlier(old.At, r.At)
			} else {
				old.At = later(old.At.Add(r.Every-old.Every), now)
			}
			old.Every = r.Every
			err = tx.PutRecurrence(old)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// recurrences are those that a customer's terms ask for.
func (p *pipeline) recurrences(customer string, now time.Time) (out []store.Recurrence, err error) {
	c, _ := p.fleet.Customer(customer)
	ts, err := p.agreements.at(customer, now)
	if err != nil {
		return nil, err
	}
	for _, ty := range ts.Ticket.Types {
		switch {
		case ty.Every <= 0 || !ty.When.Holds(ts.Ticket.Facts):
		case ty.Per == ticket.PerAsset:
			for _, a := range assetsOf(c) {
				out = append(out, store.Recurrence{ID: customer + "/" + ty.Name + "/" + a.Name, Customer: customer, Type: ty.Name,
					Site: a.Site, Asset: a.Name, At: now.Add(ty.Every), Every: ty.Every})
			}
		default:
			out = append(out, store.Recurrence{ID: customer + "/" + ty.Name, Customer: customer, Type: ty.Name, At: now.Add(ty.Every), Every: ty.Every})
		}
	}
	return append(out, foretold(ts, c, now)...), nil
}

func assetsOf(c fleet.Customer) (out []fleet.Asset) {
	for _, s := range c.Sites {
		out = append(out, s.Assets...)
	}
	return out
}
