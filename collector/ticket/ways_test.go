package ticket

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// passed are the verbs that end a ticket past the gates before resolve and close, with why: each has a rule of its own.
var passed = map[Verb]string{
	Decline: "a request is refused as such: what proves that it was done is not asked for, and close keeps its gates",
	Merge:   "it goes on in another ticket, which takes over what it owes or refuses it",
}

// escalates are the verbs that make another party's what is one's.
var escalates = []Verb{HandOver, Escalate}

// TestNoWayRoundTheGates tries every verb in every state under a gate that nothing opens: none comes to work, resolution,
// closing or another party.
func TestNoWayRoundTheGates(t *testing.T) {
	states := []string{"new", "acknowledged", "in progress", "waiting", "waiting in work", "resolved", "closed", "reopened", "offered"}
	for _, verb := range Verbs {
		for _, from := range states {
			t.Run(fmt.Sprintf("%s, %s", from, verb), func(t *testing.T) {
				s := reached(t, from)
				s.terms.Gates = []Gate{{Name: "shut", Before: []Verb{Start, Resolve, Close, escalation},
					Needs: []Need{{Kind: needFacts, Names: []string{"never-said"}}}, Source: "test"}}
				other := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number = "id2", "WB-1002" }).ticket
				was := s.ticket
				c, err := s.ticket.Act(wellFormedDesk(verb, other, s), s.by, s.terms, s.now)
				if err != nil {
					var gate *GateError
					if !errors.Is(err, ErrRefused) {
						t.Fatal(err)
					}
					if errors.As(err, &gate) && (c.Ticket.State != was.State || c.Ticket.Owner != was.Owner || c.Ticket.Handoff != was.Handoff) {
						t.Errorf("the gate refused, and the ticket is %s of %s", c.Ticket.State, c.Ticket.Owner)
					}
					return
				}
				now := c.Ticket
				if into := []State{InProgress, Done, Shut}; now.State != was.State && slices.Contains(into, now.State) && passed[verb] == "" {
					t.Errorf("%s came to %s past the gate", verb, now.State)
				}
				if slices.Contains(escalates, verb) || was.Handoff == nil && now.Handoff != nil {
					t.Errorf("%s escalated past the gate", verb)
				}
			})
		}
	}
}

// reached is a story in a state, by way of what leads there.
func reached(t *testing.T, state string) *story {
	t.Helper()
	switch state {
	case "waiting in work":
		s := in(t, InProgress)
		s.does(Action{Verb: WaitFor, What: "client", Text: "x"})
		return s
	case "offered":
		s := in(t, Acked)
		s.does(Action{Verb: HandOver, To: "developer", Text: "x"})
		s.by.Parties = []string{"developer"}
		return s
	}
	return in(t, State(state))
}

// wellFormedDesk is wellFormed with what the verbs of the desk want.
func wellFormedDesk(v Verb, other Ticket, s *story) Action {
	a := wellFormed(v, other, s.now)
	switch v {
	case Escalate:
		a.To = "developer"
	case RemoteSession:
		a.What, a.To, a.At, a.Until = "tool", "carol", s.now, s.now
	case GivePart:
		a.What = "symptoms"
	case Confirm:
		a.What = "device"
	case DocumentIt:
		a.What = "object"
	case Order:
		a.What = "4711"
	case Charge, StateSecurity:
		a.What = "yes"
	case GiveEstimate, GiveQuote:
		a.Quote = &Quote{Price: "1", Exceptions: "none", Terms: "net", ETA: "soon"}
	case WriteDraft:
		a.To = "carol"
	}
	return a
}

// TestResumeGoesBack: to go on after a wait is no way into work; what was in work passes the gates of start again.
func TestResumeGoesBack(t *testing.T) {
	gate := Gate{Name: "order-number", Before: []Verb{Start}, Needs: []Need{{Kind: needOrder}}, Source: "set"}
	for name, c := range map[string]struct {
		from    string
		refused bool
		want    State
		before  bool // the wait was kept before waits knew where they came from
	}{
		"acknowledged":         {"waiting", false, Acked, false},
		"in progress":          {"waiting in work", true, InProgress, false},
		"acknowledged, of old": {"waiting", false, Acked, true},
		"in progress, of old":  {"waiting in work", true, InProgress, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := reached(t, c.from)
			if c.before {
				w := *s.ticket.Wait
				w.From = ""
				s.ticket.Wait = &w
			}
			s.ticket.Chargeable, s.terms.Gates = yes, []Gate{gate}
			_, err := s.ticket.Act(Action{Verb: Resume}, s.by, s.terms, s.now)
			var shut *GateError
			if errors.As(err, &shut) != c.refused || !c.refused && err != nil {
				t.Fatalf("resume: %v", err)
			}
			s.ticket.Order = "4711"
			after, err := s.ticket.Act(Action{Verb: Resume}, s.by, s.terms, s.now)
			if err != nil || after.Ticket.State != c.want {
				t.Errorf("%s, %v; want %s", after.Ticket.State, err, c.want)
			}
		})
	}
}
