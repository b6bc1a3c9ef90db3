package agent

import (
	"fmt"
	"strconv"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// tellDropsEvery keeps a long outage, in which every new report pushes out an old one, from making an event of each.
const tellDropsEvery = 15 * time.Minute

// send names a report, adds the events that wait, and hands it on: to the spool, or past it when the spool refuses.
func (r *run) send(report *wire.Report) {
	report.Epoch, report.Sequence, report.MadeAtMs = r.epoch, r.sequence+1, r.clock.now().UnixMilli()
	n := min(len(r.events), maxEvents)
	report.Events = r.events[:n:n]
	if held := r.spool.HeldSince(); !held.IsZero() {
		report.HeldSinceMs = held.UnixMilli()
	}
	if err := wire.CheckReport(report, wire.DefaultLimits()); err != nil {
		r.mend(report)
	}
	r.sequence++
	r.reports++
	r.events = r.events[n:]
	r.claim(report)
	if err := r.spool.Append(report, r.col.builder.Shape); err != nil {
		r.bypass(report, err)
		return
	}
	if r.full {
		r.full = false
		r.log.Info("the spool takes reports again")
	}
	r.push.Wake()
}

// bypass sends a report from memory: what is live must be told even when the disk is full.
func (r *run) bypass(report *wire.Report, err error) {
	r.unspooled++
	if !r.full {
		r.full = true
		r.log.Error("the spool refuses reports; they are sent from memory and lost if the collector cannot be reached", "error", err)
		r.tell("spool_refused", fmt.Sprintf("the spool refuses reports: %v", err), nil)
	}
	r.push.Direct(report, r.col.builder.Shape)
}

// mend takes out of a report what the collector would refuse the whole report for. What goes is said: a block becomes a
// failed one, the rest is logged.
func (r *run) mend(report *wire.Report) {
	limits := wire.DefaultLimits()
	whole := func(part *wire.Report) error {
		part.Epoch, part.Sequence, part.MadeAtMs = report.Epoch, report.Sequence, report.MadeAtMs
		return wire.CheckReport(part, limits)
	}
	blocks, tables, events := report.Blocks, report.Tables, report.Events
	report.Blocks, report.Tables, report.Events = nil, nil, nil
	for _, b := range blocks {
		// Against what is kept so far: no source twice, not too many of anything.
		err := whole(&wire.Report{Blocks: append(report.Blocks[:len(report.Blocks):len(report.Blocks)], b)})
		if err != nil {
			b = wire.FailedBlock(b.Kind, b.Source, time.UnixMilli(b.SampledAtMs), time.Duration(b.IntervalMs)*time.Millisecond, err)
			if whole(&wire.Report{Blocks: append(report.Blocks[:len(report.Blocks):len(report.Blocks)], b)}) != nil {
				r.log.Error("block not reported", "source", b.Source, "error", err)
				continue
			}
		}
		report.Blocks = append(report.Blocks, b)
	}
	for _, t := range tables {
		if err := whole(&wire.Report{Tables: append(report.Tables[:len(report.Tables):len(report.Tables)], t)}); err != nil {
			r.log.Error("table not reported", "kind", t.Kind, "error", err)
			continue
		}
		report.Tables = append(report.Tables, t)
	}
	for _, e := range events {
		if err := whole(&wire.Report{Events: []*wire.Event{e}}); err != nil {
			r.log.Error("event not reported", "kind", e.Kind, "error", err)
			continue
		}
		report.Events = append(report.Events, e)
	}
	bundles := report.Bundles
	report.Bundles = nil
	for _, b := range bundles {
		if err := whole(&wire.Report{Tables: report.Tables, Bundles: append(report.Bundles[:len(report.Bundles):len(report.Bundles)], b)}); err != nil {
			r.log.Error("bundle not reported", "name", b.GetRequest().GetName(), "error", err)
			continue
		}
		report.Bundles = append(report.Bundles, b)
	}
	if err := whole(&wire.Report{Inventory: report.Inventory}); err != nil {
		r.log.Error("inventory not reported", "error", err)
		report.Inventory = nil
	}
}

// watchSpool tells of reports that the spool dropped before anybody had them.
func (r *run) watchSpool() {
	dropped := r.spool.Stats().Dropped
	now := r.clock.now()
	if dropped == r.dropped || now.Sub(r.droppedAt) < tellDropsEvery {
		return
	}
	n := dropped - r.dropped
	r.dropped, r.droppedAt = dropped, now
	text := fmt.Sprintf("%d reports were dropped unsent: the spool is at its limit of %s. Restore the line, or raise spool.max_bytes", n, r.cfg.Spool.MaxBytes)
	r.log.Warn(text)
	r.tell("spool_dropped", text, map[string]string{"reports": strconv.FormatUint(n, 10), "total": strconv.FormatUint(dropped, 10)})
}

// watchMemory tells when the agent begins or ceases to look at less than it should.
func (r *run) watchMemory() {
	m := &r.col.memory
	if !m.look() {
		return
	}
	text := fmt.Sprintf("the agent uses %s of its memory_limit of %s: %s", Bytes(m.used>>20<<20), Bytes(m.limit), m) //nolint:gosec // far below 2^63
	if m.level == shedNothing {
		r.log.Info(text)
	} else {
		r.log.Warn(text)
	}
	r.tell("memory_limit", text, map[string]string{"level": strconv.Itoa(m.level), "bytes": strconv.FormatUint(m.used, 10)})
}

// own is the block about the agent itself.
func (r *run) own() (*wire.Block, error) {
	sp, line := r.spool.Stats(), r.push.Stats()
	r.counted, r.untold = sp.Dropped, sp.Untold
	samples := []wire.Sample{
		{Name: "watchbill_agent_spool_bytes", Value: float64(sp.Bytes)},
		{Name: "watchbill_agent_spool_unacknowledged_reports", Value: float64(sp.Unacknowledged)},
		{Name: "watchbill_agent_spool_dropped_reports_total", Value: float64(sp.Dropped)},
		{Name: "watchbill_agent_spool_dropped_untold_reports", Value: float64(sp.Untold)},
		{Name: "watchbill_agent_reports_total", Value: float64(r.reports)},
		{Name: "watchbill_agent_unspooled_reports_total", Value: float64(r.unspooled)},
		{Name: "watchbill_agent_lost_reports_total", Value: float64(line.Lost)},
		{Name: "watchbill_agent_push_failures_total", Value: float64(line.Failures)},
		{Name: "watchbill_agent_push_refused_reports_total", Value: float64(line.Refused)},
		{Name: "watchbill_agent_push_refused_blocks_total", Value: float64(line.RefusedBlocks)},
	}
	if r.clock.learnt {
		samples = append(samples,
			wire.Sample{Name: "watchbill_agent_clock_offset_seconds", Value: r.clock.measured().Seconds()},
			wire.Sample{Name: "watchbill_agent_clock_uncertainty_seconds", Value: r.clock.best.doubt(r.clock.mono()).Seconds()})
	}
	if m := &r.col.memory; m.measure != nil {
		samples = append(samples,
			wire.Sample{Name: "watchbill_agent_memory_bytes", Value: float64(m.used)},
			wire.Sample{Name: "watchbill_agent_memory_limit_bytes", Value: float64(m.limit)},
			wire.Sample{Name: "watchbill_agent_shed_level", Value: float64(m.level)},
			wire.Sample{Name: "watchbill_agent_shed_readings_total", Value: float64(m.shed)})
	}
	samples = append(samples, r.bundles.samples()...)
	samples = append(samples, r.col.durations()...)
	return r.col.builder.Block(kindAgent, sourceOwn, r.clock.now(), r.cfg.Interval, samples)
}

// durations is how long each source's last reading took.
func (c *collector) durations() []wire.Sample {
	var out []wire.Sample
	for _, s := range c.sources {
		out = append(out, wire.Sample{
			Name: "watchbill_agent_collection_duration_seconds", Labels: []wire.Label{{Name: "source", Value: s.Name}}, Value: s.took.Seconds(),
		})
	}
	return out
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
