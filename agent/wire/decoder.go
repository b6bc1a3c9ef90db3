package wire

import (
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Decoder reads reports of version 1 and uses its memory again for the next: a report that brings nothing but blocks of
// a known outline is read without allocating anything. A Decoder belongs to one goroutine at a time.
//
// What it returns stays the Decoder's: the Report, its Blocks and their Values are valid until the next call or Release.
// Strings and shape IDs may be kept; whoever keeps values copies them.
type Decoder struct {
	buf    []byte
	rest   []byte // fields that are left to protobuf
	report *Report
	u      unpacker
	bulk   bulkReader
}

// released is for the reason that the other pools have, see codec.go: request handlers come and go.
var released = sync.Pool{New: func() any { return new(Decoder) }}

// NewDecoder takes one of those that were released, or makes one.
func NewDecoder() *Decoder {
	d, err := pooled[*Decoder](&released)
	if err != nil {
		return new(Decoder)
	}
	return d
}

// Release gives d and all that it returned back; the caller uses neither any more.
func (d *Decoder) Release() {
	d.bulk = bulkReader{}
	released.Put(d)
}

// Report reads one live report from r, to its end, within max: limits hold before anything is allocated, as in Decode.
// known is what the agent's reports have told so far; it learns from this one. The report has passed CheckReport.
//
// ErrInFull means that the report leans on an outline that is not known: then the Report has its name and nothing else.
// An *Error says what is wrong with the body; any other error is r's own.
func (d *Decoder) Report(r io.Reader, coding string, max Limits, known *Outlines) (*Report, error) {
	if err := d.read(r, coding, max, "Report"); err != nil {
		return nil, err
	}
	d.u.max, d.u.room = max, max.SeriesPerReport
	packed, err := d.fields(d.buf, max)
	if err != nil {
		return nil, err
	}
	o, err := d.blocks(packed, known, nil)
	if errors.Is(err, ErrInFull) {
		return d.report, err
	}
	if err != nil {
		return nil, err
	}
	if err := checkRest(d.report, max); err != nil {
		return nil, err
	}
	if o != nil {
		known.keep(o)
	}
	return d.report, nil
}

// read takes in a body and undoes its coding.
func (d *Decoder) read(r io.Reader, coding string, max Limits, name string) (err error) {
	d.buf, err = readBody(r, coding, max, name, d.buf[:0])
	return err
}

// Field numbers of Report that are read here and not by protobuf's machinery.
const (
	fieldEpoch     = 1
	fieldSequence  = 2
	fieldMadeAt    = 3
	fieldBlocks    = 4
	fieldHeldSince = 10
	fieldPacked    = 11
)

// fields reads all of a report but its packed blocks, which it returns. They are a part of b.
func (d *Decoder) fields(b []byte, max Limits) (packed []byte, err error) {
	if d.report == nil {
		d.report = &Report{}
	}
	r := d.report
	r.Reset()
	d.rest = d.rest[:0]
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		size := -1
		if n > 0 {
			size = protowire.ConsumeFieldValue(num, typ, b[n:])
		}
		if size < 0 {
			return nil, refuse(ReasonMalformed, "body is not a Report: %v", protowire.ParseError(min(n, size)))
		}
		field, value := b[:n+size], b[n:n+size]
		b = b[n+size:]
		switch {
		case typ == protowire.VarintType:
			v, _ := protowire.ConsumeVarint(value)
			r.number(num, v)
		case num == fieldPacked && typ == protowire.BytesType:
			packed, _ = protowire.ConsumeBytes(value)
		case num == fieldBlocks:
			return nil, refuse(ReasonMalformed, "report of version 1 has blocks that are not packed: send them in version 0")
		default:
			d.rest = append(d.rest, field...)
		}
	}
	if len(d.rest) == 0 {
		return packed, nil
	}
	weight, err := weigh(d.rest, r.ProtoReflect().Descriptor())
	if err != nil {
		return nil, refuse(ReasonMalformed, "body is not a Report: %v", err)
	}
	if err := over("bytes of memory for a Report", weight, max.MemoryBytes, "memory_bytes"); err != nil {
		return nil, err
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true, Merge: true}).Unmarshal(d.rest, r); err != nil {
		return nil, refuse(ReasonMalformed, "body is not a Report: %v", err)
	}
	return packed, nil
}

// number sets a field that is one; others are not this release's.
func (r *Report) number(num protowire.Number, v uint64) {
	switch num {
	case fieldEpoch:
		r.Epoch = v
	case fieldSequence:
		r.Sequence = v
	case fieldMadeAt:
		r.MadeAtMs = int64(v) //nolint:gosec // bits
	case fieldHeldSince:
		r.HeldSinceMs = int64(v) //nolint:gosec // bits
	}
}

// blocks unpacks the report's blocks; the outline is nil when it has none at all.
func (d *Decoder) blocks(packed []byte, known outlines, base *Frame) (*outline, error) {
	if packed == nil {
		return nil, nil
	}
	o, rest, err := d.u.split(packed, known, base)
	if err != nil {
		return nil, err
	}
	if packed[0] != packedDelta {
		base = nil
	}
	d.report.Blocks, err = d.u.body(rest, d.report.MadeAtMs, o, base)
	return o, err
}
