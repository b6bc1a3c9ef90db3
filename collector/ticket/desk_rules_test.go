package ticket

import (
	"errors"
	"strings"
	"testing"
)

// Whether work is charged for is marked before it starts: what was marked, or what its type says, stays from then on.
func TestChargeableIsMarkedBeforeWork(t *testing.T) {
	for name, tc := range map[string]struct {
		typ     string
		before  []Action
		what    string
		refused bool
	}{
		"before work":                     {"setup", nil, "yes", false},
		"changed before work":             {"setup", []Action{{Verb: Charge, What: "yes"}}, "no", false},
		"after a note":                    {"setup", []Action{{Verb: Charge, What: "yes"}, {Verb: Note, Text: "rang"}}, "no", false},
		"after the start":                 {"setup", []Action{{Verb: Charge, What: "yes"}, {Verb: Start}}, "no", true},
		"after an action":                 {"setup", []Action{{Verb: Charge, What: "no"}, {Verb: Did, Text: "looked"}}, "yes", true},
		"after a call":                    {"setup", []Action{{Verb: Charge, What: "no"}, {Verb: Callback, Text: "rang"}}, "yes", true},
		"after the resolution":            {"setup", []Action{{Verb: Charge, What: "no"}, {Verb: Resolve, Text: "done"}}, "yes", true},
		"unmarked, after the start":       {"setup", []Action{{Verb: Start}}, "yes", false},
		"to and fro, after the start":     {"setup", []Action{{Verb: Start}, {Verb: Charge, What: "yes"}}, "no", true},
		"no type leaves it open, at work": {"", []Action{{Verb: Start}}, "yes", true},
	} {
		t.Run(name, func(t *testing.T) {
			terms := gateTerms()
			for i := range terms.Types {
				terms.Types[i].Steps = nil
			}
			l := at(t, KindRequest, tc.typ, nil, terms)
			for _, a := range tc.before {
				l.act(a, bob)
			}
			_, err := l.try(Action{Verb: Charge, What: tc.what}, bob)
			if errors.Is(err, ErrRefused) != tc.refused {
				t.Errorf("charge %s: %v", tc.what, err)
			}
		})
	}
}

func TestVersionsThatAreNone(t *testing.T) {
	for word, want := range map[string]bool{
		"2.4.1": true, "v7": true, "2026-11": true, "NA-1.2": true, "release 4": true, "unknown": false, "None.": false,
		"n/a": false, "N/A": false, "-": false, "?": false, "": false, " ": false, "not known yet": false, "unknown, ask dev": false, "no version": false, "TBD": false,
	} {
		if isVersion(word) != want {
			t.Errorf("%q is a version: %v", word, !want)
		}
	}
	gate := Gate{Name: "version", Before: []Verb{Start}, Needs: []Need{{Kind: needVersion}}}
	l := at(t, KindIncident, "", Facts{factVersion: "unknown"}, gateTerms(gate))
	c, err := l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "version: name the version")
	birth := Birth{ID: "d", Number: "WB-2", Title: "delivery", Kind: KindDelivery, Terms: gateTerms(), Report: &Report{By: "c", Channel: "email", Customer: "acme"},
		Facts: Facts{factVersion: "none", factEnvironm: "production"}}
	if _, err := Open(birth, t0); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "say version") {
		t.Errorf("a delivery of no version: %v", err)
	}
}

// A rejected delivery ends as rejected, without what proves a delivery, and closes when what follows it is done.
func TestRejectedDeliveryEndsAsRejected(t *testing.T) {
	terms := gateTerms(Gate{Name: "proof", Before: []Verb{Resolve}, Needs: []Need{{Kind: needChecklist}}})
	terms.Checklists[0].When = When{"kind": {KindDelivery}}
	l := at(t, KindDelivery, "", Facts{factVersion: "2.4.1"}, terms)
	l.act(Action{Verb: Tick, What: "told the client"}, bob)
	c, err := l.try(Action{Verb: Resolve, Text: "delivered"}, bob)
	gateRefused(t, l.ticket, c, err, "cleaned up: ")
	l.act(Action{Verb: RejectDelivery, Text: "no release notes", To: "documentation"}, bob)
	l.ticket.Children = []Child{{ID: "c", Number: "WB-10", Type: "documentation", State: New, Relation: followUpOf}}
	l.act(Action{Verb: Resolve, Text: "sent back"}, bob)
	if l.ticket.Resolution != "rejected: sent back" {
		t.Errorf("it ended as %q", l.ticket.Resolution)
	}
	c, err = l.try(Action{Verb: Close}, bob)
	gateRefused(t, l.ticket, c, err, "follow-up: WB-10 (documentation) is not done yet")
	l.ticket.Children[0].State = Done
	l.act(Action{Verb: Close}, bob)
}

// What shows nothing of a mail is a finding of its own, and no evidence of where it is held.
func TestNothingFoundIsNoMailEvidence(t *testing.T) {
	gate := Gate{Name: "mail", Before: []Verb{escalation}, Needs: []Need{{Kind: needMail}}}
	l := at(t, KindIncident, "", nil, gateTerms(gate))
	l.act(Action{Verb: Confirm, What: mailNothing, Text: "neither quarantine nor junk nor a bounce has it"}, bob)
	if l.ticket.Facts[factMail] != mailNothing {
		t.Errorf("mail: %q", l.ticket.Facts[factMail])
	}
	c, err := l.try(Action{Verb: HandOver, To: "hosting-provider", Text: "mail is lost"}, bob)
	gateRefused(t, l.ticket, c, err, "mail-evidence: ")
	l.act(Action{Verb: Confirm, What: "junk", Text: "X-Spam: yes in the header"}, bob)
	l.act(Action{Verb: HandOver, To: "hosting-provider", Text: "mail is lost"}, bob)
}
