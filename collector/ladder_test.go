package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/route"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// rungs is the set of acme with a ladder whose rung wants an acknowledgement every hour.
func (d *desk) rungs() {
	d.t.Helper()
	d.again("  fine: {kind: task, title: Fine}\nladder: [{name: late, clock: response, share: 50%, to: [{role: service-director}], ack_for: 1h}]\n",
		"48h,elapsed")
}

// TestAnAcknowledgementKeepsTheLadderQuiet: what a ladder told is acknowledged with the ticket, and again later on, each time
// for as long as the rung says; then it is told again.
func TestAnAcknowledgementKeepsTheLadderQuiet(t *testing.T) {
	d := newDesk(t)
	d.rungs()
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.told()
	late := deskAt.Add(24 * time.Hour)
	d.pass(late)
	d.hears("dan told")
	d.pass(late.Add(time.Hour))
	d.hears("dan told")
	d.at = d.at.Add(30 * time.Minute)
	d.act("WB-1001", ticket.Action{Verb: ticket.Start}, person("eve")) // the clock is of a callback: it goes on
	d.act("WB-1001", ticket.Action{Verb: ticket.Ack, Text: "on it"}, person("eve"))
	told := d.ticket("WB-1001").Told
	if len(told) != 1 || told[0].AckedBy != "eve" || !told[0].AckUntil.Equal(d.at.Add(time.Hour)) || told[0].Times != 0 {
		t.Errorf("the ladder keeps %+v", told)
	}
	d.pass(d.at.Add(59 * time.Minute))
	d.hears()
	d.pass(d.at.Add(time.Minute))
	d.hears("dan told")
	line := d.kinds("WB-1001", ticket.WasTold)
	if e := line[2]; e.Actor.Kind != ticket.Person || e.Actor.Name != "eve" || !strings.Contains(e.Text, "on it") {
		t.Errorf("the timeline says %+v", e)
	}
	d.restart()
	d.act("WB-1001", ticket.Action{Verb: ticket.Ack}, person("tom"))
	if _, err := d.Act(context.Background(), "WB-1001", ticket.Action{Verb: ticket.Ack}, ticket.By{Actor: ticket.Actor{Kind: ticket.Peer, Name: "a desk"}}); !errors.Is(err, ticket.ErrRefused) {
		t.Errorf("a machine acknowledged the ladder: %v", err)
	}
}

// TestTheFirstAcknowledgementCounts: the very acknowledgement of the ticket acknowledges what its ladder told.
func TestTheFirstAcknowledgementCounts(t *testing.T) {
	d := newDesk(t)
	d.rungs()
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	d.pass(deskAt.Add(24 * time.Hour))
	after := d.act("WB-1001", ticket.Action{Verb: ticket.Ack}, person("eve"))
	if after.State != ticket.Acked || len(after.Told) != 1 || after.Told[0].AckedBy != "eve" {
		t.Errorf("%s, told %+v", after.State, after.Told)
	}
}

// TestRungsAreNotToldForEver: what nobody acknowledges is told again so often and no more.
func TestRungsAreNotToldForEver(t *testing.T) {
	d := newDesk(t)
	d.rungs()
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	for range 7 * 24 {
		d.pass(d.at.Add(time.Hour))
	}
	if n := len(d.kinds("WB-1001", ticket.WasTold)); n != 1+route.MaxAgain {
		t.Errorf("told %d times in a week, want once and %d times again", n, route.MaxAgain)
	}
	d.act("WB-1001", ticket.Action{Verb: ticket.Ack}, person("eve"))
	d.pass(d.at.Add(61 * time.Minute))
	if n := len(d.kinds("WB-1001", ticket.WasTold)); n != 1+route.MaxAgain+2 {
		t.Errorf("%d records after an acknowledgement ran out, want it and one telling more", n)
	}
}

// TestMessagesWithoutARoomForDrafts: a message for a client is in the timeline when the ticket takes no more drafts.
func TestMessagesWithoutARoomForDrafts(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing)
	for range 200 {
		d.act("WB-1001", ticket.Action{Verb: ticket.WriteDraft, To: "client", Text: "x"}, person("eve"))
	}
	err := d.store.Update(context.Background(), "", func(tx store.Tx) error {
		one, err := FindTicket(tx, "WB-1001")
		if err != nil {
			return err
		}
		return d.drafted(tx, one, []ticket.Draft{{To: "Cleo", Template: "outcome", Text: "it works again"}}, &outcome{})
	})
	if err != nil {
		t.Fatal(err)
	}
	line := d.timeline("WB-1001")
	if last := line[len(line)-1]; last.Kind != ticket.Noted || !strings.Contains(last.Text, "it works again") || !strings.Contains(last.Text, "Cleo") {
		t.Errorf("the message is lost: %+v", last)
	}
}
