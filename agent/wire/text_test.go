package wire_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/agent/wire"
)

func TestWriteText(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	hard := "back\\slash \"quote\"\nline\ttab ü"
	memory := build(t, b, []wire.Sample{
		{Name: "node_memory_free_bytes", Value: 1e21},
		{Name: "node_reads_total", Labels: []wire.Label{{Name: "device", Value: "sda"}}, Value: math.NaN()},
		{Name: "node_reads_total", Labels: []wire.Label{{Name: "device", Value: hard}, {Name: "a", Value: "1"}}, Value: -0.5},
	})
	other, err := b.Block("node", "other", at, time.Second, []wire.Sample{
		{Name: "node_reads_total", Labels: []wire.Label{{Name: "device", Value: "zz"}}, Value: math.Inf(1)},
		{Name: "node_load1", Value: math.Inf(-1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed := wire.FailedBlock("node", "cpu", at, time.Second, errors.New("no such file\nnode_forged 1"))
	var out bytes.Buffer
	if err := wire.WriteText(&out, []*wire.Block{memory, failed, other}, b.Shape); err != nil {
		t.Fatal(err)
	}
	const want = `# source cpu: failed: no such file node_forged 1
# TYPE node_load1 gauge
node_load1 -Inf
# TYPE node_memory_free_bytes gauge
node_memory_free_bytes 1e+21
# TYPE node_reads_total counter
node_reads_total{a="1",device="back\\slash \"quote\"\nline	tab ü"} -0.5
node_reads_total{device="sda"} NaN
node_reads_total{device="zz"} +Inf
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}

	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(out.String()))
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v", err)
	}
	reads := families["node_reads_total"]
	if len(families) != 3 || reads.GetType() != dto.MetricType_COUNTER || len(reads.GetMetric()) != 3 {
		t.Fatalf("Prometheus reads %d families, and of node_reads_total: %v", len(families), reads)
	}
	if got := reads.GetMetric()[0].GetLabel()[1].GetValue(); got != hard {
		t.Errorf("label reads as %q, want %q", got, hard)
	}
	if !math.IsNaN(reads.GetMetric()[1].GetCounter().GetValue()) || families["node_load1"].GetMetric()[0].GetGauge().GetValue() != math.Inf(-1) {
		t.Error("values read as something else")
	}
}

func TestWriteTextFails(t *testing.T) {
	b := wire.NewBuilder(wire.DefaultLimits())
	block := build(t, b, []wire.Sample{{Name: "m"}})
	none := func([]byte) (*wire.Shape, bool) { return nil, false }
	if err := wire.WriteText(&bytes.Buffer{}, []*wire.Block{block}, none); err == nil || !strings.Contains(err.Error(), "test") {
		t.Errorf("unknown shape: error %v, want one that names the block", err)
	}
	block.Values = nil
	if err := wire.WriteText(&bytes.Buffer{}, []*wire.Block{block}, b.Shape); err == nil {
		t.Error("values do not fit the shape, and nobody said so")
	}
	block.Values = []float64{1}
	full := errors.New("pipe is closed")
	if err := wire.WriteText(failWriter{full}, []*wire.Block{block}, b.Shape); !errors.Is(err, full) {
		t.Errorf("error %v, want the writer's", err)
	}
}

type failWriter struct{ err error }

func (w failWriter) Write([]byte) (int, error) { return 0, w.err }
