package wire

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
)

// When compression pays. Below compressFrom a body and its headers fit the one packet they need anyway. Above it, a
// body must shrink by an eighth: values are mostly noise to zstd, and reading costs the collector, who reads for
// thousands.
const (
	compressFrom  = 1 << 10
	compressGainN = 8
)

// Pools are the exception to "no package variables" that their purpose makes: an encoder costs half a megabyte to set
// up, and Encode and Decode have no object to live in. They hold no state that outlives a call.
var (
	encoders = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(ZstdWindow),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return fmt.Errorf("set up zstd encoder: %w", err)
		}
		return e
	}}
	decoders = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(ZstdWindow), zstd.WithDecoderMaxMemory(ZstdWindow))
		if err != nil {
			return fmt.Errorf("set up zstd decoder: %w", err)
		}
		return d
	}}
	buffers = sync.Pool{New: func() any { return new([]byte) }}
)

// pooled takes what a pool's New made, which may be an error.
func pooled[T any](p *sync.Pool) (T, error) {
	switch v := p.Get().(type) {
	case T:
		return v, nil
	case error:
		return *new(T), v
	default:
		return *new(T), fmt.Errorf("pool holds a %T", v)
	}
}

// Encode writes m for the line and says under which content coding: CodingZstd when that pays, otherwise none.
func Encode(m proto.Message) (body []byte, coding string, err error) {
	plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, "", fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return squeeze(plain)
}

// squeeze compresses a body when that pays.
func squeeze(plain []byte) (body []byte, coding string, err error) {
	if len(plain) < compressFrom {
		return plain, "", nil
	}
	e, err := pooled[*zstd.Encoder](&encoders)
	if err != nil {
		return nil, "", err
	}
	defer encoders.Put(e)
	packed := e.EncodeAll(plain, make([]byte, 0, len(plain)))
	if len(packed) > len(plain)-len(plain)/compressGainN {
		return plain, "", nil
	}
	return packed, CodingZstd, nil
}

// Decode reads one message from r, to its end, into an empty m. It reads no more than max.BodyBytes, holds no more than
// max.DecodedBytes of what they decode to, and creates no message that would take more than max.MemoryBytes: with
// DefaultLimits a hostile body costs at most 4 MiB, whatever it claims. Fields this release does not know are dropped.
//
// An *Error says what is wrong with the body; any other error is r's own. Structure beyond the encoding is not checked:
// see CheckReport and ReadShape.
func Decode(r io.Reader, coding string, max Limits, m proto.Message) error {
	name := m.ProtoReflect().Descriptor().Name()
	buf, err := pooled[*[]byte](&buffers)
	if err != nil {
		return err
	}
	defer buffers.Put(buf)
	if *buf, err = readBody(r, coding, max, string(name), (*buf)[:0]); err != nil {
		return err
	}
	weight, err := weigh(*buf, m.ProtoReflect().Descriptor())
	if err != nil {
		return refuse(ReasonMalformed, "body is not a %s: %v", name, err)
	}
	if weight > max.MemoryBytes {
		return tooMany(ReasonOversized, fmt.Sprintf("bytes of memory for a %s", name), fmt.Sprint(weight), max.MemoryBytes,
			"memory_bytes")
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(*buf, m); err != nil {
		return refuse(ReasonMalformed, "body is not a %s: %v", name, err)
	}
	return nil
}

// readBody appends a body, its coding undone, to buf. Even with an error it returns buf, which may have grown.
func readBody(r io.Reader, coding string, max Limits, name string, buf []byte) ([]byte, error) {
	switch coding {
	case "", "identity":
		limit := min(max.BodyBytes, max.DecodedBytes)
		buf, err := readAll(r, buf, limit)
		if errors.Is(err, errTooLong) {
			err = tooMany(ReasonOversized, "bytes of a "+name, fmt.Sprintf("more than %d", limit), limit,
				"body_bytes and limits.decoded_bytes")
		}
		return buf, err
	case CodingZstd:
		return unpack(r, buf, max, name)
	}
	return buf, refuse(ReasonUnknownCoding, "content coding %.40q of a %s: want %s or none", coding, name, CodingZstd)
}

// unpack decodes a zstd stream, counting what goes in and what comes out.
func unpack(r io.Reader, buf []byte, max Limits, name string) ([]byte, error) {
	d, err := pooled[*zstd.Decoder](&decoders)
	if err != nil {
		return buf, err
	}
	defer decoders.Put(d)
	in := &counted{r: r, left: max.BodyBytes}
	err = d.Reset(in)
	if err == nil {
		buf, err = readAll(d, buf, max.DecodedBytes)
	}
	_ = d.Reset(nil) // so that the pool does not hold on to r; this cannot fail
	switch {
	case errors.Is(in.err, errTooLong):
		return buf, tooMany(ReasonOversized, "bytes of the body of a "+name, fmt.Sprintf("more than %d", max.BodyBytes),
			max.BodyBytes, "body_bytes")
	case in.err != nil:
		return buf, fmt.Errorf("read %s: %w", name, in.err)
	case errors.Is(err, errTooLong):
		return buf, tooMany(ReasonBomb, "bytes of a "+name+" once decoded", fmt.Sprintf("more than %d", max.DecodedBytes),
			max.DecodedBytes, "decoded_bytes")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return buf, refuse(ReasonBomb, "zstd frame of a %s asks for a window of more than %d bytes: encode it with less",
			name, ZstdWindow)
	case err != nil:
		return buf, refuse(ReasonMalformed, "body of a %s is not zstd: %v", name, err)
	}
	return buf, nil
}

var errTooLong = errors.New("longer than allowed")

// counted passes on at most left bytes and remembers what its reader failed with, so that a broken line is told from a
// broken body.
type counted struct {
	r    io.Reader
	left int64
	err  error
}

func (c *counted) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		n, err = int(c.left), errTooLong
	}
	c.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// readAll appends r to buf, errTooLong when it is more than limit.
func readAll(r io.Reader, buf []byte, limit int64) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(int64(max(4*len(buf), 16<<10)), limit+1))
			copy(grown, buf)
			buf = grown
		}
		room := buf[len(buf):min(int64(cap(buf)), limit+1)]
		n, err := r.Read(room)
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return buf, errTooLong
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf, fmt.Errorf("read body: %w", err)
		}
	}
}
