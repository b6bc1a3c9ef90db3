package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Terms is what tickets go by, as the API asks it.
type Terms interface {
	// Policies is the book in force.
	Policies() *policy.Book
	// Terms are what holds for a new ticket of a customer now; TermsOf what a ticket goes by. Ticket of both is Ready.
	Terms(customer string) (policy.Resolved, error)
	TermsOf(tx store.Tx, t ticket.Ticket) (policy.Resolved, error)
	// Moves are the open tickets that newer policies and calendars would move, the first of the queue first.
	Moves(ctx context.Context, f store.TicketFilter) ([]ticket.Move, error)
}

// Clock is one target running on a ticket.
type Clock struct {
	Clock string `json:"clock"`
	// Target is what was agreed, as a policy writes it: "8h,business". Mode is how its time passes.
	Target string   `json:"target"`
	Mode   sla.Mode `json:"mode"`
	// Source is the set or the contract that gives it; From what it started with: detection, receipt, message, opening.
	Source string    `json:"source"`
	From   string    `json:"from"`
	Start  time.Time `json:"start"`
	// RiskAt is when it is at risk, Due when it is due; null while a pause stands before them.
	RiskAt *time.Time `json:"risk_at"`
	Due    *time.Time `json:"due"`
	// Breaches is false where the clock informs only.
	Breaches bool      `json:"breaches"`
	State    sla.State `json:"state"`
	// RemainingSeconds is what is left in the clock's own time, negative when it is overdue. It is there where one ticket is
	// shown; null in lists.
	RemainingSeconds *float64   `json:"remaining_seconds"`
	BreachedAt       *time.Time `json:"breached_at"`
	EndedAt          *time.Time `json:"ended_at"`
	// End is how it ended: met, not needed, cancelled; empty while it runs.
	End         string     `json:"end"`
	EndReason   string     `json:"end_reason"`
	WaivedUntil *time.Time `json:"waived_until"`
}

// ExplainedClock is a clock with every stretch of its run.
type ExplainedClock struct {
	Clock
	// Intervals touch each other from the start to the due instant; those that counted add up to the target.
	Intervals []ClockInterval `json:"intervals"`
}

// ClockInterval is a stretch of a clock's run.
type ClockInterval struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Counted bool      `json:"counted"`
	Reason  string    `json:"reason"`
}

// ClockList is a ticket's clocks, explained.
type ClockList struct {
	Number string `json:"number"`
	// Zone is the calendar's, in which intervals are written; empty where no calendar is.
	Zone   string           `json:"zone"`
	Clocks []ExplainedClock `json:"clocks"`
}

// clockRows are a ticket's clocks as lists show them.
func clockRows(t ticket.Ticket, now time.Time) []Clock {
	out := make([]Clock, 0, len(t.Clocks))
	for _, c := range t.Clocks {
		out = append(out, clockRow(t, c, now))
	}
	return out
}

func clockRow(t ticket.Ticket, c sla.Clock, now time.Time) Clock {
	g := t.Grounds[c.Name]
	return Clock{Clock: c.Name, Target: c.Target.Text(), Mode: c.Target.Mode, Source: g.Source, From: g.From, Start: c.Start,
		RiskAt: orNull(c.RiskAt), Due: orNull(c.Due), Breaches: !c.Target.Inform, State: c.State(now), BreachedAt: orNull(c.BreachedAt),
		EndedAt: orNull(c.EndedAt), End: string(c.End), EndReason: c.EndReason, WaivedUntil: orNull(c.WaivedUntil)}
}

