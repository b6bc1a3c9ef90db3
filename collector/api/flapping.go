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
