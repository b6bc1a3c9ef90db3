package wire

import (
	"bytes"
	"fmt"
	"slices"
)

// Frame is what reports that are written as differences lean on: an outline and one value for each of its series, zero
// where there never was one. A Frame that was returned is not changed any more.
type Frame struct {
	outline *outline
	values  []float64
}

func newFrame(o *outline) *Frame { return &Frame{outline: o, values: make([]float64, o.series)} }

// learn makes the values of ok blocks those of the frame; slots are the blocks' places in its outline.
func (f *Frame) learn(blocks []*Block, slots []int) {
	at := 0
	for i := range f.outline.heads {
		n := f.outline.heads[i].series
		if s := slots[i]; s >= 0 && blocks[s].GetStatus() == Block_STATUS_OK {
			copy(f.values[at:at+n], blocks[s].GetValues())
		}
		at += n
	}
}

// After is the frame as it is behind r, which fits its outline: what Encode has written, DecodeFramed has read.
func (f *Frame) After(r *Report) (*Frame, error) {
	slots, ok := f.outline.place(r.GetBlocks(), nil)
	if !ok {
		return nil, fmt.Errorf("report %d does not fit the frame that it should be behind", r.GetSequence())
	}
	next := &Frame{outline: f.outline, values: slices.Clone(f.values)}
	next.learn(r.GetBlocks(), slots)
	return next, nil
}

// OutlineID names a frame's outline: the list of blocks, with their shapes, that a report of this frame may have.
type OutlineID = [8]byte

// Outline is the ID of the frame's outline.
func (f *Frame) Outline() OutlineID { return OutlineID(f.outline.id) }

// Append writes the frame; with its outline written out, or only named.
func (f *Frame) Append(b []byte, outline bool) []byte {
	b = f.outline.tell(b, outline)
	w := valueWriter{b: b}
	for _, v := range f.values {
		w.plain(v)
	}
	w.flushPlain()
	return w.b
}

// tell writes the outline, or its name.
func (o *outline) tell(b []byte, whole bool) []byte {
	if whole {
		return o.encode(append(b, packedKey))
	}
	return append(append(b, packedKnown), o.id[:]...)
}

// ReadFrame reads what Append wrote. find returns any frame with the outline of that name; it is asked when the outline
// is only named, and may be nil. Errors are *Error, or ErrInFull when find does not know it.
func ReadFrame(b []byte, find func(OutlineID) (*Frame, bool), max Limits) (*Frame, error) {
	u := unpacker{max: max}
	o, rest, err := u.split(b, finder(find), nil)
	if err != nil {
		return nil, err
	}
	f := newFrame(o)
	r := valueReader{reader: reader{b: rest}}
	if r.plain(f.values); !r.end() {
		return nil, refuse(ReasonMalformed, "values of a frame do not fit its %d series", len(f.values))
	}
	return f, nil
}

// Name is what names a report and is not written with it by Frame's and EncodeKey's encoding, because whoever keeps it
// has that at hand.
type Name struct {
	Epoch, Sequence uint64
	MadeAtMs        int64
}

// EncodeKey writes r so that it leans on no other report, without its name, and returns the frame that the next ones can
// lean on. The outline is one that last has too, if it fits; last may be nil. It is written out unless known says that
// the reader will have it; whole tells which. A shape ID of a block that is not ok says nothing and is left out.
func EncodeKey(r *Report, last *Frame, known func(OutlineID) bool, max Limits) (body []byte, coding string, f *Frame, whole bool, err error) {
	p := packer{max: max}
	var o *outline
	ok := false
	if last != nil {
		o = last.outline
		p.slots, ok = o.place(r.GetBlocks(), nil)
	}
	if !ok {
		if o, err = outlineFor(r.GetBlocks(), o, max); err != nil {
			return nil, "", nil, false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
		}
		if p.slots, ok = o.place(r.GetBlocks(), p.slots); !ok {
			return nil, "", nil, false, fmt.Errorf("encode report %d: the order of its blocks defies an outline", r.GetSequence())
		}
	}
	whole = !known(OutlineID(o.id))
	p.b = o.tell(nil, whole)
	if err := p.body(r.GetMadeAtMs(), r.GetBlocks(), o, nil); err != nil {
		return nil, "", nil, false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
	}
	f = newFrame(o)
	f.learn(r.GetBlocks(), p.slots)
	body, coding, err = Encode(nameless(withPacked(r, p.b)))
	return body, coding, f, whole, err
}

// Encode writes r as the difference to f, without its name. ok is false when r does not fit f's outline: then it takes a
// key.
func (f *Frame) Encode(r *Report, max Limits) (body []byte, coding string, ok bool, err error) {
	p := packer{max: max}
	if p.slots, ok = f.outline.place(r.GetBlocks(), nil); !ok {
		return nil, "", false, nil
	}
	p.b = append(p.b, packedDelta)
	if err := p.body(r.GetMadeAtMs(), r.GetBlocks(), f.outline, f); err != nil {
		return nil, "", false, fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
	}
	body, coding, err = Encode(nameless(withPacked(r, p.b)))
	return body, coding, true, err
}

func nameless(r *Report) *Report {
	r.Epoch, r.Sequence, r.MadeAtMs = 0, 0, 0
	return r
}

// DecodeFramed reads a report that EncodeKey or Frame.Encode wrote; base is the frame it leans on, nil for a key. It
// returns the report, the caller's own and named, and for a key the frame that others lean on. find is as in ReadFrame.
// Errors are *Error or ErrInFull; it checks no more than the encoding (see CheckReport).
func DecodeFramed(body []byte, coding string, name Name, base *Frame, find func(OutlineID) (*Frame, bool), max Limits) (*Report, *Frame, error) {
	d := Decoder{u: unpacker{max: max, room: max.SeriesPerReport}}
	if err := d.read(bytes.NewReader(body), coding, max, "Report"); err != nil {
		return nil, nil, err
	}
	packed, err := d.fields(d.buf, max)
	if err != nil {
		return nil, nil, err
	}
	r := d.report
	r.Epoch, r.Sequence, r.MadeAtMs = name.Epoch, name.Sequence, name.MadeAtMs
	o, err := d.blocks(packed, finder(find), base)
	if err != nil || o == nil || base != nil {
		return r, nil, err
	}
	f := newFrame(o)
	f.learn(r.GetBlocks(), d.u.slots)
	return r, f, nil
}

// finder makes known outlines of a function.
type finder func(OutlineID) (*Frame, bool)

func (find finder) find(id outlineID) *outline {
	if find == nil {
		return nil
	}
	if f, ok := find(OutlineID(id)); ok {
		return f.outline
	}
	return nil
}
