package wire

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// ErrInFull says that a report leans on something that its reader was not told: an outline, or an earlier block. It is
// nobody's fault: a collector that started anew has forgotten. Ack.in_full asks for the report with everything written
// out.
var ErrInFull = errors.New("the report leans on what this collector has not heard: send it in full")

// Encoder writes live reports of version 1 for one collector. Every report can be read alone, with two savings that
// rest on what that collector has acknowledged: an outline it knows is named, not told, and a block whose values are
// those of the newest it has taken is said to be unchanged. An Encoder belongs to one goroutine.
type Encoder struct {
	max         Limits
	p           packer
	outline     *outline
	told        []outlineID // known to the collector, the newest first
	taken       map[blockKey]taken
	incarnation uint64

	epoch, sequence uint64   // of the report encoded last
	changed         [][]byte // shapes that went out as changes and are not yet acknowledged
	list            []*Block
	spare           []*Block
	scratch         valueWriter
}

// taken is the newest ok block of a source that the collector has applied.
type taken struct {
	at     int64
	shape  []byte
	values []float64
}

// NewEncoder makes an encoder that keeps to max.
func NewEncoder(max Limits) *Encoder {
	return &Encoder{max: max, p: packer{max: max}, taken: map[blockKey]taken{}}
}

// Encode writes r, under media type TypeReportV1, and says under which content coding. r is not changed; its blocks'
// values are kept after Accepted. A shape ID of a block that is not ok says nothing and is left out.
func (e *Encoder) Encode(r *Report) (body []byte, coding string, err error) {
	var ok bool
	if e.outline != nil {
		e.p.slots, ok = e.outline.place(r.GetBlocks(), e.p.slots)
	}
	if !ok {
		o, err := outlineFor(r.GetBlocks(), e.outline, e.max)
		if err != nil {
			return nil, "", fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
		}
		e.outline = o
		if e.p.slots, ok = e.outline.place(r.GetBlocks(), e.p.slots); !ok {
			return nil, "", fmt.Errorf("encode report %d: the order of its blocks defies an outline", r.GetSequence())
		}
	}
	e.epoch, e.sequence = r.GetEpoch(), r.GetSequence()
	e.p.b = e.p.b[:0]
	if slices.Contains(e.told, e.outline.id) {
		e.p.b = append(append(e.p.b, packedKnown), e.outline.id[:]...)
	} else {
		e.p.b = e.outline.encode(append(e.p.b, packedKey))
	}
	if err := e.p.body(r.GetMadeAtMs(), e.thin(r.GetBlocks()), e.outline, nil); err != nil {
		return nil, "", fmt.Errorf("encode report %d: %w", r.GetSequence(), err)
	}
	return Encode(withPacked(r, e.p.b))
}

// thin is blocks with those in another's place that say they are unchanged, where that is shorter.
func (e *Encoder) thin(blocks []*Block) []*Block {
	e.list = e.list[:0]
	for i, b := range blocks {
		t, ok := e.taken[blockKey{b.GetSource(), b.GetDevice()}]
		if !ok || b.GetStatus() != Block_STATUS_OK || b.GetSampledAtMs() <= t.at ||
			string(t.shape) != string(b.GetShapeId()) || !slices.EqualFunc(b.GetValues(), t.values, same) {
			e.list = append(e.list, b)
			continue
		}
		const unchangedBytes = 4 // what saying so takes
		e.scratch = valueWriter{b: e.scratch.b[:0]}
		for _, v := range b.GetValues() {
			e.scratch.plain(v)
		}
		if len(e.scratch.b) <= unchangedBytes {
			e.list = append(e.list, b)
			continue
		}
		for len(e.spare) <= i {
			e.spare = append(e.spare, &Block{})
		}
		u := e.spare[i]
		u.Kind, u.Source, u.Device, u.IntervalMs = b.GetKind(), b.GetSource(), b.GetDevice(), b.GetIntervalMs()
		u.SampledAtMs, u.Status, u.SameAsMs = b.GetSampledAtMs(), Block_STATUS_UNCHANGED, t.at
		e.list = append(e.list, u)
	}
	return e.list
}

// Accepted tells what the collector answered to the report encoded last: r, of which a may have refused blocks. Anything
// but an acceptance is ignored.
func (e *Encoder) Accepted(r *Report, a *Ack) {
	if a.GetResult() != Ack_RESULT_ACCEPTED || r.GetEpoch() != e.epoch || r.GetSequence() != e.sequence {
		return
	}
	e.changed = nil
	if a.GetIncarnation() != e.incarnation {
		e.Forget()
		e.incarnation = a.GetIncarnation()
	}
	if i := slices.Index(e.told, e.outline.id); i >= 0 {
		e.told = slices.Delete(e.told, i, i+1)
	}
	if e.outline.size <= maxOutline {
		e.told = slices.Insert(e.told, 0, e.outline.id)
		e.told = e.told[:min(len(e.told), maxOutlines)]
	}
	for i, b := range r.GetBlocks() {
		key := blockKey{b.GetSource(), b.GetDevice()}
		refused := slices.ContainsFunc(a.GetRefusals(), func(f *Refusal) bool { return f.GetBlock() == uint32(i) }) //nolint:gosec // an index
		if refused || b.GetStatus() != Block_STATUS_OK || i < len(e.list) && e.list[i] != b || b.GetSampledAtMs() <= e.taken[key].at {
			continue
		}
		if len(e.taken) >= 2*e.max.Blocks { // sources came and went
			clear(e.taken)
		}
		e.taken[key] = taken{b.GetSampledAtMs(), b.GetShapeId(), b.GetValues()}
	}
}

// Forget makes the next report one that leans on nothing: after Ack.in_full, or when nothing is known of the collector
// that will read it.
func (e *Encoder) Forget() {
	e.told = nil
	clear(e.taken)
}

// withPacked is a shallow copy of r with its blocks packed; by reflection, so that a field added to the protocol is not
// forgotten here.
func withPacked(r *Report, packed []byte) *Report {
	c := &Report{}
	to := c.ProtoReflect()
	r.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(fd, v)
		return true
	})
	c.Blocks, c.Packed = nil, packed
	return c
}
