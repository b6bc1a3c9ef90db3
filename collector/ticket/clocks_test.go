package ticket

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func inZone(t testing.TB, zone, text string) time.Time {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The worked examples, computed apart from this project, come out of a ticket: of one that monitoring detected then and of
// one that was reported then.
func TestWorkedExamples(t *testing.T) {
	erp := sla.Spec{Name: "erp", Zone: "Europe/London", Hours: week(t, "08:00-18:00"), Region: "GB-ENG"}
	group := sla.Spec{Name: "group", Zone: "Europe/London", Hours: week(t, "09:00-17:30"), Region: "GB-ENG"}
	web := sla.Spec{Name: "web", Zone: "America/New_York", Hours: week(t, "08:00-20:00")}
	const london, york = "Europe/London", "America/New_York"
	for name, tc := range map[string]struct {
		calendar      sla.Spec
		clock, target string
		zone          string
		start         string
		due           string
	}{
		"system-down, response":         {erp, "response", "15m,business", london, "2026-12-24T17:50:00Z", "2026-12-29T08:05:00Z"},
		"system-down, access":           {erp, "access", "4h,business", london, "2026-12-24T17:50:00Z", "2026-12-29T11:50:00Z"},
		"high, resolution over DST":     {erp, "resolution", "8h,business", london, "2026-03-27T17:30:00Z", "2026-03-30T15:30:00+01:00"},
		"24x7 response, spring forward": {web, "response", "20m,elapsed", york, "2026-03-08T01:50:00-05:00", "2026-03-08T03:10:00-04:00"},
		"24x7 response, fall back":      {web, "response", "20m,elapsed", york, "2026-11-01T01:50:00-04:00", "2026-11-01T01:10:00-05:00"},
		"P3 response over a weekend":    {group, "response", "8h,business", london, "2026-11-20T16:00:00Z", "2026-11-23T15:30:00Z"},
	} {
		terms := terms()
		terms.Calendar = tc.calendar
		target, err := sla.ParseTarget(tc.clock, tc.target)
		if err != nil {
			t.Fatal(err)
		}
		terms.Targets = []TargetRule{{Target: target, Source: "set 1"}}
		terms.AtRisk = 0.8
		terms = ready(t, terms)
		start, due := instant(t, tc.start), instant(t, tc.due)
		births := map[string]func(*Birth){"detected": nil, "reported": reported("telephone", start)}
		for how, birth := range births {
			t.Run(name+", "+how, func(t *testing.T) {
				s := begins(t, terms, start, birth)
				if c := s.clock(tc.clock); !c.Due.Equal(due) || !c.Start.Equal(start) {
					t.Fatalf("due %s since %s, want %s since %s", c.Due, c.Start, due, start)
				}
				s.elapse(due.Add(-time.Second))
				if n := s.count(ClockBreached, ""); n != 0 || s.count(ClockAtRisk, tc.clock) != 1 {
					t.Errorf("%d breaches and %d at risk a second before it is due", n, s.count(ClockAtRisk, ""))
				}
				s.elapse(due)
				last := s.timeline[len(s.timeline)-1]
				if last.Kind != ClockBreached || !last.Detail.At.Equal(due) || !last.At.Equal(due) || !strings.Contains(last.Text, tc.target+" since ") ||
					!strings.Contains(last.Text, "(set 1)") {
					t.Errorf("%s at %s: %s", last.Kind, last.At, last.Text)
				}
				s.elapse(due.Add(90 * 24 * time.Hour))
				if n := s.count(ClockBreached, ""); n != 1 {
					t.Errorf("breached %d times", n)
				}
				s.verify()
			})
		}
	}
}

func week(t testing.TB, hours string) sla.Week {
	t.Helper()
	w, err := sla.ParseWeek(map[string][]string{"mon-fri": {hours}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// monday is a working morning.
var monday = time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC) // 09:00 in London

// Which clocks a ticket gets, since when, and where it says that they come from.
func TestClocksAtTheOpening(t *testing.T) {
	night := inZone(t, "Europe/London", "2026-06-01 22:00")
	for name, tc := range map[string]struct {
		at    time.Time
		birth func(*Birth)
		terms func(*Terms)
		want  []string // clock, start, from, inform
	}{
		"detected: since it fired": {monday.Add(3 * time.Second), func(b *Birth) { b.Alert.FiredAt = monday }, nil,
			[]string{"response 08:00:00 detection", "resolution 08:00:00 detection"}},
		"detected: never in the time to come": {monday, func(b *Birth) { b.Alert.FiredAt = monday.Add(time.Hour) }, nil,
			[]string{"response 08:00:00 detection", "resolution 08:00:00 detection"}},
		"what was over before anybody knew: since it is known": {monday.Add(time.Hour), func(b *Birth) {
			b.Alert.FiredAt, b.Alert.EndedAt, b.Alert.End, b.Quiet = monday.Add(-40*time.Hour), monday, incident.Recovered, true
		}, nil, []string{"response 09:00:00 detection", "resolution 09:00:00 detection"}},
		"reported: since receipt": {monday.Add(time.Hour), reported("email", monday.Add(10*time.Minute)), nil,
			[]string{"response 08:10:00 receipt", "next-business-day 08:10:00 receipt inform"}},
		"reported, lines busy": {monday, func(b *Birth) {
			reported("telephone", monday)(b)
			b.Facts = Facts{"lines-busy": "true", "impact": "everybody"}
		}, nil,
			[]string{"response 08:00:00 receipt", "resolution 08:00:00 receipt", "access 08:00:00 receipt", "callback 08:00:00 receipt"}},
		"on call, inside hours": {monday, reported("on-call", monday), nil,
			[]string{"response 08:00:00 receipt", "next-business-day 08:00:00 receipt inform"}},
		"on call, outside hours: since the message": {night.Add(20 * time.Minute), reported("on-call", night), nil,
			[]string{"response 21:00:00 receipt", "next-business-day 21:00:00 receipt inform", "on-call 21:00:00 message"}},
		"by telephone outside hours": {night, reported("telephone", night), nil,
			[]string{"response 21:00:00 receipt", "next-business-day 21:00:00 receipt inform"}},
		"best effort": {monday, nil, func(t *Terms) { t.BestEffort = true },
			[]string{"response 08:00:00 detection inform", "resolution 08:00:00 detection inform"}},
		"before the entitlement": {monday, nil, func(t *Terms) { t.EntitledFrom = monday.Add(time.Second) }, nil},
		"from the entitlement on": {monday, nil, func(t *Terms) { t.EntitledFrom = monday },
			[]string{"response 08:00:00 detection", "resolution 08:00:00 detection"}},
		"a type with a priority of its own": {monday, func(b *Birth) {
			reported("email", monday)(b)
			b.Type, b.Facts = "new-account", Facts{"name-of-user": "dora", "impact": "everybody"}
		}, nil, []string{"response 08:00:00 receipt", "next-business-day 08:00:00 receipt inform", "access 08:00:00 receipt"}},
	} {
		t.Run(name, func(t *testing.T) {
			terms := deskTerms()
			if tc.terms != nil {
				tc.terms(&terms)
			}
			s := begins(t, ready(t, terms), tc.at, tc.birth)
			var got []string
			for _, c := range s.ticket.Clocks {
				line := c.Name + c.Start.Format(" 15:04:05 ") + s.ticket.Grounds[c.Name].From
				if c.Target.Inform {
					line += " inform"
				}
				got = append(got, line)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if said := s.count(Noted, "") > 0; said != (tc.want == nil) {
				t.Errorf("says that it is recorded without targets: %t", said)
			}
			s.elapse(tc.at.Add(30 * 24 * time.Hour))
			if strings.Contains(name, "best effort") && s.count(ClockBreached, "")+s.count(ClockAtRisk, "") > 0 {
				t.Error("best effort breached")
			}
			s.verify()
		})
	}
}

// Facts are joined from the ticket, the birth and the contract, and give the priority.
func TestFactsAtTheOpening(t *testing.T) {
	s := begins(t, desk(t), monday, func(b *Birth) {
		b.Facts = Facts{"environment": "production", "criticality": "high", "severity": "info", "kind": "nonsense"}
		b.Alert.System = "iis"
	})
	want := Facts{"severity": "warning", "priority": "P2", "service": "filesystem", "system": "iis", "kind": "incident", "channel": "detected",
		"detected": "yes", "first-to-know": "monitoring", "environment": "production", "criticality": "high", "cover": "office", "phase": "live"}
	if d := cmp.Diff(want, s.ticket.Facts); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"cover", "phase"}, s.ticket.ContractFacts); d != "" {
		t.Error(d)
	}
	if s.ticket.Because != "people can go on" || s.ticket.Work.Terms != "d1" {
		t.Errorf("because %q under %q", s.ticket.Because, s.ticket.Work.Terms)
	}
	s.verify()
}

// What a clock is when something happened to its ticket.
func TestWhatEndsClocks(t *testing.T) {
	bob := By{Actor: Actor{Kind: Person, Name: "bob"}}
	pager := By{Actor: Actor{Kind: Peer, Name: "pager"}}
	act := func(s *story, by By, a Action) { s.by = by; s.does(a) }
	recover := func(s *story) {
		s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, s.now), s.now))
	}
	again := func(s *story) { s.play(s.ticket.Fire(firing("disk", incident.Warning), s.terms, nil, s.now)) }
	for name, tc := range map[string]struct {
		facts Facts
		play  func(s *story)
		want  map[string]sla.State
	}{
		"a person acknowledges":         {nil, func(s *story) { act(s, bob, Action{Verb: Ack}) }, map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning}},
		"a machine acknowledges":        {nil, func(s *story) { act(s, pager, Action{Verb: Ack}) }, map[string]sla.State{"response": sla.StateRunning, "resolution": sla.StateRunning}},
		"a machine, then a person":      {nil, func(s *story) { act(s, pager, Action{Verb: Ack}); act(s, bob, Action{Verb: Ack}) }, map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning}},
		"a person starts":               {nil, func(s *story) { act(s, bob, Action{Verb: Start}) }, map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning}},
		"late":                          {nil, func(s *story) { s.elapse(s.now.Add(9 * time.Hour)); act(s, bob, Action{Verb: Ack}) }, map[string]sla.State{"response": sla.StateMetLate, "resolution": sla.StateRunning}},
		"late, and nobody looked":       {nil, func(s *story) { s.now = s.now.Add(9 * time.Hour); act(s, bob, Action{Verb: Ack}) }, map[string]sla.State{"response": sla.StateMetLate, "resolution": sla.StateRunning}},
		"recovered before the response": {nil, recover, map[string]sla.State{"response": sla.StateNotNeeded, "resolution": sla.StateMet}},
		"recovered after the response was due": {nil, func(s *story) { s.elapse(s.now.Add(5 * time.Hour)); recover(s) },
			map[string]sla.State{"response": sla.StateBreached, "resolution": sla.StateMet}},
		"a person resolves": {nil, func(s *story) { act(s, bob, Action{Verb: Resolve, Text: "x"}) }, map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateMet}},
		"access given back": {Facts{"impact": "everybody"}, func(s *story) { act(s, bob, Action{Verb: Restored, Text: "read-only"}) },
			map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning, "access": sla.StateMet}},
		"resolving gives access back": {Facts{"impact": "everybody"}, recover, map[string]sla.State{"response": sla.StateNotNeeded, "resolution": sla.StateMet, "access": sla.StateMet}},
		"called back": {Facts{"lines-busy": "yes"}, func(s *story) { act(s, bob, Action{Verb: Callback, Text: "told her"}) },
			map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning, "callback": sla.StateMet}},
		"resolved, but nobody called back": {Facts{"lines-busy": "yes"}, func(s *story) {
			act(s, bob, Action{Verb: Resolve, Text: "x"})
			recover(s)
			s.elapse(s.now.Add(time.Hour))
		},
			map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateMet, "callback": sla.StateBreached}},
		"reopened: a met response stays, the rest runs on": {nil, func(s *story) {
			act(s, bob, Action{Verb: Ack})
			recover(s)
			s.now = s.now.Add(time.Hour)
			again(s)
		}, map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning}},
		"reopened before anybody responded": {nil, func(s *story) { recover(s); s.now = s.now.Add(time.Hour); again(s) },
			map[string]sla.State{"response": sla.StateRunning, "resolution": sla.StateRunning}},
		"reopened after the original due instant": {nil, func(s *story) {
			recover(s)
			s.now = s.now.Add(23 * time.Hour)
			s.elapse(s.now.Add(2 * time.Hour))
			again(s)
		},
			map[string]sla.State{"response": sla.StateBreached, "resolution": sla.StateBreached}},
		"reopened access": {Facts{"impact": "everybody"}, func(s *story) { act(s, bob, Action{Verb: Restored, Text: "x"}); recover(s); again(s) },
			map[string]sla.State{"response": sla.StateMet, "resolution": sla.StateRunning, "access": sla.StateRunning}},
		"closed with a response that nobody gave": {nil, func(s *story) {
			s.elapse(s.now.Add(5 * time.Hour))
			recover(s)
			s.elapse(s.now.Add(49 * time.Hour))
		}, map[string]sla.State{"response": sla.StateBreached, "resolution": sla.StateMet}},
	} {
		t.Run(name, func(t *testing.T) {
			terms := deskTerms()
			terms.Flapping = incident.Flapping{}
			s := begins(t, ready(t, terms), monday, func(b *Birth) { b.Facts = tc.facts })
			s.now = s.now.Add(time.Minute)
			tc.play(s)
			got := map[string]sla.State{}
			for _, c := range s.ticket.Clocks {
				got[c.Name] = c.State(s.now)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			for _, c := range s.ticket.Clocks {
				if n := s.count(ClockBreached, c.Name); n > 1 || (n == 1) != !c.BreachedAt.IsZero() {
					t.Errorf("%s: %d facts of a breach at %s", c.Name, n, c.BreachedAt)
				}
			}
			s.verify()
		})
	}
}

