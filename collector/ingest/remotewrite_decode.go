package ingest

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// This file reads the two messages of remote write, prometheus.WriteRequest and io.prometheus.write.v2.Request, without
// making anything of them: labels stay bytes of the body. The generated codecs make some hundred bytes of every two that
// an empty series takes, and strings of every label of every sample; here the body is all the memory there is, so that its
// bound is the request's, and a series that is known costs a look at its bytes. Tests hold it against prompb.

// pair is a label as it lies in the body.
type pair struct{ name, value []byte }

// point is one sample.
type point struct {
	t int64
	v float64
}

// wireSeries is one series of a request; it is good until the next one is read.
type wireSeries struct {
	labels     []pair
	points     []point
	histograms int
	exemplars  int
	meta       wireMeta
}

// wireMeta is what a message says of a metric.
type wireMeta struct {
	name, help, unit []byte
	kind             uint64
}

// wireRequest reads one request; it is used again for the next.
type wireRequest struct {
	symbols [][]byte
	series  wireSeries
}

// malformed is a body that is not the message that its header says.
type malformed struct{ why string }

func (m malformed) Error() string {
	return "the body is not the message that Content-Type names: " + m.why
}

// overLimit is a request with more series than is taken.
type overLimit struct{ found, limit int }

func (m overLimit) Error() string {
	return fmt.Sprintf("the request has %d series or more, at most %d are taken: send fewer at once (max_samples_per_send), "+
		"or raise remote_write_in.limits.series", m.found, m.limit)
}

// fields calls fn with every field of a message; fn gets the content of a field with a length, or the number.
func fields(b []byte, fn func(num protowire.Number, typ protowire.Type, content []byte, number uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformed{"a field has no valid tag"}
		}
		b = b[n:]
		var content []byte
		var number uint64
		switch typ {
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, n = protowire.ConsumeFixed64(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return malformed{fmt.Sprintf("field %d ends too early", num)}
		}
		b = b[n:]
		if err := fn(num, typ, content, number); err != nil {
			return err
		}
	}
	return nil
}

// The fields' numbers, as in prompb's types.proto and remote.proto, and in write/v2.
const (
	v1Series, v1Metadata    = 1, 3
	v2Symbols, v2Series     = 4, 5
	v2Histograms, v2Exempl  = 3, 4
	v1Exemplars, v1Histgrms = 3, 4
)

// read calls each with every series of a body, and meta with what version 1 says of metrics.
func (w *wireRequest) read(v2 bool, body []byte, maxSeries int, each func(*wireSeries) error, meta func(wireMeta)) error {
	if err := w.prepare(v2, body, maxSeries); err != nil {
		return err
	}
	return fields(body, func(num protowire.Number, typ protowire.Type, content []byte, _ uint64) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch {
		case v2 && num == v2Series:
			if err := w.seriesV2(content); err != nil {
				return err
			}
			return each(&w.series)
		case !v2 && num == v1Series:
			if err := w.seriesV1(content); err != nil {
				return err
			}
			return each(&w.series)
		case !v2 && num == v1Metadata:
			m, err := metadataV1(content)
			if err == nil {
				meta(m)
			}
			return err
		}
		return nil
	})
}

// prepare counts the series, before anything is made of them, and finds the symbols of version 2.
func (w *wireRequest) prepare(v2 bool, body []byte, maxSeries int) error {
	w.symbols = w.symbols[:0]
	series, at := 0, protowire.Number(v1Series)
	if v2 {
		at = v2Series
	}
	err := fields(body, func(num protowire.Number, typ protowire.Type, content []byte, _ uint64) error {
		switch {
		case typ != protowire.BytesType:
		case v2 && num == v1Series, !v2 && (num == v2Symbols || num == v2Series):
			return mixedUp(v2)
		case num == at:
			if series++; series > maxSeries {
				return overLimit{series, maxSeries}
			}
		case v2 && num == v2Symbols:
			if len(w.symbols) > maxSymbols {
				return overLimit{len(w.symbols), maxSymbols}
			}
			w.symbols = append(w.symbols, content)
		}
		return nil
	})
	if err == nil && v2 && len(w.symbols) > 0 && len(w.symbols[0]) > 0 {
		return malformed{"the first symbol is not empty"}
	}
	return err
}

