package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

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
// Segments of format 2 hold reports in few bytes. The first one is a key: it leans on nothing, and the values of all its
// series are the frame that the next leanings reports lean on, as the difference to it. (Not to the one before: then
// damage to a report would cost those behind it as well.) The last of them is the next base: the frame is its values, for
// as many more. So that no single damage costs a frame, the first report that leans on one has a copy of it. The payload
// of a report is, n being an unsigned LEB128 varint and z a zigzag one:
//
//	flags       uint8: flagZstd, flagDifference, flagSpare, flagOutline
//	back        n, with flagDifference: from the base's record to this one, in bytes
//	ahead       n sequence, z made at: by how much it is ahead of the base's; with flagDifference
//	name        epoch uint64, n sequence, n made at (Unix ms); without flagDifference, and with flagSpare
//	shapes      n, that many ids of 32 bytes
//	outline     8 bytes, with flagOutline: the outline of this ID is written out in this record
//	spare       n, that many bytes: the copy of the base's frame (wire.Frame.Append); with flagSpare
//	report      the wire.Report as wire.EncodeKey or wire.Frame.Encode write it, in it those shapes in the same order
//
// An outline is written out twice in a segment, and named otherwise. In format 1 the payload is
//
//	epoch, sequence uint64; made at int64 (Unix ms); coding uint8 (0 plain, 1 zstd); shapes uint16; that many ids of
//	32 bytes; the wire.Report in version 0, in it those shapes in the same order
//
// so that a segment of either can be indexed without decoding reports, and report and shapes are there together or not
// at all.
type record struct {
	name wire.Name
	ids  [][32]byte
	zstd bool
	body []byte

	// What follows is of format 2. base is the offset of the base's record, this one's own for a key.
	base     int64
	baseName wire.Name
	spare    []byte
	outline  wire.OutlineID
	whole    bool // the outline is written out

	payload []byte      // as it is written
	frame   *wire.Frame // that later ones lean on, if this record to be written is a base
}

const (
	flagZstd = 1 << iota
	flagDifference
	flagSpare
	flagOutline
)

// leanings is how many reports lean on one frame. More would make copies cheaper and differences longer.
const leanings = 24

const (
	headBytes   = 16
	reportBytes = 8 + 8 + 8 + 1 + 2 // of format 1, without ids
	kindReport  = 1
	maxShapes   = 1<<16 - 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r record) size() int { return headBytes + len(r.payload) }

// encode writes the record for its place in a segment.
func (r record) encode(salt uint64, offset int64) []byte {
	b := append(make([]byte, headBytes, r.size()), r.payload...)
	seal(b, kindReport, salt, offset)
	return b
}

