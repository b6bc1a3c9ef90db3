package wire_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/agent/wire"
)

// A shape read from a change is the shape that was changed to, ID and all.
func TestShapeChangeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) wire.Layout {
			names := rapid.SliceOfNDistinct(rapid.IntRange(0, 40), 0, 30, rapid.ID).Draw(t, name)
			slices.Sort(names)
			var l wire.Layout
			for _, n := range names {
				l.Series = append(l.Series, []wire.Label{{Name: "__name__", Value: fmt.Sprintf("m%03d", n/3)}, {Name: "n", Value: fmt.Sprintf("%03d", n)}})
			}
			return l
		}
		from, to := draw("from"), draw("to")
		max := wire.DefaultLimits()
		c, _ := wire.ChangeShape(from.Shape(), to.Shape(), max)
		if c == nil {
			t.Fatal("no change")
		}
		base := wire.ShapeID(from.Series)
		if !bytes.Equal(c.Base, base[:]) {
			t.Fatalf("base %x, want %x", c.Base, base)
		}
		got, err := wire.ReadShapeChange(c, from.Series, max)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != wire.ShapeID(to.Series) || !slices.EqualFunc(got.Series, to.Series, slices.Equal) {
			t.Fatalf("got %v, want %v", got.Series, to.Series)
		}
	})
}

func TestReadShapeChangeRefuses(t *testing.T) {
	max := wire.DefaultLimits()
	max.SeriesPerBlock, max.LabelsPerShape, max.ShapeBytes = 5, 9, 160
	base, err := wire.ReadShape(shapeOf(named("a"), named("b"), named("c", "x", "1"), named("d")), max)
	if err != nil {
		t.Fatal(err)
	}
	add := func(series ...[]string) *wire.ShapeChange { return &wire.ShapeChange{Added: shapeOf(series...)} }
	gone := func(indices ...uint32) *wire.ShapeChange { return &wire.ShapeChange{Removed: indices} }
	for name, c := range map[string]struct {
		change *wire.ShapeChange
		reason string
	}{
		"nothing":            {&wire.ShapeChange{}, ""},
		"all gone":           {gone(0, 1, 2, 3), ""},
		"one more":           {add(named("bb")), ""},
		"replaced by itself": {&wire.ShapeChange{Removed: []uint32{1}, Added: shapeOf(named("b"))}, ""},
		"no such series":     {gone(4), wire.ReasonMalformed},
		"far beyond":         {gone(math.MaxUint32), wire.ReasonMalformed},
		"descending":         {gone(2, 1), wire.ReasonMalformed},
		"gone twice":         {gone(1, 1), wire.ReasonMalformed},
		"there already":      {add(named("c", "x", "1")), wire.ReasonDuplicateSeries},
		"added twice":        {add(named("e"), named("e")), wire.ReasonDuplicateSeries},
		"added in disorder":  {add(named("f"), named("e")), wire.ReasonMalformed},
		"reserved":           {add(named("e", "instance", "x")), wire.ReasonReservedLabel},
		"hidden":             {add([]string{"__name__", "e", "__x", "1"}), wire.ReasonReservedLabel},
		"no name":            {add([]string{"x", "1"}), wire.ReasonBadLabel},
		"not UTF-8":          {add(named("e", "x", "\xff")), wire.ReasonBadText},
		"too many series":    {add(named("e"), named("f")), wire.ReasonOversized},
		"too many labels":    {add(named("e", "l", "1", "m", "1", "n", "1", "o", "1")), wire.ReasonOversized},
		"too many bytes":     {add(named("e", "l", strings.Repeat("x", 100))), wire.ReasonOversized},
	} {
		t.Run(name, func(t *testing.T) {
			before := fmt.Sprint(base.Series)
			_, err := wire.ReadShapeChange(c.change, base.Series, max)
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, err)
			}
			if fmt.Sprint(base.Series) != before {
				t.Error("the base was changed")
			}
		})
	}
}

func FuzzReadShapeChange(f *testing.F) {
	base, err := wire.ReadShape(shapeOf(named("a"), named("b"), named("c", "x", "1"), named("d")), wire.DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []*wire.ShapeChange{
		{}, {Removed: []uint32{1, 3}, Added: shapeOf(named("bb"), named("c", "x", "2"))}, {Added: shapeOf(named("a"))},
	} {
		b, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	max := wire.DefaultLimits()
	f.Fuzz(func(t *testing.T, b []byte) {
		var c wire.ShapeChange
		if wire.Decode(bytes.NewReader(b), "", max, &c) != nil {
			return
		}
		l, err := wire.ReadShapeChange(&c, base.Series, max)
		if err != nil {
			return
		}
		again, err := wire.ReadShape(l.Shape(), max)
		if err != nil || again.ID != l.ID {
			t.Fatalf("what a change gave is no shape: %v", err)
		}
	})
}