// byTerms adds what needs the terms that the ticket goes by: what is left of its clocks, and which gates stand before what
// comes next.
func (a *API) byTerms(tx store.Tx, s sight, t ticket.Ticket, out *Ticket) {
	out.Next, out.Steps, out.Checklists = []Gate{}, []ticket.Item{}, []ticket.CheckedList{}
	res, err := a.o.Terms.TermsOf(tx, t)
	if err != nil { // the ticket is there all the same
		a.o.Logger.Warn("a ticket is shown without what its terms say", "ticket", t.Number, "err", err)
		return
	}
	now := a.o.Now()
	if s.record() { // how the house works is for who works on it
		out.Steps, out.Checklists = t.Steps(res.Ticket), t.Lists(res.Ticket, now)
	}
	if t.Facts[ticket.FactEntitled] == "no" {
		out.EntitledFrom = orNull(res.Ticket.EntitledFrom)
	}
	for i, c := range t.Clocks {
		if c.Ended() {
			continue
		}
		left := c.Remaining(res.Ticket.Hours(), now).Seconds()
		out.Clocks[i].RemainingSeconds = &left
	}
	if !s.who.May(fleet.MayWork) {
		return
	}
	for _, verb := range nextVerbs(t) {
		for _, g := range t.Blocked(verb, actor(s.who), res.Ticket, now) {
			out.Next = append(out.Next, Gate{Verb: verb, Gate: g.Gate, Missing: orEmpty(g.Missing), Source: g.Source})
		}
	}
}

// nextVerbs are what is done next with a ticket in its state, as far as gates stand before such things.
func nextVerbs(t ticket.Ticket) []ticket.Verb {
	switch t.State {
	case ticket.Done:
		return []ticket.Verb{ticket.Close}
	case ticket.Shut:
		return nil
	case ticket.New, ticket.Acked, ticket.Again:
		return []ticket.Verb{ticket.Start, ticket.HandOver, ticket.Resolve}
	}
	return []ticket.Verb{ticket.HandOver, ticket.Resolve}
}

func (a *API) explainClocks(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	ref := r.PathValue("ref")
	var out ClockList
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		s := a.sight(who)
		t, err := s.ticket(tx, ref)
		if err != nil {
			return err
		}
		res, err := a.o.Terms.TermsOf(tx, t)
		if err != nil {
			return err
		}
		out = explained(t, res.Ticket.Hours(), a.o.Now())
		for i := range out.Clocks {
			if !s.inside() {
				out.Clocks[i].withoutWords()
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("explain the clocks of ticket %s: %w", ref, err)
	}
	return out, nil
}

// explained is a ticket's clocks with their intervals in the calendar's zone.
func explained(t ticket.Ticket, cal *sla.Calendar, now time.Time) ClockList {
	out := ClockList{Number: t.Number, Clocks: []ExplainedClock{}}
	if cal != nil {
		out.Zone = cal.Zone().String()
	}
	for _, c := range t.Clocks {
		row := ExplainedClock{Clock: clockRow(t, c, now), Intervals: []ClockInterval{}}
		if !c.Ended() {
			left := c.Remaining(cal, now).Seconds()
			row.RemainingSeconds = &left
		}
		for _, i := range c.Explain(cal, time.Time{}) {
			row.Intervals = append(row.Intervals, ClockInterval{From: i.From, To: i.To, Counted: i.Counted, Reason: i.Reason})
		}
		out.Clocks = append(out.Clocks, row)
	}
	return out
}

// reportChannels are how a person's report comes.
func reportChannels() []string {
	return slices.DeleteFunc(policy.Channels(), func(c string) bool { return c == ticket.ChannelDetected })
}

// PolicySet is one set of the book in force.
type PolicySet struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Description string `json:"description"`
	// Document is the service document that it carries out; Guide a link shown where tickets are made.
	Document   string   `json:"document"`
	Guide      string   `json:"guide"`
	Priorities []string `json:"priorities"`
	// Types are those of ticket that it lets people open.
	Types []string `json:"types"`
	Offers
	// Choices are the places that the document leaves to the operator.
	Choices []policy.Choice `json:"choices"`
}

// PolicyList is every policy set in force, by name.
type PolicyList struct {
	Policies []PolicySet `json:"policies"`
}

