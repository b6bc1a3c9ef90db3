package ticket

import (
	"errors"
	"strings"
	"testing"
)

// saidTerms are terms whose conditions look at facts of the contract, of the asset and of people.
func saidTerms() Terms {
	t := gateTerms()
	t.Facts = Facts{"phase": "live", "supports-hosting": "true"}
	t.Classes = append([]Class{{When: When{"oncall": {"true"}, "criticality": {"high"}, "impact": {"business", "everybody"}}, Priority: "blocker"}}, t.Classes...)
	t.Types = append(t.Types,
		Type{Name: "care", Kind: KindRequest, When: When{"supports-maintenance": {"true"}}},
		Type{Name: "help", Kind: KindRequest, When: When{"supports-hosting": {"!true"}}},
		Type{Name: "pilot", Kind: KindRequest, When: When{"phase": {"implementation"}}},
		Type{Name: "starter", Kind: KindRequest, Asks: []string{"role"}})
	return t
}

// TestWhatIsSaidAtOpening: a person says of a new ticket what a person knows, and none of what contract, fleet, policy and
// the ticket's life give. The refusal names the fact, who gives it, and what can be said.
func TestWhatIsSaidAtOpening(t *testing.T) {
	client, desk := By{Actor: Actor{Kind: Person, Name: "cleo"}, Customer: "acme"}, somebody("ann", "engineer")
	parent := at(t, KindIncident, "", nil, ready(t, saidTerms())).ticket
	for name, c := range map[string]struct {
		by     By
		typ    string
		facts  Facts
		report Report
		want   string
	}{
		"impact":                        {client, "", Facts{"impact": "business"}, Report{}, ""},
		"a misspelt impact":             {client, "", Facts{"impact": "buisness"}, Report{}, `impact is "buisness": say one of business, team, person, everybody`},
		"a misspelt urgency":            {desk, "", Facts{"urgency": "time critical"}, Report{}, `urgency is "time critical": say one of time-critical, normal, low`},
		"an impact of the policy":       {client, "", Facts{"impact": "everybody", "urgency": "time-critical"}, Report{}, ""},
		"what a type asks":              {client, "starter", Facts{"role": "cook"}, Report{}, ""},
		"what the fleet knows of it":    {client, "setup", Facts{"role": "cook", "criticality": "high"}, Report{}, ""},
		"an asset's":                    {desk, "", Facts{"criticality": "high"}, Report{}, "criticality cannot be said at opening: the fleet knows it of the asset"},
		"the contract's":                {desk, "", Facts{"phase": "implementation"}, Report{}, "phase cannot be said at opening: the customer's contract gives it; these can be said: "},
		"what this contract lacks":      {client, "", Facts{"oncall": "true"}, Report{Channel: "on-call"}, "oncall cannot be said at opening: the customer's contract gives it"},
		"cover":                         {client, "", Facts{"cover": "24x7"}, Report{}, "cover cannot be said"},
		"agreement":                     {client, "", Facts{"agreement": "A-1"}, Report{}, "agreement cannot be said"},
		"model":                         {client, "", Facts{"model": "same-party"}, Report{}, "model cannot be said"},
		"hosted":                        {client, "", Facts{"hosted": "true"}, Report{}, "hosted cannot be said"},
		"customer":                      {client, "", Facts{"customer": "beta"}, Report{}, "customer cannot be said at opening: the fleet knows it of the customer"},
		"department":                    {client, "", Facts{"department": "sas"}, Report{}, "department cannot be said"},
		"owner":                         {client, "", Facts{"owner": "developer"}, Report{}, "owner cannot be said at opening: it is what becomes of the ticket"},
		"state":                         {client, "", Facts{"state": "closed"}, Report{}, "state cannot be said"},
		"major":                         {client, "", Facts{"major": "yes"}, Report{}, "major cannot be said"},
		"priority":                      {client, "", Facts{"priority": "P1"}, Report{}, "priority cannot be said at opening: it follows from impact and urgency"},
		"severity by the desk":          {desk, "", Facts{"severity": "critical"}, Report{}, ""},
		"severity by a client":          {client, "", Facts{"severity": "critical"}, Report{}, "severity cannot be said at opening: the rule that finds a fault gives it"},
		"approved":                      {client, "", Facts{"approved": "yes"}, Report{}, "approved cannot be said"},
		"first-to-know":                 {client, "", Facts{"first-to-know": "monitoring"}, Report{}, "first-to-know cannot be said at opening: watchbill knows it"},
		"entitled":                      {client, "", Facts{"entitled": "yes"}, Report{}, "entitled cannot be said"},
		"a verb's":                      {desk, "", Facts{"version-exception": "yes"}, Report{}, "version-exception cannot be said at opening: it follows from what is done on the ticket"},
		"what nothing asks for":         {desk, "", Facts{"weather": "rain"}, Report{}, "weather cannot be said at opening: nothing asks for it"},
		"chargeable by the desk":        {desk, "", Facts{"chargeable": "no"}, Report{}, ""},
		"chargeable by a client":        {client, "", Facts{"chargeable": "no"}, Report{}, "chargeable is marked by who works on it"},
		"the channel it came by":        {client, "", Facts{"channel": "email"}, Report{Channel: "email"}, ""},
		"another channel":               {client, "", Facts{"channel": "detected"}, Report{Channel: "email"}, `channel is "detected" in the facts and "email" in the report`},
		"another service":               {client, "", Facts{"service": "unversioned-change"}, Report{Service: "shop"}, `service is "unversioned-change" in the facts and "shop" in the report`},
		"busy lines by telephone":       {client, "", Facts{"lines-busy": "yes"}, Report{Channel: "telephone"}, ""},
		"busy lines by e-mail":          {client, "", Facts{"lines-busy": "yes"}, Report{Channel: "email"}, "lines-busy is of calls, and this came by email"},
		"a workaround":                  {client, "", Facts{"workaround": "accepted"}, Report{}, ""},
		"a workaround that is none":     {client, "", Facts{"workaround": "maybe"}, Report{}, `workaround is "maybe": say accepted or proposed`},
		"who accepted the workaround":   {client, "", Facts{"workaround-by": "Uma"}, Report{}, "workaround-by cannot be said"},
		"a type that is not contracted": {desk, "care", nil, Report{}, "type care is not for this customer (its contract lacks supports: maintenance)"},
		"contracted by word alone":      {desk, "care", Facts{"supports-maintenance": "true"}, Report{}, "supports-maintenance cannot be said at opening: the customer's contract gives it"},
		"a type of those without":       {desk, "help", nil, Report{}, "its contract has supports: hosting, and the type is for those without"},
		"a type of another phase":       {desk, "pilot", nil, Report{}, "its contract says live, the type wants phase: implementation"},
	} {
		t.Run(name, func(t *testing.T) {
			c.report.Customer, c.report.By = "acme", c.by.Name
			b := Birth{ID: "x", Number: "WB-3", Title: "x", Type: c.typ, Terms: ready(t, saidTerms()), Facts: c.facts, Report: &c.report}
			if c.typ == "setup" { // what the fleet knows is joined afterwards
				b.Facts = nil
			}
			b = b.SaidBy(c.by)
			b.Facts = c.facts
			made, err := Open(b, t0)
			var faults *BirthError
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want == "":
				if w := c.facts[FactWorkaround]; w != "" && made.Ticket.Facts[FactWorkaroundBy] != c.by.Name {
					t.Errorf("who has the workaround is not kept: %v", made.Ticket.Facts)
				}
			case !errors.As(err, &faults) || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want):
				t.Errorf("refused with %v, want %q", err, c.want)
			}
			follow := b
			follow.Parent = &parent
			if _, err := Open(follow, t0); (err != nil) != (c.want != "") {
				t.Errorf("because of another ticket it is %v", err)
			}
		})
	}
}

