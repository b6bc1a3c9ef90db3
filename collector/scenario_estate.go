package collector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/ticket"
)

// reportEstate compares the reports about what customers have: availability, the ends of support, compliance.
func (l looking) reportEstate(want *policy.ReportWant, tickets []ticket.Ticket, span ticket.Span) error {
	environments, err := l.environments(want.Watched)
	if err != nil {
		return err
	}
	if want.Availability != nil {
		l.lines("report of availability", want.Availability,
			texts(ticket.ReportAvailability(environments, slices.Values(tickets), span, l.w.s.Zoned, l.w.now), upLine))
	}
	if want.Lifecycle != nil {
		found, _, err := policy.ReportLifecycle(l.lifecycle(want, span))
		if err != nil {
			return err
		}
		l.lines("report of lifecycle", want.Lifecycle, texts(found, endingLine))
	}
	if want.Compliance != nil {
		mute := map[string]bool{}
		for _, name := range want.Silent {
			mute[name] = true
		}
		terms := func(customer string) (policy.Resolved, error) {
			return l.w.p.Terms(customer)
		}
		found, err := policy.ReportCompliance(policy.ComplianceQuestion{Environments: environments, Terms: terms, Tickets: slices.Values(tickets),
			Mute: mute, Checks: want.Checks(), Now: l.w.now})
		if err != nil {
			return err
		}
		l.lines("report of compliance", want.Compliance, texts(found, l.standingLine))
	}
	return nil
}

// lifecycle is the question of a report of the ends of support.
func (l looking) lifecycle(want *policy.ReportWant, span ticket.Span) policy.LifecycleQuestion {
	q := policy.LifecycleQuestion{Customers: l.w.fleet.Customers(), Person: l.w.fleet.Person, Today: fleet.DateOf(l.w.now, l.w.s.Zoned),
		Due: fleet.Date(want.Due), Of: func(customer string) (*policy.Lifecycle, error) {
			r, err := l.w.p.Terms(customer)
			return r.Lifecycle, err
		}}
	if want.Until != "" {
		q.Last = fleet.DateOf(span.Until.Add(-1), l.w.s.Zoned)
	}
	return q
}

// environments are those that the directory declares, watched as the scenario says.
func (l looking) environments(watched map[string]string) ([]ticket.Environment, error) {
	since := map[string]time.Time{}
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		at, err := l.w.s.Time(watched[name], l.step.When)
		if err != nil {
			return nil, fmt.Errorf("report: watched: %s: %w", name, err)
		}
		since[name] = at
	}
	declared := slices.DeleteFunc(slices.Clone(l.w.fleet.Assets()), func(a fleet.Asset) bool { return a.Environment == "" })
	return policy.Environments(declared, func(a fleet.Asset) time.Time { return since[a.Name] }), nil
}

// endingLine is a line as text: "mia (Mia Lund) sas host laptop7: 2026-02-28 ended, due before 2026-10-01".
func endingLine(e policy.Ending) string {
	state := "ends"
	if e.Ended {
		state = "ended"
	}
	s := fmt.Sprintf("%s %s %s: %s %s", e.Customer, e.Kind, strings.TrimSpace(e.What+" "+e.Version), e.SupportEnds, state)
	if e.Responsible != "" {
		s = fmt.Sprintf("%s (%s) %s", e.Responsible, e.Name, s)
	}
	if e.Due != "" {
		s += fmt.Sprintf(", due before %s", e.Due)
	}
	return s
}

// standingLine is a line as text: "acme production patches: deviating by a", "acme test backup: unknown; no report from lab1".
func (l looking) standingLine(c policy.Standing) string {
	s := fmt.Sprintf("%s %s %s: %s", c.Customer, c.Environment, c.Demand, c.State)
	var by []string
	for _, number := range c.Deviations {
		i := slices.IndexFunc(l.w.tickets, func(t *aTicket) bool { return t.t.Number == number })
		by = append(by, l.w.tickets[i].name)
	}
	if len(by) > 0 {
		s += " by " + strings.Join(by, ", ")
	}
	if c.Why != "" {
		s += "; " + c.Why
	}
	return s
}

func upLine(a ticket.Availability) string {
	s := fmt.Sprintf("%s %s %s: maintenance %v, unknown %v, down %v", a.Customer, a.Environment, a.Month, seconds(a.Maintenance),
		seconds(a.Unknown), seconds(a.Down))
	if a.Available != nil {
		s += fmt.Sprintf(", available %.4f", *a.Available)
	}
	return s
}
