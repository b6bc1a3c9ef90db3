package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

const (
	// maxRead bounds one reading of one source; half the interval if that is shorter.
	maxRead = 5 * time.Second
	// grace is what a source may take beyond its deadline to notice it.
	grace = 100 * time.Millisecond
	// repeatUnchanged is when a slow source says again that nothing changed (DESIGN D2: at least every two minutes).
	repeatUnchanged = 110 * time.Second
	// kindAgent is the kind of blocks the agent writes about itself.
	kindAgent = "watchbill_agent"
	// sourceOwn is the source of the block that has the agent's own metrics.
	sourceOwn = "agent"
)

// collector reads the sources in turn and makes their blocks. One goroutine uses it.
type collector struct {
	sources  []*source
	interval time.Duration
	builder  *wire.Builder
	log      *slog.Logger
	memory   memory
}

// source is a sampler and what the agent remembers of it.
type source struct {
	sample.Source
	// due is the corrected time of the next reading; zero: at once.
	due time.Time
	// said is when its block was last in a report, ok what that block was.
	said time.Time
	ok   bool
	// shape is the ID of the shape of its last ok block.
	shape []byte
	// busy is a reading that did not come back in time; no other is begun before it does.
	busy  chan result
	since time.Time
	took  time.Duration
}

type result struct {
	reading sample.Reading
	err     error
}

// collected is one round over all sources.
type collected struct {
	blocks []*wire.Block
	tables []*wire.Table
	events []*wire.Event
}

func newCollector(sources []sample.Source, interval time.Duration, log *slog.Logger) *collector {
	c := &collector{interval: interval, builder: wire.NewBuilder(wire.DefaultLimits()), log: log}
	for _, s := range sources {
		c.sources = append(c.sources, &source{Source: s})
	}
	return c
}

// forget makes every source due at once, for a new time line.
func (c *collector) forget() {
	for _, s := range c.sources {
		s.due, s.said = time.Time{}, time.Time{}
	}
}

// collect reads what is due. now is corrected time. What is due goes by when the round began, so that how long the sources
// before one take says nothing about when its turn is.
func (c *collector) collect(ctx context.Context, now func() time.Time) collected {
	var all collected
	round := now()
	for _, s := range c.sources {
		at := now()
		if round.Before(s.due) {
			if s.ok && s.Kind != "" && at.Sub(s.said) >= repeatUnchanged {
				all.blocks = append(all.blocks, c.unchanged(s, at))
			}
			continue
		}
		s.due = round.Add(s.Every - c.jitter())
		reading, err := sample.Reading{}, c.memory.refuses(s, c.interval)
		if err == nil {
			reading, err = c.read(ctx, s, at)
		} else {
			s.due = time.Time{} // as soon as there is memory
		}
		if c.memory.level >= shedTables {
			reading.Tables = nil
		}
		s.took = now().Sub(at)
		all.tables = append(all.tables, reading.Tables...)
		all.events = append(all.events, reading.Events...)
		if b := c.block(s, at, reading, err); b != nil {
			all.blocks = append(all.blocks, b)
			s.said = at
		}
	}
	return all
}

// jitter is by how much a round may come early and still count: a ticker is not exact. It is far from half an interval,
// where a source that is due between two rounds would be read at the one or the other as it happens.
func (c *collector) jitter() time.Duration { return c.interval / 10 }

// cadence is how often a source is read: every so many rounds that at least its Every has passed.
func (c *collector) cadence(s *source) time.Duration {
	rounds := (s.Every - c.jitter() + c.interval - 1) / c.interval
	return max(rounds, 1) * c.interval
}

// block is what a reading becomes. A source that makes only tables has a block when it fails, and one when that is over.
func (c *collector) block(s *source, at time.Time, r sample.Reading, err error) *wire.Block {
	kind, every := s.Kind, c.cadence(s)
	if kind == "" {
		if err == nil && (s.ok || s.said.IsZero()) {
			s.ok = true
			return nil
		}
		kind = kindAgent
	}
	var b *wire.Block
	if err == nil {
		b, err = c.builder.Block(kind, s.Name, at, every, r.Samples)
	}
	if err != nil {
		if s.ok || s.said.IsZero() {
			c.log.Warn("sampler failed", "source", s.Name, "error", err)
		}
		s.ok = false
		return wire.FailedBlock(kind, s.Name, at, every, err)
	}
	if !s.ok && !s.said.IsZero() {
		c.log.Info("sampler works again", "source", s.Name)
	}
	s.ok, s.shape = true, b.ShapeId
	return b
}

// unchanged repeats that nothing is known to have changed since the last reading of a slow source.
func (c *collector) unchanged(s *source, at time.Time) *wire.Block {
	s.said = at
	return &wire.Block{
		Kind: s.Kind, Source: s.Name, SampledAtMs: at.UnixMilli(), IntervalMs: uint32(c.cadence(s).Milliseconds()), //nolint:gosec // of a configured interval
		Status: wire.Block_STATUS_UNCHANGED,
	}
}

// errHangs: the last reading has not come back. errLate: it came back only now.
var (
	errHangs = errors.New("the sampler hangs")
	errLate  = errors.New("the last reading came back too late")
)

// read reads one source within its deadline. The reading has a goroutine of its own, so that a sampler that breaks its
// promise to return costs its own block and no other. What a late reading measured is not true any more; what it tells
// of has happened, and its sampler will not tell it again.
func (c *collector) read(ctx context.Context, s *source, at time.Time) (sample.Reading, error) {
	if s.busy != nil {
		select {
		case r := <-s.busy:
			s.busy = nil
			if len(r.reading.Events) > 0 {
				// Not read again in this round: with the next reading the sampler keeps the place it had reached, and by then
				// these events must be in a report.
				s.due = time.Time{}
				return sample.Reading{Events: r.reading.Events}, fmt.Errorf("%w, begun at %s: what it tells of is reported, what it measured is not; the next round reads again",
					errLate, s.since.UTC().Format(time.RFC3339))
			}
		default:
			return sample.Reading{}, fmt.Errorf("%w since %s: look for what it waits on (a dead network mount, a stuck device)", errHangs, s.since.UTC().Format(time.RFC3339))
		}
	}
	limit := min(maxRead, max(c.interval/2, grace))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan result, 1)
	go func() { done <- guard(ctx, s.Sampler, at) }()
	late := time.NewTimer(limit + grace)
	defer late.Stop()
	select {
	case r := <-done:
		if r.err != nil { // what has happened is told all the same
			return sample.Reading{Events: r.reading.Events}, r.err
		}
		return r.reading, nil
	case <-late.C:
		s.busy, s.since = done, at
		return sample.Reading{}, fmt.Errorf("%w: no reading after %v", errHangs, limit+grace)
	}
}

// guard turns a panic into an error that says where.
func guard(ctx context.Context, s sample.Sampler, at time.Time) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r = result{err: fmt.Errorf("the sampler panicked: %v: this is a fault of the agent, please report it with this: %s", p, debug.Stack())}
		}
	}()
	reading, err := s.Read(ctx, at)
	return result{reading, err}
}

// wait gives readings that hang a last chance to return, for as long as d.
func (c *collector) wait(d time.Duration) {
	late := time.NewTimer(d)
	defer late.Stop()
	for _, s := range c.sources {
		if s.busy == nil {
			continue
		}
		select {
		case <-s.busy:
			s.busy = nil
		case <-late.C:
			c.log.Warn("a sampler still hangs; it is left behind", "source", s.Name, "since", s.since.UTC())
			return
		}
	}
}
