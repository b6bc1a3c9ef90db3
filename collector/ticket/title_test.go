package ticket

import (
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// mute is a silence of web1 with what asking it came to.
func mute(name, summary string, at time.Time) incident.Alert {
	a := firing(name, incident.Critical)
	a.Name, a.Source, a.Service, a.FiredAt = name, "watchbill", incident.Availability, at
	a.Annotations = map[string]string{"summary": summary}
	return a
}

func heard(a incident.Alert, at time.Time) incident.Alert {
	a.EndedAt, a.End = at, incident.Recovered
	return a
}

// A ticket about silence is known by what was found out this time, whoever is told of it and whatever it was before.
func TestTheTitleOfASilenceIsTheNewestAnswer(t *testing.T) {
	const up, gone = "web1 is up, but its agent is silent", "web1 is silent and cannot be reached"
	rule := firing("up", incident.Critical)
	rule.Expr, rule.Annotations = "up == 0", map[string]string{"summary": "web1 is down"}
	later := t0.Add(time.Hour)
	for name, tc := range map[string]struct {
		first, ends, then incident.Alert
		want              string
		changes           int
	}{
		"another answer":       {mute(incident.HostSilent, up, t0), mute(incident.HostSilent, up, t0), mute(incident.HostSilent, gone, later), gone, 1},
		"the same answer":      {mute(incident.HostSilent, up, t0), mute(incident.HostSilent, up, t0), mute(incident.HostSilent, up, later), up, 0},
		"after a goodbye":      {mute(incident.HostSilent, gone, t0), mute(incident.HostSilent, gone, t0), mute(incident.AgentStopped, "it stopped", later), "it stopped", 1},
		"a rule's alert is on": {rule, mute(incident.HostSilent, up, t0), mute(incident.HostSilent, gone, later), "web1 is down", 0},
		"a rule's alert ended": {rule, rule, mute(incident.HostSilent, gone, later), gone, 1},
		"a rule's alert joins": {mute(incident.HostSilent, up, t0), incident.Alert{}, rule, up, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := &log{t: t}
			l.play(Open(Birth{ID: "id1", Number: "WB-1001", Title: tc.first.Title(), Alert: tc.first, Owner: "first level", Terms: terms()}, t0))
			if tc.ends.ID != "" {
				l.play(l.ticket.End(heard(tc.ends, t0.Add(time.Minute)), t0.Add(time.Minute)))
			}
			c, err := l.ticket.Fire(tc.then, terms(), nil, later)
			l.play(c, err)
			if l.ticket.Title != tc.want {
				t.Errorf("title %q, want %q", l.ticket.Title, tc.want)
			}
			changes := 0
			for _, e := range l.timeline {
				if e.Kind == TitleChanged {
					changes++
					if e.Text != tc.want || e.Actor != house {
						t.Errorf("the timeline says %q by %s", e.Text, e.Actor.Name)
					}
				}
			}
			if changes != tc.changes {
				t.Errorf("%d changes of the title in the timeline, want %d", changes, tc.changes)
			}
			if again, err := Fold(l.timeline); err != nil || again.Title != tc.want {
				t.Errorf("folded again: %q, %v", again.Title, err)
			}
			if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
				t.Error(err)
			}
			for _, n := range c.Notices {
				if n.What == Reopened && !strings.Contains(n.Text, "fires again") && !strings.Contains(n.Text, "fires 59m0s") {
					t.Errorf("told %q", n.Text)
				}
			}
		})
	}
}

// While a ticket flaps the title changes with the events there are, and when it is over it is right.
func TestTheTitleOfAFlappingSilence(t *testing.T) {
	l := &log{t: t}
	say := func(i int) string { return []string{"web1 is silent", "web1 is silent and cannot be reached"}[i%2] }
	now := t0
	l.play(Open(Birth{ID: "id1", Number: "WB-1001", Title: say(0), Alert: mute(incident.HostSilent, say(0), t0), Terms: flappingTerms()}, t0))
	for i := 1; i <= 40; i++ {
		now = now.Add(10 * time.Second)
		l.play(l.ticket.End(heard(mute(incident.HostSilent, say(i-1), t0), now), now))
		now = now.Add(10 * time.Second)
		l.play(l.ticket.Fire(mute(incident.HostSilent, say(i), now), flappingTerms(), nil, now))
	}
	if !l.ticket.Flaps() {
		t.Fatal("it does not flap")
	}
	l.play(l.ticket.End(heard(mute(incident.HostSilent, say(40), t0), now), now.Add(time.Second)))
	l.play(l.ticket.Fire(mute(incident.HostSilent, "the last answer", now), flappingTerms(), nil, now.Add(2*time.Second)))
	l.play(l.ticket.Elapse(flappingTerms(), now.Add(time.Hour)))
	if l.ticket.Flaps() || l.ticket.Title != "the last answer" {
		t.Errorf("flaps %t, title %q", l.ticket.Flaps(), l.ticket.Title)
	}
	changes := 0
	for _, e := range l.timeline {
		if e.Kind == TitleChanged {
			changes++
		}
	}
	if changes > 20 {
		t.Errorf("%d changes of the title in the timeline", changes)
	}
}
