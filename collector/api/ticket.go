package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// TicketRow is a ticket as lists show it.
type TicketRow struct {
	ID       string            `json:"id"`
	Number   string            `json:"number"`
	Kind     string            `json:"kind"`
	State    ticket.State      `json:"state"`
	Severity incident.Severity `json:"severity"`
	Priority string            `json:"priority"`
	Customer string            `json:"customer"`
	Site     string            `json:"site"`
	Asset    string            `json:"asset"`
	Service  string            `json:"service"`
	System   string            `json:"system"`
	Title    string            `json:"title"`
	Owner    string            `json:"owner"`
	// Key names the incident; at most one ticket is open under it.
	Key    string `json:"key"`
	Policy Policy `json:"policy"`

	OpenedAt       time.Time     `json:"opened_at"`
	UpdatedAt      time.Time     `json:"updated_at"`
	AcknowledgedAt *time.Time    `json:"acknowledged_at"`
	AcknowledgedBy string        `json:"acknowledged_by"`
	ResolvedAt     *time.Time    `json:"resolved_at"`
	ResolvedBy     *ticket.Actor `json:"resolved_by"`
	Resolution     string        `json:"resolution"`
	ClosedAt       *time.Time    `json:"closed_at"`
	// Reopened counts how often the ticket was opened again.
	Reopened int `json:"reopened"`

	// Alerts are those ever attached, oldest first; one without ended_at still fires.
	Alerts []TicketAlert `json:"alerts"`
	Clocks []Clock       `json:"clocks"`
	Links  []ticket.Link `json:"links"`

	// Flap is there while the alerts of an open ticket go up and down, told once and counted since; null for any other.
	Flap *Flap `json:"flap"`

	// Storm is the number of the storm's ticket that this one is part of, empty when it is part of none.
	Storm string `json:"storm"`
	// Gathers is what a storm's own ticket stands for; null for any other.
	Gathers *Storm `json:"gathers"`

	// Seq and Head are number and hash of the newest event of the timeline.
	Seq  int    `json:"seq"`
	Head string `json:"head"`
}

// TicketAlert is an alert on a ticket.
type TicketAlert struct {
	incident.Alert
	// Unknown says why the alert is frozen, because nothing is known of its series. It is there when it is, and where one
	// ticket is shown; lists do not look.
	Unknown string `json:"unknown,omitempty"`
}

// Policy is what a ticket was opened under.
type Policy struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// ReopenForSeconds is how long after its resolution a returning alert reopens the ticket, CloseAfterSeconds how
	// long after it the ticket closes by itself.
	ReopenForSeconds  float64 `json:"reopen_for_seconds"`
	CloseAfterSeconds float64 `json:"close_after_seconds"`
}

// Clock is one SLA target running on a ticket. No policy of this release sets a target, so no ticket has one and a
// clock has no fields yet.
type Clock struct{}

// Ticket is a ticket whole.
type Ticket struct {
	TicketRow
	// Members are tickets of the storm whose ticket this is, open ones first, at most 50; gathers counts them all, and the
	// filter storm of the list of tickets has the others. Empty for any other ticket.
	Members []StormMember `json:"members"`
	Record  ticket.Record `json:"record"`
	// Timeline is every event as it was sealed: hashing it again gives Head.
	Timeline []ticket.Event `json:"timeline"`
}

// TicketList is a page of tickets, newest first.
type TicketList struct {
	Tickets []TicketRow `json:"tickets"`
	// Truncated tells that there are more than the limit.
	Truncated bool `json:"truncated"`
}

// Chain is the verdict on a ticket's timeline and evidence.
type Chain struct {
	OK     bool   `json:"ok"`
	Events int    `json:"events"`
	Head   string `json:"head"`
	// Error says which event is wrong, empty when none is.
	Error string `json:"error"`
}

