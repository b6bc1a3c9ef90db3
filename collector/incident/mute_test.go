package incident

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/timeinterval"
)

var muteDay = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

func conditions(t testing.TB, all ...string) (out []Matcher) {
	t.Helper()
	for _, s := range all {
		m, err := ParseMatcher(s)
		if err != nil {
			t.Fatal(err)
		}
		if m.String() != s {
			t.Errorf("%s became %s", s, m)
		}
		out = append(out, m)
	}
	return out
}

// TestSetMuting: what keeps its ID and what becomes another silence, as Alertmanager decides it.
func TestSetMuting(t *testing.T) {
	now := muteDay
	active := Muting{ID: "old", Matchers: conditions(t, `a="1"`), StartsAt: now.Add(-time.Hour), EndsAt: now.Add(time.Hour)}
	bound := active
	bound.Bound = &Bound{Department: "retail"}
	pending := Muting{ID: "old", Matchers: conditions(t, `a="1"`), StartsAt: now.Add(time.Hour), EndsAt: now.Add(2 * time.Hour)}
	expired := Muting{ID: "old", Matchers: conditions(t, `a="1"`), StartsAt: now.Add(-2 * time.Hour), EndsAt: now.Add(-time.Hour)}
	other := conditions(t, `a="2"`)
	for name, c := range map[string]struct {
		was    Muting
		change func(*Muting)
		id     string
		// ended tells that the one before is ended now.
		ended bool
	}{
		"an active one lasts longer":            {active, func(m *Muting) { m.EndsAt = now.Add(3 * time.Hour) }, "old", false},
		"an active one is told otherwise":       {active, func(m *Muting) { m.Comment = "more" }, "old", false},
		"an active one asks for something else": {active, func(m *Muting) { m.Matchers = other }, "new", true},
		"an active one began earlier":           {active, func(m *Muting) { m.StartsAt = now.Add(-2 * time.Hour) }, "new", true},
		"an active one comes to reach less":     {active, func(m *Muting) { m.Bound = &Bound{Department: "retail"} }, "new", true},
		"an active one comes to reach more":     {bound, func(m *Muting) { m.Bound = nil }, "new", true},
		"an active one reaches another":         {bound, func(m *Muting) { m.Bound = &Bound{Customer: "acme"} }, "new", true},
		"an active one reaches as far":          {bound, func(m *Muting) { m.Bound = &Bound{Department: "retail"} }, "old", false},
		"a pending one begins earlier":          {pending, func(m *Muting) { m.StartsAt = now.Add(time.Minute) }, "old", false},
		"a pending one began":                   {pending, func(m *Muting) { m.StartsAt = now.Add(-time.Minute) }, "new", true},
		"an expired one comes again":            {expired, func(m *Muting) { m.EndsAt = now.Add(time.Hour) }, "new", false},
	} {
		t.Run(name, func(t *testing.T) {
			next := c.was
			c.change(&next)
			put, err := SetMuting([]Muting{c.was}, next, "new", now)
			if err != nil {
				t.Fatal(err)
			}
			if put[0].ID != c.id || !put[0].UpdatedAt.Equal(now) || c.id == "new" && put[0].StartsAt.Before(now) {
				t.Errorf("%+v, want ID %s", put[0], c.id)
			}
			if c.ended != (len(put) == 2) || c.ended && (put[1].ID != "old" || put[1].State(now) != MutingExpired) {
				t.Errorf("the one before: %+v, ended %v", put[1:], c.ended)
			}
		})
	}
	if _, err := SetMuting(nil, active, "new", now); !errors.Is(err, ErrNoMuting) {
		t.Errorf("one that is not there: %v", err)
	}
	full := make([]Muting, MaxMutings)
	active.ID = ""
	if _, err := SetMuting(full, active, "new", now); err == nil || !strings.Contains(err.Error(), "exceeded maximum number of silences") {
		t.Errorf("one too many: %v", err)
	}
}

