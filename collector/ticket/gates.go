package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// escalation stands in a gate's Before for every handoff to another party and every rung of a ladder taken by a person.
const escalation Verb = "escalate"

// gates is what stands in the way of an action, nil when nothing does. The first gate is the error itself, further ones
// are its Also: a person reads once all that is missing. A gate that is gone through by break-glass is an event of its
// own; nothing is added when any gate still refuses.
func (d *draft) gates(a Action) *GateError {
	if refusal := d.mayGive(a); refusal != nil {
		return refusal
	}
	switch a.Verb {
	case Merge:
		if refusal := d.owed(*a.Other); refusal != nil {
			return refusal
		}
	case Set:
		if refusal := d.lifts(a); refusal != nil {
			return refusal
		}
	}
	if !d.guarded(a) {
		return nil
	}
	var refused []GateError
	var broken []GateError
	facts := d.t.conditions(d.terms, d.now)
	for _, g := range d.standing(a, facts) {
		missing := d.missing(g, a, facts)
		switch {
		case len(missing) == 0:
			continue
		case a.BreakGlass != "" && holdsOne(d.by.Roles, g.BreakGlass) != "":
			broken = append(broken, GateError{Gate: g.Name, Missing: missing, Source: g.Source, Number: d.t.Number})
			continue
		case a.BreakGlass != "":
			missing = append(missing, noBreakGlass(g))
		}
		refused = append(refused, GateError{Gate: g.Name, Missing: missing, Source: g.Source, Number: d.t.Number})
	}
	if len(refused) > 0 {
		first := refused[0]
		first.Also = slices.Clone(refused[1:])
		return &first
	}
	for i := range broken {
		d.breakGlass(&broken[i], a)
	}
	return nil
}

// noBreakGlass says why a reason to go through a gate all the same did not open it.
func noBreakGlass(g Gate) string {
	if len(g.BreakGlass) == 0 {
		return "break-glass: this gate cannot be overridden; the policy allows it to nobody"
	}
	return "break-glass: only " + anyRole(g.BreakGlass) + " may override this gate"
}

func (d *draft) breakGlass(through *GateError, a Action) {
	text := fmt.Sprintf("%s went through gate %s before %q, although it is missing: %s. Reason: %s",
		d.by.Name, through.Gate, a.Verb, strings.Join(through.Missing, "; "), a.BreakGlass)
	who := d.by.Actor
	for _, g := range d.terms.Gates {
		if g.Name == through.Gate {
			who.As = holdsOne(d.by.Roles, g.BreakGlass)
		}
	}
	d.add(Event{Kind: GlassBroken, Actor: who, Text: text, Detail: &Detail{What: string(a.Verb), Refusal: through}})
	d.tell(GlassBroken, text)
}

// standing are the gates before an action that its facts call for: those of the terms, then those that a type of ticket
// or the owner of the customer brings along.
func (d *draft) standing(a Action, facts Facts) []Gate {
	var out []Gate
	for _, g := range d.terms.Gates {
		if d.stands(g, a) && g.When.Holds(facts) {
			out = append(out, g)
		}
	}
	for _, g := range d.implied(facts) {
		if d.stands(g, a) && !slices.ContainsFunc(out, func(o Gate) bool { return o.asks(g.Needs[0], facts) }) {
			out = append(out, g)
		}
	}
	return out
}

// guarded tells whether any gate could stand before an action: most verbs have none, and then no facts are gathered.
func (d *draft) guarded(a Action) bool {
	return a.Verb == Resolve || a.Verb == Close || a.Verb == SendDraft || d.t.Facts[factSecurity] == no ||
		slices.ContainsFunc(d.terms.Gates, func(g Gate) bool { return d.stands(g, a) })
}

// stands tells whether a gate names an action, or what that comes to. A ticket that nobody owns yet is assigned for the first
// time by a handoff, which is no escalation. To go on with work that waited is to start it again, and
// to tick a step is to say that it was done.
func (d *draft) stands(g Gate, a Action) bool {
	switch {
	case slices.Contains(g.Before, a.Verb):
		return true
	case a.Verb == handingOff && d.t.Owner != "":
		return slices.Contains(g.Before, escalation)
	case a.Verb == Resume && d.t.State == Waiting && d.t.before() == InProgress:
		return slices.Contains(g.Before, Start)
	case d.ticksStep(a):
		return slices.Contains(g.Before, Did)
	}
	return false
}

// handingOff is the verb that hands a ticket to another party.
const handingOff Verb = "handoff"

// asks tells whether a gate asks for the same thing, where facts hold.
func (g Gate) asks(same Need, facts Facts) bool {
	return slices.ContainsFunc(g.Needs, func(n Need) bool {
		return n.Kind == same.Kind && slices.Equal(n.Names, same.Names) && n.When.Holds(facts)
	})
}

