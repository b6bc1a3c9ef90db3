package ticket

import (
	"fmt"
	"slices"

	"github.com/watchbill/watchbill/collector/sla"
)

// The verbs that meet clocks without changing the ticket's state, but that who speaks to the client or gives access back
// has taken notice: a ticket that nobody acknowledged is acknowledged by them.
const (
	// Callback says that a person spoke to the client: Text what was said.
	Callback Verb = "callback"
	// Restored says that the client has access or service again although the cause is not mended: Text what was done.
	Restored Verb = "restored"
)

var clockVerbs = map[Verb]doing{
	Callback: {wants: "what was said to the client", allows: func(d *draft, _ Action) error {
		if d.t.State == Shut {
			return d.t.refuse("is %s; reopen it first", d.t.State)
		}
		return nil
	}, do: func(d *draft, a Action) { d.noticed(a) }},
	Restored: {wants: "what was done", allows: func(d *draft, _ Action) error {
		if !d.t.State.Open() {
			return d.t.refuse("is %s; reopen it first", d.t.State)
		}
		return nil
	}, do: func(d *draft, a Action) { d.noticed(a) }},
}

// noticed keeps what a person did for the client, which acknowledges the ticket if nobody has.
func (d *draft) noticed(a Action) {
	if d.t.State == New || d.t.State == Again {
		d.add(Event{Kind: Acknowledged, Actor: d.by.Actor})
		d.tell(Acknowledged, "acknowledged by "+d.by.Name)
	}
	d.add(Event{Kind: ActionTaken, Actor: d.by.Actor, Text: a.Text, Detail: &Detail{What: string(a.Verb)}})
	if d.by.Kind == Person {
		d.meet(Ack)
	}
}

// meets tells whether a person's verb ends the clock as met. Who starts work has acknowledged; who resolves has given
// service back, and has acknowledged.
func (g Ground) meets(v Verb) bool {
	has := func(verbs ...Verb) bool {
		return slices.ContainsFunc(verbs, func(v Verb) bool { return slices.Contains(g.MetBy, v) })
	}
	switch v {
	case Start:
		return has(Start, Ack)
	case Resolve:
		return has(Ack) || g.mended()
	case Restored:
		return has(Restored, restore)
	}
	return has(v)
}

// restore is the other spelling of Restored in ClockRule.MetBy.
const restore Verb = "restore"

// mended tells whether the clock ends as met when the fault is over, whoever or whatever ended it. One that a recovery makes
// pointless is met by people alone.
func (g Ground) mended() bool {
	return !g.NotNeeded && slices.ContainsFunc([]Verb{Resolve, Restored, restore}, func(v Verb) bool { return slices.Contains(g.MetBy, v) })
}

// meet ends the clocks that a person's verb meets.
func (d *draft) meet(v Verb) {
	for i, c := range d.t.Clocks {
		if !c.Ended() && d.t.Grounds[c.Name].meets(v) {
			d.met(i)
		}
	}
}

// met ends one clock as met now.
func (d *draft) met(i int) {
	clocks := slices.Clone(d.t.Clocks)
	c := clocks[i].Meet(d.at())
	clocks[i] = c
	how := "met"
	if c.Breached(d.at()) {
		how = "met late"
	}
	text := fmt.Sprintf("%s is %s: due %s, %s", c.Name, how, d.when(c.Due), d.aim(c))
	actor := d.by.Actor
	if actor.Kind == "" {
		actor = house
	}
	d.add(Event{Kind: ClockMet, Actor: actor, Text: text, Clocks: clocks, Detail: &Detail{What: c.Name, At: c.EndedAt}})
}

// over is what the end of the fault leaves of clocks that nobody has to meet any more: nil when it changes none.
func (d *draft) over() []sla.Clock {
	var out []sla.Clock
	for i, c := range d.t.Clocks {
		g := d.t.Grounds[c.Name]
		if c.Ended() || !g.NotNeeded || g.mended() {
			continue
		}
		if c = c.Drop(d.at(), "the fault was over before"); c.Ended() {
			if out == nil {
				out = slices.Clone(d.t.Clocks)
			}
			out[i] = c
		}
	}
	return out
}

// resolve ends the fault: the clocks that wait for that are met, those that became pointless end. A person who resolves
// has responded too.
func (d *draft) resolve(by Actor, text string) {
	if by.Kind == Person {
		for i, c := range d.t.Clocks {
			if g := d.t.Grounds[c.Name]; !c.Ended() && g.meets(Resolve) && !g.mended() {
				d.met(i)
			}
		}
	}
	d.add(Event{Kind: Resolved, Actor: by, Text: text, Clocks: d.over()})
	for i, c := range d.t.Clocks {
		if !c.Ended() && d.t.Grounds[c.Name].mended() {
			d.met(i)
		}
	}
	d.tell(Resolved, text)
}

// close ends the ticket, and with it what no clock has to wait for any more.
func (d *draft) close(by Actor, text, tell string) {
	d.add(Event{Kind: Closed, Actor: by, Text: text, Clocks: d.cancelled(endClosed)})
	d.tell(Closed, tell)
}

// cancelled are the clocks with those that still run cancelled: nil when none does.
func (d *draft) cancelled(why string) []sla.Clock {
	if !slices.ContainsFunc(d.t.Clocks, func(c sla.Clock) bool { return !c.Ended() }) {
		return nil
	}
	clocks := slices.Clone(d.t.Clocks)
	for i := range clocks {
		clocks[i] = clocks[i].Cancel(d.at(), why)
	}
	return clocks
}

// reopen opens the ticket again: what was met by a person's notice stays met, every other clock runs on against its
// original due instant.
func (d *draft) reopen(by Actor, text string) {
	var clocks []sla.Clock
	p := &plan{}
	for i, c := range d.t.Clocks {
		g := d.t.Grounds[c.Name]
		again := c.End == sla.NotNeeded || c.End == sla.Met && g.mended() || c.End == sla.Cancelled && c.EndReason == endClosed
		if !c.Ended() || !again {
			continue
		}
		c, _, err := c.Reopen(d.terms.calendar, d.at())
		if err != nil {
			p.fault(c.Name, err)
			continue
		}
		if clocks == nil {
			clocks = slices.Clone(d.t.Clocks)
		}
		clocks[i] = c
	}
	d.add(Event{Kind: Reopened, Actor: by, Text: text, Clocks: clocks})
	d.troubles(p)
	d.tick()
}