// A clock that ran while its ticket was resolved is breached from the reopening on, not from before it.
func TestReopenedAgainstTheOriginalDue(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	due := s.clock("resolution").Due
	s.now = monday.Add(time.Hour)
	s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, s.now), s.now))
	s.elapse(due.Add(time.Hour))
	s.play(s.ticket.Fire(firing("disk", incident.Warning), s.terms, nil, s.now))
	if c := s.clock("resolution"); !c.Due.Equal(due) || !c.BreachedAt.Equal(s.now) {
		t.Errorf("due %s, breached %s; want %s and %s", c.Due, c.BreachedAt, due, s.now)
	}
	s.verify()
}

// Waiting stops the clocks that its reason names, what is left stays left, and what is new ends it.
func TestWaiting(t *testing.T) {
	fire := func(s *story) { s.play(s.ticket.Fire(firing("inodes", incident.Info), s.terms, nil, s.now)) }
	for name, tc := range map[string]struct {
		reason string
		end    func(s *story)
		state  State
		moved  bool
	}{
		"resumed":                  {"client", func(s *story) { s.does(Action{Verb: Resume}) }, Acked, true},
		"started":                  {"client", func(s *story) { s.does(Action{Verb: Start}) }, InProgress, true},
		"a reason that stops none": {"supplier", func(s *story) { s.does(Action{Verb: Resume}) }, Acked, false},
		"another alert fires":      {"client", fire, Acked, true},
		"the client writes": {"client", func(s *story) {
			s.by = By{Actor: Actor{Kind: Person, Name: "carol"}, Customer: "acme"}
			s.does(Action{Verb: Note, Text: "done"})
		}, Acked, true},
		"a colleague writes, nothing more": {"supplier", func(s *story) { s.does(Action{Verb: Note, Text: "asked again"}) }, Waiting, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := begins(t, desk(t), monday, func(b *Birth) { b.Facts = Facts{"impact": "everybody"} })
			s.does(Action{Verb: Ack})
			s.now = monday.Add(time.Hour)
			left := s.clock("resolution").Remaining(s.terms.calendar, s.now)
			due := s.clock("resolution").Due
			s.does(Action{Verb: WaitFor, What: tc.reason, Text: "her answer"})
			if s.ticket.State != Waiting || s.ticket.Wait.Reason != tc.reason || s.ticket.Wait.Text != "her answer" {
				t.Fatalf("%s %+v", s.ticket.State, s.ticket.Wait)
			}
			if paused := s.clock("resolution").Paused(); paused != (tc.reason == "client") || s.clock("response").Paused() {
				t.Errorf("resolution paused: %t", paused)
			}
			s.elapse(monday.Add(5 * time.Hour))
			if s.count(ClockBreached, "access") != 0 && tc.reason == "client" {
				t.Error("a clock that stands still was breached")
			}
			tc.end(s)
			if s.ticket.State != tc.state || (s.ticket.Wait == nil) != (tc.state != Waiting) {
				t.Errorf("%s, waits for %+v", s.ticket.State, s.ticket.Wait)
			}
			c := s.clock("resolution")
			if tc.moved && (c.Remaining(s.terms.calendar, s.now) != left || !c.Due.After(due)) || !tc.moved && !c.Due.Equal(due) {
				t.Errorf("%s are left of %s, due %s after %s", c.Remaining(s.terms.calendar, s.now), left, c.Due, due)
			}
			s.verify()
		})
	}
}

