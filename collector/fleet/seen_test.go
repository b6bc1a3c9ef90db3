package fleet

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestHowAgentsWereSeenIsKept(t *testing.T) {
	s := newSite(t)
	web, _ := s.mustEnrol("acme", "york", "web1")
	db, _ := s.mustEnrol("acme", "york", "web7")
	saw := Seen{
		Interval: time.Minute, HeardAt: time.Date(2026, 11, 22, 12, 0, 0, 5, time.FixedZone("", 3600)),
		Address: netip.MustParseAddr("fe80::5%eth0"), Goodbye: "shut down",
	}
	if err := s.KeepSeen(t.Context(), map[string]Seen{web.Agent.ID: saw, "nobody": {Interval: time.Second}}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		for _, a := range s.Agents() {
			if want := map[string]Seen{web.Agent.ID: saw, db.Agent.ID: {}}[a.ID]; !a.Equal(want) {
				t.Errorf("%s: %s was seen %+v, want %+v", when, a.Asset, a.Seen, want)
			}
		}
		if n := len(s.Agents()); n != 2 {
			t.Errorf("%s: %d agents, want 2", when, n)
		}
		if got, ok := s.Seen("web1"); !ok || !got.Equal(saw) {
			t.Errorf("%s: web1 was seen %+v, %t", when, got, ok)
		}
		if _, ok := s.Seen("nobody"); ok {
			t.Errorf("%s: nobody was seen", when)
		}
	}
	check("at once")
	s.restart()
	check("after a restart")
	// Certificates and how an agent was seen are kept in one record, and neither undoes the other.
	if _, err := s.Renew(t.Context(), leafOf(t, web), csr(t, newKey(t))); err != nil {
		t.Fatal(err)
	}
	check("after a renewal")
	// What is known already is not written: a keeper that fails is not asked.
	s.keeper.failBefore = true
	if err := s.KeepSeen(t.Context(), map[string]Seen{web.Agent.ID: saw}); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

func TestHowAgentsWereSeenThatCannotBeKept(t *testing.T) {
	s := newSite(t)
	web, _ := s.mustEnrol("acme", "york", "web1")
	s.keeper.failBefore = true
	if err := s.KeepSeen(t.Context(), map[string]Seen{web.Agent.ID: {Interval: time.Minute}}); !errors.Is(err, errKeeper) {
		t.Errorf("%v, want the keeper's error", err)
	}
	if a := s.Agents()[0]; !a.Equal(Seen{}) {
		t.Errorf("%+v that is not kept is shown", a.Seen)
	}
}
