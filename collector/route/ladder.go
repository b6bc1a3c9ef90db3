package route

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// Step is a rung of a ladder that is due on a ticket.
type Step struct {
	// ID is what ticket.Told.Step keeps of it: the clock and the rung's name.
	ID   string
	Rung Rung
	// At is when it became due, which may be long ago.
	At time.Time
	// Due is the clock's due instant.
	Due time.Time
	// Again: it was told before, and what kept it quiet has run out.
	Again bool
	// again is when it is told again once it is told at the instant that Due was asked for; zero for never.
	again time.Time
	// Passed are the names of lower rungs that were due as well and are told no more.
	Passed []string
	// Times is how often it was told before in this run of its clock without anybody's acknowledgement.
	Times int
}

// MaxAgain is how often a rung is told again that nobody acknowledges. Then those who hear of it have heard enough: an
// acknowledgement, or a higher rung, goes on from there.
const MaxAgain = 12

// StepID is what a ticket remembers a rung by: rungs of one clock and name are one step, told in whichever wording holds.
func (r Rung) StepID() string { return r.Clock + "/" + r.Name }

// RungOf is the rung of a ticket's ladder that a person names, by its name or as StepID says it, on a clock that has not
// ended; false where no such clock has a ladder. The error names those there are.
func RungOf(t ticket.Ticket, name string, terms Terms) (rung Rung, ok bool, err error) {
	facts := Facts(t)
	var there []string
	for _, c := range t.Clocks {
		if c.Ended() {
			continue
		}
		for _, r := range climbOf(t, c, terms, facts).rungs {
			if name == r.Name || name == r.id {
				return r.Rung, true, nil
			}
			there = append(there, fmt.Sprintf("%q", r.id))
		}
	}
	if len(there) == 0 {
		return Rung{}, false, nil
	}
	return Rung{}, false, fmt.Errorf("there is no rung %q: there are %s", name, strings.Join(there, ", "))
}

// Told is the fact that the step was told to somebody, for the timeline: an event of kind ticket.WasTold. It holds for the
// rung's AckFor.
func (s Step) Told(told []Telling, now time.Time) ticket.Told {
	out := ticket.Told{Step: s.ID, At: now.UTC(), To: Names(told), Times: s.Times}
	out.AckUntil = s.again
	if s.Rung.AckFor > 0 && out.AckUntil.IsZero() {
		out.AckUntil = out.At.Add(s.Rung.AckFor)
	}
	return out
}

// waits marks a rung that waits for an acknowledgement: it was told, and is told again when that has run out.
func (r rungAt) waits(top float64) bool { return r.told != nil && r.Share == top && r.AckFor > 0 }

// Acknowledge is what a person's acknowledgement of the ladder says to the timeline, as events of kind ticket.WasTold: the
// rungs that were last told on clocks that run are kept quiet for their AckFor from now on. It is empty where no rung that
// was told waits to be told again.
func Acknowledge(t ticket.Ticket, terms Terms, cal *sla.Calendar, by string, now time.Time) []ticket.Told {
	var out []ticket.Told
	facts := Facts(t)
	for _, c := range t.Clocks {
		if c.Ended() {
			continue
		}
		cl := climbOf(t, c, terms, facts)
		cl.cal = cal
		for _, r := range cl.rungs {
			if r.waits(cl.top) {
				out = append(out, ticket.Told{Step: r.id, At: now.UTC(), To: r.told.To, AckUntil: cl.again(r.Rung, now), AckedBy: by})
			}
		}
	}
	return out
}

