package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/rules/window"
)

// Bounds of a block's time, against the collector's clock at receipt.
const (
	// maxAhead is how far in the future a block may have been sampled: the round trip by which an agent learns the time
	// is never off by more, and a sample from the future would be the newest word about its asset until then.
	maxAhead = 5 * time.Second
	// maxOutage is how long a line may have been down and what is reported afterwards is still taken in, beyond what
	// rules look back.
	maxOutage = 72 * time.Hour
	// lateFrom and maxInterval are those of LateAfter.
	lateFrom    = 30 * time.Second
	maxInterval = time.Hour
)

// LateAfter is how old what is sent every interval may be when it is received, and still be news: twice the interval, but
// at least 30 s, which a busy line may take, and at most two hours, for nothing stays new for ever. A block is late by its
// own interval, a report by its host's, which is that of its fastest sampler.
func LateAfter(interval time.Duration) time.Duration {
	return max(2*min(interval, maxInterval), lateFrom)
}

// sorting is the work on one report between reading and applying it.
type sorting struct {
	i        *Ingest
	who      fleet.Agent
	a        *agent
	m        *wire.Report
	now      time.Time
	replayed bool

	// offered are the valid shapes the report brought, by the ID that was computed here.
	offered map[shapeID]wire.Layout
	// broken is the first shape the report brought that is not valid, stray that one matches no block: both are reasons
	// not to ask again for shapes that are missing.
	broken *wire.Error
	stray  bool

	// full is the quota that kept a shape out, of every shape that came along and was new.
	full map[shapeID]string

	blocks   []window.Block
	from     []*wire.Block // what each of blocks was made of
	refusals []*wire.Refusal
	// refused are the blocks that need not be looked at again.
	refused map[int]bool
	// events is how many events the quota lets through; paid says that the Sink has told which of them cost.
	events int
	paid   bool
}

// sort reads the shapes that came along and refuses what can be refused without knowing shapes.
func (i *Ingest) sort(who fleet.Agent, a *agent, m *wire.Report, now time.Time) *sorting {
	s := &sorting{
		i: i, who: who, a: a, m: m, now: now, replayed: a.sent.past() || a.seen.behind(m.GetEpoch(), m.GetSequence()),
		events: min(len(m.GetEvents()), a.eventsLeft(now)),
	}
	s.readShapes()
	tooOld := now.Add(-i.o.KeepFor() - maxOutage)
	for n, b := range m.GetBlocks() {
		switch at := moment(b.GetSampledAtMs()); {
		case b.GetDevice() != "":
			s.refuse(n, reasonDevice, fmt.Sprintf("device %q is not assigned to this agent: this release takes blocks about "+
				"the agent's own host only", clean(b.GetDevice())))
		case at.After(now.Add(maxAhead)):
			s.refuse(n, reasonAhead, fmt.Sprintf("%s was sampled %v ahead of the collector's clock (at most %v is taken): the "+
				"agent learns the difference from this answer and corrects what it samples next; if this stays, set the "+
				"clocks of both hosts right", clean(b.GetSource()), at.Sub(now).Round(time.Millisecond), maxAhead))
		case at.Before(tooOld):
			s.refuse(n, reasonOld, fmt.Sprintf("%s was sampled at %s, before %s, which is as far back as anything is still "+
				"taken in", clean(b.GetSource()), at.Format(time.RFC3339), tooOld.UTC().Format(time.RFC3339)))
		}
	}
	return s
}

func (s *sorting) refuse(n int, reason, text string) {
	if s.refused == nil {
		s.refused = map[int]bool{} // most reports need none
	}
	s.refused[n] = true
	s.refusals = append(s.refusals, &wire.Refusal{Block: uint32(n), Reason: reason, Error: text}) //nolint:gosec // an index
}

func (s *sorting) readShapes() {
	if !s.brought() {
		return
	}
	s.offered, s.full = map[shapeID]wire.Layout{}, map[shapeID]string{}
	for _, shape := range s.m.GetShapes() {
		l, err := wire.ReadShape(shape, s.i.o.Limits)
		if err != nil {
			s.breaks(asWire(err))
			continue
		}
		s.offered[l.ID] = l
	}
	s.changedShapes()
	wanted := map[shapeID]bool{}
	for _, b := range s.m.GetBlocks() {
		wanted[idOf(b)] = true
	}
	for id := range s.offered {
		s.stray = s.stray || !wanted[id]
	}
}