// A change of priority puts the clocks on other targets from their start on, with every pause, and says so.
func TestPriorityMovesClocks(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.does(Action{Verb: Ack})
	s.does(Action{Verb: WaitFor, What: "client", Text: "x"})
	s.now = monday.Add(2 * time.Hour)
	s.does(Action{Verb: Resume})
	s.does(Action{Verb: Set, Facts: Facts{"impact": "everybody"}, Text: "they phoned"})
	c := s.clock("resolution")
	if want := monday.Add((2 + 8) * time.Hour).Add(14 * time.Hour); s.ticket.Priority != "P1" || len(c.Pauses) != 1 || !c.Start.Equal(monday) ||
		c.Remaining(s.terms.calendar, s.now) != 8*time.Hour || c.Due.After(want) {
		t.Errorf("%s: resolution %+v", s.ticket.Priority, c)
	}
	last := s.timeline[len(s.timeline)-1]
	if last.Kind != PriorityChanged || last.Because != "everybody is affected" || !strings.Contains(last.Text, "resolution is due 2026-06-02 09:00:00 BST instead of 2026-06-02 11:00:00 BST") ||
		!strings.Contains(last.Text, "impact: everybody (they phoned): priority P1 instead of P2") || !strings.Contains(last.Text, "access begins, due ") {
		t.Errorf("%s %q: %s", last.Kind, last.Because, last.Text)
	}
	s.does(Action{Verb: Workaround, What: Accepted, To: "carol", Text: "they print elsewhere"})
	if s.ticket.Priority != "P2" || s.ticket.Facts["workaround-by"] != "carol" || !s.clock("access").Due.Equal(s.clock("access").Due) {
		t.Errorf("%s, facts %v", s.ticket.Priority, s.ticket.Facts)
	}
	if c := s.clock("resolution"); c.Target.Text() != "24h,elapsed" || !c.Due.Equal(monday.Add(26*time.Hour)) {
		t.Errorf("resolution %s due %s", c.Target.Text(), c.Due)
	}
	s.does(Action{Verb: Prioritise, What: "P3", Text: "the client asked"})
	if !s.ticket.Pinned || s.ticket.Priority != "P3" || s.ticket.Because != "anna: the client asked" || s.clock("resolution").State(s.now) != sla.StateCancelled {
		t.Errorf("%s because %q, resolution %s", s.ticket.Priority, s.ticket.Because, s.clock("resolution").State(s.now))
	}
	s.does(Action{Verb: Set, Facts: Facts{"lines-busy": "yes"}})
	if s.ticket.Pinned || s.ticket.Priority != "P2" || s.ticket.Because != "people can go on" {
		t.Errorf("a fact changed: %s because %q", s.ticket.Priority, s.ticket.Because)
	}
	if c := s.clock("resolution"); c.Ended() || !c.Due.Equal(monday.Add(26*time.Hour)) {
		t.Errorf("resolution is back: %+v", c)
	}
	s.verify()
}

