package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/watchbill/watchbill/agent/wire"
)

// drawReports are reports of one agent over time: blocks come and go, fail, change their shape; values are of every
// kind, and many are as they were.
func drawReports(t *rapid.T) []*wire.Report {
	value := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-5, 300).Draw(t, "small")) }),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.Int64().Draw(t, "integer")) }),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.Int64Range(-1, 1<<40).Draw(t, "page")) * 4096 }),
		rapid.Custom(func(t *rapid.T) float64 {
			return float64(rapid.Int64Range(-1e9, 1e15).Draw(t, "mantissa")) / math.Pow10(rapid.IntRange(0, 17).Draw(t, "exponent"))
		}),
		rapid.Custom(func(t *rapid.T) float64 { return math.Float64frombits(rapid.Uint64().Draw(t, "bits")) }),
		rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff0000000000002),
			math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1<<53 + 2, 1 << 60, 1 << 62, -(1 << 60), 1e15, 0.1, 1e-15,
		}),
	)
	sizes := rapid.SliceOfN(rapid.IntRange(0, 30), 1, 5).Draw(t, "sizes")
	now := map[int][]float64{}
	var all []*wire.Report
	for n := range rapid.IntRange(1, 6).Draw(t, "reports") {
		r := &wire.Report{Epoch: 7, Sequence: uint64(n + 1), MadeAtMs: at.UnixMilli() + int64(n)*15_000}
		for i, size := range sizes {
			b := &wire.Block{
				Kind: "node", Source: strings.Repeat("s", i+1), SampledAtMs: r.MadeAtMs + rapid.Int64Range(-3, 4000).Draw(t, "after"),
				IntervalMs: 15_000, Status: wire.Block_STATUS_OK,
			}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				continue // not there
			case 1:
				b.Status, b.Reason = wire.Block_STATUS_FAILED, "no"
			case 2:
				b.Status = wire.Block_STATUS_UNCHANGED
			case 3:
				size += rapid.IntRange(0, 2).Draw(t, "grown")
			}
			if b.Status == wire.Block_STATUS_OK {
				v := slices.Clone(now[i])
				for len(v) < size {
					v = append(v, value.Draw(t, "value"))
				}
				for j := range v {
					if rapid.IntRange(0, 4).Draw(t, "change") == 0 {
						v[j] = value.Draw(t, "value")
					}
				}
				now[i], b.Values, b.ShapeId = v, v, bytes.Repeat([]byte{byte(len(v))}, 32)
			}
			r.Blocks = append(r.Blocks, b)
		}
		all = append(all, r)
	}
	return all
}

// Live: what an agent reports is what the collector reads, bit for bit, whatever was acknowledged before; unchanged
// blocks name the block whose values they have.
func TestLiveRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		max := wire.DefaultLimits()
		e, known, d := wire.NewEncoder(max), &wire.Outlines{}, wire.NewDecoder()
		defer d.Release()
		type block struct {
			source string
			at     int64
		}
		taken := map[block]*wire.Block{}
		for _, r := range drawReports(t) {
			if rapid.IntRange(0, 5).Draw(t, "restart") == 0 {
				known, taken = &wire.Outlines{}, map[block]*wire.Block{} // the collector has forgotten
			}
			before := proto.CloneOf(r)
			got, err := liveOnce(t, e, d, known, r)
			leans := func(b *wire.Block) bool { return b.SameAsMs != 0 && taken[block{b.Source, b.SameAsMs}] == nil }
			if errors.Is(err, wire.ErrInFull) || slices.ContainsFunc(got.GetBlocks(), leans) { // it has forgotten
				if got.Epoch != r.Epoch || got.Sequence != r.Sequence {
					t.Fatalf("the report to be sent in full is named %d of %d", got.Sequence, got.Epoch)
				}
				e.Forget()
				got, err = liveOnce(t, e, d, known, r)
			}
			if err != nil {
				t.Fatal(err)
			}
			whole := proto.CloneOf(got)
			for _, b := range whole.Blocks {
				if b.SameAsMs == 0 {
					continue
				}
				base := taken[block{b.Source, b.SameAsMs}]
				if base == nil {
					t.Fatalf("block %s leans on %d, which was never taken", b.Source, b.SameAsMs)
				}
				b.Status, b.SameAsMs, b.Values, b.ShapeId = wire.Block_STATUS_OK, 0, base.Values, base.ShapeId
			}
			if !sameReport(whole, before) {
				t.Fatalf("got\n%v\nwant\n%v", whole, before)
			}
			if !sameReport(r, before) {
				t.Fatal("the encoder changed the report")
			}
			if rapid.Bool().Draw(t, "accepted") {
				e.Accepted(r, accepted(r))
				for _, b := range whole.Blocks {
					taken[block{b.Source, b.SampledAtMs}] = b
				}
			}
		}
	})
}

