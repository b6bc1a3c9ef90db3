package collector

import (
	"strings"
	"testing"
	"time"

	"github.com/watchbill/watchbill/collector/history"
)

const backOnDisk = `
groups:
- name: disk
  rules:
  - alert: DiskFilling
    expr: min_over_time(node_filesystem_avail_bytes[5m]) < 20
    labels: {severity: critical, service: disk}
`

// Without history a ticket has the curve of what rules look back on, or says why it has none.
func TestCurvesWithoutHistory(t *testing.T) {
	for name, c := range map[string]struct{ rules, want string }{
		"rules look back": {backOnDisk, "the last 40s of node_filesystem_avail_bytes{mountpoint=\"/srv\"}, which is what rules look back on: history is switched off"},
		"none does": {diskRules, "no curve of the last hour: history is switched off (history.retention is 0), " +
			"the window holds a curve only of series that a rule looks back on, which these are not, and the agent's spool is not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t, c.rules)
			cfg.History.Retention = 0
			s := newStage(t, cfg)
			if s.keepsCurves() {
				t.Fatal("there is a history")
			}
			for range 4 {
				s.report("web1", 10*time.Second, 50)
			}
			s.report("web1", 10*time.Second, 5)
			got := text(s.record(s.only()).Symptom)
			if !strings.Contains(got, c.want) {
				t.Errorf("the record says %q, want %q", got, c.want)
			}
		})
	}
}

// keepsCurves tells whether there is history; what writes to engines elsewhere is always there, for a reload to use.
func (s *stage) keepsCurves() bool { return s.history != nil || s.recall != nil || len(s.curves()) > 1 }

// A full history disk stops no detection: the ticket opens, and says why it has no curve.
func TestTicketsOpenWhenTheHistorysDiskIsFull(t *testing.T) {
	cfg := testConfig(t, diskRules)
	cfg.History.Retention = 0
	s := newStage(t, cfg)
	s.openRecall(t.TempDir(), time.Hour)
	h, err := history.Open(t.TempDir(), history.Options{MinFree: 1 << 62, Lost: s.recall.lose}) // no disk has that much
	if err != nil {
		t.Fatal(err)
	}
	s.history, s.pipeline.evidence.history = h, h // closed with the collector
	s.recall.history = h
	s.sink = s.newSink()
	s.report("web1", 0, 50)
	s.report("web1", 10*time.Second, 50)
	s.report("web1", 10*time.Second, 5)
	if got := text(s.record(s.only()).Symptom); !strings.Contains(got, "no curve of the last hour: read history: history is not available") {
		t.Errorf("the record says %q", got)
	}
	flush(t, s.Collector)
	s.report("web1", 10*time.Second, 50) // and it goes on
	if n := len(s.standing()); n != 0 {
		t.Errorf("%d alerts stand, want that of the disk to end", n)
	}
	if since, _ := s.recall.Wanted("web1"); !since.IsZero() || len(s.recall.wants) != 1 {
		t.Errorf("wants %v since %v, want what was lost, and nobody asked while the disk is full", s.recall.wants, since)
	}
}