// A worse severity only raises.
func TestSeverityOnlyRaises(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.does(Action{Verb: Prioritise, What: "P1", Text: "the director called"})
	s.play(s.ticket.Fire(firing("raid", incident.Critical), s.terms, nil, s.now))
	if s.ticket.Priority != "P1" || s.ticket.Pinned || s.ticket.Severity != incident.Critical || s.ticket.Facts["severity"] != "critical" {
		t.Errorf("%s pinned %t, %s", s.ticket.Priority, s.ticket.Pinned, s.ticket.Severity)
	}
	s = begins(t, desk(t), monday, nil)
	s.does(Action{Verb: Workaround, What: Proposed, To: "carol", Text: "they use the other one"})
	s.does(Action{Verb: Prioritise, What: "P3", Text: "no hurry"})
	s.play(s.ticket.Fire(firing("raid", incident.Critical), s.terms, nil, s.now))
	if s.ticket.Priority != "P2" || s.ticket.Pinned {
		t.Errorf("%s: a worse severity raises what a person set", s.ticket.Priority)
	}
	s.verify()
}

// Dates agreed with the client stand beside the targets; later ones are slips and say why.
func TestPromises(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.does(Action{Verb: Agree, Until: monday.Add(50 * time.Hour), To: "carol"})
	if err := s.refuses(Action{Verb: Agree, Until: monday.Add(60 * time.Hour), To: "carol"}); !strings.Contains(err.Error(), "slips") {
		t.Error(err)
	}
	s.does(Action{Verb: Agree, Until: monday.Add(60 * time.Hour), To: "carol", Text: "the part is late"})
	s.does(Action{Verb: Agree, Until: monday.Add(55 * time.Hour), To: "carol"})
	if n := s.ticket.Slips(); n != 1 || len(s.ticket.Promises) != 3 || s.ticket.Promises[1].Reason != "the part is late" || s.ticket.Promises[0].With != "carol" {
		t.Errorf("%d slips, %+v", n, s.ticket.Promises)
	}
	s.elapse(monday.Add(48 * time.Hour))
	if s.count(ClockBreached, "resolution") != 1 {
		t.Error("the target went with the promise")
	}
	s.verify()
}