func TestMutingIsRefused(t *testing.T) {
	for want, m := range map[string]Muting{
		"at least one matcher required":                        {},
		"at least one matcher must not match the empty string": {Matchers: []Matcher{{Name: "a", Value: ".*", IsRegex: true, IsEqual: true}, {Name: "b", Value: "x"}}},
		"invalid regular expression":                           {Matchers: []Matcher{{Name: "a", Value: "(", IsRegex: true, IsEqual: true}}},
		"invalid label name":                                   {Matchers: []Matcher{{Value: "a", IsEqual: true}}},
		"end time must not be before start time":               {Matchers: []Matcher{{Name: "a", Value: "1", IsEqual: true}}, StartsAt: muteDay, EndsAt: muteDay.Add(-1)},
	} {
		if err := m.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestMuter: whatever label a silence is looked up by, it holds back what fulfils all its conditions and nothing else.
func TestMuter(t *testing.T) {
	now := muteDay
	a := Alert{Name: "DiskFull", Customer: "acme", Site: "hq", Asset: "web1", Service: "filesystem", Severity: Critical,
		Labels: map[string]string{"alertname": "DiskFull", "instance": "web1:9100", "customer": "forged", "mountpoint": "/srv"}}
	for text, want := range map[string]bool{
		`customer="acme"`: true, `customer="forged"`: false, `site="hq"`: true, `instance="web1:9100"`: true, `instance="web1"`: false,
		`alertname="DiskFull"`: true, `alertname=~"Disk.*"`: true, `alertname=~"isk"`: false, `severity="critical"`: true,
		`service="filesystem"`: true, `mountpoint!="/"`: true, `mountpoint!~"/s.*"`: false, `nothing=""`: true, `nothing="x"`: false,
	} {
		for _, extra := range []string{`customer=~".+"`, `alertname="DiskFull"`, `site="hq"`, `mountpoint="/srv"`} {
			m := Muting{ID: "s", Matchers: conditions(t, text, extra), StartsAt: now, EndsAt: now.Add(time.Hour), CreatedBy: "ada", Comment: "why"}
			got := NewMuter([]Muting{m, {ID: "ended", Matchers: m.Matchers, EndsAt: now}, {ID: "to come", Matchers: m.Matchers, StartsAt: now.Add(1), EndsAt: now.Add(9)}}, nil, nil).By(a, now)
			var all []MutedBy
			if want {
				all = []MutedBy{{ID: "s", By: "ada", Comment: "why"}}
			}
			if d := cmp.Diff(all, got); d != "" {
				t.Errorf("%s, %s: %s", text, extra, d)
			}
		}
	}
	if by := (*Muter)(nil).By(a, now); by != nil {
		t.Errorf("nothing holds back: %v", by)
	}
}

// TestMutingIsBound: what somebody's word does not reach is not held back, whatever the matchers say and whoever owned the
// customer when it was said.
func TestMutingIsBound(t *testing.T) {
	now := muteDay
	owners := map[string]string{"acme": "retail", "beta": "wholesale"}
	for name, c := range map[string]struct {
		bound *Bound
		held  []string
	}{
		"the house's":    {nil, []string{"acme", "beta", "new", "retail"}},
		"a department's": {&Bound{Department: "retail"}, []string{"acme", "retail"}},
		"a customer's":   {&Bound{Customer: "beta"}, []string{"beta"}},
		"nobody's":       {&Bound{}, nil},
	} {
		m := Muting{ID: "s", Matchers: conditions(t, `customer=~".+"`), StartsAt: now, EndsAt: now.Add(time.Hour), Bound: c.bound}
		muter := NewMuter([]Muting{m}, nil, func(customer string) string { return owners[customer] })
		var held []string
		for _, customer := range []string{"acme", "beta", "new", "retail"} {
			if len(muter.By(Alert{Customer: customer}, now)) > 0 {
				held = append(held, customer)
			}
		}
		if d := cmp.Diff(c.held, held); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestMuterKnowsSentNames: an alert that was sent shows to amtool as its sender named it, and on its ticket as the house does.
// A silence by either holds it back; one for all but it does not.
func TestMuterKnowsSentNames(t *testing.T) {
	now := muteDay
	a := Alert{ID: fedOrigins + "1", Name: "ShopDown", Customer: "acme", Asset: "web1", Service: "shop", Severity: Critical,
		Labels: map[string]string{"alertname": "ShopDown", "instance": "web1", "exported_instance": "web1:9100", "severity": "critical",
			"exported_severity": "page", "exported_customer": "forged"}}
	own := a
	own.ID = "rule/1"
	for text, want := range map[string]bool{
		`instance="web1:9100"`: true, `instance="web1"`: true, `instance=~"web1:.*"`: true, `instance="web2"`: false,
		`severity="page"`: true, `severity="critical"`: true, `severity!="page"`: false, `severity!="critical"`: false,
		`severity!~"p.*"`: false, `severity!="info"`: true, `customer="forged"`: false, `instance=""`: false,
	} {
		for _, extra := range []string{`alertname="ShopDown"`, `severity=~".+"`} {
			all := NewMuter([]Muting{{ID: "s", Matchers: conditions(t, text, extra), StartsAt: now, EndsAt: now.Add(time.Hour)}}, nil, nil)
			if got := all.By(a, now); (len(got) == 1) != want || len(got) > 1 {
				t.Errorf("%s, %s: held back by %v, want %v", text, extra, got, want)
			}
			if got := all.By(own, now); len(got) > 0 && (text == `instance="web1:9100"` || text == `severity="page"`) {
				t.Errorf("%s, %s: an alert of the house's goes by a label that only looks like a sender's name: %v", text, extra, got)
			}
		}
	}
}

// intervals reads a window's time as a configuration writes it.
func intervals(t testing.TB, zone, from, until string, days ...timeinterval.WeekdayRange) timeinterval.TimeInterval {
	t.Helper()
	minute := func(s string) int {
		var h, m int
		if _, err := fmt.Sscanf(s, "%d:%d", &h, &m); err != nil {
			t.Fatal(err)
		}
		return h*60 + m
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return timeinterval.TimeInterval{Times: []timeinterval.TimeRange{{StartMinute: minute(from), EndMinute: minute(until)}}, Weekdays: days,
		Location: &timeinterval.Location{Location: loc}}
}

// TestWindowOverClockChanges: a window is read off the clock on the wall. Around the nights on which that is set, it holds
// exactly between the instants given, in UTC.
func TestWindowOverClockChanges(t *testing.T) {
	for name, c := range map[string]struct {
		zone, from, until string
		day               string
		// spans are when it holds from noon UTC of the day before to noon of the day after.
		spans []string
	}{
		"Berlin in winter":                      {"Europe/Berlin", "02:00", "04:00", "2026-01-11", []string{"10T01:00 10T03:00", "11T01:00 11T03:00", "12T01:00 12T03:00"}},
		"Berlin, the hour from two is skipped":  {"Europe/Berlin", "02:00", "04:00", "2026-03-29", []string{"28T01:00 28T03:00", "29T01:00 29T02:00", "30T00:00 30T02:00"}},
		"Berlin, the window is in that hour":    {"Europe/Berlin", "02:15", "02:45", "2026-03-29", []string{"28T01:15 28T01:45", "30T00:15 30T00:45"}},
		"Berlin, the hour from two comes twice": {"Europe/Berlin", "02:00", "03:00", "2026-10-25", []string{"24T00:00 24T01:00", "25T00:00 25T02:00", "26T01:00 26T02:00"}},
		"Berlin, half of that hour, twice":      {"Europe/Berlin", "02:00", "02:30", "2026-10-25", []string{"24T00:00 24T00:30", "25T00:00 25T00:30", "25T01:00 25T01:30", "26T01:00 26T01:30"}},
		"New York skips":                        {"America/New_York", "01:30", "03:30", "2026-03-08", []string{"07T06:30 07T08:30", "08T06:30 08T07:30", "09T05:30 09T07:30"}},
		"New York repeats":                      {"America/New_York", "01:00", "02:00", "2026-11-01", []string{"31T05:00 31T06:00", "01T05:00 01T07:00", "02T06:00 02T07:00"}},
		"Lord Howe moves by half an hour on":    {"Australia/Lord_Howe", "01:00", "03:00", "2026-10-04", []string{"02T14:30 02T16:30", "03T14:30 03T16:00", "04T14:00 04T16:00"}},
		"Lord Howe moves by half an hour back":  {"Australia/Lord_Howe", "01:00", "02:00", "2026-04-05", []string{"03T14:00 03T15:00", "04T14:00 04T15:30", "05T14:30 05T15:30"}},
	} {
		t.Run(name, func(t *testing.T) {
			day, err := time.Parse(time.DateOnly, c.day)
			if err != nil {
				t.Fatal(err)
			}
			w := Window{Times: []timeinterval.TimeInterval{intervals(t, c.zone, c.from, c.until)}}
			var got []string
			at := day.Add(-24 * time.Hour)
			if c.zone == "Australia/Lord_Howe" {
				at = at.Add(-12 * time.Hour)
			}
			for range c.spans {
				from, until, ok := w.Next(at)
				if !ok {
					t.Fatal("it never comes")
				}
				got = append(got, from.Format("02T15:04")+" "+until.Format("02T15:04"))
				for m := from; m.Before(until); m = m.Add(time.Minute) {
					if !w.Active(m) || !w.Active(m.Add(time.Minute-1)) {
						t.Fatalf("it does not hold at %s", m)
					}
				}
				if w.Active(until) || w.Active(from.Add(-1)) {
					t.Errorf("it holds at %s or before %s", until, from)
				}
				at = until
			}
			if d := cmp.Diff(c.spans, got); d != "" {
				t.Errorf("want -, got +\n%s", d)
			}
		})
	}
}

func TestWindowBounds(t *testing.T) {
	once := Window{From: muteDay, Until: muteDay.Add(time.Hour)}
	for at, want := range map[time.Duration]bool{-1: false, 0: true, time.Hour - 1: true, time.Hour: false} {
		if got := once.Active(muteDay.Add(at)); got != want {
			t.Errorf("once, at %v: %v", at, got)
		}
	}
	from, until, ok := once.Next(muteDay.Add(-48 * time.Hour))
	if !ok || !from.Equal(once.From) || !until.Equal(once.Until) {
		t.Errorf("next: %v %v %v", from, until, ok)
	}
	if _, _, ok := once.Next(once.Until); ok {
		t.Error("it comes again")
	}
	leap := Window{Times: []timeinterval.TimeInterval{intervals(t, "UTC", "10:00", "11:00")}}
	leap.Times[0].Months = []timeinterval.MonthRange{{InclusiveRange: timeinterval.InclusiveRange{Begin: 2, End: 2}}}
	leap.Times[0].DaysOfMonth = []timeinterval.DayOfMonthRange{{InclusiveRange: timeinterval.InclusiveRange{Begin: 29, End: 29}}}
	if from, until, ok := leap.Next(muteDay); !ok || from.Format(time.DateTime) != "2028-02-29 10:00:00" || until.Sub(from) != time.Hour {
		t.Errorf("the 29th of February: %v to %v, %v", from, until, ok)
	}
	leap.Times[0].DaysOfMonth[0].Begin, leap.Times[0].DaysOfMonth[0].End = 30, 30
	if from, _, ok := leap.Next(muteDay); ok {
		t.Errorf("the 30th of February comes on %v", from)
	}
	cut := Window{Times: []timeinterval.TimeInterval{intervals(t, "UTC", "11:00", "14:00")}, Until: muteDay.Add(time.Hour)}
	if from, until, ok := cut.Next(muteDay); !ok || !from.Equal(muteDay) || !until.Equal(cut.Until) {
		t.Errorf("cut off: %v to %v, %v", from, until, ok)
	}
}
