package collector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchbill/watchbill/collector/policy"
	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// report compares the reports that are named, line by line.
func (l looking) report(x *policy.Expectation) error {
	want := x.Report
	if want == nil {
		return nil
	}
	var span ticket.Span
	for _, side := range []struct {
		text string
		to   *time.Time
	}{{want.From, &span.From}, {want.Until, &span.Until}} {
		if side.text == "" {
			continue
		}
		at, err := l.w.s.Time(side.text, l.step.When)
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		*side.to = at
	}
	tickets := make([]ticket.Ticket, len(l.w.tickets))
	byID := map[string]ticket.Ticket{}
	hours := map[string]*sla.Calendar{}
	for i, c := range l.w.tickets {
		r, err := l.w.termsOf(l.ctx, c)
		if err != nil {
			return err
		}
		tickets[i], byID[c.t.ID], hours[c.t.ID] = c.t, c.t, r.Ticket.Hours()
	}
	r := ticket.ReportSLA(slices.Values(tickets), ticket.SLAQuestion{Span: span, Now: l.w.now,
		Hours: func(t ticket.Ticket) *sla.Calendar { return hours[t.ID] },
		Find:  func(id string) (ticket.Ticket, bool) { t, ok := byID[id]; return t, ok }})
	l.lines("report of targets", want.SLA, texts(r.Lines, slaLine))
	l.lines("report of breaches", want.Breaches, texts(r.Breaches, l.breachLine))
	l.lines("report first-to-know", want.FirstToKnow, texts(ticket.ReportFirstToKnow(slices.Values(tickets), span), firstLine))
	if err := l.reportEstate(want, tickets, span); err != nil {
		return err
	}
	l.lines("report of scores", want.NPS, texts(ticket.ReportNPS(slices.Values(tickets), span, l.w.s.Zoned), npsLine))
	return nil
}

// texts are things as text.
func texts[T any](all []T, text func(T) string) []string {
	out := make([]string, len(all))
	for i, one := range all {
		out[i] = text(one)
	}
	return out
}

// lines compares a report's lines, in order; nil compares nothing.
func (l looking) lines(what string, want, got []string) {
	if want == nil {
		return
	}
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			l.fail(fmt.Sprintf("%s, line %d", what, i+1), inQuotes(want[i]), "no line")
		case i >= len(want):
			l.fail(fmt.Sprintf("%s, line %d", what, i+1), "no line", inQuotes(got[i]))
		case !policy.Like(want[i], got[i]):
			l.fail(fmt.Sprintf("%s, line %d", what, i+1), inQuotes(want[i]), inQuotes(got[i]))
		}
	}
}

// slaLine is a line as text: "acme P1 response: 3 clocks, 2 met, 1 breached; 2 rungs; median 10m0s, longest 1h0m0s".
func slaLine(n ticket.SLALine) string {
	parts := []string{fmt.Sprintf("%d clocks", n.Count)}
	for _, c := range []struct {
		n    int
		word string
	}{{n.Met, "met"}, {n.Breached, "breached"}, {n.Waived, "waived"}, {n.NotNeeded, "not needed"}, {n.Cancelled, "cancelled"},
		{n.Running, "running"}, {n.Informing, "informing"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	s := fmt.Sprintf("%s %s %s: %s", n.Customer, n.Priority, n.Clock, strings.Join(parts, ", "))
	if n.Ladder > 0 {
		s += fmt.Sprintf("; %d rungs", n.Ladder)
	}
	if n.Longest != nil && *n.Longest > 0 {
		s += fmt.Sprintf("; median %v, p90 %v, longest %v", seconds(*n.Median), seconds(*n.P90), seconds(*n.Longest))
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (l looking) breachLine(b ticket.SLABreach) string {
	name := b.Number
	if i := slices.IndexFunc(l.w.tickets, func(c *aTicket) bool { return c.t.Number == b.Number }); i >= 0 {
		name = l.w.tickets[i].name
	}
	return fmt.Sprintf("%s %s %s %s at %s: %s", name, b.Priority, b.Clock, b.Target, b.At.In(l.w.s.Zoned).Format("2006-01-02 15:04"), b.Reason)
}

func firstLine(f ticket.FirstToKnow) string {
	s := fmt.Sprintf("%s: monitoring %d, person %d", or(f.Customer, "all"), f.Monitoring, f.Person)
	if f.Rate != nil {
		s += fmt.Sprintf(", rate %.2f", *f.Rate)
	}
	return s
}

func npsLine(n ticket.NPS) string {
	s := fmt.Sprintf("%s: %d answers, %d promoters, %d passives, %d detractors", n.Period, n.Answers, n.Promoters, n.Passives, n.Detractors)
	if n.Score != nil {
		s += fmt.Sprintf(", score %.0f", *n.Score)
	}
	return s
}
