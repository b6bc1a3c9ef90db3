package collector

import (
	"cmp"
	"context"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/collector/ticket"
)

// maxListed is how many open tickets have a series of their own, those that want work first.
const maxListed = 1000

// openTickets tell of open tickets one by one, for lists and annotations on dashboards, and count their clocks by customer.
// They read all of them when asked, at most once a second, and for no more than a twentieth of the time.
type openTickets struct {
	store   store.Store
	metrics *customerMetrics
	now     func() time.Time
	// most is how many have a series of their own; maxListed when it is 0.
	most int

	mu    sync.Mutex
	until time.Time
	last  openReading
}

// openReading is one look at the open tickets.
type openReading struct {
	listed  []ticket.Ticket
	leftOut int
	owned   map[ownedLabels]int
	clocks  map[clockLabels]int
}

type (
	ownedLabels struct{ customer, priority, owner string }
	clockLabels struct{ customer, clock, state string }
)

var (
	openedDesc = prometheus.NewDesc("watchbill_ticket_opened_timestamp_seconds",
		"When an open ticket was opened; absent once it is resolved. Of the first 1,000 of the queue: watchbill_tickets_left_out counts the others.",
		[]string{"number", "priority", "state", "customer", "site", "asset", "service", "owner"}, nil)
	leftOutDesc = prometheus.NewDesc("watchbill_tickets_left_out",
		"Open tickets that watchbill_ticket_opened_timestamp_seconds leaves out, for there are more than 1,000.", nil, nil)
	ownedDesc = prometheus.NewDesc("watchbill_tickets_by_owner",
		"Open tickets by customer, priority and the party that owns them.", []string{"customer", "priority", "owner"}, nil)
	customerClocksDesc = prometheus.NewDesc("watchbill_customer_clocks",
		"Clocks of open tickets by customer, name and state (running, paused, at_risk, breached, met …).", []string{"customer", "clock", "state"}, nil)
)

// Describe implements prometheus.Collector.
func (o *openTickets) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range [...]*prometheus.Desc{openedDesc, leftOutDesc, ownedDesc, customerClocksDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A store that cannot be read makes these gauges fail, with the reason.
func (o *openTickets) Collect(ch chan<- prometheus.Metric) {
	r, err := o.read(context.Background())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(leftOutDesc, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, t := range r.listed {
		gauge(openedDesc, float64(t.OpenedAt.UnixMilli())/1e3, t.Number, t.Priority, string(t.State), t.Customer, t.Site, t.Asset, t.Service, t.Owner)
	}
	gauge(leftOutDesc, float64(r.leftOut))
	for l, n := range r.owned {
		gauge(ownedDesc, float64(n), l.customer, l.priority, l.owner)
	}
	for l, n := range r.clocks {
		gauge(customerClocksDesc, float64(n), l.customer, l.clock, l.state)
	}
}

// read is what is open now, or was a moment ago.
func (o *openTickets) read(ctx context.Context) (openReading, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	began := o.now()
	if began.Before(o.until) {
		return o.last, nil
	}
	var r openReading
	err := o.store.View(ctx, func(tx store.Tx) error {
		r = openReading{owned: map[ownedLabels]int{}, clocks: map[clockLabels]int{}} // it may run again
		all, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Order: store.InQueue, Limit: math.MaxInt32})
		if err != nil {
			return err
		}
		r.leftOut = max(0, len(all)-cmp.Or(o.most, maxListed))
		r.listed = all[:len(all)-r.leftOut]
		for _, t := range all {
			o.count(&r, t, began)
		}
		return nil
	})
	if err != nil {
		return openReading{}, err
	}
	o.last, o.until = r, began.Add(max(time.Second, 20*o.now().Sub(began)))
	return r, nil
}

func (o *openTickets) count(r *openReading, t ticket.Ticket, now time.Time) {
	customer := o.metrics.customers.of(t.Customer)
	r.owned[ownedLabels{customer, t.Priority, t.Owner}]++
	for _, c := range t.Clocks {
		state := strings.ReplaceAll(string(c.State(now)), " ", "_")
		r.clocks[clockLabels{customer, o.metrics.clocks.of(c.Name), state}]++
	}
	o.metrics.expect(t) // after a restart its first breach is to be an increase, too
}
