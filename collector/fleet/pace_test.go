package fleet

import (
	"errors"
	"testing"
	"time"
)

func TestIntervalsAreKept(t *testing.T) {
	s := newSite(t)
	web, _ := s.mustEnrol("acme", "york", "web1")
	db, _ := s.mustEnrol("acme", "york", "web7")
	if err := s.SetIntervals(t.Context(), map[string]time.Duration{web.Agent.ID: time.Minute, "nobody": time.Second}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for _, a := range s.Agents() {
			if want := map[string]time.Duration{web.Agent.ID: time.Minute, db.Agent.ID: 0}[a.ID]; a.Interval != want {
				t.Errorf("%s: %s reports every %v, want %v", when, a.Asset, a.Interval, want)
			}
		}
		if n := len(s.Agents()); n != 2 {
			t.Errorf("%s: %d agents, want 2", when, n)
		}
	}
	check("at once")
	s.restart()
	check("after a restart")
	// Certificates and intervals are kept in one record, and neither undoes the other.
	if _, err := s.Renew(t.Context(), leafOf(t, web), csr(t, newKey(t))); err != nil {
		t.Fatal(err)
	}
	check("after a renewal")
}

func TestIntervalsThatCannotBeKept(t *testing.T) {
	s := newSite(t)
	web, _ := s.mustEnrol("acme", "york", "web1")
	s.keeper.failBefore = true
	if err := s.SetIntervals(t.Context(), map[string]time.Duration{web.Agent.ID: time.Minute}); !errors.Is(err, errKeeper) {
		t.Errorf("%v, want the keeper's error", err)
	}
	if a := s.Agents()[0]; a.Interval != 0 {
		t.Errorf("an interval of %v that is not kept is shown", a.Interval)
	}
}
