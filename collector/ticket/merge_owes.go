package ticket

import (
	"fmt"
	"slices"
	"strings"
)

// oneOfAKind refuses to merge what is not the same kind of work: each keeps the gates, steps and clocks of its own type. An
// incident that has no type, as those that monitoring finds, loses none in one that has.
func (d *draft) oneOfAKind(o Ticket) error {
	t := d.t
	switch {
	case t.Kind != o.Kind:
		return t.refuse("is %s and cannot be merged into %s, which is %s: link them instead (link, as %q)", article(t.Kind), o.Number,
			article(o.Kind), RelatedTo)
	case t.Type != o.Type && (t.Kind != KindIncident || t.Type != ""):
		return t.refuse("is of type %s and cannot be merged into %s of type %s: link them instead (link, as %q)", or(t.Type, "none"), o.Number,
			or(o.Type, "none"), RelatedTo)
	}
	return nil
}

// stays are needs that the ticket which takes another over meets for both: somebody verifies it, its clocks go over, and what
// is to be monitored is passed on.
var stays = []string{needVerified, needWaiver, needRole, needDepartment, needMonitoring}

// owed is what stands in the way of merging the ticket into o: what it owes by gates before work, resolution and closing, and
// before escalation where o was escalated, that o does not owe itself. What o owes as well is passed to it: it is asked for
// there. The merge is an attempt like any other: {gate, missing[]}.
func (d *draft) owed(o Ticket) *GateError {
	all := d.owedToParent(o)
	own := begin(o, d.now)
	own.by, own.terms = d.by, d.terms
	if d.t.chargeable(d.terms) == yes && o.chargeable(d.terms) != yes {
		g := d.gateOf(needOrder, "order-number")
		all = append(all, *d.refusal(g, fmt.Sprintf("chargeable: it is, and %s is not: what is done here could be charged to nobody; link them instead", o.Number)))
	}
	verbs := []Verb{Start, Resolve, Close}
	if o.Owner != d.t.Owner {
		verbs = append(verbs, escalation)
	}
	for _, verb := range verbs {
		for _, g := range d.drops(own, Action{Verb: verb}) {
			if !slices.ContainsFunc(all, func(known GateError) bool { return known.Gate == g.Gate }) {
				all = append(all, g)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	first := all[0]
	first.Also = slices.Clone(all[1:])
	return &first
}

// drops are the gates before an action that this ticket misses something for, and own does not.
func (d *draft) drops(own *draft, a Action) (out []GateError) {
	same := own.t.Terms == d.t.Terms
	facts, theirs := d.t.conditions(d.terms, d.now), own.t.conditions(d.terms, d.now)
	asks := own.standing(a, theirs)
	for _, g := range d.standing(a, facts) {
		for _, n := range g.Needs {
			if slices.Contains(stays, n.Kind) || !n.When.Holds(facts) {
				continue
			}
			missing := d.lacks(n, a, facts)
			if len(missing) == 0 || same && own.owes(n, asks, a, theirs) && !d.names(n) {
				continue
			}
			out = append(out, GateError{Gate: g.Name, Source: g.Source, Number: d.t.Number, Missing: append(missing,
				fmt.Sprintf("merge: %s does not ask for that of this one: do it here first, or link the two instead", own.t.Number))})
		}
	}
	return out
}

// owes tells whether one of the gates that stand asks the ticket for the same kind of need, and misses it.
func (d *draft) owes(n Need, gates []Gate, a Action, facts Facts) bool {
	for _, g := range gates {
		for _, own := range g.Needs {
			if own.Kind == n.Kind && own.When.Holds(facts) && len(d.lacks(own, a, facts)) > 0 {
				return true
			}
		}
	}
	return false
}

// names tells whether what a need asks of the ticket is named on it alone: its own objects, and the tickets that follow it.
func (d *draft) names(n Need) bool {
	switch n.Kind {
	case needDocuments:
		return strings.TrimSpace(d.t.Facts[factObjects]) != ""
	case needChildDone, needFollowed:
		return true
	}
	return false
}

// owedToParent is what another ticket waits for this one for: its end as merged would be taken for its being done.
func (d *draft) owedToParent(o Ticket) []GateError {
	p := d.t.Parent
	follows := p != nil && (p.Relation != ChildOf || d.t.Kind == KindTask)
	if !follows || o.Parent != nil && o.Parent.Ticket == p.Ticket {
		return nil
	}
	return []GateError{{Gate: "follow-up", Source: house.Name, Number: d.t.Number, Missing: []string{fmt.Sprintf(
		"parent: %s has this one as %s, and %s is not: resolve or decline it, or link the two instead", p.Number, p.Relation, o.Number)}}}
}

// monitors passes on to d what a ticket that was merged into it was to be monitored for: who knew first, and that somebody asked or
// the fault was long to find.
func (d *draft) monitors(merged Ticket) {
	word := func(text string, f Facts) {
		d.add(Event{Kind: FactsChanged, Actor: house, Text: text, Detail: &Detail{Facts: f}})
	}
	if d.t.Facts == nil {
		return
	}
	known := d.t.Facts[FactFirst]
	if merged.Detected == d.t.Detected && merged.Facts[FactFirst] == FirstPerson && known == FirstMonitoring &&
		(merged.Detected || merged.Received().Before(d.t.Received())) {
		word(fmt.Sprintf("%s: a person reported it before monitoring found it (%s)", FactFirst, merged.Number), Facts{FactFirst: FirstPerson})
	}
	asked := merged.Facts[factMonitoring] == "asked" || merged.long(d.terms, d.now)
	if asked && d.t.Facts[factMonitoring] != "asked" && !slices.ContainsFunc(merged.Children, func(c Child) bool { return c.Type == TypeMonitoring }) {
		word(fmt.Sprintf("%s: asked (%s)", factMonitoring, merged.Number), Facts{factMonitoring: "asked"})
	}
}
