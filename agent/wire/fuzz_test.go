package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// No body of version 1 makes the decoder panic, hold more than the limits, or pass what CheckReport would not; and what
// passes survives its own encoding.
func FuzzDecodeReportV1(f *testing.F) {
	for _, name := range []string{"report_v1_key", "report_v1_known", "report_v1_unchanged"} {
		f.Add(goldenFile(f, name))
	}
	f.Add(reportV1(append(heads(3, 2), 2<<3|4, 0, 1, 8, 16)...))
	max := wire.DefaultLimits()
	first := goldenFile(f, "report_v1_key")
	f.Fuzz(func(t *testing.T, body []byte) {
		known, d := &wire.Outlines{}, wire.NewDecoder()
		defer d.Release()
		if _, err := d.Report(bytes.NewReader(first), "", max, known); err != nil {
			t.Fatal(err)
		}
		r, err := d.Report(bytes.NewReader(body), "", max, known)
		if errors.Is(err, wire.ErrInFull) {
			return
		}
		if err != nil {
			var e *wire.Error
			if !errors.As(err, &e) || e.Reason == "" || e.Text == "" {
				t.Fatalf("a body can only be refused with an *Error, got %T: %v", err, err)
			}
			return
		}
		want := proto.CloneOf(r)
		if err := wire.CheckReport(want, max); err != nil {
			t.Fatalf("it passed, and yet: %v", err)
		}
		again, coding, err := wire.NewEncoder(max).Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.Report(bytes.NewReader(again), coding, max, known)
		if err != nil || !sameReport(got, want) {
			t.Fatalf("%v: reads as\n%v\nwant\n%v", err, got, want)
		}
	})
}

// The same for many reports in one body.
func FuzzDecodeBulk(f *testing.F) {
	f.Add(goldenFile(f, "bulk_v1"))
	f.Add(repeated(1, reportV1(heads(0, 0)...), 300))
	max := wire.DefaultLimits()
	f.Fuzz(func(t *testing.T, body []byte) {
		d := wire.NewDecoder()
		defer d.Release()
		if err := d.Bulk(bytes.NewReader(body), "", max); err != nil {
			t.Fatalf("a body within the limits is not taken in: %v", err)
		}
		samples := 0
		for n := 0; ; n++ {
			r, err := d.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			var e *wire.Error
			if err != nil && (!errors.As(err, &e) || e.Reason == "") {
				t.Fatalf("a bulk can only be refused with an *Error, got %T: %v", err, err)
			}
			if err != nil {
				return
			}
			if err := wire.CheckReport(r, max); err != nil {
				t.Fatalf("report %d passed, and yet: %v", n, err)
			}
			if samples += samplesOf(r); samples > max.BulkSamples || n >= max.BulkReports {
				t.Fatalf("%d samples in %d reports", samples, n+1)
			}
		}
	})
}

// The same for what the spool keeps.
func FuzzDecodeFramed(f *testing.F) {
	max := wire.DefaultLimits()
	r := reportsV1()
	key, _, frame, _, err := wire.EncodeKey(r[0], nil, func(wire.OutlineID) bool { return false }, max)
	if err != nil {
		f.Fatal(err)
	}
	difference, _, ok, err := frame.Encode(r[1], max)
	if !ok || err != nil {
		f.Fatal(ok, err)
	}
	f.Add(key, true)
	f.Add(difference, false)
	f.Add(frame.Append(nil, true), false)
	f.Add(frame.Append(nil, false), true)
	find := func(id wire.OutlineID) (*wire.Frame, bool) { return frame, id == frame.Outline() }
	f.Fuzz(func(t *testing.T, body []byte, alone bool) {
		base := frame
		if alone {
			base = nil
		}
		name := wire.Name{Epoch: 1, Sequence: 2, MadeAtMs: at.UnixMilli()}
		got, f, err := wire.DecodeFramed(body, "", name, base, find, max)
		if err == nil && (got.Sequence != 2 || alone && f == nil && len(got.Blocks) > 0) {
			t.Fatalf("report %v, frame %v", got, f)
		}
		if read, err := wire.ReadFrame(body, find, max); err == nil {
			again, err := wire.ReadFrame(read.Append(nil, true), nil, max)
			if err != nil || !bytes.Equal(again.Append(nil, true), read.Append(nil, true)) {
				t.Fatalf("a frame changes when it is written again: %v", err)
			}
		}
	})
}

func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
