package ticket

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/collector/sla"
)

// Terms is what the policy in force says about a customer's tickets: composed of the sets of its contract and resolved
// for it. It is plain data, kept in the store under its digest for as long as a ticket was opened under it, so that a
// ticket is treated to its end by what it was opened under.
type Terms struct {
	// Policy names the composed sets ("customer-operations+it-provider"), Version theirs in the same order ("3+1").
	Policy  string `json:"policy"`
	Version string `json:"version"`
	// Digest names this document in the store; it is not part of it.
	Digest string `json:"-"`
	// Contract is the customer's contract that the terms come from, empty for none; Facts is what it says: cover, oncall,
	// agreement, phase, model, supports-hosting …
	Contract string `json:"contract,omitempty"`
	Facts    Facts  `json:"facts,omitempty"`
	// Calendar is what business targets count by; its Name is empty when the policy has none.
	Calendar sla.Spec `json:"calendar,omitzero"`
	// Priorities are the names of priorities, worst first.
	Priorities []string `json:"priorities"`
	// Classes give a ticket its priority: the first that matches its facts.
	Classes []Class `json:"classes"`
	// Targets give a ticket its clocks: of each clock's name the first that matches its facts.
	Targets []TargetRule `json:"targets,omitempty"`
	// Clocks says of each clock's name what meets it.
	Clocks map[string]ClockRule `json:"clocks,omitempty"`
	// AtRisk is the share of a clock at which it is at risk; 0 for never.
	AtRisk float64 `json:"at_risk,omitempty"`
	// Waits are the reasons for which a ticket may wait, by name.
	Waits map[string]WaitRule `json:"waits,omitempty"`
	// EntitledFrom is when the customer's entitlement starts: a ticket received before has no targets. Zero: always.
	EntitledFrom time.Time `json:"entitled_from,omitzero"`
	// BestEffort: nothing was agreed in writing, so every clock informs and none breaches.
	BestEffort bool `json:"best_effort,omitempty"`
	// Gates are what must be there before something is done.
	Gates []Gate `json:"gates,omitempty"`
	// Types are the types of request, task, delivery and announcement that may be opened, and of incidents that have
	// targets of their own.
	Types []Type `json:"types,omitempty"`
	// Checklists are tied to types and rules and ticked on the ticket.
	Checklists []Checklist `json:"checklists,omitempty"`
	// ReopenFor is how long after its resolution a returning alert reopens a ticket, CloseAfter how long after it the ticket
	// closes by itself.
	ReopenFor  time.Duration `json:"reopen_for"`
	CloseAfter time.Duration `json:"close_after"`
	// Investigation is how long work may last before it counts as long; 0 for never.
	Investigation time.Duration `json:"investigation,omitempty"`
	// Rating: at close the reporter is asked for a rating from 0 to 10.
	Rating bool `json:"rating,omitempty"`
	// Queue are the keys by which tickets are ordered, most important first: hosted, priority, remaining.
	Queue []string `json:"queue,omitempty"`
	// Guide is a link that is shown where tickets are made.
	Guide string `json:"guide,omitempty"`
	// Flapping is when alerts that come and go are told as one state.
	Flapping incident.Flapping `json:"flapping,omitzero"`

	// calendar is Calendar made ready, when Ready has made it.
	calendar *sla.Calendar
}

// Facts are what is known of a ticket or a contract, by name: severity, impact, urgency, channel, type, system,
// lines-busy, workaround, cover … Conditions compare them with words.
type Facts map[string]string

// When is a condition: every fact that it names has one of the words. "*" stands for any word but the empty one, "!word"
// for any other than that; "true" is the same word as "yes", "false" as "no". The empty condition always holds.
type When map[string][]string

// Holds tells whether the facts are as w says.
func (w When) Holds(f Facts) bool {
	for name, words := range w {
		if !anyOf(words, f[name]) {
			return false
		}
	}
	return true
}

// anyOf tells whether a word is meant by one of those that are not negated, and by none of those that are.
func anyOf(words []string, got string) bool {
	positive, met := false, false
	got = plain(got)
	for _, w := range words {
		switch {
		case len(w) > 0 && w[0] == '!':
			if got == plain(w[1:]) {
				return false
			}
		default:
			positive = true
			met = met || plain(w) == got || w == "*" && got != ""
		}
	}
	return met || !positive
}

// plain is the one spelling of the words that are written in two ways.
func plain(word string) string {
	switch word {
	case "true":
		return yes
	case "false":
		return no
	}
	return word
}

// The plain words of facts that are so or are not.
const yes, no = "yes", "no"

// Class gives a priority to tickets.
type Class struct {
	When     When   `json:"when,omitempty"`
	Priority string `json:"priority"`
	// Because says it to a person: "no access: the whole business".
	Because string `json:"because,omitempty"`
}

// TargetRule gives a clock to tickets.
type TargetRule struct {
	When   When       `json:"when,omitempty"`
	Target sla.Target `json:"target"`
	// Source says where it comes from: "erp-partner 1" or "contract acme-2026".
	Source string `json:"source"`
	// From is when the clock starts: empty for the detection of detected faults and the receipt of reported ones; "message"
	// for the receipt of the on-call message.
	From string `json:"from,omitempty"`
	// OutsideHours: only tickets whose clock would start outside of the calendar's hours get it.
	OutsideHours bool `json:"outside_hours,omitempty"`
	// Beside is a clock that is shown beside this one and never breaches: the breach of an NBD target.
	Beside bool `json:"beside,omitempty"`
}

