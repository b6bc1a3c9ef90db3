package collector

import (
	"cmp"
	"time"

	"github.com/watchbill/watchbill/collector/incident"
)

// What agents do that the collector has to reckon with; see agent/push and the bounds of agent's interval.
const (
	// longestBackOff is the longest an agent waits between two attempts to reach a collector that is away.
	longestBackOff = 30 * time.Second
	// longestInterval is the longest an agent can be told to report at: that of one that has not said yet.
	longestInterval = 2 * time.Minute
)

// lives are the hosts with an active agent. One that was not heard yet since the start is given the start as its sign of
// life: nobody listened before. What it was taken for when the collector stopped, it is still.
func (c *Collector) lives() []incident.Life {
	c.learnOwnAddresses()
	var out []incident.Life
	listening := time.Unix(0, c.listening.Load())
	before := c.silence.before()
	for _, a := range c.fleet.Agents() {
		if !a.RevokedAt.IsZero() {
			continue
		}
		l := incident.Life{
			Asset: a.Asset, Customer: a.Customer, Site: a.Site, Heard: listening, Word: incident.Start,
			Before: a.HeardAt, Interval: cmp.Or(a.Interval, longestInterval), Goodbye: a.Goodbye,
		}
		switch {
		case a.EnrolledAt.After(listening), before[a.Asset] == incident.AgentNotSeen:
			l.Heard, l.Word, l.Before = a.EnrolledAt, incident.Enrolment, time.Time{}
		case l.Goodbye == "" && before[a.Asset] == incident.AgentStopped: // as an earlier release left it
			l.Goodbye = "before the collector was started anew"
		}
		out = append(out, c.alive(l))
	}
	return out
}

// alive is a host with its newest sign of life, when there was one since the start.
func (c *Collector) alive(l incident.Life) incident.Life {
	h, heard := c.facts.sign(l.Asset)
	l.Own = h.alone && c.ownAddress(h.from)
	if heard {
		l.Heard, l.Word, l.Goodbye, l.Interval = h.heard, incident.Report, h.goodbye, cmp.Or(h.interval, l.Interval)
	}
	return l
}

// patience is how long silence may last now in a fleet of so many hosts: the more there are, the longer the time over which
// they have been told to spread their return.
func (c *Collector) patience(hosts int) incident.Patience {
	p := *c.patient.Load()
	p.Return = longestBackOff + c.ingest.SpreadFor(hosts)
	return p
}

// setPatience puts what a configuration says of silence into force.
func (c *Collector) setPatience(cfg Config) {
	p, asks := cfg.patience(), cfg.pinging()
	c.patient.Store(&p)
	c.pinging.Store(&asks)
}
