package collector

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
)

// TestPromtoolChecksMetrics: Prometheus' own check of names, help and types finds nothing in the collector's metrics, those
// of the history's TSDB among them.
func TestPromtoolChecksMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			t.Fatalf("required by WATCHBILL_REQUIRE_PEERS: %v", err)
		}
		t.Skip("promtool is not installed")
	}
	s := newStage(t, testConfig(t, diskRules))
	s.report("web1", 0, 0)
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	ours := 0
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "watchbill_") {
			ours++
		}
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	if ours < 60 || !bytes.Contains(text.Bytes(), []byte("watchbill_ticket_opened_timestamp_seconds{")) ||
		!bytes.Contains(text.Bytes(), []byte(`watchbill_web_info{url="http://127.0.0.1:`)) ||
		!bytes.Contains(text.Bytes(), []byte("\nprometheus_tsdb_head_series ")) {
		t.Errorf("%d metrics of ours: this test does not see them", ours)
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &text
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
