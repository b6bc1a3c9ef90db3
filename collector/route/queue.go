package route

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// The keys that ticket.Terms.Queue knows.
const (
	// QueueHosted puts infrastructure and hosted customers before all others.
	QueueHosted = "hosted"
	// QueuePriority is the priority's rank.
	QueuePriority = "priority"
	// QueueRemaining is least remaining time: the earliest due instant.
	QueueRemaining = "remaining"
)

// QueueKeys are the keys that ticket.Terms.Queue knows, in their usual order.
func QueueKeys() []string { return []string{QueueHosted, QueuePriority, QueueRemaining} }

// QueueKey is where a ticket stands in the queue: keys compare as bytes, the least comes first. It depends on the ticket and
// its terms alone, not on the time, so it can be the key of an index that is written when the ticket changes. Among
// tickets of all policy sets the order is total and stable: it ends with when the ticket was opened, and its ID.
//
// The terms' Queue gives the order of the keys, without it priority before remaining. A key that the terms do not have is
// neutral and stands before those they have: tickets of a set without "hosted" are among the hosted ones of another. Ranks
// of different sets compare as numbers, the worst of each is 0.
func QueueKey(t ticket.Ticket, terms ticket.Terms) []byte {
	order := terms.Queue
	if len(order) == 0 {
		order = []string{QueuePriority, QueueRemaining}
	}
	key := make([]byte, 0, 1+1+8+8+len(t.ID))
	for _, name := range QueueKeys() {
		if !slices.Contains(order, name) {
			key = append(key, make([]byte, queueWidth(name))...)
		}
	}
	for _, name := range order {
		switch name {
		case QueueHosted:
			behind := byte(1)
			if Hosted(t) {
				behind = 0
			}
			key = append(key, behind)
		case QueuePriority:
			key = append(key, byte(min(terms.Rank(t.Priority), math.MaxUint8)))
		case QueueRemaining:
			key = appendInstant(key, nextDue(t))
		}
	}
	key = appendInstant(key, t.OpenedAt)
	return append(key, t.ID...)
}

// lastYear is the last one whose instants all fit in 64 bits of nanoseconds.
const lastYear = 2261

// queueWidth is how many bytes a key takes.
func queueWidth(name string) int {
	if name == QueueRemaining {
		return 8
	}
	return 1
}

// appendInstant appends an instant so that earlier ones come first, and none at all comes last.
func appendInstant(key []byte, t time.Time) []byte {
	n := uint64(math.MaxUint64)
	switch {
	case t.IsZero():
	case t.Year() > lastYear:
		n--
	default:
		n = uint64(t.UnixNano()) ^ 1<<63 // in order across 1970
	}
	return binary.BigEndian.AppendUint64(key, n)
}

// Hosted tells whether a ticket is about infrastructure, its security included, or of a hosted customer: by its system, or
// the facts hosted or supports-hosting.
func Hosted(t ticket.Ticket) bool {
	system := t.Facts["system"]
	if system == "" {
		system = t.System
	}
	return slices.Contains(infrastructure, system) || yes(t.Facts["hosted"]) || yes(t.Facts["supports-hosting"])
}

// nextDue is the earliest due instant of the clocks that can still be missed; without one, of those that inform; without
// one, the date last promised. A waiver moves it to its expiry. Zero: none, as things stand.
func nextDue(t ticket.Ticket) time.Time {
	var due, informs time.Time
	for _, c := range t.Clocks {
		switch {
		case c.Ended() || c.Due.IsZero() || c.Waived && c.WaivedUntil.IsZero():
		case c.Target.Inform:
			informs = sooner(informs, c.Due)
		case c.Waived && c.WaivedUntil.After(c.Due):
			due = sooner(due, c.WaivedUntil)
		default:
			due = sooner(due, c.Due)
		}
	}
	if n := len(t.Promises); due.IsZero() && informs.IsZero() && n > 0 {
		return t.Promises[n-1].Until
	}
	if due.IsZero() {
		return informs
	}
	return due
}
