package collector

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// What a child of this test's binary is told by its environment: to ask, where, or to burn so many processors.
const (
	benchAskEnv  = "WATCHBILL_BENCH_ASK"
	benchBurnEnv = "WATCHBILL_BENCH_BURN"
)

// BenchmarkAcknowledgementBesideQueries is how long 500 agents wait for their acknowledgements, 50 reports a second: while
// nobody asks anything; beside a hundred dashboards that ask all at once and again and again; and while another process, which
// has nothing to do with the collector, burns as much as those queries took. What the second has over the third is
// the collector's doing, the rest is that of a busy machine. The history holds six hours of the agents, a sample every
// two minutes. Agents and who asks are in processes of their own. It takes about a minute and a half; run it with -benchtime 1x.
func BenchmarkAcknowledgementBesideQueries(b *testing.B) {
	if child(b) {
		return
	}
	s := newReported(b, true)
	for range int(benchRange / benchStep) {
		s.at.Add((benchStep - benchEvery).Milliseconds())
		s.round(b)
	}
	srv := httptest.NewServer(s.api.Handler())
	defer srv.Close()
	for b.Loop() {
		cpu := cpuTime(b)
		nobody := s.paced(b)
		idle := cpuTime(b) - cpu
		ask := startChild(b, fmt.Sprintf("%s=%s %d", benchAskEnv, srv.URL, s.now().Unix()))
		cpu = cpuTime(b)
		asked := s.paced(b)
		used := cpuTime(b) - cpu - idle
		told, took := ask.end(b)
		var answered, refused, failed int
		if _, err := fmt.Sscanf(told, "asked %d %d %d", &answered, &refused, &failed); err != nil || answered == 0 || failed > 0 {
			b.Errorf("who asked said %q: expected answers and no failure", told)
		}
		cores := used.Seconds()/benchPaced.Seconds() + took
		burn := startChild(b, fmt.Sprintf("%s=%g", benchBurnEnv, cores))
		burnt := s.paced(b)
		burn.end(b)
		b.ReportMetric(0, "ns/op") // it says nothing here
		for _, m := range []struct {
			name string
			of   [2]time.Duration
		}{{"nobody", nobody}, {"dashboards", asked}, {"burner", burnt}} {
			b.ReportMetric(m.of[0].Seconds()*1e3, "ms-p50-"+m.name)
			b.ReportMetric(m.of[1].Seconds()*1e3, "ms-p99-"+m.name)
		}
		b.ReportMetric(asked[1].Seconds()/burnt[1].Seconds(), "p99-dashboards/burner")
		b.ReportMetric(cores, "processors-burnt")
		b.ReportMetric(float64(answered)/(benchPaced+time.Second).Seconds(), "queries/s")
		b.ReportMetric(float64(refused), "refused")
	}
}

// benchChild is a process of its own that goes on until its input ends.
type benchChild struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *bufio.Reader
	began time.Time
}

// startChild starts one, and lets a second pass until it is under way.
func startChild(b *testing.B, env string) *benchChild {
	b.Helper()
	c := &benchChild{cmd: exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkAcknowledgementBesideQueries$", "-test.benchtime=1x"), began: time.Now()}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), env), os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	return c
}

// end ends it and gives what it said, and how many processors it used on average.
func (c *benchChild) end(b *testing.B) (told string, processors float64) {
	b.Helper()
	_ = c.in.Close()
	for err := error(nil); err == nil; {
		var line string
		if line, err = c.out.ReadString('\n'); strings.HasPrefix(line, "asked ") {
			told = line
		}
	}
	if err := c.cmd.Wait(); err != nil {
		b.Errorf("%s: %v", c.cmd.Env[len(c.cmd.Env)-1], err)
	}
	used := c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
	return told, used.Seconds() / time.Since(c.began).Seconds()
}

// child does what a child was started for, until its input ends; false where this is none.
func child(b *testing.B) bool {
	ask, burn := os.Getenv(benchAskEnv), os.Getenv(benchBurnEnv)
	if ask == "" && burn == "" {
		return false
	}
	ctx, cancel := context.WithCancel(b.Context())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if ask != "" {
		askAll(ctx, b, ask)
		return true
	}
	cores, err := strconv.ParseFloat(burn, 64)
	if err != nil {
		b.Fatal(err)
	}
	var burning sync.WaitGroup
	for ; cores > 0; cores-- {
		burning.Go(func() { burnUntil(ctx, min(cores, 1)) })
	}
	burning.Wait()
	return true
}

// burnUntil uses a share of one processor, ten milliseconds at a time.
func burnUntil(ctx context.Context, share float64) {
	const slice = 10 * time.Millisecond
	for ctx.Err() == nil {
		busy := time.Duration(float64(slice) * share)
		for began := time.Now(); time.Since(began) < busy; { //nolint:revive // to burn is what it is for
		}
		time.Sleep(slice - busy)
	}
}

// askAll draws a hundred dashboards again and again, and says how many queries were answered, refused and failed.
func askAll(ctx context.Context, b *testing.B, what string) {
	var base string
	var end int64
	if _, err := fmt.Sscan(what, &base, &end); err != nil {
		b.Fatal(err)
	}
	var asking sync.WaitGroup
	var answered, refused, failed atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 6 * benchDashboards, MaxIdleConnsPerHost: 6 * benchDashboards}}
	for d := range benchDashboards {
		asking.Go(func() {
			for ctx.Err() == nil {
				dashboard(ctx, client, base, d, time.Unix(end, 0), &answered, &refused, &failed)
			}
		})
	}
	asking.Wait()
	fmt.Printf("asked %d %d %d\n", answered.Load(), refused.Load(), failed.Load())
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
func dashboard(ctx context.Context, client *http.Client, base string, host int, end time.Time, answered, refused, failed *atomic.Int64) {
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
		of(`node_time_seconds{instance=%q}`), of(`node_load1{instance=%q}`), of(`node_load5{instance=%q}`),
		of(`100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle",instance=%q}[10m])) * 100`),
		of(`sum by (mode) (rate(node_cpu_seconds_total{instance=%q}[10m]))`),
		of(`node_memory_MemAvailable_bytes{instance=%q}`), of(`node_memory_MemTotal_bytes{instance=%q}`),
		of(`node_filesystem_avail_bytes{instance=%q}`), of(`node_filesystem_size_bytes{instance=%q}`),
		of(`rate(node_disk_reads_completed_total{instance=%q}[10m])`), of(`rate(node_disk_writes_completed_total{instance=%q}[10m])`),
		of(`rate(node_network_receive_bytes_total{instance=%q}[10m])`), of(`rate(node_network_transmit_bytes_total{instance=%q}[10m])`),
		`count(node_load1 > 1)`, `topk(5, node_load1)`,
	}[:benchPanels]
}
