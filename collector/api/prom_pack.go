package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"sync"
)

// packing is what answers are encoded and compressed in, used again and again: a compressor of its own for each answer, a
// megabyte of tables, would keep the garbage collector busy that acknowledgements share the processors with.
type packing struct{ pool sync.Pool }

// maxKept is how big a buffer is kept for the next answer.
const maxKept = 2 * heldAnswer

// fewBytes is how short an answer is not worth compressing.
const fewBytes = 1000

// pack is a buffer for what is encoded, one for what is compressed, and the compressor.
type pack struct {
	plain  []byte
	packed bytes.Buffer
	zip    *gzip.Writer
}

func (p *packing) get() *pack {
	if k, ok := p.pool.Get().(*pack); ok {
		return k
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil { // of a level that is none
		zip = gzip.NewWriter(nil)
	}
	return &pack{zip: zip}
}

func (p *packing) put(k *pack) {
	if cap(k.plain) > maxKept || k.packed.Cap() > maxKept {
		return
	}
	k.plain = k.plain[:0]
	k.packed.Reset()
	k.zip.Reset(nil)
	p.pool.Put(k)
}

// takesGzip tells whether who asks does, by the same reading as Prometheus'.
func takesGzip(r *http.Request) bool {
	for encoding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(encoding) == "gzip" {
			return true
		}
	}
	return false
}

// packer is an answer on its way out: compressed, for who takes that, before its turn at the gate ends.
type packer struct {
	w    http.ResponseWriter
	pack *pack
	gzip bool
	// streams: some of it is on its way already, the turn is held until all is.
	streams bool
}

// Write implements io.Writer for an answer that is too big to be held.
func (p *packer) Write(b []byte) (int, error) {
	if !p.gzip {
		return p.w.Write(b)
	}
	if !p.streams {
		p.streams = true
		p.w.Header().Set("Content-Encoding", "gzip")
		p.pack.zip.Reset(p.w)
	}
	return p.pack.zip.Write(b)
}

// end compresses what is left, gives the turn back unless the answer streams, and writes.
func (p *packer) end(b []byte, leave func()) error {
	switch {
	case p.streams:
		if _, err := p.pack.zip.Write(b); err != nil {
			return err
		}
		return p.pack.zip.Close()
	case p.gzip && len(b) >= fewBytes:
		p.pack.zip.Reset(&p.pack.packed)
		_, _ = p.pack.zip.Write(b) // into memory
		_ = p.pack.zip.Close()
		b = p.pack.packed.Bytes()
		p.w.Header().Set("Content-Encoding", "gzip")
	}
	leave()
	_, err := p.w.Write(b)
	return err
}
