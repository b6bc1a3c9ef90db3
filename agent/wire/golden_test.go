package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/watchbill/watchbill/agent/wire"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

func inventory() *wire.Inventory {
	return &wire.Inventory{
		Hostname: "web-1", Os: "linux", OsVersion: "Debian 12", Kernel: "6.1.0", Architecture: "amd64",
		MachineId: "0123456789abcdef", BootId: "fedcba9876543210", BootedAtMs: 1_789_000_000_000, AgentVersion: "0.1.0",
		Cpus: 8, MemoryBytes: 16 << 30, Addresses: []string{"192.0.2.7", "2001:db8::7"}, Zone: "Europe/London",
	}
}

// fullReport has every field of the protocol set.
func fullReport() *wire.Report {
	shape := shapeOf(named("node_load1"), named("node_memory_bytes", "kind", "free"))
	id := wire.ShapeID([][]wire.Label{
		{{Name: "__name__", Value: "node_load1"}},
		{{Name: "__name__", Value: "node_memory_bytes"}, {Name: "kind", Value: "free"}},
	})
	ms := at.UnixMilli()
	return &wire.Report{
		Epoch: 1_790_000_000_000_000_001, Sequence: 7, MadeAtMs: ms, HeldSinceMs: ms - 60_000,
		Blocks: []*wire.Block{
			{
				Kind: "node", Source: "load", SampledAtMs: ms, IntervalMs: 15_000, Status: wire.Block_STATUS_OK,
				ShapeId: id[:], Values: []float64{0.25, math.Copysign(0, -1)},
			},
			{
				Kind: "snmp", Source: "if_mib", Device: "switch-1", SampledAtMs: ms, IntervalMs: 60_000,
				Status: wire.Block_STATUS_FAILED, Reason: "no answer within 5s",
			},
			{
				Kind: "node", Source: "uname", SampledAtMs: ms, IntervalMs: 3_600_000, ShapeId: id[:],
				Status: wire.Block_STATUS_UNCHANGED,
			},
		},
		Shapes: []*wire.Shape{shape},
		Events: []*wire.Event{{
			Id: 3, Kind: "unit_failed", AtMs: ms, Text: "nginx.service failed with status 1",
			Fields: map[string]string{"unit": "nginx.service", "status": "1"},
		}},
		Inventory: inventory(),
		Tables: []*wire.Table{
			{
				Kind: "processes", SampledAtMs: ms, Columns: []string{"pid", "name"},
				Rows: []*wire.Row{{Cells: []string{"1", "systemd"}}, {Cells: []string{"77", "nginx"}}},
			},
			{Kind: "failed_units", SampledAtMs: ms, NoneBecause: "no systemd"},
		},
		Goodbye: &wire.Goodbye{Reason: "stopped by the service manager"},
		Bundles: []*wire.Bundle{{
			Request: &wire.BundleRequest{Name: "disk_usage", Argument: "/var"},
			Table: &wire.Table{
				Kind: "disk_usage", SampledAtMs: ms, Columns: []string{"size", "path"},
				Rows: []*wire.Row{{Cells: []string{"1.5 GiB", "/var/log"}}},
			},
		}},
	}
}

func messages() map[string]proto.Message {
	return map[string]proto.Message{
		"report": fullReport(),
		"hello":  &wire.Hello{AgentVersion: "0.1.0"},
		"ack": &wire.Ack{
			Result: wire.Ack_RESULT_NEED_SHAPES, Epoch: 5, Sequence: 7, UnknownShapes: [][]byte{make([]byte, 32)},
			Error: "shape is not known", Refusals: []*wire.Refusal{{Block: 2, Reason: "quota", Error: "too many series"}},
			NowMs: at.UnixMilli(), Incarnation: 4, KeepSeconds: 86_400, ReplaySinceMs: at.UnixMilli() - 1, RetryAfterMs: 500,
			ReturnSpreadMs: 20_000, Customer: "acme", Site: "london", Asset: "web-1",
			Bundles: []*wire.BundleRequest{{Name: "logs", Argument: "nginx.service"}},
		},
		"ack_v1": ackV1(),
		"enrol":  &wire.Enrol{Token: "secret", Csr: []byte{0x30, 0x03, 1, 2, 3}, Inventory: inventory()},
		"enrolled": &wire.Enrolled{
			Certificates: [][]byte{{1, 2}, {3}}, Authorities: [][]byte{{4}}, Customer: "acme", Site: "london", Asset: "web-1",
			RenewAtMs: at.UnixMilli(), Error: "none",
		},
	}
}

