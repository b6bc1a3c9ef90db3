package api

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Storm is what a storm's ticket stands for: many tickets of one service that opened at the same time.
type Storm struct {
	// Assets were ever part of it; Of is how many there are where it is.
	Assets int `json:"assets"`
	Of     int `json:"of"`
	// Tickets are part of it, Standing of them are open. A narrower storm that became part of it counts as one.
	Tickets  int `json:"tickets"`
	Standing int `json:"standing"`
	// FirstAt and LastAt are when the first and the newest of its tickets opened.
	FirstAt time.Time  `json:"first_at"`
	LastAt  time.Time  `json:"last_at"`
	OverAt  *time.Time `json:"over_at"`
	// Rules and Sites count assets by the rule that found them, and by CUSTOMER/SITE; the last ones together as "others".
	Rules map[string]int `json:"rules"`
	Sites map[string]int `json:"sites"`
	// Sample are the first assets.
	Sample []string `json:"sample"`
	// Untold counts by kind of event what happened to its tickets since its newest notice.
	Untold map[string]int `json:"untold"`
}

// StormMember is a ticket of a storm.
type StormMember struct {
	Number string       `json:"number"`
	State  ticket.State `json:"state"`
	Asset  string       `json:"asset"`
	Title  string       `json:"title"`
}

// maxMembers bounds the tickets that are listed with a storm's.
const maxMembers = 50

// gatheringRow is a ticket's row, with what it stands for when it is a storm's.
func gatheringRow(tx store.Tx, t ticket.Ticket, now time.Time) (TicketRow, error) {
	row := ticketRow(t, now)
	if t.Kind != ticket.KindStorm {
		return row, nil
	}
	s, err := tx.Storm(t.ID)
	if err != nil {
		return row, err
	}
	row.Gathers = &Storm{
		Assets: s.Assets, Of: max(s.Of, s.Assets), Tickets: s.Tickets, Standing: s.Standing, FirstAt: s.First, LastAt: s.Last,
		OverAt: orNull(s.OverAt), Rules: orNone(s.Rules), Sites: orNone(s.Sites), Sample: orEmpty(s.Sample), Untold: orNone(s.Untold),
	}
	return row, nil
}

// orNone makes counts that are not there empty ones, so that clients need no null check.
func orNone(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}

// membersOf are some tickets of the storm whose ticket t is, as far as the operator sees them.
func membersOf(tx store.Tx, t ticket.Ticket, s sight) ([]StormMember, error) {
	out := []StormMember{}
	if t.Kind != ticket.KindStorm {
		return out, nil
	}
	ids, err := tx.StormMembers(t.ID, maxMembers)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		m, err := tx.Ticket(id)
		if err != nil {
			return nil, fmt.Errorf("ticket of the storm %s: %w", t.Number, err)
		}
		if !s.sees(m) {
			continue
		}
		out = append(out, StormMember{Number: m.Number, State: m.State, Asset: m.Asset, Title: m.Title})
	}
	return out, nil
}

// stormID is the ID of a storm's ticket by what people call it; empty stays empty.
func (s sight) stormID(tx store.Tx, ref string) (string, error) {
	if ref == "" {
		return "", nil
	}
	t, err := s.ticket(tx, ref)
	if err == nil && t.Kind != ticket.KindStorm {
		err = badRequest("the field storm of a ticket names the one that it is part of", "storm: %s is not the ticket of a storm", t.Number)
	}
	return t.ID, err
}