func ticketRow(t ticket.Ticket) TicketRow {
	row := TicketRow{
		ID: t.ID, Number: t.Number, Kind: t.Kind, State: t.State, Severity: t.Severity, Priority: t.Priority,
		Customer: t.Customer, Site: t.Site, Asset: t.Asset, Service: t.Service, System: t.System, Title: t.Title,
		Owner: t.Owner, Key: t.Key,
		Policy: Policy{Name: t.Policy, Version: t.PolicyVersion, ReopenForSeconds: t.ReopenFor.Seconds(),
			CloseAfterSeconds: t.CloseAfter.Seconds()},
		OpenedAt: t.OpenedAt, UpdatedAt: t.UpdatedAt,
		AcknowledgedAt: orNull(t.AcknowledgedAt), AcknowledgedBy: t.AcknowledgedBy,
		ResolvedAt: orNull(t.ResolvedAt), Resolution: t.Resolution, ClosedAt: orNull(t.ClosedAt), Reopened: t.Reopened,
		Alerts: make([]TicketAlert, len(t.Alerts)), Clocks: []Clock{}, Links: orEmpty(t.Links),
		Flap: flapOf(t), Storm: t.Storm.Number, Seq: t.Seq, Head: t.Head,
	}
	for i, al := range t.Alerts {
		row.Alerts[i].Alert = al
	}
	if t.ResolvedBy != (ticket.Actor{}) {
		row.ResolvedBy = &t.ResolvedBy
	}
	return row
}

// orNull makes the zero time null: a time that has not come yet is not the year 1.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// orEmpty makes a list that is not there an empty list, so that clients need no null check.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

const (
	defaultTickets = 100
	maxTickets     = 10000
)

