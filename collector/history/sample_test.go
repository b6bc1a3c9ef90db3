package history

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// alone is one sample under its own labels.
func alone(at time.Time, v float64, pairs ...string) Sample {
	return Sample{Labels: labels.FromStrings(pairs...), T: at.UnixMilli(), V: v}
}

func TestSamplesWithTheirOwnLabels(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	for i := range 5 {
		at := noon.Add(time.Duration(i) * time.Second)
		h.AppendSamples([]Sample{
			alone(at, float64(i), "__name__", "load", "instance", "a"),
			alone(at, float64(-i), "__name__", "load", "instance", "b"),
		})
		run(t, h)
	}
	if got, want := values(t, h, "load"), "0:0 1:1 2:2 3:3 4:4\n0:0 1:-1 2:-2 3:-3 4:-4"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if got := lookedUp(h); got != 2 {
		t.Errorf("looked up %v series, want the two there are, once each", got)
	}
	if n := h.waiting.Load(); n != 0 {
		t.Errorf("%d samples are said to wait, and none does", n)
	}
}

// A report and samples with labels share one series when their labels are the same.
func TestSamplesBesideReports(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	h.hear(one(noon, 1, "__name__", "load", "instance", "web1"))
	h.AppendSamples([]Sample{alone(noon.Add(time.Second), 2, "__name__", "load", "instance", "web1")})
	run(t, h)
	if got, want := values(t, h, "load"), "0:1 1:2"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

func TestSamplesNoHistoryTakes(t *testing.T) {
	h := open(t, t.TempDir(), Options{Queue: 4})
	h.AppendSamples([]Sample{
		{T: noon.UnixMilli(), V: 1}, // no labels
		alone(noon, 1, "__name__", "load"),
	})
	run(t, h)
	h.AppendSamples([]Sample{alone(noon, 2, "__name__", "load")}) // the same time, another value
	run(t, h)
	h.AppendSamples([]Sample{alone(noon.Add(time.Second), 3, "__name__", "load"), alone(noon, 1, "__name__", "d")})
	h.AppendSamples([]Sample{alone(noon, 1, "__name__", "a"), alone(noon, 1, "__name__", "b"), alone(noon, 1, "__name__", "c")})
	h.AppendSamples(nil)
	run(t, h)
	for reason, want := range map[string]float64{"invalid": 1, "duplicate": 1, "queue_full": 3} {
		if got := dropped(h, reason); got != want {
			t.Errorf("%v samples were dropped as %s, want %v", got, reason, want)
		}
	}
	if got, want := values(t, h, "load"), "0:1 1:3"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

// Two label sets with one hash must never share a reference.
func TestSamplesWhoseHashesAreTheSame(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	mine := alone(noon, 1, "__name__", "load", "instance", "a")
	h.AppendSamples([]Sample{mine})
	run(t, h)
	h.known.named[mine.Labels.Hash()].labels = labels.FromStrings("__name__", "other") // as if that one had been first
	for i := range 3 {
		h.AppendSamples([]Sample{alone(noon.Add(time.Duration(1+i)*time.Second), float64(2+i), "__name__", "load", "instance", "a")})
		run(t, h)
	}
	if got, want := values(t, h, "load"), "0:1 1:2 2:3 3:4"; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if got := lookedUp(h); got != 4 {
		t.Errorf("looked up %v times, want each time", got)
	}
}

func TestUnusedNamedReferencesAreForgotten(t *testing.T) {
	h := open(t, t.TempDir(), Options{})
	h.AppendSamples([]Sample{alone(noon, 1, "__name__", "gone"), alone(noon, 1, "__name__", "stays")})
	run(t, h)
	for i := range 2 * forgetAfter {
		h.AppendSamples([]Sample{alone(noon.Add(time.Duration(1+i)*time.Minute), 1, "__name__", "stays")})
		run(t, h)
		h.known.forget()
	}
	if n := len(h.known.named); n != 1 {
		t.Errorf("%d references, want that of the series in use alone", n)
	}
	if got := lookedUp(h); got != 2 {
		t.Errorf("looked up %v series, want the two there are, once each", got)
	}
}
