package ingest

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/watchbill/watchbill/agent/wire"
)

// took is the histogram of live reports.
func (w *world) took() *dto.Histogram {
	w.t.Helper()
	all, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "watchbill_ingest_duration_seconds" {
			return f.GetMetric()[0].GetHistogram()
		}
	}
	w.t.Fatal("no such histogram")
	return nil
}

// TestDurationIsThatOfLiveReports: from the arrival of the request until the report was applied, and of accepted live
// reports alone.
func TestDurationIsThatOfLiveReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, tight)
		c := w.enrol("acme", "leeds", "web1")
		w.sink.set(func(context.Context, Report) error { time.Sleep(3 * time.Second); return nil })
		m := c.report(c.block("cpu", 1, 0))
		for what, do := range map[string]func(){
			"shapes are asked for": func() { c.send(m) },
			"hello": func() {
				if _, _, err := c.post(wire.PathHello, wire.TypeHello, "", http.NoBody); err != nil {
					t.Error(err)
				}
			},
			"without a credit": func() { c.say(c.old(), wire.LaneBacklog, 1, time.Time{}) },
			"refused":          func() { c.send(&wire.Report{}) },
		} {
			if do(); w.took().GetSampleCount() != 0 {
				t.Errorf("%s: counted", what)
			}
		}
		c.say(m, wire.LaneLive, 5, time.Time{})
		if h := w.took(); h.GetSampleCount() != 1 || h.GetSampleSum() != 3 {
			t.Errorf("%d reports took %v s, want one of 3 s", h.GetSampleCount(), h.GetSampleSum())
		}
		c.say(c.old(), wire.LaneBacklog, 5, time.Time{})
		c.say(m, wire.LaneLive, 5, time.Time{}) // again
		if n := w.took().GetSampleCount(); n != 1 {
			t.Errorf("%d counted: one of the past and one that comes again are no news", n)
		}
	})
}

// Between half a millisecond and ten seconds a quantile is off by half at most.
func TestDurationIsFineEnough(t *testing.T) {
	w := newWorld(t, nil)
	bounds := w.took().GetBucket()
	for n := 1; n < len(bounds); n++ {
		if f := bounds[n].GetUpperBound() / bounds[n-1].GetUpperBound(); f > 1.5 {
			t.Errorf("from %v to %v s is a factor of %v", bounds[n-1].GetUpperBound(), bounds[n].GetUpperBound(), f)
		}
	}
	if first, last := bounds[0].GetUpperBound(), bounds[len(bounds)-1].GetUpperBound(); first > 0.0005 || last < 9.999 {
		t.Errorf("from %v to %v s", first, last)
	}
}
