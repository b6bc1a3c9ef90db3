package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// retrySink is how long an agent waits when the Sink failed without saying for how long.
const retrySink = 5 * time.Second

// outcome is what becomes of a report.
type outcome struct {
	status int
	result string
	ack    *wire.Ack
}

func (i *Ingest) report(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	who, err := i.identify(r)
	if err != nil {
		i.unidentified(w, mediaOf(r), err)
		return
	}
	out := i.inTurn(w, r, who, arrived)
	i.metrics.reports.WithLabelValues(out.result).Inc()
	i.answer(w, out.status, mediaOf(r), out.ack)
}

// inTurn takes one body when its agent's turn has come and its quotas allow it.
func (i *Ingest) inTurn(w http.ResponseWriter, r *http.Request, who fleet.Agent, arrived time.Time) outcome {
	a := i.agents.get(who)
	if text := i.seat(r, a); text != "" {
		return i.crowded(w, who, text)
	}
	if !a.enter(r.Context()) {
		return i.later(who, reasonBusy, time.Second, "another report of this agent is still being worked on: if this "+
			"repeats, two agents may be running under one identity")
	}
	defer a.leave()
	now := i.o.Now()
	i.tellRenew(w, r, a, now)
	a.sent = sendingOf(r.Header, i.incarnation(a.round.Load()))
	a.sent.arrived, a.sent.from = arrived, otherEnd(r)
	if mediaOf(r) == wire.TypeBulkV1 && !a.sent.past() {
		a.sent.lane = wire.LaneBacklog // whatever it says: many at once are none of them live
	}
	if wait := i.admit(r.Context(), who, a, now); wait != nil {
		return *wait
	}
	if reason, quota, d := a.over(now); reason != "" {
		a.hold(r.Context(), d, now)
		return i.overQuota(who, a, reason, quota, d, now)
	}
	if a.sent.past() {
		return i.ofThePast(w, r, who, a, now)
	}
	return i.one(r, func(decode func(io.Reader, string) error) (int, error) { return i.body(w, r, i.o.Limits, decode) }, who, a, now)
}

// one takes a body of one report. The caller holds the agent's turn.
func (i *Ingest) one(r *http.Request, from incoming, who fleet.Agent, a *agent, now time.Time) outcome {
	m, n, free, err := i.readReport(mediaOf(r), from, a)
	defer free()
	a.spend(n, now)
	if errors.Is(err, wire.ErrInFull) {
		return i.name(i.inFull(i.ackTo(who, wire.Ack_RESULT_NEED_SHAPES, "")), m)
	}
	if err != nil {
		return i.notRead(who, a, err, now)
	}
	out := i.name(i.judge(r.Context(), who, a, m), m)
	i.grant(who, a, out.ack, now)
	return out
}

// notRead is what to answer when a body could not be read.
func (i *Ingest) notRead(who fleet.Agent, a *agent, err error, now time.Time) outcome {
	status, text := i.unread(err)
	result := resultRefused
	if status == http.StatusRequestTimeout {
		result = resultLater
	}
	a.fine(now)
	i.tell(a, who, "unread", now, text)
	return outcome{status, result, i.ackTo(who, wire.Ack_RESULT_REFUSED, text)}
}

// name says which report an answer is about.
func (i *Ingest) name(out outcome, m *wire.Report) outcome {
	out.ack.Epoch, out.ack.Sequence = m.GetEpoch(), m.GetSequence()
	return out
}

