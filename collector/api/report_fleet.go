package api

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/prometheus/storage"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// lifecycle lists by responsible manager what is out of support, or will be before the span (the budget year) ends. The
// budget date, and the budget year where no `until` is asked for, are those of the customer's sets.
func (rp *reporter) lifecycle(out *Report) error {
	q := policy.LifecycleQuestion{Customers: rp.customers(), Person: rp.api.o.Fleet.Person, Today: fleet.DateOf(rp.now, rp.zone),
		Due: fleet.Date(rp.q.Get("due"))}
	if q.Due != "" && !q.Due.Valid() {
		return badRequest("write it as 2026-10-01: the budget date of the operator", "due: got %q", q.Due)
	}
	if rp.q.Get("until") != "" {
		q.Last = fleet.DateOf(rp.span.Until.Add(-1), rp.zone)
	}
	q.Of = func(customer string) (*policy.Lifecycle, error) {
		res, err := rp.api.o.Terms.Terms(customer)
		return res.Lifecycle, err
	}
	found, last, err := policy.ReportLifecycle(q)
	if err != nil {
		return err
	}
	if q.Last == "" && last != "" {
		out.Until = last.Next().Start(rp.zone).UTC()
	}
	out.RestsOn = "support_ends of assets and applications as they are declared; what has none is not in it. Due is the next budget date of the " +
		"customer's sets, unless another is asked for; without `until` it looks as far as the budget year that begins there lasts."
	out.Lifecycle = found
	t := ReportTable{Title: "Support that has ended or ends", Columns: []string{"responsible", "name", "customer", "kind", "what", "version",
		"support ends", "state", "due before"}, Rows: [][]string{}}
	for _, l := range out.Lifecycle {
		state := "ends"
		if l.Ended {
			state = "ended"
		}
		t.Rows = append(t.Rows, []string{l.Responsible, l.Name, l.Customer, l.Kind, l.What, l.Version, string(l.SupportEnds), state, string(l.Due)})
	}
	out.Tables = append(out.Tables, t)
	return nil
}

// customers are those that the report is about.
func (rp *reporter) customers() []fleet.Customer {
	var out []fleet.Customer
	for _, c := range rp.api.o.Fleet.Customers() {
		if rp.has(c.ID) {
			out = append(out, c)
		}
	}
	return out
}

// compliance holds each environment against the policy list of its customer's terms, as it is now.
func (rp *reporter) compliance(out *Report) error {
	out.RestsOn = "the policy list of the sets in the customer's contract; a deviation is an open ticket about one of the entry's systems, or one that " +
		"names the entry. Compliant rests on evidence of every asset: a loaded rule of the entry's systems that had data of it within five minutes, " +
		"or a review that was resolved with its evidence within its period; without, it is unknown. It is the state at the time of asking, whatever the span."
	q := policy.ComplianceQuestion{Environments: rp.environments(), Mute: map[string]bool{}, Now: rp.now}
	for _, as := range rp.api.assets(rp.s) {
		q.Mute[as.Name] = as.State != Reporting
	}
	systems := map[string]bool{}
	var longest time.Duration
	q.Terms = func(customer string) (policy.Resolved, error) {
		res, err := rp.api.o.Terms.Terms(customer)
		longest = max(longest, res.LongestReview())
		for _, d := range res.Compliance {
			for _, name := range d.Systems {
				systems[name] = true
			}
		}
		return res, err
	}
	for _, e := range q.Environments {
		if _, err := q.Terms(e.Customer); err != nil {
			return err
		}
	}
	var err error
	if q.Checks, err = rp.checks(systems, q.Environments); err != nil {
		return err
	}
	q.Tickets = rp.openAndReviews(longest)
	if out.Compliance, err = policy.ReportCompliance(q); err != nil {
		return err
	}
	t := ReportTable{Title: "Compliance", Columns: []string{"customer", "environment", "demand", "title", "state", "deviations", "unknown", "set", "why", "evidence"},
		Rows: [][]string{}}
	for i, c := range out.Compliance {
		if !rp.s.inside() { // how things are found is the house's
			out.Compliance[i].Evidence = []string{}
			c.Evidence = nil
		}
		t.Rows = append(t.Rows, []string{c.Customer, c.Environment, c.Demand, c.Title, string(c.State), strings.Join(c.Deviations, " "),
			strings.Join(c.Unknown, " "), c.Source, c.Why, strings.Join(c.Evidence, ", ")})
	}
	out.Tables = append(out.Tables, t)
	return nil
}

// openAndReviews are the open tickets, and what was resolved within a period.
func (rp *reporter) openAndReviews(within time.Duration) iter.Seq[ticket.Ticket] {
	return func(yield func(ticket.Ticket) bool) {
		for t := range rp.tickets(store.TicketFilter{OpenOnly: true}) {
			if !yield(t) {
				return
			}
		}
		if within == 0 {
			return
		}
		for t := range rp.tickets(store.TicketFilter{During: ticket.Span{From: rp.now.Add(-within), Until: rp.now.Add(time.Minute)}}) {
			if t.State.Open() {
				rp.read-- // it was looked at above
			} else if !yield(t) {
				return
			}
		}
	}
}

// checks are, of the loaded rules of some systems, those that have data of the assets of environments.
func (rp *reporter) checks(systems map[string]bool, environments []ticket.Environment) (policy.Checking, error) {
	assets := map[string]bool{}
	for _, e := range environments {
		for _, name := range e.Assets {
			assets[name] = true
		}
	}
	out := policy.Checking{}
	querier, err := rp.api.o.Window.Querier(rp.now.Add(-lookback).UnixMilli(), rp.now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("what rules look at: %w", err)
	}
	defer func() { _ = querier.Close() }()
	for _, g := range rp.api.o.Rules.Groups() {
		for _, r := range g.Rules {
			of := slices.DeleteFunc(systemsOf(r.Rule), func(name string) bool { return !systems[name] })
			if len(of) == 0 {
				continue
			}
			seen, err := seenBy(rp.ctx, querier, r.Rule, assets)
			if err != nil {
				return nil, fmt.Errorf("what rule %s looks at: %w", r.Rule.Name(), err)
			}
			for _, system := range of {
				if out[system] == nil {
					out[system] = map[string][]string{}
				}
				for name := range seen {
					out[system][name] = append(out[system][name], r.Rule.Name())
				}
			}
		}
	}
	return out, nil
}

// systemsOf are the systems that an alert of a rule can be of: the words of its label, which may be a template.
func systemsOf(r *rules.Rule) []string {
	if !r.Alerting() {
		return nil
	}
	return strings.FieldsFunc(r.Labels.Get("system"), func(c rune) bool { return c != '-' && !unicode.IsLetter(c) })
}

// seenBy are the assets of which series are there that a rule reads, apart from those whose absence it wants.
func seenBy(ctx context.Context, q storage.Querier, r *rules.Rule, assets map[string]bool) (map[string]bool, error) {
	seen := map[string]bool{}
	for _, sel := range r.Selectors {
		if sel.Absence {
			continue
		}
		found := q.Select(ctx, false, nil, sel.Matchers...)
		for found.Next() {
			if name := found.At().Labels().Get("instance"); assets[name] {
				seen[name] = true
			}
		}
		if err := found.Err(); err != nil {
			return nil, err
		}
	}
	return seen, nil
}
