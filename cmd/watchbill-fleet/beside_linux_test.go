package main

import (
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	besideHosts = flag.Int("beside.hosts", 1000, "hosts of BenchmarkBesidePrometheus")
	besideFor   = flag.Duration("beside.for", 3*time.Minute, "how long BenchmarkBesidePrometheus measures")
	besideEvery = flag.Duration("beside.every", 15*time.Second, "how often its hosts report")
)

// BenchmarkBesidePrometheus measures what a collector costs, with and without history, and Prometheus 2.42 beside it that
// gets the same samples at the same time: 200 series of each host, by remote write, a request for each report as the
// collector gets them. Neither evaluates rules. The collector's side has mutual TLS and windows, Prometheus' neither. Of
// each process it tells CPU-seconds per million samples and the resident memory at the end, both from /proc.
func BenchmarkBesidePrometheus(b *testing.B) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("WATCHBILL_REQUIRE_PEERS") == "1" {
			b.Fatal("required here: prometheus is not installed")
		}
		b.Skip("prometheus is not installed")
	}
	for _, c := range []struct{ name, history string }{
		{"history=on", "retention: 15d"}, {"history=off", "retention: 0s"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				besidePrometheus(b, program, c.history)
			}
		})
	}
}

func besidePrometheus(b *testing.B, program, history string) {
	s := newSite(b, "", patient+"\nrules: {packs: false}")
	dir := s.prepare(*besideHosts, 0)
	s.kill()
	file := filepath.Join(s.dir, "watchbill.yml")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	s.write("watchbill.yml", strings.ReplaceAll(string(text), "retention: 0s", history))
	s.serve()
	url, peer := startPrometheus(b, program)
	c := good()
	c.dir, c.interval, c.duration, c.wire, c.series = dir, *besideEvery, *besideFor+time.Hour, 1, 200
	c.peerURL = url + "/api/v1/write"
	f, stop := s.start(c, nil)
	defer stop()
	eventually(b, 5*time.Minute, "every host reports", func() bool {
		return f.shared.stats.reports.Load() >= uint64(2**besideHosts) //nolint:gosec // a count
	})
	measure := func() (own, other usage, samples uint64) {
		b.Helper()
		own, err := usageOf(s.process.Process.Pid)
		if err == nil {
			other, err = usageOf(peer)
		}
		if err != nil {
			b.Fatal(err)
		}
		return own, other, f.shared.stats.samples.Load()
	}
	own, other, before := measure()
	b.ResetTimer()
	time.Sleep(*besideFor) // it is paced, and measured for so long
	b.StopTimer()
	own2, other2, after := measure()
	millions := float64(after-before) / 1e6
	b.ReportMetric((own2.cpu-own.cpu)/millions, "watchbill-cpu-s/Msamples")
	b.ReportMetric((other2.cpu-other.cpu)/millions, "prometheus-cpu-s/Msamples")
	b.ReportMetric(float64(own2.rss)/(1<<20), "watchbill-MiB")
	b.ReportMetric(float64(other2.rss)/(1<<20), "prometheus-MiB")
	b.ReportMetric(float64(after-before)/b.Elapsed().Seconds(), "samples/s")
	if n := f.shared.peer.failures.Load(); n > 0 {
		b.Errorf("Prometheus did not take %d reports, the last: %v", n, f.shared.peer.last)
	}
}

// startPrometheus starts one that takes remote write and scrapes nothing, until the benchmark ends.
func startPrometheus(b *testing.B, program string) (url string, pid int) {
	b.Helper()
	dir := b.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte("global: {scrape_interval: 15s}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	addr := freePort(b)
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--web.enable-remote-write-receiver", "--log.level=error")
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url = "http://" + addr
	eventually(b, time.Minute, "Prometheus is ready", func() bool {
		resp, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return url, cmd.Process.Pid
}