func liveOnce(t *rapid.T, e *wire.Encoder, d *wire.Decoder, known *wire.Outlines, r *wire.Report) (*wire.Report, error) {
	t.Helper()
	body, coding, err := e.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return d.Report(bytes.NewReader(body), coding, wire.DefaultLimits(), known)
}

func TestBulkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reports := drawReports(t)
		e := wire.NewBulkEncoder(wire.DefaultLimits())
		for _, r := range reports {
			if ok, err := e.Add(r); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		body, coding, err := e.Body()
		if err != nil {
			t.Fatal(err)
		}
		d := wire.NewDecoder()
		defer d.Release()
		if err := d.Bulk(bytes.NewReader(body), coding, wire.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		for _, want := range reports {
			got, err := d.Next()
			if err != nil || !sameReport(got, want) {
				t.Fatalf("%v: got\n%v\nwant\n%v", err, got, want)
			}
		}
		if _, err := d.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("behind the last: %v", err)
		}
	})
}

// Framed: as the spool keeps reports.
func TestFramedRoundTrip(t *testing.T) {
	none := func(wire.OutlineID) bool { return false }
	rapid.Check(t, func(t *rapid.T) {
		max := wire.DefaultLimits()
		var last, key *wire.Frame
		for _, want := range drawReports(t) {
			name := wire.Name{Epoch: want.Epoch, Sequence: want.Sequence, MadeAtMs: want.MadeAtMs}
			if last != nil {
				if body, coding, ok, err := last.Encode(want, max); err != nil {
					t.Fatal(err)
				} else if ok {
					got, _, err := wire.DecodeFramed(body, coding, name, key, nil, max)
					if err != nil || !sameReport(got, want) {
						t.Fatalf("%v: got\n%v\nwant\n%v", err, got, want)
					}
					continue
				}
			}
			body, coding, f, whole, err := wire.EncodeKey(want, last, none, max)
			if err != nil || !whole {
				t.Fatal(whole, err)
			}
			got, read, err := wire.DecodeFramed(body, coding, name, nil, nil, max)
			if err != nil || !sameReport(got, want) {
				t.Fatalf("%v: got\n%v\nwant\n%v", err, got, want)
			}
			if !bytes.Equal(f.Append(nil, true), read.Append(nil, true)) {
				t.Fatal("writer and reader have different frames")
			}
			if key, err = wire.ReadFrame(f.Append(nil, true), nil, max); err != nil || key.Outline() != f.Outline() {
				t.Fatal(err)
			}
			find := func(wire.OutlineID) (*wire.Frame, bool) { return read, true }
			if named, err := wire.ReadFrame(f.Append(nil, false), find, max); err != nil || !bytes.Equal(named.Append(nil, true), f.Append(nil, true)) {
				t.Fatal(err)
			}
			last = f
		}
	})
}

// reportV1 is a body whose packed blocks are these bytes.
func reportV1(packed ...byte) []byte {
	b := []byte{0x08, 1, 0x10, 1}
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(at.UnixMilli()))
	return protowire.AppendBytes(protowire.AppendTag(b, 11, protowire.BytesType), packed)
}

// heads is an outline of n blocks of series each, as told in a key.
func heads(n int, series uint64) []byte {
	b := binary.AppendUvarint([]byte{1}, uint64(n))
	for i := range n {
		b = append(b, 1, 'k', 2, byte('a'+i/26), byte('a'+i%26), 0, 5)
		if b = binary.AppendUvarint(b, series+1); series > 0 {
			b = append(b, make([]byte, 32)...)
		} else {
			b[len(b)-1] = 0
		}
	}
	return b
}

