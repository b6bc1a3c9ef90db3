package ingest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quotas bound what one agent may cost over time. The names in the tags are what messages call them: quotas.series. All
// must be positive.
type Quotas struct {
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
	// ShapeBytesPerCustomer bounds all shapes of a customer, for they are kept.
	ShapeBytesPerCustomer int `yaml:"shape_bytes_per_customer"`
	// RenewalsPerHour bounds requests for certificates of one agent.
	RenewalsPerHour int `yaml:"renewals_per_hour"`
}

// DefaultQuotas fit a busy host several times over, and 72 hours of its backlog at one report in 15 s in half an hour.
func DefaultQuotas() Quotas {
	return Quotas{
		ReportsPerMinute:      600,
		BytesPerMinute:        32 << 20,
		EventsPerHour:         2000,
		Series:                20_000,
		Sources:               256,
		ShapesPerHour:         240,
		ShapeBytesPerHour:     8 << 20,
		ShapeBytesPerCustomer: 256 << 20,
		RenewalsPerHour:       20,
	}
}

// Validate names every quota that is not positive.
func (q Quotas) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value int
	}{
		{"reports_per_minute", q.ReportsPerMinute}, {"bytes_per_minute", q.BytesPerMinute},
		{"events_per_hour", q.EventsPerHour}, {"series", q.Series}, {"sources", q.Sources},
		{"shapes_per_hour", q.ShapesPerHour}, {"shape_bytes_per_hour", q.ShapeBytesPerHour},
		{"shape_bytes_per_customer", q.ShapeBytesPerCustomer}, {"renewals_per_hour", q.RenewalsPerHour},
	} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("quotas.%s: must be positive, got %d", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// agents holds what is known about each agent since the start. Only agents with a certificate get in here, so there are
// never more of them than the fleet has enrolled.
type agents struct {
	quotas Quotas
	mu     sync.Mutex
	byID   map[string]*agent
}

func newAgents(q Quotas) *agents { return &agents{quotas: q, byID: map[string]*agent{}} }

// agent is one agent since the start. Its fields belong to whoever holds turn.
type agent struct {
	// turn is taken for a whole request, so that an agent costs one body at a time whatever it opens, and a report that
	// comes twice at once takes effect once.
	turn chan struct{}

	reports, bytes, events, shapes, shapeBytes, renewals *rate.Limiter

	seen    seen
	sources map[string]source
	// firstAt is when it first reported in this incarnation.
	firstAt time.Time
	// told is when a person was last told about a refusal, by reason.
	told map[string]time.Time
}

// source is one sampler of an agent.
type source struct {
	// newest is the time of its newest block, seenAt when one last came.
	newest, seenAt time.Time
	series         int
}

func (a *agents) get(id string) *agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.byID[id]
	if !ok {
		one = newAgent(a.quotas)
		a.byID[id] = one
	}
	return one
}

func newAgent(q Quotas) *agent {
	per := func(n int, d time.Duration) *rate.Limiter {
		return rate.NewLimiter(rate.Limit(float64(n)/d.Seconds()), n)
	}
	return &agent{
		turn:       make(chan struct{}, 1),
		reports:    per(q.ReportsPerMinute, time.Minute),
		bytes:      per(q.BytesPerMinute, time.Minute),
		events:     per(q.EventsPerHour, time.Hour),
		shapes:     per(q.ShapesPerHour, time.Hour),
		shapeBytes: per(q.ShapeBytesPerHour, time.Hour),
		renewals:   per(q.RenewalsPerHour, time.Hour),
		sources:    map[string]source{},
		told:       map[string]time.Time{},
	}
}

// forgetSource is how long a source counts after its last block.
const forgetSource = time.Hour

// room says whether the agent's sources may hold this many series under this name; empty when they may, otherwise the
// quota that is full. It forgets sources that have fallen silent when it has to.
func (a *agent) room(q Quotas, name string, series int, now time.Time) (quota string, found, limit int) {
	full := func() (string, int, int) {
		total, count := series, 1
		for n, s := range a.sources {
			if n != name {
				total, count = total+s.series, count+1
			}
		}
		if count > q.Sources {
			return "sources", count, q.Sources
		}
		if total > q.Series {
			return "series", total, q.Series
		}
		return "", 0, 0
	}
	if quota, found, limit = full(); quota == "" {
		return quota, found, limit
	}
	for n, s := range a.sources {
		if now.Sub(s.seenAt) > forgetSource {
			delete(a.sources, n)
		}
	}
	return full()
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
