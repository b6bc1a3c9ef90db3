package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/ticket"
)

// seal chains events onto seq and prev as ticket.Event's comments say. It is written anew here so that the suite does
// not believe what the ticket package computes.
func seal(seq int, prev string, events []ticket.Event) {
	for i := range events {
		e := &events[i]
		seq++
		e.Seq, e.Prev, e.Hash = seq, prev, ""
		b, err := json.Marshal(*e)
		if err != nil {
			panic(err) // events of this suite marshal
		}
		sum := sha256.Sum256(b)
		e.Hash = hex.EncodeToString(sum[:])
		prev = e.Hash
	}
}

// Birth makes a new ticket, ready for CreateTicket: number n, under key, for customer "acme" and asset "web1".
func Birth(n int, key string, at time.Time) (ticket.Ticket, []ticket.Event) {
	o := ticket.Opening{
		ID: fmt.Sprintf("t%06d", n), Number: fmt.Sprintf("WB-%d", n), Kind: "incident", Key: key, Customer: "acme", Site: "hq",
		Asset: "web1", Service: "filesystem", Title: "/ is filling up", Owner: "first level", Policy: "default", PolicyVersion: "1",
		ReopenFor: time.Hour, CloseAfter: 72 * time.Hour,
	}
	return born(o, at)
}

func born(o ticket.Opening, at time.Time) (ticket.Ticket, []ticket.Event) {
	line := []ticket.Event{{At: at, Kind: ticket.Opened, Actor: ticket.Actor{Kind: ticket.Rule, Name: "disk"}, Opening: &o,
		Severity: incident.Critical, Priority: "P1"}}
	seal(0, "", line)
	return ticket.Ticket{Opening: o, State: ticket.New, Severity: incident.Critical, Priority: "P1", OpenedAt: at,
		UpdatedAt: at, Seq: 1, Head: line[0].Hash}, line
}

// Next makes the events that bring t to a state, ready for AppendTicket: one note for each text, then the change.
func Next(t ticket.Ticket, to ticket.State, at time.Time, notes ...string) (ticket.Ticket, []ticket.Event) {
	kinds := map[ticket.State]ticket.Kind{ticket.Acked: ticket.Acknowledged, ticket.InProgress: ticket.Started,
		ticket.Done: ticket.Resolved, ticket.Shut: ticket.Closed, ticket.Again: ticket.Reopened}
	var line []ticket.Event
	for _, text := range notes {
		line = append(line, ticket.Event{At: at, Kind: ticket.Noted, Text: text})
	}
	if to != t.State {
		line = append(line, ticket.Event{At: at, Kind: kinds[to]})
	}
	for i := range line {
		line[i].Actor = ticket.Actor{Kind: ticket.Person, Name: "ada"}
	}
	seal(t.Seq, t.Head, line)
	t.State, t.UpdatedAt, t.Seq = to, at, t.Seq+len(line)
	if len(line) > 0 {
		t.Head = line[len(line)-1].Hash
	}
	return t, line
}

// Sealed is a new ticket with its timeline sealed anew, after either was changed.
func Sealed(t ticket.Ticket, line []ticket.Event) (ticket.Ticket, []ticket.Event) {
	seal(0, "", line)
	t.Seq, t.Head = len(line), line[len(line)-1].Hash
	return t, line
}
