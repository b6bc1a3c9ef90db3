package ticket

import (
	"fmt"
	"strings"
	"time"
)

// By is who acts: what the timeline keeps of them, and what they may be.
type By struct {
	Actor
	// Person is the ID of the declared person, empty where there is none: who acts by two tokens is one person by it.
	Person string
	// Parties are the parties that the person stands for, by roles, contacts and rotas; where none is said the roles count
	// that are called as the party is.
	Parties []string
	// Roles are what the person is: engineer, general-manager, it-ops-manager …
	Roles []string
	// Department and Customer are set on people of a department or a customer.
	Department, Customer string
	// Replies tells that the person speaks for the customer whose ticket it is: what they note is an answer, which everybody
	// reads who sees the ticket.
	Replies bool
}

// whole is b with the person on the actor, which is what the timeline keeps.
func (b By) whole() By {
	b.Person = or(b.Person, b.Actor.Person)
	b.Actor.Person = b.Person
	return b
}

// Action is one thing a person does. Which fields a verb wants, and what they mean to it, stands with the verb.
type Action struct {
	Verb Verb
	// Text is required where the verb's table says so.
	Text string
	// As is the role in which the person acts, one of theirs: approve, quote, waive.
	As string
	// At is when it was, where that is not now: the start of a session, the date of an approval, the receipt of a message.
	At time.Time
	// Until is an end: of a waiver, a session, an agreed date.
	Until time.Time
	// To is a party (handoff), a person (assign), a receiver's contact (draft), who consented (session), who said it (rate),
	// follow-ups separated by commas (reject-delivery).
	To string
	// What is the thing: a clock (waive, meet), what is approved, a reason for waiting, a checklist's item, a part of the record.
	What string
	// Facts are facts to set.
	Facts Facts
	// Quote is set with quote and estimate.
	Quote *Quote
	// Score is a rating, 0 to 10.
	Score int
	// Template names what the text of a draft was made from.
	Template string
	// Other is the other ticket of link and merge, Relation how it relates.
	Other    *Ticket
	Relation string
	// Evidence is what is attached: entries of the record, a review's proof.
	Evidence []Evidence
	// BreakGlass says why a gate is gone through that stands in the way; who may is the operator's choice.
	BreakGlass string
}

// GateError is the refusal of a gate: what is missing, for machines and people. It wraps ErrRefused.
type GateError struct {
	Gate    string   `json:"gate"`
	Missing []string `json:"missing"`
	// Source is the policy set that demands it.
	Source string `json:"source,omitempty"`
	// Number is the ticket's.
	Number string `json:"ticket,omitempty"`
	// Also are the further gates that refused the same attempt.
	Also []GateError `json:"also,omitempty"`
}

// Error says it to a person.
func (e *GateError) Error() string {
	return fmt.Sprintf("%v: %s: %s", ErrRefused, e.Number, e.words())
}

// words say which gates miss what.
func (e *GateError) words() string {
	text := fmt.Sprintf("gate %s is missing: %s", e.Gate, strings.Join(e.Missing, "; "))
	for i := range e.Also {
		text += "; " + e.Also[i].words()
	}
	return text
}

// Unwrap is ErrRefused.
func (e *GateError) Unwrap() error { return ErrRefused }

// Detail is what an event says beyond its text; each kind of event sets its own.
type Detail struct {
	// Facts are those that changed, with their new words; an empty word removes one.
	Facts Facts `json:"facts,omitempty"`
	// Before are the words before of facts that were corrected.
	Before Facts `json:"before,omitempty"`
	// What is the thing: the clock, the reason for waiting, the item, the part.
	What     string     `json:"what,omitempty"`
	At       time.Time  `json:"at,omitzero"`
	Until    time.Time  `json:"until,omitzero"`
	Assignee string     `json:"assignee,omitempty"`
	Handoff  *Handoff   `json:"handoff,omitempty"`
	Approval *Approval  `json:"approval,omitempty"`
	Quote    *Quote     `json:"quote,omitempty"`
	Session  *Session   `json:"session,omitempty"`
	Waiver   *Waiver    `json:"waiver,omitempty"`
	Draft    *Draft     `json:"draft,omitempty"`
	Child    *Child     `json:"child,omitempty"`
	Told     *Told      `json:"told,omitempty"`
	Refusal  *GateError `json:"refusal,omitempty"`
	Rating   *Rating    `json:"rating,omitempty"`
	Wait     *Wait      `json:"wait,omitempty"`
	Promise  *Promise   `json:"promise,omitempty"`
	// Terms is the digest of the terms that are in force from this event on, with their name and version.
	Terms   string `json:"terms,omitempty"`
	Policy  string `json:"policy,omitempty"`
	Version string `json:"version,omitempty"`
}

// Handoff is a ticket offered to another party. Until it is accepted the owner stays who it was.
type Handoff struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	By     string `json:"by"`
	// Person is the declared person who offered it.
	Person string    `json:"person,omitempty"`
	At     time.Time `json:"at"`
	// Internal: both are one party by the operating model.
	Internal bool `json:"internal,omitempty"`
}

// Wait is what an open ticket waits for.
type Wait struct {
	Reason string    `json:"reason"`
	Text   string    `json:"text,omitempty"`
	Since  time.Time `json:"since"`
	// From is the state that it was in before, to which it goes back; empty on waits that were kept before that was.
	From State `json:"from,omitempty"`
}

// Approval is a dated consent.
type Approval struct {
	// What is approved: equipment-change, outside-scope, operating-model, owner-of-system, security-exception …
	What string `json:"what"`
	Role string `json:"role"`
	By   string `json:"by"`
	// Person is the declared person who gave it.
	Person string `json:"person,omitempty"`
	// Dated is the day or time the consent was given, At when it was recorded.
	Dated time.Time `json:"dated"`
	At    time.Time `json:"at"`
	Text  string    `json:"text,omitempty"`
}

