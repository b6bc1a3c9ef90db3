package sla_test

import (
	"errors"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the binaries embed it; the tests must not depend on the machine's

	"github.com/watchbill/watchbill/collector/sla"
)

// week reads hours that a test writes down.
func week(t testing.TB, hours map[string][]string) sla.Week {
	t.Helper()
	w, err := sla.ParseWeek(hours)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// calendar makes a calendar with the same hours from Monday to Friday.
func calendar(t testing.TB, zone, region, hours string) *sla.Calendar {
	t.Helper()
	return made(t, sla.Spec{Name: "test", Zone: zone, Region: region, Hours: week(t, map[string][]string{"mon-fri": {hours}})})
}

func made(t testing.TB, s sla.Spec) *sla.Calendar {
	t.Helper()
	c, err := sla.NewCalendar(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at reads an instant: with an offset, or else as the wall clock of Europe/London shows it.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	if parsed, err := time.Parse("2006-01-02 15:04:05Z07:00", text); err == nil {
		return parsed
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	layout := "2006-01-02 15:04:05"
	parsed, err := time.ParseInLocation(layout[:len(text)], text, london)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func target(t testing.TB, clock, text string) sla.Target {
	t.Helper()
	parsed, err := sla.ParseTarget(clock, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func begin(t testing.TB, text string, cal *sla.Calendar, start time.Time, risk float64) sla.Clock {
	t.Helper()
	c, err := sla.Begin(target(t, "response", text), cal, start, risk, start)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// same fails unless two instants are equal.
func same(t testing.TB, what string, got, want time.Time) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("%s: got %s, want %s", what, got.UTC().Format(time.RFC3339Nano), want.UTC().Format(time.RFC3339Nano))
	}
}

func TestTheWorkedExamples(t *testing.T) {
	erp := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00")
	software := calendar(t, "Europe/London", "GB-ENG", "09:00-17:30")
	for _, test := range []struct {
		name, target string
		cal          *sla.Calendar
		start, due   string
	}{
		{"erp-partner system-down response", "15m,business", erp, "2026-12-24 17:50", "2026-12-29 08:05"},
		{"erp-partner system-down access", "4h,business", erp, "2026-12-24 17:50", "2026-12-29 11:50"},
		{"erp-partner high resolution over the clocks going forward", "8h,business", erp, "2026-03-27 17:30", "2026-03-30 15:30"},
		{"web-host response as the clocks go forward", "20m,elapsed", nil, "2026-03-08 01:50:00-05:00", "2026-03-08 03:10:00-04:00"},
		{"web-host response as the clocks go back", "20m,elapsed", nil, "2026-11-01 01:50:00-04:00", "2026-11-01 01:10:00-05:00"},
		{"software-group P3 response", "8h,business", software, "2026-11-20 16:00", "2026-11-23 15:30"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := begin(t, test.target, test.cal, at(t, test.start), 0)
			same(t, "due", c.Due, at(t, test.due))
		})
	}
}

func TestWhereCountingBegins(t *testing.T) {
	cal := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00")
	for _, test := range []struct{ name, start, add, due string }{
		{"at the opening", "2026-11-20 08:00", "1h", "2026-11-20 09:00"},
		{"before the opening", "2026-11-20 05:00", "1h", "2026-11-20 09:00"},
		{"at the close", "2026-11-20 18:00", "1h", "2026-11-23 09:00"},
		{"a second before the close", "2026-11-20 17:59:59", "1h", "2026-11-23 08:59:59"},
		{"due at the close", "2026-11-20 08:00", "10h", "2026-11-20 18:00"},
		{"due a second after it", "2026-11-20 08:00", "10h0m1s", "2026-11-23 08:00:01"},
		{"nothing to add outside the hours", "2026-11-21 12:00", "0s", "2026-11-21 12:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := time.ParseDuration(test.add)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cal.Add(at(t, test.start), d)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "due", got, at(t, test.due))
		})
	}
}

// The wall times of a span that do not exist, or exist twice, in New York in 2026.
func TestHoursAcrossTheChangeOfTheClocks(t *testing.T) {
	for _, test := range []struct{ name, hours, from, to string }{
		{"forward, around the gap", "01:00-04:00", "2026-03-08 01:00:00-05:00", "2026-03-08 04:00:00-04:00"},
		{"forward, from within the gap", "02:30-05:00", "2026-03-08 03:30:00-04:00", "2026-03-08 05:00:00-04:00"},
		{"forward, to within the gap", "01:00-02:30", "2026-03-08 01:00:00-05:00", "2026-03-08 03:30:00-04:00"},
		{"back, around the hour that comes twice", "00:00-03:00", "2026-11-01 00:00:00-04:00", "2026-11-01 03:00:00-05:00"},
		{"back, from within it", "01:30-03:00", "2026-11-01 01:30:00-04:00", "2026-11-01 03:00:00-05:00"},
		{"back, to within it", "00:30-01:30", "2026-11-01 00:30:00-04:00", "2026-11-01 01:30:00-04:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cal := made(t, sla.Spec{Name: "test", Zone: "America/New_York", Hours: week(t, map[string][]string{"sun": {test.hours}})})
			from, to := at(t, test.from), at(t, test.to)
			if cal.Open(from.Add(-time.Second)) || !cal.Open(from) || !cal.Open(to.Add(-time.Second)) || cal.Open(to) {
				t.Errorf("open from %v to %v is not what the calendar says", from, to)
			}
			if got := cal.Count(from.Add(-9*time.Hour), to.Add(9*time.Hour)); got != to.Sub(from) {
				t.Errorf("counted %v, want the true length %v", got, to.Sub(from))
			}
		})
	}
}

func TestSpansThatTheGapMovesOverEachOther(t *testing.T) {
	cal := made(t, sla.Spec{Name: "test", Zone: "America/New_York", Hours: week(t, map[string][]string{"sun": {"02:30-02:40", "03:00-05:00"}})})
	from := at(t, "2026-03-08 03:00:00-04:00")
	if got := cal.Count(from.Add(-4*time.Hour), from.Add(9*time.Hour)); got != 2*time.Hour {
		t.Errorf("counted %v: 02:30-02:40 became 03:30-03:40, which 03:00-05:00 has already: want 2h", got)
	}
	last, err := cal.NextBusinessDay(from.Add(-24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the close of that day", last, from.Add(2*time.Hour))
}

// In Nuuk the clocks go from 23:00 on Saturday to midnight: 23:30 is half past midnight on Sunday.
func TestHoursThatTheGapMovesIntoTheNextDay(t *testing.T) {
	cal := made(t, sla.Spec{Name: "test", Zone: "America/Nuuk", Hours: week(t, map[string][]string{"sat": {"22:00-23:30"}})})
	opening := at(t, "2026-03-28 22:00:00-02:00")
	if got := cal.Count(opening, opening.Add(24*time.Hour)); got != 90*time.Minute {
		t.Errorf("%v counts, want 1h30m", got)
	}
	sunday := at(t, "2026-03-29 00:10:00-01:00")
	if next, ok := cal.NextOpening(sunday); !ok || !next.Equal(sunday) || !cal.Open(sunday) {
		t.Errorf("at %v: open %v, next opening %v", sunday, cal.Open(sunday), next)
	}
}

func TestDaysAddedAndRemoved(t *testing.T) {
	cal := made(t, sla.Spec{
		Name: "test", Zone: "Europe/London", Region: "GB-ENG", Hours: week(t, map[string][]string{"mon-fri": {"08:00-18:00"}}),
		Add:    []sla.Day{{Date: sla.Date{Year: 2026, Month: 12, Day: 24}, Name: "company day"}},
		Remove: []sla.Day{{Date: sla.Date{Year: 2026, Month: 12, Day: 28}}},
	})
	for day, open := range map[string]bool{"2026-12-23 12:00": true, "2026-12-24 12:00": false, "2026-12-25 12:00": false, "2026-12-28 12:00": true} {
		if cal.Open(at(t, day)) != open {
			t.Errorf("%s: open %v, want %v", day, !open, open)
		}
	}
}

func TestWorkingDays(t *testing.T) {
	cal := made(t, sla.Spec{Name: "test", Zone: "Europe/London", Region: "GB-ENG", Hours: week(t, map[string][]string{
		"mon-wed": {"08:00-18:00"}, "thu": {"08:00-12:00", "13:00-18:00"}, "fri": {"10:00-15:00"},
	})})
	for _, test := range []struct {
		name, start string
		days        int
		due         string
	}{
		{"the same wall time", "2026-11-16 11:20:30", 2, "2026-11-18 11:20:30"},
		{"over a weekend", "2026-11-20 11:00", 1, "2026-11-23 11:00"},
		{"over the turn of the year", "2026-12-23 11:00", 5, "2027-01-04 11:00"},
		{"over the clocks going forward", "2026-03-27 11:00", 1, "2026-03-30 11:00"},
		{"from outside the hours: the wall time of the opening", "2026-11-20 22:00", 1, "2026-11-24 08:00"},
		{"from the close: the next opening", "2026-11-17 18:00", 1, "2026-11-19 08:00"},
		{"too late for the day: its close", "2026-11-19 17:00", 1, "2026-11-20 15:00"},
		{"too early for the day: its opening", "2026-11-19 08:30", 1, "2026-11-20 10:00"},
		{"in the break, nearer its begin", "2026-11-18 12:20", 1, "2026-11-19 12:00"},
		{"in the break, in its middle: the earlier", "2026-11-18 12:30", 1, "2026-11-19 12:00"},
		{"in the break, nearer its end", "2026-11-18 12:31", 1, "2026-11-19 13:00"},
		{"no days", "2026-11-21 12:00", 0, "2026-11-23 08:00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := cal.AddDays(at(t, test.start), test.days)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "due", got, at(t, test.due))
		})
	}
}

func TestNextBusinessDay(t *testing.T) {
	cal := calendar(t, "Europe/London", "GB-ENG", "09:00-17:30")
	for _, test := range []struct{ name, start, due string }{
		{"within the hours", "2026-11-18 10:00", "2026-11-19 17:30"},
		{"in the night before the opening", "2026-11-18 03:00", "2026-11-19 17:30"},
		{"after the close", "2026-11-18 23:59", "2026-11-19 17:30"},
		{"on a Friday", "2026-11-20 12:00", "2026-11-23 17:30"},
		{"on a Saturday", "2026-11-21 12:00", "2026-11-23 17:30"},
		{"before Christmas", "2026-12-24 12:00", "2026-12-29 17:30"},
		{"the zone's date, not UTC's: 00:30 on Wednesday in London", "2026-07-07 23:30:00Z", "2026-07-09 17:30"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := cal.NextBusinessDay(at(t, test.start))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "due", got, at(t, test.due))
		})
	}
}

func TestOverlays(t *testing.T) {
	cal := made(t, sla.Spec{
		Name: "test", Zone: "Europe/London", Region: "GB-ENG",
		Hours: week(t, map[string][]string{"mon-fri": {"09:00-17:00"}}),
		Overlays: []sla.Overlay{
			{Name: "saturdays", Hours: week(t, map[string][]string{"sat": {"09:00-12:00"}})},
			{Name: "longer", From: sla.Date{Year: 2026, Month: 12, Day: 21}, Until: sla.Date{Year: 2026, Month: 12, Day: 28}, Hours: week(t, map[string][]string{"mon-fri": {"08:00-10:00", "16:00-20:00"}})},
			{Name: "cover", From: sla.Date{Year: 2026, Month: 12, Day: 25}, Until: sla.Date{Year: 2026, Month: 12, Day: 25}, Hours: week(t, map[string][]string{"fri": {"10:00-11:00"}}), Holidays: true},
		},
	})
	for _, test := range []struct {
		name, day string
		want      time.Duration
	}{
		{"before it begins", "2026-12-18 00:00", 8 * time.Hour},
		{"a standing one", "2026-12-19 00:00", 3 * time.Hour},
		{"its first day, overlapping the hours on both sides", "2026-12-21 00:00", 12 * time.Hour},
		{"a holiday on which one alone counts", "2026-12-25 00:00", time.Hour},
		{"its last day is a holiday that it does not count", "2026-12-28 00:00", 0},
		{"the day after", "2026-12-29 00:00", 8 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := at(t, test.day)
			if got := cal.Count(from, from.Add(24*time.Hour)); got != test.want {
				t.Errorf("open for %v, want %v", got, test.want)
			}
		})
	}
}

