package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The verbs of the desk.
const (
	// Verify is the second pair of eyes on a resolved ticket.
	Verify Verb = "verify"
	// GivePart gives What, a part of the record or a piece of evidence that the type wants: in Text, attached as Evidence, or
	// "none, because …".
	GivePart Verb = "record"
	// Confirm says that What was checked: a prerequisite, something to consider, or where a mail is held. Text says what was
	// found.
	Confirm Verb = "confirm"
	// Tick ticks What: a step of the type or an item of a checklist, in every list that has it; "steps: ITEM" and
	// "CHECKLIST: ITEM" tick it in that one.
	Tick Verb = "tick"
	// DocumentIt says in Text where the changes to the object What are documented.
	DocumentIt Verb = "document"
	// Charge marks the ticket chargeable: What is yes or no. Once work has begun only what nobody marked is, and stays so.
	Charge Verb = "charge"
	// GiveEstimate gives Quote, of which only the price must be there; GiveQuote wants all four fields, and the role.
	GiveEstimate Verb = "estimate"
	GiveQuote    Verb = "quote"
	// Order puts the order number What on the ticket.
	Order Verb = "order"
	// Approve approves What, dated At (now when zero), in the role As.
	Approve Verb = "approve"
	// StateSecurity says in What whether it is within the security policy: yes, no, exception; To is who made the exception.
	StateSecurity Verb = "security"
	// Decline refuses a request: it is resolved as refused, for the reason Text.
	Decline Verb = "decline"
	// Waive consents to missing the clock What until Until (zero: for ever), for the reason Text, in the role As.
	Waive Verb = "waive"
	// WriteDraft writes a message Text to the receiver To, made from Template; with the number of a draft in What it rewrites
	// that one. SendDraft sends the draft What.
	WriteDraft Verb = "draft"
	SendDraft  Verb = "send"
	// Update tells stakeholders; What may say why it comes late: workload, absence.
	Update Verb = "update"
	// RemoteSession was held with the tool What from At until Until, with the consent of To.
	RemoteSession Verb = "session"
	// RejectDelivery refuses a delivery for the reason Text; To are the follow-ups.
	RejectDelivery Verb = "reject-delivery"
	// Escalate takes the rung What of a ladder by hand, for the reason Text: To, a role or a person, is told.
	Escalate Verb = escalation
	// Monitor opens a task to create or improve (What) the monitoring of what Text says.
	Monitor Verb = "monitor"
	// ExceptVersion lets a blocker's change go out without a version for as long as it is one, for the reason Text, and opens the
	// task to deliver one. A manager does it.
	ExceptVersion Verb = "except"
	// Rate keeps Score, 0 to 10, said by To, or by who acts, who is a person of the customer; the ticket is closed. Somebody
	// of the desk records what To, somebody of the client, told them.
	Rate Verb = "rate"
)

// Bounds of what a person says beside the text, and of what one ticket keeps of each list.
const (
	maxField = 500
	maxKept  = 200
)

// deskVerbs is what the desk adds to the lifecycle. Each is refused when a field is not fit to be kept.
func deskVerbs() map[Verb]doing {
	all := map[Verb]doing{}
	for _, some := range []map[Verb]doing{recordVerbs, moneyVerbs, consentVerbs, messageVerbs, workVerbs} {
		maps.Copy(all, some)
	}
	for verb, v := range all {
		allows := v.allows
		v.allows = func(d *draft, a Action) error {
			if err := d.fit(a); err != nil {
				return err
			}
			return allows(d, a)
		}
		all[verb] = v
	}
	return all
}

// fit refuses fields that are too long, or have characters that no line of text has.
func (d *draft) fit(a Action) error {
	fields := map[string]string{"what": a.What, "to": a.To, "as": a.As, "template": a.Template, "break-glass": a.BreakGlass}
	if a.Quote != nil {
		fields["price"], fields["exceptions"], fields["terms"], fields["eta"] = a.Quote.Price, a.Quote.Exceptions, a.Quote.Terms, a.Quote.ETA
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		text := fields[name]
		if len(text) > maxField {
			return d.t.refuse("cannot take %d bytes as %s: at most %d are kept, say the rest in the text", len(text), name, maxField)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return d.t.refuse("cannot take %q as %s: write it as one line of text", text, name)
		}
	}
	return nil
}

// unshut refuses what has no place on a closed ticket.
func unshut(d *draft, _ Action) error {
	if d.t.State == Shut {
		return d.t.refuse("is closed; reopen it first, saying why")
	}
	return nil
}

// room refuses one more of what a ticket has enough of.
func (d *draft) room(have int, of string) error {
	if have >= maxKept {
		return d.t.refuse("has %d %s, which is as many as one ticket keeps: open another for what is new, and link it", have, of)
	}
	return nil
}

// past refuses an instant that has not come yet.
func (d *draft) past(at time.Time, what string) error {
	if at.After(d.now) {
		return d.t.refuse("cannot take %s as %s: that is in the future, it is %s now", at.UTC().Format(time.RFC3339), what, d.now.Format(time.RFC3339))
	}
	return nil
}

