package spool

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/watchbill/watchbill/agent/wire"
)

// base is what the reports written next may lean on.
type base struct {
	frame  *wire.Frame
	offset int64
	name   wire.Name
	leaned int // reports that do
}

// recordOf makes the record of r, with the shapes that the segment it goes to does not hold yet; fresh says that it is
// the first of a new one.
func (s *Spool) recordOf(r *wire.Report, shapes func(id []byte) (*wire.Shape, bool), fresh bool) (record, error) {
	ids, with, err := s.shapesFor(r, shapes, fresh)
	if err != nil {
		return record{}, err
	}
	rec := record{ids: ids, name: wire.Name{Epoch: r.GetEpoch(), Sequence: r.GetSequence(), MadeAtMs: r.GetMadeAtMs()}}
	var offset int64
	if !fresh {
		offset = s.tail().size
	}
	full := withShapes(r, with)
	done := false
	if b := s.base; !fresh && b != nil && b.name.Epoch == rec.name.Epoch {
		if done, err = rec.lean(full, b, s.tail()); err != nil {
			return record{}, err
		}
	}
	if !done {
		if err := s.makeKey(&rec, full, offset, fresh); err != nil {
			return record{}, err
		}
	}
	rec.build(offset)
	return rec, nil
}

// lean makes rec a difference to b; false when r does not fit it.
func (r *record) lean(full *wire.Report, b *base, g *segment) (bool, error) {
	body, coding, ok, err := b.frame.Encode(full, limits())
	if !ok || err != nil {
		return false, err
	}
	r.body, r.zstd, r.base, r.baseName = body, coding == wire.CodingZstd, b.offset, b.name
	if b.leaned == 0 {
		r.outline = b.frame.Outline()
		r.whole = g.outlineCopies(r.outline) < 2
		r.spare = b.frame.Append(nil, r.whole)
	}
	if b.leaned+1 < leanings {
		return true, nil
	}
	r.frame, err = b.frame.After(full)
	return true, err
}

// makeKey makes rec a key.
func (s *Spool) makeKey(rec *record, full *wire.Report, offset int64, fresh bool) error {
	var last *wire.Frame
	if s.base != nil {
		last = s.base.frame
	}
	known := func(id wire.OutlineID) bool { return !fresh && s.tail().outlineCopies(id) >= 2 }
	body, coding, frame, whole, err := wire.EncodeKey(full, last, known, limits())
	if err != nil {
		return err
	}
	rec.body, rec.zstd, rec.base, rec.baseName, rec.frame = body, coding == wire.CodingZstd, offset, rec.name, frame
	rec.whole, rec.outline = whole, frame.Outline()
	return nil
}

// shapesFor are the shapes that r needs and the segment has not.
func (s *Spool) shapesFor(r *wire.Report, shapes func(id []byte) (*wire.Shape, bool), fresh bool) (ids [][32]byte, with []*wire.Shape, err error) {
	has := map[[32]byte]bool{}
	for _, b := range r.GetBlocks() {
		if b.GetStatus() != wire.Block_STATUS_OK {
			continue
		}
		if len(b.GetShapeId()) != 32 {
			return nil, nil, fmt.Errorf("block %s has a shape id of %d bytes, want 32", b.GetSource(), len(b.GetShapeId()))
		}
		id := [32]byte(b.GetShapeId())
		if has[id] || !fresh && s.tail().holds(id) {
			continue
		}
		shape, err := s.findShape(id, shapes)
		if err != nil {
			return nil, nil, fmt.Errorf("block %s: %w", b.GetSource(), err)
		}
		has[id] = true
		ids, with = append(ids, id), append(with, shape)
	}
	if len(ids) > maxShapes {
		return nil, nil, fmt.Errorf("it refers to %d shapes, at most %d are possible", len(ids), maxShapes)
	}
	return ids, with, nil
}

func (s *Spool) findShape(id [32]byte, shapes func(id []byte) (*wire.Shape, bool)) (*wire.Shape, error) {
	if shapes != nil {
		if shape, ok := shapes(id[:]); ok {
			return shape, nil
		}
	}
	if shape, ok := s.shape(id); ok {
		return shape, nil
	}
	return nil, fmt.Errorf("neither its maker nor the spool knows its shape %x: build the block again", id)
}

// withShapes is a shallow copy of r with other shapes; by reflection, so that a field added to the protocol is not
// forgotten here.
func withShapes(r *wire.Report, shapes []*wire.Shape) *wire.Report {
	c := &wire.Report{}
	to := c.ProtoReflect()
	r.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(fd, v)
		return true
	})
	c.Shapes = shapes
	return c
}
