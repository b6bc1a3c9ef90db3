package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

// No body makes the decoder or any check panic, and a report that passes survives its own encoding.
func FuzzDecodeReport(f *testing.F) {
	full := fullReport()
	plain, err := proto.Marshal(full)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain, false)
	f.Add(packed(f, plain, wire.ZstdWindow), true)
	f.Add(repeated(4, nil, 1000), false)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff}, true)
	max := wire.DefaultLimits()
	f.Fuzz(func(t *testing.T, body []byte, zstd bool) {
		coding := ""
		if zstd {
			coding = wire.CodingZstd
		}
		var r wire.Report
		if err := wire.Decode(bytes.NewReader(body), coding, max, &r); err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Reason == "" || e.Text == "" {
				t.Fatalf("a body can only be refused with an *Error, got %T: %v", err, err)
			}
			return
		}
		for _, s := range r.Shapes {
			readShape(t, s, max)
		}
		if wire.CheckReport(&r, max) != nil {
			return
		}
		again, coding, err := wire.Encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		var same wire.Report
		if err := wire.Decode(bytes.NewReader(again), coding, max, &same); err != nil {
			t.Fatalf("a report that passed is refused when encoded again: %v", err)
		}
		if b, _, err := wire.Encode(&same); err != nil || !bytes.Equal(b, again) {
			t.Fatalf("a report changes when it is encoded again: %v", err)
		}
	})
}

func FuzzReadShape(f *testing.F) {
	for _, s := range []*wire.Shape{
		shapeOf(named("a"), named("a", "b", "c")), fullReport().Shapes[0], shapeOf([]string{"x"}), {},
	} {
		b, err := proto.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	max := wire.DefaultLimits()
	f.Fuzz(func(t *testing.T, b []byte) {
		var s wire.Shape
		if wire.Decode(bytes.NewReader(b), "", max, &s) == nil {
			readShape(t, &s, max)
		}
	})
}

// readShape checks what a layout promises.
func readShape(t *testing.T, s *wire.Shape, max wire.Limits) {
	t.Helper()
	l, err := wire.ReadShape(s, max)
	if err != nil {
		return
	}
	if wire.ShapeID(l.Series) != l.ID {
		t.Fatal("the id is not that of the series")
	}
	again, err := wire.ReadShape(l.Shape(), max)
	if err != nil || again.ID != l.ID {
		t.Fatalf("its own shape reads as %x, want %x: %v", again.ID, l.ID, err)
	}
}
