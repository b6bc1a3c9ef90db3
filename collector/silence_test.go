package collector

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/watchbill/watchbill/collector/incident"
	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// A silent host is looked at every second, for days perhaps; what the window is told about it must not grow with that.
// It must be told often enough for a sample to stand, and at once when a host falls silent again.
func TestSilenceIsToldNowAndThen(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	heard := now
	var downs, alerts []time.Time
	ended := 0
	s := &silence{
		roster: roster{
			patience: func(int) incident.Patience {
				return incident.Patience{Intervals: 3, Least: 10 * time.Second, AfterGoodbye: time.Minute}
			},
			lives: func() []incident.Life {
				return []incident.Life{{Asset: "web1", Customer: "acme", Site: "york", Interval: time.Second}}
			},
			changed: func() uint64 { return 1 },
			fresh:   func(l incident.Life) incident.Life { l.Heard = heard; return l },
		},
		commit: func(context.Context, time.Time, []rules.Transition) error { return nil },
		down:   func(_ window.Asset, at time.Time) { downs = append(downs, at) },
		record: func(_ labels.Labels, at time.Time, v float64) bool {
			if value.IsStaleNaN(v) {
				ended++
			} else {
				alerts = append(alerts, at)
			}
			return true
		},
		now:    func() time.Time { return now },
		active: map[string]*told{},
	}
	look := func(d time.Duration) {
		t.Helper()
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second) {
			if err := s.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	look(10*time.Minute + 10*time.Second)
	for name, told := range map[string][]time.Time{"up 0": downs, "ALERTS": alerts} {
		if len(told) < 3 || len(told) > 11 {
			t.Fatalf("%s: written %d times in ten minutes of silence, want about ten", name, len(told))
		}
		for i := 1; i < len(told); i++ {
			if d := told[i].Sub(told[i-1]); d >= window.StaleAfter {
				t.Errorf("%s: %v without a word, and a sample stands for %v", name, d, window.StaleAfter)
			}
		}
	}
	heard = now
	look(5 * time.Second)
	n, m := len(downs), len(alerts)
	look(7 * time.Second)
	if len(downs) != n+1 || len(alerts) != m+1 || ended != 1 {
		t.Errorf("silent again: told %d and %d times, ended %d times; want once each, at once", len(downs)-n, len(alerts)-m, ended)
	}
}
