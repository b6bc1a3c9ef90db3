package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// head is what of a block seldom changes from report to report.
type head struct {
	kind, source, device string
	intervalMs           uint32
	// shape is what ok blocks have; they have series values. shaped is false when there never was an ok one.
	shaped bool
	shape  [32]byte
	series int
}

// blockKey tells the blocks of a report apart.
type blockKey struct{ source, device string }

func (h *head) key() blockKey { return blockKey{h.source, h.device} }

// outlineID is the first bytes of the SHA-256 of "watchbill outline v1\n" and an outline's encoding. It is only ever
// looked up among the outlines that the same agent sent, and that agent says what is in them: to find two with one ID
// it can only fool itself.
type outlineID [8]byte

// outline is the heads of a report's blocks, in their order; immutable. A report need not have a block for each.
type outline struct {
	id     outlineID
	heads  []head
	series int // of all heads together
	size   int // of its encoding
}

// newOutline computes the rest of heads.
func newOutline(heads []head) *outline {
	o := &outline{heads: heads}
	enc := o.encode(nil)
	o.seal(enc)
	return o
}

func (o *outline) seal(encoded []byte) {
	sum := sha256.Sum256(append([]byte("watchbill outline v1\n"), encoded...))
	o.id, o.size = outlineID(sum[:8]), len(encoded)
	for i := range o.heads {
		o.series += o.heads[i].series
	}
}

func (o *outline) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(o.heads)))
	for i := range o.heads {
		h := &o.heads[i]
		for _, s := range []string{h.kind, h.source, h.device} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
		b = binary.AppendUvarint(b, uint64(h.intervalMs))
		if !h.shaped {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(h.series)+1) //nolint:gosec // a length
		b = append(b, h.shape[:]...)
	}
	return b
}

// readOutline takes an outline from the beginning of b and returns what is behind it. It checks what CheckReport checks
// of the blocks' heads, and that they hold no more series than a report may have.
func readOutline(b []byte, max Limits) (o *outline, rest []byte, err error) {
	r := reader{b: b}
	n := r.uvarint()
	if r.bad {
		return nil, nil, refuse(ReasonMalformed, "packed blocks end within their outline")
	}
	if err := over("blocks of a report", int64(min(n, maxWire)), int64(max.Blocks), "blocks"); err != nil { //nolint:gosec // clamped
		return nil, nil, err
	}
	o = &outline{heads: make([]head, n)}
	for i := range o.heads {
		h := &o.heads[i]
		h.kind, h.source, h.device = r.text(), r.text(), r.text()
		h.intervalMs = uint32(min(r.uvarint(), 1<<32-1)) //nolint:gosec // clamped
		if s := r.uvarint(); s > 0 {
			h.shaped, h.series = true, int(min(s-1, maxWire)) //nolint:gosec // clamped
			copy(h.shape[:], r.bytes(32))
		}
		if r.bad {
			return nil, nil, refuse(ReasonMalformed, "packed blocks end within the outline's block %d of %d", i, n)
		}
	}
	if err := o.check(max); err != nil {
		return nil, nil, err
	}
	o.seal(b[:len(b)-len(r.b)])
	return o, r.b, nil
}

// maxWire clamps counts before they become an int, far above every limit.
const maxWire = 1 << 31

func (o *outline) check(max Limits) error {
	seen := make(map[blockKey]bool, len(o.heads))
	series := 0
	for i := range o.heads {
		h := &o.heads[i]
		b := Block{Kind: h.kind, Source: h.source, Device: h.device, IntervalMs: h.intervalMs, SampledAtMs: 1}
		if err := checkHead(&b, max); err != nil {
			return err
		}
		if err := over("series of block "+shorten(h.source), h.series, max.SeriesPerBlock, "series_per_block"); err != nil {
			return err
		}
		if seen[h.key()] {
			return duplicateBlock(&b)
		}
		seen[h.key()] = true
		series += h.series
	}
	return over("series of a report", series, max.SeriesPerReport, "series_per_report")
}

