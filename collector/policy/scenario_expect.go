package policy

import (
	"fmt"
	"strings"
)

// Expectation is what is looked at after a step. What it does not name is not looked at. In every text * stands for
// anything.
type Expectation struct {
	// Refused is the refusal of the step's action; without it the action has to be taken.
	Refused *RefusalWant `yaml:"refused"`
	// Ticket is which one is looked at: that of the step, or of the last step that had one.
	Ticket   string `yaml:"ticket"`
	State    string `yaml:"state"`
	Kind     string `yaml:"kind"`
	Type     string `yaml:"type"`
	Priority string `yaml:"priority"`
	Because  string `yaml:"because"`
	Owner    string `yaml:"owner"`
	// Facts are facts of the ticket; an empty word for one that is not known.
	Facts map[string]string `yaml:"facts"`
	// Clocks are clocks by name; Only tells that the ticket has no others.
	Clocks map[string]ClockWant `yaml:"clocks"`
	Only   bool                 `yaml:"only"`
	// Says are texts of the ticket's timeline, KIND: TEXT, in their order; Silent are those that must not be there.
	Says   []string `yaml:"says"`
	Silent []string `yaml:"silent"`
	// Is are fields of the ticket's JSON, by path: promises.0.with. A path that ends in # counts.
	Is map[string]string `yaml:"is"`
	// Tickets are the names of all tickets that are open, in the order of the queue when Queue is given instead.
	Tickets []string `yaml:"tickets"`
	Queue   []string `yaml:"queue"`
	// Told are who was told since the last step that asked; NotTold must not have been. AllTold: nobody else was.
	Told    []ToldWant `yaml:"told"`
	NotTold []ToldWant `yaml:"not_told"`
	AllTold bool       `yaml:"all_told"`
	// OnCall is who is on call, by rota.
	OnCall map[string]string `yaml:"on_call"`
	// Terms are fields of the resolved terms' JSON, by path; From is which set or contract gave a field.
	Terms map[string]string `yaml:"terms"`
	From  map[string]string `yaml:"from"`
	// Findings are texts that a check of sets and directory finds, NoFindings those it must not; Clean: no fault at all.
	Findings   []string `yaml:"findings"`
	NoFindings []string `yaml:"no_findings"`
	Clean      bool     `yaml:"clean"`
	// Moved are the open tickets that the sets in force now would give other clocks.
	Moved []string `yaml:"moved"`
	// Message is an external message as it would read now.
	Message *MessageWant `yaml:"message"`
	// Internal are, by customer, the parties that are one: "a b" for each two, and no others are.
	Internal map[string][]string `yaml:"internal"`
	// Instructions are the stored instructions by customer.
	Instructions map[string]string `yaml:"instructions"`
	// Report are the reports over all tickets.
	Report *ReportWant `yaml:"report"`
	// Export are texts of the directory as it is exported, one of each in a line.
	Export []string `yaml:"export"`
}

// RefusalWant is what an attempt is answered with.
type RefusalWant struct {
	// Gate and Missing are a gate's refusal: each of Missing is part of one thing that is missing.
	Gate    string   `yaml:"gate"`
	Missing []string `yaml:"missing"`
	// Exactly: nothing else is missing.
	Exactly bool `yaml:"exactly"`
	// Text is part of what a person reads.
	Text string `yaml:"text"`
}

// ToldWant is a notice that somebody got.
type ToldWant struct {
	Ticket string `yaml:"ticket"`
	What   string `yaml:"what"`
	// To is a person's ID or name, a receiver, or an address.
	To string `yaml:"to"`
	// Draft tells that it waits for a department to send it, or not.
	Draft *bool  `yaml:"draft"`
	Text  string `yaml:"text"`
	// Not before: quiet hours put it off until then.
	NotBefore string `yaml:"not_before"`
}

// MessageWant is an external message.
type MessageWant struct {
	Template string   `yaml:"template"`
	Contains []string `yaml:"contains"`
	Without  []string `yaml:"without"`
}

