package ticket

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/sla"
)

// Span is the time that a report is about: from From on, up to Until and not including it. A zero side is open.
type Span struct {
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Holds tells whether an instant lies in the span.
func (s Span) Holds(at time.Time) bool {
	return (s.From.IsZero() || !at.Before(s.From)) && (s.Until.IsZero() || at.Before(s.Until))
}

// SLALine is what became of one clock of the tickets of a customer and a priority that were received in the span.
type SLALine struct {
	Customer string `json:"customer"`
	Priority string `json:"priority"`
	Clock    string `json:"clock"`
	// Count is how many clocks there were: Met in time, Breached (met later or not at all), Waived past due, NotNeeded,
	// Cancelled, Running on without having breached. Informing ones have no target to miss; but for cancelled ones they
	// are counted there alone.
	Count     int `json:"count"`
	Met       int `json:"met"`
	Breached  int `json:"breached"`
	Waived    int `json:"waived"`
	NotNeeded int `json:"not_needed"`
	Cancelled int `json:"cancelled"`
	Running   int `json:"running"`
	Informing int `json:"informing"`
	// Ladder is how many steps of the ladder on this clock were told.
	Ladder int `json:"ladder"`
	// Median, P90 and Longest are of the clocks that were met, late or in time, in seconds of the clock's own time; by
	// nearest rank, and null where none was: what never came took no time.
	Median  *float64 `json:"median_seconds"`
	P90     *float64 `json:"p90_seconds"`
	Longest *float64 `json:"longest_seconds"`
}

// SLABreach is a target that was missed.
type SLABreach struct {
	Number   string    `json:"number"`
	Customer string    `json:"customer"`
	Priority string    `json:"priority"`
	Clock    string    `json:"clock"`
	Target   string    `json:"target"`
	At       time.Time `json:"at"`
	// MetAt is when it was met after all, null when it was not.
	MetAt *time.Time `json:"met_at"`
	// Reason is what is known of why: a consent that came later or ran out, or that it was met late, or not yet.
	Reason string `json:"reason"`
}

// SLAReport is how targets were kept.
type SLAReport struct {
	Lines    []SLALine   `json:"lines"`
	Breaches []SLABreach `json:"breaches"`
}

// SLAQuestion is what a report of targets is asked about.
type SLAQuestion struct {
	// Span is when the tickets were received, Now when it is asked.
	Span Span
	Now  time.Time
	// Hours is the calendar that a ticket goes by, nil where none is.
	Hours func(Ticket) *sla.Calendar
	// Find is the ticket with an ID, where the report is about it: what took over a ticket that was merged.
	Find func(id string) (Ticket, bool)
}

// ReportSLA is how the targets of the tickets that were received in a span were kept, as it stands at now: by customer,
// priority and clock, in order, and every breach, the earliest first. Of tickets that were merged only the breaches are
// counted that do not stand on the ticket that took them over: the rest is counted where it went. It goes through tickets
// once and keeps what the span holds of them.
func ReportSLA(tickets iter.Seq[Ticket], q SLAQuestion) SLAReport {
	lines := map[lineKey]*slaLine{}
	out := SLAReport{Lines: []SLALine{}, Breaches: []SLABreach{}}
	for t := range tickets {
		if !q.Span.Holds(t.Received()) {
			continue
		}
		for _, c := range t.Clocks {
			if t.Merged != nil && (c.BreachedAt.IsZero() || c.Target.Inform || counted(t, c, q.Find, q.Span)) {
				continue
			}
			k := lineKey{t.Customer, t.Priority, c.Name}
			if lines[k] == nil {
				lines[k] = &slaLine{SLALine: SLALine{Customer: t.Customer, Priority: t.Priority, Clock: c.Name}}
			}
			lines[k].count(c, t, q.Now)
			if c.End == sla.Met {
				lines[k].own = append(lines[k].own, c.Elapsed(q.Hours(t), c.EndedAt).Seconds())
			}
			if c.Breached(q.Now) && !c.Target.Inform {
				out.Breaches = append(out.Breaches, breachOf(t, c, q.Now))
			}
		}
	}
	for _, l := range lines {
		if len(l.own) > 0 {
			slices.Sort(l.own)
			l.Median, l.P90, l.Longest = new(Percentile(l.own, 50)), new(Percentile(l.own, 90)), new(Percentile(l.own, 100))
		}
		out.Lines = append(out.Lines, l.SLALine)
	}
	slices.SortFunc(out.Lines, func(x, y SLALine) int {
		return cmp.Or(strings.Compare(x.Customer, y.Customer), strings.Compare(x.Priority, y.Priority), strings.Compare(x.Clock, y.Clock))
	})
	slices.SortFunc(out.Breaches, func(x, y SLABreach) int {
		return cmp.Or(x.At.Compare(y.At), strings.Compare(x.Number, y.Number), strings.Compare(x.Clock, y.Clock))
	})
	return out
}

// lineKey names a line of the report.
type lineKey struct{ customer, priority, clock string }

// slaLine is a line with how long each clock of it took that was met, in seconds of its own time.
type slaLine struct {
	SLALine
	own []float64
}

// count adds a clock to its line. Each is in exactly one of the states.
func (l *SLALine) count(c sla.Clock, t Ticket, now time.Time) {
	l.Count++
	switch {
	case c.End == sla.Cancelled && !c.Breached(now):
		l.Cancelled++
	case c.Target.Inform:
		l.Informing++
	case c.Breached(now):
		l.Breached++
	case c.Waived && !c.Due.IsZero() && (c.Ended() && c.EndedAt.After(c.Due) || !c.Ended() && now.After(c.Due)):
		l.Waived++
	case c.End == sla.NotNeeded:
		l.NotNeeded++
	case c.End == sla.Met:
		l.Met++
	default:
		l.Running++
	}
	for _, told := range t.Told {
		if strings.HasPrefix(told.Step, c.Name+"/") {
			l.Ladder++
		}
	}
}

// breachOf is a missed target with what is known of why.
func breachOf(t Ticket, c sla.Clock, now time.Time) SLABreach {
	b := SLABreach{Number: t.Number, Customer: t.Customer, Priority: t.Priority, Clock: c.Name, Target: c.Target.Text(), At: c.BreachedAt}
	if b.At.IsZero() { // nothing has recorded it yet
		ticked, _ := c.Tick(now)
		b.At = ticked.BreachedAt
	}
	if c.End == sla.Met {
		at := c.EndedAt
		b.MetAt = &at
	}
	var why []string
	for _, w := range t.Waivers {
		switch {
		case w.Clock != c.Name:
		case w.Retrospective:
			why = append(why, "consent of "+w.By+" after the breach: "+w.Reason)
		case !w.Until.IsZero() && !w.Until.After(b.At):
			why = append(why, "consent of "+w.By+" ran out: "+w.Reason)
		}
	}
	switch {
	case len(why) > 0:
	case c.End == sla.Met:
		why = append(why, "met late")
	case c.Ended():
		why = append(why, string(c.End)+": "+c.EndReason)
	case c.Paused():
		why = append(why, "not met yet; the ticket waits")
	default:
		why = append(why, "not met yet")
	}
	b.Reason = strings.Join(why, "; ")
	return b
}

// Percentile is the value at p percent of sorted ones by nearest rank: the smallest that p percent are not above. It is 0
// when there is none.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}
