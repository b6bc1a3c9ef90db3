package ticket

import (
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// A ticket about what is over pages nobody, whatever becomes of it, and takes in what comes later.
func TestQuiet(t *testing.T) {
	missed := func(from time.Time) incident.Alert {
		return incident.Unseen(incident.Missed{Asset: "web1", Customer: "acme", Site: "london", From: from, To: from.Add(time.Hour), Alerts: 2})
	}
	a := missed(t0)
	c, err := Open(Birth{ID: "id1", Number: "WB-1001", Title: a.Annotations["summary"], Alert: a, Owner: "first level", Terms: terms(), Evidence: evidence(), Quiet: true}, t0)
	l := &log{t: t}
	l.play(c, err)
	if l.ticket.Priority != "P3" || l.ticket.Firing() != 0 || l.ticket.State != New || !l.ticket.Quiet {
		t.Fatalf("%+v", l.ticket)
	}
	again, err := l.ticket.Fire(a, terms(), evidence(), t0.Add(time.Minute))
	if err != nil || !again.Empty() {
		t.Errorf("the same gap told twice: %v %v", again.Events, err)
	}
	second := missed(t0.Add(2 * time.Hour))
	l.play(l.ticket.Fire(second, terms(), evidence(), t0.Add(3*time.Hour)))
	if e := l.timeline[len(l.timeline)-6]; e.Kind != AlertAttached || e.Text != second.Annotations["description"] {
		t.Errorf("attached as %v %q", e.Kind, e.Text)
	}
	l.play(l.ticket.Act(Action{Verb: Resolve, Text: "nobody noticed"}, anna, terms(), t0.Add(4*time.Hour)))
	l.play(l.ticket.Fire(missed(t0.Add(5*time.Hour)), terms(), evidence(), t0.Add(6*time.Hour)))
	if l.ticket.State != Again {
		t.Errorf("state %s", l.ticket.State)
	}
	l.play(l.ticket.Act(Action{Verb: Resolve, Text: "nobody noticed"}, anna, terms(), t0.Add(7*time.Hour)))
	l.play(l.ticket.Elapse(terms(), t0.Add(7*time.Hour+48*time.Hour)))
	if l.ticket.State != Shut || len(l.notices) != 0 {
		t.Errorf("state %s, told %v", l.ticket.State, l.notices)
	}
	if folded, err := Fold(l.timeline); err != nil || !folded.Quiet {
		t.Errorf("the fold forgets that it is quiet: %v", err)
	}
	if err := VerifyChain(l.timeline, l.ticket.Seq, l.ticket.Head); err != nil {
		t.Error(err)
	}
}