// mixedUp is a message of the other version: read as what its header says it would be empty, and all of it be lost without a
// word. The versions have no number of a field in common so that this can be told.
func mixedUp(v2 bool) error {
	const text = "it has the fields of %s: set Content-Type to application/x-protobuf;proto=%[1]s"
	if v2 {
		return malformed{fmt.Sprintf(text, "prometheus.WriteRequest")}
	}
	return malformed{fmt.Sprintf(text, "io.prometheus.write.v2.Request")}
}

// maxSymbols bounds the texts of one request of version 2.
const maxSymbols = 1 << 20

func (s *wireSeries) reset() {
	*s = wireSeries{labels: s.labels[:0], points: s.points[:0]}
}

func (w *wireRequest) seriesV1(b []byte) error {
	s := &w.series
	s.reset()
	return fields(b, func(num protowire.Number, typ protowire.Type, content []byte, _ uint64) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case 1:
			var p pair
			err := fields(content, func(num protowire.Number, typ protowire.Type, content []byte, _ uint64) error {
				switch {
				case typ != protowire.BytesType:
				case num == 1:
					p.name = content
				case num == 2:
					p.value = content
				}
				return nil
			})
			s.labels = append(s.labels, p)
			return err
		case 2:
			return s.point(content)
		case v1Exemplars:
			s.exemplars++
		case v1Histgrms:
			s.histograms++
		}
		return nil
	})
}

func (w *wireRequest) seriesV2(b []byte) error {
	s := &w.series
	s.reset()
	return fields(b, func(num protowire.Number, typ protowire.Type, content []byte, number uint64) error {
		switch {
		case num == 1 && typ == protowire.BytesType:
			return w.references(content)
		case typ != protowire.BytesType:
		case num == 2:
			return s.point(content)
		case num == v2Histograms:
			s.histograms++
		case num == v2Exempl:
			s.exemplars++
		case num == 5:
			return w.metadataV2(content)
		}
		return nil
	})
}

// references are the labels of a series of version 2: pairs of places among the symbols.
func (w *wireRequest) references(b []byte) error {
	s := &w.series
	for len(b) > 0 {
		name, rest, err := w.reference(b)
		if err != nil {
			return err
		}
		value, rest, err := w.reference(rest)
		if err != nil {
			return err
		}
		s.labels, b = append(s.labels, pair{name, value}), rest
	}
	return nil
}

func (w *wireRequest) reference(b []byte) (symbol, rest []byte, err error) {
	at, n := protowire.ConsumeVarint(b)
	if n < 0 {
		return nil, nil, malformed{"references to labels are not pairs"}
	}
	symbol, err = w.symbol(at)
	return symbol, b[n:], err
}

func (w *wireRequest) symbol(at uint64) ([]byte, error) {
	if at >= uint64(len(w.symbols)) {
		return nil, malformed{fmt.Sprintf("symbol %d is named, there are %d", at, len(w.symbols))}
	}
	return w.symbols[at], nil
}

func (w *wireRequest) metadataV2(b []byte) error {
	m := &w.series.meta
	return fields(b, func(num protowire.Number, typ protowire.Type, _ []byte, number uint64) (err error) {
		if typ != protowire.VarintType {
			return nil
		}
		switch num {
		case 1:
			m.kind = number
		case 3:
			m.help, err = w.symbol(number)
		case 4:
			m.unit, err = w.symbol(number)
		}
		return err
	})
}

func metadataV1(b []byte) (m wireMeta, err error) {
	err = fields(b, func(num protowire.Number, typ protowire.Type, content []byte, number uint64) error {
		switch {
		case num == 1 && typ == protowire.VarintType:
			m.kind = number
		case typ != protowire.BytesType:
		case num == 2:
			m.name = content
		case num == 4:
			m.help = content
		case num == 5:
			m.unit = content
		}
		return nil
	})
	return m, err
}

// point is a sample, the same in both versions.
func (s *wireSeries) point(b []byte) error {
	var p point
	err := fields(b, func(num protowire.Number, typ protowire.Type, _ []byte, number uint64) error {
		switch {
		case num == 1 && typ == protowire.Fixed64Type:
			p.v = math.Float64frombits(number)
		case num == 2 && typ == protowire.VarintType:
			p.t = int64(number) //nolint:gosec // as the format has negative numbers
		}
		return nil
	})
	s.points = append(s.points, p)
	return err
}
