package agent

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/watchbill/watchbill/agent/sample"
	"github.com/watchbill/watchbill/agent/wire"
)

func TestOncePrintsPrometheusText(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir = t.TempDir()
	o := Options{Sources: []sample.Source{
		{Name: "load", Kind: "node", Sampler: samples(wire.Sample{Name: "node_load1", Value: 0.5})},
		{Name: "broken", Kind: "node", Sampler: sampler(func(context.Context, time.Time) (sample.Reading, error) {
			return sample.Reading{}, errors.New("first line\nsecond line")
		})},
		{Name: "sessions", Sampler: sampler(func(_ context.Context, now time.Time) (sample.Reading, error) {
			return sample.Reading{Tables: []*wire.Table{
				{Kind: "sessions", SampledAtMs: now.UnixMilli(), Columns: []string{"user", "from"}, Rows: []*wire.Row{{Cells: []string{"eve\x1b[2J\nnode_load1 99", "10.0.0.1"}}}},
				{Kind: "failed_units", SampledAtMs: now.UnixMilli(), NoneBecause: "systemd is not PID 1"},
			}}, nil
		})},
	}}
	var out bytes.Buffer
	if err := Once(t.Context(), cfg, o, &out, true); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if len(families) != 1 || families["node_load1"].Metric[0].Gauge.GetValue() != 0.5 {
		t.Errorf("families %v", families)
	}
	for _, s := range []string{"# source broken: failed: first line second line", "# table sessions at ", "# user", "10.0.0.1", "# none, because systemd is not PID 1"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("output lacks %q:\n%s", s, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("an escape sequence of the host's reached the terminal")
	}
	out.Reset()
	if err := Once(t.Context(), cfg, o, &out, false); err != nil || strings.Contains(out.String(), "# table") {
		t.Errorf("tables although not asked for: %v\n%s", err, out.String())
	}
}

func TestOnceOfThisHost(t *testing.T) {
	cfg := DefaultConfig()
	cfg.DataDir = t.TempDir()
	var out bytes.Buffer
	err := Once(t.Context(), cfg, Options{Version: "1.2.3"}, &out, true)
	if errors.Is(err, sample.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node_cpu_seconds_total", "node_memory_MemAvailable_bytes", "node_boot_time_seconds", "watchbill_agent_build_info"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}