// oneOf refuses a word that is none of those known.
func (d *draft) oneOf(got, of string, words ...string) error {
	if slices.Contains(words, got) {
		return nil
	}
	return d.t.refuse("does not know %q as %s: say one of %s", got, of, strings.Join(words, ", "))
}

// says sets facts by the hand of who acts. Where they are so already it is a note.
func (d *draft) says(text string, f Facts) {
	if changed, _ := d.t.changes(f, d.t.known(d.terms.Facts)); len(changed) == 0 {
		d.add(Event{Kind: Noted, Actor: d.by.Actor, Text: text})
		return
	}
	d.set(f, text, nil)
}

// actor is who acts, in a role where that mattered.
func (d *draft) actor(as string) Actor {
	who := d.by.Actor
	who.As = as
	return who
}

// acting is the role of those wanted in which an action is done: the one that it names, else the first that the person
// has; empty when there is none.
func (d *draft) acting(a Action, wanted []string) string { return a.role(d.by, wanted) }

func (a Action) role(by By, wanted []string) string {
	if a.As == "" {
		return holdsOne(by.Roles, wanted)
	}
	if slices.Contains(wanted, a.As) && slices.Contains(by.Roles, a.As) {
		return a.As
	}
	return ""
}

// asking are the needs of the terms, whatever their conditions, for which ok holds, with the gate of each.
func (d *draft) asking(ok func(Need) bool) (needs []Need, gates []Gate) {
	for _, g := range d.terms.Gates {
		for _, n := range g.Needs {
			if ok(n) {
				needs, gates = append(needs, n), append(gates, g)
			}
		}
	}
	return needs, gates
}

// mayGive refuses who may not give what gates ask for: a quote, an approval, a waiver, a verification.
func (d *draft) mayGive(a Action) *GateError {
	switch a.Verb {
	case GiveQuote:
		return d.roleFor(a, needQuote, "a quote is issued", quoters)
	case Approve:
		return d.roleFor(a, "", what(a)+" is approved", nil)
	case ExceptVersion:
		return d.roleFor(a, needVersion, "an exception is made", excepters)
	case Verify:
		if by := d.t.ResolvedBy; by.Kind == Person && by.Same(d.by.Actor) {
			g := d.gateOf(needVerified, "four-eyes")
			return d.refusal(g, "verified: "+by.Name+" resolved it, so somebody else verifies it")
		}
		return d.roleFor(a, needVerified, "it is verified", func(n Need) []string { return n.Roles })
	}
	return nil
}

func what(a Action) string { return or(a.What, "this") }

// gateOf is the gate that asks for a kind of need, or one by another name when none does.
func (d *draft) gateOf(kind, otherwise string) Gate {
	if _, gates := d.asking(func(n Need) bool { return n.Kind == kind }); len(gates) > 0 {
		return gates[0]
	}
	return Gate{Name: otherwise, Source: house.Name}
}

// gateFor is the gate in whose name an action is refused to a role: one that stands before it on this ticket and asks for a
// role, else one that asks this ticket for what the action gives, else gateOf.
func (d *draft) gateFor(a Action, kind string) Gate {
	facts := d.t.conditions(d.terms, d.now)
	for _, g := range d.standing(a, facts) {
		if slices.ContainsFunc(g.Needs, func(n Need) bool { return n.Kind == needRole && n.When.Holds(facts) }) {
			return g
		}
	}
	_, gates := d.asking(func(n Need) bool { return n.Kind == kind && n.When.Holds(facts) })
	for _, g := range gates {
		if g.When.Holds(facts) {
			return g
		}
	}
	return d.gateOf(kind, kind)
}

func (d *draft) refusal(g Gate, missing string) *GateError {
	return &GateError{Gate: g.Name, Missing: []string{missing}, Source: g.Source, Number: d.t.Number}
}

// roleFor refuses an action of somebody who has none of the roles that gates want it of.
func (d *draft) roleFor(a Action, kind, said string, roles func(Need) []string) *GateError {
	wanted := d.approvers(a.What)
	if kind != "" {
		wanted = d.wanted(kind, roles)
	} else {
		kind = needApproval
	}
	if len(wanted) == 0 || d.acting(a, wanted) != "" {
		return nil
	}
	return d.refusal(d.gateFor(a, kind), fmt.Sprintf("role: %s by %s; %s", said, anyRole(wanted), a.actsAs(d.by, wanted)))
}

// wanted are the roles that the terms' needs of a kind name, none where one of them takes anybody.
func (d *draft) wanted(kind string, roles func(Need) []string) []string {
	needs, _ := d.asking(func(n Need) bool { return n.Kind == kind })
	if len(needs) == 0 {
		needs = []Need{{Kind: kind}}
	}
	var out []string
	for _, n := range needs {
		some := roles(n)
		if len(some) == 0 {
			return nil
		}
		out = append(out, some...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
