package wire

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// BulkEncoder gathers reports for one body of media type TypeBulkV1: the first as a key, every other one as the
// difference to the one before, so that the body leans on nothing that its reader was told before. It belongs to one
// goroutine.
type BulkEncoder struct {
	max     Limits
	body    []byte
	n       int
	samples int
	frame   *Frame
	p       packer
}

// NewBulkEncoder makes an empty one that keeps to max.
func NewBulkEncoder(max Limits) *BulkEncoder { return &BulkEncoder{max: max, p: packer{max: max}} }

// Add appends r, which is not changed and not kept. false means that the body is full without it: send that, and begin
// the next with r.
func (e *BulkEncoder) Add(r *Report) (bool, error) {
	samples := 0
	for _, b := range r.GetBlocks() {
		samples += len(b.GetValues())
	}
	if e.n > 0 && (e.n >= e.max.BulkReports || e.samples+samples > e.max.BulkSamples) {
		return false, nil
	}
	frame := e.frame
	fits := false
	if frame != nil {
		e.p.slots, fits = frame.outline.place(r.GetBlocks(), e.p.slots)
	}
	e.p.b = e.p.b[:0]
	base := frame
	if fits {
		e.p.b = append(e.p.b, packedDelta)
	} else {
		var old *outline
		if frame != nil {
			old = frame.outline
		}
		o, err := outlineFor(r.GetBlocks(), old, e.max)
		if err != nil {
			return false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
		}
		frame, base = newFrame(o), nil
		if e.p.slots, fits = frame.outline.place(r.GetBlocks(), e.p.slots); !fits {
			return false, fmt.Errorf("encode report %d: the order of its blocks defies an outline", r.GetSequence())
		}
		e.p.b = frame.outline.tell(e.p.b, true)
	}
	if err := e.p.body(r.GetMadeAtMs(), r.GetBlocks(), frame.outline, base); err != nil {
		return false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
	}
	one, err := proto.MarshalOptions{Deterministic: true}.Marshal(withPacked(r, e.p.b))
	if err != nil {
		return false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
	}
	// BodyBytes bounds what is sent, and that is this at most.
	if e.n > 0 && int64(len(e.body)+len(one)+bulkOverhead) > min(e.max.DecodedBytes, e.max.BodyBytes) {
		return false, nil
	}
	e.body = protowire.AppendBytes(protowire.AppendTag(e.body, fieldReports, protowire.BytesType), one)
	frame.learn(r.GetBlocks(), e.p.slots)
	e.frame, e.n, e.samples = frame, e.n+1, e.samples+samples
	return true, nil
}

const (
	fieldReports = 1
	bulkOverhead = 8 // tag and length of a report
)

// Len is how many reports were added.
func (e *BulkEncoder) Len() int { return e.n }

// Body is the reports added so far, and its content coding. After Reset it is overwritten.
func (e *BulkEncoder) Body() (body []byte, coding string, err error) { return squeeze(e.body) }

// Reset makes e empty again.
func (e *BulkEncoder) Reset() {
	e.body, e.n, e.samples, e.frame = e.body[:0], 0, 0, nil
}

// bulkReader is a Decoder's way through a bulk.
type bulkReader struct {
	max     Limits
	left    []byte
	frame   *Frame
	n       int
	samples int
}

// Bulk takes in a body of many reports, to its end, within max; Next gives them. Errors are as those of Report.
func (d *Decoder) Bulk(r io.Reader, coding string, max Limits) error {
	if err := d.read(r, coding, max, "Bulk"); err != nil {
		return err
	}
	d.bulk = bulkReader{max: max, left: d.buf}
	return nil
}

// Next is the next report of a bulk, io.EOF behind the last. It is valid until the call after it, and has passed
// CheckReport. One report is in memory at a time, and there are no more than max.BulkReports of them with
// max.BulkSamples values together, whatever few bytes they come in. After an *Error nothing more is to be had: what is
// behind leans on what could not be read.
func (d *Decoder) Next() (*Report, error) {
	r, err := d.next()
	if err != nil {
		d.bulk.left = nil
	}
	return r, err
}

func (d *Decoder) next() (*Report, error) {
	b := &d.bulk
	for len(b.left) > 0 {
		num, typ, n := protowire.ConsumeTag(b.left)
		size := -1
		if n > 0 {
			size = protowire.ConsumeFieldValue(num, typ, b.left[n:])
		}
		if size < 0 {
			return nil, refuse(ReasonMalformed, "body is not a Bulk: %v", protowire.ParseError(min(n, size)))
		}
		value := b.left[n : n+size]
		b.left = b.left[n+size:]
		if num != fieldReports || typ != protowire.BytesType {
			continue
		}
		if b.n++; b.n > b.max.BulkReports {
			return nil, over("reports of a bulk", b.n, b.max.BulkReports, "bulk_reports")
		}
		one, _ := protowire.ConsumeBytes(value)
		return d.one(one)
	}
	return nil, io.EOF
}

func (d *Decoder) one(body []byte) (*Report, error) {
	b := &d.bulk
	d.u.max = b.max
	packed, err := d.fields(body, b.max)
	if err != nil {
		return nil, err
	}
	d.u.room = b.max.BulkSamples - b.samples
	o, err := d.blocks(packed, nil, b.frame)
	if err != nil {
		return nil, err
	}
	if err := checkRest(d.report, b.max); err != nil {
		return nil, err
	}
	if o == nil {
		return d.report, nil
	}
	b.samples += len(d.u.values)
	if b.frame == nil || b.frame.outline != o {
		b.frame = newFrame(o)
	}
	b.frame.learn(d.report.GetBlocks(), d.u.slots)
	return d.report, nil
}
