package ticket

import (
	"fmt"
	"time"
)

// draft gathers the events of one decision, folding each as it is added.
type draft struct {
	before  int
	was     State
	wasIn   Link
	now     time.Time
	t       Ticket
	events  []Event
	bodies  map[int][]byte
	notices []Notice
	births  []Birth
	// counted: the ticket changed without an event.
	counted bool
	err     error
	// others are the changes of other tickets that belong to it.
	others []Change
	// by and terms are set where a person acts.
	by    By
	terms Terms
}

func begin(t Ticket, now time.Time) *draft {
	return &draft{before: t.Seq, was: t.State, wasIn: t.Storm, now: now.Round(0).UTC(), t: t}
}

// at is the time of the next event.
func (d *draft) at() time.Time {
	if d.now.Before(d.t.UpdatedAt) {
		return d.t.UpdatedAt
	}
	return d.now
}

// add stamps, seals and folds one event. Time within a ticket never runs backwards: an event is at least as late as the
// one before it.
func (d *draft) add(e Event) {
	if d.err != nil {
		return
	}
	e.At = d.at()
	d.carry(&e)
	d.events = append(d.events, e)
	last := d.events[len(d.events)-1:]
	if d.err = seal(d.t.Seq, d.t.Head, last); d.err == nil {
		d.err = d.t.apply(last[0], nil)
	}
}

func (d *draft) evidence(all []Evidence) { d.evidenceBy(house, all) }

func (d *draft) evidenceBy(who Actor, all []Evidence) {
	for _, e := range all {
		if d.err != nil {
			return
		}
		body, digest, err := e.Encode()
		if err != nil {
			d.err = err
			return
		}
		d.add(Event{Kind: EvidenceAdded, Actor: who, Evidence: &digest})
		if d.bodies == nil {
			d.bodies = map[int][]byte{}
		}
		d.bodies[d.t.Seq] = body
	}
}

func (d *draft) tell(what Kind, text string) {
	if d.t.Quiet {
		return
	}
	d.notices = append(d.notices, Notice{What: what, Text: text})
}

func (d *draft) change() (Change, error) {
	if d.err != nil {
		return Change{}, fmt.Errorf("ticket %s: %w", d.t.Number, d.err)
	}
	for i := range d.births { // what follows of a ticket follows of it as it stands now
		t := d.t
		d.births[i].Parent = &t
	}
	return Change{Before: d.before, Was: d.was, WasIn: d.wasIn, Ticket: d.t, Events: d.events, Bodies: d.bodies, Notices: d.notices, Counted: d.counted, Births: d.births}, nil
}

// changeWith is the change with those of others hung on it, one behind another.
func (d *draft) changeWith(others []Change) (Change, error) {
	c, err := d.change()
	if err != nil {
		return c, err
	}
	for _, o := range append(d.others, others...) {
		if !o.Empty() {
			c.Other = c.Other.and(&o)
		}
	}
	return c, nil
}
