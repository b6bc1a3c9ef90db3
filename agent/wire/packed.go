package wire

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Packed blocks (Report.packed) begin with one byte that says how the outline is told:
const (
	packedKey   = 1 // the outline follows: these blocks lean on nothing
	packedKnown = 2 // eight bytes follow, the ID of an outline that the reader was told before
	packedDelta = 3 // the outline is that of the base, and the values are differences to the base's
)

// Then, for every block of the outline in its order, a varint of what is said of it: zigzag(dt)·4 + status, dt being the
// milliseconds from the block before it to this one (for the first: from made_at_ms), and behind it
//
//	status 1 (ok)         nothing
//	status 2 (failed)     the reason: length, bytes
//	status 3 (unchanged)  sampled_at_ms - same_as_ms, 0 when there is no same_as_ms
//
// Status 0 is a run, and instead of zigzag(dt) stands n·2 + what: what 0: n blocks of which nothing is said; 1: n ok
// blocks that were sampled in the millisecond of the one before. After the last block come the values of all ok blocks
// as one stream of tokens, see value.go.
const (
	runAbsent = 0
	runOK     = 1
)

// packer writes packed blocks.
type packer struct {
	max          Limits
	b            []byte
	slots        []int
	last         int64
	absent, even uint64
}

// body appends what comes behind the outline. base is nil for plain values.
func (p *packer) body(madeAt int64, blocks []*Block, o *outline, base *Frame) error {
	p.last, p.absent, p.even = madeAt, 0, 0
	for _, slot := range p.slots {
		if slot < 0 {
			p.flushEven()
			p.absent++
			continue
		}
		if err := p.state(blocks[slot]); err != nil {
			return err
		}
	}
	p.flushAbsent()
	p.flushEven()
	p.values(blocks, o, base)
	return nil
}

func (p *packer) state(b *Block) error {
	if err := checkSaid(b, p.max); err != nil { // what nobody would read is not written
		return err
	}
	dt := b.GetSampledAtMs() - p.last
	p.last = b.GetSampledAtMs()
	p.flushAbsent()
	if b.GetStatus() == Block_STATUS_OK && dt == 0 {
		p.even++
		return nil
	}
	p.flushEven()
	p.b = binary.AppendUvarint(p.b, zigzag(dt)<<2|uint64(b.GetStatus())&3) //nolint:gosec // a small number
	switch b.GetStatus() {
	case Block_STATUS_OK:
	case Block_STATUS_FAILED:
		p.b = append(binary.AppendUvarint(p.b, uint64(len(b.GetReason()))), b.GetReason()...)
	case Block_STATUS_UNCHANGED:
		ago := uint64(0)
		if b.GetSameAsMs() != 0 {
			ago = uint64(b.GetSampledAtMs() - b.GetSameAsMs()) //nolint:gosec // earlier
		}
		p.b = binary.AppendUvarint(p.b, ago)
	}
	return nil
}

func (p *packer) flushAbsent() {
	if p.absent > 0 {
		p.b = binary.AppendUvarint(p.b, (p.absent<<1|runAbsent)<<2)
		p.absent = 0
	}
}

func (p *packer) flushEven() {
	if p.even > 0 {
		p.b = binary.AppendUvarint(p.b, (p.even<<1|runOK)<<2)
		p.even = 0
	}
}

func (p *packer) values(blocks []*Block, o *outline, base *Frame) {
	w, at := valueWriter{b: p.b}, 0
	for i, slot := range p.slots {
		n := o.heads[i].series
		if slot >= 0 && blocks[slot].GetStatus() == Block_STATUS_OK {
			values := blocks[slot].GetValues()
			for j, v := range values {
				if base == nil {
					w.plain(v)
				} else {
					w.difference(v, base.values[at+j])
				}
			}
		}
		at += n
	}
	if base == nil {
		w.flushPlain()
	} else {
		w.flushDifference()
	}
	p.b = w.b
}

// unpacker reads packed blocks. What it gives out it owns, and uses again for the next: blocks, their values, and the
// list of them. Shape IDs are the outline's and strings are Go's: these stay.
type unpacker struct {
	max    Limits
	room   int      // values there may be yet
	blocks []*Block // as many as were ever needed at once
	out    []*Block
	values []float64
	slots  []int
	ok     []okBlock
}

// okBlock is where the values of an ok block go.
type okBlock struct {
	block  *Block
	series int
	base   int // its place in a frame's values
}

// outlines finds an outline by its ID; nil when there is none.
type outlines interface{ find(outlineID) *outline }

