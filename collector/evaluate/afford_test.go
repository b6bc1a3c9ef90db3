package evaluate

import (
	"errors"
	"testing"
	"time"

	"github.com/watchbill/watchbill/rules"
	"github.com/watchbill/watchbill/rules/window"
)

// TestLongSubqueryIsRefused: the engine would end the process for want of memory.
func TestLongSubqueryIsRefused(t *testing.T) {
	e := New(Options{Window: window.New(window.Options{}), Commit: &ledger{}, Interval: 10 * time.Second, MaxSamples: 1000})
	for _, tt := range []struct {
		expr string
		long bool
	}{
		{"max_over_time(up[10y:1ms])", true}, {"max_over_time(up[10010s:])", true}, {"max_over_time(up[10000s:])", false},
	} {
		_, err := e.query(t.Context(), tt.expr, epoch)
		var long *rules.LongSubqueryError
		if errors.As(err, &long) != tt.long || !tt.long && err != nil {
			t.Errorf("%s: %v, want refused: %v", tt.expr, err, tt.long)
		}
	}
}
