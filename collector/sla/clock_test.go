package sla_test

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// day is the clock of most tests here: four business hours from Monday 2026-11-16 09:00 London, at risk
// at 12:12, due at 13:00.
func day(t testing.TB) (*sla.Calendar, sla.Clock) {
	cal := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00")
	return cal, begin(t, "4h,business", cal, at(t, "2026-11-16 09:00"), 0.8)
}

func ticked(t testing.TB, c sla.Clock, now time.Time, want ...sla.Fact) sla.Clock {
	t.Helper()
	c, facts := c.Tick(now)
	for i := range want {
		want[i].Clock, want[i].At = c.Name, want[i].At.UTC()
	}
	if len(facts) != len(want) || (len(want) > 0 && !reflect.DeepEqual(facts, want)) {
		t.Errorf("at %v: found %v, want %v", now, facts, want)
	}
	return c
}

func state(t testing.TB, c sla.Clock, now time.Time, want sla.State) {
	t.Helper()
	if got := c.State(now); got != want {
		t.Errorf("at %v: %q, want %q", now, got, want)
	}
}

func TestTheLifeOfAClock(t *testing.T) {
	_, c := day(t)
	risk, due := at(t, "2026-11-16 12:12"), at(t, "2026-11-16 13:00")
	same(t, "at risk", c.RiskAt, risk)
	same(t, "due", c.Due, due)
	same(t, "next", c.Next(), risk)
	state(t, c, risk.Add(-1), sla.StateRunning)
	state(t, c, risk, sla.StateAtRisk)
	state(t, c, due, sla.StateBreached) // by its own instants, also before a Tick
	c = ticked(t, c, risk.Add(-1))
	c = ticked(t, c, risk, sla.Fact{Kind: sla.FactAtRisk, At: risk})
	same(t, "next", c.Next(), due)
	c = ticked(t, c, due.Add(time.Hour), sla.Fact{Kind: sla.FactBreached, At: due})
	if c = ticked(t, c, due.Add(48*time.Hour)); !c.Next().IsZero() {
		t.Errorf("next is %v after everything was found", c.Next())
	}
	c = c.Meet(due.Add(2 * time.Hour))
	state(t, c, due.Add(3*time.Hour), sla.StateMetLate)
	if !c.Ended() || !c.Breached(due) || c.End != sla.Met {
		t.Errorf("ended %v, breached %v, %q", c.Ended(), c.Breached(due), c.End)
	}
	if again := c.Meet(due.Add(9 * time.Hour)); !reflect.DeepEqual(again, c) {
		t.Error("a second end changed the first")
	}
}

// How a clock ends around its due instant, looked at before or not.
func TestEndsAroundTheDueInstant(t *testing.T) {
	due := at(t, "2026-11-16 13:00")
	for _, test := range []struct {
		name   string
		end    func(sla.Clock, time.Time) sla.Clock
		at     time.Time
		ticked bool
		want   sla.State
		facts  int // found after the end
	}{
		{"met before", sla.Clock.Meet, due.Add(-time.Second), false, sla.StateMet, 1},
		{"met at the due instant", sla.Clock.Meet, due, false, sla.StateMet, 1},
		{"met at the due instant, found breached first", sla.Clock.Meet, due, true, sla.StateMetLate, 0},
		{"met after, never looked at", sla.Clock.Meet, due.Add(time.Second), false, sla.StateMetLate, 2},
		{"met before the start: the machine's clock was put back", sla.Clock.Meet, due.Add(-24 * time.Hour), false, sla.StateMet, 0},
		{"dropped before", drop, due.Add(-time.Second), false, sla.StateNotNeeded, 1},
		{"dropped at the due instant", drop, due, false, sla.StateNotNeeded, 1},
		{"dropped after", drop, due.Add(time.Second), false, sla.StateBreached, 2},
		{"dropped after it was found", drop, due.Add(time.Second), true, sla.StateBreached, 0},
		{"cancelled after", cancel, due.Add(time.Second), false, sla.StateBreached, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, c := day(t)
			if test.ticked {
				c, _ = c.Tick(due)
			}
			c = test.end(c, test.at)
			state(t, c, due.Add(time.Hour), test.want)
			next := c.Next()
			c, facts := c.Tick(due.Add(time.Hour))
			if len(facts) != test.facts || next.IsZero() != (test.facts == 0) {
				t.Errorf("found %v, want %d, next was %v", facts, test.facts, next)
			}
			state(t, c, due.Add(time.Hour), test.want)
		})
	}
}

func drop(c sla.Clock, at time.Time) sla.Clock   { return c.Drop(at, "recovered by itself") }
func cancel(c sla.Clock, at time.Time) sla.Clock { return c.Cancel(at, "merged") }