// What cannot be counted is refused, soon, and never walked for ever.
func TestWhatNeverOpens(t *testing.T) {
	newYear := []sla.Day{}
	for y := 2026; y <= 2199; y++ {
		for d := (sla.Date{Year: y, Month: 1, Day: 1}); d.Year == y; d = d.AddDays(1) {
			if d.Weekday() == time.Monday {
				newYear = append(newYear, sla.Day{Date: d, Name: "every Monday"})
			}
		}
	}
	mondays := week(t, map[string][]string{"mon": {"08:00-09:00"}})
	always := made(t, sla.Spec{Name: "its only day is always a holiday", Zone: "Europe/London", Hours: mondays, Add: newYear})
	over := made(t, sla.Spec{Name: "its only hours are over", Zone: "Europe/London", Overlays: []sla.Overlay{{Name: "last year", Until: sla.Date{Year: 2025, Month: 12, Day: 31}, Hours: mondays}}})
	minute := made(t, sla.Spec{Name: "a minute a week", Zone: "Europe/London", Hours: week(t, map[string][]string{"sun": {"02:00-02:01"}})})
	now := at(t, "2026-11-22 12:00")
	for _, test := range []struct {
		name string
		cal  *sla.Calendar
		from time.Time
		d    time.Duration
		want error
	}{
		{"always a holiday", always, now, time.Second, sla.ErrNeverOpens},
		{"hours that are over", over, now, time.Second, sla.ErrNeverOpens},
		{"hours that run out", over, at(t, "2025-12-01 12:00"), 5 * time.Hour, sla.ErrNeverOpens},
		{"a minute a week until the years end", minute, now, 240 * time.Hour, sla.ErrRange},
		{"a negative duration", minute, now, -time.Second, sla.ErrRange},
		{"a hundred years", minute, now, 100 * 366 * 24 * time.Hour, sla.ErrRange},
		{"before the years covered", minute, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), 400 * 24 * time.Hour, sla.ErrRange},
		{"after the years covered", minute, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Second, sla.ErrRange},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := test.cal.Add(test.from, test.d); !errors.Is(err, test.want) {
				t.Errorf("Add: got %v and %v, want %v", got, err, test.want)
			}
		})
	}
	for name, cal := range map[string]*sla.Calendar{"always a holiday": always, "over": over} {
		if next, ok := cal.NextOpening(now); ok {
			t.Errorf("%s: opens at %v", name, next)
		}
		if _, err := cal.AddDays(now, 1); !errors.Is(err, sla.ErrNeverOpens) {
			t.Errorf("%s: AddDays: %v", name, err)
		}
		if _, err := cal.NextBusinessDay(now); !errors.Is(err, sla.ErrNeverOpens) {
			t.Errorf("%s: NextBusinessDay: %v", name, err)
		}
		if got := cal.Count(now, now.Add(100*366*24*time.Hour)); got != 0 {
			t.Errorf("%s: counted %v", name, got)
		}
	}
	if got := minute.Count(now, now.Add(-time.Hour)); got != 0 {
		t.Errorf("counted %v backwards", got)
	}
	if _, err := minute.AddDays(now, -1); !errors.Is(err, sla.ErrRange) {
		t.Errorf("a negative number of days: %v", err)
	}
}

