package api

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// ActionRequest is what a person says to an action on a ticket. Each verb takes some of the fields and refuses the others.
type ActionRequest struct {
	// Text is the note, the resolution or the reason; some actions need none.
	Text string `json:"text,omitempty"`
	// As is the role in which the person acts, one of theirs: approve, quote, waive, verify.
	As string `json:"as,omitempty"`
	// At is when it was, where that is not now; Until is an end: of a waiver, a session, an agreed date.
	At    time.Time `json:"at,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// To is a party (handoff), a person (assign), who of the client it was (promise, workaround), a contact (draft).
	To string `json:"to,omitempty"`
	// What is the thing: a clock, what is approved, a reason for waiting, an item, a part of the record.
	What string `json:"what,omitempty"`
	// Facts are facts to set; an empty word takes one back.
	Facts map[string]string `json:"facts,omitempty"`
	// Price, Exceptions, Terms and ETA are a quote; an estimate needs the price alone.
	Price      string `json:"price,omitempty"`
	Exceptions string `json:"exceptions,omitempty"`
	Terms      string `json:"terms,omitempty"`
	ETA        string `json:"eta,omitempty"`
	// Score is a rating from 0 to 10.
	Score *int `json:"score,omitempty"`
	// Template names what the text of a draft was made from.
	Template string `json:"template,omitempty"`
	// Other is the number or ID of the other ticket of link, merge and major; Relation how this one stands to it.
	Other    string `json:"other,omitempty"`
	Relation string `json:"relation,omitempty"`
	// BreakGlass says why a gate is gone through that stands in the way, where the policy lets anybody.
	BreakGlass string `json:"break_glass,omitempty"`
}

// VerbUse is what a verb wants of who acts and takes of an ActionRequest, beside text and break_glass, which all take.
type VerbUse struct {
	Right  fleet.Right
	Fields []string
}

// verbUses is every verb of a ticket.
var verbUses = map[ticket.Verb]VerbUse{
	// People of the customer or department may note, too: see author.
	ticket.Ack: {fleet.MayWork, nil}, ticket.Start: {fleet.MayWork, nil}, ticket.Note: {fleet.MayWork, nil}, ticket.Did: {fleet.MayWork, nil},
	ticket.Resolve: {fleet.MayWork, nil}, ticket.Close: {fleet.MayWork, nil}, ticket.Reopen: {fleet.MayWork, nil},
	ticket.Assign: {fleet.MayWork, []string{"to"}}, ticket.HandOver: {fleet.MayWork, []string{"to", "relation"}},
	ticket.Accept: {fleet.MayWork, []string{"to"}}, ticket.Return: {fleet.MayWork, nil},
	ticket.WaitFor: {fleet.MayWork, []string{"what"}}, ticket.Resume: {fleet.MayWork, nil},
	ticket.Agree: {fleet.MayWork, []string{"until", "to"}}, ticket.Rebase: {fleet.MayRebase, nil},
	ticket.Set: {fleet.MayWork, []string{"facts"}}, ticket.Workaround: {fleet.MayWork, []string{"what", "to", "at"}},
	ticket.Prioritise: {fleet.MayWork, []string{"what"}},
	ticket.Callback:   {fleet.MayWork, nil}, ticket.Restored: {fleet.MayWork, nil},
	ticket.LinkTo: {fleet.MayWork, []string{"other", "relation"}}, ticket.Merge: {fleet.MayWork, []string{"other"}},
	ticket.MarkMajor: {fleet.MayWork, []string{"other"}},
	ticket.Verify:    {fleet.MayVerify, []string{"as"}}, ticket.GivePart: {fleet.MayWork, []string{"what"}},
	ticket.Confirm: {fleet.MayWork, []string{"what"}}, ticket.Tick: {fleet.MayWork, []string{"what"}},
	ticket.DocumentIt: {fleet.MayWork, []string{"what"}}, ticket.Charge: {fleet.MayWork, []string{"what"}},
	ticket.GiveEstimate: {fleet.MayWork, []string{"price", "exceptions", "terms", "eta"}},
	ticket.GiveQuote:    {fleet.MayQuote, []string{"price", "exceptions", "terms", "eta", "as"}},
	ticket.Order:        {fleet.MayOpen, []string{"what"}}, ticket.Approve: {fleet.MayApprove, []string{"what", "at", "as"}},
	ticket.StateSecurity: {fleet.MayOpen, []string{"what", "to", "as"}}, ticket.Decline: {fleet.MayWork, nil},
	ticket.Waive:      {fleet.MayWaive, []string{"what", "until", "as"}},
	ticket.WriteDraft: {fleet.MayDraft, []string{"what", "to", "template"}}, ticket.SendDraft: {fleet.MaySend, []string{"what"}},
	ticket.Update: {fleet.MayWork, []string{"what"}}, ticket.RemoteSession: {fleet.MayWork, []string{"what", "to", "at", "until"}},
	ticket.RejectDelivery: {fleet.MayOpen, []string{"to"}}, ticket.Escalate: {fleet.MayWork, []string{"what", "to"}},
	ticket.Monitor: {fleet.MayOpen, []string{"what"}}, ticket.ExceptVersion: {fleet.MayWork, nil},
	ticket.Rate: {fleet.MayRate, []string{"score", "to"}},
}

// answered are the verbs that who may answer for their own party may use on a ticket that this party owns or is offered,
// without the right to work on others.
var answered = []ticket.Verb{ticket.Ack, ticket.Note, ticket.Accept, ticket.Return}

// author is an operator as the author of what they do to a ticket. It refuses a verb that they may not use on it: by none of
// their roles, nor because they stand for the party that owns it or is offered it, nor, for a note, as its customer.
func (a *API) author(r *http.Request, who fleet.Operator, t ticket.Ticket, v ticket.Verb) (ticket.By, error) {
	by, right := actor(who), verbUses[v].Right
	if who.May(right) {
		return by, nil
	}
	if v == ticket.Note && who.May(fleet.MayReply) && !who.SeesAll() { // the ticket is their customer's, or they would not see it
		by.Replies = true
		return by, nil
	}
	if !slices.Contains(answered, v) || !who.May(fleet.MayAnswer) {
		return by, forbidden(who, right)
	}
	err := a.o.Store.View(r.Context(), func(tx store.Tx) (err error) {
		by.Parties, err = a.o.Desk.StandsFor(tx, t, by)
		return err
	})
	if err != nil {
		return by, fmt.Errorf("for whom %s stands on ticket %s: %w", who.Name, t.Number, err)
	}
	if slices.Contains(by.Parties, t.Owner) || t.Handoff != nil && slices.Contains(by.Parties, t.Handoff.To) {
		return by, nil
	}
	return by, refusal(http.StatusForbidden, "forbidden", "on a ticket that your party owns or is offered you may", "%s does not stand for %s, "+
		"which owns %s, and may not %s it", who.Name, cmp.Or(t.Owner, "anybody"), t.Number, v)
}

// UseOf is what a verb wants and takes; false for a verb that no ticket knows.
func UseOf(v ticket.Verb) (VerbUse, bool) {
	u, ok := verbUses[v]
	return u, ok
}

// given are the fields that a request sets beside text and break_glass.
func (in ActionRequest) given() []string {
	set := map[string]bool{
		"as": in.As != "", "at": !in.At.IsZero(), "until": !in.Until.IsZero(), "to": in.To != "", "what": in.What != "",
		"facts": len(in.Facts) > 0, "price": in.Price != "", "exceptions": in.Exceptions != "", "terms": in.Terms != "",
		"eta": in.ETA != "", "score": in.Score != nil, "template": in.Template != "", "other": in.Other != "",
		"relation": in.Relation != "",
	}
	maps.DeleteFunc(set, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(set))
}

// unfit names the fields that a verb does not take, and those that it cannot do without.
func (in ActionRequest) unfit(v ticket.Verb, u VerbUse) error {
	var faults []string
	for _, f := range in.given() {
		if !slices.Contains(u.Fields, f) {
			faults = append(faults, fmt.Sprintf("%s: %s does not take it", f, v))
		}
	}
	switch {
	case v == ticket.Rate && in.Score == nil:
		faults = append(faults, "score: say a number from 0 to 10")
	case (v == ticket.LinkTo || v == ticket.Merge) && in.Other == "":
		faults = append(faults, "other: say the number of the other ticket")
	case v == ticket.LinkTo && !slices.Contains(ticket.Relations, in.Relation):
		faults = append(faults, fmt.Sprintf("relation: want one of %s, got %q", strings.Join(ticket.Relations, ", "), in.Relation))
	}
	if len(faults) == 0 {
		return nil
	}
	hint := string(v) + " takes text and break_glass"
	if len(u.Fields) > 0 {
		hint = string(v) + " takes text, break_glass, " + strings.Join(u.Fields, ", ")
	}
	e := badRequest(hint, "body: %s", strings.Join(faults, "; "))
	e.Details = faults
	return e
}

// action is what the domain is asked; other is the ticket that Other names.
func (in ActionRequest) action(v ticket.Verb, other *ticket.Ticket) ticket.Action {
	a := ticket.Action{Verb: v, Text: in.Text, As: in.As, At: in.At, Until: in.Until, To: in.To, What: in.What,
		Facts: ticket.Facts(in.Facts), Template: in.Template, Other: other, Relation: in.Relation, BreakGlass: in.BreakGlass}
	if in.Score != nil {
		a.Score = *in.Score
	}
	if v == ticket.GiveQuote || v == ticket.GiveEstimate {
		a.Quote = &ticket.Quote{Price: in.Price, Exceptions: in.Exceptions, Terms: in.Terms, ETA: in.ETA}
	}
	return a
}

func (a *API) actOnTicket(r *http.Request, who fleet.Operator) (any, error) {
	verb := ticket.Verb(r.PathValue("verb"))
	use, known := verbUses[verb]
	if !known {
		return nil, refusal(http.StatusNotFound, "not_found", "", "a ticket knows no %q", verb)
	}
	if _, err := query(r); err != nil {
		return nil, err
	}
	ref, s := r.PathValue("ref"), a.sight(who)
	t, err := a.seen(r, s, ref)
	if err != nil {
		return nil, fmt.Errorf("%s ticket %s: %w", verb, ref, err)
	}
	by, err := a.author(r, who, t, verb)
	if err != nil {
		return nil, err
	}
	var in ActionRequest
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if err := in.unfit(verb, use); err != nil {
		return nil, err
	}
	if err := a.fitPolicyFact(t.Customer, in.Facts); err != nil {
		return nil, err
	}
	var other *ticket.Ticket
	if in.Other != "" {
		found, err := a.seen(r, s, in.Other)
		if err != nil {
			return nil, fmt.Errorf("%s ticket %s: %w", verb, ref, err)
		}
		other = &found
	}
	t, err = a.o.Desk.Act(r.Context(), t.ID, in.action(verb, other), by)
	if errors.Is(err, ticket.ErrRefused) {
		return nil, err // its text is for the person and stands by itself
	}
	if err != nil {
		return nil, fmt.Errorf("%s ticket %s: %w", verb, ref, err)
	}
	out, err := a.wholeTicket(r, s, t.ID)
	if err != nil {
		return nil, fmt.Errorf("show ticket %s after %s: %w", ref, verb, err)
	}
	return out, nil
}

// seen finds a ticket that the operator sees.
func (a *API) seen(r *http.Request, s sight, ref string) (t ticket.Ticket, err error) {
	err = a.o.Store.View(r.Context(), func(tx store.Tx) error {
		t, err = s.ticket(tx, ref)
		return err
	})
	return t, err
}

// seesAsset refuses an asset that does not exist for the operator; an empty name is none.
func (a *API) seesAsset(s sight, name string) error {
	if name == "" {
		return nil
	}
	for _, f := range a.o.Fleet.Assets() {
		if f.Name == name && s.customer(f.Customer) {
			return nil
		}
	}
	return noAsset(name)
}

func noAsset(name string) error {
	return refusal(http.StatusNotFound, "not_found", "`watchbill asset list` lists them", "there is no asset %q", name)
}

func noCustomer(id string) error {
	return refusal(http.StatusNotFound, "not_found", "`watchbill customer list` lists them", "there is no customer %q", id)
}

// forbidden is the answer to who sees what it is about and may not do it.
func forbidden(who fleet.Operator, right fleet.Right) error {
	names := make([]string, 0, len(who.Held()))
	for _, r := range who.Held() {
		names = append(names, string(r))
	}
	what, may := "the role", "may"
	if len(names) > 1 {
		what = "the roles"
	}
	var able []string
	for _, r := range fleet.AllRoles() {
		if fleet.Allows(r, right) {
			able = append(able, string(r))
		}
	}
	return refusal(http.StatusForbidden, "forbidden", "ask an administrator for a role that may: "+strings.Join(able, ", "), "%s has %s %s, which %s not %s",
		who.Name, what, strings.Join(names, ", "), may, right)
}
