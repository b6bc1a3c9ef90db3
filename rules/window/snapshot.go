package window

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// A snapshot is a line of pieces: what it is, shapes each before the first asset that has it, assets, and how many there
// were of both, so that a piece that is missing is noticed.
//
// The first says what was demanded.
//
//	magic, version │ kind, length, payload, CRC-32C of all three │ …
const (
	snapshotMagic   = "wb window"
	snapshotVersion = 1

	pieceDemand = 'D'
	pieceShape  = 'S'
	pieceAsset  = 'A'
	pieceEnd    = 'E'

	// maxPiece bounds one piece, in bytes: an asset of 20,000 series with eight days of them takes less.
	maxPiece = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot writes what there is of every asset, so that Load in the next process can go on with it. What recording rules
// made is not in it: nobody makes any between stop and start. Nor are late blocks that wait for a newer live one; their
// agents have them. Reports that come in meanwhile may be in it or not, each whole or not at all.
func (w *Window) Snapshot(to io.Writer) error {
	x := snapshot{to: to, shapes: map[*Part]int{}}
	head := binary.BigEndian.AppendUint16([]byte(snapshotMagic), snapshotVersion)
	if _, err := to.Write(head); err != nil {
		return fmt.Errorf("write the window's snapshot: %w", err)
	}
	x.out = w.demand.Load().bytes()
	x.piece(pieceDemand)
	w.eachRead(func(as *asset) { x.asset(as) })
	x.out = binary.AppendUvarint(binary.AppendUvarint(x.out[:0], uint64(len(x.shapes))), uint64(x.assets))
	x.piece(pieceEnd)
	if x.err != nil {
		return fmt.Errorf("write the window's snapshot: %w", x.err)
	}
	return nil
}

// snapshot is a Snapshot under way.
type snapshot struct {
	to     io.Writer
	shapes map[*Part]int
	assets int
	out    []byte // the payload that is being made
	sealer sealer
	err    error // the first
}

// piece writes the payload.
func (x *snapshot) piece(kind byte) {
	if x.err != nil {
		return
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(x.out)))
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, x.out)
	for _, b := range [][]byte{head, x.out, binary.BigEndian.AppendUint32(nil, sum)} {
		if _, err := x.to.Write(b); err != nil {
			x.err = err
			return
		}
	}
}

func (x *snapshot) asset(as *asset) {
	var all []*source
	for _, s := range as.order {
		if s.part.house() {
			continue
		}
		if _, have := x.shapes[s.part]; !have {
			x.shapes[s.part] = len(x.shapes)
			x.shape(s.part)
		}
		all = append(all, s)
	}
	x.out = x.out[:0]
	x.texts(as.Name, as.Customer, as.Site)
	x.numbers(as.first.UnixMilli(), as.received.UnixMilli(), as.complete)
	x.flags(as.known, as.down)
	x.count(len(all))
	for _, s := range all {
		x.source(s)
	}
	x.assets++
	x.piece(pieceAsset)
}

func (x *snapshot) shape(p *Part) {
	x.out = x.out[:0]
	x.texts(p.Name, p.kind)
	x.count(p.Live)
	x.count(len(p.Series))
	for _, lbls := range p.Series {
		x.count(lbls.Len())
		lbls.Range(func(l labels.Label) { x.texts(l.Name, l.Value) })
	}
	x.piece(pieceShape)
}

func (x *snapshot) source(s *source) {
	m := s.seldom()
	x.count(x.shapes[s.part])
	x.numbers(int64(s.status), s.statusAt, int64(s.interval), s.lost)
	x.texts(m.reason)
	for _, left := range m.left {
		x.numbers(left)
	}
	x.count(len(m.since))
	x.numbers(m.since...)
	x.count(len(s.t))
	x.numbers(s.t...)
	for _, v := range s.rows {
		x.out = binary.LittleEndian.AppendUint64(x.out, math.Float64bits(v))
	}
	x.count(len(s.bands))
	for i := range s.bands {
		x.band(&s.bands[i])
	}
	var known []moved
	for _, o := range m.moved {
		if _, ok := s.part.find(o.id); ok {
			known = append(known, o)
		}
	}
	x.count(len(known))
	for _, o := range known {
		slot, _ := s.part.find(o.id)
		x.count(int(slot))
		x.count(len(o.t))
		x.numbers(o.t...)
		for _, v := range o.v {
			x.out = binary.LittleEndian.AppendUint64(x.out, math.Float64bits(v))
		}
	}
}

// band writes columns as slabs.
func (x *snapshot) band(b *band) {
	x.numbers(b.lane.keep)
	x.count(len(b.lane.slots))
	for _, slot := range b.lane.slots {
		x.count(int(slot))
	}
	var slabs []slab
	for _, s := range b.slabs {
		if !slices.Equal(s.lane.ids, b.lane.ids) { // of an earlier shape
			t, v := b.decode([]slab{s})
			s = x.sealer.seal(b.lane, t, v, len(t), 0)
		}
		slabs = append(slabs, s)
	}
	for from := 0; from < len(b.t); from += maxSlab {
		t := b.t[from:min(from+maxSlab, len(b.t))]
		slabs = append(slabs, x.sealer.seal(b.lane, t, b.v, b.room, from))
	}
	x.count(len(slabs))
	for _, s := range slabs {
		x.numbers(s.first, s.last)
		x.count(s.n)
		x.count(len(s.data))
		x.out = append(x.out, s.data...)
	}
}

func (x *snapshot) texts(all ...string) {
	for _, s := range all {
		x.out = append(binary.AppendUvarint(x.out, uint64(len(s))), s...)
	}
}

func (x *snapshot) numbers(all ...int64) {
	for _, n := range all {
		x.out = binary.AppendVarint(x.out, n)
	}
}

func (x *snapshot) count(n int) { x.out = binary.AppendUvarint(x.out, uint64(n)) }

func (x *snapshot) flags(all ...bool) {
	for _, is := range all {
		n := byte(0)
		if is {
			n = 1
		}
		x.out = append(x.out, n)
	}
}
