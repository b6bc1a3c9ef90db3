package spool

import (
	"errors"

	"github.com/watchbill/watchbill/agent/wire"
)

// cached is the frame that was used last: reports that lean on one are read one after the other.
type cached struct {
	segment uint64
	offset  int64
	frame   *wire.Frame
}

// errNoBase: two places are damaged that are each other's copy.
var errNoBase = errors.New("the report it leans on is damaged, and so is the copy of its values")

// frame is the values of the report at offset of g: from the copy, or from its own record when that is damaged.
func (s *Spool) frame(g *segment, offset int64) (*wire.Frame, error) {
	if c := s.cached; c.frame != nil && c.segment == g.number && c.offset == offset {
		return c.frame, nil
	}
	f, err := s.copied(g, offset, s.finder(g))
	if f == nil && err == nil {
		f, err = s.original(g, offset)
	}
	if err != nil {
		return nil, err
	}
	s.cached = cached{g.number, offset, f}
	return f, nil
}

// copied is the copy of the frame at offset, nil when there is none that is whole.
func (s *Spool) copied(g *segment, offset int64, find func(wire.OutlineID) (*wire.Frame, bool)) (*wire.Frame, error) {
	k, ok := g.spares[offset]
	if !ok || g.entries[k.in].lost {
		return nil, nil
	}
	rec, ok, err := s.readRecord(g, k.in)
	if !ok || err != nil {
		return nil, err
	}
	f, err := wire.ReadFrame(rec.spare, find, limits())
	if err != nil {
		return nil, nil //nolint:nilerr // as good as damaged
	}
	return f, nil
}

// original is the frame that the record at offset makes: it is a key, or leans on an earlier base itself.
func (s *Spool) original(g *segment, offset int64) (*wire.Frame, error) {
	at := g.entryAt(offset)
	if at < 0 || g.entries[at].lost {
		return nil, errNoBase
	}
	rec, ok, err := s.readRecord(g, at)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNoBase
	}
	if rec.base == offset {
		_, f, err := wire.DecodeFramed(rec.body, rec.coding(), rec.name, nil, s.finder(g), limits())
		if err == nil && f == nil {
			err = errNoBase
		}
		return f, err
	}
	lean, err := s.frame(g, rec.base) // before it in the segment: this ends
	if err != nil {
		return nil, err
	}
	r, _, err := wire.DecodeFramed(rec.body, rec.coding(), rec.name, lean, s.finder(g), limits())
	if err != nil {
		return nil, err
	}
	return lean.After(r)
}

// outline is a frame that has the outline which the record of entry at has written out; nil when it is not whole.
func (s *Spool) outline(g *segment, at int) *wire.Frame {
	if g.entries[at].lost {
		return nil
	}
	rec, ok, err := s.readRecord(g, at)
	if !ok || err != nil {
		return nil
	}
	if rec.spare != nil {
		f, _ := wire.ReadFrame(rec.spare, nil, limits()) // nil with an error
		return f
	}
	_, f, _ := wire.DecodeFramed(rec.body, rec.coding(), rec.name, nil, nil, limits()) // nil with an error
	return f
}

// finder finds outlines in the places where g has them written out.
func (s *Spool) finder(g *segment) func(wire.OutlineID) (*wire.Frame, bool) {
	return func(id wire.OutlineID) (*wire.Frame, bool) {
		for _, at := range g.outlines[id] {
			if f := s.outline(g, at); f != nil && f.Outline() == id {
				return f, true
			}
		}
		return nil, false
	}
}