// ackV1 has every field that version 1 brought.
func ackV1() *wire.Ack {
	return &wire.Ack{
		Result: wire.Ack_RESULT_NEED_SHAPES, Epoch: 5, Sequence: 7, InFull: true, Credits: 64, Disposed: 3, Refused: 1,
		Refusals: []*wire.Refusal{{Block: 2, Reason: "quota", Error: "too many series", Report: 1}},
	}
}

// reportsV1 are three reports that lean on each other: everything is in the first, the second has other values, in the
// third a block is unchanged, one failed and one is not there.
func reportsV1() []*wire.Report {
	first := fullReport()
	first.Blocks[2].ShapeId = nil
	first.ShapeChanges = []*wire.ShapeChange{{Base: first.Blocks[0].ShapeId, Removed: []uint32{1}, Added: shapeOf(named("node_load5"))}}
	first.Blocks[0].ShapeId = bytes.Repeat([]byte{7}, 32)
	first.Blocks[0].Values = []float64{
		0, math.Copysign(0, -1), 0, 0, 1, 8192, -3, 12.34, 0.125, 7.5, -1e-9, 1.0 / 3, 1e300, math.Inf(-1),
		math.Float64frombits(0x7ff0000000000002), 1e18, 4096e15,
	}
	second := proto.CloneOf(first)
	second.Shapes, second.ShapeChanges, second.Events, second.Tables, second.Inventory, second.Goodbye = nil, nil, nil, nil, nil, nil
	second.Bundles = nil
	second.Sequence, second.MadeAtMs = 8, first.MadeAtMs+15_000
	for _, b := range second.Blocks {
		b.SampledAtMs += 15_003
	}
	second.Blocks[0].Values = []float64{
		0, math.Copysign(0, -1), 1, 0, 1, 12288, -4, 13, 0.125, 7.625, -1e-9, 2.0 / 3, 1e300, math.Inf(1),
		math.Float64frombits(0x7ff0000000000002), 1e18 + 1024, 4096e15 - 4096,
	}
	third := proto.CloneOf(second)
	third.Sequence, third.MadeAtMs = 9, second.MadeAtMs+15_000
	third.Blocks = third.Blocks[:2]
	for _, b := range third.Blocks {
		b.SampledAtMs += 14_998
	}
	return []*wire.Report{first, second, third}
}

// bodiesV1 are the bodies of version 1 by name, and what reads one back.
func bodiesV1(t *testing.T) (bodies map[string][]byte, read map[string]func(t *testing.T, body []byte) []*wire.Report) {
	t.Helper()
	max := wire.DefaultLimits()
	e := wire.NewEncoder(max)
	bodies = map[string][]byte{}
	r := reportsV1()
	for i, name := range []string{"report_v1_key", "report_v1_known", "report_v1_unchanged"} {
		if i == 2 {
			r[2].Blocks[0].Values = r[1].Blocks[0].Values
		}
		bodies[name] = plain(t)(e.Encode(r[i]))
		e.Accepted(r[i], accepted(r[i]))
	}
	bulk := wire.NewBulkEncoder(max)
	for _, r := range r {
		if ok, err := bulk.Add(r); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	bodies["bulk_v1"] = plain(t)(bulk.Body())
	known := &wire.Outlines{}
	one := func(t *testing.T, body []byte) []*wire.Report {
		d := wire.NewDecoder()
		defer d.Release()
		if _, err := d.Report(bytes.NewReader(bodies["report_v1_key"]), "", max, known); err != nil {
			t.Fatal(err)
		}
		got, err := d.Report(bytes.NewReader(body), "", max, known)
		if err != nil {
			t.Fatal(err)
		}
		return []*wire.Report{proto.CloneOf(got)}
	}
	return bodies, map[string]func(*testing.T, []byte) []*wire.Report{
		"report_v1_key": one, "report_v1_known": one, "report_v1_unchanged": one, "bulk_v1": func(t *testing.T, body []byte) []*wire.Report {
			return readBulk(t, body, "", max)
		},
	}
}

// plain undoes an encoder's compression, whose bytes are no promise.
func plain(t testing.TB) func([]byte, string, error) []byte {
	return func(body []byte, coding string, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if coding == "" {
			return body
		}
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		body, err = d.DecodeAll(body, nil)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
}

func readBulk(t testing.TB, body []byte, coding string, max wire.Limits) (all []*wire.Report) {
	t.Helper()
	d := wire.NewDecoder()
	defer d.Release()
	if err := d.Bulk(bytes.NewReader(body), coding, max); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, proto.CloneOf(r))
	}
}

