package collector

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/watchbill/watchbill/collector/fleet"
	"github.com/watchbill/watchbill/collector/ingest"
	"github.com/watchbill/watchbill/collector/store"
)

// The benchmark's fleet lives in a process of its own, so that what the collector uses can be told from what agents do.
const (
	benchAgents = 500
	benchEvery  = 15 * time.Second
	// benchWarm is how many rounds come before those that are measured: more than the window keeps, so that it forgets as
	// much as it learns.
	benchWarm = 30
	// benchFleetEnv makes a child of this test's binary be the fleet.
	benchFleetEnv = "WATCHBILL_BENCH_FLEET"
)

// BenchmarkReport is the whole way of a live report in steady state, from the connection to the answer: mutual TLS,
// ingest, window, history. 500 agents report the 200 series of a real host, of which 19 % change from one report to the
// next, in version 1 of the wire. One operation is one report of every agent, 15 s after the one before by the
// collector's clock. Rules do not run: they cost by time, not by report. Nothing of the agents' cost is in it.
func BenchmarkReport(b *testing.B) {
	if os.Getenv(benchFleetEnv) != "" {
		if err := reportFleet(os.Stdin, os.Stdout); err != nil {
			b.Fatal(err)
		}
		return
	}
	for _, history := range []bool{false, true} {
		b.Run(map[bool]string{false: "history=off", true: "history=on"}[history], func(b *testing.B) {
			s := newReported(b, history)
			for range benchWarm {
				s.round(b)
			}
			var from, to runtime.MemStats
			runtime.ReadMemStats(&from)
			cpu, rounds := cpuTime(b), 0
			for b.Loop() {
				s.round(b)
				rounds++
			}
			s.stop() // what still waits for the history is written first: it is part of the cost
			used := cpuTime(b) - cpu
			runtime.ReadMemStats(&to)
			reports := float64(rounds * benchAgents)
			b.ReportMetric(used.Seconds()/(reports*float64(s.series))*1e6, "cpu-s/Msample")
			b.ReportMetric(float64(used.Microseconds())/reports, "cpu-µs/report")
			b.ReportMetric(float64(to.Mallocs-from.Mallocs)/reports, "allocs/report")
			b.ReportMetric(float64(to.TotalAlloc-from.TotalAlloc)/reports, "B/report")
			s.check(b, rounds+benchWarm)
		})
	}
}

// cpuTime is what this process has used of the processors so far, in user and system time.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reported is a collector on a clock of the benchmark's, and the fleet that reports to it.
type reported struct {
	*Collector
	at     atomic.Int64
	stop   func()
	fleet  io.Writer
	told   *bufio.Reader
	series int
}

