package wire_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestEncodeCompressesOnlyWhenItPays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := &wire.Block{Source: "s", Values: make([]float64, 500)}
	for i := range noise.Values {
		noise.Values[i] = math.Float64frombits(random.Uint64())
	}
	for name, c := range map[string]struct {
		m      *wire.Report
		coding string
	}{
		"small":  {&wire.Report{Goodbye: &wire.Goodbye{Reason: strings.Repeat("a", 900)}}, ""},
		"texts":  {&wire.Report{Goodbye: &wire.Goodbye{Reason: strings.Repeat("a", 1100)}}, wire.CodingZstd},
		"noise":  {&wire.Report{Blocks: []*wire.Block{noise}}, ""},
		"nobody": {&wire.Report{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			body, coding, err := wire.Encode(c.m)
			if err != nil {
				t.Fatal(err)
			}
			if coding != c.coding {
				t.Errorf("coding %q for %d bytes, want %q", coding, proto.Size(c.m), c.coding)
			}
			var got wire.Report
			if err := wire.Decode(iotest.OneByteReader(bytes.NewReader(body)), coding, wire.DefaultLimits(), &got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(&got, c.m) {
				t.Error("decoded something else")
			}
		})
	}
}

// packed is b as a zstd frame with a window of at most n bytes.
func packed(t testing.TB, b []byte, n int) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(n))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(b, nil)
}

// repeated is a message of n times one field.
func repeated(num protowire.Number, value []byte, n int) []byte {
	one := protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), value)
	return bytes.Repeat(one, n)
}

func TestDecodeRefuses(t *testing.T) {
	fill := func(n int) []byte { return repeated(9, repeated(1, bytes.Repeat([]byte("x"), n), 1), 1) }
	big := fill(2 << 20)
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	good, coding, err := wire.Encode(&wire.Report{Goodbye: &wire.Goodbye{Reason: strings.Repeat("ab", 1000)}})
	if err != nil || coding != wire.CodingZstd {
		t.Fatal(coding, err)
	}
	for name, c := range map[string]struct {
		body   []byte
		coding string
		reason string
	}{
		"plain and too long":      {big, "", wire.ReasonOversized},
		"at the limit":            {bytes.Repeat([]byte{0x10, 0x01}, 1<<19), "", ""},
		"a byte over":             {append(bytes.Repeat([]byte{0x10, 0x01}, 1<<19), 0), "", wire.ReasonOversized},
		"bomb":                    {packed(t, big, wire.ZstdWindow), wire.CodingZstd, wire.ReasonBomb},
		"bomb in many frames":     {bytes.Repeat(packed(t, fill(100_000), wire.ZstdWindow), 12), wire.CodingZstd, wire.ReasonBomb},
		"big window":              {packed(t, append(fill(300_000), noise[:500_000]...), 8<<20), wire.CodingZstd, wire.ReasonBomb},
		"long though it is zstd":  {packed(t, append(noise, noise...), wire.ZstdWindow)[:1<<20+1], wire.CodingZstd, wire.ReasonOversized},
		"not zstd":                {[]byte("hello, is there anybody?"), wire.CodingZstd, wire.ReasonMalformed},
		"zstd cut off":            {good[:len(good)-5], wire.CodingZstd, wire.ReasonMalformed},
		"zstd damaged":            {append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), wire.CodingZstd, wire.ReasonMalformed},
		"other coding":            {nil, "gzip", wire.ReasonUnknownCoding},
		"no message":              {[]byte{0xff}, "", wire.ReasonMalformed},
		"message cut off":         {[]byte{0x22, 0x05, 0x0a}, "", wire.ReasonMalformed},
		"inner message cut off":   {[]byte{0x22, 0x02, 0x0a, 0x05}, "", wire.ReasonMalformed},
		"text is not UTF-8":       {repeated(9, repeated(1, []byte{0xff}, 1), 1), "", wire.ReasonMalformed},
		"deep group":              {bytes.Repeat([]byte{0xfb, 0x07}, 20_000), "", wire.ReasonMalformed},
		"unknown field":           {repeated(1000, []byte("later"), 3), "", ""},
		"empty":                   {nil, "", ""},
		"empty zstd":              {nil, wire.CodingZstd, ""},
		"empty blocks":            {repeated(4, nil, 200_000), "", wire.ReasonOversized},
		"empty events":            {repeated(6, nil, 200_000), "", wire.ReasonOversized},
		"empty series":            {repeated(5, repeated(2, nil, 300_000), 1), "", wire.ReasonOversized},
		"empty symbols":           {repeated(5, repeated(1, nil, 300_000), 1), "", wire.ReasonOversized},
		"empty inventories":       {repeated(7, nil, 200_000), "", wire.ReasonOversized},
		"fields of one event":     {repeated(6, repeated(5, repeated(1, []byte("a"), 1), 100_000), 1), "", wire.ReasonOversized},
		"labels of one series":    {repeated(5, repeated(2, repeated(1, make([]byte, 1<<20-20), 1), 1), 1), "", wire.ReasonOversized},
		"labels in small pieces":  {repeated(5, repeated(2, repeated(1, make([]byte, 1), 300_000), 1), 1), "", wire.ReasonOversized},
		"labels one by one":       {repeated(5, repeated(2, bytes.Repeat([]byte{0x08, 0x00}, 400_000), 1), 1), "", wire.ReasonOversized},
		"values in small pieces":  {repeated(4, repeated(9, make([]byte, 8), 90_000), 1), "", wire.ReasonOversized},
		"zstd of nothing but 256": {packed(t, repeated(4, nil, 200_000), wire.ZstdWindow), wire.CodingZstd, wire.ReasonOversized},
	} {
		t.Run(name, func(t *testing.T) {
			var r wire.Report
			before := allocated()
			err := wire.Decode(bytes.NewReader(c.body), c.coding, wire.DefaultLimits(), &r)
			cost := allocated() - before
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, err)
			}
			// Everything that was ever allocated on the way to the refusal, garbage included.
			if cost > 4<<20 {
				t.Errorf("%d bytes were allocated for a body of %d", cost, len(c.body))
			}
		})
	}
}

