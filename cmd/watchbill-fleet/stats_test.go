package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	if got := h.take().quantile(0.5); got != 0 {
		t.Errorf("nothing observed: median %v", got)
	}
	r := rand.New(rand.NewPCG(1, 1))
	var all []time.Duration
	for range 10000 {
		d := time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		h.observe(d)
	}
	slices.Sort(all)
	got := h.take()
	for _, q := range []float64{0.01, 0.5, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		if v := got.quantile(q); float64(v) < 0.95*float64(want) || float64(v) > 1.1*float64(want) {
			t.Errorf("quantile %v is %v, want about %v", q, v, want)
		}
	}
	if got.most != all[len(all)-1] || got.quantile(1) != got.most {
		t.Errorf("the most is %v (quantile 1: %v), want %v", got.most, got.quantile(1), all[len(all)-1])
	}
	h.observe(time.Microsecond)
	if later := h.take().since(got); later.total != 1 || later.most > 2*time.Microsecond {
		t.Errorf("since then %d, the most %v, want the one of a microsecond", later.total, later.most)
	}
}

func TestHistogramTakesEverything(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{-time.Second, 0, 1, 1000 * time.Hour} {
		h.observe(d)
	}
	if got := h.take(); got.total != 4 || got.most != 1000*time.Hour {
		t.Errorf("%d counted, the most %v", got.total, got.most)
	}
}

func TestFailuresHaveWords(t *testing.T) {
	for want, err := range map[string]error{
		"nobody_listens":         fmt.Errorf("dial: %w", syscall.ECONNREFUSED),
		"kept_asking_for_shapes": errShapes,
		"timeout":                context.DeadlineExceeded,
		"broken_off":             fmt.Errorf("read: %w", io.EOF),
		"turned_away":            &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")},
		"other":                  errors.New("surprise"),
	} {
		if got := failure(err); got != want {
			t.Errorf("%v is counted as %s, want %s", err, got, want)
		}
	}
	if got := failure(&net.OpError{Op: "read", Err: syscall.ECONNRESET}); got != "broken_off" {
		t.Errorf("a reset is counted as %s", got)
	}
}

func TestParseMetrics(t *testing.T) {
	const text = `# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1.5e+08
# TYPE watchbill_ingest_refusals_total counter
watchbill_ingest_refusals_total{reason="bomb"} 3
watchbill_ingest_refusals_total{reason="later"} 0
# TYPE watchbill_tickets_opened_total counter
watchbill_tickets_opened_total{customer="a",priority="P1"} 2
watchbill_tickets_opened_total{customer="b",priority="P1"} 5
# TYPE watchbill_ingest_duration_seconds histogram
watchbill_ingest_duration_seconds_bucket{le="0.001"} 50
watchbill_ingest_duration_seconds_bucket{le="0.01"} 90
watchbill_ingest_duration_seconds_bucket{le="+Inf"} 100
watchbill_ingest_duration_seconds_sum 1
watchbill_ingest_duration_seconds_count 100
`
	got, err := parseMetrics(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got.cpu != 12.5 || got.rss != 150_000_000 || got.refusals["bomb"] != 3 || got.tickets != 7 {
		t.Errorf("read %+v", got)
	}
	for q, want := range map[float64]time.Duration{0.5: time.Millisecond, 0.25: 500 * time.Microsecond, 0.7: 5500 * time.Microsecond, 0.99: 10 * time.Millisecond} {
		if v := got.arrival.quantile(q); (v - want).Abs() > time.Microsecond {
			t.Errorf("quantile %v is %v, want %v", q, v, want)
		}
	}
	if _, err := parseMetrics(strings.NewReader("not { metrics")); err == nil {
		t.Error("what is no metrics was read")
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add("watchbill_ingest_refusals_total{reason=\"bomb\"} 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseMetrics(strings.NewReader(text))
		if err == nil {
			got.arrival.quantile(0.99)
			got.arrival.since(got.arrival).quantile(0.5)
		}
	})
}

func TestCumulativeSinceARestart(t *testing.T) {
	old := cumulative{bounds: []float64{1, 2}, counts: []float64{5, 10}}
	now := cumulative{bounds: []float64{1, 2}, counts: []float64{1, 2}}
	if got := now.since(old); got.counts[1] != 2 {
		t.Errorf("after a restart %v, want what came since", got.counts)
	}
	if got := old.since(now); got.counts[0] != 4 || got.counts[1] != 8 {
		t.Errorf("since then %v, want 4 and 8", got.counts)
	}
}

// A meter adds up processor time of a process and of the one that takes its place.
func TestMeterFollowsRestarts(t *testing.T) {
	m := newMeter(0, "http://x")
	for _, cpu := range []float64{10, 12, 1, 3} {
		m.note(usage{cpu: cpu, rss: uint64(cpu)})
	}
	if m.used != 2+1+2 || m.most != 12 || m.last.rss != 3 {
		t.Errorf("used %v, most %d, last %d, want 5, 12, 3", m.used, m.most, m.last.rss)
	}
	m.listen(told{tickets: 4, refusals: map[string]float64{"bomb": 1}})
	m.listen(told{tickets: 6, refusals: map[string]float64{"bomb": 2}})
	m.listen(told{tickets: 1, refusals: map[string]float64{"bomb": 5}})
	if m.tickets != 3 || m.refused["bomb"] != 4 {
		t.Errorf("%v tickets and %v refusals, want 3 and 4", m.tickets, m.refused["bomb"])
	}
}

func TestMeterReadsThisProcess(t *testing.T) {
	m := own()
	m.read(t.Context())
	if errors.Is(m.lastErr, errors.ErrUnsupported) {
		t.Skip(m.lastErr)
	}
	if m.lastErr != nil || m.last.rss < 1<<20 {
		t.Errorf("resident memory %d, %v", m.last.rss, m.lastErr)
	}
	gone := newMeter(1<<30, "")
	if gone.read(t.Context()); !errors.Is(gone.lastErr, errGone) {
		t.Errorf("error %v, want errGone", gone.lastErr)
	}
}
