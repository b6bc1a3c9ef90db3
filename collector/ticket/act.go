package ticket

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Verb is what a person can do to a ticket.
type Verb string

// The verbs of the lifecycle.
const (
	Ack     Verb = "ack"
	Start   Verb = "start"
	Note    Verb = "note"
	Did     Verb = "action"
	Resolve Verb = "resolve"
	Close   Verb = "close"
	Reopen  Verb = "reopen"
)

// doing is what a verb wants and does.
type doing struct {
	// wants says what the text must tell; empty: it may be left out.
	wants string
	// allows refuses what the ticket's state does not have, or an action that lacks what the verb needs.
	allows func(d *draft, a Action) error
	// do adds its events.
	do func(d *draft, a Action)
}

// doings is every verb; each file of verbs adds its own table here.
func doings() map[Verb]doing {
	all := map[Verb]doing{}
	for _, some := range []map[Verb]doing{lifecycleVerbs, factVerbs, clockVerbs, waitVerbs, partyVerbs, relationVerbs, deskVerbs()} {
		maps.Copy(all, some)
	}
	return all
}

// known is doings, made once.
var known = doings()

// Verbs is all of them, by name.
var Verbs = slices.Sorted(maps.Keys(known))

const (
	// MaxText bounds what one action says, in bytes.
	MaxText = 16 << 10
	// MaxEvents is how many events a ticket has when it takes nothing more from people but what ends it. What the house
	// itself records is bounded by what it records: flapping, storms and clocks each have bounds of their own.
	MaxEvents = 10000
)

// ending are the verbs that a full ticket still takes.
var ending = []Verb{Ack, Resolve, Close, Merge, LinkTo, Accept, Return, "verify"}

// ErrRefused marks an action that the ticket's state, a gate or the action itself does not allow.
var ErrRefused = errors.New("refused")

// Act is what an action by a person changes under terms, which are Ready. The error wraps ErrRefused and says what to do
// instead; the ticket's clocks are at now then, whatever the verb. When a gate refuses it is a *GateError, and the change then holds the attempt and nothing else: it is to be
// kept all the same.
func (t Ticket) Act(a Action, by By, terms Terms, now time.Time) (Change, error) {
	a.Text = strings.TrimSpace(a.Text)
	v, ok := known[a.Verb]
	if !ok {
		return Change{}, fmt.Errorf("%w: %q is nothing a ticket knows; it knows %s", ErrRefused, a.Verb, verbList())
	}
	if len(a.Text) > MaxText {
		return Change{}, fmt.Errorf("%w: the text has %d bytes, at most %d are kept: shorten it", ErrRefused, len(a.Text), MaxText)
	}
	d := begin(t, now)
	by = by.whole()
	d.by, d.terms = by, terms
	if t.Seq >= MaxEvents && !slices.Contains(ending, a.Verb) {
		return Change{}, t.refuse("has %d events, the most one ticket takes: resolve it and go on in a new one that is linked to it", t.Seq)
	}
	if err := v.allows(d, a); err != nil {
		return Change{}, err
	}
	if v.wants != "" && a.Text == "" {
		return Change{}, fmt.Errorf("%w: say %s", ErrRefused, v.wants)
	}
	if refusal := d.gates(a); refusal != nil {
		d.add(Event{Kind: Refused, Actor: by.Actor, Text: refusal.Error(), Detail: &Detail{What: string(a.Verb), Refusal: refusal}})
		c, err := d.change()
		return c, errors.Join(refusal, err)
	}
	d.tick()
	v.do(d, a)
	if by.Kind == Person {
		d.meet(a.Verb)
	}
	return d.changeWith(nil)
}

var lifecycleVerbs = map[Verb]doing{
	Ack: {allows: func(d *draft, _ Action) error {
		switch t := d.t; t.State {
		case New, Again:
			return nil
		case Done, Shut:
			return t.refuse("is %s; reopen it first", t.State)
		default:
			if t.AutoAcked && t.State != Waiting && d.by.Kind == Person { // a machine did before
				return nil
			}
			return t.refuse("was acknowledged by %s at %s", t.AcknowledgedBy, t.AcknowledgedAt.Format(time.RFC3339))
		}
	}, do: func(d *draft, a Action) {
		d.add(Event{Kind: Acknowledged, Actor: d.by.Actor, Text: a.Text})
		d.tell(Acknowledged, or(a.Text, "acknowledged by "+d.by.Name))
	}},
	Start: {allows: func(d *draft, _ Action) error {
		switch t := d.t; t.State {
		case InProgress:
			return t.refuse("is in progress already")
		case Done, Shut:
			return t.refuse("is %s; reopen it first", t.State)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.resume(d.by.Actor, Acked, "work goes on")
		d.add(Event{Kind: Started, Actor: d.by.Actor, Text: a.Text})
	}},
	Note: {wants: "what to write down", allows: always, do: func(d *draft, a Action) {
		e := Event{Kind: Noted, Actor: d.by.Actor, Text: a.Text}
		if d.by.Replies {
			e.Detail = &Detail{What: repliedNote}
		}
		d.add(e)
		if d.by.Replies {
			d.tell(Noted, d.by.Name+" answered: "+a.Text)
		}
		if d.by.Replies || d.by.Customer != "" { // the client answered: that is what was waited for, or it is not, and somebody has to look
			d.awaited(d.by.Actor, d.by.Name+" wrote")
		}
	}},
	Did: {wants: "what to write down", allows: always, do: func(d *draft, a Action) {
		d.add(Event{Kind: ActionTaken, Actor: d.by.Actor, Text: a.Text})
	}},
	Resolve: {wants: "what resolved it", allows: func(d *draft, _ Action) error {
		if !d.t.State.Open() {
			return d.t.refuse("is %s already", d.t.State)
		}
		return nil
	}, do: func(d *draft, a Action) {
		if d.t.Facts[factDelivery] == rejected { // it does not end as delivered
			a.Text = "rejected: " + a.Text
		}
		d.resolve(d.by.Actor, a.Text)
	}},
	Close: {allows: func(d *draft, _ Action) error {
		switch t := d.t; {
		case t.State == Shut:
			return t.refuse("is closed already")
		case t.State != Done:
			return t.refuse("is %s; resolve it first, saying what resolved it", t.State)
		case t.Firing() > 0:
			return t.refuse("cannot be closed: %s", stillFires(t))
		}
		return nil
	}, do: func(d *draft, a Action) {
		if d.by.Kind == Person {
			d.meet(Close)
		}
		d.close(d.by.Actor, a.Text, or(a.Text, "closed by "+d.by.Name))
	}},
	Reopen: {wants: "why it is reopened", allows: func(d *draft, _ Action) error {
		switch t := d.t; {
		case t.State.Open():
			return t.refuse("is open (%s)", t.State)
		case t.Merged != nil:
			return t.refuse("is part of %s now: work on that one", t.Merged.Number)
		}
		return nil
	}, do: func(d *draft, a Action) {
		d.reopen(d.by.Actor, a.Text)
		d.tell(Reopened, a.Text)
	}},
}

func always(*draft, Action) error { return nil }

func (t Ticket) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrRefused, t.Number, fmt.Sprintf(format, args...))
}

func verbList() string {
	names := make([]string, len(Verbs))
	for i, v := range Verbs {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