// Newer terms move what is open when a person says so, and the timeline says what moved.
func TestRebase(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.refuses(Action{Verb: Rebase, Text: "same"})
	newer := deskTerms()
	newer.Version, newer.Digest = "2", "d2"
	newer.Facts = Facts{"cover": "24x7", "environment": "production"}
	newer.Calendar.Add = []sla.Day{{Date: sla.Date{Year: 2026, Month: 6, Day: 1}, Name: "a day of mourning"}}
	s.terms = ready(t, newer)
	before := s.clock("resolution").Due
	s.does(Action{Verb: Rebase, Text: "a holiday was proclaimed"})
	tk := s.ticket
	if tk.PolicyVersion != "2" || tk.Work.Terms != "d2" || tk.Facts["cover"] != "24x7" || tk.Facts["phase"] != "" || tk.Facts["environment"] != "production" {
		t.Errorf("%s %s, facts %v", tk.PolicyVersion, tk.Work.Terms, tk.Facts)
	}
	if d := cmp.Diff([]string{"cover", "environment"}, tk.ContractFacts); d != "" {
		t.Error(d)
	}
	if want := inZone(t, "Europe/London", "2026-06-02 12:00"); !s.clock("response").Due.Equal(want) || !s.clock("resolution").Due.Equal(before) {
		t.Errorf("response due %s, want %s; resolution moved from %s to %s", s.clock("response").Due, want, before, s.clock("resolution").Due)
	}
	if e := s.timeline[len(s.timeline)-1]; !strings.Contains(e.Text, "under desk 2 instead of desk 1: a holiday was proclaimed; response is due 2026-06-02 12:00:00 BST instead of 2026-06-01 13:00:00 BST") {
		t.Error(e.Text)
	}
	if got := s.timeline[0].Opening.After(s.timeline[1:]); got != tk.Opening {
		t.Errorf("%+v\n%+v", got, tk.Opening)
	}
	s.verify()
}

