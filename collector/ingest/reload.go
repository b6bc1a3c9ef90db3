package ingest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds are what can be changed while an Ingest runs. Zero parts have the defaults, as in Options.
type Bounds struct {
	Quotas  Quotas
	Door    Door
	Backlog Backlog
}

// Configure puts other bounds into force: for requests, connections and blocks from now on. Who has used up more than is
// allowed now waits; series and connections that stand go on until their agent's next block or connection. An error names
// every fault, and then nothing has changed.
func (i *Ingest) Configure(b Bounds) error {
	b.Quotas, b.Door = b.Quotas.orDefault(), b.Door.orDefault()
	if b.Backlog == (Backlog{}) {
		b.Backlog = DefaultBacklog()
	}
	if err := errors.Join(b.Quotas.Validate(), b.Door.Validate(), b.Backlog.Validate()); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	now := i.o.Now()
	i.bounds.Store(&b)
	i.agents.configure(b.Quotas, now)
	i.past.configure(b.Backlog, now)
	i.gates.configure(b.Door, time.Now()) // a gate goes by the machine's clock
	return nil
}

// SpreadFor is over how long so many agents are told to spread their return: as long as the door needs to let them in.
func (i *Ingest) SpreadFor(agents int) time.Duration {
	all := time.Duration(agents) * time.Second / time.Duration(i.bounds.Load().Door.PerSecond)
	return min(max(i.o.ReturnSpread, all), maxSpread)
}

// terms are what a customer has, and the prefix of its quotas in the configuration.
type terms struct {
	quotas CustomerQuotas
	key    string
}

func (c *customer) quotas() CustomerQuotas { return c.terms.Load().quotas }

func (c *customer) key() string { return c.terms.Load().key }

// adjust makes of l what per would have made. What was spent stays spent, and what is allowed beyond what was allowed
// before is allowed at once: who raises a quota of an hour does not want to wait for one.
func adjust(l *rate.Limiter, n int, d time.Duration, now time.Time) {
	more := n - l.Burst()
	l.SetLimitAt(now, per(n, d).Limit())
	l.SetBurstAt(now, n)
	if more > 0 {
		l.ReserveN(now, -more)
	}
}

func (a *agents) configure(q Quotas, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.quotas = q
	for id, c := range a.customers {
		own, key := q.of(id)
		c.terms.Store(&terms{own, key})
		adjust(c.reports, own.ReportsPerMinute, time.Minute, now)
		adjust(c.bytes, own.BytesPerMinute, time.Minute, now)
		adjust(c.events, own.EventsPerHour, time.Hour, now)
		adjust(c.shapes, own.ShapesPerHour, time.Hour, now)
		adjust(c.shapeBytes, own.ShapeBytesPerHour, time.Hour, now)
	}
	for _, one := range a.byID {
		adjust(one.reports, q.Agent.ReportsPerMinute, time.Minute, now)
		adjust(one.bytes, q.Agent.BytesPerMinute, time.Minute, now)
		adjust(one.events, q.Agent.EventsPerHour, time.Hour, now)
		adjust(one.shapes, q.Agent.ShapesPerHour, time.Hour, now)
		adjust(one.shapeBytes, q.Agent.ShapeBytesPerHour, time.Hour, now)
		adjust(one.renewals, q.Agent.RenewalsPerHour, time.Hour, now)
	}
}

// slots are those for reports of the past. When their number changes, those that are taken are given back to the old ones.
type slots struct{ free chan struct{} }

func newSlots(n int) *slots { return &slots{make(chan struct{}, n)} }

func (p *past) configure(o Backlog, now time.Time) {
	before := p.o.Swap(&o)
	p.budget.SetLimitAt(now, rate.Limit(o.SamplesPerSecond))
	p.budget.SetBurstAt(now, o.SamplesPerSecond)
	if before.AtOnce != o.AtOnce {
		p.slots.Store(newSlots(o.AtOnce))
	}
}

// gates are those that an Ingest has made. The zero value is ready.
type gates struct {
	mu  sync.Mutex
	all []*gate
}

// gate makes a gate before inner that later bounds apply to as well. Where the kernel cannot help it, the log says what that means.
func (i *Ingest) gate(inner net.Listener) *gate {
	i.gates.mu.Lock()
	defer i.gates.mu.Unlock()
	g := newGate(inner, i.bounds.Load().Door, i.metrics.turnedAway)
	i.gates.all = append(i.gates.all, g)
	if err := g.shutters.cannot; err != nil {
		i.o.Logger.Info("the kernel is not let drop what comes from an address that floods: each connection from there is taken and "+
			"turned away, which costs more", "error", err)
	}
	return g
}

func (g *gates) configure(d Door, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.all {
		one.configure(d, now)
	}
}

func (g *gate) configure(d Door, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.door = d
	g.pace.SetLimitAt(now, rate.Limit(d.PerSecond))
	g.pace.SetBurstAt(now, d.PerSecond)
	for _, c := range g.addresses {
		c.pace.SetLimitAt(now, rate.Limit(d.PerAddress))
		c.pace.SetBurstAt(now, d.AddressBurst)
	}
}
