package sla_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// What a timeline stores must be read for years: these texts change only with a migration.
func TestClockAsItIsStored(t *testing.T) {
	cal, c := day(t)
	c, err := c.Pause(cal, at(t, "2026-11-16 10:00"), "for the customer")
	if err == nil {
		c, err = c.Resume(cal, at(t, "2026-11-16 11:00"))
	}
	if err == nil {
		c, err = c.Waive(at(t, "2026-11-16 11:00"), at(t, "2026-11-16 16:00"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c, facts := c.Tick(at(t, "2026-11-16 16:30"))
	c = c.Cancel(at(t, "2026-11-16 17:00"), "merged")
	const want = `{"name":"response","target":{"clock":"response","mode":"business","within":"4h"},` +
		`"start":"2026-11-16T09:00:00Z","pauses":[{"from":"2026-11-16T10:00:00Z","to":"2026-11-16T11:00:00Z","reason":"for the customer"}],` +
		`"risk":0.8,"risk_at":"2026-11-16T13:12:00Z","due":"2026-11-16T14:00:00Z","at_risk":true,"breached_at":"2026-11-16T16:00:00Z",` +
		`"ended_at":"2026-11-16T17:00:00Z","end":"cancelled","end_reason":"merged","waived":true,"waived_until":"2026-11-16T16:00:00Z"}`
	if got := stored(t, c); got != want {
		t.Errorf("clock:\ngot  %s\nwant %s", got, want)
	}
	const wantFacts = `[{"clock":"response","kind":"at risk","at":"2026-11-16T13:12:00Z"},{"clock":"response","kind":"breached","at":"2026-11-16T16:00:00Z"}]`
	if got := stored(t, facts); got != wantFacts {
		t.Errorf("facts:\ngot  %s\nwant %s", got, wantFacts)
	}
	const wantIntervals = `[{"from":"2026-11-16T09:00:00Z","to":"2026-11-16T09:30:00Z","counted":true,"reason":"open 08:00-18:00 Mon–Fri"}]`
	if got := stored(t, c.Explain(cal, at(t, "2026-11-16 09:30"))); got != wantIntervals {
		t.Errorf("intervals:\ngot  %s\nwant %s", got, wantIntervals)
	}
}

func TestCalendarAsItIsStored(t *testing.T) {
	const want = `{"name":"erp","version":"1","zone":"Europe/London","hours":{"mon":["08:00-12:00","13:00-18:00"],"sun":["22:00-24:00"]},` +
		`"region":"GB-ENG","add":[{"date":"2026-12-24","name":"company day"}],"remove":[{"date":"2026-12-28","name":""}],` +
		`"overlays":[{"name":"cover","until":"2027-01-02","hours":{"sat":["09:00-12:00"]},"holidays":true}]}`
	var s sla.Spec
	if err := json.Unmarshal([]byte(want), &s); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, made(t, s).Spec()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if s.Overlays[0].Until != (sla.Date{Year: 2027, Month: time.January, Day: 2}) || s.Hours[time.Sunday][0].To != 24*time.Hour {
		t.Errorf("read as %+v", s)
	}
}

func stored(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
