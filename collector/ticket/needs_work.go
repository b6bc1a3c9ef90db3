package ticket

import (
	"fmt"
	"slices"
	"strings"
)

// Types of task that this package opens, where the need that asks for them names none.
const (
	// TypeMonitoring is a task to create or improve monitoring.
	TypeMonitoring = "monitoring"
	// TypeDeliverVersion is the task that follows a change without a version.
	TypeDeliverVersion = "deliver-version"
)

// rejected is the word of a delivery that was refused, and followUpOf how what follows stands to it.
const (
	rejected   = "rejected"
	followUpOf = "follow-up of"
)

// followUps are what may follow the rejection of a delivery.
var followUps = []string{"documentation", "investigation", "re-test"}

// isVersion tells whether a word names a version: "none", "unknown" and their like do not.
func isVersion(word string) bool {
	word = strings.ToLower(strings.Trim(strings.TrimSpace(word), ".!? "))
	if slices.Contains([]string{"no", "tbd", "tba", "later", "missing"}, word) || slices.Contains(noneWords, word) || letters(word) == 0 {
		return false
	}
	for _, w := range []string{"none", "no version", "unknown", "unversioned", "not ", "n/a", "without "} {
		if rest, ok := cutWord(word, w); ok && (strings.HasSuffix(w, " ") || !startsWithLetter(rest)) {
			return false
		}
	}
	return true
}

var workNeeds = []NeedKind{
	{Kind: needVersion, Asks: "the version of the change; a blocker's change may go out without, which opens the task to deliver one",
		Roles: "who makes the exception; " + anyRole(managers) + " when empty",
		Names: "priorities that may be excepted, for as long as the ticket has one of them; blocker when empty", Gives: ExceptVersion, check: lacksVersion},
	{Kind: needFollowUp, Asks: "at least one follow-up is chosen with the rejection of a delivery",
		Names: "the follow-ups; documentation, investigation, re-test when empty", Gives: RejectDelivery, check: func(q asked) []string {
			allowed := q.named(followUps...)
			chosen := chosenFollowUps(q.a)
			if len(chosen) == 0 {
				return []string{"follow-up: choose at least one of " + strings.Join(allowed, ", ")}
			}
			var out []string
			for _, c := range chosen {
				if !slices.Contains(allowed, c) {
					out = append(out, fmt.Sprintf("follow-up: %q is none of %s", c, strings.Join(allowed, ", ")))
				}
			}
			return out
		}},
	{Kind: needFollowed, Asks: "every ticket that follows the rejection of a delivery is resolved or closed", Gives: Resolve, check: func(q asked) []string {
		if q.facts[factDelivery] != rejected {
			return nil // another ticket's follow-ups come of something else, like the exception from a version
		}
		var out []string
		for _, c := range q.t.Children {
			if c.Relation == followUpOf && c.State.Open() {
				out = append(out, fmt.Sprintf("follow-up: %s (%s) is not done yet", c.Number, or(c.Type, c.Kind)))
			}
		}
		return out
	}},
	{Kind: needMonitoring, Asks: "a monitoring task was opened, after a long investigation, a fault that a person reported first, or when anybody asked for it",
		Names: "types of such a task; " + TypeMonitoring + " when empty", Gives: Monitor, check: lacksMonitoring},
	{Kind: needDocuments, Asks: "the changed objects are documented: each that is named or that the fact objects lists, at least one",
		Names: "the objects", Gives: DocumentIt, check: lacksDocuments},
	{Kind: needSteps, Asks: "every step of the type of ticket is ticked", Gives: Tick, check: func(q asked) []string {
		if q.rejects() {
			return nil
		}
		ty, _ := q.terms.Type(q.t.Type)
		return q.unticked(tickStep, ty.Steps, "do it and tick it (tick %q)")
	}},
	{Kind: needChecklist, Asks: "every item of the checklists that apply is ticked", Names: "the checklists; all that apply when empty",
		Gives: Tick, check: func(q asked) []string {
			if q.rejects() {
				return nil
			}
			var out []string
			for _, c := range q.t.checklists(q.terms, q.facts) {
				if len(q.n.Names) == 0 || slices.Contains(q.n.Names, c.Name) {
					out = append(out, q.unticked(c.group(), c.Items, "do it and tick it (tick %q)")...)
				}
			}
			return out
		}},
	{Kind: needChild, Asks: "a ticket of one of the types, or with all of each, was opened because of it",
		Names: "the types", NeedsNames: true, check: func(q asked) []string { return q.childless(q.n.Names, false) }},
	{Kind: needChildDone, Asks: "a ticket of one of the types, or with all of each, that was opened because of it is resolved or closed",
		Names: "the types", NeedsNames: true, check: func(q asked) []string { return q.childless(q.n.Names, true) }},
}