// TestSetAfterOpening: what cannot be said at opening cannot be set afterwards.
func TestSetAfterOpening(t *testing.T) {
	terms := ready(t, saidTerms())
	l := at(t, KindIncident, "", Facts{"impact": "team"}, terms)
	for _, n := range []string{"oncall", "cover", "phase", "supports-maintenance", "hosted", "criticality", "owner", "state", "customer", "agreement"} {
		_, err := l.try(Action{Verb: Set, Facts: Facts{n: "true"}}, anna)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), `"`+n+`" is no fact that can be set here: `) {
			t.Errorf("set %s: %v", n, err)
		}
	}
	for n, want := range map[string]string{"impact": "one of business, team, person, everybody", "urgency": "one of time-critical, normal, low"} {
		_, err := l.try(Action{Verb: Set, Facts: Facts{n: "zonk2"}}, anna)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), n+` is "zonk2": say `+want) {
			t.Errorf("a misspelt %s: %v", n, err)
		}
	}
	l.act(Action{Verb: Set, Facts: Facts{"impact": "business"}}, anna)
	l.act(Action{Verb: Set, Facts: Facts{"impact": ""}}, anna)
}

// TestDetectedOffScale: a fault that was detected is never lost for a word.
func TestDetectedOffScale(t *testing.T) {
	b := Birth{ID: "d", Number: "WB-4", Title: "disk", Alert: firing("disk", "warning"), Terms: ready(t, saidTerms()), Facts: Facts{"impact": "zonk2"}}
	if _, err := Open(b.SaidBy(By{Actor: house}), t0); err != nil {
		t.Error(err)
	}
}

// TestClientsExceptNobody: where no role is named, whoever runs the house says who made an exception, and no client does.
func TestClientsExceptNobody(t *testing.T) {
	client := By{Actor: Actor{Kind: Person, Name: "cleo"}, Customer: "acme"}
	terms := ready(t, gateTerms(Gate{Name: "security", Before: []Verb{Start}, Needs: []Need{{Kind: needSecurity}}}))
	said := Birth{ID: "e", Number: "WB-5", Title: "a server", Kind: KindRequest, Type: "setup", Terms: terms,
		Report: &Report{By: "cleo", Channel: "email", Customer: "acme"}, Facts: Facts{"security": "exception", "security-by": "carol"}}
	for name, c := range map[string]struct {
		by  By
		may bool
	}{
		"a client": {client, false}, "an engineer": {bob, true},
		"a client's general manager": {By{Actor: client.Actor, Customer: "acme", Roles: []string{"general-manager"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, atOpening := Open(said.SaidBy(c.by), t0)
			_, byVerb := at(t, KindRequest, "setup", nil, terms).try(Action{Verb: StateSecurity, What: "exception", To: "carol", Text: "one address"}, c.by)
			for _, err := range []error{atOpening, byVerb} {
				if c.may != (err == nil) || !c.may && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "any other named person who is not of the customer; cleo is of the customer")) {
					t.Error(err)
				}
			}
		})
	}
}
