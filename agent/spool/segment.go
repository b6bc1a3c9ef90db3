package spool

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// segment is the index of one file.
type segment struct {
	number, salt uint64
	size         int64
	entries      []entry
	shapes       map[[32]byte]int // index of the entry whose record holds it
	waiting      int              // entries neither acknowledged nor lost
	lost         int
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

const segmentVersion = 1

func (g *segment) name() string {
	return fmt.Sprintf("v%d-%016d-%016x.segment", segmentVersion, g.number, g.salt)
}

// parseName reads a file's name; ok is false when it is no segment's, err when it is a segment of a newer release.
func parseName(name string) (g *segment, ok bool, err error) {
	g = &segment{shapes: map[[32]byte]int{}}
	var version int
	rest, isSegment := strings.CutSuffix(name, ".segment")
	if !isSegment {
		return nil, false, nil
	}
	n, _ := fmt.Sscanf(rest, "v%d-%d-%x", &version, &g.number, &g.salt)
	if n >= 1 && version > segmentVersion {
		return nil, false, fmt.Errorf("%w: %s has format %d, this one reads %d: run the newer agent again, or move the "+
			"spool away and lose what it holds", ErrNewer, name, version, segmentVersion)
	}
	return g, n == 3 && g.number > 0 && g.name() == name, nil
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

// add takes up a record that is in the file at offset.
func (g *segment) add(r record, offset int64) {
	for _, id := range r.ids {
		if !g.holds(id) {
			g.shapes[id] = len(g.entries)
		}
	}
	g.entries = append(g.entries, entry{
		epoch: r.epoch, sequence: r.sequence, madeAtMs: r.madeAtMs,
		offset: uint32(offset), size: uint32(r.size()), //nolint:gosec // within maxSegmentBytes
	})
	g.waiting++
	g.size = max(g.size, offset+int64(r.size()))
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
		r, e := parse(payload)
		if e != nil {
			err = e
			g.addLost()
			return
		}
		r.body = payload[len(payload)-len(r.body):]
		g.add(r, int64(offset))
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
		return strings.Compare(a.name(), b.name())
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
	if keep = last && g.size < s.o.SegmentBytes; keep {
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
