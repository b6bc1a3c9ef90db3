package sla_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// What people decide about a clock: to reopen it, to put it on another target, to waive it.

func TestReopening(t *testing.T) {
	cal, c := day(t)
	due := at(t, "2026-11-16 13:00")
	reopen := func(c sla.Clock, when string, facts int) sla.Clock {
		t.Helper()
		c, found, err := c.Reopen(cal, at(t, when))
		if err != nil || len(found) != facts {
			t.Errorf("reopened with %v and %v, want %d facts", found, err, facts)
		}
		return c
	}
	t.Run("before the due instant it runs on against it", func(t *testing.T) {
		c := reopen(c.Meet(at(t, "2026-11-16 10:00")), "2026-11-16 12:30", 0)
		same(t, "due", c.Due, due)
		ticked(t, c, due, sla.Fact{Kind: sla.FactAtRisk, At: at(t, "2026-11-16 12:30")}, sla.Fact{Kind: sla.FactBreached, At: due})
	})
	t.Run("after it, it is breached from the reopening on", func(t *testing.T) {
		again := at(t, "2026-11-17 09:00")
		c := reopen(c.Meet(at(t, "2026-11-16 12:30")), "2026-11-17 09:00", 1)
		same(t, "due", c.Due, due)
		same(t, "next", c.Next(), again)
		c = ticked(t, c, again, sla.Fact{Kind: sla.FactBreached, At: again})
		state(t, c.Meet(again.Add(time.Hour)), again.Add(time.Hour), sla.StateMetLate)
	})
	t.Run("what was late before stays late from then on", func(t *testing.T) {
		c := reopen(c.Meet(at(t, "2026-11-16 14:00")), "2026-11-17 09:00", 2)
		same(t, "breached", c.BreachedAt, due)
	})
	t.Run("a pause that stood at the end ended there", func(t *testing.T) {
		c, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "for the customer")
		if err != nil {
			t.Fatal(err)
		}
		c = reopen(c.Meet(at(t, "2026-11-16 11:00")), "2026-11-16 12:00", 0)
		same(t, "due", c.Due, at(t, "2026-11-16 14:00"))
	})
	if running, facts, err := c.Reopen(cal, due); err != nil || facts != nil || !reflect.DeepEqual(running, c) {
		t.Error("reopening what runs changed it")
	}
}

func TestRebasing(t *testing.T) {
	cal, c := day(t)
	c, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "for the customer")
	if err == nil {
		c, err = c.Resume(cal, at(t, "2026-11-16 11:00"))
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "due", c.Due, at(t, "2026-11-16 14:00"))
	for _, test := range []struct {
		name, target, now, due string
		facts, left            int // found of the old target, and found later of the new one
	}{
		{"to less", "2h,business", "2026-11-16 11:30", "2026-11-16 12:00", 0, 2},
		{"to less than has passed", "30m,business", "2026-11-16 11:30", "2026-11-16 09:30", 0, 2},
		{"to more", "8h,business", "2026-11-16 11:30", "2026-11-16 18:00", 0, 2},
		{"to another mode", "4h,elapsed", "2026-11-16 11:30", "2026-11-16 14:00", 0, 2},
		{"to working days", "1,business-days", "2026-11-16 11:30", "2026-11-17 10:00", 0, 2},
		{"to more, once at risk", "8h,business", "2026-11-16 13:30", "2026-11-16 18:00", 1, 2},
		{"to a little more, once at risk", "4h10m,business", "2026-11-16 13:30", "2026-11-16 14:10", 1, 1},
		{"to more, once breached", "8h,business", "2026-11-16 15:00", "2026-11-16 18:00", 2, 0},
		{"to one that informs", "2h,business,inform", "2026-11-16 11:30", "2026-11-16 12:00", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := at(t, test.now)
			got, facts, err := c.Rebase(target(t, "response", test.target), cal, now)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "due", got.Due, at(t, test.due))
			if !got.Start.Equal(c.Start) || !reflect.DeepEqual(got.Pauses, c.Pauses) {
				t.Errorf("start %v and pauses %v are not kept", got.Start, got.Pauses)
			}
			_, later := got.Tick(now.Add(90 * 24 * time.Hour))
			if len(facts) != test.facts || len(later) != test.left {
				t.Errorf("found %v of the old target and %v of the new one", facts, later)
			}
		})
	}
}

