package api

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// flap opens a ticket about asset and has its alert go up and down n times, a minute apart; then it is left alone for that
// long.
func (h *house) flap(number, asset string, n int, rest time.Duration) ticket.Ticket {
	h.t.Helper()
	a := fileSystemAlert(asset)
	terms := ticket.Terms{Policy: "default", Version: "1", ReopenFor: time.Hour, CloseAfter: time.Hour,
		Priorities: []string{"P1"}, Flapping: incident.DefaultFlapping}
	var t ticket.Ticket
	do := func(c ticket.Change, err error) {
		h.t.Helper()
		if err == nil && !c.Empty() {
			err = h.store.Update(h.t.Context(), "", func(tx store.Tx) error { return keep(tx, c) })
		}
		if err != nil {
			h.t.Fatal(err)
		}
		t = c.Ticket
	}
	do(ticket.Open(ticket.Birth{ID: "f-" + asset, Number: number, Title: a.Annotations["summary"], Alert: a, Owner: "first level", Terms: terms}, noon))
	now := noon
	for i := range n {
		now = now.Add(time.Minute)
		if i%2 == 0 {
			over := a
			over.EndedAt, over.End = now, incident.Recovered
			do(t.End(over, now))
		} else {
			do(t.Fire(a, terms, nil, now))
		}
	}
	for end := now.Add(rest); !t.Deadline().IsZero() && !t.Deadline().After(end); {
		do(t.Elapse(terms, t.Deadline()))
	}
	return t
}

// A ticket that flaps says so, since when and how often, in the list and where it is shown; one that does not says null.
func TestFlappingIsAState(t *testing.T) {
	h := newHouse(t)
	h.flap("WB-1001", "web1", 9, 0)
	h.flap("WB-1002", "web2", 3, 0)
	h.flap("WB-1003", "db1", 9, 20*time.Minute)
	want := Flap{State: Flapping, Since: noon.Add(time.Minute), LastAt: noon.Add(9 * time.Minute), Count: 9, SettlesAt: noon.Add(24 * time.Minute)}
	var list TicketList
	if err := json.Unmarshal([]byte(h.want(http.StatusOK, "GET", Root+"/tickets", "")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Tickets) != 3 {
		t.Fatalf("%d tickets, want 3", len(list.Tickets))
	}
	for _, row := range list.Tickets {
		var one Ticket
		body := h.want(http.StatusOK, "GET", Root+"/tickets/"+row.Number, "")
		if err := json.Unmarshal([]byte(body), &one); err != nil {
			t.Fatal(err)
		}
		for _, f := range []*Flap{row.Flap, one.Flap} {
			if flaps := row.Number == "WB-1001"; flaps != (f != nil) || flaps && *f != want {
				t.Errorf("%s: %+v, want %+v of WB-1001 alone", row.Number, f, want)
			}
		}
	}
}
