package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/notify"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
	"github.com/watchbill/watchbill/rules"
)

// said are the queued messages to a receiver that may go out by now, as WHAT: TEXT.
func (d *desk) said(receiver string) (out []string) {
	d.t.Helper()
	d.view(func(tx store.Tx) error {
		out = nil
		all, err := tx.Messages(outbox.Queued, 1000)
		for _, m := range all {
			var n notify.Notice
			if err := json.Unmarshal(m.Body, &n); err != nil {
				return err
			}
			if m.Receiver == receiver && !m.NextAt.After(d.at) {
				out = append(out, n.What+": "+n.Text)
			}
		}
		return err
	})
	return out
}

// TestWhatPassedWhileDownIsToldAtOnce: what was held and is overdue and what fell due meanwhile go out together at the start,
// worst first, and no clock that was missed is said to be at risk. Nothing is left for a minute later.
func TestWhatPassedWhileDownIsToldAtOnce(t *testing.T) {
	d := newDesk(t)
	d.fire("web1", "DiskFull", "critical", rules.Firing) // high: response 1 h
	d.told()
	d.at = d.at.Add(10 * time.Second)
	d.fire("web2", "DiskFull", "critical", rules.Firing) // held for eve and tom
	d.hears()
	d.at = deskAt.Add(75 * time.Minute)
	d.restart()
	for n := 0; n < 3; n++ { // the clock stands still
		if _, err := d.elapse(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	got := d.said("tom")
	if len(got) != 1 || !strings.HasPrefix(got[0], "digest: 3 notices about 2 tickets:\nWB-1001 high web1: ") {
		t.Fatalf("tom is told %q", got)
	}
	if strings.Contains(got[0], "at risk") || strings.Count(got[0], "response was due 2026-11-24 11:00:00 GMT and is not met") != 1 ||
		!strings.Contains(got[0], "; opened)") {
		t.Errorf("tom is told %q", got)
	}
	d.view(func(tx store.Tx) error {
		left, next, err := tx.DueHeld(d.at.Add(time.Hour), 100)
		if len(left) > 0 || !next.IsZero() {
			t.Errorf("still held: %d, until %v", len(left), next)
		}
		return err
	})
}

// TestALongWayBehindIsToldTogether: more deadlines than one look takes are told in one notice.
func TestALongWayBehindIsToldTogether(t *testing.T) {
	d := newDesk(t)
	const tickets = deadlineBatch + 20
	for n := range tickets {
		d.report(n)
	}
	d.pass(d.at.Add(2 * time.Minute))
	d.told()
	d.at = deskAt.Add(4 * time.Hour) // standard: response 2 h
	d.restart()
	for n := 0; n < 5; n++ {
		if _, err := d.elapse(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.said("tom"); len(got) != 1 || !strings.Contains(got[0], "notices about 276 tickets") {
		t.Errorf("tom is told %d times: %.200q", len(got), got)
	}
}

func (d *desk) report(n int) {
	d.open(ticket.Birth{Title: fmt.Sprint("report ", n), Report: &ticket.Report{Customer: "acme", Channel: "telephone", Key: fmt.Sprint("report ", n)}})
}