// managers are who makes an exception from having a version where no gate names another.
var managers = []string{"technical-operation-manager", "delivery-manager", "it-ops-manager", "general-manager"}

func excepters(n Need) []string {
	if len(n.Roles) == 0 {
		return managers
	}
	return n.Roles
}

func lacksVersion(q asked) []string {
	excepted := q.named("blocker")
	only := strings.Join(excepted, ", ")
	switch {
	case isVersion(q.facts[factVersion]), isVersion(q.a.Facts[factVersion]):
		return nil
	case q.facts[factException] == yes && slices.Contains(excepted, q.facts[FactPriority]):
		return nil
	case q.facts[factException] == yes:
		return []string{fmt.Sprintf("version: the exception was for %s, and the priority is %s now: name the version of the change (set version=…)",
			only, q.facts[FactPriority])}
	}
	return []string{"version: name the version of the change (set version=…); only " + only + " may be excepted (except version)"}
}

// rejects tells whether a rejected delivery is resolved: what proves a delivery is then not asked for.
func (q asked) rejects() bool { return q.facts[factDelivery] == rejected && q.a.Verb == Resolve }

// childless are the types of which there is no child; done asks for one that no longer wants work.
func (q asked) childless(types []string, done bool) []string {
	var out []string
	for _, ty := range types {
		ok, open := false, ""
		for _, c := range q.t.Children {
			if c.Type == ty {
				ok = ok || !done || !c.State.Open()
				open = c.Number
			}
		}
		switch {
		case ok && !q.n.All:
			return nil
		case ok:
		case open != "":
			out = append(out, fmt.Sprintf("%s: %s is not done yet", ty, open))
		default:
			out = append(out, ty+": open a ticket of that type because of this one")
		}
	}
	return out
}

func lacksMonitoring(q asked) []string {
	var why []string
	if q.facts[factLong] == "yes" {
		why = append(why, "it took long to find, "+q.t.investigation(q.now).Round(1e9).String())
	}
	if q.facts[factFirst] == "person" {
		why = append(why, "a person reported it before monitoring did")
	}
	if q.facts[factMonitoring] == "asked" {
		why = append(why, "somebody asked for it")
	}
	types := q.named(TypeMonitoring)
	if len(why) == 0 || slices.ContainsFunc(q.t.Children, func(c Child) bool { return slices.Contains(types, c.Type) }) {
		return nil
	}
	return []string{"monitoring: " + strings.Join(why, "; ") + ": open a task to create or improve monitoring (monitor)"}
}

func lacksDocuments(q asked) []string {
	objects := slices.Clone(q.n.Names)
	for _, o := range strings.Split(q.facts[factObjects], ",") {
		if o = strings.TrimSpace(o); o != "" && !slices.Contains(objects, o) {
			objects = append(objects, o)
		}
	}
	if len(objects) > 0 {
		return q.unticked(tickDocument, objects, "document what was changed in it (document %q)")
	}
	for key := range q.t.Ticks {
		if strings.HasPrefix(key, tickDocument) {
			return nil
		}
	}
	return []string{"documents: document the objects that were changed (document)"}
}

// checklists are those of terms that apply to the ticket.
func (t Ticket) checklists(terms Terms, facts Facts) []Checklist {
	var out []Checklist
	for _, c := range terms.Checklists {
		if c.When.Holds(facts) {
			out = append(out, c)
		}
	}
	return out
}

// group is what the ticks of a checklist are kept under: another version is ticked anew.
func (c Checklist) group() string { return tickChecklist + c.Name + "@" + c.Version + "/" }

// chosenFollowUps are what a rejection says should follow.
func chosenFollowUps(a Action) []string {
	var out []string
	for _, c := range strings.Split(a.To, ",") {
		if c = strings.TrimSpace(c); c != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
