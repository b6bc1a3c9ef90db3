package ticket

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// token is a person under the name of one of their tokens.
func token(name, person string, roles ...string) By {
	b := somebody(name, roles...)
	b.Person = person
	return b
}

// Four eyes are those of two people, not of two tokens.
func TestOnePersonWithTwoTokensIsOne(t *testing.T) {
	eyes := Gate{Name: "four-eyes", Before: []Verb{Close}, Needs: []Need{{Kind: needVerified}}}
	for name, tc := range map[string]struct {
		resolves, verifies By
		refused            bool
	}{
		"two tokens of one person":               {token("anna-laptop", "anna"), token("anna-phone", "anna"), true},
		"two people whose tokens are alike":      {token("desk", "anna"), token("desk", "bob"), false},
		"two people":                             {token("a", "anna"), token("b", "bob"), false},
		"a name that no person is declared of":   {somebody("Anna "), somebody("anna"), true},
		"a declared person and one that is none": {token("anna", "anna"), somebody("anna"), true},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindIncident, "", nil, gateTerms(eyes))
			l.act(Action{Verb: Resolve, Text: "restarted"}, tc.resolves)
			_, err := l.try(Action{Verb: Verify}, tc.verifies)
			if errors.Is(err, ErrRefused) != tc.refused {
				t.Errorf("verified: %v", err)
			}
		})
	}
	both := Gate{Name: "scope", Before: []Verb{Start}, Needs: []Need{{Kind: needApproval, Names: []string{"outside-scope"}, Roles: []string{"management", "it-ops-manager"}, All: true}}}
	l := at(t, KindRequest, "setup", nil, gateTerms(both))
	l.act(Action{Verb: Approve, What: "outside-scope", At: t0.Add(-1)}, token("m1", "mia", "management"))
	l.act(Action{Verb: Approve, What: "outside-scope", At: t0.Add(-1)}, token("m2", "mia", "it-ops-manager"))
	c, err := l.try(Action{Verb: Start}, bob)
	gateRefused(t, l.ticket, c, err, "outside-scope: management and it-ops-manager are asked, and one person gave both")
	l.act(Action{Verb: Approve, What: "outside-scope", At: t0.Add(-1)}, token("m1", "noah", "it-ops-manager"))
	l.act(Action{Verb: Assign, To: "me"}, token("m1", "noah"))
	l.act(Action{Verb: Start}, bob)
	if last := l.timeline[len(l.timeline)-2]; l.ticket.Assignee != "noah" || last.Actor.Person != "noah" {
		t.Errorf("assigned to %s by %+v", l.ticket.Assignee, last.Actor)
	}
}

// An offer is accepted and returned by the party that has it, and withdrawn by who made it.
func TestWhoTakesAnOffer(t *testing.T) {
	offers := Action{Verb: HandOver, To: "developer", Text: "a fault of the application"}
	parties := func(by By, p ...string) By { by.Parties = p; return by }
	for name, tc := range map[string]struct {
		verb Verb
		by   By
		want Kind // of the event; empty: refused
	}{
		"accepted by the party":                        {Accept, parties(bob, "developer"), HandoffTaken},
		"accepted by another party":                    {Accept, parties(bob, "hosting-provider"), ""},
		"accepted by a role of the party's name":       {Accept, somebody("eve", "developer"), HandoffTaken},
		"by that role, where the parties are known":    {Accept, parties(somebody("eve", "developer"), "hosting-provider"), ""},
		"accepted by the offerer":                      {Accept, anna, ""},
		"accepted by a team leader":                    {Accept, somebody("tl", "team-leader"), HandoffTaken},
		"accepted by the technical operation manager":  {Accept, somebody("tom", "technical-operation-manager"), HandoffTaken},
		"accepted by an administrator":                 {Accept, parties(somebody("root", "admin"), "first-level"), HandoffTaken},
		"returned by another party":                    {Return, bob, ""},
		"returned by the party":                        {Return, parties(bob, "developer"), HandoffBack},
		"withdrawn by the offerer":                     {Return, anna, HandoffWithdrawn},
		"withdrawn by another who has the same name":   {Return, token("anna", "another-anna"), HandoffWithdrawn},
		"returned by an administrator who offered not": {Return, somebody("root", "admin"), HandoffBack},
	} {
		t.Run(name, func(t *testing.T) {
			l := at(t, KindIncident, "", nil, gateTerms())
			l.act(offers, anna)
			c, err := l.try(Action{Verb: tc.verb, Text: "because"}, tc.by)
			if tc.want == "" {
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "stands for developer") || !c.Empty() {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			l.take(c)
			if got := c.Events[0].Kind; got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if returned := l.ticket.Returned == 1; returned != (tc.want == HandoffBack) || l.ticket.Handoff != nil {
				t.Errorf("returned %d times, offered %+v", l.ticket.Returned, l.ticket.Handoff)
			}
			again, err := Fold(l.timeline)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(l.ticket, again); d != "" {
				t.Error(d)
			}
		})
	}
}
