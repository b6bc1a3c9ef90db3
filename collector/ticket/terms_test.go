package ticket

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// deskTerms are terms with everything in them that this package reads: business hours in London, clocks of all kinds,
// reasons to wait, types.
func deskTerms() Terms {
	target := func(clock, text string) sla.Target {
		tg, err := sla.ParseTarget(clock, text)
		if err != nil {
			panic(err)
		}
		return tg
	}
	hours, err := sla.ParseWeek(map[string][]string{"mon-fri": {"08:00-18:00"}})
	if err != nil {
		panic(err)
	}
	prio := func(p string) When { return When{"priority": {p}} }
	return Terms{
		Policy: "desk", Version: "1", Digest: "d1", Contract: "acme-2026", Facts: Facts{"cover": "office", "phase": "live", "environment": "test"},
		Calendar:   sla.Spec{Name: "london", Zone: "Europe/London", Hours: hours, Region: "GB-ENG"},
		Priorities: []string{"P1", "P2", "P3"},
		Classes: []Class{
			{When: When{"impact": {"everybody"}, "workaround": {"!accepted", "!proposed"}}, Priority: "P1", Because: "everybody is affected"},
			{When: When{"severity": {"critical"}, "workaround": {"!accepted", "!proposed"}}, Priority: "P1", Because: "a critical fault"},
			{When: When{"severity": {"critical", "warning"}}, Priority: "P2", Because: "people can go on"},
		},
		Targets: []TargetRule{
			{When: prio("P1"), Target: target("response", "1h,business"), Source: "desk 1"},
			{When: prio("P2"), Target: target("response", "4h,business"), Source: "desk 1"},
			{When: prio("P3"), Target: target("response", "8h,business"), Source: "desk 1"},
			{When: prio("P3"), Target: target("next-business-day", "next-business-day"), Source: "desk 1", Beside: true},
			{When: prio("P1"), Target: target("resolution", "8h,business"), Source: "contract acme-2026"},
			{When: prio("P2"), Target: target("resolution", "24h,elapsed"), Source: "contract acme-2026"},
			{When: When{"impact": {"everybody"}}, Target: target("access", "4h,business"), Source: "desk 1"},
			{When: When{"lines-busy": {"yes"}}, Target: target("callback", "1h,elapsed"), Source: "desk 1"},
			{When: When{"channel": {"on-call"}}, Target: target("on-call", "1h,elapsed"), From: "message", Source: "desk 1"},
		},
		Clocks: map[string]ClockRule{
			"response": {MetBy: []Verb{Ack}, NotNeeded: true},
			"on-call":  {MetBy: []Verb{Callback}, OutsideHours: true},
			"access":   {MetBy: []Verb{"restore"}},
		},
		AtRisk: 0.8,
		Waits: map[string]WaitRule{
			"client":   {Stops: []string{"resolution", "access"}, For: "the client"},
			"supplier": {For: "a supplier: nothing stops"},
		},
		Types: []Type{
			{Name: "new-account", Kind: "request", Priority: "P3", Owner: "second level", Asks: []string{"name-of-user"}},
			{Name: "monitoring", Kind: "task", Title: "create or improve monitoring"},
		},
		ReopenFor: 24 * time.Hour, CloseAfter: 48 * time.Hour, Flapping: incident.DefaultFlapping,
	}
}

// desk is deskTerms, Ready.
func desk(t testing.TB) Terms {
	t.Helper()
	return ready(t, deskTerms())
}

func ready(t testing.TB, terms Terms) Terms {
	t.Helper()
	terms, err := terms.Ready()
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

// verify fails when the timeline does not make the ticket, or its chain does not hold.
func (l *log) verify() {
	l.t.Helper()
	again, err := Fold(l.timeline)
	if err != nil {
		l.t.Fatal(err)
	}
	if a, b := mustJSON(l.ticket), mustJSON(again); a != b {
		l.t.Fatalf("the timeline folds to something else:\n%s\n%s", a, b)
	}
	if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
		l.t.Fatal(err)
	}
}

// story is a ticket under terms, played by a test.
type story struct {
	log
	terms Terms
	now   time.Time
	by    By
}

// begins is a story that opens with a detected fault, or with what else the test makes of the birth.
func begins(t testing.TB, terms Terms, at time.Time, make func(*Birth)) *story {
	t.Helper()
	a := firing("disk", incident.Warning)
	a.FirstBadAt, a.ActiveAt, a.FiredAt = at.Add(-time.Minute), at.Add(-time.Minute), at
	b := Birth{ID: "id1", Number: "WB-1001", Title: "disk full on web1", Alert: a, Owner: "first level", Terms: terms}
	if make != nil {
		make(&b)
	}
	s := &story{log: log{t: t}, terms: terms, now: at, by: anna}
	s.play(Open(b, at))
	return s
}

// reported makes a birth one that a person reported.
func reported(channel string, at time.Time) func(*Birth) {
	return func(b *Birth) {
		b.Alert = incident.Alert{}
		b.Report = &Report{By: "carol", Channel: channel, ReceivedAt: at, Customer: "acme", Site: "london", Asset: "web1", Service: "filesystem"}
	}
}

// elapse plays every deadline up to an instant, and stands there.
func (s *story) elapse(to time.Time) {
	s.t.Helper()
	for at := s.ticket.Deadline(); !at.IsZero() && !at.After(to); at = s.ticket.Deadline() {
		if at.After(s.now) {
			s.now = at
		}
		seq := s.ticket.Seq
		s.play(s.ticket.Elapse(s.terms, s.now))
		if s.ticket.Seq == seq {
			s.t.Fatalf("nothing came of the deadline at %s", at)
		}
	}
	s.now = to
}

// does plays an action now; what it does to another ticket is given back.
func (s *story) does(a Action) *Change {
	s.t.Helper()
	c, err := s.ticket.Act(a, s.by, s.terms, s.now)
	s.play(c, err)
	return c.Other
}

// refuses plays an action that is to be refused.
func (s *story) refuses(a Action) error {
	s.t.Helper()
	_, err := s.ticket.Act(a, s.by, s.terms, s.now)
	if err == nil {
		s.t.Fatalf("%s was done", a.Verb)
	}
	return err
}

func (s *story) clock(name string) sla.Clock {
	s.t.Helper()
	c, ok := s.ticket.Clock(name)
	if !ok {
		s.t.Fatalf("there is no clock %s: %+v", name, s.ticket.Clocks)
	}
	return c
}

// count is how many events of a kind there are about a clock, or about anything when name is empty.
func (l *log) count(k Kind, name string) int {
	n := 0
	for _, e := range l.timeline {
		if e.Kind == k && (name == "" || e.Detail != nil && e.Detail.What == name) {
			n++
		}
	}
	return n
}
