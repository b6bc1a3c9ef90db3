package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

func (a *API) listTickets(r *http.Request, who fleet.Operator) (any, error) {
	f, err := ticketFilter(r)
	if err != nil {
		return nil, err
	}
	s := a.sight(who)
	limit := f.Limit
	f.Limit++ // one more tells whether there is more
	f.Scope = s.scope()
	var list TicketList
	err = a.o.Store.View(r.Context(), func(tx store.Tx) error {
		list = TicketList{Tickets: []TicketRow{}}
		query := f
		if err := s.resolve(tx, &query); err != nil {
			return err
		}
		found, err := tx.Tickets(query)
		if err != nil {
			return err
		}
		list.Truncated = len(found) > limit
		for _, t := range found[:min(limit, len(found))] {
			row, err := a.row(tx, s, t)
			if err != nil {
				return err
			}
			list.Tickets = append(list.Tickets, row)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	return list, nil
}

// row is a ticket's row as an operator sees it.
func (a *API) row(tx store.Tx, s sight, t ticket.Ticket) (TicketRow, error) {
	row, err := gatheringRow(tx, t, a.o.Now())
	if err != nil {
		return row, err
	}
	return s.row(tx, row)
}

// resolve puts IDs in place of what people call storm, parent and the ticket that a page follows.
func (s sight) resolve(tx store.Tx, f *store.TicketFilter) (err error) {
	if f.Storm, err = s.stormID(tx, f.Storm); err != nil {
		return err
	}
	for _, ref := range []*string{&f.Parent, &f.After} {
		if *ref == "" {
			continue
		}
		t, err := s.ticket(tx, *ref)
		if err != nil {
			return err
		}
		*ref = t.ID
	}
	return nil
}

// ticketFilter reads what selects and orders tickets.
func ticketFilter(r *http.Request) (store.TicketFilter, error) {
	q, err := query(r, "state", "open", "customer", "asset", "priority", "storm", "fold", "limit", "order", "after", "department",
		"contract", "owner", "assignee", "kind", "type", "parent", "at_risk", "breached")
	if err != nil {
		return store.TicketFilter{}, err
	}
	f := store.TicketFilter{Customer: q.Get("customer"), Asset: q.Get("asset"), Priority: q.Get("priority"), Storm: q.Get("storm"),
		Department: q.Get("department"), Contract: q.Get("contract"), Owner: q.Get("owner"), Assignee: q.Get("assignee"),
		Kind: q.Get("kind"), Type: q.Get("type"), Parent: q.Get("parent"), After: q.Get("after")}
	if f.State, err = ticketState(q.Get("state")); err != nil {
		return f, err
	}
	for _, b := range []struct {
		name, means string
		into        *bool
	}{
		{"open", "for tickets that want work", &f.OpenOnly}, {"fold", "to leave out the tickets that are part of a storm", &f.Folded},
		{"at_risk", "for tickets with a clock that is at risk", &f.AtRisk}, {"breached", "for tickets with a clock that was breached", &f.Breached},
	} {
		if s := q.Get(b.name); s != "" {
			if *b.into, err = strconv.ParseBool(s); err != nil {
				return f, badRequest("say "+b.name+"=true "+b.means, "%s: %q is neither true nor false", b.name, s)
			}
		}
	}
	if f.Order, err = ticketOrder(q.Get("order"), f); err != nil {
		return f, err
	}
	f.Limit, err = limitOf(q.Get("limit"), defaultTickets, maxTickets)
	return f, err
}

// ticketOrder reads an order; left out it is the queue's for lists of open tickets, the only ones that have a place in it.
func ticketOrder(s string, f store.TicketFilter) (store.Order, error) {
	open := f.OpenOnly || f.State != "" && f.State.Open()
	switch order := store.Order(s); {
	case s == "" && open:
		return store.InQueue, nil
	case s == "", order == store.Newest:
		return store.Newest, nil
	case order != store.InQueue:
		return "", badRequest("orders are: queue, newest", "order: there is no order %q", s)
	case f.State != "" && !open:
		return "", badRequest("say order=newest", "order: tickets that are %s have no place in the queue", f.State)
	}
	return store.InQueue, nil
}

// ticketState reads a state as people write it in a query: in_progress and in-progress are "in progress".
func ticketState(s string) (ticket.State, error) {
	all := []ticket.State{ticket.New, ticket.Acked, ticket.InProgress, ticket.Waiting, ticket.Done, ticket.Shut, ticket.Again}
	state := ticket.State(strings.NewReplacer("_", " ", "-", " ").Replace(s))
	if s != "" && !slices.Contains(all, state) {
		names := make([]string, len(all))
		for i, known := range all {
			names[i] = string(known)
		}
		return "", badRequest("states are: "+strings.Join(names, ", "), "state: no ticket is ever %q", s)
	}
	return state, nil
}

func limitOf(s string, fallback, most int) (int, error) {
	if s == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, badRequest(fmt.Sprintf("give a number from 1 to %d", most), "limit: got %q", s)
	}
	return n, nil
}