// brought says whether shapes came along.
func (s *sorting) brought() bool { return len(s.m.GetShapes())+len(s.m.GetShapeChanges()) > 0 }

func asWire(err error) *wire.Error {
	var bad *wire.Error
	if errors.As(err, &bad) {
		return bad
	}
	return &wire.Error{Reason: wire.ReasonMalformed, Text: err.Error()}
}

// idOf is a block's shape; zero when it has none.
func idOf(b *wire.Block) (id shapeID) {
	copy(id[:], b.GetShapeId())
	return id
}

// unknown are the shapes to ask this agent for; elsewhere is closed when one comes that another agent was asked for and
// that this report needs, nil when it needs none such. A block whose shape is missing although the report brought one
// that is broken or fits nothing is refused instead, for asking again would bring the same.
func (s *sorting) unknown() (ids [][]byte, elsewhere <-chan struct{}) {
	var asked map[shapeID]bool
	for n, b := range s.m.GetBlocks() {
		id := idOf(b)
		if b.GetStatus() != wire.Block_STATUS_OK || s.refused[n] || asked[id] {
			continue
		}
		if _, came := s.full[id]; came {
			continue
		}
		if _, ok := s.i.shapes.find(s.who.Customer, id, s.now); ok {
			continue
		}
		switch {
		case s.broken != nil:
			s.refuse(n, s.broken.Reason, fmt.Sprintf("%s: %s", clean(b.GetSource()), s.broken.Text))
			continue
		case s.stray:
			s.refuse(n, reasonShapeID, fmt.Sprintf("%s: no shape in the report has the ID %s that this block names: agent and "+
				"collector compute IDs differently, update the older", clean(b.GetSource()), hex.EncodeToString(id[:])))
			continue
		}
		if asked == nil {
			asked = map[shapeID]bool{}
		}
		asked[id] = true
		if len(s.a.asked) >= maxAsked {
			s.i.answered(s.who, s.a) // it has been asked for more than a report has blocks, and brought nothing
		}
		k := askKey{s.who.Customer, id}
		mine, wait := s.i.asks.turn(k, s.who.ID, s.now)
		if !mine {
			elsewhere = wait
			continue
		}
		if !slices.Contains(s.a.asked, k) {
			s.a.asked = append(s.a.asked, k)
		}
		ids = append(ids, append([]byte(nil), id[:]...))
	}
	return ids, elsewhere
}

