package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// storm puts a storm with n tickets into the store, numbered from WB-2001; the head is WB-2000.
func (h *house) storm(n int) {
	h.t.Helper()
	b := incident.Begun{Reach: incident.Reach{Customer: "acme"}, Service: "filesystem"}
	s := b.Begin("storm1", "WB-2000", 3000, noon)
	terms := ticket.Terms{Policy: "default", Version: "1", ReopenFor: time.Hour, CloseAfter: time.Hour,
		Priorities: []string{"P1"}}
	err := h.store.Update(h.t.Context(), "", func(tx store.Tx) error {
		for i := range n {
			a := fileSystemAlert(fmt.Sprintf("node%03d", i))
			f, _ := incident.FlipOf(a, noon)
			s.Join(f)
			s.Bind(1, false, true)
			c, err := ticket.Open(ticket.Birth{ID: "m-" + a.Asset, Number: fmt.Sprintf("WB-%d", 2001+i), Title: a.Annotations["summary"],
				Alert: a, Owner: "first level", Terms: terms, Storm: ticket.PartOf(s.ID, s.Number)}, noon)
			if err == nil {
				err = keep(tx, c)
			}
			if err == nil {
				err = tx.PutStormMember(s.ID, c.Ticket.ID, true)
			}
			if err != nil {
				return err
			}
		}
		s.Tell(noon)
		c, err := ticket.Open(ticket.Birth{ID: s.ID, Number: s.Number, Kind: ticket.KindStorm, Title: s.Title(), Alert: s.Alert(), Owner: "first level", Terms: terms}, noon.Add(time.Second))
		if err == nil {
			err = keep(tx, c)
		}
		if err == nil {
			err = tx.PutStorm(s)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// A storm is one line in the list, its tickets are found when they are asked for, and either names the other.
func TestStormIsReadAsOne(t *testing.T) {
	h := newHouse(t)
	h.openTicket(1001, "web1")
	h.storm(70)
	numbers := func(query string) (out []string) {
		t.Helper()
		var list TicketList
		if err := json.Unmarshal([]byte(h.want(http.StatusOK, "GET", Root+"/tickets?"+query, "")), &list); err != nil {
			t.Fatal(err)
		}
		for _, row := range list.Tickets {
			out = append(out, row.Number)
		}
		return out
	}
	if got := strings.Join(numbers("fold=true"), " "); got != "WB-2000 WB-1001" {
		t.Errorf("folded: %s", got)
	}
	for query, want := range map[string]int{"": 72, "storm=WB-2000": 70, "storm=storm1&limit=3": 3, "storm=2000&state=resolved": 0} {
		if got := numbers(query); len(got) != want {
			t.Errorf("%q: %d tickets, want %d", query, len(got), want)
		}
	}
	var head, member Ticket
	for number, into := range map[string]*Ticket{"WB-2000": &head, "WB-2007": &member} {
		if err := json.Unmarshal([]byte(h.want(http.StatusOK, "GET", Root+"/tickets/"+number, "")), into); err != nil {
			t.Fatal(err)
		}
	}
	if g := head.Gathers; g == nil || g.Assets != 70 || g.Standing != 70 || g.Of != 3000 || len(head.Members) != maxMembers || head.Members[0].Asset == "" {
		t.Errorf("the storm's ticket has %+v and %d members", g, len(head.Members))
	}
	if member.Storm != "WB-2000" || member.Gathers != nil || len(member.Members) != 0 {
		t.Errorf("a ticket of it is part of %q", member.Storm)
	}
	if body := h.want(http.StatusBadRequest, "GET", Root+"/tickets?storm=WB-1001", ""); !strings.Contains(body, "not the ticket of a storm") {
		t.Error(body)
	}
	h.want(http.StatusBadRequest, "GET", Root+"/tickets?fold=perhaps", "")
	h.want(http.StatusNotFound, "GET", Root+"/tickets?storm=WB-9", "")
}
