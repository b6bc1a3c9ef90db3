package api

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// OpenRequest opens a ticket: what a person reports or asks for.
type OpenRequest struct {
	// Kind is incident, request, task, delivery or announcement; empty is the type's. Type is one of the policy's.
	Kind string `json:"kind,omitempty"`
	Type string `json:"type,omitempty"`
	// Customer is whose ticket it is; left out by who belongs to one, and with a parent.
	Customer string `json:"customer,omitempty"`
	Site     string `json:"site,omitempty"`
	Asset    string `json:"asset,omitempty"`
	Service  string `json:"service,omitempty"`
	// System is a word of the ownership map.
	System string `json:"system,omitempty"`
	Title  string `json:"title"`
	// Text is what was said, kept as a symptom in the record.
	Text string `json:"text,omitempty"`
	// Users is who is affected, and how many, as who reported it says; kept in the record.
	Users string `json:"users,omitempty"`
	// Channel is how it came: telephone, email, on-call, page. ReceivedAt is when; now when it is left out.
	Channel    string    `json:"channel,omitempty"`
	ReceivedAt time.Time `json:"received_at,omitzero"`
	// Reporter is who reported it; who opens it when it is left out.
	Reporter string `json:"reporter,omitempty"`
	// Facts are what else is known: what the type asks for, lines-busy, …. Impact and Urgency are facts of those names.
	Facts   map[string]string `json:"facts,omitempty"`
	Impact  string            `json:"impact,omitempty"`
	Urgency string            `json:"urgency,omitempty"`
	// Parent is the number of the ticket that this one is opened because of; Relation how it stands to it.
	Parent   string `json:"parent,omitempty"`
	Relation string `json:"relation,omitempty"`
	// Key makes it the only open ticket of that name at the customer.
	Key string `json:"key,omitempty"`
}

// birth is what the domain is asked to open.
func (in OpenRequest) birth() ticket.Birth {
	facts := ticket.Facts{}
	maps.Copy(facts, in.Facts)
	for name, word := range map[string]string{ticket.FactImpact: in.Impact, ticket.FactUrgency: in.Urgency} {
		if word != "" {
			facts[name] = word
		}
	}
	return ticket.Birth{Title: in.Title, Kind: in.Kind, Type: in.Type, Facts: facts, Relation: in.Relation,
		Report: &ticket.Report{By: in.Reporter, Channel: in.Channel, ReceivedAt: in.ReceivedAt, Key: in.Key, Users: in.Users, Customer: in.Customer,
			Site: in.Site, Asset: in.Asset, Service: in.Service, System: in.System}}
}

// said is the text of a report as evidence: a symptom, from who reported it, when that was received.
func (in OpenRequest) said(by string, now time.Time) []ticket.Evidence {
	if strings.TrimSpace(in.Text) == "" {
		return nil
	}
	at := in.ReceivedAt
	if at.IsZero() {
		at = now
	}
	return []ticket.Evidence{{Part: ticket.PartSymptoms, Salt: rand.Text(), Entries: []ticket.Entry{{
		Text: in.Text, Source: "report of " + cmp.Or(in.Reporter, by), At: at.UTC(),
	}}}}
}

