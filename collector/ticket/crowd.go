package ticket

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// MaxAlerts is how many alerts a ticket lists, each with its evidence: the first that came. Of those that come after them it
// keeps how many they are and what the newest are, whatever their number: see Crowd. What the house itself says is always
// listed, and so is what a merge brings that the other ticket listed.
const MaxAlerts = 50

// Crowd is what a ticket knows of the alerts that it counts and does not list. It stands in the ticket alone until the next
// event, which has it too: the ticket is kept with every change.
type Crowd struct {
	// Came is how many alerts there were, one that came again after it recovered counting anew; Firing is how many of them
	// fire, and Unclear how many ended in a way that does not show that the fault is mended.
	Came    int `json:"came"`
	Firing  int `json:"firing"`
	Unclear int `json:"unclear,omitempty"`
	// Newest are those that came last, oldest first, in words.
	Newest []string `json:"newest,omitempty"`
	// Told is what Came was when the timeline last said so; Untold: something changed since the newest event.
	Told   int  `json:"told"`
	Untold bool `json:"untold,omitempty"`
}

// Counted is what is kept, beside its ticket, of an alert that is counted and not listed, until the ticket closes. It goes with
// the others to a ticket that takes this one over.
type Counted struct {
	Alert  string `json:"alert"`
	Ticket string `json:"ticket"`
	// End is empty while it fires.
	End incident.End `json:"end,omitempty"`
	// FiredAt is when it began to fire last, and EndedAt when it ended last; that stays when it fires again.
	FiredAt time.Time `json:"fired_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
}

// Keeps is what is to be kept of an alert that the ticket counts; was is what is kept so far. It is false where that is nothing:
// when more came than crowdKept, those of which no late word is waited for are forgotten when they end.
func (t Ticket) Keeps(a incident.Alert, was Counted) (Counted, bool) {
	kept := Counted{Alert: a.ID, Ticket: t.ID, End: a.End, FiredAt: a.FiredAt, EndedAt: was.EndedAt}
	switch {
	case a.Firing():
		return kept, true
	case was.End != "" && !was.settledBy(a): // its end is known
		return was, true
	}
	kept.FiredAt, kept.EndedAt = was.FiredAt, a.EndedAt
	return kept, a.End == incident.Lapsed || t.Crowd.Came <= crowdKept
}

// settledBy tells whether an end that comes late shows that the fault is mended, of which was not known how it ended.
func (c Counted) settledBy(a incident.Alert) bool {
	return c.End == incident.Lapsed && a.End == incident.Recovered
}

const (
	// crowdID is what the alerts that are counted go by where alerts have IDs; no alert has it.
	crowdID = "counted"
	// crowdNewest bounds Crowd.Newest, and crowdWords each of them, in characters.
	crowdNewest, crowdWords = 5, 200
	// crowdKept is of how many alerts a Counted is kept after they ended.
	crowdKept = 2000
	// turned is Detail.What of a Counting with which the first alert of a ticket began to fire again, or the last ended.
	turned = "turned"
)

// Counts tells whether an alert is counted and not listed; was is what is kept of it for this ticket, the zero value when that
// is nothing. One that both were, before a merge, is counted until it ends.
func (t Ticket) Counts(a incident.Alert, was Counted) bool {
	if known, listed := t.alert(a.ID); listed {
		return was.Alert != "" && was.End == "" && !known.Firing()
	}
	return was.Alert != "" || !a.Ours() && len(t.Alerts) >= MaxAlerts
}

// String says how many more than those that are listed there are, empty for none.
func (c Crowd) String() string {
	if c.Came == 0 {
		return ""
	}
	return fmt.Sprintf("and %d more than those that are listed, of which %d fire; the newest: %s",
		c.Came, c.Firing, strings.Join(c.Newest, "; "))
}

// Count folds an alert that the ticket Counts: as Fire, but the timeline tells of it only when their number has doubled, or
// when nothing fired.
func (t Ticket) Count(a incident.Alert, was Counted, terms Terms, now time.Time) (Change, error) {
	d := begin(t, now)
	d.terms = terms
	c := t.Crowd
	switch {
	case was.Alert == "", was.End != "" && !unclear(was.End):
		c.Came++
		c.Newest = append(slices.Clone(c.Newest[max(0, len(c.Newest)-crowdNewest+1):]), inWords(a))
	case was.End == "": // it is known to fire
		return d.change()
	default:
		c.Unclear--
	}
	if a.Firing() {
		c.Firing++
	} else if unclear(a.End) {
		c.Unclear++
	}
	if d.crowd(c, a.Firing() && t.Firing() == 0) {
		d.came(d.anyOf(a), a.Name+attached(t))
	}
	return d.change()
}

// EndCounted folds the end of an alert that is counted and not listed, of which was is kept.
func (t Ticket) EndCounted(a incident.Alert, was Counted, now time.Time) (Change, error) {
	d := begin(t, now)
	c := t.Crowd
	late := was.settledBy(a)
	switch {
	case late:
		c.Unclear--
	case was.End != "":
		return d.change()
	default:
		c.Firing--
		if unclear(a.End) {
			c.Unclear++
		}
	}
	last := t.Firing()-t.Crowd.Firing+c.Firing == 0 && (!late || c.Unclear == 0)
	if !d.crowd(c, last) || !last || !d.t.State.Open() || d.begins(d.anyOf(a)) {
		return d.change()
	}
	d.recovered(actorOf(a), "every alert recovered")
	return d.change()
}

// crowd lets the crowd be as it is now. turns: nothing fired before, or nothing does now. It returns false while the ticket
// flaps, when nothing more is decided.
func (d *draft) crowd(c Crowd, turns bool) bool {
	c.Untold = true
	d.counted = true
	if d.t.Flaps() {
		if d.t.Crowd = c; turns {
			d.t.Flap.Count, d.t.Flap.Last = d.t.Flap.Count+1, d.now
		}
		return false
	}
	d.tick()
	if !turns && c.Came < 2*c.Told {
		d.t.Crowd = c
		return true
	}
	c.Told = c.Came
	d.t.Crowd = c
	e := Event{Kind: Counting, Actor: house, Text: c.String()}
	if turns {
		e.Detail = &Detail{What: turned}
	}
	d.add(e)
	return true
}

// and is a crowd with what still matters of that of a ticket that was merged into this one's.
func (c Crowd) and(merged Crowd) Crowd {
	c.Came, c.Firing, c.Unclear = c.Came+merged.Came, c.Firing+merged.Firing, c.Unclear+merged.Unclear
	c.Newest = slices.Concat(c.Newest, merged.Newest)
	c.Newest = c.Newest[max(0, len(c.Newest)-crowdNewest):]
	return c
}

// carry gives an event what became of the crowd since the one before it.
func (d *draft) carry(e *Event) {
	if !d.t.Crowd.Untold {
		return
	}
	c := d.t.Crowd
	c.Untold = false
	e.Crowd = &c
}

// anyOf is an alert that is counted as one of many: they flap together.
func (d *draft) anyOf(a incident.Alert) incident.Alert {
	a.ID, a.Name = crowdID, "what is counted and not listed"
	return a
}

// unclear tells whether an end does not show that the fault is mended.
func unclear(e incident.End) bool { return e != incident.Recovered && e != incident.Superseded }

// inWords tells an alert from the others of its ticket: its title, and what is its own.
func inWords(a incident.Alert) string {
	s := []rune(strings.TrimSpace(a.Title() + " " + a.Particulars()))
	if len(s) > crowdWords {
		s = append(s[:crowdWords-1], '…')
	}
	return string(s)
}
