package ticket

import (
	"strings"
	"testing"
)

// TestAnAnswerIsNoAction: what the customer writes is told, ends waiting and stands in the record as a symptom; it is no action
// taken, which the record wants before an escalation. A note of the desk is one, and ends nothing.
func TestAnAnswerIsNoAction(t *testing.T) {
	l := at(t, KindIncident, "", nil, gateTerms())
	l.act(Action{Verb: Ack}, bob)
	before := l.ticket.Parts[PartActions]
	client := somebody("ursula", "client-owner-user")
	client.Customer, client.Replies = "acme", true
	c, err := l.try(Action{Verb: Note, Text: "it is the red printer"}, client)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Events) == 0 || !c.Events[0].IsReply() {
		t.Fatalf("events %+v", c.Events)
	}
	l.take(c)
	told := false
	for _, n := range c.Notices {
		told = told || n.What == Noted && strings.Contains(n.Text, "ursula answered: it is the red printer")
	}
	if !told {
		t.Errorf("nobody is told: %+v", c.Notices)
	}
	if now := l.ticket.Parts[PartActions]; now != before {
		t.Errorf("the answer counts as an action: %q", now)
	}
	record, err := AssembleRecord(l.timeline, func(int) ([]byte, bool, error) { return nil, false, nil })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(record.Symptom.Entries); n == 0 || record.Symptom.Entries[n-1].Source != "ursula, answer" || len(record.Actions.Entries) != 0 {
		t.Errorf("symptoms %+v, actions %+v", record.Symptom.Entries, record.Actions.Entries)
	}
	l.act(Action{Verb: Note, Text: "looked at the queue"}, bob)
	if l.ticket.Parts[PartActions] == before {
		t.Error("a note of the desk is no action")
	}
}
