package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// Kind says what happened to a ticket.
type Kind string

// The kinds of event. A timeline begins with Opened.
const (
	Opened          Kind = "opened"
	AlertAttached   Kind = "alert_attached"
	AlertEnded      Kind = "alert_ended"
	AlertRefired    Kind = "alert_refired"
	EvidenceAdded   Kind = "evidence"
	PriorityChanged Kind = "priority_changed"
	Acknowledged    Kind = "acknowledged"
	Started         Kind = "started"
	Noted           Kind = "note"
	ActionTaken     Kind = "action_taken"
	Resolved        Kind = "resolved"
	Reopened        Kind = "reopened"
	Closed          Kind = "closed"
	Linked          Kind = "linked"
	// Refused is an attempt that a gate refused; nothing else changed.
	Refused Kind = "refused"
	// FactsChanged sets facts; with them the priority may change in an event of its own.
	FactsChanged Kind = "facts_changed"
	Assigned     Kind = "assigned"
	HandedOff    Kind = "handed_off"
	HandoffTaken Kind = "handoff_accepted"
	HandoffBack  Kind = "handoff_returned"
	// HandoffWithdrawn is an offer that whoever made it took back; it is not counted as returned.
	HandoffWithdrawn Kind = "handoff_withdrawn"
	WaitBegan        Kind = "waiting"
	WaitOver         Kind = "resumed"
	Verified         Kind = "verified"
	WaiverGiven      Kind = "waiver"
	Approved         Kind = "approved"
	Estimated        Kind = "estimated"
	Quoted           Kind = "quoted"
	Ordered          Kind = "ordered"
	Promised         Kind = "promised"
	Ticked           Kind = "ticked"
	PartGiven        Kind = "part_given"
	Drafted          Kind = "drafted"
	Sent             Kind = "sent"
	Rejected         Kind = "delivery_rejected"
	Rated            Kind = "rated"
	Merged           Kind = "merged"
	ChildChanged     Kind = "child_changed"
	MajorMarked      Kind = "major"
	Rebased          Kind = "rebased"
	// ClockMet, ClockAtRisk and ClockBreached are facts of time, each told once.
	ClockMet      Kind = "clock_met"
	ClockAtRisk   Kind = "clock_at_risk"
	ClockBreached Kind = "clock_breached"
	// WasTold is a notice that must be told once: a rung of a ladder.
	WasTold  Kind = "told"
	Redacted Kind = "redacted"
	// FlappingBegan, Flipped and Settled are the life of a Flap.
	FlappingBegan Kind = "flapping"
	Flipped       Kind = "flipped"
	Settled       Kind = "settled"
	// TitleChanged gives the ticket the title that is its Text.
	TitleChanged Kind = "title_changed"
	// StormJoined binds a ticket to the storm that Link names, StormLeft lets it go on by itself again; StormSpread and
	// StormOver are a storm's own.
	StormJoined Kind = "storm_joined"
	StormLeft   Kind = "storm_left"
	StormSpread Kind = "storm_spread"
	StormOver   Kind = "storm_over"
	// Counting tells of the alerts that the ticket counts and does not list.
	Counting Kind = "alerts_counted"
)

// ActorKind tells people from machines.
type ActorKind string

// The kinds of actor.
const (
	Person ActorKind = "person"
	Rule   ActorKind = "rule"
	Agent  ActorKind = "agent"
	Peer   ActorKind = "peer"
	House  ActorKind = "watchbill"
)

// Actor is who made an event.
type Actor struct {
	Kind ActorKind `json:"kind"`
	Name string    `json:"name"`
	// Person is the ID of the declared person, whatever token they use; empty where there is none.
	Person string `json:"person,omitempty"`
	// As is the role a person acted in, where it mattered.
	As string `json:"as,omitempty"`
}

// Same tells whether two actors are one person: by the declared person where both have one, otherwise by name, whatever
// its case and spacing.
func (a Actor) Same(b Actor) bool {
	if a.Person != "" && b.Person != "" {
		return a.Person == b.Person
	}
	return strings.EqualFold(strings.TrimSpace(a.Name), strings.TrimSpace(b.Name))
}

// ID is by what other tickets know who it is: the declared person where there is one, otherwise the name.
func (a Actor) ID() string { return or(a.Person, a.Name) }

// Event is one entry of a ticket's timeline. Once appended it never changes; Hash seals it to all before it.
type Event struct {
	// Seq counts 1, 2, 3 … within the ticket.
	Seq   int       `json:"seq"`
	At    time.Time `json:"at"`
	Kind  Kind      `json:"kind"`
	Actor Actor     `json:"actor"`
	Text  string    `json:"text,omitempty"`

	// Opening is set on Opened alone.
	Opening *Opening `json:"opening,omitempty"`
	// Alert is set on AlertAttached, AlertEnded, AlertRefired, StormOver, and on the Opened of a detected incident.
	Alert *incident.Alert `json:"alert,omitempty"`
	// Evidence is set on EvidenceAdded and names a body that lies apart.
	Evidence *Digest `json:"evidence,omitempty"`
	// Severity and Priority are set on PriorityChanged and Opened.
	Severity incident.Severity `json:"severity,omitempty"`
	Priority string            `json:"priority,omitempty"`
	// Because says why the priority is what it is; set on Opened, PriorityChanged and Rebased.
	Because string `json:"because,omitempty"`
	// Link is set on Linked, Merged, StormJoined and StormLeft: the other ticket and how it relates.
	Link *Link `json:"link,omitempty"`
	// Flap is set on FlappingBegan, Flipped and Settled: the changes that were counted until then. Alerts are those that
	// changed since the event about flapping before it, as they stood.
	Flap   *Flap            `json:"flap,omitempty"`
	Alerts []incident.Alert `json:"alerts,omitempty"`
	// Crowd is set on the first event of any kind after what the ticket counts and does not list changed.
	Crowd *Crowd `json:"crowd,omitempty"`

	// Clocks are the ticket's clocks as they stand from this event on, when it changed them.
	Clocks []sla.Clock `json:"clocks,omitempty"`
	// Grounds are where the clocks come from and what meets them, by name, when the event changed that.
	Grounds map[string]Ground `json:"grounds,omitempty"`
	// Contract names those of the ticket's facts that its contract gives, sorted; set on Opened and Rebased.
	Contract []string `json:"contract,omitempty"`
	// Detail is what the event says beyond its text.
	Detail *Detail `json:"detail,omitempty"`

	// Prev is the Hash of the event before, empty on the first.
	Prev string `json:"prev,omitempty"`
	// Hash is the lower-case hexadecimal SHA-256 of the event's JSON with Hash empty.
	Hash string `json:"hash,omitempty"`

	// sealed is the event's JSON, when this process sealed it.
	sealed []byte
}