// judge decides on a report that was read and has it applied. The caller holds the agent's turn.
func (i *Ingest) judge(ctx context.Context, who fleet.Agent, a *agent, m *wire.Report) outcome {
	now := i.o.Now()
	if err := wire.CheckReport(m, i.o.Limits); err != nil {
		return i.refuse(who, a, err, now)
	}
	if a.seen.has(m.GetEpoch(), m.GetSequence()) {
		if i.recalled(who, a) {
			work, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
			defer cancel()
			return i.again(work, i.sort(who, a, m, now))
		}
		return outcome{http.StatusOK, resultDuplicate, i.accepted(who, a, now)}
	}
	if !a.repeats(m) {
		return i.inFull(i.ackTo(who, wire.Ack_RESULT_NEED_SHAPES, ""))
	}
	s := i.sort(who, a, m, now)
	// What is begun from here on is finished even when the agent hangs up, within a bounded time.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyTimeout)
	defer cancel()
	if err := s.keepShapes(work); err != nil {
		return i.notKept(who, a, err, now)
	}
	if s.brought() {
		i.answered(who, a) // even if the report has to wait: who brings its shape may in turn wait for this one
	}
	if wait := i.askFor(ctx, s); wait != nil {
		return *wait
	}
	i.answered(who, a) // what is not needed any more, somebody else may be asked for
	r := s.result()
	if err := i.o.Sink.Apply(work, r); err != nil {
		return i.notKept(who, a, err, now)
	}
	if !r.Replayed {
		i.metrics.took(a.sent.arrived)
	}
	i.applied(a, m, s, now)
	return outcome{http.StatusOK, resultAccepted, i.tellOf(r, s)}
}

// askFor is what to answer when shapes are missing: this agent is asked for them, or told to come again when another one
// is and they do not come soon; nil when none are. A report of the past does not wait for them here, where it holds a
// slot.
func (i *Ingest) askFor(ctx context.Context, s *sorting) *outcome {
	unknown, elsewhere := s.unknown()
	for len(unknown) == 0 && elsewhere != nil {
		if s.a.sent.past() || !i.asks.hold(ctx.Done(), elsewhere) {
			out := i.later(s.who, reasonAsked, askedAgainIn(), "another agent is being asked for a set of series that is new "+
				"here: the report is taken as soon as it is known")
			return &out
		}
		unknown, elsewhere = s.unknown()
	}
	if len(unknown) == 0 {
		return nil
	}
	ack := i.ackTo(s.who, wire.Ack_RESULT_NEED_SHAPES, "")
	ack.UnknownShapes = unknown
	return &outcome{http.StatusOK, resultNeedShapes, ack}
}

// tellOf is the answer to a report that is durable: what of it was not taken, and what else is wanted.
func (i *Ingest) tellOf(r Report, s *sorting) *wire.Ack {
	ack := i.accepted(s.who, s.a, s.now)
	slices.SortFunc(s.refusals, func(x, y *wire.Refusal) int { return cmp.Compare(x.Block, y.Block) })
	ack.Refusals = s.refusals
	if i.o.Ask != nil && !r.Replayed {
		ack.Bundles = i.o.Ask(s.who.Asset)
	}
	if r.EventsDropped > 0 {
		c := s.a.customer
		ack.Error = fmt.Sprintf("%d events were left out: more than %d an hour; stop what causes them, or raise "+
			"quotas.agent.events_per_hour (%d for all of the customer: %sevents_per_hour)", r.EventsDropped,
			i.bounds.Load().Quotas.Agent.EventsPerHour, c.quotas().EventsPerHour, c.key())
		i.tell(s.a, s.who, reasonEvents, s.now, ack.Error)
	}
	return ack
}

// answered ends what an agent alone was asked for, once it has brought it, or reported without.
func (i *Ingest) answered(who fleet.Agent, a *agent) {
	if len(a.asked) > 0 {
		i.asks.done(who.ID, a.asked, i.shapes.has)
		a.asked = nil
	}
}

// applied remembers a report that is durable.
func (i *Ingest) applied(a *agent, m *wire.Report, s *sorting, now time.Time) {
	a.seen.add(m.GetEpoch(), m.GetSequence())
	a.price = 0
	for n, b := range s.blocks {
		if a.version1 {
			a.remember(s.from[n], &b)
		}
		src := a.sources[b.Source]
		if b.At.After(src.newest) {
			src.newest = b.At
		}
		a.sources[b.Source] = src
		i.metrics.samples.Add(float64(len(b.Values)))
		a.price += len(b.Values)
	}
	if !s.paid {
		a.payEvents(s.events, now)
	}
	for _, f := range s.refusals {
		i.metrics.refused(f.Reason)
		i.tell(a, s.who, f.Reason, now, f.Error)
	}
	if len(s.refusals) > 0 {
		a.fine(now)
	}
	if n := len(m.GetEvents()) - s.events; n > 0 {
		i.metrics.refusals.WithLabelValues(reasonEvents).Add(float64(n))
	}
}

