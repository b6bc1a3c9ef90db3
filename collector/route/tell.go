package route

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/ticket"
)

// Telling is what one addressee should hear of one thing: a person, a receiver by name, or every receiver.
type Telling struct {
	// What happened: the kind of event, or Digested.
	What ticket.Kind `json:"what"`
	// Text says it, for people.
	Text string    `json:"text"`
	Item Item      `json:"item"`
	At   time.Time `json:"at"`
	// Person is who is told, zero for a receiver by name and for All; Also are others whom the same receivers reach.
	Person Person   `json:"person,omitzero"`
	Also   []Person `json:"also,omitempty"`
	// Receivers are through which it goes; All is through every receiver of the configuration.
	Receivers []string `json:"receivers,omitempty"`
	All       bool     `json:"all,omitempty"`
	// Clock is the clock that it is about, of facts of clocks and of rungs.
	Clock string `json:"clock,omitempty"`
	// Why says by which rule, and in whose stead, they are told.
	Why string `json:"why"`
	// Urgent tellings wait for nothing.
	Urgent bool `json:"urgent,omitempty"`
	// NotBefore is when quiet hours let it go; zero: at once.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Until is when its wait for a digest ends, zero while it waits for none: Digest sets it, once.
	Until time.Time `json:"until,omitzero"`
	// External: it goes outside of the house, and Text is the rendered template.
	External bool `json:"external,omitempty"`
	// Draft is the external message that waits on the ticket for the owning department to send; there are no receivers then.
	// Those who can send it are told of it by tellings of their own, so recording it is to be told to nobody again. Its ID is
	// the ticket's to give.
	Draft *ticket.Draft `json:"draft,omitempty"`
	// Of are those that a digest stands for.
	Of []Telling `json:"of,omitempty"`
}

// Item is as much of a ticket as a digest names.
type Item struct {
	Ticket   string `json:"ticket"`
	Number   string `json:"number"`
	Priority string `json:"priority"`
	// Rank is the priority's place in its policy, 0 for the worst.
	Rank     int       `json:"rank"`
	Customer string    `json:"customer,omitempty"`
	Asset    string    `json:"asset,omitempty"`
	Title    string    `json:"title"`
	OpenedAt time.Time `json:"opened_at"`
}

// To names the addressee for machines, the same for every telling of theirs: person:anna, receiver:ops, all, draft:…
func (t Telling) To() string {
	switch {
	case t.Draft != nil:
		return "draft:" + t.Draft.To
	case t.All:
		return "all"
	case t.Person.key() != "":
		return "person:" + t.Person.key()
	}
	return "receiver:" + strings.Join(t.Receivers, ",")
}

// key tells people apart; a person without an ID is known by address, or else by name.
func (p Person) key() string {
	switch {
	case p.ID != "":
		return p.ID
	case p.Email != "":
		return p.Email
	}
	return p.Name
}

// Names are all whom tellings reach, for people: IDs, receivers, "every receiver". Each is named once.
func Names(told []Telling) []string {
	var out []string
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, t := range told {
		switch {
		case t.Draft != nil:
			continue
		case t.All:
			add("every receiver")
		case t.Person.key() == "":
			for _, r := range t.Receivers {
				add(r)
			}
		}
		add(t.Person.key())
		for _, p := range t.Also {
			add(p.key())
		}
	}
	return out
}

// Audience is all that is needed to say who is told: the terms of a ticket, and whom they mean just now.
type Audience struct {
	// Policy gives the rank of priorities and the calendar; it is Ready.
	Policy    ticket.Terms
	Terms     Terms
	Directory Directory
	Rotas     Rotas
	// Message renders an external template for a ticket and what is told of it.
	Message func(template string, t ticket.Ticket, n ticket.Notice) (string, error)

	quiet *quiet
}

// Ready is a with its quiet hours read, which every telling needs. The error names what is wrong with them; then nothing
// waits for them.
func (a Audience) Ready() (Audience, error) {
	q, err := a.Terms.Quiet.ready()
	a.quiet = q
	return a, err
}

