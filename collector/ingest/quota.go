package ingest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Quotas bound what agents may cost over time: each of them, and all of a customer's together. The names in the tags are
// keys of the configuration, which is what messages call them: quotas.agent.series.
type Quotas struct {
	Agent    AgentQuotas    `yaml:"agent"`
	Customer CustomerQuotas `yaml:"customer"`
	// Customers are what single customers have instead, by ID; what is left out there is as in Customer.
	Customers map[string]CustomerQuotas `yaml:"customers"`
}

// AgentQuotas bound one agent. All must be positive.
type AgentQuotas struct {
	// ReportsPerMinute and BytesPerMinute (as they come over the line) make the agent wait; nothing is lost. An agent
	// needs 4 reports a minute; the rest is for its backlog.
	ReportsPerMinute int `yaml:"reports_per_minute"`
	BytesPerMinute   int `yaml:"bytes_per_minute"`
	// EventsPerHour: what is more is left out and counted.
	EventsPerHour int `yaml:"events_per_hour"`
	// Series and Sources are what the agent's blocks may hold together; a block that would be more is refused.
	Series  int `yaml:"series"`
	Sources int `yaml:"sources"`
	// ShapesPerHour and ShapeBytesPerHour bound the shapes that nobody at the customer has reported before.
	ShapesPerHour     int `yaml:"shapes_per_hour"`
	ShapeBytesPerHour int `yaml:"shape_bytes_per_hour"`
	// Connections that stand at a time; one more ends the oldest, whose line mostly broke without a word.
	Connections int `yaml:"connections"`
	// RenewalsPerHour bounds requests for certificates.
	RenewalsPerHour int `yaml:"renewals_per_hour"`
}

// CustomerQuotas bound all agents of a customer together, with the same meaning. All must be positive.
type CustomerQuotas struct {
	ReportsPerMinute  int `yaml:"reports_per_minute"`
	BytesPerMinute    int `yaml:"bytes_per_minute"`
	EventsPerHour     int `yaml:"events_per_hour"`
	Series            int `yaml:"series"`
	ShapesPerHour     int `yaml:"shapes_per_hour"`
	ShapeBytesPerHour int `yaml:"shape_bytes_per_hour"`
	// Shapes and ShapeBytes bound the shapes that are kept, for they outlive a restart; those that nobody has used for
	// an hour make room, the longest unused first.
	Shapes     int `yaml:"shapes"`
	ShapeBytes int `yaml:"shape_bytes"`
	// Connections that stand at a time; who comes next is told to come later.
	Connections int `yaml:"connections"`
}

// DefaultQuotas fit, for an agent, a busy host several times over, and 72 hours of its backlog at one report in 15 s in
// half an hour; for a customer, five thousand hosts, and the backlog of a few hundred at a time.
func DefaultQuotas() Quotas {
	return Quotas{
		Agent: AgentQuotas{
			ReportsPerMinute:  600,
			BytesPerMinute:    32 << 20,
			EventsPerHour:     2000,
			Series:            20_000,
			Sources:           256,
			ShapesPerHour:     240,
			ShapeBytesPerHour: 4 << 20,
			Connections:       4,
			RenewalsPerHour:   20,
		},
		Customer: CustomerQuotas{
			ReportsPerMinute:  60_000,
			BytesPerMinute:    1 << 30,
			EventsPerHour:     200_000,
			Series:            2_000_000,
			ShapesPerHour:     20_000,
			ShapeBytesPerHour: 256 << 20,
			Shapes:            50_000,
			ShapeBytes:        256 << 20,
			Connections:       10_000,
		},
	}
}

// named is one quota and the key it has in the configuration.
type named struct {
	name  string
	value *int
}

func (q *AgentQuotas) all() []named {
	return []named{
		{"reports_per_minute", &q.ReportsPerMinute}, {"bytes_per_minute", &q.BytesPerMinute},
		{"events_per_hour", &q.EventsPerHour}, {"series", &q.Series}, {"sources", &q.Sources},
		{"shapes_per_hour", &q.ShapesPerHour}, {"shape_bytes_per_hour", &q.ShapeBytesPerHour},
		{"connections", &q.Connections}, {"renewals_per_hour", &q.RenewalsPerHour},
	}
}

func (q *CustomerQuotas) all() []named {
	return []named{
		{"reports_per_minute", &q.ReportsPerMinute}, {"bytes_per_minute", &q.BytesPerMinute},
		{"events_per_hour", &q.EventsPerHour}, {"series", &q.Series}, {"shapes_per_hour", &q.ShapesPerHour},
		{"shape_bytes_per_hour", &q.ShapeBytesPerHour}, {"shapes", &q.Shapes}, {"shape_bytes", &q.ShapeBytes},
		{"connections", &q.Connections},
	}
}

// Validate names every quota that is not positive; of a single customer's, every one that is negative.
func (q Quotas) Validate() error {
	var errs []error
	check := func(where string, all []named, least int) {
		for _, f := range all {
			if *f.value < least {
				errs = append(errs, fmt.Errorf("quotas.%s.%s: must be positive, got %d", where, f.name, *f.value))
			}
		}
	}
	check("agent", q.Agent.all(), 1)
	check("customer", q.Customer.all(), 1)
	for _, id := range slices.Sorted(maps.Keys(q.Customers)) {
		own := q.Customers[id]
		check("customers."+id, own.all(), 0)
	}
	return errors.Join(errs...)
}

// orDefault fills in what was left out whole.
func (q Quotas) orDefault() Quotas {
	if q.Agent == (AgentQuotas{}) {
		q.Agent = DefaultQuotas().Agent
	}
	if q.Customer == (CustomerQuotas{}) {
		q.Customer = DefaultQuotas().Customer
	}
	return q
}

// of is what a customer has, and the prefix of its keys in the configuration.
func (q Quotas) of(customer string) (own CustomerQuotas, key string) {
	own, ok := q.Customers[customer]
	if !ok {
		return q.Customer, "quotas.customer."
	}
	general := q.Customer.all()
	for n, f := range own.all() {
		if *f.value == 0 {
			*f.value = *general[n].value
		}
	}
	return own, "quotas.customers." + customer + "."
}

// per is a limiter that lets n pass in d, all of them at once if need be.
func per(n int, d time.Duration) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(n)/d.Seconds()), n)
}

// wait is how long until n more are allowed by l; zero when they are, and then they are taken.
func wait(l *rate.Limiter, n int, now time.Time) time.Duration {
	n = min(n, l.Burst())
	r := l.ReserveN(now, n)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

// price is what a limiter is asked for, and the key of its quota.
type price struct {
	limiter *rate.Limiter
	n       int
	quota   string
}

// pay takes all of these or none, and says which quota does not allow it; empty when all do.
func pay(now time.Time, all ...price) (full string) {
	for i, p := range all {
		if wait(p.limiter, p.n, now) == 0 {
			continue
		}
		for _, taken := range all[:i] {
			taken.limiter.ReserveN(now, -min(taken.n, taken.limiter.Burst())) // given back
		}
		return p.quota
	}
	return ""
}
