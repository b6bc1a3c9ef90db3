package ticket

import (
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// Flap is the state of a ticket whose alerts go up and down: it is told once, and further changes are only counted.
//
//	fires, ends, fires, ends … ─► Flapping (one notice) ─► Flipped, Flipped … (counts, no notice) ─► Settled (one notice)
type Flap struct {
	// Since is the first of the changes that made it flap, Last the newest one; Count is all of them.
	Since time.Time `json:"since"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
	// ToldAt is the newest event of the timeline about it; Untold are the alerts that have changed since. They stand in
	// the ticket alone until the next event, which a restart does not forget: the ticket is kept with every change.
	ToldAt time.Time `json:"told_at"`
	Untold []string  `json:"untold,omitempty"`
}

// Flip is one change of one alert of a ticket that does not flap, or not yet.
type Flip struct {
	Alert string    `json:"alert"`
	At    time.Time `json:"at"`
}

// maxFlips bounds Ticket.Flips, of all its alerts together; the oldest go first.
const maxFlips = 64

// Flaps tells whether the ticket is flapping.
func (t Ticket) Flaps() bool { return t.Flap.Count > 0 }

// flipped notes one change in a ticket that does not flap, before it is seen. That an alert fires for the first time is no
// change yet: one that recovers, relapses and recovers is a fault that came back, and told so. What ended because something
// else took over, or its rule went, did not go down, and when it fires again it did not come up.
func (t *Ticket) flipped(e Event, own owned) {
	a := e.Alert
	if e.Kind != AlertEnded && e.Kind != AlertRefired {
		return
	}
	was := t.asSeen(a.ID, own)
	for _, end := range []incident.End{a.End, was.End} {
		if end == incident.RuleGone || end == incident.Superseded || end == incident.Lapsed {
			return
		}
	}
	t.flips(a.ID, e.At)
}

// flips notes one change of an alert of a ticket that does not flap.
func (t *Ticket) flips(alert string, at time.Time) {
	if t.Flapping.Changes == 0 || t.Flaps() {
		return
	}
	flips := append(slices.Clone(t.Flips), Flip{alert, at}) // a Ticket is a value: its copies keep theirs
	t.Flips = flips[max(0, len(flips)-maxFlips):]
}

// flapping folds an event about flapping.
func (t *Ticket) flapping(e Event, own owned) error {
	if e.Flap == nil {
		return fmt.Errorf("%w: event %d (%s) says nothing about it", ErrTimeline, e.Seq, e.Kind)
	}
	for i := range e.Alerts {
		t.see(&e.Alerts[i], own)
	}
	t.Flips, t.Flap = nil, *e.Flap
	if e.Kind == Settled {
		t.Flap = Flap{}
	}
	return nil
}

// begins tells whether a change that was just added makes the ticket flap, and says so to people, once.
func (d *draft) begins(a incident.Alert) bool {
	var changes []time.Time
	for _, f := range d.t.Flips {
		if f.Alert == a.ID {
			changes = append(changes, f.At)
		}
	}
	since, ok := d.t.Flapping.Begins(changes, d.now)
	if !ok || d.err != nil {
		return false
	}
	n := d.t.Flapping.Changes
	text := fmt.Sprintf("flapping since %s: %s came and went, %d changes in %s. Further changes are counted and told to nobody until it has been stable for %s",
		clock(since), a.Name, n, gap(since, d.now), d.t.Flapping.Stable)
	d.add(Event{Kind: FlappingBegan, Actor: house, Text: text, Flap: &Flap{Since: since, Last: d.now, Count: n, ToldAt: d.now}})
	d.tell(FlappingBegan, text)
	return true
}

// flip counts a change of an alert of a flapping ticket: in the timeline now and then, in the ticket at once.
func (d *draft) flip(a incident.Alert) {
	f := d.t.Flap
	f.Count++
	f.Last = d.now
	if !slices.Contains(f.Untold, a.ID) {
		f.Untold = append(slices.Clone(f.Untold), a.ID)
	}
	d.t.see(&a, nil)
	d.t.Flap = f
	d.counted = true
	if d.now.Sub(f.ToldAt) < d.t.Flapping.Repeat(f.Since, f.Last) {
		return
	}
	f.Untold, f.ToldAt = nil, d.now
	d.add(Event{Kind: Flipped, Actor: house, Flap: &f, Alerts: d.untold(),
		Text: fmt.Sprintf("%d changes since %s; %s", f.Count, clock(f.Since), d.t.standing())})
	d.entitle(a)
}

// untold are the alerts that the timeline does not know as they stand now.
func (d *draft) untold() []incident.Alert {
	var out []incident.Alert
	for _, id := range d.t.Flap.Untold {
		if a, ok := d.t.alert(id); ok {
			out = append(out, a)
		}
	}
	return out
}

// settle ends the flapping of a ticket that has been stable for long enough: it is resolved, or goes on as any other.
func (d *draft) settle() {
	f := d.t.Flap
	said := fmt.Sprintf("stable for %s after %d changes since %s", d.t.Flapping.Stable, f.Count, clock(f.Since))
	last := f
	last.Untold, last.ToldAt = nil, d.now
	text := said + ": " + d.t.standing()
	d.add(Event{Kind: Settled, Actor: house, Text: text, Flap: &last, Alerts: d.untold()})
	if d.t.Firing() > 0 {
		for _, a := range d.t.Alerts { // while it flapped titles came and went with no event
			d.entitle(a)
		}
		d.tell(Settled, text)
		return
	}
	if !d.recovered(house, "every alert recovered, "+said) {
		d.tell(Settled, text)
	}
}

// standing says what fires now.
func (t Ticket) standing() string {
	if t.Firing() > 0 {
		return stillFires(t)
	}
	return "nothing fires now"
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