func (a *API) listPolicies(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "set")
	if err != nil {
		return nil, err
	}
	s := a.sight(who)
	used := map[string]bool{}
	for _, c := range a.o.Fleet.Customers() {
		if s.customer(c.ID) {
			for _, k := range c.Contracts {
				for _, name := range k.Sets {
					used[name] = true
				}
			}
		}
	}
	list := PolicyList{Policies: []PolicySet{}}
	for _, set := range a.o.Terms.Policies().Sets() {
		if only := q.Get("set"); !s.all() && !used[set.Name] || only != "" && only != set.Name {
			continue
		}
		row := PolicySet{Name: set.Name, Version: set.Version, Description: strings.TrimSpace(set.Description), Document: set.Document,
			Guide: set.Guide, Priorities: orEmpty(set.Priorities), Types: orEmpty(sortedKeys(set.Types)), Offers: offersOfSet(s, set), Choices: []policy.Choice{}}
		if s.inside() {
			row.Choices = orEmpty(set.Choices)
		}
		list.Policies = append(list.Policies, row)
	}
	return list, nil
}

// Rebase is an open ticket that newer terms would move.
type Rebase struct {
	Number   string `json:"number"`
	Customer string `json:"customer"`
	Title    string `json:"title"`
	// FromPolicy and FromVersion are what it goes by, ToPolicy and ToVersion what its customer has now.
	FromPolicy  string `json:"from_policy"`
	FromVersion string `json:"from_version"`
	ToPolicy    string `json:"to_policy"`
	ToVersion   string `json:"to_version"`
	// FromPriority and ToPriority differ where the priority would be another.
	FromPriority string `json:"from_priority"`
	ToPriority   string `json:"to_priority"`
	// Clocks are those that would be other than they are.
	Clocks []RebasedClock `json:"clocks"`
}

// RebasedClock is what re-basing would make of a clock: empty and null where there is none before, or after.
type RebasedClock struct {
	Clock      string     `json:"clock"`
	FromTarget string     `json:"from_target"`
	ToTarget   string     `json:"to_target"`
	FromDue    *time.Time `json:"from_due"`
	ToDue      *time.Time `json:"to_due"`
}

// RebaseList is the open tickets that a newer policy or calendar version would move, in the queue's order. Nothing moves
// until a person re-bases: POST /tickets/{ref}/rebase.
type RebaseList struct {
	Tickets []Rebase `json:"tickets"`
}

func (a *API) listRebases(r *http.Request, who fleet.Operator) (any, error) {
	q, err := query(r, "customer")
	if err != nil {
		return nil, err
	}
	s := a.sight(who)
	moves, err := a.o.Terms.Moves(r.Context(), store.TicketFilter{OpenOnly: true, Customer: q.Get("customer"), Scope: s.scope(), Limit: countLimit})
	if err != nil {
		return nil, fmt.Errorf("list tickets to re-base: %w", err)
	}
	list := RebaseList{Tickets: []Rebase{}}
	for _, m := range moves {
		list.Tickets = append(list.Tickets, rebaseRow(m))
	}
	return list, nil
}

func rebaseRow(m ticket.Move) Rebase {
	t := m.Ticket
	row := Rebase{Number: t.Number, Customer: t.Customer, Title: t.Title, FromPolicy: t.Policy, FromVersion: t.PolicyVersion,
		ToPolicy: m.Policy, ToVersion: m.Version, FromPriority: t.Priority, ToPriority: m.Priority, Clocks: []RebasedClock{}}
	for _, is := range m.Clocks {
		was, ran := t.Clock(is.Name)
		if ran && was.Target == is.Target && was.Due.Equal(is.Due) {
			continue
		}
		c := RebasedClock{Clock: is.Name, ToTarget: is.Target.Text(), ToDue: orNull(is.Due)}
		if ran {
			c.FromTarget, c.FromDue = was.Target.Text(), orNull(was.Due)
		}
		row.Clocks = append(row.Clocks, c)
	}
	return row
}
