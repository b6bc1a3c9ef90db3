package api

import (
	"errors"
	"fmt"
	"net/http"
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
	// Type is one of the policy's types, or empty.
	Type string `json:"type"`
	// Owner is the party that owns it, empty while nobody does; Department the one that owned the customer as the ticket was
	// opened, empty for none.
	Owner      string `json:"owner"`
	Department string `json:"department"`
	// Channel is how it came: telephone, email, on-call, page, detected. Reporter is who reported it, empty for what was detected.
	Channel  string `json:"channel"`
	Reporter string `json:"reporter"`
	// ReceivedAt is when its clocks start.
	ReceivedAt time.Time `json:"received_at"`
	// PolicySet and PolicyVersion are what it goes by now.
	PolicySet     string `json:"policy_set"`
	PolicyVersion string `json:"policy_version"`
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

	// Alerts are those ever attached, oldest first; one without ended_at still fires. Of many they are the first, and Counted tells of the others.
	Alerts []TicketAlert `json:"alerts"`
	// Counted is what is known of the others; left out where there are none.
	Counted *Counted      `json:"counted,omitempty"`
	Clocks  []Clock       `json:"clocks"`
	Links   []ticket.Link `json:"links"`

	// Flap is there while the alerts of an open ticket go up and down, told once and counted since; null for any other.
	Flap *Flap `json:"flap"`

	// Storm is the number of the storm's ticket that this one is part of, empty when it is part of none.
	Storm   string `json:"storm"`
	StormID string `json:"-"`
	// Gathers is what a storm's own ticket stands for; null for any other.
	Gathers *Storm `json:"gathers"`

	TicketWork

	// Seq and Head are number and hash of the newest event of the timeline.
	Seq  int    `json:"seq"`
	Head string `json:"head"`
}

// TicketWork is what people and the policy did with a ticket.
type TicketWork struct {
	// Facts are what is known of it, by name; Because is why its priority is what it is.
	Facts   ticket.Facts `json:"facts"`
	Because string       `json:"because"`
	// Assignee is who works on it; Handoff an offer to another party that nobody has accepted; Returned counts those that
	// came back.
	Assignee string          `json:"assignee"`
	Handoff  *ticket.Handoff `json:"handoff"`
	Returned int             `json:"returned"`
	// Waits is what it waits for, null when it does not.
	Waits      *ticket.Wait      `json:"waits"`
	Verified   *ticket.Signature `json:"verified"`
	Approvals  []ticket.Approval `json:"approvals"`
	Chargeable string            `json:"chargeable"`
	Estimate   *ticket.Quote     `json:"estimate"`
	Quote      *ticket.Quote     `json:"quote"`
	Order      string            `json:"order"`
	// Promises are the dates that were agreed with the client, the last one holds.
	Promises []ticket.Promise `json:"promises"`
	// Slips counts how often such a date was put off.
	Slips    int             `json:"slips"`
	Waivers  []ticket.Waiver `json:"waivers"`
	Drafts   []ticket.Draft  `json:"drafts"`
	Parent   *ticket.Link    `json:"parent"`
	Merged   *ticket.Link    `json:"merged"`
	Children []ticket.Child  `json:"children"`
	// Told are the steps of the ladder that were told.
	Told  []ticket.Told `json:"told"`
	Major bool          `json:"major"`
	// Unsupported says why it is outside of support, empty when it is not.
	Unsupported string         `json:"unsupported"`
	Rating      *ticket.Rating `json:"rating"`
	// Refusals counts what gates refused.
	Refusals int `json:"refusals"`
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

// Ticket is a ticket whole.
type Ticket struct {
	TicketRow
	// Members are tickets of the storm whose ticket this is, open ones first, at most 50; gathers counts them all, and the
	// filter storm of the list of tickets has the others. Empty for any other ticket.
	Members []StormMember `json:"members"`
	Record  ticket.Record `json:"record"`
	// Timeline is every event as it was sealed: hashing it again gives Head, unless some of it was kept back (Abridged) from
	// who may not see what is internal, or another customer's.
	Timeline []ticket.Event `json:"timeline"`
	Abridged bool           `json:"abridged"`
	// EntitledFrom is when the customer's support begins, where the ticket came before that and so has no targets; null
	// otherwise, and while that is not known.
	EntitledFrom *time.Time `json:"entitled_from"`
	// Steps are those of its type, Checklists those that apply to it, each with who ticked what and when; empty for who does
	// not work on it.
	Steps      []ticket.Item        `json:"steps"`
	Checklists []ticket.CheckedList `json:"checklists"`
	// Next are the gates that would refuse what comes next, for who asks.
	Next []Gate `json:"next"`
}

// Gate is one that stands before a verb, with what is missing.
type Gate struct {
	Verb    ticket.Verb `json:"verb"`
	Gate    string      `json:"gate"`
	Missing []string    `json:"missing"`
	// Source is the policy set that demands it.
	Source string `json:"source"`
}

// TicketList is a page of tickets: open ones in the queue's order, others newest first, unless order said otherwise.
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

func ticketRow(t ticket.Ticket, now time.Time) TicketRow {
	row := TicketRow{
		ID: t.ID, Number: t.Number, Kind: t.Kind, State: t.State, Severity: t.Severity, Priority: t.Priority,
		Customer: t.Customer, Site: t.Site, Asset: t.Asset, Service: t.Service, System: t.System, Title: t.Title,
		Owner: t.Owner, Key: t.Key,
		Policy: Policy{Name: t.Policy, Version: t.PolicyVersion, ReopenForSeconds: t.ReopenFor.Seconds(),
			CloseAfterSeconds: t.CloseAfter.Seconds()},
		OpenedAt: t.OpenedAt, UpdatedAt: t.UpdatedAt,
		AcknowledgedAt: orNull(t.AcknowledgedAt), AcknowledgedBy: t.AcknowledgedBy,
		ResolvedAt: orNull(t.ResolvedAt), Resolution: t.Resolution, ClosedAt: orNull(t.ClosedAt), Reopened: t.Reopened,
		Alerts: make([]TicketAlert, len(t.Alerts)), Clocks: clockRows(t, now), Links: orEmpty(t.Links),
		Counted: countedOf(t), Flap: flapOf(t), Storm: t.Storm.Number, StormID: t.Storm.Ticket, Seq: t.Seq, Head: t.Head,
		Type: t.Type, Department: t.Facts[ticket.FactDepartment], Channel: t.Channel, Reporter: t.Reporter, ReceivedAt: t.Received(),
		PolicySet: t.Policy, PolicyVersion: t.PolicyVersion, TicketWork: workOf(t),
	}
	if row.Channel == "" {
		row.Channel = t.Facts[ticket.FactChannel]
	}
	for i, al := range t.Alerts {
		row.Alerts[i].Alert = al
	}
	if t.ResolvedBy != (ticket.Actor{}) {
		row.ResolvedBy = &t.ResolvedBy
	}
	return row
}

// workOf is what people and the policy did with a ticket.
func workOf(t ticket.Ticket) TicketWork {
	w := t.Work
	facts := w.Facts
	if facts == nil {
		facts = ticket.Facts{}
	}
	return TicketWork{Facts: facts, Because: w.Because, Assignee: w.Assignee, Handoff: w.Handoff, Returned: w.Returned,
		Waits: w.Wait, Verified: w.Verified, Approvals: orEmpty(w.Approvals), Chargeable: w.Chargeable, Estimate: w.Estimate,
		Quote: w.Quote, Order: w.Order, Promises: orEmpty(w.Promises), Slips: t.Slips(), Waivers: orEmpty(w.Waivers), Drafts: orEmpty(w.Drafts),
		Parent: w.Parent, Merged: w.Merged, Children: orEmpty(w.Children), Told: orEmpty(w.Told), Major: w.Major,
		Unsupported: w.Unsupported, Rating: w.Rating, Refusals: w.Refusals}
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
		return t, noTicket(ref)
	}
	return t, err
}

