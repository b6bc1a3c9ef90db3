package ticket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// Ground is where a clock comes from and what ends it, kept on the ticket so that it is judged by what it was given for.
type Ground struct {
	// Source is the set or the contract that gives the target.
	Source string `json:"source,omitempty"`
	// From is what starts it: detection, receipt, message or opening.
	From string `json:"from"`
	// MetBy are the verbs by which a person meets it.
	MetBy []Verb `json:"met_by"`
	// NotNeeded: it ends as not needed when the fault is over before it is met.
	NotNeeded bool `json:"not_needed,omitempty"`
}

// The ways a clock's start is told, and why clocks end that are neither met nor pointless.
const (
	fromDetection = "detection"
	fromReceipt   = "receipt"
	fromMessage   = "message"
	fromOpening   = "opening"

	endNoTarget = "its priority and facts have no such target any more"
	endClosed   = "the ticket was closed"
)

// plan is what a ticket's clocks become.
type plan struct {
	clocks  []sla.Clock
	grounds map[string]Ground
	changed bool
	// faults say which clock could not be worked out and why. A ticket is never lost for a clock.
	faults []string
}

func (p *plan) fault(name string, err error) {
	p.faults = append(p.faults, fmt.Sprintf("clock %s could not be worked out: %v. Check the calendar and the targets of the policy", name, err))
}

// rule is what meets the clock of that name: what the terms say, otherwise what its name means in all shipped sets.
func (t Terms) rule(name string) ClockRule {
	r, said := t.Clocks[name]
	if said && len(r.MetBy) > 0 {
		return r
	}
	switch name {
	case "response", string(sla.NextBusinessDay):
		r.MetBy, r.NotNeeded = []Verb{Ack}, r.NotNeeded || !said
	case "callback":
		r.MetBy = []Verb{Callback}
	case "access", "restore":
		r.MetBy = []Verb{Restored, Resolve}
	default:
		r.MetBy = []Verb{Resolve}
	}
	return r
}

// targets are the rules that give a ticket its clocks: of each name the first that holds. An announcement has none, for
// nobody waits for it.
func (t Terms) targets(of Ticket) []TargetRule {
	if of.Facts[FactEntitled] == no || of.Kind == KindAnnouncement {
		return nil
	}
	var out []TargetRule
	for _, r := range t.Targets {
		name := r.Target.Clock
		switch {
		case slices.ContainsFunc(out, func(o TargetRule) bool { return o.Target.Clock == name }):
		case !r.When.Holds(of.Facts), t.unasked(r, of):
		case r.From == fromMessage && of.Facts[FactChannel] != ChannelOnCall:
		case (r.OutsideHours || t.rule(name).OutsideHours) && (t.calendar == nil || t.calendar.Open(of.Received())):
		default:
			r.Target.Inform = r.Target.Inform || r.Beside || t.BestEffort
			out = append(out, r)
		}
	}
	return out
}

// unasked tells a clock of the first response on a task that the house opens itself, as what recurs does: nobody called, so
// nobody waits for an answer. A target that names the type of the task is meant.
func (t Terms) unasked(r TargetRule, of Ticket) bool {
	if of.Kind != KindTask || of.Detected || of.Facts[FactReported] == yes || slices.Contains(r.When[FactType], of.Type) {
		return false
	}
	return slices.Equal(t.rule(r.Target.Clock).MetBy, []Verb{Ack})
}

// ground is where a rule's clock comes from on a ticket.
func (t Terms) ground(r TargetRule, of Ticket) Ground {
	rule := t.rule(r.Target.Clock)
	g := Ground{Source: r.Source, MetBy: rule.MetBy, NotNeeded: rule.NotNeeded}
	switch {
	case r.From == fromMessage:
		g.From = fromMessage
	case of.Detected:
		g.From = fromDetection
	case of.Facts[FactReported] == yes:
		g.From = fromReceipt
	default:
		g.From = fromOpening
	}
	return g
}

// plan works out the clocks of t, which is d's ticket as it is about to be: those it should have begin at its start, those
// that run on another target are put on it with their start and every pause, those that it should not have any more are
// cancelled, those that ended stay as they are. all puts every running clock on its target again: the calendar is another.
// It gives nil where nothing changes. A clock that begins anew knows nothing of waits that were over before.
func (d *draft) plan(t Ticket, all bool) *plan {
	if t.Facts == nil || !t.State.Open() && t.Seq > 0 {
		return nil
	}
	p := &plan{grounds: map[string]Ground{}}
	for _, r := range d.terms.targets(t) {
		name := r.Target.Clock
		g := d.terms.ground(r, t)
		c, runs := clockNamed(t.Clocks, name)
		was := c
		err := error(nil)
		switch {
		case !runs:
			c, err = d.begun(t, r.Target, g)
		case c.Ended() && c.EndReason == endNoTarget:
			c, err = d.revived(c, r.Target)
		case !c.Ended() && (all || c.Target != r.Target):
			c.Risk = d.terms.AtRisk
			c, _, err = c.Rebase(r.Target, d.terms.calendar, d.at())
		default:
			p.clocks, p.grounds[name] = append(p.clocks, c), t.Grounds[name]
			continue
		}
		p.changed = true
		if err != nil {
			p.fault(name, err)
			if !runs {
				continue
			}
			c = was
		}
		p.clocks, p.grounds[name] = append(p.clocks, c), g
	}
	d.dropped(t, p)
	if !p.changed {
		return nil
	}
	return p
}

