package ticket

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// The verbs about waiting, and about what the client was promised.
const (
	// WaitFor puts an acknowledged ticket aside: What is one of the policy's reasons, Text what exactly is waited for. The
	// clocks that the reason names stand still until it is over.
	WaitFor Verb = "wait"
	// Resume goes on with a ticket that waits: it is what it was before. What was in progress passes the gates of Start again.
	Resume Verb = "resume"
	// Agree keeps a date that was agreed with the client: Until is the date, To with whom of the client, Text why, which a
	// later date than the one before has to say: it counts as a slip. The targets stay.
	Agree Verb = "promise"
	// Rebase puts the ticket under newer terms: those that Act is given. Text says why. Its facts of the contract, its
	// priority and its clocks become what they say; starts, pauses and breaches stay. How long it may be reopened and when it
	// closes by itself stays as it was opened.
	Rebase Verb = "rebase"
)

// Bounds of what one ticket keeps of this.
const (
	// MaxWaits bounds how often a clock pauses.
	MaxWaits = 200
	// MaxPromises bounds how many dates are agreed.
	MaxPromises = 100
)

var waitVerbs = map[Verb]doing{
	WaitFor: {wants: "what it waits for", allows: func(d *draft, a Action) error {
		t := d.t
		switch _, known := d.terms.Waits[a.What]; {
		case t.State == Waiting:
			return t.refuse("waits for %s since %s already; resume it first", t.Wait.Reason, clock(t.Wait.Since))
		case !t.State.Open():
			return t.refuse("is %s; reopen it first", t.State)
		case t.State == New || t.State == Again || t.AutoAcked:
			return t.refuse("was acknowledged by nobody: acknowledge it first, so that somebody answers for it while it waits")
		case len(d.terms.Waits) == 0:
			return t.refuse("cannot wait: the policy %s has no reasons to", t.Policy)
		case !known:
			return t.refuse("waits for a reason of its policy (%s); got %q", strings.Join(slices.Sorted(maps.Keys(d.terms.Waits)), ", "), a.What)
		case slices.ContainsFunc(t.Clocks, func(c sla.Clock) bool { return len(c.Pauses) >= MaxWaits }):
			return t.refuse("has waited %d times, the most a ticket does: resolve it and go on in another, linked to it", MaxWaits)
		}
		return nil
	}, do: func(d *draft, a Action) { d.wait(a) }},

	Resume: {allows: func(d *draft, _ Action) error {
		if d.t.State != Waiting {
			return d.t.refuse("is %s; it does not wait", d.t.State)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.resume(d.by.Actor, d.t.before(), a.Text)
		d.tell(WaitOver, "work goes on: "+a.Text)
	}},

	Agree: {allows: func(d *draft, a Action) error { return d.agreeable(a) }, do: func(d *draft, a Action) {
		p := Promise{Until: a.Until.Round(0).UTC(), With: a.client(d.by), By: d.by.Name, At: d.at(), Reason: a.Text}
		text := fmt.Sprintf("promised for %s, agreed with %s", d.when(a.Until), a.client(d.by))
		if was, n := d.t.Slips(), slipsOf(append(slices.Clone(d.t.Promises), p)); n > was {
			text += fmt.Sprintf(", slip %d", n)
		}
		if a.Text != "" {
			text += ": " + a.Text
		}
		d.add(Event{Kind: Promised, Actor: d.by.Actor, Text: text, Detail: &Detail{Promise: &p}})
		d.tell(Promised, text)
	}},

	Rebase: {wants: "why it is put under other terms", allows: func(d *draft, _ Action) error {
		switch t := d.t; {
		case !t.State.Open():
			return t.refuse("is %s; reopen it first", t.State)
		case t.Policy == d.terms.Policy && t.PolicyVersion == d.terms.Version && t.Terms == d.terms.Digest:
			return t.refuse("is under %s %s already; there are no newer terms", t.Policy, t.PolicyVersion)
		}
		return nil
	}, do: func(d *draft, a Action) { d.rebase(a.Text) }},
}

func (d *draft) agreeable(a Action) error {
	t := d.t
	switch n := len(t.Promises); {
	case !t.State.Open():
		return t.refuse("is %s; reopen it first", t.State)
	case a.client(d.by) == "":
		return t.refuse("promises a date that was agreed with the client; say with whom")
	case !a.Until.After(d.now):
		return t.refuse("promises a date that is to come; got %s", a.Until.Format(time.RFC3339))
	case n >= MaxPromises:
		return t.refuse("has %d agreed dates, the most a ticket has: resolve it and go on in another, linked to it", MaxPromises)
	case n > 0 && a.Until.Equal(t.Promises[n-1].Until):
		return t.refuse("is promised for that date already")
	case n > 0 && a.Until.After(t.Promises[n-1].Until) && a.Text == "":
		return t.refuse("slips from %s; say why", d.when(t.Promises[n-1].Until))
	}
	return nil
}

// Slips counts how often a date that was agreed with the client was put off.
func (t Ticket) Slips() int { return slipsOf(t.Promises) }

func slipsOf(all []Promise) int {
	n := 0
	for i := 1; i < len(all); i++ {
		if all[i].Until.After(all[i-1].Until) {
			n++
		}
	}
	return n
}

// before is the state that a waiting ticket goes back to. Of a wait that was kept without it, work that had begun goes on.
func (t Ticket) before() State {
	switch {
	case t.Wait != nil && t.Wait.From != "":
		return t.Wait.From
	case !t.StartedAt.IsZero():
		return InProgress
	}
	return Acked
}

// wait puts the ticket aside and stops the clocks that the reason names.
func (d *draft) wait(a Action) {
	stops := d.terms.Waits[a.What].Stops
	clocks, p := d.turned(func(c sla.Clock) (sla.Clock, error) {
		if c.Paused() || !slices.Contains(stops, c.Name) {
			return c, errAsItIs
		}
		return c.Pause(d.terms.calendar, d.at(), a.What)
	})
	d.add(Event{Kind: WaitBegan, Actor: d.by.Actor, Text: a.What + ": " + a.Text, Clocks: clocks,
		Detail: &Detail{Wait: &Wait{Reason: a.What, Text: a.Text, Since: d.at(), From: d.t.State}}})
	d.troubles(p)
	d.tell(WaitBegan, a.What+": "+a.Text)
}

// resume ends the wait, whoever or whatever ended it, and lets the clocks go on.
func (d *draft) resume(by Actor, to State, why string) {
	was := d.t.Wait
	if was == nil || d.err != nil {
		return
	}
	before := d.t.Clocks
	clocks, p := d.turned(func(c sla.Clock) (sla.Clock, error) {
		if !c.Paused() {
			return c, errAsItIs
		}
		return c.Resume(d.terms.calendar, d.at())
	})
	text := fmt.Sprintf("waited %s for %s", gap(was.Since, d.at()), was.Reason)
	if why != "" {
		text += ": " + why
	}
	if moved := d.moved(before, clocks); moved != "" {
		text += "; " + moved
	}
	d.add(Event{Kind: WaitOver, Actor: by, Text: text, Clocks: clocks, Detail: &Detail{What: string(to), Wait: was}})
	d.troubles(p)
	d.tick()
}

// errAsItIs leaves a clock as it is in turned.
var errAsItIs = errors.New("as it is")

// turned are the clocks that run with what turn makes of each, nil where it changes none, and what could not be worked out.
func (d *draft) turned(turn func(sla.Clock) (sla.Clock, error)) ([]sla.Clock, *plan) {
	var clocks []sla.Clock
	p := &plan{}
	for i, c := range d.t.Clocks {
		if c.Ended() {
			continue
		}
		next, err := turn(c)
		if err == errAsItIs {
			continue
		}
		if err != nil {
			p.fault(c.Name, err)
			continue
		}
		if clocks == nil {
			clocks = slices.Clone(d.t.Clocks)
		}
		clocks[i] = next
	}
	return clocks, p
}

// awaited ends a wait because of an alert that fires or of what the customer says: who put the ticket aside did not know
// of it.
func (d *draft) awaited(by Actor, why string) {
	if d.t.State == Waiting {
		d.resume(by, Acked, why)
	}
}

// rebase puts the ticket under d's terms.
func (d *draft) rebase(why string) {
	t := d.t
	facts := d.contract(t)
	next := t
	next.say(facts)
	next.ContractFacts = d.contractNames(t, facts)
	j := judgement{severity: t.Severity, priority: t.Priority, because: t.Because}
	if !t.Pinned || d.terms.Rank(t.Priority) == len(d.terms.Priorities) {
		j.priority, j.because = d.terms.judge(next.Facts)
	}
	e := Event{Kind: Rebased, Actor: d.by.Actor, Severity: j.severity, Priority: j.priority, Because: j.because,
		Contract: next.ContractFacts,
		Detail:   &Detail{Facts: facts, Terms: d.terms.Digest, Policy: d.terms.Policy, Version: d.terms.Version}}
	e.Text = fmt.Sprintf("under %s %s instead of %s %s: %s", d.terms.Policy, d.terms.Version, t.Policy, t.PolicyVersion, why)
	if j.priority != t.Priority {
		e.Text += fmt.Sprintf("; priority %s instead of %s", j.priority, t.Priority)
	}
	p := d.plan(next.judgedAs(j), true)
	if p != nil {
		e.Clocks, e.Grounds = p.clocks, p.grounds
		e.Text += "; " + or(d.moved(t.Clocks, p.clocks), "every clock is due as it was")
	}
	d.add(e)
	d.troubles(p)
	d.tick()
	d.tell(Rebased, e.Text)
}

// contract are the changes of facts by which t has those of the terms' contract, and no longer those of the one before.
func (d *draft) contract(t Ticket) Facts {
	changed := Facts{}
	if t.Facts == nil {
		maps.Copy(changed, t.known(d.terms.Facts))
		return changed
	}
	for _, n := range t.ContractFacts {
		if _, still := d.terms.Facts[n]; !still {
			changed[n] = ""
		}
	}
	for n, word := range d.terms.Facts {
		was, said := t.Facts[n]
		if (!said || slices.Contains(t.ContractFacts, n)) && was != word {
			changed[n] = word
		}
	}
	switch from := d.terms.EntitledFrom; {
	case !from.IsZero() && t.Received().Before(from):
		changed[FactEntitled] = no
	case t.Facts[FactEntitled] == no:
		changed[FactEntitled] = ""
	}
	return changed
}

// contractNames are the names of t's facts that the terms' contract gives from now on: where t has no word of its own.
func (d *draft) contractNames(t Ticket, changed Facts) []string {
	var names []string
	for n, word := range d.terms.Facts {
		if changed[n] == word || slices.Contains(t.ContractFacts, n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}
