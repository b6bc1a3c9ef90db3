package ticket

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

var reportDay = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// clocked is a ticket with one elapsed clock of 4 h that began at reportDay.
func clocked(t *testing.T, number, customer string, change func(sla.Clock) sla.Clock) Ticket {
	t.Helper()
	c, err := sla.Begin(sla.Target{Clock: "response", Mode: sla.Elapsed, Within: 4 * time.Hour}, nil, reportDay, 0.8, reportDay)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		c = change(c)
	}
	return Ticket{Opening: Opening{Number: number, Customer: customer, Kind: KindIncident, ReceivedAt: reportDay}, Priority: "P1",
		OpenedAt: reportDay, Clocks: []sla.Clock{c}}
}

// noTickets is what a report of nothing goes through.
func noTickets(func(Ticket) bool) {}

func noHours(Ticket) *sla.Calendar { return nil }

// slaOf is the report about tickets that go by no calendar.
func slaOf(tickets []Ticket, span Span, now time.Time) SLAReport {
	return ReportSLA(slices.Values(tickets), SLAQuestion{Span: span, Now: now, Hours: noHours, Find: among(tickets)})
}

// among finds one of some tickets.
func among(tickets []Ticket) func(id string) (Ticket, bool) {
	return func(id string) (Ticket, bool) {
		i := slices.IndexFunc(tickets, func(t Ticket) bool { return t.ID == id })
		if i < 0 {
			return Ticket{}, false
		}
		return tickets[i], true
	}
}

// TestReportSLA: each clock is in one state, breaches have their reason, and times are the clock's own.
func TestReportSLA(t *testing.T) {
	met := func(after time.Duration) func(sla.Clock) sla.Clock {
		return func(c sla.Clock) sla.Clock {
			c, _ = c.Tick(reportDay.Add(after))
			return c.Meet(reportDay.Add(after))
		}
	}
	waived := clocked(t, "WB-6", "acme", func(c sla.Clock) sla.Clock {
		c, err := c.Waive(reportDay.Add(time.Hour), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return c.Meet(reportDay.Add(6 * time.Hour))
	})
	late := clocked(t, "WB-3", "acme", met(5*time.Hour))
	late.Waivers = []Waiver{{Clock: "response", By: "Dana", Reason: "snow", Retrospective: true}}
	late.Told = []Told{{Step: "response/manager"}, {Step: "resolution/manager"}}
	merged := clocked(t, "WB-8", "acme", nil)
	merged.Merged = &Link{Number: "WB-1"}
	before := clocked(t, "WB-9", "acme", nil)
	before.ReceivedAt = reportDay.AddDate(0, -1, 0)
	tickets := []Ticket{
		clocked(t, "WB-1", "acme", met(time.Hour)), clocked(t, "WB-2", "acme", met(2*time.Hour)), late, clocked(t, "WB-4", "acme", nil),
		clocked(t, "WB-5", "acme", func(c sla.Clock) sla.Clock { return c.Drop(reportDay.Add(time.Minute), "recovered") }),
		waived, clocked(t, "WB-7", "beta", nil), merged, before,
	}
	got := slaOf(tickets, Span{From: reportDay.Add(-time.Hour), Until: reportDay.Add(time.Hour)}, reportDay.Add(10*time.Hour))
	five := reportDay.Add(5 * time.Hour)
	want := SLAReport{
		Lines: []SLALine{
			{Customer: "acme", Priority: "P1", Clock: "response", Count: 6, Met: 2, Breached: 2, Waived: 1, NotNeeded: 1, Ladder: 1,
				Median: new(2. * 3600), P90: new(6. * 3600), Longest: new(6. * 3600)},
			{Customer: "beta", Priority: "P1", Clock: "response", Count: 1, Breached: 1},
		},
		Breaches: []SLABreach{
			{Number: "WB-3", Customer: "acme", Priority: "P1", Clock: "response", Target: "4h,elapsed", At: reportDay.Add(4 * time.Hour), MetAt: &five,
				Reason: "consent of Dana after the breach: snow"},
			{Number: "WB-4", Customer: "acme", Priority: "P1", Clock: "response", Target: "4h,elapsed", At: reportDay.Add(4 * time.Hour), Reason: "not met yet"},
			{Number: "WB-7", Customer: "beta", Priority: "P1", Clock: "response", Target: "4h,elapsed", At: reportDay.Add(4 * time.Hour), Reason: "not met yet"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// TestEveryClockIsCountedOnce: whatever happens to a clock, its line has it in exactly one state.
func TestEveryClockIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		now := reportDay
		tk := clocked(t, "WB-1", "acme", func(c sla.Clock) sla.Clock {
			c.Target.Inform = rapid.Bool().Draw(rt, "informs")
			for _, what := range rapid.SliceOfN(rapid.SampledFrom([]string{"tick", "meet", "waive", "drop", "cancel", "wait"}), 0, 6).Draw(rt, "what") {
				now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "minutes")) * time.Minute)
				switch what {
				case "tick":
					c, _ = c.Tick(now)
				case "meet":
					c = c.Meet(now)
				case "waive":
					if w, err := c.Waive(now, now.Add(time.Hour)); err == nil {
						c = w
					}
				case "drop":
					c = c.Drop(now, "recovered")
				case "cancel":
					c = c.Cancel(now, "merged")
				}
			}
			return c
		})
		l := slaOf([]Ticket{tk}, Span{}, now).Lines[0]
		if sum := l.Met + l.Breached + l.Waived + l.NotNeeded + l.Cancelled + l.Running + l.Informing; l.Count != 1 || sum != 1 {
			rt.Errorf("%+v counts %d states of %d clocks", l, sum, l.Count)
		}
	})
}

