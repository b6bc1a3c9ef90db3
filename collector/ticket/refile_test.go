package ticket

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A ticket under the wrong system is corrected by who works on it, and the event has both words.
func TestSystemIsCorrected(t *testing.T) {
	terms := gateTerms()
	terms.Classes = append([]Class{{When: When{FactSystem: {"sql"}}, Priority: "P1"}}, terms.Classes...)
	s := begins(t, ready(t, terms), monday, func(b *Birth) { b.Alert.System = "iis" })
	client := By{Actor: Actor{Kind: Person, Name: "ursula"}, Customer: "acme"}
	for name, tc := range map[string]struct {
		word string
		by   By
	}{"by the client": {"sql", client}, "taken away": {"", bob}, "to what it is": {"iis", bob}} {
		c, err := s.ticket.Act(Action{Verb: Set, Facts: Facts{FactSystem: tc.word}}, tc.by, s.terms, s.now)
		if !errors.Is(err, ErrRefused) || !c.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := s.ticket.Act(Action{Verb: Set, Facts: Facts{FactSystem: "sql"}, Text: "a deadlock"}, bob, s.terms, s.now)
	s.play(c, err)
	if was, ok := c.Refiled(); !ok || was != "iis" || c.Ticket.System != "sql" || c.Ticket.Facts[FactSystem] != "sql" || c.Ticket.Priority != "P1" {
		t.Errorf("refiled %t from %q to %q, %s", ok, was, c.Ticket.System, c.Ticket.Priority)
	}
	d := c.Events[0].Detail
	if d.Before[FactSystem] != "iis" || d.Facts[FactSystem] != "sql" {
		t.Errorf("the event keeps %v and %v", d.Before, d.Facts)
	}
	if diff := cmp.Diff(s.timeline[0].Opening.After(s.timeline[1:]), s.ticket.Opening); diff != "" {
		t.Error(diff)
	}
	c, err = s.ticket.Act(Action{Verb: Set, Facts: Facts{FactUrgency: "time-critical"}}, bob, s.terms, s.now)
	if _, ok := c.Refiled(); ok || err != nil {
		t.Errorf("another fact files it anew: %v", err)
	}
	s.verify()
}
