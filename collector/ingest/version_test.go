package ingest

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
	"github.com/watchbill/watchbill/rules/window"
)

// line1 is an agent's side that speaks version 1.
type line1 struct {
	*client
	encoder *wire.Encoder
}

func (c *client) version1() *line1 { return &line1{c, wire.NewEncoder(wire.DefaultLimits())} }

// once sends a report a single time.
func (l *line1) once(m *wire.Report) *wire.Ack {
	l.w.t.Helper()
	body, coding, err := l.encoder.Encode(m)
	if err != nil {
		l.w.t.Fatal(err)
	}
	return l.raw(body, coding)
}

func (l *line1) raw(body []byte, coding string) *wire.Ack {
	l.w.t.Helper()
	resp, answer, err := l.post(wire.PathReport, wire.TypeReportV1, coding, bytes.NewReader(body))
	if err != nil {
		l.w.t.Fatal(err)
	}
	var ack wire.Ack
	if err := proto.Unmarshal(answer, &ack); err != nil || resp.Header.Get(wire.HeaderType) != wire.TypeReportV1 {
		l.w.t.Fatalf("answer %d of %q: %q: %v", resp.StatusCode, resp.Header.Get(wire.HeaderType), answer, err)
	}
	return &ack
}

// take sends it as an agent does until it is accepted, and says what it took.
func (l *line1) take(m *wire.Report) (asked []string) {
	l.w.t.Helper()
	r := m
	for range 5 {
		ack := l.once(r)
		switch {
		case ack.Result == wire.Ack_RESULT_ACCEPTED:
			if len(ack.Refusals) > 0 {
				l.w.t.Fatalf("refused: %v", ack.Refusals)
			}
			l.encoder.Accepted(r, ack)
			return asked
		case ack.Result != wire.Ack_RESULT_NEED_SHAPES:
			l.w.t.Fatalf("answer %v", ack)
		case ack.InFull:
			asked = append(asked, "in full")
			l.encoder.Forget()
		default:
			r = proto.CloneOf(m)
			if id := l.encoder.AddShapes(r, ack.UnknownShapes, l.builder.Shape); id != nil {
				l.w.t.Fatalf("asked for %x", id)
			}
			asked = append(asked, strings.Repeat("shape ", len(r.Shapes))+strings.Repeat("change ", len(r.ShapeChanges)))
		}
	}
	l.w.t.Fatal("the collector keeps asking")
	return nil
}

// kept is a copy of a report's values as they are while the Sink has it.
func kept(w *world) *[][]float64 {
	var all [][]float64
	w.sink.set(func(_ context.Context, r Report) error {
		for _, b := range r.Blocks {
			all = append(all, slices.Clone(b.Values))
		}
		return nil
	})
	return &all
}