func (a *API) showTicket(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	out, err := a.wholeTicket(r, a.sight(who), r.PathValue("ref"))
	if err != nil {
		return nil, fmt.Errorf("show ticket %s: %w", r.PathValue("ref"), err)
	}
	return out, nil
}

// wholeTicket reads row, timeline and record on one state of the store, as an operator sees them.
func (a *API) wholeTicket(r *http.Request, s sight, ref string) (Ticket, error) {
	var out Ticket
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		out = Ticket{}
		t, err := s.ticket(tx, ref)
		if err != nil {
			return err
		}
		if out.TicketRow, err = a.row(tx, s, t); err != nil {
			return err
		}
		if out.Members, err = membersOf(tx, t, s); err != nil {
			return err
		}
		if s.inside() {
			if err := a.freeze(tx, out.Alerts); err != nil {
				return err
			}
		}
		a.byTerms(tx, s, t, &out)
		return s.story(tx, t, &out)
	})
	return out, err
}

// story reads timeline and record.
func (s sight) story(tx store.Tx, t ticket.Ticket, out *Ticket) error {
	events, err := tx.Timeline(t.ID)
	if err != nil {
		return err
	}
	if out.Timeline, out.Abridged, err = s.timeline(tx, events); err != nil {
		return err
	}
	out.Record, err = ticket.AssembleRecord(events, func(seq int) ([]byte, bool, error) { return tx.Evidence(t.ID, seq) })
	switch {
	case err != nil:
		return err
	case !s.record():
		out.Record = recordOutside()
	case !s.inside():
		out.Record = recordWithoutNotes(out.Record)
	}
	return nil
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

func (a *API) verifyTicket(r *http.Request, who fleet.Operator) (any, error) {
	if _, err := query(r); err != nil {
		return nil, err
	}
	var out Chain
	err := a.o.Store.View(r.Context(), func(tx store.Tx) error {
		t, err := a.sight(who).ticket(tx, r.PathValue("ref"))
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
