package ticket

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// policed are the lifecycle's terms with gates and types of the desk.
func policed(t testing.TB, gates ...Gate) Terms {
	terms := deskTerms()
	terms.Gates, terms.Types, terms.Checklists = gates, append(terms.Types, gateTerms().Types...), nil
	terms.Types = slices.DeleteFunc(terms.Types, func(ty Type) bool { return ty.Name == "website-down" })
	terms.Priorities = []string{"blocker", "P1", "P2", "P3"}
	return ready(t, terms)
}

// The house closes nothing that four eyes have not seen: it says so once, waits, and closes when somebody verified.
func TestHouseWaitsForVerification(t *testing.T) {
	terms := policed(t, Gate{Name: "four-eyes", Before: []Verb{Close}, Needs: []Need{{Kind: needVerified}}, Source: "customer-operations 1"})
	s := begins(t, terms, t0, nil)
	s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, t0.Add(time.Hour)), t0.Add(time.Hour)))
	if s.ticket.State != Done {
		t.Fatal(s.ticket.State)
	}
	late := t0.Add(72 * time.Hour)
	s.play(s.ticket.Elapse(terms, late))
	if s.ticket.State != Done || s.timeline[len(s.timeline)-1].Kind != Refused {
		t.Fatalf("%s after %+v", s.ticket.State, s.timeline[len(s.timeline)-1])
	}
	if at := s.ticket.rest(); !at.IsZero() {
		t.Errorf("a ticket that waits for people has a deadline: %v", at)
	}
	again, err := s.ticket.Elapse(terms, late.Add(time.Hour))
	if err != nil || !again.Empty() {
		t.Errorf("told twice: %+v %v", again.Events, err)
	}
	s.play(s.ticket.Act(Action{Verb: Verify}, anna, terms, late.Add(2*time.Hour)))
	s.play(s.ticket.Elapse(terms, late.Add(2*time.Hour)))
	if s.ticket.State != Shut {
		t.Errorf("verified, and still %s", s.ticket.State)
	}
	s.verify()
}

// An escalation is refused until the record is complete, and what follows of a refusal is nothing: the owner, the clocks
// and the handoff stay.
func TestEscalationNeedsTheRecord(t *testing.T) {
	terms := policed(t,
		Gate{Name: "complete-record", Before: []Verb{escalation}, Needs: []Need{{Kind: needRecord}}, Source: "it-provider 1"},
		Gate{Name: "access-prerequisites", Before: []Verb{escalation}, When: When{"service": {"access"}}, Needs: []Need{{Kind: needPrerequisites}}, Source: "it-provider 1"})
	s := begins(t, terms, t0, func(b *Birth) {
		reported("telephone", t0)(b)
		b.Report.Service = "access"
	})
	hand := Action{Verb: handingOff, To: "hosting provider", Text: "the AppPool stands"}
	before := s.ticket
	c, err := s.ticket.Act(hand, anna, terms, t0.Add(time.Minute))
	var g *GateError
	if !errors.As(err, &g) || g.Gate != "complete-record" || len(g.Missing) != 3 || len(g.Also) != 1 || len(g.Also[0].Missing) != 3 {
		t.Fatalf("%v", err)
	}
	onlyRefused(t, before, c)
	s.play(c, nil)
	for i, p := range Parts {
		s.play(s.ticket.Act(Action{Verb: GivePart, What: string(p), Text: "unknown, because nobody answers"}, anna, terms, t0.Add(time.Duration(i+2)*time.Minute)))
	}
	for _, p := range prerequisites {
		s.play(s.ticket.Act(Action{Verb: Confirm, What: p, Text: "checked"}, anna, terms, t0.Add(10*time.Minute)))
	}
	s.play(s.ticket.Act(hand, anna, terms, t0.Add(11*time.Minute)))
	if s.ticket.Handoff == nil || s.ticket.Handoff.To != "hosting provider" {
		t.Errorf("%+v", s.ticket.Handoff)
	}
	s.verify()
}

// The follow-ups of a rejection open as what they are, know their parent, and the parent knows them.
func TestFollowUpsAreBorn(t *testing.T) {
	terms := policed(t)
	s := begins(t, terms, t0, func(b *Birth) {
		reported("email", t0)(b)
		b.Kind, b.Facts = KindDelivery, Facts{factVersion: "2.4", factEnvironm: "live"}
	})
	c, err := s.ticket.Act(Action{Verb: RejectDelivery, Text: "no notes", To: "documentation,re-test"}, anna, terms, t0.Add(time.Minute))
	s.play(c, err)
	for i, b := range c.Births {
		parent := s.ticket
		b.ID, b.Number, b.Parent = "child"+b.Type, "WB-2", &parent
		child, err := Open(b, t0.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if k := child.Ticket; k.Kind != KindTask || k.Type != b.Type || k.Customer != "acme" || k.Parent == nil || k.Parent.Ticket != s.ticket.ID {
			t.Errorf("%+v", k)
		}
		noted := slices.ContainsFunc(child.Events, func(e Event) bool { return e.Kind == Noted && e.Text == "anna: no notes" })
		if !noted || child.Ticket.Title != b.Type+" after the rejection of 2.4" || child.Notices[0].Text != child.Ticket.Title {
			t.Errorf("%q: the reason is to be its first note, and in nothing that clients read: %+v", child.Ticket.Title, child.Events)
		}
		if child.Other == nil {
			t.Fatal("the parent hears nothing")
		}
		s.play(*child.Other, nil)
		if kids := s.ticket.Children; len(kids) != i+1 || kids[i].Type != b.Type || kids[i].Relation != "follow-up of" {
			t.Errorf("%+v", kids)
		}
	}
	s.verify()
}

// What only a verb sets cannot be set outright, and what gates look at can.
func TestWhatCanBeSet(t *testing.T) {
	terms := policed(t, Gate{Name: "order", Before: []Verb{Start}, When: When{"chargeable": {"yes"}, "declined": {"!yes"}}, Needs: []Need{{Kind: needOrder}}})
	names := terms.Settable()
	for name := range SettableFacts() {
		if name != factEnvironm && !slices.Contains(names, name) { // the contract says the environment
			t.Errorf("%s cannot be set", name)
		}
	}
	for _, name := range verbFacts {
		if slices.Contains(names, name) {
			t.Errorf("%s can be set past its verb", name)
		}
	}
	s := begins(t, terms, t0, reported("email", t0))
	if _, err := s.ticket.Act(Action{Verb: Set, Facts: Facts{factDeclined: "yes"}}, anna, terms, t0); !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
	b := Birth{ID: "x", Number: "WB-3", Title: "x", Terms: terms}
	reported("email", t0)(&b)
	b.Facts = Facts{factException: "yes"}
	if _, err := Open(b, t0); !errors.Is(err, ErrRefused) {
		t.Errorf("a report says what only a verb may: %v", err)
	}
}

// Chargeable is known from the opening where the type says so, and moves what depends on it.
func TestChargeableFromTheOpening(t *testing.T) {
	terms := policed(t)
	for typ, want := range map[string]string{"onboarding": "yes", "setup": ""} {
		s := begins(t, terms, t0, func(b *Birth) {
			reported("email", t0)(b)
			b.Type, b.Facts = typ, Facts{"exceptions": "none", "security": "yes"}
		})
		if s.ticket.Kind != KindRequest || s.ticket.Chargeable != want || s.ticket.Facts[factSecurity] != "yes" {
			t.Errorf("%s: kind %s, chargeable %q, facts %v", typ, s.ticket.Kind, s.ticket.Chargeable, s.ticket.Facts)
		}
		s.verify()
	}
}