// headOf is b's head; of a block that is not ok, nothing is known of its shape.
func headOf(b *Block) head {
	h := head{kind: b.GetKind(), source: b.GetSource(), device: b.GetDevice(), intervalMs: b.GetIntervalMs()}
	if b.GetStatus() == Block_STATUS_OK {
		h.shaped, h.series = true, len(b.GetValues())
		copy(h.shape[:], b.GetShapeId())
	}
	return h
}

// fits says whether b can be told under h.
func (h *head) fits(b *Block) bool {
	if h.source != b.GetSource() || h.device != b.GetDevice() || h.kind != b.GetKind() || h.intervalMs != b.GetIntervalMs() {
		return false
	}
	return b.GetStatus() != Block_STATUS_OK ||
		h.shaped && h.series == len(b.GetValues()) && bytes.Equal(h.shape[:], b.GetShapeId())
}

// place finds the blocks in o: for every head the index of its block, -1 where there is none. ok is false when they do
// not all fit, in o's order. slots is reused.
func (o *outline) place(blocks []*Block, slots []int) (_ []int, ok bool) {
	slots = slots[:0]
	next := 0
	for i := range o.heads {
		if next < len(blocks) && o.heads[i].fits(blocks[next]) {
			slots = append(slots, next)
			next++
			continue
		}
		slots = append(slots, -1)
	}
	return slots, next == len(blocks)
}

// outlineFor is an outline that blocks fit. It keeps the heads of old that blocks do not speak of, such as those of slow
// samplers, as long as everything together stays within max: so there are few outlines although reports differ.
func outlineFor(blocks []*Block, old *outline, max Limits) (*outline, error) {
	o := merge(blocks, old, max)
	if err := o.check(max); err != nil { // what nobody would read is not written
		return nil, err
	}
	return o, nil
}

func merge(blocks []*Block, old *outline, max Limits) *outline {
	fresh := make([]head, len(blocks))
	for i, b := range blocks {
		fresh[i] = headOf(b)
	}
	if old == nil {
		return newOutline(fresh)
	}
	left := make(map[blockKey]int, len(fresh)) // index into fresh
	series := 0
	for i := range fresh {
		left[fresh[i].key()] = i
		series += fresh[i].series
	}
	for i := range old.heads {
		h := &old.heads[i]
		if at, ok := left[h.key()]; ok {
			if f := &fresh[at]; !f.shaped && h.shaped { // failed today, ok yesterday and tomorrow
				f.shaped, f.shape, f.series = true, h.shape, h.series
				series += h.series
			}
		}
	}
	merged, done := make([]head, 0, len(old.heads)+len(fresh)), 0
	for i := range old.heads {
		h := &old.heads[i]
		at, ok := left[h.key()]
		switch {
		case !ok:
			merged = append(merged, *h)
			series += h.series
		case at >= done:
			merged = append(merged, fresh[done:at+1]...)
			done = at + 1
		}
	}
	merged = append(merged, fresh[done:]...)
	if len(merged) > max.Blocks || series > max.SeriesPerReport {
		return newOutline(slices.Clip(fresh))
	}
	return newOutline(merged)
}

// Outlines is what a collector remembers of one agent: the outlines that it wrote out lately, so that it need not with
// every report. It belongs to whoever holds the agent's turn.
type Outlines struct{ known []*outline }

// Bounds of Outlines: what an agent sends beyond them, it has to write out every time. maxOutline fits some 200 blocks.
const (
	maxOutlines = 3
	maxOutline  = 16 << 10
)

func (o *Outlines) find(id outlineID) *outline {
	for i, x := range o.known {
		if x.id == id {
			if i > 0 { // the newest is first
				copy(o.known[1:], o.known[:i])
				o.known[0] = x
			}
			return x
		}
	}
	return nil
}

func (o *Outlines) keep(x *outline) {
	if x.size > maxOutline || o.find(x.id) != nil {
		return
	}
	if len(o.known) < maxOutlines {
		o.known = append(o.known, nil)
	}
	copy(o.known[1:], o.known)
	o.known[0] = x
}

// reader takes pieces from the front of bytes that are not trusted; after bad it gives nothing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 { // most of them
		n := uint64(r.b[0])
		r.b = r.b[1:]
		return n
	}
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// bytes shares memory with r.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes(r.uvarint())) }
