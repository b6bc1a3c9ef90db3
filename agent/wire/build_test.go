package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/agent/wire"
)

var at = time.UnixMilli(1_790_000_000_123)

// samples are n series as a host has them, with values that f gives.
func samples(n int, f func(i int) float64) []wire.Sample {
	out := make([]wire.Sample, n)
	for i := range out {
		out[i] = wire.Sample{
			Name: fmt.Sprintf("node_thing_%d_bytes", i%40),
			Labels: []wire.Label{
				{Name: "mountpoint", Value: fmt.Sprintf("/srv/volume-%d", i/40)}, {Name: "device", Value: "/dev/sda1"},
			},
			Value: f(i),
		}
	}
	return out
}

func build(t testing.TB, b *wire.Builder, in []wire.Sample) *wire.Block {
	t.Helper()
	block, err := b.Block("node", "test", at, 15*time.Second, in)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return block
}

func reasonOf(t *testing.T, err error) string {
	t.Helper()
	var e *wire.Error
	if err == nil {
		return ""
	}
	if !errors.As(err, &e) {
		t.Fatalf("error is a %T, want *wire.Error: %v", err, err)
	}
	return e.Reason
}

func TestBuilderSortsAndKeepsShapes(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	in := []wire.Sample{
		{Name: "z_up", Value: 1},
		{Name: "a_bytes", Labels: []wire.Label{{Name: "path", Value: "/b"}, {Name: "fs", Value: "ext4"}}, Value: 2},
		{Name: "a_bytes", Labels: []wire.Label{{Name: "path", Value: "/a"}, {Name: "fs", Value: "ext4"}, {Name: "x"}}, Value: 3},
	}
	first := build(t, b, in)
	if want := []float64{3, 2, 1}; !slices.Equal(first.Values, want) {
		t.Errorf("values %v, want %v: in the order of the sorted series", first.Values, want)
	}
	shape, ok := b.Shape(first.ShapeId)
	if !ok {
		t.Fatal("the builder does not know the shape it has just made")
	}
	layout, err := wire.ReadShape(shape, wire.DefaultLimits())
	if err != nil {
		t.Fatalf("the collector would refuse the shape: %v", err)
	}
	want := [][]wire.Label{
		{{Name: "__name__", Value: "a_bytes"}, {Name: "fs", Value: "ext4"}, {Name: "path", Value: "/a"}},
		{{Name: "__name__", Value: "a_bytes"}, {Name: "fs", Value: "ext4"}, {Name: "path", Value: "/b"}},
		{{Name: "__name__", Value: "z_up"}},
	}
	if !slices.EqualFunc(layout.Series, want, slices.Equal) {
		t.Errorf("series %v, want %v", layout.Series, want)
	}
	if !bytes.Equal(first.ShapeId, layout.ID[:]) {
		t.Errorf("shape id %x, the collector computes %x", first.ShapeId, layout.ID)
	}

	in[0], in[2] = in[2], in[0]
	in[0].Value = 30
	turned := build(t, b, in)
	if !bytes.Equal(turned.ShapeId, first.ShapeId) || !slices.Equal(turned.Values, []float64{30, 2, 1}) {
		t.Errorf("the same series in another order gave shape %x and values %v", turned.ShapeId, turned.Values)
	}
	in[0].Labels[0].Value = "/c" // in place: the builder must not have kept our slice
	if changed := build(t, b, in); bytes.Equal(changed.ShapeId, first.ShapeId) {
		t.Error("a label changed in place went unnoticed")
	}
}

func TestBuilderAllocatesLittleForAnUnchangedShape(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	in := samples(200, func(i int) float64 { return float64(i) })
	build(t, b, in)
	if n := testing.AllocsPerRun(20, func() { build(t, b, in) }); n > 3 {
		t.Errorf("%v allocations for an unchanged shape, want the block and its values: it was sorted or hashed again", n)
	}
}

func TestBuilderForgetsOldShapes(t *testing.T) {
	max := wire.DefaultLimits()
	max.Blocks = 2 // remembers four
	b := wire.NewBuilder(max)
	var ids [][]byte
	for i := range 6 {
		in := []wire.Sample{{Name: fmt.Sprintf("m%d", i)}}
		ids = append(ids, build(t, b, in).ShapeId)
	}
	for i, id := range ids {
		if _, ok := b.Shape(id); ok != (i >= 2) {
			t.Errorf("shape %d of 6 known: %v", i, ok)
		}
	}
}

func TestBuilderRefuses(t *testing.T) {
	labelled := func(name, value string) []wire.Sample {
		return []wire.Sample{{Name: "m", Labels: []wire.Label{{Name: name, Value: value}}}}
	}
	for name, c := range map[string]struct {
		in     []wire.Sample
		reason string
	}{
		"same series twice": {[]wire.Sample{{Name: "m"}, {Name: "n"}, {Name: "m"}}, wire.ReasonDuplicateSeries},
		"same label twice": {[]wire.Sample{{Name: "m", Labels: []wire.Label{
			{Name: "a", Value: "1"}, {Name: "a", Value: "2"},
		}}}, wire.ReasonDuplicateLabel},
		"asset's label":     {labelled("instance", "x"), wire.ReasonReservedLabel},
		"name in labels":    {labelled("__name__", "x"), wire.ReasonDuplicateLabel},
		"hidden label":      {labelled("__meta", "x"), wire.ReasonReservedLabel},
		"no metric name":    {[]wire.Sample{{}}, wire.ReasonBadLabel},
		"metric name":       {[]wire.Sample{{Name: "9m"}}, wire.ReasonBadLabel},
		"label name":        {labelled("a-b", "x"), wire.ReasonBadLabel},
		"colon in a label":  {labelled("a:b", "x"), wire.ReasonBadLabel},
		"long value":        {labelled("a", strings.Repeat("x", 1025)), wire.ReasonOversized},
		"too many":          {samples(10_001, func(int) float64 { return 0 }), wire.ReasonOversized},
		"dollar in a label": {labelled("a$", "x"), wire.ReasonBadLabel},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wire.NewBuilder(wire.DefaultLimits()).Block("node", "src", at, time.Second, c.in)
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, err)
			}
			if err != nil && !strings.Contains(err.Error(), "src") {
				t.Errorf("error does not say whose block it is: %v", err)
			}
		})
	}
}