// Due is which rungs of the ladder are to be told on t at now, and when it next wants looking at once they are told and
// recorded (Step.Told); zero for never, as things stand. It is exact: nothing becomes due in between, so nobody has to
// poll. cal is the ticket's calendar, nil where its clocks need none.
//
//   - A rung is due at its share of its clock, in the clock's own time, pauses left out. Clocks that are paused, have ended,
//     only inform, or are waived do not climb; one whose waiver expires goes on from the expiry, a reopened one from there.
//   - Of rungs with one name on one clock the first whose When holds stands: so a reason leads to the most relevant person.
//   - Each rung is told once in a run of its clock: from its start, or last reopening, to its end. A higher rung ends those
//     below it. Of several that are due only the highest is told (all of that share), and names those it passed over.
//   - A rung with AckFor is told again when that has run out since it was told, or acknowledged (Told.AckUntil), while its
//     clock runs and no higher one was told, but no more than MaxAgain times without an acknowledgement. An acknowledgement
//     keeps its own rung quiet and no higher one. AckFor counts by the calendar for clocks that count by it, so that nobody
//     is told again at night of a clock that stands still.
//
// The error names rungs that cannot be placed because the calendar stops opening; the others are told all the same.
func Due(t ticket.Ticket, terms Terms, cal *sla.Calendar, now time.Time) (due []Step, next time.Time, err error) {
	if !t.State.Open() || t.Quiet || len(terms.Ladder) == 0 {
		return nil, time.Time{}, nil
	}
	facts := Facts(t)
	var errs []error
	for _, c := range t.Clocks {
		if c.Ended() || c.Paused() || c.Target.Inform || c.Waived && c.WaivedUntil.IsZero() {
			continue
		}
		cl, err := climbOf(t, c, terms, facts).place(cal)
		if err != nil {
			errs = append(errs, fmt.Errorf("ticket %s: %w", t.Number, err))
		}
		steps, wake := cl.at(now)
		due, next = append(due, steps...), sooner(next, wake)
	}
	return due, next, errors.Join(errs...)
}

// sooner is the earlier of two instants, of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// climb is the ladder of one clock on one ticket.
type climb struct {
	clock sla.Clock
	cal   *sla.Calendar
	rungs []rungAt // lowest first
	// top is the highest share that was told in this run; -1 for none.
	top float64
}

// rungAt is a rung with the instant at which it becomes due, and when it was told in this run.
type rungAt struct {
	Rung
	id   string // its StepID
	at   time.Time
	told *ticket.Told
}

// climbOf is the ladder of a clock with what was told of it; its rungs have no instants yet.
func climbOf(t ticket.Ticket, c sla.Clock, terms Terms, facts ticket.Facts) climb {
	cl := climb{clock: c, top: -1}
	begun := c.Start
	if c.ReopenedAt.After(begun) {
		begun = c.ReopenedAt
	}
	named := map[string]bool{}
	for _, r := range terms.Ladder {
		if r.Clock != c.Name || named[r.Name] || !r.When.Holds(facts) {
			continue
		}
		named[r.Name] = true
		cl.rungs = append(cl.rungs, rungAt{Rung: r, id: r.StepID()})
	}
	cl.remember(t.Told, begun)
	slices.SortStableFunc(cl.rungs, func(a, b rungAt) int { return cmp.Compare(a.Share, b.Share) })
	return cl
}

// place gives every rung that is still to be told its instant; those that have none are left out and named in the error.
func (cl climb) place(cal *sla.Calendar) (climb, error) {
	cl.cal = cal
	var errs []error
	var placed []rungAt
	for _, r := range cl.rungs {
		if r.told == nil && r.Share >= cl.top {
			at, err := instant(cl.clock, cal, r.Share)
			if err != nil {
				errs = append(errs, fmt.Errorf("rung %s of clock %s: %w", r.Name, r.Clock, err))
				continue
			}
			r.at = at
		}
		placed = append(placed, r)
	}
	cl.rungs = placed
	return cl, errors.Join(errs...)
}

// remember finds when each rung was last told in the run that began at an instant. It looks at all that was told: a
// machine's clock that was put back leaves it out of order.
func (cl *climb) remember(all []ticket.Told, begun time.Time) {
	for i, missing := len(all)-1, len(cl.rungs); i >= 0 && missing > 0; i-- {
		for j := range cl.rungs {
			r := &cl.rungs[j]
			if r.told == nil && all[i].Step == r.id && !all[i].At.Before(begun) {
				r.told, cl.top = &all[i], max(cl.top, r.Share)
				missing--
			}
		}
	}
}

// instant is when a running clock has used up a share of its target, which may be more than all of it; no earlier than a
// waiver of it expires, or than it was reopened.
func instant(c sla.Clock, cal *sla.Calendar, share float64) (time.Time, error) {
	var at time.Time
	var err error
	switch {
	case share == 1:
		at = c.Due
	case share > 1:
		over := c
		over.Target = sla.Target{Clock: c.Name, Mode: sla.Elapsed,
			Within: time.Duration(math.Round(c.Total(cal).Seconds()*share)) * time.Second}
		if c.Target.NeedsCalendar() {
			over.Target.Mode = sla.Business
		}
		at, err = over.AtShare(cal, 1)
	default:
		at, err = c.AtShare(cal, share)
	}
	for _, from := range []time.Time{c.WaivedUntil, c.ReopenedAt} {
		if from.After(at) {
			at = from
		}
	}
	return at, err
}

