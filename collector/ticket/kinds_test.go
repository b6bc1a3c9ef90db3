package ticket

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCheckBirth(t *testing.T) {
	report := &Report{By: "ursula", Channel: "email", Customer: "acme"}
	for name, tc := range map[string]struct {
		b    Birth
		want string // empty: it may be opened
	}{
		"a detected incident":            {Birth{}, ""},
		"a storm":                        {Birth{Kind: KindStorm}, ""},
		"an incident with targets":       {Birth{Type: "website-down", Report: report, Title: "down"}, ""},
		"a request":                      {Birth{Kind: KindRequest, Type: "setup", Report: report, Title: "server"}, ""},
		"a request with its asks":        {Birth{Kind: KindRequest, Type: "onboarding", Report: report, Title: "acme", Facts: Facts{"exceptions": "none", "security": "yes"}}, ""},
		"a delivery":                     {Birth{Kind: KindDelivery, Report: report, Title: "2.4", Facts: Facts{"version": "2.4", "environment": "live"}}, ""},
		"an announcement":                {Birth{Kind: KindAnnouncement, Type: "outage", Report: &Report{By: "bob", Service: "mail"}, Title: "mail"}, ""},
		"a review that a rule opens":     {Birth{Kind: KindTask, Type: "backup-review"}, ""},
		"an unknown kind":                {Birth{Kind: "party"}, "say one of incident, request, task, delivery, announcement"},
		"an unknown type":                {Birth{Kind: KindRequest, Type: "pony", Report: report, Title: "x"}, `there is no type "pony": there are setup, onboarding`},
		"a type of another kind":         {Birth{Kind: KindTask, Type: "setup"}, "setup is a type of request, not of task: say the kind request"},
		"a type of other customers":      {Birth{Kind: KindRequest, Type: "internal", Report: report, Title: "x"}, "type internal is not for this customer"},
		"no type where one is wanted":    {Birth{Kind: KindRequest, Report: report, Title: "x"}, "say its type: there are setup, onboarding"},
		"no types at all":                {Birth{Kind: KindRequest, Terms: Terms{Policy: "bare"}, Report: report, Title: "x"}, "bare has no types of request"},
		"asks that nobody answered":      {Birth{Kind: KindRequest, Type: "onboarding", Report: report, Title: "x"}, "say exceptions, security"},
		"a delivery of nothing":          {Birth{Kind: KindDelivery, Report: report, Title: "x"}, "say environment, version"},
		"an announcement of no service":  {Birth{Kind: KindAnnouncement, Type: "outage", Report: &Report{By: "bob"}, Title: "x"}, "say which service"},
		"no title":                       {Birth{Report: report}, "say a title"},
		"security perhaps":               {Birth{Kind: KindRequest, Type: "setup", Report: report, Title: "x", Facts: Facts{"security": "perhaps"}}, "say yes, no, or exception"},
		"an exception by nobody":         {Birth{Kind: KindRequest, Type: "setup", Report: report, Title: "x", Facts: Facts{"security": "exception"}}, "say security-by"},
		"chargeable perhaps":             {Birth{Kind: KindRequest, Type: "setup", Report: report, Title: "x", Facts: Facts{"chargeable": "perhaps"}}, "say yes or no"},
		"everything wrong is told once":  {Birth{Kind: KindRequest, Type: "pony", Report: report}, "say a title"},
		"a fact of the contract answers": {Birth{Kind: KindRequest, Type: "internal", Report: report, Title: "x", Terms: Terms{Types: gateTerms().Types, Facts: Facts{"internal": "yes"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.b.Terms.Types == nil && tc.b.Terms.Policy == "" {
				tc.b.Terms = gateTerms()
			}
			err := tc.b.CheckBirth()
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tc.want)
			}
		})
	}
}

func TestDeskFacts(t *testing.T) {
	for typ, want := range map[string]string{"setup": "", "onboarding": "yes", "internal": "no", "": ""} {
		if got := (Birth{Type: typ, Terms: gateTerms()}).deskFacts()[factChargeable]; got != want {
			t.Errorf("%q is chargeable %q, want %q", typ, got, want)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for name, tc := range map[string]struct {
		facts Facts
		want  string
	}{
		"nothing":                 {nil, ""},
		"unapproved software":     {Facts{factUnapproved: "no"}, "it concerns software or an application that is not approved"},
		"approved software":       {Facts{factUnapproved: "yes"}, ""},
		"its support ended":       {Facts{factSupport: "ended"}, "support for it has ended"},
		"in words":                {Facts{factUnsupport: "Windows 7"}, "Windows 7"},
		"said to be supported":    {Facts{factUnsupport: "no"}, ""},
		"words before what we do": {Facts{factUnsupport: "Windows 7", factSupport: "ended"}, "Windows 7"},
	} {
		if got := at(t, KindIncident, "", tc.facts, gateTerms()).ticket.Unsupported; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	l := at(t, KindIncident, "", nil, gateTerms())
	l.fact(Facts{factSupport: "ended"})
	l.fact(Facts{factSupport: ""})
	if l.ticket.Unsupported != "" || l.ticket.Facts[factSupport] != "" {
		t.Errorf("a fact that was taken back: %q %v", l.ticket.Unsupported, l.ticket.Facts)
	}
}

func TestNextOfARecurringType(t *testing.T) {
	week := 7 * 24 * time.Hour
	ty := Type{Every: week}
	for name, tc := range map[string]struct{ now, want time.Duration }{
		"the first is to come":             {time.Hour, week},
		"it is time":                       {week, week},
		"a little late":                    {week + time.Hour, week},
		"three periods away from the desk": {3*week + time.Hour, 3 * week},
	} {
		if got := ty.Next(t0, t0.Add(tc.now)); !got.Equal(t0.Add(tc.want)) {
			t.Errorf("%s: %v, want %v", name, got.Sub(t0), tc.want)
		}
	}
	if got := (Type{}).Next(t0, t0); !got.IsZero() {
		t.Errorf("what does not recur: %v", got)
	}
}
