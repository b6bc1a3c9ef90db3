package policy

import (
	"slices"
	"strings"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

// The kinds of need that ask for what a type brings along.
const (
	needsSteps     = "steps"
	needsEvidence  = "evidence"
	needsChecklist = "checklist"
)

// emptyTypes finds types that a gate names and that have nothing of what it asks for: the gate would stand open.
func (c *checker) emptyTypes(name string, g Gate, n Need) {
	var has func(string, Type) bool
	switch n.Kind {
	case needsSteps:
		has = func(_ string, y Type) bool { return len(y.Steps) > 0 }
	case needsEvidence:
		has = func(_ string, y Type) bool { return len(y.Evidence) > 0 }
	case needsChecklist:
		has = func(word string, y Type) bool { return c.listed(n.Names, word, y) }
	default:
		return
	}
	for _, word := range slices.Concat(g.When["type"], n.When["type"]) {
		if y, known := c.Types[word]; known && !has(word, y) {
			c.fault(n.At, "give the type some, or take it out of the gate", "gates.%s: asks for %s of type %s, which has none: it would stand open", name, n.Kind, word)
		}
	}
}

// listed tells whether any of the named checklists, or of all, may apply to a type.
func (c *checker) listed(names []string, word string, y Type) bool {
	f := ticket.Facts{"type": word, "kind": y.Kind}
	for name, list := range c.Checklists {
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		w := ticket.When{}
		for fact := range f {
			if words := list.When[fact]; len(words) > 0 {
				w[fact] = words
			}
		}
		if w.Holds(f) {
			return true
		}
	}
	return false
}

// accepts tells whether somebody in a role can accept a ticket that is handed to the role's party.
func accepts(role string) bool {
	return fleet.Allows(fleet.Role(role), fleet.MayWork) || fleet.Allows(fleet.Role(role), fleet.MayAnswer)
}

// strangers finds priorities that gates, types, checklists and rows of the priorities name and that the policy of the
// contract has not: what asks for them never holds, and what is excepted for them never is.
func (r Resolved) strangers(note noting, contract string) {
	t := r.Ticket
	look := func(what string, words []string) {
		for _, w := range words {
			if w = strings.TrimPrefix(w, "!"); w != "" && w != "*" && !slices.Contains(t.Priorities, w) {
				note(true, "its priorities are "+strings.Join(t.Priorities, ", "), "contract %s: %s names the priority %q, which %s has not", contract, what, w, t.Policy)
			}
		}
	}
	for _, g := range t.Gates {
		look("gate "+g.Name, g.When["priority"])
		for _, n := range g.Needs {
			look("gate "+g.Name, n.When["priority"])
			if n.Kind == needsVersion && len(n.Names) == 0 {
				look("gate "+g.Name+" (its need version excepts it where it names none; `names: [worst]` excepts the worst)", []string{"blocker"})
			}
		}
	}
	for _, y := range t.Types {
		look("type "+y.Name, y.When["priority"])
	}
	for _, c := range t.Checklists {
		look("checklist "+c.Name, c.When["priority"])
	}
	for _, c := range t.Classes {
		look("the row of classify that says "+c.Because, append([]string{c.Priority}, c.When["priority"]...))
	}
}
