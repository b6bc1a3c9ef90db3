package policy

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ticket"
)

func TestBudgetYear(t *testing.T) {
	for name, tt := range map[string]struct {
		budget           string
		today, due, last fleet.Date
	}{
		"before it":       {"10-01", "2026-03-02", "2026-10-01", "2027-09-30"},
		"on it":           {"10-01", "2026-10-01", "2026-10-01", "2027-09-30"},
		"after it":        {"10-01", "2026-10-02", "2027-10-01", "2028-09-30"},
		"a calendar year": {"01-01", "2026-03-02", "2027-01-01", "2027-12-31"},
		"a leap year":     {"03-01", "2027-01-05", "2027-03-01", "2028-02-29"},
		"nobody said":     {"", "2026-03-02", "", "2026-12-31"},
		"no day":          {"13-45", "2026-03-02", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &Lifecycle{Budget: tt.budget}
			if tt.budget == "" {
				l = nil
			}
			if due, last := l.Year(tt.today); due != tt.due || last != tt.last {
				t.Errorf("due %q, last %q; want %q, %q", due, last, tt.due, tt.last)
			}
		})
	}
}

func TestReportsSayWhatTheyCannotRead(t *testing.T) {
	broken := errors.New("no terms")
	_, _, err := ReportLifecycle(LifecycleQuestion{Customers: []fleet.Customer{{ID: "acme"}}, Today: "2026-03-02",
		Of: func(string) (*Lifecycle, error) { return nil, broken }})
	if !errors.Is(err, broken) {
		t.Errorf("lifecycle: got %v, want %v", err, broken)
	}
	_, err = ReportCompliance(ComplianceQuestion{Environments: []ticket.Environment{{Customer: "acme"}},
		Terms: func(string) (Resolved, error) { return Resolved{}, broken }, Tickets: func(func(ticket.Ticket) bool) {}})
	if !errors.Is(err, broken) {
		t.Errorf("compliance: got %v, want %v", err, broken)
	}
}