func newReported(b *testing.B, history bool) *reported {
	b.Helper()
	cfg := DefaultConfig()
	cfg.Storage.Path = b.TempDir()
	cfg.Web.ListenAddress, cfg.Agents.ListenAddress = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rules.Packs = false
	cfg.Agents.Door = ingest.Door{PerSecond: 1e6, Connections: 1e5, Handshakes: 1e4, PerAddress: 1e6, AddressBurst: 1e6}
	if !history {
		cfg.History.Retention = 0
	}
	site := fleet.Site{ID: "london"}
	for i := range benchAgents {
		site.Assets = append(site.Assets, fleet.Asset{Name: benchName(i)})
	}
	c, err := New(context.Background(), cfg, Options{Directory: fleet.Directory{Customers: []fleet.Customer{{
		ID: "acme", Name: "Acme Ltd", Department: "software-one", Zone: "Europe/London", Sites: []fleet.Site{site},
	}}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	s := &reported{Collector: c}
	s.at.Store(time.Now().Truncate(time.Second).UnixMilli())
	c.now = func() time.Time { return time.UnixMilli(s.at.Load()) }
	s.serve(b)
	s.startFleet(b)
	return s
}

func benchName(i int) string { return fmt.Sprintf("web%03d", i) }

// serve takes reports as Collector.Run does, on the benchmark's clock.
func (s *reported) serve(b *testing.B) {
	b.Helper()
	c := s.Collector
	in, err := ingest.New(ingest.Options{
		Registry: c.fleet, Keeper: store.Keeper(c.store), Logger: slog.New(slog.DiscardHandler), Now: c.now,
		Quotas: c.cfg.Quotas, Backlog: c.cfg.Backlog, Door: c.cfg.Agents.Door, Incarnation: c.incarnation,
		Sink: c.newSink(), Room: c.past.reviews.Room, Since: c.past.wants, KeepFor: func() time.Duration { return 10 * time.Minute },
	})
	if err != nil {
		b.Fatal(err)
	}
	c.ingest = in
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	run := []func(context.Context) error{c.serveAgents}
	if c.history != nil {
		run = append(run, c.history.Run)
	}
	for _, part := range run {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	s.stop = func() { cancel(); parts.Wait() }
	b.Cleanup(s.stop)
}

// round lets every agent report once, and returns when all have their answers.
func (s *reported) round(b *testing.B) {
	at := s.at.Add(benchEvery.Milliseconds())
	if _, err := fmt.Fprintln(s.fleet, at); err != nil {
		b.Fatal(err)
	}
	if line, err := s.told.ReadString('\n'); err != nil || line != "ok\n" {
		b.Fatalf("the fleet said %q: %v", line, err)
	}
}

// check fails the benchmark when what was reported is not there: then something else was measured.
func (s *reported) check(b *testing.B, rounds int) {
	if n, want := s.window.Stats().Series, benchAgents*(s.series+1); n != want {
		b.Errorf("%d series in the window, want %d", n, want)
	}
	if s.history == nil {
		return
	}
	to := s.now()
	curves, err := s.history.Series(b.Context(), []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "__name__", "node_load1"),
		labels.MustNewMatcher(labels.MatchEqual, "instance", benchName(7)),
	}, to.Add(-benchWarm*benchEvery), to, 1000)
	if err != nil || len(curves) != 1 || len(curves[0].Points) < benchWarm-1 {
		b.Errorf("after %d rounds the history has %v, %v", rounds, curves, err)
	}
}

// benchFleet is what the fleet's process is told.
type benchFleet struct {
	Address   string
	Authority [][]byte
	Agents    []benchIdentity
}

// benchIdentity is an agent's: its certificates, leaf first, and its key, DER.
type benchIdentity struct {
	Certificates [][]byte
	Key          []byte
}

// startFleet enrols the agents and starts their process.
func (s *reported) startFleet(b *testing.B) {
	b.Helper()
	f := benchFleet{Address: s.OwnAgentAddress()}
	for i := range benchAgents {
		id, authority := s.enrolled(b, benchName(i))
		f.Agents, f.Authority = append(f.Agents, id), authority
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkReport$", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), benchFleetEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close() // it ends then
		_, _ = io.Copy(io.Discard, s.told)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the fleet: %v", err)
		}
	})
	if err := json.NewEncoder(in).Encode(f); err != nil {
		b.Fatal(err)
	}
	s.fleet, s.told = in, bufio.NewReader(out)
	for line := ""; !strings.HasPrefix(line, "series "); { // the test framework speaks first
		if line, err = s.told.ReadString('\n'); err != nil {
			b.Fatalf("the fleet does not start: %v", err)
		}
		_, _ = fmt.Sscanf(line, "series %d", &s.series)
	}
}

// enrolled is an agent's certificate and key, and the authorities it trusts.
func (s *reported) enrolled(b *testing.B, name string) (id benchIdentity, authorities [][]byte) {
	b.Helper()
	_, text, err := s.Collector.fleet.CreateToken(b.Context(), fleet.TokenRequest{
		Customer: "acme", Site: "london", Asset: name, By: "bench", Address: s.OwnAgentAddress(),
	})
	if err != nil {
		b.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "wb1."))
	if err != nil {
		b.Fatal(err)
	}
	var secret struct {
		S string `json:"s"`
	}
	if err := json.Unmarshal(raw, &secret); err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	e, err := s.Collector.fleet.Enrol(b.Context(), fleet.Request{Token: secret.S, CSR: csr, Hostname: name})
	if err != nil {
		b.Fatal(err)
	}
	if id.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		b.Fatal(err)
	}
	id.Certificates = e.Certificates
	return id, e.Authorities
}
