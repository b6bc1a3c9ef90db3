package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/sla"
	"github.com/watchbill/watchbill/collector/ticket"
)

// maxCounted bounds how many values of one label the collector counts apart: those that come later are counted together.
const maxCounted = 500

// others is what stands for the values of a label that are not counted apart.
const others = "others"

// bound lets the first so many values of a label through and makes the rest one. The zero value is ready.
type bound struct {
	mu    sync.Mutex
	known map[string]bool
}

func (b *bound) of(value string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.known[value]:
		return value
	case len(b.known) >= maxCounted:
		return others
	case b.known == nil:
		b.known = map[string]bool{}
	}
	b.known[value] = true
	return value
}

// customerMetrics count what customers are promised and get, for dashboards. Reports over months read the tickets
// themselves instead.
type customerMetrics struct {
	customers bound
	clocks    bound
	people    bound

	breaches, met, first *prometheus.CounterVec
	response, resolution *prometheus.HistogramVec
	acknowledged, byHour *prometheus.CounterVec
}

func newCustomerMetrics(reg prometheus.Registerer) *customerMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	took := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(60, 2, 15)}, []string{"customer"}) // 1 minute … 11 days
	}
	m := &customerMetrics{
		breaches: counter("watchbill_customer_breaches_total", "Targets that were missed, by customer and clock.", "customer", "clock"),
		met:      counter("watchbill_customer_met_in_time_total", "Targets that were met before they were due, by customer and clock.", "customer", "clock"),
		first: counter("watchbill_customer_first_to_know_total",
			"Incidents by customer and who knew of them first as they were opened: monitoring, or a person who reported it.", "customer", "who"),
		response:   took("watchbill_customer_response_seconds", "From receipt to the first acknowledgement by a person, by customer and by the clock on the wall."),
		resolution: took("watchbill_customer_resolution_seconds", "From receipt to every resolution, by customer and by the clock on the wall."),
		acknowledged: counter("watchbill_acknowledgements_total",
			"First acknowledgements by people, by who gave them.", "person"),
		byHour: counter("watchbill_acknowledgements_by_hour_total", "First acknowledgements by people, by the hour of the day in UTC, 00 to 23.", "hour"),
	}
	for h := range 24 {
		m.byHour.WithLabelValues(hourOf(time.Date(2000, 1, 1, h, 0, 0, 0, time.UTC)))
	}
	reg.MustRegister(m.breaches, m.met, m.first, m.response, m.resolution, m.acknowledged, m.byHour)
	return m
}

// hourOf is the hour of an instant as a label.
func hourOf(at time.Time) string { return at.UTC().Format("15") }

// expect begins a ticket's counters at 0, so that the first of a kind is an increase.
func (m *customerMetrics) expect(t ticket.Ticket) {
	customer := m.customers.of(t.Customer)
	for _, c := range t.Clocks {
		m.breaches.WithLabelValues(customer, m.clocks.of(c.Name))
		m.met.WithLabelValues(customer, m.clocks.of(c.Name))
	}
	for _, who := range []string{ticket.FirstMonitoring, ticket.FirstPerson} {
		m.first.WithLabelValues(customer, who)
	}
	m.response.WithLabelValues(customer)
	m.resolution.WithLabelValues(customer)
}

// count counts one committed change.
func (m *customerMetrics) count(c ticket.Change) {
	t := c.Ticket
	customer := m.customers.of(t.Customer)
	for _, e := range c.Events {
		switch e.Kind {
		case ticket.Opened:
			m.expect(t)
			if who := t.Facts[ticket.FactFirst]; who != "" {
				m.first.WithLabelValues(customer, who).Inc()
			}
		case ticket.Acknowledged, ticket.Started:
			if e.At.Equal(t.AcknowledgedAt) && !t.AutoAcked {
				m.response.WithLabelValues(customer).Observe(since(t, e.At))
				m.acknowledged.WithLabelValues(m.people.of(t.AcknowledgedBy)).Inc()
				m.byHour.WithLabelValues(hourOf(e.At)).Inc()
			}
		case ticket.Resolved:
			m.resolution.WithLabelValues(customer).Observe(since(t, e.At))
		case ticket.ClockBreached:
			if e.Detail != nil {
				m.breaches.WithLabelValues(customer, m.clocks.of(e.Detail.What)).Inc()
			}
		case ticket.ClockMet:
			if e.Detail != nil && inTime(t, e.Detail.What) {
				m.met.WithLabelValues(customer, m.clocks.of(e.Detail.What)).Inc()
			}
		}
	}
}

func since(t ticket.Ticket, at time.Time) float64 { return max(0, at.Sub(t.Received()).Seconds()) }

// inTime tells whether a ticket's clock was never missed: one that was met late is a breach and nothing else.
func inTime(t ticket.Ticket, clock string) bool {
	c, ok := t.Clock(clock)
	return ok && c.BreachedAt.IsZero() && c.End == sla.Met
}
