package wire_test

import (
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

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
		"enrol": &wire.Enrol{Token: "secret", Csr: []byte{0x30, 0x03, 1, 2, 3}, Inventory: inventory()},
		"enrolled": &wire.Enrolled{
			Certificates: [][]byte{{1, 2}, {3}}, Authorities: [][]byte{{4}}, Customer: "acme", Site: "london", Asset: "web-1",
			RenewAtMs: at.UnixMilli(), Error: "none",
		},
	}
}

// What released agents and collectors send must stay readable: a change of these files is a change of the protocol.
func TestGolden(t *testing.T) {
	for name, m := range messages() {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".golden")
			plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(path, []byte(hexLines(plain)), 0o600); err != nil {
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
			if got := hexLines(plain); got != string(text) {
				t.Errorf("encoding changed:\n%swant\n%s", got, text)
			}
			got := m.ProtoReflect().New().Interface()
			if err := wire.Decode(strings.NewReader(string(golden)), "", wire.DefaultLimits(), got); err != nil {
				t.Fatalf("decode %s: %v", path, err)
			}
			if !proto.Equal(got, m) {
				t.Errorf("%s reads as\n%v\nwant\n%v", path, got, m)
			}
		})
	}
	if err := wire.CheckReport(fullReport(), wire.DefaultLimits()); err != nil {
		t.Errorf("the golden report does not pass the check: %v", err)
	}
}

// Every field is set in some golden message, so that none can change unseen.
func TestGoldenIsComplete(t *testing.T) {
	ack := messages()["ack"].ProtoReflect()
	for _, m := range []proto.Message{
		fullReport(), inventory(), messages()["enrol"], messages()["enrolled"], ack.Interface(), fullReport().Events[0],
		fullReport().Bundles[0], fullReport().Bundles[0].Request,
	} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			if !m.ProtoReflect().Has(fields.Get(i)) {
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
