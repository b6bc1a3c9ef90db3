package api

import (
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Flap is the state of a ticket whose alerts go up and down: whether one of them fires at the moment says little.
type Flap struct {
	State FlapState `json:"state"`
	// Since is the first of the changes that made it flap, LastAt the newest one; Count is all of them.
	Since  time.Time `json:"since"`
	LastAt time.Time `json:"last_at"`
	Count  int       `json:"count"`
	// SettlesAt is when it is over if nothing changes until then.
	SettlesAt time.Time `json:"settles_at"`
}

// FlapState is what a ticket that goes up and down is said to be.
type FlapState string

// Flapping is the one state of it: a ticket that has settled has no flap.
const Flapping FlapState = "flapping"

// flapOf is how a ticket flaps, nil when it does not.
func flapOf(t ticket.Ticket) *Flap {
	if !t.Flaps() {
		return nil
	}
	settles, _ := t.Flapping.Over(t.Flap.Last, t.Flap.Last)
	return &Flap{State: Flapping, Since: t.Flap.Since, LastAt: t.Flap.Last, Count: t.Flap.Count, SettlesAt: settles}
}

// Counted is what is known of the alerts that a ticket counts and does not list.
type Counted struct {
	// Came is how many there were, Firing how many of them fire.
	Came   int `json:"came"`
	Firing int `json:"firing"`
	// Newest are those that came last, oldest first, in words; empty for who is not of the house.
	Newest []string `json:"newest"`
}

// countedOf is what a ticket counts, nil when it lists all that it has.
func countedOf(t ticket.Ticket) *Counted {
	if t.Crowd.Came == 0 {
		return nil
	}
	return &Counted{Came: t.Crowd.Came, Firing: t.Crowd.Firing, Newest: orEmpty(t.Crowd.Newest)}
}