func (a *API) listTickets(r *http.Request, _ fleet.Operator) (any, error) {
	f, err := ticketFilter(r)
	if err != nil {
		return nil, err
	}
	limit := f.Limit
	f.Limit++ // one more tells whether there is more
	var list TicketList
	err = a.o.Store.View(r.Context(), func(tx store.Tx) error {
		if f.Storm, err = stormID(tx, f.Storm); err != nil {
			return err
		}
		found, err := tx.Tickets(f)
		list = TicketList{Tickets: make([]TicketRow, 0, min(limit, len(found))), Truncated: len(found) > limit}
		for _, t := range found[:min(limit, len(found))] {
			row, err := gatheringRow(tx, t)
			if err != nil {
				return err
			}
			list.Tickets = append(list.Tickets, row)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	return list, nil
}

// ticketFilter reads state, open, customer, asset, priority, storm, fold and limit.
func ticketFilter(r *http.Request) (store.TicketFilter, error) {
	q, err := query(r, "state", "open", "customer", "asset", "priority", "storm", "fold", "limit")
	if err != nil {
		return store.TicketFilter{}, err
	}
	f := store.TicketFilter{Customer: q.Get("customer"), Asset: q.Get("asset"), Priority: q.Get("priority"), Storm: q.Get("storm")}
	if f.State, err = ticketState(q.Get("state")); err != nil {
		return f, err
	}
	if s := q.Get("open"); s != "" {
		if f.OpenOnly, err = strconv.ParseBool(s); err != nil {
			return f, badRequest("say open=true for tickets that want work", "open: %q is neither true nor false", s)
		}
	}
	if s := q.Get("fold"); s != "" {
		if f.Folded, err = strconv.ParseBool(s); err != nil {
			return f, badRequest("say fold=true to leave out the tickets that are part of a storm", "fold: %q is neither true nor false", s)
		}
	}
	f.Limit, err = limitOf(q.Get("limit"), defaultTickets, maxTickets)
	return f, err
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

// findTicket finds by ID or by what people say: WB-1042, wb-1042, 1042.
func findTicket(tx store.Tx, ref string) (ticket.Ticket, error) {
	t, err := tx.Ticket(ref)
	if errors.Is(err, store.ErrNotFound) {
		number := strings.ToUpper(ref)
		if strings.Trim(ref, "0123456789") == "" {
			number = "WB-" + ref
		}
		t, err = tx.TicketByNumber(number)
	}
	if errors.Is(err, store.ErrNotFound) {
		return t, refusal(http.StatusNotFound, "not_found", "`watchbill ticket list --all` lists them",
			"there is no ticket %q", ref)
	}
	return t, err
}

func (a *API) showTicket(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	out, err := a.wholeTicket(r, r.PathValue("ref"))
	if err != nil {
		return nil, fmt.Errorf("show ticket %s: %w", r.PathValue("ref"), err)
	}
	return out, nil
}

// wholeTicket reads row, timeline and record on one state of the store.
func (a *API) wholeTicket(r *http.Request, ref string) (Ticket, error) {
	var out Ticket
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		t, err := findTicket(tx, ref)
		if err != nil {
			return err
		}
		if out.TicketRow, err = gatheringRow(tx, t); err != nil {
			return err
		}
		if out.Members, err = membersOf(tx, t); err != nil {
			return err
		}
		if err := a.freeze(tx, out.Alerts); err != nil {
			return err
		}
		if out.Timeline, err = tx.Timeline(t.ID); err != nil {
			return err
		}
		out.Timeline = orEmpty(out.Timeline)
		out.Record, err = ticket.AssembleRecord(out.Timeline, func(seq int) ([]byte, bool, error) {
			return tx.Evidence(t.ID, seq)
		})
		return err
	})
	return out, err
}

// freeze says of the alerts that fire whether they are frozen, and why.
func (a *API) freeze(tx store.Tx, alerts []TicketAlert) error {
	standing, err := a.standing(tx)
	if err != nil {
		return err
	}
	why := map[string]string{}
	for _, s := range standing {
		if s.Unknown != "" {
			why[rules.AlertID(s.Origin.ID, s.Alert.Labels)] = s.Unknown
		}
	}
	for i := range alerts {
		if alerts[i].Firing() {
			alerts[i].Unknown = why[alerts[i].ID]
		}
	}
	return nil
}

func (a *API) verifyTicket(r *http.Request, _ fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	var out Chain
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		t, err := findTicket(tx, r.PathValue("ref"))
		if err != nil {
			return err
		}
		timeline, err := tx.Timeline(t.ID)
		if err != nil {
			return err
		}
		out = Chain{OK: true, Events: len(timeline), Head: t.Head}
		if err = ticket.VerifyChain(timeline, t.Seq, t.Head); err == nil {
			_, err = ticket.AssembleRecord(timeline, func(seq int) ([]byte, bool, error) { return tx.Evidence(t.ID, seq) })
		}
		if errors.Is(err, ticket.ErrChain) {
			out.OK, out.Error = false, err.Error()
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verify ticket %s: %w", r.PathValue("ref"), err)
	}
	return out, nil
}

// ActionRequest is what a person says to an action on a ticket.
type ActionRequest struct {
	// Text is the note, the resolution or the reason; some actions need none.
	Text string `json:"text,omitempty"`
}

func (a *API) actOnTicket(r *http.Request, who fleet.Operator) (any, error) {
	verb := ticket.Verb(r.PathValue("verb"))
	if !slices.Contains(ticket.Verbs, verb) {
		return nil, refusal(http.StatusNotFound, "not_found", "", "a ticket knows no %q", verb)
	}
	if _, err := query(r); err != nil {
		return nil, err
	}
	var in ActionRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	ref := r.PathValue("ref")
	var t ticket.Ticket
	err := a.o.Store.View(r.Context(), func(tx store.Tx) (err error) {
		t, err = findTicket(tx, ref)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s ticket %s: %w", verb, ref, err)
	}
	t, err = a.o.Desk.Act(r.Context(), t.ID, ticket.Action{Verb: verb, Text: in.Text}, actor(who))
	if errors.Is(err, ticket.ErrRefused) {
		return nil, err // its text is for the person and stands by itself
	}
	if err != nil {
		return nil, fmt.Errorf("%s ticket %s: %w", verb, ref, err)
	}
	out, err := a.wholeTicket(r, t.ID)
	if err != nil {
		return nil, fmt.Errorf("show ticket %s after %s: %w", ref, verb, err)
	}
	return out, nil
}