// ClockWant is how a clock stands. Times are written as a step's.
type ClockWant struct {
	// None: there is no such clock.
	None     bool   `yaml:"none"`
	Start    string `yaml:"start"`
	Due      string `yaml:"due"`
	State    string `yaml:"state"`
	Mode     string `yaml:"mode"`
	Within   string `yaml:"within"`
	Ended    string `yaml:"ended"`
	RiskAt   string `yaml:"risk_at"`
	Breach   string `yaml:"breached_at"`
	Left     string `yaml:"left"`
	Breaches *bool  `yaml:"breaches"`
	Forecast string `yaml:"forecast"`
	// Intervals explain it from its start to its due time.
	Intervals []IntervalWant `yaml:"intervals"`
}

// IntervalWant is a stretch of a clock's run.
type IntervalWant struct {
	From    string `yaml:"from"`
	To      string `yaml:"to"`
	Counted bool   `yaml:"counted"`
	Reason  string `yaml:"reason"`
}

// ReportWant is what reports over all tickets of the scenario say, every line of them. * stands for anything.
type ReportWant struct {
	// From and Until are the first and the last instant of the span, written as a step's; empty is open.
	From  string `yaml:"from"`
	Until string `yaml:"until"`
	// SLA and Breaches are the lines of the report of targets, FirstToKnow and NPS those of theirs.
	SLA         []string `yaml:"sla"`
	Breaches    []string `yaml:"breaches"`
	FirstToKnow []string `yaml:"first_to_know"`
	NPS         []string `yaml:"nps"`
	// Availability is by environment and month; the span has both ends then. Lifecycle looks as far as Until, or as the budget
	// year of the customer's sets; Compliance is as things stand.
	Availability []string `yaml:"availability"`
	Lifecycle    []string `yaml:"lifecycle"`
	Compliance   []string `yaml:"compliance"`
	// Due is a budget date that is asked for instead of the sets' own.
	Due string `yaml:"due"`
	// Watched is since when assets are watched, Silent are those that do not report now.
	Watched map[string]string `yaml:"watched"`
	Silent  []string          `yaml:"silent"`
	// Checked are, by system, the assets of which the loaded rules of that system had data.
	Checked map[string]Words `yaml:"checked"`
}

// Checks is Checked as the report of compliance asks it.
func (w *ReportWant) Checks() Checking {
	out := Checking{}
	for system, assets := range w.Checked {
		out[system] = map[string][]string{}
		for _, name := range assets {
			out[system][name] = []string{"rule of " + system}
		}
	}
	return out
}

// AboutTicket tells whether something of a ticket is looked at.
func (x *Expectation) AboutTicket() bool {
	return x.State+x.Kind+x.Type+x.Priority+x.Because+x.Owner != "" || x.Facts != nil || x.Clocks != nil || x.Only ||
		x.Says != nil || x.Silent != nil || x.Is != nil || x.Message != nil
}

func (r RefusalWant) String() string {
	if r.Gate != "" {
		return " of gate " + r.Gate
	}
	return ""
}

// String says what is wanted.
func (t ToldWant) String() string {
	s := "telling"
	for _, part := range []struct{ word, text string }{{"of", t.Ticket}, {"what", t.What}, {"to", t.To}, {"text", t.Text}, {"not before", t.NotBefore}} {
		if part.text != "" {
			s += " " + part.word + " " + part.text
		}
	}
	if t.Draft != nil {
		s += fmt.Sprintf(" draft %v", *t.Draft)
	}
	return s
}

// Like tells whether got is as want has it, where * stands for anything.
func Like(want, got string) bool {
	parts := strings.Split(want, "*")
	if len(parts) == 1 {
		return want == got
	}
	if !strings.HasPrefix(got, parts[0]) {
		return false
	}
	got = got[len(parts[0]):]
	last := len(parts) - 1
	for _, p := range parts[1:last] {
		_, after, found := strings.Cut(got, p)
		if !found {
			return false
		}
		got = after
	}
	return strings.HasSuffix(got, parts[last])
}
