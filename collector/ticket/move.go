package ticket

import (
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// Move is what re-basing a ticket onto other terms would make of it.
type Move struct {
	Ticket Ticket `json:"ticket"`
	// Policy and Version are those of the other terms, Priority and Clocks what would follow from them.
	Policy   string      `json:"policy"`
	Version  string      `json:"version"`
	Priority string      `json:"priority"`
	Clocks   []sla.Clock `json:"clocks,omitempty"`
}

// Moved is what re-basing t onto terms, which are Ready, would make of it, and whether that is anything else than it is:
// another priority, a clock more or less, or a clock with another target or due time. Nothing is changed.
func (t Ticket) Moved(terms Terms, now time.Time) (Move, bool) {
	m := Move{Ticket: t, Policy: terms.Policy, Version: terms.Version}
	c, err := t.Act(Action{Verb: Rebase, Text: "to see what it would move"}, By{Actor: house}, terms, now)
	if err != nil {
		return m, false
	}
	m.Priority, m.Clocks = c.Ticket.Priority, c.Ticket.Clocks
	if m.Priority != t.Priority || len(m.Clocks) != len(t.Clocks) {
		return m, true
	}
	for _, is := range m.Clocks {
		was, ok := t.Clock(is.Name)
		if !ok || was.Target != is.Target || !was.Due.Equal(is.Due) {
			return m, true
		}
	}
	return m, false
}