// unfit names every field that is wrong by itself.
func (in OpenRequest) unfit(channels []string) error {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if len(in.Text) > ticket.MaxText {
		fault("text: it has %d bytes, at most %d are kept: shorten it", len(in.Text), ticket.MaxText)
	}
	if strings.TrimSpace(in.Title) == "" {
		fault("title: say in a line what it is about")
	}
	if in.Kind != "" && !slices.Contains(ticket.Kinds, in.Kind) {
		fault("kind: want one of %s, got %q", strings.Join(ticket.Kinds, ", "), in.Kind)
	}
	if in.Customer == "" && in.Parent == "" {
		fault("customer: say whose ticket it is")
	}
	if in.Channel != "" && !slices.Contains(channels, in.Channel) {
		fault("channel: want one of %s, got %q", strings.Join(channels, ", "), in.Channel)
	}
	for _, known := range []string{ticket.FactDepartment, "contract"} {
		if _, said := in.Facts[known]; said {
			fault("facts: %s is the customer's own and nothing that a report says: leave it out", known)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	e := badRequest("send one JSON object with the fields that are documented", "body: %s", strings.Join(faults, "; "))
	e.Details = faults
	return e
}

func (a *API) openTicket(r *http.Request, who fleet.Operator) (any, error) {
	var in OpenRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	s := a.sight(who)
	if in.Customer == "" && in.Parent == "" {
		in.Customer = who.Scope.Customer
	}
	if err := in.unfit(reportChannels()); err != nil {
		return nil, err
	}
	if _, declared := a.o.Fleet.Customer(in.Customer); in.Customer != "" && (!declared || !s.customer(in.Customer)) {
		return nil, noCustomer(in.Customer)
	}
	if err := a.seesAsset(s, in.Asset); err != nil {
		return nil, err
	}
	if err := a.believable(who, in); err != nil {
		return nil, err
	}
	b := in.birth()
	b.Evidence = in.said(who.Name, a.o.Now())
	if in.Parent != "" {
		parent, err := a.seen(r, s, in.Parent)
		if err != nil {
			return nil, fmt.Errorf("open a ticket because of %s: %w", in.Parent, err)
		}
		b.Parent = &parent
		in.Customer = cmp.Or(in.Customer, parent.Customer)
	}
	if err := a.fitPolicyFact(in.Customer, in.Facts); err != nil {
		return nil, err
	}
	t, err := a.o.Desk.Open(r.Context(), b, actor(who))
	if errors.Is(err, ticket.ErrRefused) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("open a ticket: %w", err)
	}
	out, err := a.wholeTicket(r, s, t.ID)
	if err != nil {
		return nil, fmt.Errorf("show ticket %s after it was opened: %w", t.Number, err)
	}
	return created{out}, nil
}

// fitPolicyFact refuses facts that name an entry which the policy list of the customer does not have: a deviation from
// nothing would change no report.
func (a *API) fitPolicyFact(customer string, facts map[string]string) error {
	if customer == "" || len(facts) == 0 {
		return nil
	}
	res, err := a.o.Terms.Terms(customer)
	if err != nil {
		return fmt.Errorf("terms of customer %s: %w", customer, err)
	}
	if err := res.CheckPolicyFact(facts); err != nil {
		e := badRequest("", "body: %v", err)
		e.Details = []string{err.Error()}
		return e
	}
	return nil
}

// lookBack is how far in the past somebody who does not work on tickets may say that a report was received.
const lookBack = 7 * 24 * time.Hour

// believable refuses what only who works on tickets may say of a report: that it is older than lookBack, or than the
// contract and its support, since its clocks start then; and, for people of a customer, that somebody else reported it.
func (a *API) believable(who fleet.Operator, in OpenRequest) error {
	if who.May(fleet.MayWork) {
		return nil
	}
	if _, said := in.Facts["chargeable"]; said {
		return badRequest("leave it out: who works on tickets marks it before work starts",
			"facts: %s does not mark whether a ticket is chargeable", who.Name)
	}
	if in.Reporter != "" && in.Reporter != who.Name && in.Reporter != who.Person && who.Scope.Customer != "" {
		return badRequest("leave reporter out", "reporter: you report for yourself, got %q", in.Reporter)
	}
	now, at := a.o.Now(), in.ReceivedAt
	if at.IsZero() || !at.Before(now) {
		return nil // what is to come is refused for everybody
	}
	if at.Before(now.Add(-lookBack)) {
		return badRequest("leave received_at out for now, or ask who works on tickets to open it",
			"received_at: %s is more than 7 days ago", at.Format(time.RFC3339))
	}
	if in.Customer == "" {
		return nil // the parent's
	}
	k, ok := a.o.Fleet.ContractAt(in.Customer, at)
	if !ok {
		if _, now := a.o.Fleet.ContractAt(in.Customer, now); !now {
			return nil
		}
		return badRequest("leave received_at out for now", "received_at: at %s no contract was in force", at.Format(time.RFC3339))
	}
	if from, known := a.o.Fleet.Entitled(k); known && at.Before(from) && !now.Before(from) {
		return badRequest("leave received_at out for now", "received_at: support began at %s, after %s", from.Format(time.RFC3339),
			at.Format(time.RFC3339))
	}
	return nil
}