// build writes the payload of format 2; offset is the record's own.
func (r *record) build(offset int64) {
	flags, difference := byte(0), r.base != offset
	for flag, set := range map[byte]bool{
		flagZstd: r.zstd, flagDifference: difference, flagSpare: r.spare != nil, flagOutline: r.whole,
	} {
		if set {
			flags |= flag
		}
	}
	b := make([]byte, 1, 64+32*len(r.ids)+len(r.spare)+len(r.body))
	b[0] = flags
	if difference {
		b = binary.AppendUvarint(b, uint64(offset-r.base))               //nolint:gosec // the key is before it
		b = binary.AppendUvarint(b, r.name.Sequence-r.baseName.Sequence) // as is its number
		b = binary.AppendVarint(b, r.name.MadeAtMs-r.baseName.MadeAtMs)  // unlike its time
	}
	if !difference || r.spare != nil {
		b = binary.LittleEndian.AppendUint64(b, r.name.Epoch)
		b = binary.AppendUvarint(b, r.name.Sequence)
		b = binary.AppendUvarint(b, uint64(r.name.MadeAtMs)) //nolint:gosec // bits, not a quantity
	}
	b = binary.AppendUvarint(b, uint64(len(r.ids)))
	for _, id := range r.ids {
		b = append(b, id[:]...)
	}
	if r.whole {
		b = append(b, r.outline[:]...)
	}
	if r.spare != nil {
		b = append(binary.AppendUvarint(b, uint64(len(r.spare))), r.spare...)
	}
	r.payload = append(b, r.body...)
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

// parse1 reads a payload of format 1. body aliases b. An error means that no release wrote it.
func parse1(b []byte, offset int64) (record, error) {
	if len(b) < reportBytes {
		return record{}, fmt.Errorf("report record of %d bytes: want at least %d", len(b), reportBytes)
	}
	r := record{
		base: offset,
		name: wire.Name{
			Epoch:    binary.LittleEndian.Uint64(b),
			Sequence: binary.LittleEndian.Uint64(b[8:]),
			MadeAtMs: int64(binary.LittleEndian.Uint64(b[16:])), //nolint:gosec // bits, not a quantity
		},
		zstd: b[24] != 0,
	}
	n := int(binary.LittleEndian.Uint16(b[25:]))
	b = b[reportBytes:]
	if len(b) < 32*n {
		return record{}, fmt.Errorf("report record ends within its %d shape ids", n)
	}
	r.ids, r.body = idsOf(b[:32*n]), b[32*n:]
	return r, nil
}

func idsOf(b []byte) [][32]byte {
	ids := make([][32]byte, len(b)/32)
	for i := range ids {
		ids[i] = [32]byte(b[32*i:])
	}
	return ids
}

// parse2 reads a payload of format 2 that is at offset in its segment; named is asked for the name of a base. body and
// spare alias b. An error means that no release wrote it, or that nothing is left of the base it leans on.
func parse2(b []byte, offset int64, named func(offset int64) (wire.Name, bool)) (record, error) {
	p := pieces{b: b}
	flags := p.take(1)
	if p.short || flags[0] > flagZstd|flagDifference|flagSpare|flagOutline {
		return record{}, errors.New("report record has no flags, or such as this release does not know")
	}
	has := func(flag byte) bool { return flags[0]&flag != 0 }
	r := record{base: offset, zstd: has(flagZstd), whole: has(flagOutline)}
	var ahead uint64
	var later int64
	if has(flagDifference) {
		back := p.uvarint()
		if back == 0 || back > uint64(offset) { //nolint:gosec // not negative
			return record{}, fmt.Errorf("report record leans on one %d bytes before its own place %d", back, offset)
		}
		r.base, ahead, later = offset-int64(back), p.uvarint(), p.varint() //nolint:gosec // at most offset
	}
	if has(flagSpare) || !has(flagDifference) {
		if id := p.take(8); id != nil {
			r.name.Epoch = binary.LittleEndian.Uint64(id)
		}
		r.name.Sequence, r.name.MadeAtMs = p.uvarint(), int64(p.uvarint()) //nolint:gosec // bits, not a quantity
		r.baseName = wire.Name{Epoch: r.name.Epoch, Sequence: r.name.Sequence - ahead, MadeAtMs: r.name.MadeAtMs - later}
	} else {
		var ok bool
		if r.baseName, ok = named(r.base); !ok {
			return record{}, errors.New("report record leans on one that is damaged, and so is its copy")
		}
		r.name = wire.Name{Epoch: r.baseName.Epoch, Sequence: r.baseName.Sequence + ahead, MadeAtMs: r.baseName.MadeAtMs + later}
	}
	if n := p.uvarint(); n <= maxShapes {
		r.ids = idsOf(p.take(32 * n))
	} else {
		p.short = true
	}
	if r.whole {
		copy(r.outline[:], p.take(uint64(len(r.outline))))
	}
	if has(flagSpare) {
		r.spare = p.take(p.uvarint())
	}
	if p.short {
		return record{}, errors.New("report record ends within its index")
	}
	r.body = p.b
	return r, nil
}

// pieces takes pieces from the front of bytes; once it is short it gives nothing.
type pieces struct {
	b     []byte
	short bool
}

func (p *pieces) take(n uint64) []byte {
	if p.short || n > uint64(len(p.b)) {
		p.short = true
		return nil
	}
	piece := p.b[:n:n]
	p.b = p.b[n:]
	return piece
}

func (p *pieces) uvarint() uint64 {
	n, size := binary.Uvarint(p.b)
	p.take(uint64(max(size, 0))) //nolint:gosec // not negative
	p.short = p.short || size <= 0
	return n
}

func (p *pieces) varint() int64 {
	n, size := binary.Varint(p.b)
	p.take(uint64(max(size, 0))) //nolint:gosec // not negative
	p.short = p.short || size <= 0
	return n
}

// limits are for what this agent wrote itself and a checksum vouches for: they only bound what a fault could cost.
func limits() wire.Limits {
	l := wire.DefaultLimits()
	l.BodyBytes, l.DecodedBytes, l.MemoryBytes = maxSegmentBytes, maxSegmentBytes, 8*maxSegmentBytes
	return l
}
