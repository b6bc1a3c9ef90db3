package evaluate

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// manyAlerts are the alerts of one rule on n assets, as they are read from the store at a start.
func manyAlerts(n int) []Restored {
	var out []Restored
	for i := range n {
		out = append(out, Restored{Origin: rules.Origin{ID: "full", Name: "Full"}, Alert: rules.Alert{State: rules.Firing,
			Labels: labels.FromStrings("alertname", "Full", "instance", fmt.Sprintf("host%05d", i)), ActiveAt: at(1), FiredAt: at(1)}})
	}
	return out
}

// TestManyAlertsOfOneRuleAreRestored: what a start takes grows with the alerts, not with their square, as it did when each of
// them copied all that were there before.
func TestManyAlertsOfOneRuleAreRestored(t *testing.T) {
	allocated := func(n int) uint64 {
		all := manyAlerts(n)
		e := New(Options{Window: window.New(window.Options{}), Commit: &ledger{}})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e.Restore(all)
		runtime.ReadMemStats(&after)
		if got := len(e.Alerts()); got != n {
			t.Errorf("%d alerts are known of %d that were restored", got, n)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := allocated(200), allocated(4000)
	if many > 60*few {
		t.Errorf("200 alerts take %d bytes to restore and 4,000 take %d: %d times as much", few, many, many/few)
	}
}

// TestRestoredAlertsAreNobodyElses: what was handed out of an orphan's alerts does not change when it gets another.
func TestRestoredAlertsAreNobodyElses(t *testing.T) {
	e := New(Options{Window: window.New(window.Options{}), Commit: &ledger{}})
	all := manyAlerts(3)
	e.Restore(all[:2])
	e.Load(nil)
	dead, changes := e.dead(at(2))
	if len(dead["full"]) != 2 || len(changes) != 2 {
		t.Fatalf("%v end by %d changes, want two", dead, len(changes))
	}
	e.mu.Lock()
	e.orphan("full", all[2].Origin).restore("full", all[2].Alert)
	e.mu.Unlock()
	if len(dead["full"]) != 2 || len(e.Alerts()) != 3 {
		t.Errorf("%d are about to end after one more came, want two; %d are known, want three", len(dead["full"]), len(e.Alerts()))
	}
}