// Tell is who is told of one notice of a change: by every rule of the terms that is for it and holds. Internal notices go
// to people's receivers, to receivers by name, or to all; nobody of a client is told by them, but gets the rule's letter as
// an external message. External ones (rules with a template) become drafts where the
// terms say so, and then those of the owning department who can send them are told that they wait; where nobody owns the
// customer they go out directly, or wait as drafts too where the house knows no way to the addressee. Nobody is told twice,
// and a rule that should reach somebody and finds nobody, along the fallbacks of every role, reaches every receiver.
// Without a rule for it nobody is told, but of an escalation by hand those to whom it went. That a clock is at risk is told
// of none that is missed already: the breach is.
func (a Audience) Tell(c ticket.Change, n ticket.Notice, now time.Time) []Telling {
	facts := Facts(c.Ticket)
	about(c, n, facts)
	if clock, ok := c.Ticket.Clock(facts["what"]); ok && n.What == ticket.ClockAtRisk && !clock.BreachedAt.IsZero() {
		return nil
	}
	h := a.hear(c.Ticket, facts, now)
	h.escalated(c, n)
	var outside []NoticeRule
	for _, r := range a.Terms.Notices {
		switch {
		case !slices.Contains(r.On, string(n.What)) && !slices.Contains(r.On, "*"), !r.When.Holds(facts):
		case r.Template != "":
			outside = append(outside, r)
		default:
			h.rule = r
			h.reach(r.To, "notice "+r.Name)
		}
	}
	text := n.Text
	for _, r := range outside {
		text += h.external(r, n)
	}
	return h.tellings(n.What, text+h.letters(n))
}

// about adds what the event behind a notice says to the facts that rules compare: event, what, from, to, reason, internal,
// by (the kind of actor).
func about(c ticket.Change, n ticket.Notice, facts ticket.Facts) {
	facts["event"] = string(n.What)
	var e *ticket.Event
	for i := range c.Events {
		same := c.Events[i].Kind == n.What
		if same && (e == nil || e.Text != n.Text) { // of several of the kind the one with this text, or else the last
			e = &c.Events[i]
		}
	}
	if e == nil {
		return
	}
	facts["by"] = string(e.Actor.Kind)
	if e.Detail == nil {
		return
	}
	facts["what"] = e.Detail.What
	if h := e.Detail.Handoff; h != nil {
		facts["from"], facts["to"], facts["reason"], facts["internal"] = h.From, h.To, h.Reason, flag(h.Internal)
	}
}

// urgent tells whether what is told of t waits for nothing.
func (a Audience) urgent(t ticket.Ticket) bool {
	if t.Major {
		return true
	}
	if len(a.Terms.Urgent) > 0 {
		return slices.Contains(a.Terms.Urgent, t.Priority)
	}
	return len(a.Policy.Priorities) > 0 && t.Priority == a.Policy.Priorities[0]
}

// met tells whether somebody has been told, inside or outside.
func (h *hearing) met(p Person) bool {
	_, inside := h.people[p.key()]
	return inside || h.outer[p.key()]
}

// render is the text of an external message, or what a person has to know where there is none.
func (h *hearing) render(name string, n ticket.Notice) (text, problem string) {
	template, ok := h.a.Terms.Templates[name]
	switch {
	case !ok:
		return "", " Its template is missing: write it by hand."
	case h.a.Message == nil:
		return "", " It could not be worded: write it by hand."
	}
	text, err := h.a.Message(template, h.t, n)
	if err != nil {
		return "", fmt.Sprintf(" It could not be worded (%v): write it by hand.", err)
	}
	return text, ""
}

// quoted is a name as it stands before an address: between quotes where a comma or the like would end it (RFC 5322, 3.2.4).
func quoted(name string) string {
	if !strings.ContainsAny(name, "()<>[]:;@\\,.\"") {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// addresses are people as a letter names them.
func addresses(to []Person) string {
	var out []string
	for _, p := range to {
		switch {
		case p.Name != "" && p.Email != "":
			out = append(out, quoted(p.Name)+" <"+p.Email+">")
		case p.Email != "":
			out = append(out, p.Email)
		default:
			out = append(out, cmp.Or(p.Name, p.ID))
		}
	}
	return strings.Join(out, ", ")
}
