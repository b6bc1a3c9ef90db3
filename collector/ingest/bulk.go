package ingest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
)

// bulk takes many reports of the past, one after the other, as if each had come alone: each costs a credit. It stops at
// the first that is not disposed of; the answer says how many are. The caller holds the agent's turn and a slot, and has
// let one report in.
func (i *Ingest) bulk(ctx context.Context, from incoming, who fleet.Agent, a *agent, now time.Time) outcome {
	d := wire.NewDecoder()
	defer d.Release()
	a.version1 = true
	if _, err := from(func(in io.Reader, coding string) error { return d.Bulk(in, coding, i.o.Limits) }); err != nil {
		return i.notRead(who, a, err, now)
	}
	// Whether nothing waits any more is a word about the whole body: until the next report tells, something may.
	a.sent.waiting = max(a.sent.waiting, 1)
	out, did := i.each(ctx, d, who, a, now)
	out.ack.Disposed, out.ack.Refused = did.disposed, did.refused
	out.ack.Refusals = did.refusals
	if out.ack.Error == "" {
		out.ack.Error = did.why
	}
	return out
}

// disposed is what became of the reports of a bulk that are done with.
type disposed struct {
	disposed, refused uint32
	refusals          []*wire.Refusal
	why               string // the last of them was refused
}

// each judges the reports of a bulk until one has to come again. The outcome is that of the last one it looked at.
func (i *Ingest) each(ctx context.Context, d *wire.Decoder, who fleet.Agent, a *agent, now time.Time) (out outcome, did disposed) {
	out = outcome{http.StatusOK, resultAccepted, i.accepted(who, a, now)}
	for {
		m, err := d.Next()
		if errors.Is(err, io.EOF) {
			return out, did
		}
		if err != nil {
			return i.refuse(who, a, err, now), did
		}
		if did.disposed > 0 {
			i.metrics.reports.WithLabelValues(out.result).Inc() // of the one before; the last is counted like any report
			if wait := i.another(who, a, now); wait != nil {
				return i.name(*wait, m), did
			}
		}
		next := i.name(i.judge(ctx, who, a, m), m)
		switch next.ack.GetResult() {
		case wire.Ack_RESULT_ACCEPTED:
			for _, f := range next.ack.GetRefusals() {
				f.Report = did.disposed
				did.refusals = append(did.refusals, f)
			}
		case wire.Ack_RESULT_REFUSED:
			did.refused++
			did.why = next.ack.GetError()
			next.ack.Result = wire.Ack_RESULT_ACCEPTED // the bulk goes on
		default:
			return next, did
		}
		did.disposed++
		out = next
	}
}

// another lets one more report of a bulk in; what it returns says why not.
func (i *Ingest) another(who fleet.Agent, a *agent, now time.Time) *outcome {
	if a.credits == 0 {
		out := i.later(who, reasonCredit, retrySink, "there were more reports than credits: the rest waits for the next")
		return &out
	}
	a.credits--
	if reason, quota, d := a.over(now); reason != "" {
		out := i.overQuota(who, a, reason, quota, d, now)
		return &out
	}
	return nil
}
