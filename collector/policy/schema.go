package policy

import (
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Set is one policy set as its file says it; rules/policies/README.md describes the keys. Do not change one that a Book gave.
type Set struct {
	Name        string `yaml:"name"`
	Version     string `yaml:"version"`
	Description string `yaml:"description"`
	// Document says which service document the set carries out.
	Document string `yaml:"document"`
	// Guide is a link that is shown where tickets are made.
	Guide string `yaml:"guide"`
	// Yields are sections (calendar, targets, routing, notices) that stand only where no other set of a contract gives them.
	Yields []string `yaml:"yields"`

	// Calendar is the section of that name.
	Calendar *Calendar `yaml:"calendar"`

	// Agreement says whom the targets bind: standard (every customer), contract (the contract has to bring them), or
	// best-effort (without a written agreement clocks inform and never breach). Empty is standard. With it begins the
	// section targets, which goes on to AtRisk.
	Agreement string `yaml:"agreement"`
	// Priorities are the names of priorities, worst first.
	Priorities []string `yaml:"priorities"`
	// Classify gives a ticket its priority: the first row that holds.
	Classify []Class          `yaml:"classify"`
	Clocks   map[string]Clock `yaml:"clocks"`
	Targets  []Target         `yaml:"targets"`
	Waits    map[string]Wait  `yaml:"waits"`
	// AtRisk is the share of a clock at which it is at risk, over 0 and below 1; 0 is never.
	AtRisk float64 `yaml:"at_risk"`

	Gates      map[string]Gate      `yaml:"gates"`
	Types      map[string]Type      `yaml:"types"`
	Checklists map[string]Checklist `yaml:"checklists"`

	// Owner is the party that owns a ticket where no row of Owners holds. With it begins the section routing, which goes
	// on to Escalations.
	Owner string `yaml:"owner"`
	// Reports is the party that what users report goes to first; empty: as what is detected.
	Reports     string           `yaml:"reports"`
	Parties     map[string]Party `yaml:"parties"`
	Owners      []OwnerRow       `yaml:"owners"`
	Escalations []Escalation     `yaml:"escalations"`

	// Notices say who is told of what. With them begins the section notices, which goes on to Drafts.
	Notices   []Notice          `yaml:"notices"`
	Templates map[string]string `yaml:"templates"`
	Ladder    []Rung            `yaml:"ladder"`
	Quiet     *Quiet            `yaml:"quiet_hours"`
	// Urgent are the priorities whose notices wait for nothing; without it the worst alone. Fallback says, role by role, who
	// is told where nobody has it.
	Urgent   []string          `yaml:"urgent"`
	Fallback map[string]string `yaml:"fallback"`
	// Drafts: messages to customers are drafts for the department that owns the customer.
	Drafts bool `yaml:"drafts"`

	// Rotas are who is on call, by name; a rota's name is one in all sets that are loaded.
	Rotas map[string]Rota `yaml:"rotas"`

	// Intakes are what comes in beside the desk (a mail box, a form) and has to be read, by name; a name is one in all sets
	// that are loaded.
	Intakes map[string]Intake `yaml:"intakes"`

	// ReopenWindow is how long after its resolution a returning alert reopens a ticket.
	ReopenWindow Duration `yaml:"reopen_window"`
	// CloseAfter is how long after its resolution a ticket closes by itself.
	CloseAfter Duration `yaml:"close_after"`
	// Investigation is how long work may last before it counts as a long investigation; 0 for never.
	Investigation Duration `yaml:"investigation"`
	// Rating: at close the reporter is asked for a rating from 0 to 10.
	Rating bool `yaml:"rating"`
	// Lifecycle is how the ends of support are planned.
	Lifecycle *Lifecycle `yaml:"lifecycle"`
	// Queue are the keys that tickets are ordered by, the most important first.
	Queue []string `yaml:"queue"`
	// Compliance is the operator's policy list that customer environments are held against.
	Compliance map[string]Compliance `yaml:"compliance"`

	// Choices are the places that are marked `choice: operator`: what the document does not state.
	Choices []Choice `yaml:"-"`
	// At is the file; Lines tells where each top-level key stands in it.
	At    string         `yaml:"-"`
	Lines map[string]int `yaml:"-"`
}

// Choice is a place of a set that is the operator's to choose, since the document states nothing of it.
type Choice struct {
	// At is file:line, What the path of keys from the top: calendar.hours.
	At   string `json:"at"`
	What string `json:"what"`
}

// Calendar is the hours that business targets count by.
type Calendar struct {
	Zone string `yaml:"zone"`
	// Version is the calendar's own; empty for the set's.
	Version  string           `yaml:"version"`
	Always   bool             `yaml:"always"`
	Hours    map[string]Words `yaml:"hours"`
	Region   string           `yaml:"region"`
	Add      []Day            `yaml:"add"`
	Remove   []Day            `yaml:"remove"`
	Overlays []Overlay        `yaml:"overlays"`
	// Cover says by its word what the contract's cover does: always (every hour counts) or targets (they alone ask for it).
	Cover map[string]string `yaml:"cover"`
	At    string            `yaml:"-"`
	// Lines tells where each key stands, as file:line.
	Lines map[string]string `yaml:"-"`
}

// Day is a holiday that is added or removed.
type Day struct {
	Date string `yaml:"date"`
	Name string `yaml:"name"`
	At   string `yaml:"-"`
}

// Overlay is hours beside the calendar's own.
type Overlay struct {
	Name     string           `yaml:"name"`
	From     string           `yaml:"from"`
	Until    string           `yaml:"until"`
	Hours    map[string]Words `yaml:"hours"`
	Holidays bool             `yaml:"holidays"`
	At       string           `yaml:"-"`
}

// Class is one row of the table of priorities.
type Class struct {
	When     When   `yaml:"when"`
	Priority string `yaml:"priority"`
	Because  string `yaml:"because"`
	At       string `yaml:"-"`
}

// Clock says what meets the clock of that name.
type Clock struct {
	MetBy     []string `yaml:"met_by"`
	NotNeeded bool     `yaml:"not_needed"`
	At        string   `yaml:"-"`
}

// Target gives a clock to tickets.
type Target struct {
	// Priority and Type are short for conditions on those facts.
	Priority Words  `yaml:"priority"`
	Type     Words  `yaml:"type"`
	When     When   `yaml:"when"`
	Clock    string `yaml:"clock"`
	// Within is DURATION,MODE as sla.ParseTarget reads it.
	Within string `yaml:"within"`
	// From is message for a clock that starts with the receipt of the on-call message.
	From string `yaml:"from"`
	// OutsideHours: only tickets that come outside of the calendar's hours get it.
	OutsideHours bool `yaml:"outside_hours"`
	// Beside: it is shown beside another clock and never breaches.
	Beside bool   `yaml:"beside"`
	At     string `yaml:"-"`
}

// Wait is a reason for waiting.
type Wait struct {
	Stops []string `yaml:"stops"`
	For   string   `yaml:"for"`
	At    string   `yaml:"-"`
}

// Gate is what must be there before something is done.
type Gate struct {
	Before     []string `yaml:"before"`
	When       When     `yaml:"when"`
	Needs      []Need   `yaml:"needs"`
	BreakGlass []string `yaml:"break_glass"`
	At         string   `yaml:"-"`
}

// Need is one thing that a gate asks for.
type Need struct {
	Kind  string   `yaml:"kind"`
	Roles []string `yaml:"roles"`
	All   bool     `yaml:"all"`
	Names []string `yaml:"names"`
	When  When     `yaml:"when"`
	At    string   `yaml:"-"`
}

// Type is a type of ticket.
type Type struct {
	Kind       string   `yaml:"kind"`
	Title      string   `yaml:"title"`
	Priority   string   `yaml:"priority"`
	Owner      string   `yaml:"owner"`
	Steps      []string `yaml:"steps"`
	Asks       []string `yaml:"asks"`
	Chargeable string   `yaml:"chargeable"`
	Every      Duration `yaml:"every"`
	Per        string   `yaml:"per"`
	// Maintenance marks a type of announcement by which maintenance is announced.
	Maintenance bool     `yaml:"maintenance"`
	Evidence    []string `yaml:"evidence"`
	When        When     `yaml:"when"`
	At          string   `yaml:"-"`
}

// Checklist is a versioned procedure or checklist.
type Checklist struct {
	Version    string   `yaml:"version"`
	EndorsedBy string   `yaml:"endorsed_by"`
	When       When     `yaml:"when"`
	Items      []string `yaml:"items"`
	Link       string   `yaml:"link"`
	At         string   `yaml:"-"`
}

// Party is who can own a ticket.
type Party struct {
	Role string `yaml:"role"`
	Rota string `yaml:"rota"`
	Same string `yaml:"same"`
	When When   `yaml:"when"`
	At   string `yaml:"-"`
}

// OwnerRow is one row of the ownership map.
type OwnerRow struct {
	Systems []string `yaml:"systems"`
	When    When     `yaml:"when"`
	Owner   string   `yaml:"owner"`
	At      string   `yaml:"-"`
}

// Escalation says to whom a ticket is handed on for a reason.
type Escalation struct {
	Reason string `yaml:"reason"`
	When   When   `yaml:"when"`
	To     string `yaml:"to"`
	At     string `yaml:"-"`
}

// Notice says who is told when something happens to a ticket.
type Notice struct {
	Name     string      `yaml:"name"`
	On       []string    `yaml:"on"`
	When     When        `yaml:"when"`
	To       []Recipient `yaml:"to"`
	Template string      `yaml:"template"`
	Letter   string      `yaml:"letter"`
	At       string      `yaml:"-"`
}

// Recipient is somebody to tell: exactly one field is set.
type Recipient struct {
	Role     string `yaml:"role"`
	Party    string `yaml:"party"`
	Rota     string `yaml:"rota"`
	Person   string `yaml:"person"`
	Receiver string `yaml:"receiver"`
	At       string `yaml:"-"`
}

// Rung is a step of the ladder.
type Rung struct {
	Name   string      `yaml:"name"`
	Clock  string      `yaml:"clock"`
	Share  float64     `yaml:"share"`
	When   When        `yaml:"when"`
	To     []Recipient `yaml:"to"`
	AckFor Duration    `yaml:"ack_for"`
	Letter string      `yaml:"letter"`
	At     string      `yaml:"-"`
}

// Quiet are hours in which notices of some priorities wait.
type Quiet struct {
	Zone       string   `yaml:"zone"`
	From       string   `yaml:"from"`
	To         string   `yaml:"to"`
	Priorities []string `yaml:"priorities"`
	At         string   `yaml:"-"`
}

// Rota is who is on call in turns.
type Rota struct {
	Zone   string    `yaml:"zone"`
	People []string  `yaml:"people"`
	Role   string    `yaml:"role"`
	Start  time.Time `yaml:"start"`
	Every  Duration  `yaml:"every"`
	Hours  string    `yaml:"hours"`
	At     string    `yaml:"-"`
}

// Intake is something that comes in beside the desk and has to be read.
type Intake struct {
	// Within is how long it may lie without anybody confirming that it was read: DURATION,MODE as sla.ParseTarget reads it.
	Within string `yaml:"within"`
	// Type is the type of ticket that opens then.
	Type string `yaml:"type"`
	At   string `yaml:"-"`
}

// Lifecycle is how the ends of support of devices and applications are planned.
type Lifecycle struct {
	// Budget is the month and day by which the budget is made, and with which its year begins: 10-01.
	Budget string `yaml:"budget" json:"budget"`
	// Ahead is how long before an end of support the responsible manager is told.
	Ahead Duration `yaml:"ahead" json:"ahead"`
	// Type is the type of ticket by which they are told.
	Type string `yaml:"type" json:"type,omitempty"`
	At   string `yaml:"-" json:"-"`
}

// Compliance is one entry of the operator's policy list.
type Compliance struct {
	// Title says what is asked of an environment; When which environments it concerns.
	Title string `yaml:"title"`
	When  When   `yaml:"when"`
	// Systems are the words of rules whose open tickets are deviations.
	Systems []string `yaml:"systems"`
	At      string   `yaml:"-"`
}

// When is a condition: every fact that it names has one of the words; see ticket.When.
type When map[string]Words

// Words are one word or several; in YAML a single one needs no list.
type Words []string

// compiled is the condition as tickets read it; nil for none.
func (w When) compiled() ticket.When {
	if len(w) == 0 {
		return nil
	}
	out := ticket.When{}
	for fact, words := range w {
		out[fact] = words
	}
	return out
}