// accepted is the ack of a report that is durable. While windows or reviews may lack what was before, it asks for it.
func (i *Ingest) accepted(who fleet.Agent, a *agent, now time.Time) *wire.Ack {
	ack := i.ackTo(who, wire.Ack_RESULT_ACCEPTED, "")
	if since := i.replaySince(who, a, now); !since.IsZero() {
		ack.ReplaySinceMs = max(since.UnixMilli(), 1)
	}
	ack.Incarnation = i.incarnation(a.round.Load())
	return ack
}

// refuse is for good: the agent lets go of the report.
func (i *Ingest) refuse(who fleet.Agent, a *agent, err error, now time.Time) outcome {
	reason := reasonFailed
	var bad *wire.Error
	if errors.As(err, &bad) {
		reason = bad.Reason
	}
	i.metrics.refused(reason)
	i.tell(a, who, reason, now, err.Error())
	return outcome{http.StatusOK, resultRefused, i.ackTo(who, wire.Ack_RESULT_REFUSED, err.Error())}
}

// notKept is a report that could not be made durable: the agent keeps it and comes again.
func (i *Ingest) notKept(who fleet.Agent, a *agent, err error, now time.Time) outcome {
	var later *Later
	if errors.As(err, &later) {
		i.tellOnce(reasonSink, now, later.Text)
		after := later.After
		if after <= 0 {
			after = retrySink
		}
		return i.later(who, reasonSink, after, later.Text)
	}
	i.tell(a, who, reasonSink, now, err.Error())
	return i.later(who, reasonSink, retrySink, "the collector could not keep this report, its log says why; nothing is "+
		"lost, the report will be sent again")
}

func (i *Ingest) overQuota(who fleet.Agent, a *agent, reason, quota string, d time.Duration, now time.Time) outcome {
	text := fmt.Sprintf("more comes than %s allows: the agent waits and sends again; raise the quota if the load is wanted",
		quota)
	i.tell(a, who, reason, now, text)
	return i.later(who, reason, d, text)
}

func (i *Ingest) later(who fleet.Agent, reason string, after time.Duration, text string) outcome {
	i.metrics.refused(reason)
	ack := i.ackTo(who, wire.Ack_RESULT_LATER, text)
	ack.RetryAfterMs = uint32(max(min(after, time.Hour).Milliseconds(), 1)) //nolint:gosec // an hour at most
	return outcome{http.StatusOK, resultLater, ack}
}

// tellEvery is how often a person hears of the same trouble with the same agent.
const tellEvery = time.Hour

// tell logs a refusal, once an hour for each agent and reason. The caller holds the agent's turn.
func (i *Ingest) tell(a *agent, who fleet.Agent, reason string, now time.Time, text string) {
	if last, ok := a.told[reason]; ok && now.Sub(last) < tellEvery {
		return
	}
	a.told[reason] = now
	i.o.Logger.Warn("report of an agent not taken, or not all of it", "asset", who.Asset, "customer", who.Customer,
		"agent", who.ID, "reason", reason, "error", text)
}

// tellOnce logs trouble of the collector's own, once a minute: thousands of agents meet it at the same moment, and as many
// lines about it would keep all of them waiting for the log.
func (i *Ingest) tellOnce(reason string, now time.Time, text string) {
	last := i.toldOnce.Load()
	if now.UnixNano()-last < int64(time.Minute) || !i.toldOnce.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	i.o.Logger.Warn("reports are not taken at this moment; agents keep them and come again", "reason", reason, "error", text)
}

func assetOf(who fleet.Agent) window.Asset {
	return window.Asset{Name: who.Asset, Customer: who.Customer, Site: who.Site}
}
