package api

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/outbox"
	"github.com/watchbill/watchbill/collector/store"
	"github.com/watchbill/watchbill/rules"
)

// houseSight sees everything: what is counted for /metrics.
var houseSight = fleet.Operator{Name: "watchbill", Roles: []fleet.Role{fleet.Admin}}

// countLimit asks for all of something.
const countLimit = math.MaxInt32

// gaugesFor is how long a reading is good for. A reading that took long is good for longer, so that scrapers, however
// many, never take more than a twentieth of the collector's time.
func gaugesFor(took time.Duration) time.Duration { return max(time.Second, 20*took) }

// gauges shows what the store and the window hold, read when asked. Alerts are counted by the evaluator itself.
type gauges struct {
	api *API

	tickets, flapping, assets, messages, build *prometheus.Desc
	// requests counts answers by status: 401 and 403 show who knocks without a right.
	requests *prometheus.CounterVec

	mu    sync.Mutex
	last  reading
	until time.Time
}

// reading is one look at everything that is counted.
type reading struct {
	tickets  map[ticketLabels]int
	flapping int
	alerts   map[rules.State]int
	assets   map[AssetState]int
	messages map[outbox.MessageState]int
}

type ticketLabels struct{ priority, state, customer string }

func newGauges(a *API) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		api:      a,
		tickets:  desc("watchbill_tickets", "Open tickets.", "priority", "state", "customer"),
		flapping: desc("watchbill_tickets_flapping", "Open tickets whose alerts go up and down, told once and counted since."),
		assets:   desc("watchbill_assets", "Assets of the fleet, by whether they report (reporting, silent, never).", "state"),
		messages: desc("watchbill_outbox_messages", "Messages not delivered yet, by state (queued, buried, parked).", "state"),
		build: desc("watchbill_build_info", "Always 1; the labels say which program this is.",
			"version", "revision", "goversion", "platform"),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "watchbill_api_requests_total",
			Help: "Requests on the operators' listener, by the HTTP status of the answer."}, []string{"code"}),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.tickets, g.flapping, g.assets, g.messages, g.build} {
		ch <- d
	}
	g.requests.Describe(ch)
}

// Collect implements prometheus.Collector. A store that cannot be read makes the gauges that need it fail, with the
// reason, and none other.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	b := g.api.o.Build
	ch <- prometheus.MustNewConstMetric(g.build, prometheus.GaugeValue, 1, b.Version, b.Revision, b.GoVersion, b.Platform)
	g.requests.Collect(ch)
	ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
	defer cancel()
	r, err := g.read(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.tickets, err)
		return
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for l, n := range r.tickets {
		gauge(g.tickets, n, l.priority, l.state, l.customer)
	}
	gauge(g.flapping, r.flapping)
	for s, n := range r.assets {
		gauge(g.assets, n, string(s))
	}
	for s, n := range r.messages {
		gauge(g.messages, n, string(s))
	}
}

// read is what is there now, or was a moment ago.
func (g *gauges) read(ctx context.Context) (reading, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	began := g.api.o.Now()
	if began.Before(g.until) {
		return g.last, nil
	}
	r, err := g.look(ctx)
	if err != nil {
		return reading{}, fmt.Errorf("count: %w", err)
	}
	g.last, g.until = r, began.Add(gaugesFor(g.api.o.Now().Sub(began)))
	return r, nil
}

func (g *gauges) look(ctx context.Context) (reading, error) {
	// What can be counted is there with 0, so that a rule on it has a series to look at.
	r := reading{
		tickets:  map[ticketLabels]int{},
		alerts:   map[rules.State]int{},
		assets:   map[AssetState]int{Reporting: 0, Silent: 0, Never: 0},
		messages: map[outbox.MessageState]int{outbox.Queued: 0, outbox.Buried: 0, outbox.Parked: 0},
	}
	err := g.api.o.Store.View(ctx, func(tx store.Tx) error {
		clear(r.tickets)
		clear(r.alerts)
		r.flapping = 0
		standing, err := g.api.standing(tx)
		if err != nil {
			return err
		}
		for _, s := range standing {
			r.alerts[s.Alert.State]++
		}
		open, err := tx.Tickets(store.TicketFilter{OpenOnly: true, Limit: countLimit})
		if err != nil {
			return err
		}
		for _, t := range open {
			r.tickets[ticketLabels{t.Priority, string(t.State), t.Customer}]++
			if t.Flaps() {
				r.flapping++
			}
		}
		for s := range r.messages {
			messages, err := tx.Messages(s, countLimit)
			if err != nil {
				return err
			}
			r.messages[s] = len(messages)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	for _, as := range g.api.assets(sight{who: houseSight}) {
		r.assets[as.State]++
	}
	return r, nil
}

func (r reading) counts() Counts {
	c := Counts{Assets: r.assets, QueuedMessages: r.messages[outbox.Queued], BuriedMessages: r.messages[outbox.Buried], ParkedMessages: r.messages[outbox.Parked],
		PendingAlerts: r.alerts[rules.Pending], FiringAlerts: r.alerts[rules.Firing]}
	for _, n := range r.tickets {
		c.OpenTickets += n
	}
	return c
}
