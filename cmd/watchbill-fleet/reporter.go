package main

import (
	"fmt"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// maxEvents is how many events wait for a collector that cannot be reached; the oldest stay.
const maxEvents = 200

// maxStep is how far the collector's clock and ours may part before a new epoch begins (DESIGN D11).
const maxStep = 2 * time.Second

// reporter makes the reports of one agent: its time line, its events, its host's samples. One goroutine uses it.
type reporter struct {
	host     *host
	interval time.Duration
	// eventsPerHour is how often something happens on the host.
	eventsPerHour float64
	// kept tells how far back the agent can replay; nil when it keeps nothing.
	kept func() time.Time

	epoch, sequence, event uint64
	events                 []*wire.Event // not acknowledged yet
	// skew is how wrong the host's clock is, offset what the agent makes of that.
	skew, offset time.Duration
	// incarnation is that of the collector that knows the inventory.
	incarnation uint64
	told        bool
}

// stamp is the time as the agent believes it to be.
func (r *reporter) stamp(now time.Time) time.Time { return now.Add(r.skew + r.offset) }

// begin starts an epoch. What waits is numbered anew.
func (r *reporter) begin(now time.Time) {
	r.epoch = max(uint64(max(r.stamp(now).UnixNano(), 0)), r.epoch+1) //nolint:gosec // clamped
	r.sequence, r.event, r.told = 0, 0, false
	for i, e := range r.events {
		r.event++
		// A copy: the old one belongs to a report of the old epoch.
		r.events[i] = &wire.Event{Id: r.event, Kind: e.Kind, AtMs: e.AtMs, Text: e.Text}
	}
}

// tell queues an event.
func (r *reporter) tell(now time.Time, kind, text string) {
	if len(r.events) >= maxEvents {
		return
	}
	r.event++
	r.events = append(r.events, &wire.Event{Id: r.event, Kind: kind, AtMs: r.stamp(now).UnixMilli(), Text: text})
}

// happen is what sometimes happens on a host, at the reporter's rate.
func (r *reporter) happen(now time.Time) {
	if r.host.rand.Float64() < r.eventsPerHour*r.interval.Hours() {
		r.tell(now, "unit_restarted", fmt.Sprintf("app.service was restarted (simulated, %d-%d)", r.epoch, r.event+1))
	}
}

// report is the next report. Samples may be left out: then it is a sign of life and carries events.
func (r *reporter) report(now time.Time, samples bool) (*wire.Report, error) {
	m := &wire.Report{Epoch: r.epoch, Sequence: r.sequence + 1, MadeAtMs: r.stamp(now).UnixMilli()}
	if samples {
		blocks, err := r.host.samples(r.stamp(now), r.interval)
		if err != nil {
			return nil, err
		}
		m.Blocks = blocks
	}
	m.Events = append([]*wire.Event(nil), r.events...)
	if !r.told {
		m.Inventory = r.host.inventory()
	}
	m.HeldSinceMs = m.MadeAtMs
	if r.kept != nil {
		if m.HeldSinceMs = 0; !r.kept().IsZero() {
			m.HeldSinceMs = r.kept().UnixMilli()
		}
	}
	r.sequence++
	return m, nil
}

// delivered lets go of what the collector has.
func (r *reporter) delivered(m *wire.Report) {
	r.told = r.told || m.Epoch == r.epoch && m.Inventory != nil
	for len(r.events) > 0 && len(m.Events) > 0 && r.events[0] == m.Events[0] {
		r.events, m.Events = r.events[1:], m.Events[1:]
	}
}

// learn believes an answer: a collector that started anew is told about the host again, and a clock that parted from its
// begins a new time line. The request left and its answer came at these times of ours: the collector's clock was read
// somewhere in between, and what that leaves open is no reason to give up a time line.
func (r *reporter) learn(a *wire.Ack, sent, came time.Time) {
	if a.Incarnation != r.incarnation {
		r.incarnation, r.told = a.Incarnation, false
	}
	if a.NowMs == 0 {
		return
	}
	half := came.Sub(sent) / 2
	at := sent.Add(half)
	off := time.UnixMilli(a.NowMs).Sub(at.Add(r.skew))
	if (off - r.offset).Abs() <= maxStep+half {
		return
	}
	r.offset = off
	r.begin(at)
	r.tell(at, "clock_stepped", fmt.Sprintf("the host's clock is %v from the collector's; a new time line begins", off.Round(time.Second)))
}