// at is what is due at now, and when the clock's ladder next wants looking at once that is told.
func (cl climb) at(now time.Time) (due []Step, next time.Time) {
	height := cl.top
	for _, r := range cl.rungs {
		if r.told == nil && r.Share >= cl.top && !r.at.After(now) {
			height = max(height, r.Share)
		}
	}
	var passed []string
	for _, r := range cl.rungs {
		switch {
		case r.Share < height:
			if r.told == nil && r.Share > cl.top {
				passed = append(passed, r.Name)
			}
		case r.told == nil && r.at.After(now):
			next = sooner(next, r.at)
		case r.told == nil:
			due = append(due, Step{ID: r.id, Rung: r.Rung, At: r.at, again: cl.again(r.Rung, now)})
			next = sooner(next, cl.again(r.Rung, now))
		case r.AckFor == 0 || r.told.Times >= MaxAgain:
		default:
			again := r.told.AckUntil
			if again.IsZero() { // taken by hand
				again = cl.again(r.Rung, r.told.At)
			}
			if cl.clock.WaivedUntil.After(again) {
				again = cl.clock.WaivedUntil
			}
			if again.After(now) {
				next = sooner(next, again)
				continue
			}
			due = append(due, Step{ID: r.id, Rung: r.Rung, At: again, Again: true, Times: r.told.Times + 1, again: cl.again(r.Rung, now)})
			if r.told.Times+1 < MaxAgain {
				next = sooner(next, cl.again(r.Rung, now))
			}
		}
	}
	for i := range due {
		due[i].Due, due[i].Passed = cl.clock.Due, passed
	}
	return due, next
}

// again is when a rung that is told at an instant is told again, in the clock's own time; zero for never.
func (cl climb) again(r Rung, told time.Time) time.Time {
	if r.AckFor == 0 {
		return time.Time{}
	}
	if cl.cal != nil && cl.clock.Target.NeedsCalendar() {
		if at, err := cl.cal.Add(told, r.AckFor); err == nil {
			return at.UTC()
		}
	}
	return told.UTC().Add(r.AckFor)
}

// Rung is who is told of a step of a ladder, by the rules of Tell. Drafts among them are for the ticket to keep.
func (a Audience) Rung(t ticket.Ticket, s Step, now time.Time) []Telling {
	facts := Facts(t)
	facts["event"], facts["what"] = string(ticket.WasTold), s.Rung.Clock
	h := a.hear(t, facts, now)
	h.rule = NoticeRule{Name: s.Rung.Name, Letter: s.Rung.Letter}
	h.reach(s.Rung.To, "rung "+s.Rung.Name)
	loc := time.UTC
	if cal := a.Policy.Hours(); cal != nil {
		loc = cal.Zone()
	}
	text := s.text(loc)
	return h.tellings(ticket.WasTold, text+h.letters(ticket.Notice{What: ticket.WasTold, Text: text}))
}

// text says to a person why they are told of a step.
func (s Step) text(loc *time.Location) string {
	due := s.Due.In(loc).Format("Mon 2 Jan 15:04 MST")
	text := fmt.Sprintf("%s: %.0f %% of the clock %s has run, it is due %s", s.Rung.Name, s.Rung.Share*100, s.Rung.Clock, due)
	switch {
	case s.Rung.Share == 1:
		text = fmt.Sprintf("%s: the clock %s was due %s and is not met", s.Rung.Name, s.Rung.Clock, due)
	case s.Rung.Share > 1:
		text = fmt.Sprintf("%s: the clock %s was due %s and is not met, after %.0f %% of its time", s.Rung.Name, s.Rung.Clock,
			due, s.Rung.Share*100)
	}
	if s.Again {
		text += "; told again, for it is still not met"
		if s.Times >= MaxAgain {
			text += fmt.Sprintf(", for the last time until somebody acknowledges the ticket: it was told %d times before", s.Times)
		}
	}
	if len(s.Passed) > 0 {
		text += "; passed over, for nobody could be told in time: " + strings.Join(s.Passed, ", ")
	}
	return text
}
