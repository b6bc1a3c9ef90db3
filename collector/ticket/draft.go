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
	// counted: the ticket changed without an event.
	counted bool
	err     error
}

func begin(t Ticket, now time.Time) *draft {
	return &draft{before: t.Seq, was: t.State, wasIn: t.Storm, now: now.UTC(), t: t}
}

// add stamps, seals and folds one event. Time within a ticket never runs backwards: an event is at least as late as the
// one before it.
func (d *draft) add(e Event) {
	if d.err != nil {
		return
	}
	e.At = d.now
	if e.At.Before(d.t.UpdatedAt) {
		e.At = d.t.UpdatedAt
	}
	d.events = append(d.events, e)
	last := d.events[len(d.events)-1:]
	if d.err = seal(d.t.Seq, d.t.Head, last); d.err == nil {
		d.err = d.t.apply(last[0])
	}
}

func (d *draft) evidence(all []Evidence) {
	for _, e := range all {
		if d.err != nil {
			return
		}
		body, digest, err := e.Encode()
		if err != nil {
			d.err = err
			return
		}
		d.add(Event{Kind: EvidenceAdded, Actor: house, Evidence: &digest})
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
	return Change{Before: d.before, Was: d.was, WasIn: d.wasIn, Ticket: d.t, Events: d.events, Bodies: d.bodies, Notices: d.notices, Counted: d.counted}, nil
}