// Quote is a price with what belongs to it; an estimate needs the price alone.
type Quote struct {
	Price      string    `json:"price"`
	Exceptions string    `json:"exceptions,omitempty"`
	Terms      string    `json:"terms,omitempty"`
	ETA        string    `json:"eta,omitempty"`
	By         string    `json:"by,omitempty"`
	At         time.Time `json:"at,omitzero"`
}

// Session is a remote session: an action taken.
type Session struct {
	Tool    string    `json:"tool"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end,omitzero"`
	Consent string    `json:"consent"`
}

// Promise is a date agreed with the client.
type Promise struct {
	Until  time.Time `json:"until"`
	With   string    `json:"with"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// Waiver is a named manager's consent to miss a target.
type Waiver struct {
	Clock  string    `json:"clock"`
	By     string    `json:"by"`
	Role   string    `json:"role"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"`
	// Retrospective: it came after the breach, which stays.
	Retrospective bool `json:"retrospective,omitempty"`
}

// Draft is an external message that the owning department sends, or does not.
type Draft struct {
	// ID counts a ticket's drafts from 1.
	ID       int       `json:"id"`
	To       string    `json:"to"`
	Template string    `json:"template,omitempty"`
	Text     string    `json:"text"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	SentBy   string    `json:"sent_by,omitempty"`
	SentAt   time.Time `json:"sent_at,omitzero"`
	// How says by which way it was sent, or that whoever sent it is to deliver it by hand.
	How string `json:"how,omitempty"`
}

// Child is a ticket that was opened because of this one.
type Child struct {
	ID       string `json:"id"`
	Number   string `json:"number"`
	Kind     string `json:"kind"`
	Type     string `json:"type,omitempty"`
	State    State  `json:"state"`
	Relation string `json:"relation"`
}

// Told is a rung of a ladder, or another notice that has to be told once, that was told.
type Told struct {
	Step string    `json:"step"`
	At   time.Time `json:"at"`
	To   []string  `json:"to"`
	// AckUntil is how long an acknowledgement of it holds; zero when it wants none.
	AckUntil time.Time `json:"ack_until,omitzero"`
	AckedBy  string    `json:"acked_by,omitempty"`
	// Times is how often it was told before without an acknowledgement.
	Times int `json:"times,omitempty"`
}

// Rating is the reporter's answer to how likely they are to recommend the service.
type Rating struct {
	Score int    `json:"score"`
	By    string `json:"by"`
	// How it came: link, of whoever had the link that is good for one answer; customer, of a person of the customer who may be
	// declared as Person; or desk, where By told the desk and RecordedBy wrote it down. Empty on answers that were kept before
	// that was.
	How        string    `json:"how,omitempty"`
	Person     string    `json:"person,omitempty"`
	RecordedBy string    `json:"recorded_by,omitempty"`
	At         time.Time `json:"at"`
	Text       string    `json:"text,omitempty"`
}

// Signature is a person's name under something.
type Signature struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// Work is the fold of everything that policy adds to a ticket.
type Work struct {
	// Facts are severity, impact, urgency, channel, type, lines-busy, workaround and what else was said of the ticket.
	Facts Facts `json:"facts,omitempty"`
	// Because is why the priority is what it is.
	Because string `json:"because,omitempty"`
	// Terms is the digest of the terms in force.
	Terms    string     `json:"terms,omitempty"`
	Assignee string     `json:"assignee,omitempty"`
	Handoff  *Handoff   `json:"handoff,omitempty"`
	Returned int        `json:"returned,omitempty"` // handoffs that came back
	Wait     *Wait      `json:"wait,omitempty"`
	Verified *Signature `json:"verified,omitempty"`
	// StartedAt is when work began, for the length of an investigation.
	StartedAt time.Time `json:"started_at,omitzero"`
	// BegunAt is when a person first did anything for it: started, acted, called back, gave service back, resolved.
	BegunAt   time.Time  `json:"begun_at,omitzero"`
	Approvals []Approval `json:"approvals,omitempty"`
	// Chargeable is yes, no, or empty when nobody marked it and the type leaves it to a person.
	Chargeable string    `json:"chargeable,omitempty"`
	Estimate   *Quote    `json:"estimate,omitempty"`
	Quote      *Quote    `json:"quote,omitempty"`
	Order      string    `json:"order,omitempty"`
	Promises   []Promise `json:"promises,omitempty"`
	Waivers    []Waiver  `json:"waivers,omitempty"`
	Drafts     []Draft   `json:"drafts,omitempty"`
	Parent     *Link     `json:"parent,omitempty"`
	Merged     *Link     `json:"merged,omitempty"`
	Children   []Child   `json:"children,omitempty"`
	// Ticks are the items of checklists and steps that were ticked, the prerequisites confirmed, the documents named.
	Ticks map[string]Signature `json:"ticks,omitempty"`
	// Parts are the parts of the record that have entries or a reason why they have none.
	Parts map[Part]string `json:"parts,omitempty"`
	Told  []Told          `json:"told,omitempty"`
	Major bool            `json:"major,omitempty"`
	// Unsupported says why the ticket is outside of support.
	Unsupported string  `json:"unsupported,omitempty"`
	Rating      *Rating `json:"rating,omitempty"`
	// RatingDigest is the SHA-256 of the token of a link by which the reporter may answer once; empty when there is none.
	RatingDigest string `json:"rating_digest,omitempty"`
	// Refusals counts what gates refused.
	Refusals int `json:"refusals,omitempty"`
}