// dropped takes over the clocks of t that p has no target for: the ticket is held to them no longer.
func (d *draft) dropped(t Ticket, p *plan) {
	for _, c := range t.Clocks {
		if _, kept := clockNamed(p.clocks, c.Name); kept {
			continue
		}
		if !c.Ended() {
			c, p.changed = c.Cancel(d.at(), endNoTarget), true
		}
		p.clocks, p.grounds[c.Name] = append(p.clocks, c), t.Grounds[c.Name]
	}
}

// revived is a clock that was cancelled for want of a target and has one again. It is held to that one alone: what it would
// have missed of another while it had none, nobody asked for.
func (d *draft) revived(c sla.Clock, target sla.Target) (sla.Clock, error) {
	c.Target, c.Risk = target, d.terms.AtRisk
	c, _, err := c.Reopen(d.terms.calendar, d.at())
	if c.RiskAt.IsZero() || c.RiskAt.After(d.at()) {
		c.AtRisk = false
	}
	return c, err
}

// begun is a new clock on t: paused where t waits for what stops it, met where a person acknowledged before.
func (d *draft) begun(t Ticket, target sla.Target, g Ground) (sla.Clock, error) {
	c, err := sla.Begin(target, d.terms.calendar, t.Received(), d.terms.AtRisk, d.at())
	if err != nil {
		return c, err
	}
	if t.Wait != nil && slices.Contains(d.terms.Waits[t.Wait.Reason].Stops, c.Name) {
		if c, err = c.Pause(d.terms.calendar, d.at(), t.Wait.Reason); err != nil {
			return c, err
		}
	}
	if !t.AcknowledgedAt.IsZero() && !t.AutoAcked && g.meets(Ack) {
		c = c.Meet(t.AcknowledgedAt)
	}
	return c, nil
}

func clockNamed(all []sla.Clock, name string) (sla.Clock, bool) {
	for _, c := range all {
		if c.Name == name {
			return c, true
		}
	}
	return sla.Clock{}, false
}

// Clock is the ticket's clock of that name.
func (t Ticket) Clock(name string) (sla.Clock, bool) { return clockNamed(t.Clocks, name) }

// nextClock is the earliest instant at which a clock of the ticket wants looking at, and which; zero for never.
func (t Ticket) nextClock() (next time.Time, which int) {
	for i, c := range t.Clocks {
		if at := c.Next(); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next, which = at, i
		}
	}
	return next, which
}

// tick records what became true of the clocks by now, in the order in which it did: each once, with the instant it was due.
func (d *draft) tick() {
	for d.err == nil {
		next, i := d.t.nextClock()
		if next.IsZero() || next.After(d.at()) {
			return
		}
		c, facts := d.t.Clocks[i].Tick(next)
		if len(facts) == 0 { // Next and Tick disagree: rather a clock that is silent than a loop without end
			return
		}
		clocks := slices.Clone(d.t.Clocks)
		clocks[i] = c
		for _, f := range facts {
			kind, text := ClockBreached, fmt.Sprintf("%s was due %s and is not met", c.Name, d.when(c.Due))
			if f.Kind == sla.FactAtRisk {
				kind, text = ClockAtRisk, fmt.Sprintf("%s is at risk: due %s", c.Name, d.when(c.Due))
			}
			text += ": " + d.aim(c)
			d.add(Event{Kind: kind, Actor: house, Text: text, Clocks: clocks, Detail: &Detail{What: c.Name, At: f.At}})
			d.tell(kind, text)
		}
	}
}

// aim says what a clock is held to, since when and where that comes from: "8h,business since … (software-group 1)".
func (d *draft) aim(c sla.Clock) string {
	g := d.t.Grounds[c.Name]
	text := fmt.Sprintf("%s since %s at %s", c.Target.Text(), or(g.From, fromOpening), d.when(c.Start))
	if g.Source != "" {
		text += " (" + g.Source + ")"
	}
	return text
}

// when is an instant as the ticket's people read it: in the calendar's zone, where it has one.
func (d *draft) when(at time.Time) string {
	switch {
	case at.IsZero():
		return "when the wait is over"
	case d.terms.calendar == nil:
		return clock(at)
	}
	return at.In(d.terms.calendar.Zone()).Format("2006-01-02 15:04:05 MST")
}

// moved says what became of the clocks, for the text of the event that changed them.
func (d *draft) moved(was, is []sla.Clock) string {
	var says []string
	for _, c := range is {
		old, had := clockNamed(was, c.Name)
		switch {
		case !had:
			says = append(says, fmt.Sprintf("%s begins, due %s", c.Name, d.when(c.Due)))
		case c.End == sla.Cancelled && !old.Ended():
			says = append(says, c.Name+" has no target any more")
		case !c.Due.Equal(old.Due):
			says = append(says, fmt.Sprintf("%s is due %s instead of %s", c.Name, d.when(c.Due), d.when(old.Due)))
		case c.Target.Inform != old.Target.Inform:
			says = append(says, c.Name+" is "+c.Target.Text()+" now")
		}
	}
	return strings.Join(says, "; ")
}

// troubles notes what could not be worked out of a plan.
func (d *draft) troubles(p *plan) {
	if p == nil {
		return
	}
	for _, f := range p.faults {
		d.add(Event{Kind: Noted, Actor: house, Text: f})
	}
}

// regrounded keeps what an event says of the clocks.
func (t *Ticket) regrounded(e Event) {
	if e.Clocks != nil {
		t.Clocks = e.Clocks
	}
	if e.Grounds != nil {
		t.Grounds = maps.Clone(e.Grounds)
	}
}
