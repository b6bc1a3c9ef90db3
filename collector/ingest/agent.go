package ingest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// agents holds what is known about each agent and customer since the start. Only agents with a certificate get in here,
// so there are never more of them than the fleet has enrolled.
type agents struct {
	quotas Quotas
	count  atomic.Int64

	mu        sync.Mutex
	byID      map[string]*agent
	customers map[string]*customer
}

func newAgents(q Quotas) *agents {
	return &agents{quotas: q, byID: map[string]*agent{}, customers: map[string]*customer{}}
}

// customer is all agents of one customer since the start.
type customer struct {
	id    string
	terms atomic.Pointer[terms]

	reports, bytes, events, shapes, shapeBytes *rate.Limiter

	// series is the sum over its agents' sources.
	series atomic.Int64
	// connections belongs to agents.mu.
	connections int
	// held belongs to past.mu.
	held int64
}

// agent is one agent since the start. Its fields belong to whoever holds turn, where nothing else is said.
type agent struct {
	customer *customer
	// turn is taken for a whole request, so that an agent costs one body at a time whatever it opens, and a report that
	// comes twice at once takes effect once.
	turn chan struct{}

	reports, bytes, events, shapes, shapeBytes, renewals *rate.Limiter

	seen    seen
	sources map[string]source
	// outlines and said, by source, are what its reports of version 1 may lean on; version1 is the one in hand.
	outlines wire.Outlines
	said     map[string]*said
	version1 bool
	// asked are the shapes that this agent alone was asked for.
	asked []askKey
	// sent is what the request in hand says of its report; price is what its last report had of samples.
	sent  sending
	price int
	// round is the recall's that it is in; anybody may read it.
	round atomic.Uint32
	// credits are the reports of the past it may still send, granted the price each was given at.
	credits, granted int
	// replayed is since when it has sent everything again; zero when it has not.
	replayed time.Time
	// firstAt is when it first reported in this incarnation.
	firstAt time.Time
	// renewTold is when it was last told to renew its certificate before its time.
	renewTold time.Time
	// comeAt is when it was last told to come again, in Unix nanoseconds, and pastAt when with reports of the past; anybody
	// may use them.
	comeAt, pastAt atomic.Int64
	// told is when a person was last told about a refusal, by reason.
	told map[string]time.Time

	// guests are its connections, oldest first; they belong to agents.mu.
	guests []*guest
}

// source is one sampler of an agent.
type source struct {
	// newest is the time of its newest block, seenAt when one last came.
	newest, seenAt time.Time
	series         int
}

func (a *agents) get(who fleet.Agent) *agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.byID[who.ID]
	if ok {
		return one
	}
	c, ok := a.customers[who.Customer]
	if !ok {
		c = newCustomer(who.Customer, a.quotas)
		a.customers[who.Customer] = c
	}
	one = newAgent(a.quotas.Agent, c)
	a.byID[who.ID] = one
	a.count.Add(1)
	return one
}

// all is every agent, by ID.
func (a *agents) all() map[string]*agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]*agent, len(a.byID))
	for id, one := range a.byID {
		out[id] = one
	}
	return out
}

func newCustomer(id string, quotas Quotas) *customer {
	q, key := quotas.of(id)
	c := &customer{
		id:         id,
		reports:    per(q.ReportsPerMinute, time.Minute),
		bytes:      per(q.BytesPerMinute, time.Minute),
		events:     per(q.EventsPerHour, time.Hour),
		shapes:     per(q.ShapesPerHour, time.Hour),
		shapeBytes: per(q.ShapeBytesPerHour, time.Hour),
	}
	c.terms.Store(&terms{q, key})
	return c
}

func newAgent(q AgentQuotas, c *customer) *agent {
	return &agent{
		customer:   c,
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

// enter waits for the agent's turn; false when it did not come.
func (a *agent) enter(ctx context.Context) bool {
	select {
	case a.turn <- struct{}{}:
		return true
	default:
	}
	t := time.NewTimer(turnTimeout)
	defer t.Stop()
	select {
	case a.turn <- struct{}{}:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

func (a *agent) leave() { <-a.turn }

// over is the first quota that says wait; reason is empty when none does, and then one report is taken from all. A report
// of the past is paid for with its credit instead: what is live must never wait because the past came first.
func (a *agent) over(now time.Time) (reason, quota string, d time.Duration) {
	c := a.customer
	if d := wait(a.bytes, 1, now); d > 0 {
		return reasonBytes, "quotas.agent.bytes_per_minute", d
	}
	if d := wait(c.bytes, 1, now); d > 0 {
		return reasonCustomerBytes, c.key() + "bytes_per_minute", d
	}
	if a.sent.past() {
		return "", "", 0
	}
	if d := wait(a.reports, 1, now); d > 0 {
		return reasonReports, "quotas.agent.reports_per_minute", d
	}
	if d := wait(c.reports, 1, now); d > 0 {
		return reasonCustomerReports, c.key() + "reports_per_minute", d
	}
	return "", "", 0
}

// spend takes the bytes of a body; below zero, the next one waits.
func (a *agent) spend(n int, now time.Time) {
	for _, l := range []*rate.Limiter{a.bytes, a.customer.bytes} {
		l.ReserveN(now, min(n, l.Burst()))
	}
}

// eventsLeft is how many events may come with the request in hand. A replay brings what is known and costs nothing: that
// passes, too, when the quota is used up, and what of it turns out to be new runs up a debt of an hour's worth at most.
func (a *agent) eventsLeft(now time.Time) int {
	left := a.customer.events.TokensAt(now)
	own := a.events.TokensAt(now)
	if a.sent.lane == wire.LaneReplay {
		left, own = left+float64(a.customer.events.Burst()), own+float64(a.events.Burst())
	}
	return max(int(min(own, left)), 0)
}

// payEvents takes n new events from the quotas.
func (a *agent) payEvents(n int, now time.Time) {
	for _, l := range []*rate.Limiter{a.events, a.customer.events} {
		l.ReserveN(now, min(n, l.Burst()))
	}
}

// forgetSource is how long a source counts after its last block.
const forgetSource = time.Hour

// room says whether the agent's sources may hold this many series under this name; empty when they may, otherwise the
// quota that is full. It forgets sources that have fallen silent when it has to.
func (a *agent) room(q AgentQuotas, name string, series int, now time.Time) (quota string, found, limit int) {
	full := func() (string, int, int) {
		total, count := series, 1
		for n, s := range a.sources {
			if n != name {
				total, count = total+s.series, count+1
			}
		}
		all := int(a.customer.series.Load()) + series - a.sources[name].series
		switch {
		case count > q.Sources:
			return "sources", count, q.Sources
		case total > q.Series:
			return "series", total, q.Series
		case series > a.sources[name].series && all > a.customer.quotas().Series:
			return "customer_series", all, a.customer.quotas().Series
		}
		return "", 0, 0
	}
	if quota, found, limit = full(); quota == "" {
		return quota, found, limit
	}
	a.forget(now)
	return full()
}

// forget lets go of sources that have fallen silent.
func (a *agent) forget(now time.Time) {
	for n, s := range a.sources {
		if now.Sub(s.seenAt) > forgetSource {
			delete(a.sources, n)
			a.customer.series.Add(-int64(s.series))
		}
	}
	a.forgetSaid()
}

// put notes what a source holds now.
func (a *agent) put(name string, s source) {
	a.customer.series.Add(int64(s.series - a.sources[name].series))
	a.sources[name] = s
}