// split reads how the outline is told and returns it with what is behind it.
func (u *unpacker) split(b []byte, known outlines, base *Frame) (o *outline, rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil, refuse(ReasonMalformed, "packed blocks are empty: want at least their kind")
	}
	kind, b := b[0], b[1:]
	switch {
	case kind == packedKey:
		return readOutline(b, u.max)
	case kind == packedKnown && known != nil:
		if len(b) < len(outlineID{}) {
			return nil, nil, refuse(ReasonMalformed, "packed blocks end within the ID of their outline")
		}
		if o = known.find(outlineID(b)); o == nil {
			return nil, nil, ErrInFull
		}
		return o, b[len(outlineID{}):], nil
	case kind == packedDelta && base != nil:
		return base.outline, b, nil
	}
	return nil, nil, refuse(ReasonMalformed, "packed blocks are of kind %d: want a key frame (1), or in a live report a "+
		"known outline (2), or behind another report a difference (3)", kind)
}

// body reads what is behind the outline, leaning on base when the values are differences.
func (u *unpacker) body(b []byte, madeAt int64, o *outline, base *Frame) ([]*Block, error) {
	u.out, u.ok, u.slots = u.out[:0], u.ok[:0], u.slots[:0]
	r := reader{b: b}
	if err := u.states(&r, madeAt, o); err != nil {
		return nil, err
	}
	v := valueReader{reader: r}
	for _, x := range u.ok {
		n := len(u.values)
		u.values = u.values[:n+x.series]
		into := u.values[n : n+x.series : n+x.series]
		if base == nil {
			v.plain(into)
		} else {
			v.difference(into, base.values[x.base:x.base+x.series])
		}
		if v.bad {
			break
		}
		x.block.Values = into
	}
	if !v.end() {
		return nil, refuse(ReasonMalformed, "packed values of a report do not fit the %d series of its ok blocks", len(u.values))
	}
	return u.out, nil
}

func (u *unpacker) states(r *reader, madeAt int64, o *outline) error {
	series, at, last := 0, 0, madeAt
	var run, what uint64
	for i := range o.heads {
		h := &o.heads[i]
		base := at
		at += h.series
		var token uint64
		if run == 0 {
			if token = r.uvarint(); token&3 == 0 && !r.bad {
				run, what = token>>3, token>>2&1
				if run == 0 {
					r.bad = true
				}
			}
		}
		if r.bad {
			return refuse(ReasonMalformed, "packed blocks end within what they say of block %d of %d", i, len(o.heads))
		}
		if run > 0 {
			run--
			if what == runAbsent {
				u.slots = append(u.slots, -1)
				continue
			}
			token = uint64(Block_STATUS_OK)
		}
		last += unzigzag(token >> 2)
		b := u.block(h, last, Block_Status(token&3))
		if b.Status == Block_STATUS_OK {
			u.ok = append(u.ok, okBlock{b, h.series, base})
			series += h.series
		}
		if err := u.said(r, h, b); err != nil {
			return err
		}
	}
	if run > 0 {
		return refuse(ReasonMalformed, "packed blocks say something of more than %d blocks", len(o.heads))
	}
	if series > u.room {
		return tooMany(ReasonOversized, "samples of one body", fmt.Sprintf("more than %d in this report", u.room),
			int64(u.max.BulkSamples), "bulk_samples")
	}
	if series > cap(u.values) {
		u.values = make([]float64, 0, series)
	}
	u.values = u.values[:0]
	return nil
}

// block is the next of those that are used again.
func (u *unpacker) block(h *head, at int64, s Block_Status) *Block {
	n := len(u.out)
	if n == len(u.blocks) {
		u.blocks = append(u.blocks, &Block{})
	}
	b := u.blocks[n]
	u.slots, u.out = append(u.slots, n), append(u.out, b)
	b.Kind, b.Source, b.Device, b.IntervalMs = h.kind, h.source, h.device, h.intervalMs
	b.SampledAtMs, b.Status, b.Reason, b.SameAsMs, b.ShapeId, b.Values = at, s, "", 0, nil, nil
	if s == Block_STATUS_OK && h.shaped {
		b.ShapeId = h.shape[:]
	}
	return b
}

// said reads the rest of what is said of b and checks it.
func (u *unpacker) said(r *reader, h *head, b *Block) error {
	switch b.Status {
	case Block_STATUS_FAILED:
		b.Reason = r.text()
	case Block_STATUS_UNCHANGED:
		if ago := r.uvarint(); ago > 0 {
			b.SameAsMs = b.SampledAtMs - int64(min(ago, math.MaxInt64)) //nolint:gosec // clamped
			if b.SameAsMs == 0 {
				b.SameAsMs = -1 // which is refused, unlike none
			}
		}
	default:
		if b.SampledAtMs > 0 && b.SampledAtMs <= maxTimeMs && h.shaped {
			return nil // as it nearly always is
		}
	}
	if r.bad {
		return refuse(ReasonMalformed, "packed blocks end within what they say of block %s", shorten(h.source))
	}
	return checkSaid(b, u.max)
}
