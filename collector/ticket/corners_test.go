package ticket

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// What happens at the corners: each of these was tried by breaking what it is about.
func TestCornersOfTheLifecycle(t *testing.T) {
	recovered := func(s *story) {
		s.play(s.ticket.End(ended("disk", incident.Warning, incident.Recovered, s.now), s.now))
	}
	for name, play := range map[string]func(t *testing.T){
		"a clock that begins while its ticket waits stands still": func(t *testing.T) {
			s := in(t, Waiting)
			s.does(Action{Verb: Set, Facts: Facts{"impact": "everybody"}})
			if !s.clock("access").Paused() || s.clock("response").Paused() {
				t.Errorf("%+v", s.ticket.Clocks)
			}
			s.verify()
		},
		"a clock that begins after the acknowledgement is met by it": func(t *testing.T) {
			terms := deskTerms()
			terms.Targets = append(terms.Targets[:1:1], terms.Targets[2:]...) // none for P2
			s := begins(t, ready(t, terms), monday, nil)
			s.now = monday.Add(10 * time.Minute)
			s.does(Action{Verb: Ack})
			s.now = monday.Add(5 * time.Hour)
			s.does(Action{Verb: Prioritise, What: "P1", Text: "x"})
			if c := s.clock("response"); c.State(s.now) != sla.StateMet || !c.EndedAt.Equal(monday.Add(10*time.Minute)) || s.count(ClockBreached, "response") != 0 {
				t.Errorf("%s at %s", c.State(s.now), c.EndedAt)
			}
			s.verify()
		},
		"a response that nobody gave runs on when its closed ticket is reopened": func(t *testing.T) {
			s := begins(t, desk(t), monday, nil)
			s.elapse(monday.Add(5 * time.Hour))
			recovered(s)
			s.does(Action{Verb: Close})
			s.does(Action{Verb: Reopen, Text: "it is not mended"})
			if c := s.clock("response"); c.State(s.now) != sla.StateBreached || c.Ended() || s.count(ClockBreached, "response") != 1 {
				t.Errorf("%+v, breached %d times", c, s.count(ClockBreached, "response"))
			}
			s.does(Action{Verb: Ack})
			if c := s.clock("response"); c.State(s.now) != sla.StateMetLate {
				t.Error(c.State(s.now))
			}
			s.verify()
		},
		"what ended before a merge stays behind": func(t *testing.T) {
			s := begins(t, desk(t), monday, nil)
			s.play(s.ticket.Fire(firing("inodes", incident.Warning), s.terms, nil, s.now))
			recovered(s)
			into := begins(t, desk(t), monday, func(b *Birth) { b.ID, b.Number, b.Alert.ID = "id2", "WB-1002", "raid" })
			into.play(*s.does(Action{Verb: Merge, Other: &into.ticket, Text: "x"}), nil)
			if _, there := into.ticket.alert("disk"); there || len(into.ticket.Alerts) != 2 {
				t.Errorf("%+v", into.ticket.Alerts)
			}
		},
		"newer terms can entitle": func(t *testing.T) {
			terms := deskTerms()
			terms.EntitledFrom = monday.Add(time.Hour)
			s := begins(t, ready(t, terms), monday, nil)
			newer := deskTerms()
			newer.Version, newer.Digest = "2", "d2"
			s.terms = ready(t, newer)
			s.does(Action{Verb: Rebase, Text: "they had paid"})
			if c := s.clock("response"); !c.Start.Equal(monday) || s.ticket.Facts["entitled"] != "" {
				t.Errorf("%+v, facts %v", c, s.ticket.Facts)
			}
			s.verify()
		},
		"a worse severity that gives less than the priority there is": func(t *testing.T) {
			s := begins(t, desk(t), monday, nil)
			s.does(Action{Verb: Workaround, What: Accepted, To: "carol", Text: "x"})
			s.does(Action{Verb: Prioritise, What: "P1", Text: "the director called"})
			s.play(s.ticket.Fire(firing("raid", incident.Critical), s.terms, nil, s.now))
			if s.ticket.Priority != "P1" || !s.ticket.Pinned || s.ticket.Severity != incident.Critical {
				t.Errorf("%s, pinned %t, %s", s.ticket.Priority, s.ticket.Pinned, s.ticket.Severity)
			}
			s.verify()
		},
		"an offer lapses with the resolution": func(t *testing.T) {
			s := in(t, Acked)
			s.does(Action{Verb: HandOver, To: "developer", Text: "x"})
			recovered(s)
			s.does(Action{Verb: Reopen, Text: "x"})
			if s.refuses(Action{Verb: Accept}); s.ticket.Handoff != nil || s.ticket.Owner != "first level" {
				t.Errorf("%+v, %s", s.ticket.Handoff, s.ticket.Owner)
			}
			s.verify()
		},
	} {
		t.Run(name, play)
	}
}
