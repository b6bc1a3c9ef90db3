package policy

import (
	"fmt"
	"slices"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/sla"
)

// clash is two overlays of a calendar, by their places, of which nobody can tell what hours are meant on a day.
type clash struct {
	first, second int
	day           sla.Date
	text          string
}

// fixOverlays says what to do about a clash.
const fixOverlays = "overlays only add hours, so the longer ones would count: give each its own days, or write hours that the other has not"

// clashes are the pairs of overlays that hold on one day with hours that overlap and are not the same, each pair once with
// its first such day. Where every hour counts overlays change nothing.
func clashes(spec sla.Spec) []clash {
	if spec.Always {
		return nil
	}
	var out []clash
	for j, b := range spec.Overlays {
		for i, a := range spec.Overlays[:j] {
			if day, ok := contradicted(a, b); ok {
				out = append(out, clash{i, j, day, fmt.Sprintf("overlays %s and %s contradict each other on %s, %v: %v and %v",
					a.Name, b.Name, day.Weekday(), day, a.Hours[day.Weekday()], b.Hours[day.Weekday()])})
			}
		}
	}
	return out
}

// contradicted is the first day on which two overlays hold with different hours, looked for through one week: hours are
// the same in each.
func contradicted(a, b sla.Overlay) (sla.Date, bool) {
	from, until := a.From, a.Until
	if from.Before(b.From) {
		from = b.From
	}
	if until.IsZero() || !b.Until.IsZero() && b.Until.Before(until) {
		until = b.Until
	}
	switch {
	case from.IsZero() && until.IsZero():
		from = sla.Date{Year: 2026, Month: 1, Day: 5} // both stand for good: any week will do
	case from.IsZero():
		from = until.AddDays(-6)
	}
	for n := range 7 {
		day := from.AddDays(n)
		if !until.IsZero() && until.Before(day) {
			break
		}
		if unlike(a.Hours[day.Weekday()], b.Hours[day.Weekday()]) {
			return day, true
		}
	}
	return sla.Date{}, false
}

// unlike tells hours that overlap and are not the same.
func unlike(a, b []sla.Span) bool {
	return !slices.Equal(a, b) && slices.ContainsFunc(a, func(x sla.Span) bool {
		return slices.ContainsFunc(b, func(y sla.Span) bool { return x.From < y.To && y.From < x.To })
	})
}

// overlayClashes finds clashes in which an overlay of the contract has a part; those of a set alone are the set's.
func (r Resolved) overlayClashes(k fleet.Contract, where string) []Finding {
	var found []Finding
	own := len(r.Ticket.Calendar.Overlays) - len(k.Overlays)
	for _, c := range clashes(r.Ticket.Calendar) {
		if c.second < own {
			continue
		}
		at := k.Overlays[c.second-own].At
		if at == "" {
			at = where
		}
		found = append(found, Finding{Where: at, Text: fmt.Sprintf("contract %s: %s", k.ID, c.text), Fix: fixOverlays, Fault: true})
	}
	return found
}
