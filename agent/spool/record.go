package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/watchbill/watchbill/agent/wire"
)

// A record is, all numbers little endian:
//
//	length   uint32  of payload
//	sum      uint32  CRC-32C of payload
//	kind     uint32  1: a report
//	check    uint32  CRC-32C of salt (the segment's) ‖ offset of the record in it (uint64) ‖ length ‖ sum ‖ kind
//	payload
//
// The head has a sum of its own so that a damaged payload can be stepped over by its length, and a damaged head is
// noticed before its length is believed. Behind a damaged head, the next one is searched byte by byte. Because salt and
// offset are part of the check, nothing that someone got into a report's text can be taken for a record then: the salt
// is random, and stands in the segment's name.
//
// The payload of a report is
//
//	epoch, sequence uint64; made at int64 (Unix ms); coding uint8 (0 plain, 1 zstd); shapes uint16; that many ids of
//	32 bytes; the wire.Report, in it those shapes in the same order
//
// so that a segment can be indexed without decoding reports, and report and shapes are there together or not at all.
type record struct {
	epoch, sequence uint64
	madeAtMs        int64
	coding          uint8
	ids             [][32]byte
	body            []byte
}

const (
	headBytes   = 16
	reportBytes = 8 + 8 + 8 + 1 + 2
	kindReport  = 1
	maxShapes   = 1<<16 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r record) size() int { return headBytes + reportBytes + 32*len(r.ids) + len(r.body) }

// encode writes the record for its place in a segment.
func (r record) encode(salt uint64, offset int64) []byte {
	b := make([]byte, headBytes, r.size())
	b = binary.LittleEndian.AppendUint64(b, r.epoch)
	b = binary.LittleEndian.AppendUint64(b, r.sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.madeAtMs)) //nolint:gosec // bits, not a quantity
	b = append(b, r.coding)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.ids))) //nolint:gosec // at most maxShapes
	for _, id := range r.ids {
		b = append(b, id[:]...)
	}
	b = append(b, r.body...)
	seal(b, kindReport, salt, offset)
	return b
}

// seal fills in the head of the record b.
func seal(b []byte, kind uint32, salt uint64, offset int64) {
	binary.LittleEndian.PutUint32(b, uint32(len(b)-headBytes)) //nolint:gosec // within a segment
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[headBytes:], castagnoli))
	binary.LittleEndian.PutUint32(b[8:], kind)
	binary.LittleEndian.PutUint32(b[12:], headCheck(b, salt, offset))
}

func headCheck(b []byte, salt uint64, offset int64) uint32 {
	var key [16]byte
	binary.LittleEndian.PutUint64(key[:], salt)
	binary.LittleEndian.PutUint64(key[8:], uint64(offset)) //nolint:gosec // not negative
	return crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, b[:12])
}

// headAt is the size of the record that b begins with, false when it begins with none that is whole.
func headAt(b []byte, salt uint64, offset int64) (size int, ok bool) {
	if len(b) < headBytes || binary.LittleEndian.Uint32(b[12:]) != headCheck(b, salt, offset) {
		return 0, false
	}
	n := int64(headBytes) + int64(binary.LittleEndian.Uint32(b))
	return int(n), n <= int64(len(b))
}

// payloadOf checks the payload of the whole record b.
func payloadOf(b []byte) (payload []byte, ok bool) {
	payload = b[headBytes:]
	return payload, crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// scan visits the records of a segment's bytes in order; a place that is damaged is visited as nil. It returns where
// the last whole record ends: what is behind that is nothing that anyone was told is safe, or damage.
func scan(b []byte, salt uint64, visit func(offset, size int, payload []byte)) (end int) {
	for pos, lost := 0, -1; pos < len(b); {
		size, ok := headAt(b[pos:], salt, int64(pos))
		var payload []byte
		whole := false
		if ok {
			payload, whole = payloadOf(b[pos : pos+size])
		}
		switch {
		case whole:
			if lost >= 0 {
				visit(lost, pos-lost, nil)
				lost = -1
			}
			visit(pos, size, payload)
			pos += size
			end = pos
		case ok: // its head is true, so its length is
			if lost < 0 {
				lost = pos
			}
			pos += size
		default:
			if lost < 0 {
				lost = pos
			}
			pos++
		}
	}
	return end
}

// parse reads a payload's index part; body aliases b. An error means that this release did not write it.
func parse(b []byte) (record, error) {
	if len(b) < reportBytes {
		return record{}, fmt.Errorf("report record of %d bytes: want at least %d", len(b), reportBytes)
	}
	r := record{
		epoch:    binary.LittleEndian.Uint64(b),
		sequence: binary.LittleEndian.Uint64(b[8:]),
		madeAtMs: int64(binary.LittleEndian.Uint64(b[16:])), //nolint:gosec // bits, not a quantity
		coding:   b[24],
	}
	n := int(binary.LittleEndian.Uint16(b[25:]))
	b = b[reportBytes:]
	if len(b) < 32*n {
		return record{}, fmt.Errorf("report record ends within its %d shape ids", n)
	}
	r.ids = make([][32]byte, n)
	for i := range r.ids {
		r.ids[i] = [32]byte(b[32*i:])
	}
	r.body = b[32*n:]
	return r, nil
}

// recordOf makes the record of r, with the shapes that the segment it goes to does not hold yet.
func (s *Spool) recordOf(r *wire.Report, shapes func(id []byte) (*wire.Shape, bool), fresh bool) (record, error) {
	rec := record{epoch: r.GetEpoch(), sequence: r.GetSequence(), madeAtMs: r.GetMadeAtMs()}
	var with []*wire.Shape
	has := map[[32]byte]bool{}
	for _, b := range r.GetBlocks() {
		if b.GetStatus() != wire.Block_STATUS_OK {
			continue
		}
		if len(b.GetShapeId()) != 32 {
			return record{}, fmt.Errorf("block %s has a shape id of %d bytes, want 32", b.GetSource(), len(b.GetShapeId()))
		}
		id := [32]byte(b.GetShapeId())
		if has[id] || !fresh && s.tail().holds(id) {
			continue
		}
		shape, err := s.findShape(id, shapes)
		if err != nil {
			return record{}, fmt.Errorf("block %s: %w", b.GetSource(), err)
		}
		has[id] = true
		rec.ids, with = append(rec.ids, id), append(with, shape)
	}
	if len(rec.ids) > maxShapes {
		return record{}, fmt.Errorf("it refers to %d shapes, at most %d are possible", len(rec.ids), maxShapes)
	}
	body, coding, err := wire.Encode(withShapes(r, with))
	if err != nil {
		return record{}, err
	}
	if coding == wire.CodingZstd {
		rec.coding = 1
	}
	rec.body = body
	return rec, nil
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

// limits are for what this agent wrote itself and a checksum vouches for: they only bound what a fault could cost.
func limits() wire.Limits {
	l := wire.DefaultLimits()
	l.BodyBytes, l.DecodedBytes, l.MemoryBytes = maxSegmentBytes, maxSegmentBytes, 8*maxSegmentBytes
	return l
}
