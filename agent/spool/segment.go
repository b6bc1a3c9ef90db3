package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/watchbill/watchbill/agent/wire"
)

// segment is the index of one file.
type segment struct {
	version      int
	number, salt uint64
	size         int64
	entries      []entry
	shapes       map[[32]byte]int // index of the entry whose record holds it
	spares       map[int64]spare  // by the offset of the record that is copied
	outlines     map[wire.OutlineID][]int
	waiting      int // entries neither acknowledged nor lost
	lost         int
}

// spare is a copy of a frame: the name of the report that it is of, and the entry whose record holds it.
type spare struct {
	of wire.Name
	in int
}

func newSegment(version int) *segment {
	return &segment{
		version: version, shapes: map[[32]byte]int{}, spares: map[int64]spare{}, outlines: map[wire.OutlineID][]int{},
	}
}

// entry is one record, or one damaged place.
type entry struct {
	epoch, sequence uint64
	madeAtMs        int64
	offset, size    uint32
	done            bool
	lost            bool // damaged
	twin            bool // the same report comes again behind it
}

// segmentVersion is the format that is written; 1 is still read.
const segmentVersion = 2

func (g *segment) name() string {
	return fmt.Sprintf("v%d-%016d-%016x.segment", g.version, g.number, g.salt)
}

// parseName reads a file's name; ok is false when it is no segment's, err when it is a segment of a newer release.
func parseName(name string) (g *segment, ok bool, err error) {
	g = newSegment(0)
	rest, isSegment := strings.CutSuffix(name, ".segment")
	if !isSegment {
		return nil, false, nil
	}
	n, _ := fmt.Sscanf(rest, "v%d-%d-%x", &g.version, &g.number, &g.salt)
	if n >= 1 && g.version > segmentVersion {
		return nil, false, fmt.Errorf("%w: %s has format %d, this one reads %d: run the newer agent again, or move the "+
			"spool away and lose what it holds", ErrNewer, name, g.version, segmentVersion)
	}
	return g, n == 3 && g.version > 0 && g.number > 0 && g.name() == name, nil
}

func (g *segment) holds(id [32]byte) bool {
	_, ok := g.shapes[id]
	return ok
}

func (g *segment) newest() (entry, bool) {
	for i := len(g.entries) - 1; i >= 0; i-- {
		if !g.entries[i].lost {
			return g.entries[i], true
		}
	}
	return entry{}, false
}

// outlineCopies is in how many places the segment has an outline written out.
func (g *segment) outlineCopies(id wire.OutlineID) int { return len(g.outlines[id]) }

// entryAt is the entry whose record is at offset, -1 when there is none that is whole.
func (g *segment) entryAt(offset int64) int {
	low, high := 0, len(g.entries)
	for low < high {
		mid := (low + high) / 2
		at := mid
		for at < high && g.entries[at].size == 0 { // damaged: nobody knows where
			at++
		}
		switch {
		case at == high:
			high = mid
		case int64(g.entries[at].offset) < offset:
			low = at + 1
		case int64(g.entries[at].offset) > offset:
			high = mid
		default:
			return at
		}
	}
	return -1
}

// named is the name of the report at offset, if its record or the copy of its frame is whole.
func (g *segment) named(offset int64) (wire.Name, bool) {
	if at := g.entryAt(offset); at >= 0 {
		e := g.entries[at]
		return wire.Name{Epoch: e.epoch, Sequence: e.sequence, MadeAtMs: e.madeAtMs}, true
	}
	k, ok := g.spares[offset]
	return k.of, ok
}

func (g *segment) parse(payload []byte, offset int64) (record, error) {
	if g.version == 1 {
		return parse1(payload, offset)
	}
	return parse2(payload, offset, g.named)
}

// add takes up a record that is in the file at offset and has size bytes.
func (g *segment) add(r record, offset int64, size int) {
	at := len(g.entries)
	for _, id := range r.ids {
		if !g.holds(id) {
			g.shapes[id] = at
		}
	}
	if r.whole {
		g.outlines[r.outline] = append(g.outlines[r.outline], at)
	}
	if r.spare != nil {
		g.spares[r.base] = spare{of: r.baseName, in: at}
	}
	g.entries = append(g.entries, entry{
		epoch: r.name.Epoch, sequence: r.name.Sequence, madeAtMs: r.name.MadeAtMs,
		offset: uint32(offset), size: uint32(size), //nolint:gosec // within maxSegmentBytes
	})
	g.waiting++
	g.size = max(g.size, offset+int64(size))
}

