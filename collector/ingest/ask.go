package ingest

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Patience with an agent that alone was asked for a shape, and of those who wait for it.
const (
	// askFor is how long it has: the way there and back, and the time to encode.
	askFor = 5 * time.Second
	// holdFor is how long a report is held that needs nothing but shapes somebody else is asked for; past it the agent
	// is told to come again.
	holdFor = time.Second
	// maxHeld is how many reports are held at a time, for each takes memory.
	maxHeld = 64
	// askedRetry is when those come again that were not held, or not long enough; spread over as much again.
	askedRetry = time.Second
	// maxAsked is what one agent can be asked for at a time, alone.
	maxAsked = 256
	// maxAsks bounds what is remembered; beyond it every agent is asked, as if nobody else had been.
	maxAsks = 4096
)

// askKey names a shape of a customer.
type askKey struct {
	customer string
	id       shapeID
}

// asks is who is being asked for which shape: of a thousand agents that report the same new shape, one sends it.
type asks struct {
	// held has one entry per report that is held.
	held chan struct{}

	mu   sync.Mutex
	open map[askKey]*ask
}

// ask is one shape that an agent was asked for.
type ask struct {
	agent string
	until time.Time
	// failed are agents that were asked and did not bring it: they may bring it at any time, but nobody waits for them
	// again.
	failed []string
	// over is closed when the shape is there, or will not come from this agent.
	over chan struct{}
}

func newAsks() *asks {
	return &asks{held: make(chan struct{}, maxHeld), open: map[askKey]*ask{}}
}

// turn says whether this agent is to be asked for a shape. When another one is, until its time is over, wait is closed
// once there is reason to look again.
func (a *asks) turn(k askKey, agent string, now time.Time) (mine bool, wait <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, ok := a.open[k]
	switch {
	case !ok:
		if !a.room(now) {
			return true, nil
		}
		a.open[k] = &ask{agent: agent, until: now.Add(askFor), over: make(chan struct{})}
		return true, nil
	case one.agent == agent || slices.Contains(one.failed, agent):
		return true, nil
	case now.Before(one.until):
		return false, one.over
	}
	one.pass(agent, now)
	return true, nil
}

// pass hands the question on to the next agent.
func (o *ask) pass(agent string, now time.Time) {
	const remembered = 16
	if o.agent != "" {
		o.failed = append(o.failed[max(0, len(o.failed)-remembered+1):], o.agent)
	}
	o.agent, o.until = agent, now.Add(askFor)
}

// done ends what one agent was asked for: what is known now nobody needs to be asked for again, what is not goes to the
// next who needs it.
func (a *asks) done(agent string, keys []askKey, known func(askKey) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		one, ok := a.open[k]
		if !ok {
			continue
		}
		switch {
		case known(k):
			delete(a.open, k)
			close(one.over)
		case one.agent == agent:
			one.pass("", time.Time{})
			close(one.over)
			one.over = make(chan struct{})
		}
	}
}

// room forgets, when there is much, who was asked long ago. The caller holds mu.
func (a *asks) room(now time.Time) bool {
	if len(a.open) < maxAsks {
		return true
	}
	for k, one := range a.open {
		if now.After(one.until.Add(time.Minute)) {
			delete(a.open, k)
			close(one.over)
		}
	}
	return len(a.open) < maxAsks
}

// hold waits for any of these, for a while, if there is room to wait in; it says whether looking again may help.
func (a *asks) hold(done <-chan struct{}, over <-chan struct{}) bool {
	select {
	case a.held <- struct{}{}:
	default:
		return false
	}
	defer func() { <-a.held }()
	t := time.NewTimer(holdFor)
	defer t.Stop()
	select {
	case <-over:
		return true
	case <-done:
	case <-t.C:
	}
	return false
}

// askedAgainIn is when an agent comes again that had to wait for another's shape.
func askedAgainIn() time.Duration { return askedRetry + rand.N(askedRetry) }