// ClockRule says what meets a clock.
type ClockRule struct {
	// MetBy are the verbs of persons that meet it: ack, callback, restore, resolve …
	MetBy []Verb `json:"met_by"`
	// OutsideHours: the clock is given only to tickets that come outside of the calendar's hours.
	OutsideHours bool `json:"outside_hours,omitempty"`
	// NotNeeded: it ends as not needed when the fault recovers before it is met.
	NotNeeded bool `json:"not_needed,omitempty"`
}

// WaitRule says what waiting for a reason stops.
type WaitRule struct {
	// Stops are the clocks' names; none by default.
	Stops []string `json:"stops,omitempty"`
	// For says for whom or what is waited, for people.
	For string `json:"for,omitempty"`
}

// Gate is what must be there before a person may do something.
type Gate struct {
	Name string `json:"name"`
	// Before are the verbs that it stands before; "escalate" stands for every handoff to another party and every rung of an
	// escalation that a person takes.
	Before []Verb `json:"before"`
	When   When   `json:"when,omitempty"`
	// Needs are all to be met.
	Needs []Need `json:"needs"`
	// BreakGlass are the roles that may go through it all the same, saying why; none as shipped.
	BreakGlass []string `json:"break_glass,omitempty"`
	// Source is the set that demands it.
	Source string `json:"source"`
}

// Need is one thing that a gate asks for. Kind is a word that this package knows; see Needs.
type Need struct {
	Kind string `json:"kind"`
	// Roles are those one of whom, or with All each of whom, must have given it.
	Roles []string `json:"roles,omitempty"`
	All   bool     `json:"all,omitempty"`
	// Names are of what is asked for: types of follow-up tickets, prerequisites, documents.
	Names []string `json:"names,omitempty"`
	When  When     `json:"when,omitempty"`
}

// Type is a type of ticket that people, rules or gates open.
type Type struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Title string `json:"title,omitempty"`
	// Priority overrides the classes; empty: they decide.
	Priority string `json:"priority,omitempty"`
	// Owner is the party or role that owns it; empty: the ownership map decides.
	Owner string `json:"owner,omitempty"`
	// Steps are to be ticked in order to resolve it.
	Steps []string `json:"steps,omitempty"`
	// Asks are facts that must be said when it is opened: company-supplied, exceptions …
	Asks []string `json:"asks,omitempty"`
	// Chargeable is never, always, ask (a person marks it before work starts), or empty for never.
	Chargeable string `json:"chargeable,omitempty"`
	// Every is how often it recurs, with Evidence that a person must attach.
	Every time.Duration `json:"every,omitempty"`
	// Per is PerAsset where one opens for each asset of the customer; empty: one for the customer.
	Per string `json:"per,omitempty"`
	// Maintenance: announcements of it are of work during which nothing counts as down, from fact change-at to change-until.
	Maintenance bool     `json:"maintenance,omitempty"`
	Evidence    []string `json:"evidence,omitempty"`
	When        When     `json:"when,omitempty"`
	Source      string   `json:"source,omitempty"`
}

// PerAsset is a recurring type's Per.
const PerAsset = "asset"

// Checklist is a versioned procedure or checklist.
type Checklist struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// EndorsedBy is the role, and person, that endorsed this version.
	EndorsedBy string   `json:"endorsed_by,omitempty"`
	When       When     `json:"when,omitempty"`
	Items      []string `json:"items"`
	Link       string   `json:"link,omitempty"`
}

// Ready is t with its calendar made ready. The error names what is wrong with it.
func (t Terms) Ready() (Terms, error) {
	if t.Calendar.Name == "" {
		return t, nil
	}
	c, err := sla.NewCalendar(t.Calendar)
	if err != nil {
		return t, fmt.Errorf("calendar of %s: %w", t.Policy, err)
	}
	t.calendar = c
	return t, nil
}

// Hours is the calendar, nil when there is none or Ready was not called.
func (t Terms) Hours() *sla.Calendar { return t.calendar }

// Priority is what the first class that holds gives, with why. Without a class that holds it is the last priority.
func (t Terms) Priority(f Facts) (priority, because string) {
	for _, c := range t.Classes {
		if c.When.Holds(f) {
			return c.Priority, c.Because
		}
	}
	if len(t.Priorities) == 0 {
		return "", "the policy has no priorities"
	}
	return t.Priorities[len(t.Priorities)-1], "nothing else applies"
}

// Rank is a priority's place, 0 for the worst; one that the terms do not have comes last.
func (t Terms) Rank(priority string) int {
	if i := slices.Index(t.Priorities, priority); i >= 0 {
		return i
	}
	return len(t.Priorities)
}

// Type finds a type by name.
func (t Terms) Type(name string) (Type, bool) {
	i := slices.IndexFunc(t.Types, func(ty Type) bool { return ty.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return t.Types[i], true
}
