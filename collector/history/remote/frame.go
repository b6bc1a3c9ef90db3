package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/snappy"
)

// A segment begins with segmentMagic and is a run of frames behind it; each is a header and a payload, which is a record of
// Prometheus' TSDB (tsdb/record: series, or samples that name them by number), compressed with snappy. All series of a
// segment's samples are told in it before, so that a segment can be read by itself. Integers are little endian:
//
//	kind 1 byte │ samples 4 │ written at, Unix ms 8 │ length 4 │ CRC-32C of all other bytes of the frame 4 │ payload
//
// Prometheus' own tsdb/wlog is not used for it: its readers cannot begin at a position, and a full disk leaves a page in it
// that ends the segment for readers.
const (
	segmentMagic = "WBREMOT1"
	headerBytes  = 1 + 4 + 8 + 4 + 4
	// maxFrame bounds a payload: what claims to be longer is damage.
	maxFrame = 32 << 20
)

// The kinds of frames.
const (
	seriesFrame  = 1
	samplesFrame = 2
)

// errDamaged: what follows in the segment cannot be read.
var errDamaged = errors.New("damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what a frame says of itself.
type header struct {
	kind    byte
	samples uint32
	at      int64 // Unix ms
	length  uint32
	crc     uint32
}

func parseHeader(b []byte) (header, error) {
	h := header{
		kind: b[0], samples: binary.LittleEndian.Uint32(b[1:]), at: int64(binary.LittleEndian.Uint64(b[5:])),
		length: binary.LittleEndian.Uint32(b[13:]), crc: binary.LittleEndian.Uint32(b[17:]),
	}
	switch {
	case h.kind != seriesFrame && h.kind != samplesFrame:
		return h, fmt.Errorf("%w: a frame of kind %d", errDamaged, h.kind)
	case h.length > maxFrame:
		return h, fmt.Errorf("%w: a frame of %d bytes", errDamaged, h.length)
	case h.kind == seriesFrame && h.samples != 0, h.kind == samplesFrame && h.samples > maxFrame:
		return h, fmt.Errorf("%w: a frame of %d samples", errDamaged, h.samples)
	}
	return h, nil
}

// appendFrame adds a frame that holds record.
func appendFrame(to []byte, kind byte, samples int, at int64, record []byte) []byte {
	start := len(to)
	to = append(to, kind)
	to = binary.LittleEndian.AppendUint32(to, uint32(samples))
	to = binary.LittleEndian.AppendUint64(to, uint64(at))
	body := start + headerBytes
	most := snappy.MaxEncodedLen(len(record))
	to = append(to, make([]byte, headerBytes-13+most)...)
	packed := snappy.Encode(to[body:body+most], record)
	to = to[:body+len(packed)]
	binary.LittleEndian.PutUint32(to[start+13:], uint32(len(packed)))
	binary.LittleEndian.PutUint32(to[start+17:], checksum(to[start:start+17], packed))
	return to
}

func checksum(head, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload)
}

// frames reads frames from the beginning of a segment.
type frames struct {
	r       io.Reader
	head    [headerBytes]byte
	payload []byte
	record  []byte
}

// next is the next frame's header and record, which is good until the frame after it is read. io.EOF is an end between
// frames; anything else that keeps it from reading is errDamaged, or what the reader gives.
func (f *frames) next() (header, []byte, error) {
	if n, err := io.ReadFull(f.r, f.head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends after %d bytes of a header", errDamaged, n)
		}
		return header{}, nil, err
	}
	h, err := parseHeader(f.head[:])
	if err != nil {
		return h, nil, err
	}
	f.payload = grow(f.payload, int(h.length))
	if _, err := io.ReadFull(f.r, f.payload); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: it ends within a frame", errDamaged)
		}
		return h, nil, err
	}
	if checksum(f.head[:17], f.payload) != h.crc {
		return h, nil, fmt.Errorf("%w: a frame's checksum does not fit", errDamaged)
	}
	n, err := snappy.DecodedLen(f.payload)
	if err != nil || n > 2*maxFrame {
		return h, nil, fmt.Errorf("%w: a frame of %d bytes unpacked: %v", errDamaged, n, err)
	}
	f.record = grow(f.record, n)
	if _, err := snappy.Decode(f.record, f.payload); err != nil {
		return h, nil, fmt.Errorf("%w: %v", errDamaged, err)
	}
	return h, f.record, nil
}

// grow is b with n bytes, whatever they are.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, n+n/4)
	}
	return b[:n]
}