func TestRebasingOntoAnotherCalendar(t *testing.T) {
	cal := calendar(t, "Europe/London", "GB-ENG", "08:00-18:00")
	c := begin(t, "8h,business", cal, at(t, "2026-11-19 17:00"), 0)
	same(t, "due", c.Due, at(t, "2026-11-20 15:00"))
	s := cal.Spec()
	s.Version, s.Add = "2", []sla.Day{{Date: sla.Date{Year: 2026, Month: 11, Day: 20}, Name: "proclaimed later"}}
	c, _, err := c.Rebase(c.Target, made(t, s), at(t, "2026-11-19 17:30"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "due", c.Due, at(t, "2026-11-23 15:00"))
}

func TestWaivers(t *testing.T) {
	due := at(t, "2026-11-16 13:00")
	waive := func(t *testing.T, c sla.Clock, when, until string) sla.Clock {
		t.Helper()
		var expiry time.Time
		if until != "" {
			expiry = at(t, until)
		}
		c, err := c.Waive(at(t, when), expiry)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Run("for ever", func(t *testing.T) {
		_, c := day(t)
		c = waive(t, c, "2026-11-16 10:00", "")
		c = ticked(t, c, due.Add(900*time.Hour), sla.Fact{Kind: sla.FactAtRisk, At: at(t, "2026-11-16 12:12")})
		state(t, c, due.Add(900*time.Hour), sla.StateWaived)
		state(t, c.Meet(due.Add(900*time.Hour)), due.Add(901*time.Hour), sla.StateMet)
	})
	t.Run("with an expiry after the due instant: breached from the expiry on", func(t *testing.T) {
		_, c := day(t)
		c = waive(t, c, "2026-11-16 10:00", "2026-11-17 12:00")
		state(t, c, due, sla.StateWaived)
		c = ticked(t, c, due, sla.Fact{Kind: sla.FactAtRisk, At: at(t, "2026-11-16 12:12")})
		state(t, c.Meet(at(t, "2026-11-17 11:00")), due.Add(48*time.Hour), sla.StateMet)
		c = ticked(t, c, due.Add(48*time.Hour), sla.Fact{Kind: sla.FactBreached, At: at(t, "2026-11-17 12:00")})
		state(t, c, due.Add(48*time.Hour), sla.StateBreached)
	})
	t.Run("with an expiry before it: as if there were none", func(t *testing.T) {
		_, c := day(t)
		same(t, "breached", ticks(waive(t, c, "2026-11-16 10:00", "2026-11-16 11:00"), due).BreachedAt, due)
	})
	t.Run("extended after the due instant, before it expires", func(t *testing.T) {
		_, c := day(t)
		c = waive(t, c, "2026-11-16 10:00", "2026-11-17 12:00")
		c = waive(t, c, "2026-11-17 11:59", "2026-11-18 12:00")
		same(t, "breached", ticks(c, due.Add(90*time.Hour)).BreachedAt, at(t, "2026-11-18 12:00"))
	})
	t.Run("too late", func(t *testing.T) {
		_, c := day(t)
		if _, err := ticks(c, due).Waive(due.Add(-time.Hour), time.Time{}); !errors.Is(err, sla.ErrBreached) {
			t.Errorf("a breach that was found is waived: %v", err)
		}
	})
}

func ticks(c sla.Clock, now time.Time) sla.Clock {
	c, _ = c.Tick(now)
	return c
}
