package main

import "time"

// stage is how far agents are back with a collector that started anew.
type stage int

const (
	// stageBack: the agent had an answer, whatever it said.
	stageBack stage = iota
	// stageLive: a live report of the agent was accepted, every block of it: rules about the present see its host.
	stageLive
	// stageReplayed: the collector has told the agent, in answer to a live report, that it wants to see nothing again
	// any more: rules that look back see its host. Only agents with a spool come so far.
	stageReplayed
	stages
)

// standing is how far one agent is back, and with which incarnation of the collector. It belongs to its comeback.
type standing struct {
	spool bool // it keeps what it may be asked for again
	away  bool // it says nothing at present, as its fault will have it
	with  [stages]uint64
}

// due tells whether the agent is expected to reach a stage.
func (w *standing) due(s stage) bool { return !w.away && (s != stageReplayed || w.spool) }

// answer is what an Ack says about how far its agent is.
type answer struct {
	incarnation uint64
	// sent is when its request left, came when it arrived.
	sent, came time.Time
	reached    [stages]bool
}

// comeback follows how a fleet returns to a collector that started anew. It is pure: times are arguments.
type comeback struct {
	expected [stages]int // agents that are due at each stage
	awake    int
	lost     time.Time // the first failure that no later answer of the same incarnation made a mishap
	done     []returned
	current  *returned
}

// returned is one return of the fleet, the first included.
type returned struct {
	incarnation uint64
	// lost is when the first agent failed that found the collector before this one gone; zero when none did. first is
	// when the first had an answer.
	lost, first time.Time
	stages      [stages]reached
}

// reached is how many agents came to a stage. Once it is whole it stays as it is: who falls silent or speaks again
// later has nothing to do with the return.
type reached struct {
	agents, expected int
	last             time.Time // when the last of them did
	whole            bool
}

// join counts an agent that is to report from now on.
func (c *comeback) join(w *standing) {
	w.away = false
	c.awake++
	c.move(w, 1)
}

// leave takes out an agent that falls silent.
func (c *comeback) leave(w *standing) {
	c.move(w, -1)
	c.awake--
	w.away = true
}

func (c *comeback) move(w *standing, n int) {
	for s := range stages {
		if !w.due(s) {
			continue
		}
		c.expected[s] += n
		if c.current == nil || c.current.stages[s].whole {
			continue
		}
		r := &c.current.stages[s]
		r.expected += n
		if w.with[s] == c.current.incarnation {
			r.agents += n
		}
		r.settle()
	}
}

// settle notes that nobody is missing any more.
func (r *reached) settle() { r.whole = r.expected > 0 && r.agents >= r.expected }

// failed notes an attempt that found no collector.
func (c *comeback) failed(at time.Time) {
	if c.lost.IsZero() || at.Before(c.lost) {
		c.lost = at
	}
}

// heard notes an answer to an agent.
func (c *comeback) heard(w *standing, a answer) {
	switch {
	case c.current != nil && a.incarnation == c.current.incarnation:
		// It was there when this request left: what failed before was some mishap, not its end.
		if a.sent.After(c.lost) {
			c.lost = time.Time{}
		}
	case c.over(a.incarnation):
		return // an answer of a collector that is gone, and seen late
	default:
		c.begin(a)
	}
	for s := range stages {
		if !a.reached[s] || w.with[s] == a.incarnation {
			continue
		}
		w.with[s] = a.incarnation
		r := &c.current.stages[s]
		if !w.due(s) || r.whole {
			continue
		}
		r.agents++
		if a.came.After(r.last) {
			r.last = a.came
		}
		r.settle()
	}
}

// begin is the first answer of a collector.
func (c *comeback) begin(a answer) {
	if c.current != nil {
		c.done = append(c.done, *c.current)
	}
	c.current = &returned{incarnation: a.incarnation, lost: c.lost, first: a.came}
	c.lost = time.Time{}
	for s := range stages {
		c.current.stages[s].expected = c.expected[s]
	}
}

// over tells whether an incarnation was followed by another.
func (c *comeback) over(incarnation uint64) bool {
	for _, r := range c.done {
		if r.incarnation == incarnation {
			return true
		}
	}
	return false
}

func (c *comeback) all() []returned {
	out := append([]returned(nil), c.done...)
	if c.current != nil {
		out = append(out, *c.current)
	}
	return out
}
