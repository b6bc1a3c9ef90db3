package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// This file does what happens in a scenario, through the doors that the API, the evaluation of rules and the command line
// go through.

// somebody is who does what nobody is named for.
const somebody = "somebody"

// open opens what a person reports.
func (w *world) open(ctx context.Context, o *policy.OpenStep) error {
	received, err := w.s.Time(or(o.Received, "now"), w.now)
	if err != nil {
		return fmt.Errorf("received: %w", err)
	}
	by := ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: or(o.By, somebody)}, Roles: o.Roles}
	b := ticket.Birth{
		Title: or(o.Title, "a report"), Kind: o.Kind, Type: o.Type, Facts: maps.Clone(ticket.Facts(o.Facts)),
		Evidence: o.Record.Evidence(by.Name, w.now), Relation: o.Relation,
		Report: &ticket.Report{By: by.Name, Channel: o.Channel, ReceivedAt: received, Customer: or(o.Customer, w.premise.Customer()),
			Site: o.Site, Asset: o.Asset, Service: o.Service, System: o.System},
	}
	if o.Parent != "" {
		parent, err := w.find(o.Parent)
		if err != nil {
			return err
		}
		b.Parent = &ticket.Ticket{Opening: ticket.Opening{ID: parent.t.ID}}
	}
	t, err := w.p.Open(ctx, b, by)
	if w.refusal = err; errors.Is(err, ticket.ErrRefused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	return w.called(ctx, t, o.As)
}

// do does what somebody does to a ticket. A refused attempt is the step's refusal.
func (w *world) do(ctx context.Context, d *policy.DoStep) error {
	c, err := w.named(d.Ticket)
	if err != nil {
		return err
	}
	if !slices.Contains(ticket.Verbs, d.Verb) {
		return fmt.Errorf("do: %q is nothing a person can do: want one of %v", d.Verb, ticket.Verbs)
	}
	a, err := w.action(d)
	if err != nil {
		return err
	}
	by := ticket.By{
		Actor: ticket.Actor{Kind: ticket.Person, Name: or(d.By, somebody), As: d.As}, Roles: d.Roles, Department: d.Department,
		Customer: d.Customer,
	}
	if d.Actor != "" {
		by.Kind = d.Actor
	}
	_, err = w.p.Act(ctx, c.t.ID, a, by)
	w.refusal = err
	if err != nil && !errors.Is(err, ticket.ErrRefused) {
		return fmt.Errorf("do %s: %w", d.Verb, err)
	}
	return nil
}

// action is what a verb is given.
func (w *world) action(d *policy.DoStep) (ticket.Action, error) {
	a := ticket.Action{
		Verb: d.Verb, Text: d.Text, As: d.As, To: d.To, What: d.What, Facts: d.Facts, Score: d.Score, Relation: d.Relation,
		Evidence: d.Record.Evidence(or(d.By, somebody), w.now), BreakGlass: d.BreakGlass,
	}
	for _, x := range []struct {
		key, text string
		to        *time.Time
	}{{"date", d.Date, &a.At}, {"until", d.Until, &a.Until}} {
		if x.text == "" {
			continue
		}
		at, err := w.s.Time(x.text, w.now)
		if err != nil {
			return a, fmt.Errorf("%s: %w", x.key, err)
		}
		*x.to = at
	}
	if d.Quote != nil {
		a.Quote = &ticket.Quote{Price: d.Quote.Price, Exceptions: d.Quote.Exceptions, Terms: d.Quote.Terms, ETA: d.Quote.ETA}
	}
	if d.Other != "" {
		other, err := w.find(d.Other)
		if err != nil {
			return a, err
		}
		a.Other = &ticket.Ticket{Opening: ticket.Opening{ID: other.t.ID}}
	}
	return a, nil
}

// override puts somebody else on call. One that is wrong is the step's refusal.
func (w *world) override(ctx context.Context, o *policy.OverrideStep) error {
	from, err := w.s.Time(or(o.From, "now"), w.now)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	until, err := w.s.Time(o.Until, w.now)
	if err != nil {
		return fmt.Errorf("until: %w", err)
	}
	_, err = w.p.Override(ctx, route.Override{Rota: o.Rota, Person: o.Person, From: from, Until: until, Reason: o.Reason},
		ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: or(o.By, somebody)}})
	if w.refusal = err; errors.Is(err, ticket.ErrRefused) {
		return nil
	}
	return err
}