// implied are gates that no set writes down: a type's steps and evidence before its tickets are resolved, the version that
// follows a blocker's exception before it is closed, and the department that owns the customer before a message is sent.
func (d *draft) implied(facts Facts) []Gate {
	var out []Gate
	if ty, ok := d.terms.Type(d.t.Type); ok {
		if len(ty.Steps) > 0 {
			out = append(out, Gate{Name: "steps", Before: []Verb{Resolve}, Needs: []Need{{Kind: needSteps}}, Source: ty.Source})
		}
		if len(ty.Evidence) > 0 {
			out = append(out, Gate{Name: "evidence", Before: []Verb{Resolve}, Needs: []Need{{Kind: needEvidence}}, Source: ty.Source})
		}
	}
	if facts[factSecurity] == no {
		out = append(out, Gate{Name: "security-policy", Before: []Verb{Start, Did, RemoteSession, Callback, Restored}, Needs: []Need{{Kind: needSecurity}}, Source: house.Name})
	}
	if facts[factDelivery] == rejected {
		out = append(out, Gate{Name: "delivery-follow-ups", Before: []Verb{Close}, Needs: []Need{{Kind: needFollowed}}, Source: house.Name})
	}
	if facts[factException] == "yes" {
		out = append(out, Gate{Name: "version-follow-up", Before: []Verb{Close}, Needs: []Need{{Kind: needChildDone, Names: []string{TypeDeliverVersion}}}, Source: house.Name})
	}
	if facts[FactDepartment] != "" || d.by.Customer != "" {
		out = append(out, Gate{Name: "owning-department", Before: []Verb{SendDraft}, Needs: []Need{{Kind: needDepartment}}, Source: house.Name})
	}
	return out
}

// lifts refuses to take back what the ticket's type asked at opening where a gate that misses something stands because of it:
// that would be a way round the gate. Who may give what the gate asks for may correct it.
func (d *draft) lifts(a Action) *GateError {
	ty, _ := d.terms.Type(d.t.Type)
	facts := d.t.conditions(d.terms, d.now)
	after := maps.Clone(facts)
	maps.Copy(after, a.Facts)
	for _, g := range d.terms.Gates {
		i := slices.IndexFunc(ty.Asks, func(n string) bool { _, said := a.Facts[n]; return said && g.When[n] != nil })
		if i < 0 || !g.When.Holds(facts) || g.When.Holds(after) {
			continue
		}
		missing := d.missing(g, Action{Verb: g.Before[0]}, facts)
		var givers []string
		for _, n := range g.Needs {
			givers = append(givers, n.Roles...)
		}
		if len(givers) == 0 {
			givers = managers
		}
		if len(missing) == 0 || holdsOne(d.by.Roles, givers) != "" {
			continue
		}
		return &GateError{Gate: g.Name, Source: g.Source, Number: d.t.Number, Missing: append(missing,
			fmt.Sprintf("%s: it was said as the ticket was opened, and the gate stands by it: it is corrected by %s; %s", ty.Asks[i], anyRole(givers), areRoles(d.by)))}
	}
	return nil
}

// missing is what a gate asks for and does not have, each "WORD: what to do": the word is stable and for machines.
func (d *draft) missing(g Gate, a Action, facts Facts) []string {
	var out []string
	for _, n := range g.Needs {
		if !n.When.Holds(facts) {
			continue
		}
		out = append(out, d.lacks(n, a, facts)...)
	}
	return out
}

// lacks is what one need does not have. A need that this version does not know is never met: terms are kept for as long
// as their tickets, and a gate that is not understood must not stand open.
func (d *draft) lacks(n Need, a Action, facts Facts) []string {
	k, ok := needKinds[n.Kind]
	if !ok {
		return []string{fmt.Sprintf("%s: this version of watchbill does not know what that asks for; known are %s", n.Kind, strings.Join(needNames(), ", "))}
	}
	return k.check(asked{t: d.t, terms: d.terms, a: a, by: d.by, now: d.now, facts: facts, n: n})
}

// Blocked is every gate of terms that would refuse verb on the ticket as it stands at now, when by does it: what a page
// shows before anybody tries. Parameters that the verb would
// bring along count as not given.
func (t Ticket) Blocked(verb Verb, by By, terms Terms, now time.Time) []GateError {
	d := begin(t, now)
	d.by, d.terms = by.whole(), terms
	var out []GateError
	a, facts := Action{Verb: verb}, t.conditions(terms, d.now)
	for _, g := range d.standing(a, facts) {
		if missing := d.missing(g, a, facts); len(missing) > 0 {
			out = append(out, GateError{Gate: g.Name, Missing: missing, Source: g.Source, Number: t.Number})
		}
	}
	return out
}

// holdsOne is the first of the wanted roles that somebody has, empty for none.
func holdsOne(has, wanted []string) string {
	for _, r := range wanted {
		if slices.Contains(has, r) {
			return r
		}
	}
	return ""
}

// anyRole says roles to a person: "it-ops-manager or management".
func anyRole(roles []string) string { return strings.Join(roles, " or ") }

// actsAs says who somebody is that does not act in a wanted role: as whom they act, where they hold a wanted one, or that
// they are not what they act as.
func (a Action) actsAs(by By, wanted []string) string {
	switch held := holdsOne(by.Roles, wanted); {
	case a.As == "":
		return areRoles(by)
	case held != "":
		return by.Name + " is " + held + " and acts as " + a.As + ": leave that out, or act as " + held
	case !slices.Contains(by.Roles, a.As):
		return areRoles(by) + ", not " + a.As
	}
	return areRoles(by) + ", acting as " + a.As
}

// areRoles says to a person what somebody is.
func areRoles(b By) string {
	switch {
	case len(b.Roles) > 0:
		return b.Name + " is " + strings.Join(b.Roles, ", ")
	case b.Department != "":
		return b.Name + " is of " + b.Department
	case b.Customer != "":
		return b.Name + " is of the customer"
	}
	return b.Name + " has no role"
}
