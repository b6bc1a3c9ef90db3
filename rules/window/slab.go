package window

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// slab is a stretch of blocks, sealed: the times once, and the values of each series of a lane as Prometheus compresses
// them, with the block's number for a time, which costs one bit. It is never changed.
type slab struct {
	first, last int64
	n           int
	lane        *lane
	// data begins with where each of its pieces ends, from the beginning of data, as 4 bytes each: times, then series.
	data []byte
}

// sealer is memory for sealing.
type sealer struct {
	chunk  chunkenc.XORChunk
	stream []byte
}

// seal makes a slab of rows of columns that stand room apart; from is the first row.
func (x *sealer) seal(l *lane, t []int64, v []float64, room, from int) slab {
	head := 4 * (1 + len(l.ids))
	data := make([]byte, head, head+2*len(t)+4*len(l.ids)*len(t))
	was, step := t[0], int64(0)
	for _, at := range t { // the change of the difference, as Prometheus does
		data = binary.AppendVarint(data, at-was-step)
		was, step = at, at-was
	}
	binary.LittleEndian.PutUint32(data, uint32(len(data)))
	for p := range l.ids {
		x.stream = append(x.stream[:0], 0, 0)
		x.chunk.Reset(x.stream)
		app, err := x.chunk.Appender()
		if err != nil {
			panic("window: an empty chunk takes no samples: " + err.Error())
		}
		for i, val := range v[p*room+from:][:len(t)] {
			app.Append(0, int64(i), val)
		}
		x.stream = x.chunk.Bytes()
		data = append(data, x.stream...)
		binary.LittleEndian.PutUint32(data[4*(1+p):], uint32(len(data)))
	}
	return slab{t[0], t[len(t)-1], len(t), l, slices.Clip(slices.Clone(data))}
}

// piece is one of the pieces of data, 0 for the times.
func (s *slab) piece(i int) []byte {
	from := uint32(4 * (1 + len(s.lane.ids)))
	if i > 0 {
		from = binary.LittleEndian.Uint32(s.data[4*(i-1):])
	}
	return s.data[from:binary.LittleEndian.Uint32(s.data[4*i:])]
}

// times appends the times.
func (s *slab) times(out []int64) []int64 {
	b := s.piece(0)
	at, step := s.first, int64(0)
	for range s.n {
		d, n := binary.Varint(b)
		b = b[n:]
		step += d
		at += step
		out = append(out, at)
	}
	return out
}

// values appends those of a series, stale markers when the series is not in it.
func (s *slab) values(id uint64, c *decoder, out []float64) []float64 {
	p, ok := s.lane.find(id)
	if !ok {
		for range s.n {
			out = append(out, staleMarker())
		}
		return out
	}
	c.chunk.Reset(s.piece(1 + int(p)))
	c.it = c.chunk.Iterator(c.it)
	for c.it.Next() != chunkenc.ValNone {
		_, v := c.it.At()
		out = append(out, v)
	}
	return out
}

// decoder is memory for reading slabs.
type decoder struct {
	chunk chunkenc.XORChunk
	it    chunkenc.Iterator
}

// never is a time before all others, forever one behind all.
const (
	never   = math.MinInt64
	forever = math.MaxInt64 - 1
)
