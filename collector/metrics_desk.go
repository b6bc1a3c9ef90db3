package collector

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// deskMetrics count what policies made of tickets.
type deskMetrics struct {
	breaches, waiting, handoffs, waivers, approvals, refusals, notices, ratings *prometheus.CounterVec
}

func newDeskMetrics(reg prometheus.Registerer) *deskMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &deskMetrics{
		breaches: counter("watchbill_sla_breaches_total",
			"Targets that were missed, by policy, clock, and how the ticket stood then: unacknowledged, waiting, offered, in_work, waiver_over.",
			"policy", "clock", "reason"),
		waiting:   counter("watchbill_ticket_waiting_seconds_total", "How long tickets waited, by reason, counted when they wait no more.", "reason"),
		handoffs:  counter("watchbill_handoffs_total", "Handoffs of tickets to another party, by outcome: offered, accepted, returned.", "outcome"),
		waivers:   counter("watchbill_waivers_total", "Consents to miss a target, by kind: before the breach, or retrospective, which changes nothing.", "kind"),
		approvals: counter("watchbill_approvals_total", "Dated approvals that were recorded on tickets, by role.", "role"),
		refusals:  counter("watchbill_gate_refusals_total", "Attempts that a gate refused, by gate.", "gate"),
		notices: counter("watchbill_notices_total",
			"Notices by channel (all, receiver, person, external) and outcome: queued for delivery, held for a digest or the morning, drafted for the owning department.",
			"channel", "outcome"),
		ratings: counter("watchbill_ratings_total", "Ratings of closed tickets: promoter (9, 10), passive (7, 8), detractor (0 to 6).", "group"),
	}
	for _, outcome := range []string{"offered", "accepted", "returned"} {
		m.handoffs.WithLabelValues(outcome)
	}
	for _, kind := range []string{waiverBefore, waiverLate} {
		m.waivers.WithLabelValues(kind)
	}
	for _, group := range ratingGroups {
		m.ratings.WithLabelValues(group)
	}
	reg.MustRegister(m.breaches, m.waiting, m.handoffs, m.waivers, m.approvals, m.refusals, m.notices, m.ratings)
	return m
}

// reasons are how a ticket may stand when a clock of it is missed.
var reasons = [...]string{"unacknowledged", "waiting", "offered", "in_work", "waiver_over"}

// expect begins the counters of what may happen under terms at 0, so that the first of a kind is an increase.
func (m *deskMetrics) expect(t ticket.Terms) {
	for _, r := range t.Targets {
		for _, reason := range reasons {
			m.breaches.WithLabelValues(t.Policy, r.Target.Clock, reason)
		}
	}
	for _, g := range t.Gates {
		m.refusals.WithLabelValues(g.Name)
		for _, n := range g.Needs {
			if n.Kind == "approval" {
				for _, role := range n.Roles {
					m.approvals.WithLabelValues(role)
				}
			}
		}
	}
}

const (
	waiverBefore = "before"
	waiverLate   = "retrospective"
)

// count counts one committed change.
func (m *deskMetrics) count(c ticket.Change) {
	for i, e := range c.Events {
		d := e.Detail
		if d == nil {
			d = &ticket.Detail{}
		}
		switch e.Kind {
		case ticket.ClockBreached:
			m.breaches.WithLabelValues(c.Ticket.Policy, d.What, stoodAt(c, i)).Inc()
		case ticket.WaitOver:
			if d.Wait != nil {
				m.waiting.WithLabelValues(d.Wait.Reason).Add(max(0, e.At.Sub(d.Wait.Since).Seconds()))
			}
		case ticket.HandedOff:
			m.handoffs.WithLabelValues("offered").Inc()
		case ticket.HandoffTaken:
			m.handoffs.WithLabelValues("accepted").Inc()
		case ticket.HandoffBack:
			m.handoffs.WithLabelValues("returned").Inc()
		case ticket.WaiverGiven:
			kind := waiverBefore
			if d.Waiver != nil && d.Waiver.Retrospective {
				kind = waiverLate
			}
			m.waivers.WithLabelValues(kind).Inc()
		case ticket.Approved:
			role := ""
			if d.Approval != nil {
				role = d.Approval.Role
			}
			m.approvals.WithLabelValues(role).Inc()
		case ticket.Refused:
			m.refused(d.Refusal)
		case ticket.Drafted:
			if e.Actor.Kind == ticket.House {
				m.notices.WithLabelValues("external", "drafted").Inc()
			}
		case ticket.Rated:
			m.rated(d.Rating)
		}
	}
}

func (m *deskMetrics) refused(g *ticket.GateError) {
	if g == nil {
		return
	}
	m.refusals.WithLabelValues(g.Gate).Inc()
	for _, also := range g.Also {
		m.refusals.WithLabelValues(also.Gate).Inc()
	}
}

// stoodAt is how a ticket stood when a clock of it was missed: what may be done about it.
func stoodAt(c ticket.Change, event int) string {
	t := c.Ticket
	state := c.Was
	for _, e := range c.Events[:event] { // those before it in the same change may have moved it
		switch e.Kind {
		case ticket.Opened:
			state = ticket.New
		case ticket.Acknowledged:
			state = ticket.Acked
		case ticket.Started, ticket.WaitOver:
			state = ticket.InProgress
		case ticket.WaitBegan:
			state = ticket.Waiting
		case ticket.Reopened:
			state = ticket.Again
		}
	}
	clock := c.Events[event].Detail.What
	waived := slices.ContainsFunc(t.Waivers, func(w ticket.Waiver) bool { return w.Clock == clock && !w.Retrospective })
	switch {
	case waived:
		return "waiver_over"
	case state == ticket.Waiting:
		return "waiting"
	case t.Handoff != nil:
		return "offered"
	case state == ticket.New || state == ticket.Again || state == "":
		return "unacknowledged"
	}
	return "in_work"
}

// rated counts one answer.
func (m *deskMetrics) rated(r *ticket.Rating) {
	if r != nil {
		m.ratings.WithLabelValues(ratingGroup(r.Score)).Inc()
	}
}

// clockGauges counts open tickets' clocks when it is asked, at most every countEvery: it reads a row of every open ticket.
type clockGauges struct {
	store store.Store
	now   func() time.Time

	mu     sync.Mutex
	at     time.Time
	counts map[store.ClockCount]int
}

const countEvery = 30 * time.Second

var clocksDesc = prometheus.NewDesc("watchbill_sla_clocks",
	"Clocks of open tickets, by name, state (running, paused, at_risk, breached, met …) and policy.", []string{"clock", "state", "policy"}, nil)

// Describe implements prometheus.Collector.
func (g *clockGauges) Describe(ch chan<- *prometheus.Desc) { ch <- clocksDesc }

// Collect implements prometheus.Collector.
func (g *clockGauges) Collect(ch chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); g.at.IsZero() || now.Sub(g.at).Abs() >= countEvery {
		err := g.store.View(context.Background(), func(tx store.Tx) (err error) {
			g.counts, err = tx.CountClocks()
			return err
		})
		if err != nil {
			ch <- prometheus.NewInvalidMetric(clocksDesc, err)
			return
		}
		g.at = now
	}
	for c, n := range g.counts {
		ch <- prometheus.MustNewConstMetric(clocksDesc, prometheus.GaugeValue, float64(n), c.Clock,
			strings.ReplaceAll(string(c.State), " ", "_"), c.Policy)
	}
}

// said counts notices by channel and outcome.
func (m *deskMetrics) said(counts map[[2]string]int) {
	for by, n := range counts {
		m.notices.WithLabelValues(by[0], by[1]).Add(float64(n))
	}
}