// Opening is what a ticket is born with.
type Opening struct {
	ID     string `json:"id"`
	Number string `json:"number"`
	Kind   string `json:"kind"` // incident, storm, request, task, delivery, announcement
	// Type is one of the policy's types, or empty.
	Type     string `json:"type,omitempty"`
	Key      string `json:"key"`
	Customer string `json:"customer"`
	Site     string `json:"site,omitempty"`
	Asset    string `json:"asset,omitempty"`
	Service  string `json:"service,omitempty"`
	System   string `json:"system,omitempty"`
	Title    string `json:"title"`
	Owner    string `json:"owner"`
	// Detected tells that monitoring found it; otherwise Reporter did, over Channel. ReceivedAt is when its clocks start:
	// receipt, or detection.
	Detected   bool      `json:"detected,omitempty"`
	Reporter   string    `json:"reporter,omitempty"`
	Channel    string    `json:"channel,omitempty"`
	ReceivedAt time.Time `json:"received_at,omitzero"`
	// Policy names the set, and its version, that the ticket was opened under.
	Policy        string `json:"policy"`
	PolicyVersion string `json:"policy_version"`
	// ReopenFor and CloseAfter are that policy's windows, counted from resolution.
	ReopenFor  time.Duration `json:"reopen_for"`
	CloseAfter time.Duration `json:"close_after"`
	// Flapping is when its alerts are taken to flap; zero for never.
	Flapping incident.Flapping `json:"flapping,omitzero"`
	// Quiet: nobody is told of what the house does with it. People find it in their queue.
	Quiet bool `json:"quiet,omitempty"`
}

// Link relates a ticket to another.
type Link struct {
	// Relation is how the ticket stands to the other: the Relations that people link by, and "recurred as",
	// "taken over by", "took over", "part of", "merged into", "merged with", "follow-up of".
	Relation string `json:"relation"`
	Ticket   string `json:"ticket"` // ID
	Number   string `json:"number"`
}

// seal chains events onto prev, numbering them from seq+1. It changes events in place.
func seal(seq int, prev string, events []Event) error {
	for i := range events {
		e := &events[i]
		seq++
		e.Seq, e.Prev, e.Hash = seq, prev, ""
		b, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("seal event %d: %w", seq, err)
		}
		e.Hash = sum(b)
		prev, e.sealed = e.Hash, withHash(b, e.Hash)
	}
	return nil
}

// withHash is an event's JSON with its hash: the last field, which is left out where there is none.
func withHash(unsealed []byte, hash string) []byte {
	const before, after = `,"hash":"`, `"}`
	b := make([]byte, 0, len(unsealed)-1+len(before)+len(hash)+len(after))
	b = append(b, unsealed[:len(unsealed)-1]...)
	return append(append(append(b, before...), hash...), after...)
}

// Encoded is the event's JSON, to be kept. One that was sealed here is not encoded again, so it must not have been changed
// since, and neither may what is returned.
func (e Event) Encoded() ([]byte, error) {
	if e.sealed != nil {
		return e.sealed, nil
	}
	return json.Marshal(e)
}

func (e Event) digest() (string, error) {
	e.Hash = ""
	b, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	return sum(b), nil
}

// ErrChain marks a timeline that is not the one that was written.
var ErrChain = errors.New("timeline does not verify")

// VerifyChain tells whether timeline is whole, in order and unaltered, and ends with head (the hash and sequence that
// the ticket's projection holds). The error wraps ErrChain and names the first event that is wrong.
func VerifyChain(timeline []Event, headSeq int, head string) error {
	prev := ""
	for i, e := range timeline {
		h, err := e.digest()
		switch {
		case err != nil:
			return fmt.Errorf("event %d: %w", i+1, err)
		case e.Seq != i+1:
			return fmt.Errorf("%w: event %d stands where event %d should", ErrChain, e.Seq, i+1)
		case e.Prev != prev:
			return fmt.Errorf("%w: event %d does not follow the event before it", ErrChain, e.Seq)
		case e.Hash != h:
			return fmt.Errorf("%w: event %d (%s, %s) was altered after it was written", ErrChain, e.Seq, e.Kind,
				e.At.UTC().Format(time.RFC3339))
		}
		prev = e.Hash
	}
	if len(timeline) != headSeq || prev != head {
		return fmt.Errorf("%w: it has %d events but the ticket was last written with %d", ErrChain, len(timeline), headSeq)
	}
	return nil
}
