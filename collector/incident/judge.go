package incident

import "time"

// Verdict is what an alert that fires does to the tickets of its incident.
type Verdict int

// The verdicts.
const (
	// OpenNew: no ticket was ever opened for the incident.
	OpenNew Verdict = iota
	// Attach: a ticket is open; the alert belongs to it.
	Attach
	// Reopen: the last ticket was resolved so recently that this is the same incident.
	Reopen
	// Recur: the last ticket is done with; a new one is opened and the two are linked.
	Recur
)

// Last is what is known of the newest ticket of an incident.
type Last struct {
	Open       bool
	Closed     bool
	ResolvedAt time.Time
	// ReopenFor is how long after ResolvedAt the ticket may be reopened.
	ReopenFor time.Duration
}

// Judge decides what a firing alert does; last is nil when its incident never had a ticket.
func Judge(last *Last, now time.Time) Verdict {
	switch {
	case last == nil:
		return OpenNew
	case last.Open:
		return Attach
	case !last.Closed && now.Sub(last.ResolvedAt) <= last.ReopenFor:
		return Reopen
	}
	return Recur
}