// A gate before closing holds a ticket that would close by itself, once, until a person did something.
func TestHeldByAGate(t *testing.T) {
	s := begins(t, desk(t), monday, nil)
	s.does(Action{Verb: Resolve, Text: "x"})
	s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, s.now), s.now))
	due := s.ticket.Deadline()
	d := begin(s.ticket, due)
	d.add(Event{Kind: Refused, Actor: house, Detail: &Detail{What: string(Close), Refusal: &GateError{Gate: "four-eyes", Missing: []string{"a verification"}}}})
	s.play(d.change())
	if at := s.ticket.Deadline(); !s.ticket.Held || !at.IsZero() {
		t.Errorf("held %t, next deadline %s", s.ticket.Held, at)
	}
	s.now = due.Add(time.Hour)
	s.does(Action{Verb: Note, Text: "verified by bob"})
	if at := s.ticket.Deadline(); s.ticket.Held || !at.Equal(due) {
		t.Errorf("held %t, next deadline %s, want %s", s.ticket.Held, at, due)
	}
	s.verify()
}

// A policy whose calendar cannot be worked with loses no ticket: it says so on it.
func TestAFaultyCalendarLosesNoTicket(t *testing.T) {
	terms := deskTerms()
	terms.Calendar = sla.Spec{}
	s := begins(t, ready(t, terms), monday, nil)
	if len(s.ticket.Clocks) != 1 || s.count(Noted, "") != 1 || !strings.Contains(s.timeline[1].Text, "clock response could not be worked out") {
		t.Errorf("clocks %+v, timeline %s", s.ticket.Clocks, mustJSON(s.timeline))
	}
	if i := slices.IndexFunc(s.ticket.Clocks, func(c sla.Clock) bool { return c.Name == "resolution" }); i != 0 {
		t.Errorf("the elapsed target has no clock: %+v", s.ticket.Clocks)
	}
	s.verify()
}