// Version 1 comes out as the same samples as version 0, with unchanged blocks resolved, also past a restart of the
// collector in the middle.
func TestVersion1(t *testing.T) {
	w := newWorld(t, nil)
	l := w.enrol("acme", "leeds", "web1").version1()
	values := kept(w)
	block := func(v ...float64) *wire.Block {
		var in []wire.Sample
		for i, v := range v {
			in = append(in, wire.Sample{Name: "m", Labels: []wire.Label{{Name: "i", Value: string(rune('a' + i))}}, Value: v})
		}
		b, err := l.builder.Block("node", "m", w.clock.now(), 15*time.Second, in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for n, c := range []struct {
		block   *wire.Block
		restart bool
		asked   []string
	}{
		{block(1, math.Pi, math.E), false, []string{"shape "}},
		{block(1, math.Pi, math.E), false, nil},
		{block(2, math.Pi, math.E), false, nil},
		{block(2, math.Pi, math.E), true, []string{"in full"}},
		{block(2, math.Pi, math.E), false, nil},
		{block(2, math.Pi, math.E, 4, 5, 6, 7, 8, 9), false, []string{"shape "}},
		{block(2, math.Pi, math.E, 4, 5, 6, 7, 8, 9, 10), false, []string{"change "}},
	} {
		w.clock.add(15 * time.Second)
		if c.restart {
			w.start(nil)
		}
		c.block.SampledAtMs = w.clock.now().UnixMilli()
		if asked := l.take(l.report(c.block)); !slices.Equal(asked, c.asked) {
			t.Errorf("report %d: asked for %q, want %q", n, asked, c.asked)
		}
		got := w.sink.last(t)
		if len(got.Blocks) != 1 || got.Blocks[0].Status != window.OK || got.Blocks[0].Late {
			t.Fatalf("report %d: %+v", n, got)
		}
		if b := (*values)[len(*values)-1]; !slices.Equal(b, c.block.Values) || len(got.Blocks[0].Layout.Series) != len(b) {
			t.Errorf("report %d: values %v, want %v", n, b, c.block.Values)
		}
	}
}

// Blocks that are late are kept by whoever gets them: they must not change when the next report comes.
func TestLateValuesMayBeKept(t *testing.T) {
	w := newWorld(t, nil)
	l := w.enrol("acme", "leeds", "web1").version1()
	late := l.block("cpu", 4, time.Minute)
	want := slices.Clone(late.Values)
	l.take(l.report(late))
	got := w.sink.last(t).Blocks[0]
	w.clock.add(15 * time.Second)
	next := l.block("cpu", 4, 0)
	for i := range next.Values {
		next.Values[i] = 99
	}
	l.take(l.report(next))
	if !got.Late || !slices.Equal(got.Values, want) {
		t.Errorf("late block %v is now %v, want %v", got.Late, got.Values, want)
	}
}

// What is not known here, or not to this agent, or not to this customer, is never guessed.
func TestVersion1LeansOnNothingOfOthers(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.enrol("acme", "leeds", "web1").version1(), w.enrol("beta", "main", "db1").version1()
	for _, l := range []*line1{a, b} { // both know the same shape
		l.take(l.report(l.block("cpu", 40, 0)))
		w.clock.add(15 * time.Second)
	}
	t.Run("outline of another agent", func(t *testing.T) {
		m := a.report(a.block("cpu", 40, 0))
		body, coding, err := a.encoder.Encode(m) // names the outline
		if err != nil {
			t.Fatal(err)
		}
		stranger := w.enrol("acme", "leeds", "web9").version1()
		if ack := stranger.raw(body, coding); ack.Result != wire.Ack_RESULT_NEED_SHAPES || !ack.InFull || ack.Sequence != m.Sequence {
			t.Errorf("answer %v, want that it is asked for in full", ack)
		}
		a.seq--
	})
	t.Run("block that was never taken", func(t *testing.T) {
		m := a.report(a.block("cpu", 40, 0))
		m.Blocks[0].Status, m.Blocks[0].ShapeId, m.Blocks[0].Values = wire.Block_STATUS_UNCHANGED, nil, nil
		m.Blocks[0].SameAsMs = m.Blocks[0].SampledAtMs - 1
		before := len(w.sink.all())
		if ack := a.once(m); ack.Result != wire.Ack_RESULT_NEED_SHAPES || !ack.InFull || len(w.sink.all()) != before {
			t.Errorf("answer %v, %d reports applied", ack, len(w.sink.all())-before)
		}
		a.seq--
	})
	t.Run("change of another customer's shape", func(t *testing.T) {
		w.clock.add(15 * time.Second)
		secret := a.block("cpu", 41, 0)
		a.take(a.report(secret))
		base, _ := a.builder.Shape(secret.ShapeId)
		next := b.block("cpu", 42, 0)
		to, _ := b.builder.Shape(next.ShapeId)
		change, ok := wire.ChangeShape(base, to, wire.DefaultLimits())
		if !ok {
			t.Fatal("no change")
		}
		m := b.report(next)
		m.ShapeChanges = []*wire.ShapeChange{change}
		ack := b.once(m)
		if ack.Result != wire.Ack_RESULT_NEED_SHAPES || len(ack.UnknownShapes) != 1 || !bytes.Equal(ack.UnknownShapes[0], next.ShapeId) {
			t.Errorf("answer %v, want that the shape is asked for in full", ack)
		}
		b.seq--
	})
}

// A changed shape is held to all that a shape is held to, and its ID is computed here.
func TestPoisonedShapeChanges(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.ShapeChange)
		reason string
	}{
		"wrong hash":       {func(c *wire.ShapeChange) { c.Removed = []uint32{0} }, reasonShapeID},
		"reserved label":   {func(c *wire.ShapeChange) { c.Added.Symbols[2] = "instance" }, wire.ReasonReservedLabel},
		"duplicate series": {func(c *wire.ShapeChange) { c.Added.Symbols[3] = "0007" }, wire.ReasonDuplicateSeries},
		"no such series":   {func(c *wire.ShapeChange) { c.Removed = []uint32{40} }, wire.ReasonMalformed},
		"out of order":     {func(c *wire.ShapeChange) { c.Removed = []uint32{7, 3} }, wire.ReasonMalformed},
		"no base":          {func(c *wire.ShapeChange) { c.Base = nil }, wire.ReasonMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			l := w.enrol("acme", "leeds", "web1").version1()
			first := l.block("cpu", 40, 0)
			l.take(l.report(first))
			w.clock.add(15 * time.Second)
			next := l.block("cpu", 41, 0)
			from, _ := l.builder.Shape(first.ShapeId)
			to, _ := l.builder.Shape(next.ShapeId)
			change, ok := wire.ChangeShape(from, to, wire.DefaultLimits())
			if !ok {
				t.Fatal("no change")
			}
			c.change(change)
			m := l.report(next)
			m.ShapeChanges = []*wire.ShapeChange{change}
			ack := l.once(m)
			if ack.Result != wire.Ack_RESULT_ACCEPTED || len(ack.Refusals) != 1 || ack.Refusals[0].Reason != c.reason {
				t.Errorf("answer %v, want the block refused for %s", ack, c.reason)
			}
			if _, ok := w.ingest.shapes.find("acme", shapeID(next.ShapeId), w.clock.now()); ok {
				t.Error("the shape is known now")
			}
		})
	}
}