func TestDecoderRefuses(t *testing.T) {
	cat := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	one := heads(1, 3)
	for name, c := range map[string]struct {
		body   []byte
		reason string
	}{
		"fine":                     {reportV1(cat(one, []byte{1, 8, 16, 24})...), ""},
		"nothing packed":           {reportV1()[:len(reportV1())-2], ""},
		"empty":                    {reportV1(), wire.ReasonMalformed},
		"kind of block":            {reportV1(9), wire.ReasonMalformed},
		"difference to nothing":    {reportV1(3, 1), wire.ReasonMalformed},
		"outline cut off":          {reportV1(one[:20]...), wire.ReasonMalformed},
		"outline's ID cut off":     {reportV1(2, 1, 2, 3), wire.ReasonMalformed},
		"no states":                {reportV1(one...), wire.ReasonMalformed},
		"too few values":           {reportV1(cat(one, []byte{1, 8, 16})...), wire.ReasonMalformed},
		"too many values":          {reportV1(cat(one, []byte{1, 8, 16, 24, 32})...), wire.ReasonMalformed},
		"run past the end":         {reportV1(cat(one, []byte{1, 8, 3<<3 | 7})...), wire.ReasonMalformed},
		"endless run":              {reportV1(cat(one, []byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})...), wire.ReasonMalformed},
		"endless varint":           {reportV1(cat(one, bytes.Repeat([]byte{0xff}, 12))...), wire.ReasonMalformed},
		"raw value cut off":        {reportV1(cat(one, []byte{1, 8, 16, 7, 1, 2, 3})...), wire.ReasonMalformed},
		"run of no blocks":         {reportV1(cat(one, []byte{0, 1, 8, 16, 24})...), wire.ReasonMalformed},
		"states past the end":      {reportV1(cat(one, []byte{2 << 3})...), wire.ReasonMalformed},
		"status of another":        {reportV1(cat(heads(1, 0), []byte{1})...), wire.ReasonMalformed},
		"time before 1970":         {reportV1(append(cat(one, binary.AppendUvarint(nil, uint64(1)<<62|1)), 8, 16, 24)...), wire.ReasonBadTime},
		"failed without reason":    {reportV1(cat(one, []byte{2, 0})...), wire.ReasonMalformed},
		"reason cut off":           {reportV1(cat(one, []byte{2, 9, 'x'})...), wire.ReasonMalformed},
		"same as now":              {reportV1(cat(one, []byte{3, 0})...), ""},
		"same as long ago":         {reportV1(cat(one, binary.AppendUvarint([]byte{3}, uint64(at.UnixMilli())))...), wire.ReasonMalformed},
		"same as before time":      {reportV1(cat(one, binary.AppendUvarint([]byte{3}, math.MaxUint64))...), wire.ReasonMalformed},
		"block twice":              {reportV1(cat([]byte{1, 2}, heads(1, 0)[2:], heads(1, 0)[2:], []byte{2 << 3})...), wire.ReasonDuplicateBlock},
		"head without a kind":      {reportV1(1, 1, 0, 1, 's', 0, 5, 0, 1<<3), wire.ReasonMalformed},
		"head without an interval": {reportV1(1, 1, 1, 'k', 1, 's', 0, 0, 0, 1<<3), wire.ReasonBadTime},
		"control character":        {reportV1(1, 1, 1, 'k', 1, '\n', 0, 5, 0, 1<<3), wire.ReasonBadText},
		"many blocks":              {reportV1(cat(heads(257, 0), []byte{0x88, 0x10})...), wire.ReasonOversized},
		"blocks without end":       {reportV1(binary.AppendUvarint([]byte{1}, math.MaxUint64)...), wire.ReasonOversized},
		"many series in a block":   {reportV1(heads(1, 10_001)...), wire.ReasonOversized},
		"series without end":       {reportV1(heads(1, math.MaxUint64-1)...), wire.ReasonOversized},
		"many series":              {reportV1(heads(2, 5_001)...), wire.ReasonOversized},
		"blocks of version 0":      {append(reportV1(), 0x22, 0), wire.ReasonMalformed},
		"events by the thousand":   {append(reportV1(), repeated(6, nil, 100_000)...), wire.ReasonOversized},
		"shapes by change":         {append(reportV1(cat(one, []byte{1, 8, 16, 24})...), repeated(12, nil, 257)...), wire.ReasonOversized},
		"no epoch":                 {reportV1(cat(one, []byte{1, 8, 16, 24})...)[2:], wire.ReasonMalformed},
		"other field":              {append(reportV1(cat(one, []byte{1, 8, 16, 24})...), 0xfa, 0x3f, 1, 'x'), ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := wire.NewDecoder()
			defer d.Release()
			before := allocated()
			r, err := d.Report(bytes.NewReader(c.body), "", wire.DefaultLimits(), &wire.Outlines{})
			cost := allocated() - before
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("reason %q, want %q (%v)", got, c.reason, err)
			}
			if err == nil && r.Sequence != 1 {
				t.Errorf("read %v", r)
			}
			if cost > 4<<20 {
				t.Errorf("%d bytes were allocated for a body of %d", cost, len(c.body))
			}
		})
	}
}

