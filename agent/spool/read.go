package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/watchbill/watchbill/agent/wire"
)

// Newest is the newest report that is not acknowledged, false when all are.
func (s *Spool) Newest() (Item, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.segments) - 1; i >= 0; i-- {
		g := s.segments[i]
		for j := len(g.entries) - 1; j >= 0 && g.waiting > 0; j-- {
			if item, ok, err := s.waiting(g, j); ok || err != nil {
				return item, ok, err
			}
		}
	}
	return Item{}, false, s.alive()
}

// Oldest is the oldest report that is not acknowledged, false when all are.
func (s *Spool) Oldest() (Item, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		for j := 0; j < len(g.entries) && g.waiting > 0; j++ {
			if item, ok, err := s.waiting(g, j); ok || err != nil {
				return item, ok, err
			}
		}
	}
	return Item{}, false, s.alive()
}

func (s *Spool) alive() error {
	if s.closed {
		return ErrClosed
	}
	return nil
}

// waiting reads entry j of g if it is not acknowledged and not damaged.
func (s *Spool) waiting(g *segment, j int) (Item, bool, error) {
	if g.entries[j].done || g.entries[j].lost {
		return Item{}, false, nil
	}
	r, ok, err := s.read(g, j)
	if !ok || err != nil {
		return Item{}, false, err
	}
	return itemOf(r), true, nil
}

// Done says that the collector has a report, or never wants it: it is kept for replay until Options.Keep has passed,
// and then goes when room is needed. A report that is not held, or is done already, is no error. Done is written to the
// disk lazily; the error is that of writing, and what it was called for holds all the same until a restart.
func (s *Spool) Done(epoch, sequence uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for i := len(s.segments) - 1; i >= 0; i-- {
		g := s.segments[i]
		if g.waiting == 0 {
			continue
		}
		j := slices.IndexFunc(g.entries, func(e entry) bool {
			return e.epoch == epoch && e.sequence == sequence && !e.done && !e.lost
		})
		if j < 0 {
			continue
		}
		g.done(j)
		if s.unsaved++; s.unsaved >= saveEvery {
			return s.saveState()
		}
		return nil
	}
	return nil
}

// Since is every acknowledged report made at or after t, oldest first, up to the newest report there is when it starts:
// for a collector that builds its windows again. Reports may be appended, acknowledged and dropped meanwhile. It ends
// with the first error, which comes with an empty Item.
func (s *Spool) Since(t time.Time) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		at, end := place{}, s.end()
		for {
			item, ok, err := s.nextDone(&at, end, t)
			if !ok && err == nil || !yield(item, err) || err != nil {
				return
			}
		}
	}
}

// place is a position among the entries: the next to look at.
type place struct {
	number uint64 // of the segment
	index  int
}

func (s *Spool) end() place {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.tail()
	if g == nil {
		return place{}
	}
	return place{g.number, len(g.entries)}
}

// nextDone is the next acknowledged report at or behind at, and moves at past it.
func (s *Spool) nextDone(at *place, end place, t time.Time) (Item, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.segments {
		if g.number < at.number || g.number > end.number {
			continue
		}
		if g.number > at.number {
			*at = place{number: g.number}
		}
		stop := len(g.entries)
		if g.number == end.number {
			stop = end.index
		}
		for at.index < stop {
			e := g.entries[at.index]
			at.index++
			if !e.done || e.lost || e.twin || e.madeAtMs < t.UnixMilli() {
				continue
			}
			r, ok, err := s.read(g, at.index-1)
			if err != nil {
				return Item{}, false, err
			}
			if ok {
				return itemOf(r), true, nil
			}
		}
	}
	return Item{}, false, s.alive()
}

func itemOf(r *wire.Report) Item {
	r.Shapes = nil
	return Item{
		Epoch:    r.GetEpoch(),
		Sequence: r.GetSequence(),
		MadeAt:   time.UnixMilli(r.GetMadeAtMs()),
		Report:   r,
	}
}