// readIntake confirms that an intake was read. The ticket about it, if there was one, is the one that was named last then.
func (w *world) readIntake(ctx context.Context, r *policy.ReadStep) error {
	_, err := w.p.ReadIntake(ctx, r.Intake, ticket.By{Actor: ticket.Actor{Kind: ticket.Person, Name: or(r.By, somebody)}, Roles: r.Roles})
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(w.tickets, func(c *aTicket) bool { return c.name == aboutIntake+r.Intake && c.t.State.Open() }); i >= 0 {
		w.last = w.tickets[i]
	}
	return nil
}

// fire has an alert fire.
func (w *world) fire(ctx context.Context, a *policy.AlertStep) error {
	fired, err := w.s.Time(or(a.Fired, "now"), w.now)
	if err != nil {
		return fmt.Errorf("fired: %w", err)
	}
	expr := or(a.Expr, a.Name)
	if a.Source == sourceOf(rules.Origin{}) { // what the collector says by itself has no expression
		expr = ""
	}
	t := rules.Transition{Origin: rules.Origin{ID: "scenario/" + a.Name, Group: "scenario", Name: a.Name, Expr: expr},
		From: rules.Pending, Alert: rules.Alert{State: rules.Firing, Labels: w.labels(a),
			Annotations: labels.FromStrings("summary", or(a.Summary, a.Name)), FirstBadAt: fired, ActiveAt: fired, FiredAt: fired}}
	if err := w.commit(ctx, t, a.Record.Evidence("rule "+a.Name, w.now)); err != nil {
		return fmt.Errorf("fire: %w", err)
	}
	key := incident.KeyOf(w.p.alertOf(t)).String()
	var its ticket.Ticket
	err = w.p.store.View(ctx, func(tx store.Tx) error {
		open, ok, err := tx.OpenTicket(key)
		if err == nil && !ok {
			open, ok, err = tx.LastTicket(key)
		}
		if err == nil && !ok {
			return fmt.Errorf("fire: no ticket came of %s", a.Name)
		}
		its = open
		return err
	})
	if err != nil {
		return err
	}
	return w.called(ctx, its, a.As)
}

// labels are those of a scenario's alert.
func (w *world) labels(a *policy.AlertStep) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range map[string]string{
		"alertname": a.Name, "instance": a.Asset, "site": a.Site, "customer": or(a.Customer, w.premise.Customer()),
		"severity": or(a.Severity, "critical"), "service": or(a.Service, a.Name), "system": a.System,
		rules.TypeLabel: a.Type,
	} {
		b.Set(name, value)
	}
	return b.Labels()
}

// commit makes a transition durable as Commit does. Evidence that the scenario gives stands in for what would have been
// found by the agent on the asset.
func (w *world) commit(ctx context.Context, t rules.Transition, given []ticket.Evidence) error {
	c, err := w.p.prepare(ctx, w.now, []rules.Transition{t}, w.now)
	if err != nil {
		return err
	}
	for _, e := range given {
		e.Salt = newSalt()
		done, err := e.Prepared()
		if err != nil {
			return err
		}
		found := c.changes[0].evidence
		i := slices.IndexFunc(found, func(other ticket.Evidence) bool { return other.Part == e.Part })
		if i < 0 {
			c.changes[0].evidence = append(found, done)
			continue
		}
		found[i] = done
	}
	if !w.p.commits.do(ctx, c, w.p.writeAll) {
		return ctx.Err()
	}
	return c.err
}

// end has an alert end.
func (w *world) end(ctx context.Context, a *policy.AlertStep) error {
	var held store.AlertState
	err := w.p.store.View(ctx, func(tx store.Tx) error {
		all, err := tx.Alerts()
		i := slices.IndexFunc(all, func(s store.AlertState) bool {
			return s.Origin.Name == a.Name && (a.Asset == "" || s.Alert.Labels.Get("instance") == a.Asset)
		})
		if err == nil && i < 0 {
			return fmt.Errorf("end: no alert %q fires", a.Name)
		}
		if err == nil {
			held = all[i]
		}
		return err
	})
	if err != nil {
		return err
	}
	t := rules.Transition{Origin: held.Origin, From: rules.Firing, Alert: held.Alert}
	t.Alert.State, t.Alert.EndedAt, t.Alert.End = rules.Inactive, w.now, rules.End(or(a.How, string(rules.Recovered)))
	if err := w.commit(ctx, t, nil); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	for _, c := range slices.Backward(w.tickets) {
		if slices.ContainsFunc(c.t.Alerts, func(held incident.Alert) bool { return held.ID == t.ID() && held.Firing() }) {
			w.last = c
			break
		}
	}
	return nil
}