func (g *segment) addLost() {
	g.entries = append(g.entries, entry{lost: true})
	g.lost++
}

// lose marks an entry that could be read once and cannot any more.
func (g *segment) lose(i int) {
	e := &g.entries[i]
	if !e.done {
		g.waiting--
	}
	e.lost, e.done = true, true
	g.lost++
	for id, at := range g.shapes {
		if at == i {
			delete(g.shapes, id)
		}
	}
}

// done marks an entry acknowledged.
func (g *segment) done(i int) {
	if e := &g.entries[i]; !e.done && !e.lost {
		e.done = true
		g.waiting--
	}
}

// index fills g from its file's bytes and returns where its last whole record ends.
func (g *segment) index(b []byte) (end int, err error) {
	end = scan(b, g.salt, func(offset, size int, payload []byte) {
		if payload == nil {
			g.addLost()
			return
		}
		r, e := g.parse(payload, int64(offset))
		if e != nil {
			err = e
			g.addLost()
			return
		}
		g.add(r, int64(offset), size)
	})
	return end, err
}

// loadSegments indexes what is on the disk. The last segment goes on being written to.
func (s *Spool) loadSegments() error {
	names, err := s.disk.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		g, ok, err := parseName(name)
		if err != nil {
			return err
		}
		if ok {
			s.segments = append(s.segments, g)
		}
	}
	slices.SortFunc(s.segments, func(a, b *segment) int {
		return cmp.Compare(a.number, b.number)
	})
	var buf []byte
	for i, g := range s.segments {
		last := i == len(s.segments)-1
		if buf, err = s.loadSegment(g, buf, last); err != nil {
			return fmt.Errorf("segment %s: %w", g.name(), err)
		}
		s.bytes += g.size
	}
	s.forgetTwins()
	return nil
}

func (s *Spool) loadSegment(g *segment, buf []byte, last bool) ([]byte, error) {
	f, err := s.disk.Open(g.name(), false)
	if err != nil {
		return buf, err
	}
	keep := false
	defer func() {
		if !keep {
			_ = f.Close() // read, or repaired and synced
		}
	}()
	size, err := f.Size()
	if err != nil {
		return buf, err
	}
	n := int(min(size, maxSegmentBytes))
	buf = slices.Grow(buf[:0], n)[:n]
	if _, err := f.ReadAt(buf, 0); err != nil && !errors.Is(err, io.EOF) {
		return buf, err
	}
	end, err := g.index(buf)
	if err != nil {
		s.note("segment %s: %v", g.name(), err)
	}
	g.size = size
	tail := size - int64(end)
	switch {
	case tail > 0 && last:
		if err := errors.Join(f.Truncate(int64(end)), f.Sync()); err != nil {
			return buf, fmt.Errorf("cut off an incomplete record: %w", err)
		}
		g.size = int64(end)
		s.note("segment %s: cut off %d bytes at its end: the record there was not whole, as a crash leaves it", g.name(), tail)
	case tail > 0:
		g.addLost()
	}
	if g.lost > 0 {
		s.note("segment %s: %d damaged places were stepped over; its other %d reports are whole", g.name(), g.lost,
			len(g.entries)-g.lost)
	}
	if keep = last && g.size < s.o.SegmentBytes && g.version == segmentVersion; keep {
		s.current = f
	}
	return buf, nil
}

// forgetTwins drops the older of two records of one report: an append that failed after it had reached the disk, and
// its retry.
func (s *Spool) forgetTwins() {
	var before *entry
	var of *segment
	for _, g := range s.segments {
		for i := range g.entries {
			e := &g.entries[i]
			if e.lost {
				continue
			}
			if before != nil && before.epoch == e.epoch && before.sequence == e.sequence && !before.done {
				before.done, before.twin = true, true
				of.waiting--
			}
			before, of = e, g
		}
	}
}