// The same promise for version 1, whose bodies no general tool writes.
func TestGoldenV1(t *testing.T) {
	bodies, read := bodiesV1(t)
	r := reportsV1()
	r[2].Blocks[0].Status, r[2].Blocks[0].SameAsMs = wire.Block_STATUS_UNCHANGED, r[1].Blocks[0].SampledAtMs
	r[2].Blocks[0].Values, r[2].Blocks[0].ShapeId = nil, nil
	bulk := reportsV1()
	for name, want := range map[string][]*wire.Report{
		"report_v1_key": r[:1], "report_v1_known": r[1:2], "report_v1_unchanged": r[2:], "bulk_v1": bulk,
	} {
		t.Run(name, func(t *testing.T) {
			golden := goldenBytes(t, name, bodies[name])
			if !bytes.Equal(golden, bodies[name]) {
				t.Errorf("encoding changed:\n%swant\n%s", hexLines(bodies[name]), hexLines(golden))
			}
			got := read[name](t, golden)
			if len(got) != len(want) {
				t.Fatalf("%d reports, want %d", len(got), len(want))
			}
			for i := range got {
				if !sameReport(got[i], want[i]) {
					t.Errorf("reads as\n%v\nwant\n%v", got[i], want[i])
				}
			}
		})
	}
}

// goldenBytes is what the file holds; -update makes it hold now.
func goldenBytes(t *testing.T, name string, now []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(hexLines(now)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return golden
}

// sameReport compares values by their bits, which proto.Equal does not.
func sameReport(a, b *wire.Report) bool {
	if len(a.Blocks) != len(b.Blocks) {
		return false
	}
	bits := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	for i := range a.Blocks {
		if !slices.EqualFunc(a.Blocks[i].Values, b.Blocks[i].Values, bits) {
			return false
		}
	}
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Packed, b.Packed = nil, nil
	for i := range a.Blocks {
		a.Blocks[i].Values, b.Blocks[i].Values = nil, nil
	}
	return proto.Equal(a, b)
}

// What released agents and collectors send must stay readable: a change of these files is a change of the protocol.
func TestGolden(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			golden := goldenBytes(t, name, plain)
			if !bytes.Equal(golden, plain) {
				t.Errorf("encoding changed:\n%swant\n%s", hexLines(plain), hexLines(golden))
			}
			got := m.ProtoReflect().New().Interface()
			if err := wire.Decode(strings.NewReader(string(golden)), "", wire.DefaultLimits(), got); err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !proto.Equal(got, m) {
				t.Errorf("reads as\n%v\nwant\n%v", got, m)
			}
		})
	}
	if err := wire.CheckReport(fullReport(), wire.DefaultLimits()); err != nil {
		t.Errorf("the golden report does not pass the check: %v", err)
	}
}

// Every field is set in some golden message, so that none can change unseen. Those of version 1 that are packed are in
// reportsV1.
func TestGoldenIsComplete(t *testing.T) {
	all := map[protoreflect.FullName][]proto.Message{}
	for _, m := range []proto.Message{
		fullReport(), inventory(), messages()["enrol"], messages()["enrolled"], messages()["ack"], ackV1(),
		fullReport().Events[0], ackV1().Refusals[0], &wire.Report{ShapeChanges: reportsV1()[0].ShapeChanges, Packed: []byte{1}},
		reportsV1()[0].ShapeChanges[0],
	} {
		name := m.ProtoReflect().Descriptor().FullName()
		all[name] = append(all[name], m)
	}
	for _, same := range all {
		fields := same[0].ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if !slices.ContainsFunc(same, func(m proto.Message) bool { return m.ProtoReflect().Has(fields.Get(i)) }) {
				t.Errorf("%s is not set", fields.Get(i).FullName())
			}
		}
	}
}

func hexLines(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		out.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return out.String()
}