// Shape finds a shape that a held report refers to; the caller's own copy.
func (s *Spool) Shape(id []byte) (*wire.Shape, bool) {
	if len(id) != 32 {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shape([32]byte(id))
}

func (s *Spool) shape(id [32]byte) (*wire.Shape, bool) {
	for i := len(s.segments) - 1; i >= 0; i-- {
		g := s.segments[i]
		j, ok := g.shapes[id]
		if !ok {
			continue
		}
		rec, ok, err := s.readRecord(g, j)
		if !ok || err != nil {
			continue // an older segment may have it
		}
		r, err := s.report(g, rec)
		if err != nil {
			continue
		}
		for k := range min(len(rec.ids), len(r.GetShapes())) {
			if rec.ids[k] == id {
				return r.GetShapes()[k], true
			}
		}
	}
	return nil, false
}

// read reads entry j of g. When the disk no longer gives what it was given, the entry is marked and ok is false: what
// is damaged is not served, and does not stop what is behind it. An error is of the disk itself.
func (s *Spool) read(g *segment, j int) (r *wire.Report, ok bool, err error) {
	rec, ok, err := s.readRecord(g, j)
	if !ok || err != nil {
		return nil, false, err
	}
	var broken *diskError
	if r, err = s.report(g, rec); errors.As(err, &broken) {
		return nil, false, err
	}
	if err != nil {
		g.lose(j)
		s.note("segment %s: report %d of epoch %d: %v", g.name(), rec.name.Sequence, rec.name.Epoch, err)
		return nil, false, nil
	}
	return r, true, nil
}

// diskError is of the disk itself, as opposed to what is on it: what it is about may be whole.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

func (s *Spool) readRecord(g *segment, j int) (rec record, ok bool, err error) {
	if s.closed {
		return record{}, false, ErrClosed
	}
	e := g.entries[j]
	f, err := s.disk.Open(g.name(), false)
	if err != nil {
		return record{}, false, fmt.Errorf("read spooled report: %w", &diskError{err})
	}
	defer func() { _ = f.Close() }() // only read
	b := make([]byte, e.size)
	if _, err := f.ReadAt(b, int64(e.offset)); err != nil && !errors.Is(err, io.EOF) {
		return record{}, false, fmt.Errorf("read spooled report: %w", &diskError{err})
	}
	if size, whole := headAt(b, g.salt, int64(e.offset)); whole && size == len(b) {
		if payload, sound := payloadOf(b); sound {
			rec, err = g.parse(payload, int64(e.offset))
			if err == nil && rec.name.Epoch == e.epoch && rec.name.Sequence == e.sequence {
				return rec, true, nil
			}
		}
	}
	g.lose(j)
	s.note("segment %s: report %d of epoch %d was damaged after it was written; it is stepped over", g.name(), e.sequence,
		e.epoch)
	return record{}, false, nil
}

func (r record) coding() string {
	if r.zstd {
		return wire.CodingZstd
	}
	return ""
}

// report decodes what the record carries, with the shapes of its segment that came with it.
func (s *Spool) report(g *segment, r record) (*wire.Report, error) {
	if g.version == 1 {
		report := &wire.Report{}
		if err := wire.Decode(bytes.NewReader(r.body), r.coding(), limits(), report); err != nil {
			return nil, err
		}
		if report.GetEpoch() != r.name.Epoch || report.GetSequence() != r.name.Sequence || report.GetMadeAtMs() != r.name.MadeAtMs {
			return nil, fmt.Errorf("its record holds report %d of epoch %d", report.GetSequence(), report.GetEpoch())
		}
		return report, nil
	}
	var lean *wire.Frame
	if r.baseName != r.name {
		var err error
		if lean, err = s.frame(g, r.base); err != nil {
			return nil, err
		}
	}
	report, frame, err := wire.DecodeFramed(r.body, r.coding(), r.name, lean, s.finder(g), limits())
	if err != nil {
		return nil, err
	}
	if frame != nil {
		s.cached = cached{g.number, r.base, frame}
	}
	return report, nil
}
