package rules

import (
	"errors"
	"testing"
	"time"
)

func TestCheckSubqueries(t *testing.T) {
	for _, tt := range []struct {
		expr string
		span time.Duration
		long string // the subquery that is refused, of those with more than 1,000 steps
	}{
		{"up[1000s]", 0, ""},
		{"up[1000s:1s]", 0, ""},
		{"up[1001s:1s]", 0, "up[16m41s:1s]"},
		{"up[10000s:]", 0, ""}, // its step is 10 s here
		{"up[10010s:]", 0, "up[2h46m50s:]"},
		{"up[10y:1ms]", 0, "up[10y:1ms]"},
		{"up[100s:1s]", 900 * time.Second, ""},
		{"up[100s:1s]", 901 * time.Second, "up[1m40s:1s]"},
		{"max_over_time(up[100s:1s] @ 5)", 901 * time.Second, ""},
		{"max_over_time(up[100s:1s] @ end())", 901 * time.Second, ""},
		{"sum(max_over_time(up[600s:1s])) + sum(max_over_time(up[600s:1s]))", 0, ""},
		{"max_over_time(max_over_time(up[300s:1s])[300s:1s])", 0, ""},
		{"max_over_time(max_over_time(up[301s:1s])[400s:1s])", 0, "up[5m1s:1s]"},
		{"max_over_time(max_over_time(up[301s:1s] @ 5)[400s:1s])", 0, ""},
		{"max_over_time(rate(up[5m])[290y:1ms] offset 290y)", 290 * 365 * 24 * time.Hour, "rate(up[5m])[290y:1ms] offset 290y"},
	} {
		e, err := NewParser().ParseExpr(tt.expr)
		if err != nil {
			t.Fatal(err)
		}
		err = CheckSubqueries(e, time.UnixMilli(0), time.UnixMilli(tt.span.Milliseconds()), 10*time.Second, 1000)
		var long *LongSubqueryError
		switch {
		case !errors.As(err, &long) && (tt.long != "" || err != nil):
			t.Errorf("%s over %v: %v, want %q refused", tt.expr, tt.span, err, tt.long)
		case err != nil && long.At.String() != tt.long:
			t.Errorf("%s over %v: refuses %q, want %q", tt.expr, tt.span, long.At, tt.long)
		}
	}
}