// keepShapes makes the shapes that came along and are needed known to the customer, durably, within the quotas.
func (s *sorting) keepShapes(ctx context.Context) error {
	var fresh []wire.Layout
	c := s.a.customer
	for n, b := range s.m.GetBlocks() {
		id := idOf(b)
		l, ok := s.offered[id]
		if !ok || s.refused[n] {
			continue
		}
		delete(s.offered, id) // once is enough
		if _, ok := s.i.shapes.find(s.who.Customer, id, s.now); ok {
			continue
		}
		s.full[id] = pay(s.now,
			price{s.a.shapes, 1, "quotas.agent.shapes_per_hour"}, price{c.shapes, 1, c.key() + "shapes_per_hour"},
			price{s.a.shapeBytes, size(l), "quotas.agent.shape_bytes_per_hour"},
			price{c.shapeBytes, size(l), c.key() + "shape_bytes_per_hour"})
		if s.full[id] == "" {
			s.full[id] = c.key() + "shapes or shape_bytes" // unless there is room
			fresh = append(fresh, l)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return s.i.shapes.keep(ctx, s.who.Customer, c.quotas(), fresh, s.now)
}

// result is the report for the Sink, with every block that is not refused.
func (s *sorting) result() Report {
	s.blocks = make([]window.Block, 0, len(s.m.GetBlocks()))
	for n, b := range s.m.GetBlocks() {
		if !s.refused[n] {
			s.block(n, b)
		}
	}
	r := Report{
		Agent: s.who, Asset: assetOf(s.who), Epoch: s.m.GetEpoch(), Sequence: s.m.GetSequence(),
		MadeAt: moment(s.m.GetMadeAtMs()), ReceivedAt: s.now, Blocks: s.blocks,
		Events: events(s.m.GetEvents()[:s.events], s.now), EventsDropped: len(s.m.GetEvents()) - s.events,
		Inventory: inventory(s.m.GetInventory()), Tables: tables(s.m.GetTables(), s.now),
		Bundles:  bundles(s.m.GetBundles(), s.now),
		Replayed: s.replayed, HeldSince: moment(s.m.GetHeldSinceMs()),
		Lane: s.a.sent.lane, Waiting: s.a.sent.waiting, ReplayedSince: s.a.sent.replayed,
		From: s.a.sent.from,
	}
	if s.events > 0 {
		r.NewEvents = func(n int) { s.paid = true; s.a.payEvents(n, s.now) }
	}
	if g := s.m.GetGoodbye(); g != nil {
		reason := clean(g.GetReason())
		r.Goodbye = &reason
	}
	return r
}

// block takes in one block or refuses it.
func (s *sorting) block(n int, b *wire.Block) {
	out := window.Block{
		Source: clean(b.GetSource()), Kind: clean(b.GetKind()), At: moment(b.GetSampledAtMs()),
		Interval: time.Duration(b.GetIntervalMs()) * time.Millisecond, Reason: clean(b.GetReason()),
	}
	src := s.a.sources[out.Source]
	switch b.GetStatus() {
	case wire.Block_STATUS_FAILED:
		out.Status = window.Failed
	case wire.Block_STATUS_UNCHANGED:
		out.Status = window.Unchanged
		if b.GetSameAsMs() != 0 { // see agent.repeats
			same := s.a.said[b.GetSource()]
			out.Status, out.Layout, out.Values = window.OK, same.layout, same.values
			s.i.shapes.find(s.who.Customer, same.layout.ID, s.now) // it is in use
			src.series = len(same.values)
		}
	default:
		out.Status, out.Reason = window.OK, ""
		layout, ok := s.i.shapes.find(s.who.Customer, idOf(b), s.now)
		if !ok {
			s.refuse(n, reasonShapeQuota, fmt.Sprintf("%s has a new set of series, and there have been more of those than %s "+
				"allows: look for a label whose value changes all the time, or raise it", out.Source, s.full[idOf(b)]))
			return
		}
		if len(layout.Series) != len(b.GetValues()) {
			s.refuse(n, reasonShapeFit, fmt.Sprintf("%s has %d values for the %d series of its shape: update the agent",
				out.Source, len(b.GetValues()), len(layout.Series)))
			return
		}
		out.Layout, out.Values, src.series = layout, b.GetValues(), len(layout.Series)
	}
	if quota, found, limit := s.a.room(s.i.bounds.Load().Quotas.Agent, out.Source, src.series, s.now); quota != "" {
		s.refuse(n, quota+"_quota", s.tooMuch(out.Source, quota, found, limit))
		return
	}
	age := s.now.Sub(out.At)
	out.Late = s.replayed || age > LateAfter(out.Interval) || !out.At.After(src.newest)
	src.seenAt = s.now
	s.a.put(out.Source, src)
	if out.Late && s.a.version1 {
		out.Values = slices.Clone(out.Values) // late blocks are kept, see Report
	}
	s.blocks, s.from = append(s.blocks, out), append(s.from, b)
}

// tooMuch says which quota of series or sources is full, and what to do.
func (s *sorting) tooMuch(source, quota string, found, limit int) string {
	if quota == "customer_series" {
		return fmt.Sprintf("%s would bring the customer to %d series, at most %d are taken: watch less, or raise %sseries",
			source, found, limit, s.a.customer.key())
	}
	return fmt.Sprintf("%s would be %d %s of this host, at most %d are taken: watch less, or raise quotas.agent.%s", source,
		found, quota, limit, quota)
}
