package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Bounds of asking the collector for its metrics.
const (
	scrapeTimeout = 5 * time.Second
	maxScrape     = 8 << 20
)

// told is what the collector says of itself on /metrics.
type told struct {
	usage
	// refusals and tickets are totals since its start.
	refusals map[string]float64
	tickets  float64
	// arrival is its histogram from a request's arrival to its answer, applied: upper bounds in seconds and counts.
	arrival cumulative
	// go memory in use, and goroutines: what a host costs inside.
	heap, goroutines float64
}

// cumulative is a Prometheus histogram: how many were at most so long.
type cumulative struct {
	bounds []float64
	counts []float64
}

// scrape reads the metrics at base, the operators' listener.
func scrape(ctx context.Context, client *http.Client, base string) (told, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/metrics", nil)
	if err != nil {
		return told{}, fmt.Errorf("collector's metrics: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return told{}, fmt.Errorf("collector's metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return told{}, fmt.Errorf("collector's metrics: %s answered %s", base, resp.Status)
	}
	return parseMetrics(io.LimitReader(resp.Body, maxScrape))
}

// parseMetrics reads Prometheus' text format.
func parseMetrics(r io.Reader) (told, error) {
	p := expfmt.NewTextParser(model.LegacyValidation)
	all, err := p.TextToMetricFamilies(r)
	if err != nil {
		return told{}, fmt.Errorf("collector's metrics: %w", err)
	}
	t := told{refusals: map[string]float64{}}
	t.cpu = total(all["process_cpu_seconds_total"])
	t.rss = uint64(max(total(all["process_resident_memory_bytes"]), 0))
	t.heap, t.goroutines = total(all["go_memstats_heap_inuse_bytes"]), total(all["go_goroutines"])
	t.tickets = total(all["watchbill_tickets_opened_total"])
	for _, m := range all["watchbill_ingest_refusals_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "reason" {
				t.refusals[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	for _, m := range all["watchbill_ingest_duration_seconds"].GetMetric() {
		for _, b := range m.GetHistogram().GetBucket() {
			t.arrival.bounds = append(t.arrival.bounds, b.GetUpperBound())
			t.arrival.counts = append(t.arrival.counts, float64(b.GetCumulativeCount()))
		}
	}
	return t, nil
}

// total adds up the counters or gauges of a family; 0 when it is not there.
func total(f *dto.MetricFamily) float64 {
	sum := 0.0
	for _, m := range f.GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return sum
}

// since is what came after an earlier reading; all of c when the collector started anew in between.
func (c cumulative) since(old cumulative) cumulative {
	if len(old.counts) != len(c.counts) {
		return c
	}
	d := cumulative{bounds: c.bounds, counts: make([]float64, len(c.counts))}
	for i := range c.counts {
		if d.counts[i] = c.counts[i] - old.counts[i]; d.counts[i] < 0 {
			return c
		}
	}
	return d
}

// quantile is as PromQL's histogram_quantile has it: linear within a bucket. 0 when there is nothing.
func (c cumulative) quantile(q float64) time.Duration {
	n := len(c.counts)
	if n == 0 || c.counts[n-1] == 0 {
		return 0
	}
	rank := q * c.counts[n-1]
	low, below := 0.0, 0.0
	for i, count := range c.counts {
		if count >= rank && count > below {
			high := c.bounds[i]
			if math.IsInf(high, 1) {
				return duration(low)
			}
			return duration(low + (high-low)*(rank-below)/(count-below))
		}
		low, below = c.bounds[i], count
	}
	return duration(low)
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