func TestBuilderMendsText(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	block := build(t, b, []wire.Sample{{Name: "m", Labels: []wire.Label{{Name: "path", Value: "/mnt/\xff\xfe"}}}})
	shape, _ := b.Shape(block.ShapeId)
	if !slices.Contains(shape.Symbols, "/mnt/\uFFFD") {
		t.Errorf("symbols %q, want the invalid bytes replaced", shape.Symbols)
	}
}

func TestFailedBlock(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"as it is": {"no such file", "no such file"},
		"silent":   {"", "the sampler gave no reason"},
		"long":     {strings.Repeat("ä", 4000), strings.Repeat("ä", 2048)},
		"no UTF-8": {"\xffx", "\uFFFDx"},
	} {
		t.Run(name, func(t *testing.T) {
			b := wire.FailedBlock("node", "cpu", at, time.Second, errors.New(c.in))
			if b.Reason != c.want {
				t.Errorf("reason %.40q, want %.40q", b.Reason, c.want)
			}
			r := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: at.UnixMilli(), Blocks: []*wire.Block{b}}
			if err := wire.CheckReport(r, wire.DefaultLimits()); err != nil {
				t.Errorf("the collector would refuse it: %v", err)
			}
		})
	}
}

func TestClean(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		n    int
		want string
	}{
		"short":           {"abc", 3, "abc"},
		"cut":             {"abcd", 3, "abc"},
		"between":         {"aä", 2, "a"},
		"whole character": {"aäb", 3, "aä"},
		"nothing left":    {"€", 2, ""},
		"mended, cut":     {"\xffabc", 4, "\uFFFDa"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wire.Clean(c.in, c.n); got != c.want {
				t.Errorf("Clean(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
			}
		})
	}
}

// What goes in at the agent comes out at the collector, bit for bit, whatever the values and the order.
func TestRoundTrip(t *testing.T) {
	odd := []uint64{
		0, 1 << 63, // -0
		math.Float64bits(math.Inf(1)), math.Float64bits(math.Inf(-1)), math.Float64bits(math.NaN()),
		0x7ff0000000000002, 0x7ff8dead_beef0001, 0xfff8000000000001, // NaN payloads, Prometheus' stale marker the first
		1, math.Float64bits(math.MaxFloat64),
	}
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(odd), rapid.Uint64()), 0, 300).Draw(t, "bits")
		in := samples(len(bits), func(i int) float64 { return math.Float64frombits(bits[i]) })
		in = rapid.Permutation(in).Draw(t, "order")
		want := map[string]uint64{}
		for _, s := range in {
			want[s.Name+s.Labels[0].Value] = math.Float64bits(s.Value)
		}
		b := wire.NewBuilder(wire.DefaultLimits())
		block, err := b.Block("node", "test", at, time.Second, in)
		if err != nil {
			t.Fatal(err)
		}
		shape, _ := b.Shape(block.ShapeId)
		r := &wire.Report{
			Epoch: 1, Sequence: 1, MadeAtMs: at.UnixMilli(), Blocks: []*wire.Block{block}, Shapes: []*wire.Shape{shape},
		}
		body, coding, err := wire.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var got wire.Report
		if err := wire.Decode(bytes.NewReader(body), coding, wire.DefaultLimits(), &got); err != nil {
			t.Fatal(err)
		}
		if err := wire.CheckReport(&got, wire.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		layout, err := wire.ReadShape(got.Shapes[0], wire.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(layout.ID[:], got.Blocks[0].ShapeId) || len(layout.Series) != len(bits) {
			t.Fatalf("%d series of shape %x, want %d of %x", len(layout.Series), layout.ID, len(bits), got.Blocks[0].ShapeId)
		}
		for i, labels := range layout.Series {
			key := labels[0].Value + labels[2].Value
			if got, want := math.Float64bits(got.Blocks[0].Values[i]), want[key]; got != want {
				t.Fatalf("%v: value %016x, want %016x", labels, got, want)
			}
		}
		if again := layout.Shape(); !proto.Equal(again, shape) {
			t.Fatal("a layout's shape is not the shape it was read from")
		}
	})
}

func BenchmarkBlock(b *testing.B) {
	in := samples(200, func(i int) float64 { return float64(i) })
	builder := wire.NewBuilder(wire.DefaultLimits())
	b.Run("unchanged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			build(b, builder, in)
		}
	})
	b.Run("changed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			build(b, wire.NewBuilder(wire.DefaultLimits()), in)
		}
	})
}