// allocated counts the bytes ever allocated by this process.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// The reckoning of memory is true: a message that is just let through takes no more than was reckoned, and reading it
// takes at most 4 MiB at any time. The latter is measured as live bytes, message and all buffers together.
func TestDecodeCostsWhatIsReckoned(t *testing.T) {
	for name, bodyOf := range map[string]func(n int) []byte{
		"blocks":  func(n int) []byte { return repeated(4, nil, n) },
		"events":  func(n int) []byte { return repeated(6, nil, n) },
		"tables":  func(n int) []byte { return repeated(8, repeated(4, nil, n), 1) },
		"series":  func(n int) []byte { return repeated(5, repeated(2, []byte{0x0a, 2, 1, 1}, n), 1) },
		"symbols": func(n int) []byte { return repeated(5, repeated(1, []byte("x"), n), 1) },
		"fields": func(n int) []byte {
			var b []byte
			for i := range n {
				b = append(b, repeated(5, repeated(1, []byte(strconv.Itoa(i)), 1), 1)...)
			}
			return repeated(6, b, 1)
		},
		"values": func(n int) []byte { return repeated(4, repeated(9, bytes.Repeat([]byte("12345678"), n), 1), 1) },
		"pieces": func(n int) []byte { return repeated(4, repeated(9, []byte("12345678"), n), 1) },
		"labels": func(n int) []byte { return repeated(5, repeated(2, repeated(1, bytes.Repeat([]byte{1}, n), 1), 1), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			low, high := 1, 400_000 // the most elements that are let through
			for low < high {
				n := (low + high + 1) / 2
				if err := wire.Decode(bytes.NewReader(bodyOf(n)), "", wire.DefaultLimits(), &wire.Report{}); err == nil {
					low = n
				} else {
					high = n - 1
				}
			}
			body := bodyOf(low)
			limit := wire.DefaultLimits().MemoryBytes
			runtime.GC()
			runtime.GC() // empties the pools
			before := live()
			var r wire.Report
			if err := wire.Decode(bytes.NewReader(body), "", wire.DefaultLimits(), &r); err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.GC()
			if took := live() - before; took > limit {
				t.Errorf("%d elements in %d bytes take %d bytes, more than %d", low, len(body), took, limit)
			} else {
				t.Logf("%d elements in %d bytes take %d bytes: %.1f times", low, len(body), took, float64(took)/float64(len(body)))
			}
			runtime.KeepAlive(body)
			runtime.KeepAlive(&r)
		})
	}
}

