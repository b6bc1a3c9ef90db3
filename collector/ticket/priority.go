package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// The verbs about what a ticket is and how much it matters.
const (
	// Set says facts of the ticket: Facts with their words, an empty word for one that holds no more; Text why. The names
	// are those of Terms.Settable. The priority follows. The fact system corrects a ticket that was filed under the wrong one, by those who
	// work on tickets; see Change.Refiled.
	Set Verb = "set"
	// Workaround says that the client accepted a workaround or proposed one itself, and can go on working with it: What is
	// accepted or proposed, To who of the client it was, At when if not now, Text what it is. What "none" takes it back. The
	// priority follows where the policy says so.
	Workaround Verb = "workaround"
	// Prioritise sets the priority outright: What is its name, Text why. It stays until facts change again that people say.
	Prioritise Verb = "prioritise"
)

var factVerbs = map[Verb]doing{
	Set: {allows: func(d *draft, a Action) error {
		if len(a.Facts) == 0 {
			return d.t.refuse("is told no fact to set; these can be: %s", strings.Join(d.terms.Settable(), ", "))
		}
		if err := d.terms.settable(a.Facts); err != nil {
			return err
		}
		if _, said := a.Facts[FactSystem]; said && d.by.Customer != "" {
			return d.t.refuse("is filed under its system by those who work on it; write a note if that is wrong")
		}
		return d.news(a.Facts)
	}, do: func(d *draft, a Action) {
		var detail *Detail
		if was := d.t.System; a.Facts[FactSystem] != "" && a.Facts[FactSystem] != was {
			detail = &Detail{Before: Facts{FactSystem: was}}
		}
		d.set(a.Facts, a.Text, detail)
	}},

	Workaround: {wants: "what the workaround is, or why there is none any more", allows: func(d *draft, a Action) error {
		switch {
		case a.What != Accepted && a.What != Proposed && a.What != "none":
			return d.t.refuse("has a workaround that the client %s or %s itself, or none; got %q", Accepted, Proposed, a.What)
		case a.What != "none" && a.client(d.by) == "":
			return d.t.refuse("wants to know who of the client %s the workaround", a.What)
		case a.At.After(d.now):
			return d.t.refuse("cannot have had a workaround %s at %s, which is to come", a.What, a.At.Format(time.RFC3339))
		}
		return d.news(a.workaround(d.by))
	}, do: func(d *draft, a Action) {
		detail := &Detail{At: a.At}
		d.set(a.workaround(d.by), a.Text, detail)
	}},

	Prioritise: {wants: "why the priority is another", allows: func(d *draft, a Action) error {
		switch {
		case !d.t.State.Open():
			return d.t.refuse("is %s; reopen it first", d.t.State)
		case d.terms.Rank(a.What) == len(d.terms.Priorities):
			return d.t.refuse("cannot have the priority %q; its policy has %s", a.What, strings.Join(d.terms.Priorities, ", "))
		case a.What == d.t.Priority && d.t.Pinned:
			return d.t.refuse("has the priority %s already", a.What)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.prioritise(judgement{by: d.by.Actor, severity: d.t.Severity, priority: a.What, because: d.by.Name + ": " + a.Text,
			cause: "set by " + d.by.Name, pinned: true})
	}},
}

// client is who of the client an action is about: To, or the one who acts if that is a person of a customer.
func (a Action) client(by By) string {
	if a.To == "" && by.Customer != "" {
		return by.Name
	}
	return a.To
}

func (a Action) workaround(by By) Facts {
	if a.What == "none" {
		return Facts{FactWorkaround: "", FactWorkaroundBy: ""}
	}
	return Facts{FactWorkaround: a.What, FactWorkaroundBy: a.client(by)}
}

// news refuses facts that cannot be said of the ticket now, or that say nothing new.
func (d *draft) news(f Facts) error {
	before := d.t.known(d.terms.Facts)
	changed, _ := d.t.changes(f, before)
	switch {
	case !d.t.State.Open():
		return d.t.refuse("is %s; reopen it first", d.t.State)
	case len(changed) == 0:
		return d.t.refuse("has these facts already")
	case len(before)+len(changed) > MaxFacts:
		return d.t.refuse("has %d facts, and %d are the most a ticket has: take some away first, setting them to nothing", len(before), MaxFacts)
	}
	return nil
}

// set says facts, and gives the priority and the clocks that follow from them. detail is what else the event says, or nil.
func (d *draft) set(f Facts, why string, detail *Detail) {
	before := d.t.known(d.terms.Facts)
	changed, text := d.t.changes(f, before)
	keeps := d.t.Pinned && d.terms.leaves(changed)
	if d.t.Facts == nil { // opened before there were facts: the others stand in this event too
		all := maps.Clone(before)
		maps.Copy(all, changed)
		changed = all
	}
	if detail == nil {
		detail = &Detail{}
	}
	detail.Facts = changed
	if why != "" {
		text += " (" + why + ")"
	}
	e := Event{Kind: FactsChanged, Actor: d.by.Actor, Text: text, Detail: detail}
	next := d.t
	next.say(changed)
	j := judgement{by: d.by.Actor, severity: d.t.Severity, cause: text}
	j.priority, j.because = d.terms.judge(next.Facts)
	if keeps { // what a person set outright stays
		detail.What = pinned
		j.priority, j.because = d.t.Priority, d.t.Because
	}
	if j.priority != d.t.Priority || j.because != d.t.Because {
		d.add(e)
		d.prioritise(j)
		return
	}
	d.replan(e, next)
}

// replan adds an event with the clocks as they are when the ticket is as next, and what they moved in its text, which it
// gives.
func (d *draft) replan(e Event, next Ticket) string {
	p := d.plan(next, false)
	if p != nil {
		e.Clocks, e.Grounds = p.clocks, p.grounds
		if moved := d.moved(d.t.Clocks, p.clocks); moved != "" {
			e.Text += "; " + moved
		}
	}
	d.add(e)
	d.troubles(p)
	d.tick()
	return e.Text
}

// leaves tells whether facts leave a priority that was set outright as it is: those that verbs set, and no class looks at.
func (t Terms) leaves(f Facts) bool {
	for n := range f {
		looks := slices.ContainsFunc(t.Classes, func(c Class) bool { return c.When[n] != nil })
		if looks || n != factMonitoring && !slices.Contains(verbFacts, n) {
			return false
		}
	}
	return true
}

// judge is what the terms give to facts: the priority of their type, if it has one, otherwise that of the first class.
func (t Terms) judge(f Facts) (priority, because string) {
	if ty, ok := t.Type(f[FactType]); ok && ty.Priority != "" {
		return ty.Priority, or(ty.Title, ty.Name)
	}
	return t.Priority(f)
}

// judgement is a priority with why.
type judgement struct {
	by                Actor
	severity          incident.Severity
	priority, because string
	cause             string // what made it change, for the event's text
	pinned            bool
}

// prioritise gives the ticket a priority and tells people when it is another.
func (d *draft) prioritise(j judgement) {
	was := d.t.Priority
	if text := d.judged(j); j.priority != was {
		d.tell(PriorityChanged, text)
	}
}

// judged gives the ticket a priority, and its clocks the targets of that priority. It gives the text that says so.
func (d *draft) judged(j judgement) string {
	text := fmt.Sprintf("%s: priority %s instead of %s", j.cause, j.priority, d.t.Priority)
	if j.priority == d.t.Priority {
		text = fmt.Sprintf("%s: the priority stays %s", j.cause, j.priority)
	}
	e := Event{Kind: PriorityChanged, Actor: j.by, Severity: j.severity, Priority: j.priority, Because: j.because, Text: text}
	if j.pinned {
		e.Detail = &Detail{What: pinned}
	}
	return d.replan(e, d.t.judgedAs(j))
}

// pinned is Detail.What of a PriorityChanged by which a person sets the priority outright, and of a FactsChanged that leaves it
// so.
const pinned = "outright"

// judgedAs is t with a judgement folded in, to plan its clocks by.
func (t Ticket) judgedAs(j judgement) Ticket {
	t.Severity, t.Priority = j.severity, j.priority
	t.judged()
	return t
}

// worsen raises the ticket to a worse severity and tells people. A priority that is as bad or worse already stays.
func (d *draft) worsen(by Actor, s incident.Severity, cause string) {
	if text := d.worsens(by, s, cause); d.err == nil {
		d.tell(PriorityChanged, text)
	}
}

// worsens is worsen without telling anybody; it gives the text to tell.
func (d *draft) worsens(by Actor, s incident.Severity, cause string) string {
	facts := maps.Clone(d.t.Facts)
	if facts == nil {
		facts = Facts{}
	}
	facts[FactSeverity] = string(s)
	j := judgement{by: by, severity: s, cause: cause}
	j.priority, j.because = d.terms.judge(facts)
	if d.terms.Rank(j.priority) > d.terms.Rank(d.t.Priority) {
		j.priority, j.because, j.pinned = d.t.Priority, d.t.Because, d.t.Pinned
	}
	return d.judged(j)
}
