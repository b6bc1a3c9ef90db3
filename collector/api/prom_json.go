package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// heldAnswer is how much of an answer is put into memory before its turn at the gate ends. What is bigger is written while
// the turn is held, so that what waits to be written is bounded by how many ask.
const heldAnswer = 1 << 20

// maxNotes is how many warnings, and how many infos, an answer carries, as in Prometheus.
const maxNotes = 10

// promWrite answers as Prometheus does, to the byte where samples and labels are asked for: labels there are written as they are,
// all other texts with <, > and & escaped.
func (a *API) promWrite(w http.ResponseWriter, c *promCall, answer promAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Add("Vary", "Accept-Encoding")
	pack := a.queries.packing.get()
	out := &packer{w: w, pack: pack, gzip: takesGzip(c.r)}
	e := &promEncoder{w: out, b: pack.plain}
	defer func() {
		pack.plain = e.b
		a.queries.packing.put(pack)
	}()
	e.raw(`{"status":"success","data":`)
	e.data(answer.data)
	warnings, infos := c.notes.AsStrings(answer.query, maxNotes, maxNotes)
	e.strings(`,"warnings":`, warnings)
	e.strings(`,"infos":`, infos)
	e.raw(`}`)
	if e.err != nil && !e.begun {
		a.promFail(w, c.r, promErrorf(promInternal, "the answer cannot be encoded: %w", e.err))
		return
	}
	if e.err == nil {
		e.err = out.end(e.b, func() {
			if !e.begun {
				c.leave()
			}
		})
	}
	if e.err != nil {
		a.o.Logger.Debug("a query's answer was broken off", "path", c.r.URL.Path, "err", e.err)
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

// promEncoder writes JSON, and passes it on when there is more than heldAnswer of it. After an error it writes nothing.
type promEncoder struct {
	w   io.Writer
	b   []byte
	err error
	// begun: some of it has been passed on.
	begun bool
}

func (e *promEncoder) raw(s string) { e.b = append(e.b, s...) }

// flush passes on what there is.
func (e *promEncoder) flush() {
	if e.err == nil {
		_, e.err = e.w.Write(e.b)
		e.begun = true
	}
	e.b = e.b[:0]
}

// room passes on what there is when it is much.
func (e *promEncoder) room() {
	if len(e.b) >= heldAnswer {
		e.flush()
	}
}

// json writes v with encoding/json, which escapes as Prometheus does what is no label.
func (e *promEncoder) json(v any) {
	b, err := json.Marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.b = append(e.b, b...)
	e.room()
}

// strings writes a field with a list, nothing when it is empty.
func (e *promEncoder) strings(field string, list []string) {
	if len(list) > 0 {
		e.raw(field)
		e.json(list)
	}
}

func (e *promEncoder) data(v any) {
	switch x := v.(type) {
	case queryData:
		e.raw(`{"resultType":"` + string(x.value.Type()) + `","result":`)
		e.value(x.value)
		if x.stats != nil {
			e.raw(`,"stats":`)
			e.json(x.stats.Builtin())
		}
		e.raw(`}`)
	case []labels.Labels:
		list(e, x, e.labels)
	default:
		e.json(v)
	}
}

func (e *promEncoder) value(v parser.Value) {
	switch x := v.(type) {
	case promql.Vector:
		list(e, x, e.sample)
	case promql.Matrix:
		list(e, x, e.series)
	case promql.Scalar, promql.String:
		e.json(x)
	default:
		e.err = fmt.Errorf("a result of type %T", v)
	}
}

// list writes elements, passing on in between.
func list[T any](e *promEncoder, all []T, one func(T)) {
	e.raw(`[`)
	for i, x := range all {
		if i > 0 {
			e.raw(`,`)
		}
		one(x)
		if e.room(); e.err != nil {
			return
		}
	}
	e.raw(`]`)
}

func (e *promEncoder) sample(s promql.Sample) {
	e.raw(`{"metric":`)
	e.labels(s.Metric)
	e.raw(`,"value":`)
	e.point(s.T, s.F)
	e.raw(`}`)
}

func (e *promEncoder) series(s promql.Series) {
	e.raw(`{"metric":`)
	e.labels(s.Metric)
	if len(s.Floats) > 0 {
		e.raw(`,"values":`)
		list(e, s.Floats, func(p promql.FPoint) { e.point(p.T, p.F) })
	}
	e.raw(`}`)
}

func (e *promEncoder) labels(ls labels.Labels) {
	e.raw(`{`)
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			e.raw(`,`)
		}
		first = false
		e.b = appendJSONText(e.b, l.Name)
		e.raw(`:`)
		e.b = appendJSONText(e.b, l.Value)
	})
	e.raw(`}`)
}

// point writes [seconds, "value"].
func (e *promEncoder) point(t int64, v float64) {
	b := append(e.b, '[')
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if ms := t % 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	b = append(b, ',', '"')
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.b = append(strconv.AppendFloat(b, v, format, -1, 64), '"', ']')
}

// appendJSONText writes a label's name or value: quote, backslash and what controls are escaped, nothing else.
func appendJSONText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