// The limits fit each other: a report of as many series as are allowed, with its shapes in full, gets through.
func TestBusyHostFits(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	r := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: at.UnixMilli()}
	for i := range 10 {
		in := samples(1000, func(i int) float64 { return 1 / float64(i) })
		for j := range in {
			in[j].Labels = append(in[j].Labels, wire.Label{Name: "interface", Value: "eth" + strconv.Itoa(i)},
				wire.Label{Name: "index", Value: strconv.Itoa(1000*i + j)})
		}
		block, err := b.Block("node", strconv.Itoa(i), at, time.Second, in)
		if err != nil {
			t.Fatal(err)
		}
		shape, _ := b.Shape(block.ShapeId)
		r.Blocks, r.Shapes = append(r.Blocks, block), append(r.Shapes, shape)
	}
	body, coding, err := wire.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	var got wire.Report
	if err := wire.Decode(bytes.NewReader(body), coding, wire.DefaultLimits(), &got); err != nil {
		t.Fatalf("%d bytes: %v", len(body), err)
	}
	if err := wire.CheckReport(&got, wire.DefaultLimits()); err != nil {
		t.Fatal(err)
	}
}

func live() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A line that breaks is not a body that is wrong: nobody is to be counted as hostile for it.
func TestDecodePassesOnTheLinesErrors(t *testing.T) {
	broken := errors.New("connection reset")
	good, coding, err := wire.Encode(&wire.Report{Goodbye: &wire.Goodbye{Reason: strings.Repeat("ab", 1000)}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   []byte
		coding string
	}{"plain": {[]byte{0x10}, ""}, "zstd": {good[:20], coding}} {
		t.Run(name, func(t *testing.T) {
			err := wire.Decode(io.MultiReader(bytes.NewReader(c.body), iotest.ErrReader(broken)), c.coding,
				wire.DefaultLimits(), &wire.Report{})
			var e *wire.Error
			if !errors.Is(err, broken) || errors.As(err, &e) {
				t.Errorf("error %v (%T), want the line's own", err, err)
			}
		})
	}
}

func TestDecodeConcurrently(t *testing.T) {
	want := fullReport()
	want.Goodbye.Reason = strings.Repeat("long enough to be packed ", 100)
	t.Run("group", func(t *testing.T) {
		for range 4 {
			t.Run("one", func(t *testing.T) {
				t.Parallel()
				for range 50 {
					body, coding, err := wire.Encode(want)
					if err != nil {
						t.Fatal(err)
					}
					var got wire.Report
					if err := wire.Decode(bytes.NewReader(body), coding, wire.DefaultLimits(), &got); err != nil {
						t.Fatal(err)
					}
					if !proto.Equal(&got, want) {
						t.Fatal("decoded something else")
					}
				}
			})
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	in := samples(200, func(i int) float64 { return float64(random.IntN(1 << 30)) })
	block := build(b, wire.NewBuilder(wire.DefaultLimits()), in)
	r := &wire.Report{Epoch: 1, Sequence: 1, MadeAtMs: at.UnixMilli(), Blocks: []*wire.Block{block}}
	body, coding, err := wire.Encode(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(body)), "bytes")
		for b.Loop() {
			if _, _, err := wire.Encode(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var got wire.Report
			if err := wire.Decode(bytes.NewReader(body), coding, wire.DefaultLimits(), &got); err != nil {
				b.Fatal(err)
			}
			if err := wire.CheckReport(&got, wire.DefaultLimits()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