func TestPercentile(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		p      float64
		want   float64
	}{
		{nil, 50, 0}, {[]float64{7}, 50, 7}, {[]float64{7}, 1, 7}, {[]float64{1, 2}, 50, 1}, {[]float64{1, 2}, 51, 2},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 90, 9}, {[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 91, 10}, {[]float64{1, 2, 3}, 100, 3},
	} {
		if got := Percentile(tt.values, tt.p); got != tt.want {
			t.Errorf("%v at %v: got %v, want %v", tt.values, tt.p, got, tt.want)
		}
	}
}

func TestReportFirstToKnow(t *testing.T) {
	fault := func(customer, first string) Ticket {
		return Ticket{Opening: Opening{Customer: customer, Kind: KindIncident, ReceivedAt: reportDay}, Work: Work{Facts: Facts{FactFirst: first}}}
	}
	request := fault("acme", FirstPerson)
	request.Kind = KindRequest
	half, all := 0.5, 2.0/3
	got := ReportFirstToKnow(slices.Values([]Ticket{fault("acme", FirstMonitoring), fault("acme", FirstPerson), fault("beta", FirstMonitoring), request,
		fault("none", "")}), Span{From: reportDay})
	one := 1.0
	want := []FirstToKnow{{"acme", 1, 1, &half}, {"beta", 1, 0, &one}, {"none", 0, 0, nil}, {"", 2, 1, &all}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReportNPS(t *testing.T) {
	rated := func(score int, at time.Time) Ticket { return Ticket{Work: Work{Rating: &Rating{Score: score, At: at}}} }
	december := time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC) // in Berlin it is December
	zone := time.FixedZone("CET", 3600)
	got := ReportNPS(slices.Values([]Ticket{rated(10, reportDay), rated(9, reportDay), rated(8, reportDay), rated(6, reportDay), rated(0, december), {}}), Span{From: reportDay}, zone)
	quarter, worst, none := 25.0, -100.0, 0.0
	want := []NPS{{"2026-11", 4, 2, 1, 1, &quarter}, {"2026-12", 1, 0, 0, 1, &worst}, {"all", 5, 2, 1, 2, &none}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if empty := ReportNPS(noTickets, Span{}, zone); len(empty) != 1 || empty[0].Score != nil {
		t.Errorf("nobody answered: %+v", empty)
	}
}

// TestReportAvailability: each hour of a day is told apart, announced work first, silence before outage.
func TestReportAvailability(t *testing.T) {
	h := func(n int) time.Time { return reportDay.Add(time.Duration(n) * time.Hour) }
	alert := func(asset, source, service string, severity incident.Severity, from, to int) Ticket {
		a := incident.Alert{Asset: asset, Source: source, Service: service, Severity: severity, ActiveAt: h(from)}
		if to > 0 {
			a.EndedAt = h(to)
		}
		return Ticket{Opening: Opening{Customer: "acme", Kind: KindIncident, Asset: asset, Detected: true}, Alerts: []incident.Alert{a}}
	}
	planned := Ticket{Opening: Opening{Customer: "acme", Kind: KindAnnouncement, Type: "planned-change"}, State: Shut,
		Work: Work{Facts: Facts{factMaintenance: yes, factChangeAt: h(1).Format(time.RFC3339), factChangeEnd: h(3).Format(time.RFC3339)}}}
	reported := Ticket{Opening: Opening{Customer: "acme", Kind: KindIncident, Type: "website-down", Asset: "web1", ReceivedAt: h(8)}, State: Done, ResolvedAt: h(9)}
	tickets := []Ticket{
		planned, reported,
		alert("web1", "rule web/Down", "website https://shop", incident.Critical, 2, 5), // 3–5 beyond maintenance
		alert("web1", "watchbill", "availability", incident.Critical, 4, 6),             // 4–6 unknown
		alert("web1", "rule web/Slow", "website https://shop", incident.Warning, 6, 7),  // no outage
		alert("web1", "rule disk/Full", "filesystem", incident.Critical, 6, 7),          // no outage
		alert("other", "rule web/Down", "website x", incident.Critical, 6, 7),           // another environment
	}
	span := Span{From: h(0), Until: h(10)}
	got := ReportAvailability([]Environment{{Customer: "acme", Name: "production", Assets: []string{"web1"}, WatchedFrom: h(-1)}}, slices.Values(tickets), span, time.UTC, h(100))
	share := 4.0 / 6
	want := []Availability{{Customer: "acme", Environment: "production", Month: "2026-11", Seconds: 36000, Maintenance: 7200, Unknown: 7200, Down: 7200, Available: &share}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (available %v)\nwant %+v", got, *got[0].Available, want)
	}
	months := ReportAvailability([]Environment{{Customer: "acme", Name: "production", Assets: []string{"web1"}, WatchedFrom: h(-1)}}, noTickets, Span{From: h(0), Until: reportDay.AddDate(0, 2, 0)}, time.UTC, reportDay.AddDate(1, 0, 0))
	if len(months) != 3 || months[0].Month != "2026-11" || months[2].Month != "2027-01" || *months[1].Available != 1 {
		t.Errorf("months: %+v", months)
	}
	// What nobody watches is unknown, not available.
	for name, tt := range map[string]struct {
		from      time.Time
		unknown   float64
		available bool
	}{"never watched": {time.Time{}, 36000, false}, "watched late": {h(9), 32400, true}, "watched before": {h(-5), 0, true}} {
		got := ReportAvailability([]Environment{{Customer: "acme", Name: "production", Assets: []string{"web1"}, WatchedFrom: tt.from}}, noTickets, span, time.UTC, h(100))[0]
		if got.Unknown != tt.unknown || (got.Available != nil) != tt.available {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestMonthsBeginWhereTheClocksSkipMidnight: the month begins when the clocks go on, and every second is in one month.
func TestMonthsBeginWhereTheClocksSkipMidnight(t *testing.T) {
	zone, err := time.LoadLocation("America/Asuncion") // 2023-10-01 began at 01:00
	if err != nil {
		t.Fatal(err)
	}
	span := Span{From: time.Date(2023, 9, 15, 0, 0, 0, 0, zone), Until: time.Date(2023, 11, 1, 0, 0, 0, 0, zone)}
	got := ReportAvailability([]Environment{{Customer: "acme", Name: "production"}}, noTickets, span, zone, span.Until)
	if len(got) != 2 || got[0].Month != "2023-09" || got[0].Seconds != 16*86400 || got[1].Month != "2023-10" || got[1].Seconds != 31*86400-3600 {
		t.Errorf("months: %+v", got)
	}
}

// TestBreachThatNobodyRecordedYet stands in the report with the instant at which it will be recorded.
func TestBreachThatNobodyRecordedYet(t *testing.T) {
	for name, tt := range map[string]struct {
		until time.Duration // of a waiver, after the start; due is at 4 h
		want  time.Duration
	}{"a waiver that ended before": {2 * time.Hour, 4 * time.Hour}, "a waiver that covered it": {5 * time.Hour, 5 * time.Hour}} {
		tk := clocked(t, "WB-1", "acme", func(c sla.Clock) sla.Clock {
			c, err := c.Waive(reportDay.Add(time.Hour), reportDay.Add(tt.until))
			if err != nil {
				t.Fatal(err)
			}
			return c
		})
		got := slaOf([]Ticket{tk}, Span{}, reportDay.Add(6*time.Hour)).Breaches
		if len(got) != 1 || !got[0].At.Equal(reportDay.Add(tt.want)) {
			t.Errorf("%s: %+v, want one %v after receipt", name, got, tt.want)
		}
	}
}

// TestWhatNeverReportedIsUnknown: each asset counts by itself, and where nothing is known there is no share.
func TestWhatNeverReportedIsUnknown(t *testing.T) {
	h := func(n int) time.Time { return reportDay.Add(time.Duration(n) * time.Hour) }
	span := Span{From: h(0), Until: h(10)}
	for name, tt := range map[string]struct {
		assets  []string
		first   map[string]time.Time
		unknown float64
		share   bool
	}{
		"both before":          {[]string{"web1", "web2"}, map[string]time.Time{"web1": h(-9), "web2": h(-1)}, 0, true},
		"one of them later":    {[]string{"web1", "web2"}, map[string]time.Time{"web1": h(-9), "web2": h(4)}, 4 * 3600, true},
		"one of them never":    {[]string{"web1", "web2"}, map[string]time.Time{"web1": h(-9)}, 36000, false},
		"the first at the end": {[]string{"web1"}, map[string]time.Time{"web1": h(10)}, 36000, false},
		"nobody":               {[]string{"web1"}, map[string]time.Time{}, 36000, false},
		"no asset at all":      {nil, map[string]time.Time{}, 36000, false},
	} {
		e := Environment{Customer: "acme", Name: "production", Assets: tt.assets, WatchedFrom: h(-9), FirstReports: tt.first}
		got := ReportAvailability([]Environment{e}, noTickets, span, time.UTC, h(100))[0]
		if got.Unknown != tt.unknown || (got.Available != nil) != tt.share {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestStretches: what is cut away and what stays add up, whatever overlaps.
func TestStretches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) []Stretch {
			var out []Stretch
			for range rapid.IntRange(0, 6).Draw(rt, name) {
				from := reportDay.Add(time.Duration(rapid.IntRange(-50, 150).Draw(rt, "from")) * time.Minute)
				out = append(out, Stretch{from, from.Add(time.Duration(rapid.IntRange(0, 60).Draw(rt, "long")) * time.Minute)})
			}
			return out
		}
		in := Stretch{reportDay, reportDay.Add(100 * time.Minute)}
		all, others := within(draw("all"), in), within(draw("others"), in)
		left := without(all, others)
		minutes := 0.0
		for m := range 100 {
			at := reportDay.Add(time.Duration(m) * time.Minute)
			has := func(s []Stretch) bool {
				for _, x := range s {
					if !at.Before(x.From) && at.Before(x.Until) {
						return true
					}
				}
				return false
			}
			if has(left) != (has(all) && !has(others)) {
				rt.Fatalf("minute %d is wrong in %v, of %v without %v", m, left, all, others)
			}
			if has(left) {
				minutes++
			}
		}
		if math.Abs(length(left)-60*minutes) > 1e-9 {
			rt.Errorf("%v lasts %v, want %v minutes", left, length(left), minutes)
		}
	})
}