// A few bytes cannot become many reports, nor many samples, nor much memory.
func TestBulkBombs(t *testing.T) {
	key := heads(1, 10_000)
	key = append(key, 1, 0x87, 0xf1, 0x04) // ok, and 10,000 zeros: a run token
	key = append(key[:len(key)-3], binary.AppendUvarint(nil, 10_000<<3|7)...)
	field := func(body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), body)
	}
	delta := append([]byte{3, 1}, binary.AppendUvarint(nil, (10_000-3)<<2|3)...) // ok, all values as before
	small := func(n int) []byte {
		return slices.Concat(field(reportV1(key...)), bytes.Repeat(field(reportV1(delta...)), n-1))
	}
	tiny := slices.Concat(field(reportV1(heads(0, 0)...)), bytes.Repeat(field(reportV1(3)), 10_000))
	for name, c := range map[string]struct {
		body   []byte
		reads  int
		limits string
	}{
		"within":       {small(100), 100, ""},
		"many samples": {small(250), 100, "limits.bulk_samples"},
		"many reports": {tiny, 256, "limits.bulk_reports"},
		"other keys":   {bytes.Repeat(field(reportV1(key...)), 250), 100, "limits.bulk_samples"},
	} {
		t.Run(name, func(t *testing.T) {
			d := wire.NewDecoder()
			defer d.Release()
			before := allocated()
			if err := d.Bulk(bytes.NewReader(packed(t, c.body, wire.ZstdWindow)), wire.CodingZstd, wire.DefaultLimits()); err != nil {
				t.Fatal(err)
			}
			for n := 0; ; n++ {
				_, err := d.Next()
				if err == nil {
					continue
				}
				if n != c.reads || c.limits == "" != errors.Is(err, io.EOF) || !strings.Contains(err.Error(), c.limits) {
					t.Errorf("%d reports, then %v; want %d, then %q", n, err, c.reads, c.limits)
				}
				if _, again := d.Next(); !errors.Is(again, io.EOF) {
					t.Errorf("after an error there was more: %v", again)
				}
				break
			}
			// Garbage included: a key's outline and frame are made anew for every key.
			if cost := allocated() - before; cost > 24<<20 {
				t.Errorf("%d bytes were allocated for a body of %d", cost, len(c.body))
			}
		})
	}
}

// What a decoder gave out is its own: the next report takes its place, and what may be kept stays.
func TestDecoderReusesItsMemory(t *testing.T) {
	reports, _ := hostReports(t)
	max, known := wire.DefaultLimits(), &wire.Outlines{}
	e, d := wire.NewEncoder(max), wire.NewDecoder()
	defer d.Release()
	var sources []string
	var ids [][]byte
	for i, want := range reports {
		body, coding, err := e.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		e.Accepted(want, &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Refusals: refuseAll(want)})
		got, err := d.Report(bytes.NewReader(body), coding, max, known)
		if err != nil || !sameReport(got, want) {
			t.Fatalf("report %d: %v", i, err)
		}
		if i == 0 {
			for _, b := range got.Blocks {
				sources, ids = append(sources, b.Source), append(ids, b.ShapeId)
			}
		}
		if i == 1 {
			in := bytes.NewReader(nil)
			if n := testing.AllocsPerRun(50, func() {
				in.Reset(body)
				if _, err := d.Report(in, coding, max, known); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%v allocations for a report of a known outline", n)
			}
		}
	}
	for i, b := range reports[0].Blocks {
		if sources[i] != b.Source || !bytes.Equal(ids[i], b.ShapeId) {
			t.Errorf("source or shape of block %d was overwritten: %q, %x", i, sources[i], ids[i])
		}
	}
}

func refuseAll(r *wire.Report) (all []*wire.Refusal) {
	for i := range r.Blocks {
		all = append(all, &wire.Refusal{Block: uint32(i)})
	}
	return all
}

// Slow samplers come and go without a new outline each time.
func TestOutlinesAreFew(t *testing.T) {
	reports, _ := hostReports(t)
	max, known := wire.DefaultLimits(), &wire.Outlines{}
	e, d := wire.NewEncoder(max), wire.NewDecoder()
	defer d.Release()
	big := 0
	for n := range 40 {
		r := proto.CloneOf(reports[n%len(reports)])
		r.Sequence = uint64(n + 1)
		if n%7 != 0 { // these are read seldom
			r.Blocks = slices.DeleteFunc(r.Blocks, func(b *wire.Block) bool { return b.Source == "uname" || b.Source == "meminfo" })
		}
		if n%11 == 3 {
			b := r.Blocks[2]
			b.Status, b.Reason, b.Values, b.ShapeId = wire.Block_STATUS_FAILED, "no", nil, nil
		}
		body, coding, err := e.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 600 {
			big++
		}
		got, err := d.Report(bytes.NewReader(body), coding, max, known)
		if err != nil || len(got.Blocks) != len(r.Blocks) {
			t.Fatalf("report %d: %v", n, err)
		}
		e.Accepted(r, &wire.Ack{Result: wire.Ack_RESULT_ACCEPTED, Refusals: refuseAll(r)})
	}
	if big != 1 {
		t.Errorf("%d reports told an outline, want the first", big)
	}
}