// FuzzReportV1 is FuzzReport for version 1; the agent has told an outline and a block that bodies may lean on.
func FuzzReportV1(f *testing.F) {
	w := newWorld(f, free)
	w.ingest.o.Sink = w.sink
	l := w.enrol("acme", "leeds", "web1").version1()
	w.t = f
	m := l.report(l.block("cpu", 30, 0), l.block("disk", 2, time.Hour))
	l.take(m)
	for _, full := range []bool{false, true} {
		if full {
			l.encoder.Forget()
		}
		w.clock.add(15 * time.Second)
		next := proto.CloneOf(m)
		next.Sequence++
		for _, b := range next.Blocks {
			b.SampledAtMs += 15_000
		}
		body, _, err := l.encoder.Encode(next)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	h := w.ingest.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		w.sink.mu.Lock()
		w.sink.reports = nil
		w.sink.mu.Unlock()
		r := l.authorise(httptest.NewRequest(http.MethodPost, wire.PathReport, bytes.NewReader(body)))
		r.Header.Set(wire.HeaderType, wire.TypeReportV1)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		var ack wire.Ack
		if err := proto.Unmarshal(rec.Body.Bytes(), &ack); err != nil || ack.Result == wire.Ack_RESULT_UNSPECIFIED {
			t.Fatalf("answer %d %q: %v", rec.Code, rec.Body, err)
		}
		for _, r := range w.sink.all() {
			checkReport(t, r, w.clock.now())
		}
	})
}

// BenchmarkReportHandlerV1 is BenchmarkReportHandler for version 1.
func BenchmarkReportHandlerV1(b *testing.B) {
	w := newWorld(b, free)
	c, next := series200(b, w)
	l := c.version1()
	h := w.ingest.Handler()
	l.take(next())
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		m := next()
		body, coding, err := l.encoder.Encode(m)
		if err != nil {
			b.Fatal(err)
		}
		r, err := http.NewRequest(http.MethodPost, wire.PathReport, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set(wire.HeaderType, wire.TypeReportV1)
		r.Header.Set(wire.HeaderCoding, coding)
		c.authorise(r)
		answer := &discard{status: http.StatusOK}
		b.StartTimer()
		h.ServeHTTP(answer, r)
		if answer.status != http.StatusOK {
			b.Fatal(answer.status)
		}
	}
}
