package remote

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/record"
)

// series is one series as a target gets it. It belongs to whoever works on the round: the target, or its one shard.
type series struct {
	labels labels.Labels
	hash   uint64
	// mark and slot are for the one who encodes it.
	mark uint64
	slot int
}

// reader reads the spool for one target.
type reader struct {
	spool *spool
	// make is the series that a target gets for one of the spool; nil when it wants it not.
	make func(labels.Labels) *series
	// lost is told how many samples are gone unread, and why.
	lost func(reason string, samples uint64)
	log  func(msg string, args ...any)

	at position
	// seq is how many samples of the spool lie before at; known is false until a segment was opened.
	seq    uint64
	known  bool
	reason string // why what is between seq and the next segment could not be read

	file    *os.File
	limited limited
	frames  frames
	decoder record.Decoder
	dict    []*series
	told    []record.RefSeries
	samples []record.RefSample
}

// limited reads a file as far as whole frames were written.
type limited struct {
	file     *os.File
	off, end int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.off >= l.end {
		return 0, io.EOF
	}
	n, err := l.file.ReadAt(p[:min(int64(len(p)), l.end-l.off)], l.off)
	l.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// next is the next frame of samples, good until the next call; ok is false when there is none yet, and more is closed when there
// may be. An error is of the machine, not of the files.
func (r *reader) next() (h header, samples []record.RefSample, more <-chan struct{}, ok bool, err error) {
	for {
		g, sealed, found, more := r.spool.at(r.at.Segment)
		if !found {
			return h, nil, more, false, nil
		}
		if r.file == nil || g.n != r.at.Segment {
			if err := r.open(g); err != nil && !r.skip(g, err) {
				return h, nil, nil, false, err
			}
			continue
		}
		if r.at.Offset >= g.bytes {
			if !sealed {
				return h, nil, more, false, nil
			}
			r.close()
			r.at = position{Segment: g.n + 1}
			continue
		}
		r.limited.end = g.bytes
		h, samples, err := r.frame()
		switch {
		case err != nil && !r.skip(g, err):
			return h, nil, nil, false, err
		case err == nil && h.kind == samplesFrame:
			return h, samples, nil, true, nil
		}
	}
}

// skip goes on behind a segment that is damaged or gone; false when it was something else.
func (r *reader) skip(g segment, err error) bool {
	damaged := errors.Is(err, errDamaged)
	if !damaged && !errors.Is(err, os.ErrNotExist) {
		r.close()
		return false
	}
	if damaged {
		r.reason = "damaged"
		r.log("part of remote write's spool is damaged and skipped", "segment", g.n, "offset", r.at.Offset, "err", err)
	}
	r.close()
	r.at = position{Segment: g.n + 1}
	if !r.known { // what was before it is not known to be lost
		r.seq, r.known = g.before, true
	}
	return true
}

// open opens g, which is the segment of r.at or the first there is behind it, and reads as far as r.at.
func (r *reader) open(g segment) error {
	r.close()
	if g.n != r.at.Segment {
		r.at = position{Segment: g.n}
	}
	f, err := os.Open(r.spool.file(g.n))
	if err != nil {
		return err
	}
	if r.known && g.before > r.seq {
		r.lost(r.reason, g.before-r.seq)
	}
	r.reason = "spool_full"
	r.file, r.limited = f, limited{file: f, off: int64(len(segmentMagic)), end: g.bytes}
	r.frames.r = bufio.NewReaderSize(&r.limited, 64<<10)
	r.decoder = record.NewDecoder(labels.NewSymbolTable(), nil)
	r.dict = r.dict[:0:0]
	want := min(r.at.Offset, g.bytes)
	r.at.Offset, r.seq, r.known = int64(len(segmentMagic)), g.before, true
	for r.at.Offset < want {
		if _, _, err := r.frame(); err != nil {
			return err
		}
	}
	return nil
}

// frame reads one frame: series are learnt, samples are given.
func (r *reader) frame() (header, []record.RefSample, error) {
	h, rec, err := r.frames.next()
	if err == io.EOF {
		err = fmt.Errorf("%w: it ends before what was written", errDamaged)
	}
	if err != nil {
		return h, nil, err
	}
	if h.kind == seriesFrame {
		if err := r.learn(rec); err != nil {
			return h, nil, err
		}
	} else if r.samples, err = r.decoder.Samples(rec, r.samples[:0]); err != nil {
		return h, nil, fmt.Errorf("%w: %v", errDamaged, err)
	} else if len(r.samples) != int(h.samples) {
		return h, nil, fmt.Errorf("%w: a frame of %d samples has %d", errDamaged, h.samples, len(r.samples))
	}
	r.at.Offset += headerBytes + int64(h.length)
	r.seq += uint64(h.samples)
	return h, r.samples, nil
}

// learn takes the series that a frame tells. They are numbered from 0 on.
func (r *reader) learn(rec []byte) (err error) {
	if r.told, err = r.decoder.Series(rec, r.told[:0]); err != nil {
		return fmt.Errorf("%w: %v", errDamaged, err)
	}
	for _, s := range r.told {
		if int(s.Ref) != len(r.dict) {
			return fmt.Errorf("%w: series %d after %d", errDamaged, s.Ref, len(r.dict))
		}
		r.dict = append(r.dict, r.make(s.Labels))
	}
	clear(r.told)
	return nil
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close() // it was only read
		r.file = nil
	}
}