// TestStanding: compliant is what there is evidence of, asset by asset; the rest is unknown, with why.
func TestStanding(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	e := ticket.Environment{Customer: "acme", Name: "production", Assets: []string{"web1", "web2"}}
	d := Demand{Name: "patches", Systems: []string{"patching"}}
	review := ticket.Type{Name: "review", Kind: ticket.KindTask, Every: 24 * time.Hour, Evidence: []string{"report"}}
	open := ticket.Ticket{Opening: ticket.Opening{Number: "WB-1", Customer: "acme", Asset: "web1", System: "patching"}, State: ticket.New}
	shut, other, elsewhere, named := open, open, open, open
	shut.State, other.System, elsewhere.Asset = ticket.Shut, "iis", "web9"
	named.System, named.Facts = "", ticket.Facts{"policy": "patches"}
	seen := Checking{"patching": {"web1": {"PatchesMissing"}, "web2": {"PatchesMissing"}}}
	reviewed := ticket.Ticket{Opening: ticket.Opening{Number: "WB-7", Customer: "acme", Type: "review"}, State: ticket.Done, ResolvedAt: now.Add(-23 * time.Hour)}
	reviewed.Facts, reviewed.Ticks = ticket.Facts{"policy": "patches"}, map[string]ticket.Signature{"evidence/report": {By: "ann"}}
	old, unproved, ofOne, due, unknown := reviewed, reviewed, reviewed, reviewed, reviewed
	old.ResolvedAt, unproved.Ticks, ofOne.Asset = now.Add(-24*time.Hour), nil, "web1"
	due.State, due.Asset = ticket.New, "web1"
	unknown.Ticks = map[string]ticket.Signature{"evidence/report": {}, "unknown/report": {}}
	for name, tt := range map[string]struct {
		tickets []ticket.Ticket
		mute    map[string]bool
		checks  Checking
		want    ComplianceState
		why     string
	}{
		"nothing is open, and rules look":   {[]ticket.Ticket{shut, other, elsewhere}, nil, seen, Compliant, ""},
		"no rule is loaded":                 {nil, nil, nil, UnknownState, "no rule of patching is loaded, and no review in time of web1, web2"},
		"rules have no data of one":         {nil, nil, Checking{"patching": {"web1": {"PatchesMissing"}}}, UnknownState, "the rules of patching had no data of web2, and no review in time"},
		"rules of another system have":      {nil, nil, Checking{"backup": seen["patching"], "patching": {}}, UnknownState, "the rules of patching had no data of web1, web2, and no review in time"},
		"a deviation":                       {[]ticket.Ticket{open}, map[string]bool{"web2": true}, nil, Deviating, ""},
		"a deviation a person named":        {[]ticket.Ticket{named}, nil, seen, Deviating, ""},
		"an asset that is not heard":        {nil, map[string]bool{"web2": true}, seen, UnknownState, "no report from web2"},
		"a review with evidence":            {[]ticket.Ticket{reviewed}, map[string]bool{"web2": true}, nil, Compliant, ""},
		"a review of one asset":             {[]ticket.Ticket{ofOne}, nil, nil, UnknownState, "no rule of patching is loaded, and no review in time of web2"},
		"a review that is too old":          {[]ticket.Ticket{old}, nil, nil, UnknownState, "*"},
		"a review without evidence":         {[]ticket.Ticket{unproved}, nil, nil, UnknownState, "*"},
		"a review whose report was missing": {[]ticket.Ticket{unknown}, nil, nil, UnknownState, "*"},
		"a review that is due":              {[]ticket.Ticket{due}, nil, seen, Compliant, ""},
	} {
		t.Run(name, func(t *testing.T) {
			terms := func(string) (Resolved, error) {
				return Resolved{Compliance: []Demand{d}, Ticket: ticket.Terms{Types: []ticket.Type{review}}}, nil
			}
			got, err := ReportCompliance(ComplianceQuestion{Environments: []ticket.Environment{e}, Terms: terms, Tickets: slices.Values(tt.tickets),
				Mute: tt.mute, Checks: tt.checks, Now: now})
			if err != nil || len(got) != 1 || got[0].State != tt.want || !Like(tt.why, got[0].Why) || (tt.want == Compliant) != (len(got[0].Unknown) == 0) && tt.want != Deviating {
				t.Fatalf("got %+v, %v; want %s because %q", got, err, tt.want, tt.why)
			}
			if tt.want == Compliant && len(got[0].Evidence) == 0 {
				t.Error("compliant rests on nothing")
			}
		})
	}
}

func TestPolicyFact(t *testing.T) {
	res := Resolved{Compliance: []Demand{{Name: "versions"}, {Name: "backup"}}}
	for name, want := range map[string]string{"backup": "", "": "", "patch": `facts.policy: the policy list of this customer has no entry "patch": say one of backup, versions`} {
		if err := res.CheckPolicyFact(ticket.Facts{"policy": name}); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
	if err := (Resolved{}).CheckPolicyFact(ticket.Facts{"policy": "house rules"}); err != nil {
		t.Errorf("terms without a list: %v", err)
	}
}

func TestEnvironments(t *testing.T) {
	since := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	assets := []fleet.Asset{{Name: "b", Customer: "acme", Environment: "test"}, {Name: "a", Customer: "acme", Environment: "production"},
		{Name: "c", Customer: "acme", Environment: "production"}, {Name: "d", Customer: "acme"}}
	got := Environments(assets, func(a fleet.Asset) time.Time {
		return map[string]time.Time{"a": since.Add(time.Hour), "c": since}[a.Name]
	})
	if len(got) != 3 || got[0].Name != Undeclared || got[1].Name != "production" || len(got[1].Assets) != 2 || got[2].Name != "test" {
		t.Fatalf("got %+v", got)
	}
	if first := got[1].FirstReports; len(first) != 2 || !first["a"].Equal(since.Add(time.Hour)) || !first["c"].Equal(since) {
		t.Errorf("first reports of production: %v", first)
	}
	if first, said := got[2].FirstReports["b"]; !said || !first.IsZero() {
		t.Errorf("what never reported did at %v", first)
	}
	if !got[1].WatchedFrom.Equal(since) || !got[2].WatchedFrom.IsZero() {
		t.Errorf("watched from %v and %v; want %v and never", got[1].WatchedFrom, got[2].WatchedFrom, since)
	}
}
