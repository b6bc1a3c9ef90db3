package collector

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What asks: a hundred dashboards of a host each, six hours at 30 s, refreshed as soon as all panels are drawn.
const (
	benchDashboards = 100
	benchPanels     = 15
	benchRange      = 6 * time.Hour
	benchStep       = 2 * time.Minute
	benchPaced      = 10 * time.Second
)

// BenchmarkAcknowledgementBesideQueries is how long 500 agents wait for their acknowledgements, 50 reports a second, when
// nobody asks anything, and beside a hundred dashboards that ask all at once and again and again. The history holds six
// hours of them, a sample every two minutes. The agents are in a process of their own; who asks is in the collector's.
func BenchmarkAcknowledgementBesideQueries(b *testing.B) {
	s := newReported(b, true)
	for range int(benchRange / benchStep) {
		s.at.Add((benchStep - benchEvery).Milliseconds())
		s.round(b)
	}
	srv := httptest.NewServer(s.api.Handler())
	defer srv.Close()
	for b.Loop() {
		before := s.paced(b)
		ctx, cancel := context.WithCancel(b.Context())
		var asking sync.WaitGroup
		var answered, refused, failed atomic.Int64
		client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 6 * benchDashboards, MaxIdleConnsPerHost: 6 * benchDashboards}}
		for d := range benchDashboards {
			asking.Go(func() {
				for ctx.Err() == nil {
					s.dashboard(ctx, client, srv.URL, d, &answered, &refused, &failed)
				}
			})
		}
		time.Sleep(time.Second) // until all of them ask
		beside := s.paced(b)
		cancel()
		asking.Wait()
		client.CloseIdleConnections()
		after := s.paced(b)
		if answered.Load() == 0 || failed.Load() > 0 {
			b.Errorf("%d queries were answered, %d refused, %d failed", answered.Load(), refused.Load(), failed.Load())
		}
		alone := max(before[1], after[1])
		b.ReportMetric(before[0].Seconds()*1e3, "ms-p50-alone")
		b.ReportMetric(before[1].Seconds()*1e3, "ms-p99-alone")
		b.ReportMetric(after[1].Seconds()*1e3, "ms-p99-alone-after")
		b.ReportMetric(beside[0].Seconds()*1e3, "ms-p50-beside")
		b.ReportMetric(beside[1].Seconds()*1e3, "ms-p99-beside")
		b.ReportMetric(beside[1].Seconds()/alone.Seconds(), "p99-ratio")
		b.ReportMetric(float64(answered.Load())/(benchPaced+time.Second).Seconds(), "queries/s")
		b.ReportMetric(float64(refused.Load()), "refused")
	}
}

// paced lets every agent report once, evenly over benchPaced, and tells the median and the 99th percentile of how long
// they waited.
func (s *reported) paced(b *testing.B) [2]time.Duration {
	b.Helper()
	at := s.at.Add(benchEvery.Milliseconds())
	if _, err := fmt.Fprintf(s.fleet, "%s %d\n", benchPace, at); err != nil {
		b.Fatal(err)
	}
	line, err := s.told.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	var took [2]time.Duration
	if _, err := fmt.Sscanf(line, "took %d %d\n", &took[0], &took[1]); err != nil {
		b.Fatalf("the fleet said %q: %v", line, err)
	}
	return took
}

// dashboard draws the panels of one host, all at once as a browser does.
func (s *reported) dashboard(ctx context.Context, client *http.Client, base string, host int, answered, refused, failed *atomic.Int64) {
	end := s.now()
	var panels sync.WaitGroup
	for _, expr := range panelsOf(benchName(host)) {
		panels.Go(func() {
			q := url.Values{"query": {expr}, "start": {fmt.Sprint(end.Add(-benchRange).Unix())}, "end": {fmt.Sprint(end.Unix())}, "step": {"30"}}
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/query_range?"+q.Encode(), nil)
			if err != nil {
				failed.Add(1)
				return
			}
			resp, err := client.Do(r)
			if err != nil {
				if ctx.Err() == nil {
					failed.Add(1)
				}
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
				answered.Add(1)
			case http.StatusServiceUnavailable:
				refused.Add(1)
			default:
				failed.Add(1)
			}
		})
	}
	panels.Wait()
}

// panelsOf are what the panels of a host ask; two of them look at the whole fleet.
func panelsOf(host string) []string {
	of := func(format string) string { return fmt.Sprintf(format, host) }
	return []string{
		of(`up{instance=%q}`), of(`node_load1{instance=%q}`), of(`node_load5{instance=%q}`),
		of(`100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",instance=%q}[10m])) * 100`),
		of(`sum by (mode) (rate(node_cpu_seconds_total{instance=%q}[10m]))`),
		of(`node_memory_MemAvailable_bytes{instance=%q}`), of(`node_memory_MemTotal_bytes{instance=%q}`),
		of(`node_filesystem_avail_bytes{instance=%q}`), of(`node_filesystem_size_bytes{instance=%q}`),
		of(`rate(node_disk_reads_completed_total{instance=%q}[10m])`), of(`rate(node_disk_writes_completed_total{instance=%q}[10m])`),
		of(`rate(node_network_receive_bytes_total{instance=%q}[10m])`), of(`rate(node_network_transmit_bytes_total{instance=%q}[10m])`),
		`count(up == 1)`, `topk(5, node_load1)`,
	}[:benchPanels]
}