func TestACalendarKeepsItsSpec(t *testing.T) {
	s := sla.Spec{Name: "test", Zone: "Europe/London", Hours: week(t, map[string][]string{"mon": {"08:00-09:00"}}), Add: []sla.Day{{Date: sla.Date{Year: 2026, Month: 11, Day: 30}, Name: "off"}}}
	c := made(t, s)
	s.Hours[time.Monday][0].To = 20 * time.Hour
	s.Add[0].Name = "changed"
	got := c.Spec()
	got.Hours[time.Monday][0].From = 0
	if again := c.Spec(); again.Hours[time.Monday][0].String() != "08:00-09:00" || again.Add[0].Name != "off" {
		t.Errorf("the calendar changed with what it was made from or gave away: %+v", again)
	}
	if name, ok := c.Holiday(sla.Date{Year: 2026, Month: 11, Day: 30}); !ok || name != "off" {
		t.Errorf("holiday: %q, %v", name, ok)
	}
}

// A 24x7 calendar is open on holidays, and still knows them: rotas ask for them.
func TestAlwaysOpen(t *testing.T) {
	cal := made(t, sla.Spec{Name: "always", Zone: "Europe/London", Region: "GB-ENG", Always: true})
	christmas := at(t, "2026-12-25 12:00")
	if name, is := cal.Holiday(sla.DateOf(christmas, cal.Zone())); !is || name != "Christmas Day" || !cal.Open(christmas) {
		t.Errorf("%q, %v, open %v", name, is, cal.Open(christmas))
	}
	if got := cal.Count(christmas, christmas.Add(100*24*time.Hour)); got != 100*24*time.Hour {
		t.Errorf("%v counted in 100 days", got)
	}
}

// Many may ask a new calendar at once; the race detector looks on.
func TestOneCalendarForMany(t *testing.T) {
	cal := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00")
	from := at(t, "2024-01-01 00:00")
	want := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00").Count(from, from.AddDate(5, 0, 0))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := cal.Count(from, from.AddDate(5, 0, 0)); got != want {
				t.Errorf("%v counted, alone it was %v", got, want)
			}
		})
	}
	all.Wait()
}