func TestPausing(t *testing.T) {
	cal, c := day(t)
	original := c
	pause := func(c sla.Clock, when string) sla.Clock {
		t.Helper()
		c, err := c.Pause(cal, at(t, when), "for the customer")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	resume := func(c sla.Clock, when string) sla.Clock {
		t.Helper()
		c, err := c.Resume(cal, at(t, when))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c = pause(c, "2026-11-16 10:00") // three hours left
	if !c.Due.IsZero() || !c.RiskAt.IsZero() || !c.Next().IsZero() || !c.Paused() {
		t.Errorf("paused, and due %v, at risk %v, next %v", c.Due, c.RiskAt, c.Next())
	}
	state(t, c, at(t, "2026-12-01 00:00"), sla.StatePaused)
	c = ticked(t, c, at(t, "2026-12-01 00:00"))
	forecast, err := c.Forecast(cal, at(t, "2026-11-17 17:00"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "forecast", forecast, at(t, "2026-11-18 10:00"))
	if got := c.Remaining(cal, at(t, "2026-11-30 12:00")); got != 3*time.Hour {
		t.Errorf("%v left, want 3h", got)
	}
	c = resume(c, "2026-11-20 17:00")
	same(t, "due", c.Due, at(t, "2026-11-23 10:00"))
	same(t, "at risk", c.RiskAt, at(t, "2026-11-23 09:12"))
	c = pause(c, "2026-11-23 09:30") // at risk already, not yet due
	same(t, "at risk", c.RiskAt, at(t, "2026-11-23 09:12"))
	c = ticked(t, c, at(t, "2026-11-24 12:00"), sla.Fact{Kind: sla.FactAtRisk, At: at(t, "2026-11-23 09:12")})
	c = resume(c, "2026-11-25 08:00")
	same(t, "due", c.Due, at(t, "2026-11-25 08:30"))
	c = pause(c, "2026-11-25 08:30") // at the due instant: too late to move it
	same(t, "due", c.Due, at(t, "2026-11-25 08:30"))
	c = ticked(t, c, at(t, "2026-11-25 09:00"), sla.Fact{Kind: sla.FactBreached, At: at(t, "2026-11-25 08:30")})
	state(t, c, at(t, "2026-11-25 09:00"), sla.StateBreached)
	if original.Pauses != nil || !original.Due.Equal(at(t, "2026-11-16 13:00")) {
		t.Error("the clock that all this was made from has changed")
	}
}

// Two branches from one clock share no pauses.
func TestCopiesAreApart(t *testing.T) {
	cal, c := day(t)
	c, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "a")
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.Resume(cal, at(t, "2026-11-16 11:00"))
	if err != nil {
		t.Fatal(err)
	}
	if two := c.Meet(at(t, "2026-11-16 12:00")); two.Pauses[0].To.Equal(one.Pauses[0].To) || !c.Paused() {
		t.Error("one branch changed another")
	}
}

// The room of a clock's slice is not shared either.
func TestBranchesOfOneClockAreApart(t *testing.T) {
	cal, c := day(t)
	c.Pauses = make([]sla.Pause, 0, 8)
	pause := func(when string) sla.Clock {
		t.Helper()
		got, err := c.Pause(cal, at(t, when), "for the customer")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	one := pause("2026-11-16 10:00")
	if two := pause("2026-11-16 11:00"); one.Pauses[0].From.Equal(two.Pauses[0].From) {
		t.Error("one branch changed another")
	}
	same(t, "a pause before the start begins", pause("2026-11-01 10:00").Pauses[0].From, c.Start)
}

// A target of a fraction of a second more: its share is rounded, and never beyond the due instant.
func TestASmallShareShortOfTheWhole(t *testing.T) {
	cal, _ := day(t)
	c := begin(t, "next-business-day", cal, at(t, "2026-11-16 09:00").Add(400*time.Millisecond), 0.99999999)
	same(t, "at risk", c.RiskAt, c.Due)
}

func TestElapsedInThePast(t *testing.T) {
	cal, c := day(t)
	c, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "for the customer")
	if err == nil {
		c, err = c.Resume(cal, at(t, "2026-11-16 11:00"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for when, want := range map[string]time.Duration{"2026-11-16 09:30": 30 * time.Minute, "2026-11-16 10:30": time.Hour, "2026-11-16 12:00": 2 * time.Hour} {
		if got := c.Elapsed(cal, at(t, when)); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
}

func TestWhatAClockRefuses(t *testing.T) {
	cal, c := day(t)
	now := at(t, "2026-11-16 10:00")
	paused, err := c.Pause(cal, now, "")
	if err != nil {
		t.Fatal(err)
	}
	ended := c.Meet(now)
	do := func(f func() error) error { return f() }
	for name, test := range map[string]struct{ got, want error }{
		"pausing twice":               {do(func() error { _, err := paused.Pause(cal, now, ""); return err }), sla.ErrPaused},
		"resuming what runs":          {do(func() error { _, err := c.Resume(cal, now); return err }), sla.ErrNotPaused},
		"pausing what ended":          {do(func() error { _, err := ended.Pause(cal, now, ""); return err }), sla.ErrEnded},
		"resuming what ended":         {do(func() error { _, err := ended.Resume(cal, now); return err }), sla.ErrEnded},
		"re-basing what ended":        {do(func() error { _, _, err := ended.Rebase(c.Target, cal, now); return err }), sla.ErrEnded},
		"waiving what ended":          {do(func() error { _, err := ended.Waive(now, time.Time{}); return err }), sla.ErrEnded},
		"waiving at the breach":       {do(func() error { _, err := c.Waive(c.Due, time.Time{}); return err }), sla.ErrBreached},
		"a calendar that never opens": {do(func() error { _, err := c.AtShare(closed(t), 0.5); return err }), sla.ErrNeverOpens},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	if _, err := c.Waive(now, now); err == nil {
		t.Error("a waiver that has expired is taken")
	}
	other := c.Target
	other.Clock = "resolution"
	if _, _, err := c.Rebase(other, cal, now); err == nil {
		t.Error("a clock takes the target of another")
	}
	for _, share := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := c.AtShare(cal, share); err == nil {
			t.Errorf("a share of %v is taken", share)
		}
	}
	for name, begin := range map[string]func() error{
		"a risk of 1":         func() error { _, err := sla.Begin(c.Target, cal, now, 1, now); return err },
		"a risk that is none": func() error { _, err := sla.Begin(c.Target, cal, now, math.NaN(), now); return err },
		"the year 1":          func() error { _, err := sla.Begin(c.Target, cal, time.Time{}, 0, now); return err },
		"no calendar":         func() error { _, err := sla.Begin(c.Target, nil, now, 0, now); return err },
		"a bad target":        func() error { _, err := sla.Begin(sla.Target{}, cal, now, 0, now); return err },
	} {
		if begin() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// closed is a calendar whose hours are over.
func closed(t testing.TB) *sla.Calendar {
	return made(t, sla.Spec{Name: "closed", Zone: "Europe/London", Overlays: []sla.Overlay{{
		Name: "over", Until: sla.Date{Year: 2020, Month: 1, Day: 1}, Hours: week(t, map[string][]string{"mon-sun": {"00:00-24:00"}}),
	}}})
}

func TestAClockThatInforms(t *testing.T) {
	cal, c := day(t)
	c = begin(t, "4h,business,inform", cal, c.Start, 0.8)
	same(t, "due", c.Due, at(t, "2026-11-16 13:00"))
	later := c.Due.Add(100 * time.Hour)
	if ticked(t, c, later); !c.Next().IsZero() || c.Breached(later) {
		t.Errorf("next %v, breached %v", c.Next(), c.Breached(later))
	}
	state(t, c, later, sla.StateInforming)
	state(t, c.Drop(later, "recovered"), later, sla.StateNotNeeded)
	state(t, c.Meet(later), later, sla.StateMet)
}

func TestMeasures(t *testing.T) {
	cal, c := day(t)
	for _, test := range []struct {
		now           string
		elapsed, left time.Duration
	}{
		{"2026-11-16 08:00", 0, 4 * time.Hour},
		{"2026-11-16 09:00", 0, 4 * time.Hour},
		{"2026-11-16 12:00", 3 * time.Hour, time.Hour},
		{"2026-11-16 13:00", 4 * time.Hour, 0},
		{"2026-11-17 07:00", 9 * time.Hour, -5 * time.Hour},
	} {
		if got := c.Elapsed(cal, at(t, test.now)); got != test.elapsed {
			t.Errorf("%s: %v elapsed, want %v", test.now, got, test.elapsed)
		}
		if got := c.Remaining(cal, at(t, test.now)); got != test.left {
			t.Errorf("%s: %v left, want %v", test.now, got, test.left)
		}
	}
	half, err := c.AtShare(cal, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "half", half, at(t, "2026-11-16 11:00"))
	if got := c.Meet(at(t, "2026-11-16 10:00")).Elapsed(cal, at(t, "2026-12-16 10:00")); got != time.Hour {
		t.Errorf("%v elapsed long after its end, want 1h", got)
	}
	if c.Elapsed(nil, c.Due) != 0 {
		t.Error("business time has elapsed without a calendar")
	}
}
